//! Rules that every route shares, seen from outside.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use podmail_api::serve;
use podmail_domain::Clock as _;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

use crate::{Answer, World};

// conventions.md checks 1, 2, 3, 4
#[tokio::test]
async fn credentials_are_refused_with_their_code() {
    for world in World::each(|_| {}).await {
        let (scope, key) = world.organization("one").await;
        let now = world.clock.now();
        let (_, ending) = world.key(&scope, None, Some(now.plus(Duration::from_secs(1)))).await;
        assert_eq!(world.get("/v0/auth/me", &ending).await.status, 200);
        world.clock.advance(Duration::from_secs(2));
        for (header, status, code) in [
            (Some(format!("Bearer {key}")), 404, "not_found"),
            (None, 401, "missing_authorization"),
            (Some(format!("bearer {key}")), 401, "missing_authorization"),
            (Some(format!("Bearer  {key}")), 401, "missing_authorization"),
            (Some("Bearer ".to_owned()), 401, "missing_authorization"),
            (Some("Bearer aaaa.bbbb.cccc".to_owned()), 401, "invalid_token_type"),
            (Some("Bearer am_us_x".to_owned()), 401, "unknown_api_key"),
            (Some(format!("Bearer {ending}")), 401, "api_key_expired"),
        ] {
            // The credential comes before the route.
            let mut request = Request::builder().uri("/v0/no/such/route");
            if let Some(header) = &header {
                request = request.header("authorization", header);
            }
            let answer = world.send(request.body(Full::<Bytes>::default()).unwrap()).await;
            assert_eq!((answer.status, answer.code()), (status, code), "{header:?}");
            assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401, "{header:?}");
            assert_eq!(answer.headers["content-type"], "application/json; charset=utf-8");
            assert!(answer.headers.contains_key("x-request-id"));
            let docs = answer.body["docs"].as_str().unwrap();
            assert!(docs.ends_with(&format!("/errors#{code}")), "{docs}");
            assert!(answer.body["name"].is_string() && answer.body["message"].is_string(), "{}", answer.text);
        }
    }
}

// conventions.md check 5
#[tokio::test]
async fn unknown_routes_and_methods_are_not_found() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        for (method, path) in [
            (Method::PUT, "/v0/inboxes"),
            (Method::GET, "/v0/inboxes/"),
            (Method::GET, "/v0/inboxes//messages"),
            (Method::GET, "/v0/nothing"),
            (Method::GET, "/v0"),
            (Method::GET, "/elsewhere"),
            (Method::POST, "/healthz"),
        ] {
            let answer = world.call(&method, path, Some(&key), "").await;
            assert_eq!((answer.status, answer.code()), (404, "not_found"), "{method} {path}");
            assert_eq!(answer.body["message"], "Route not found", "{method} {path}");
        }
    }
}

// conventions.md check 32
#[tokio::test]
async fn a_large_body_is_refused_before_it_is_kept() {
    for world in World::each(|settings| settings.max_request_bytes = 100).await {
        let (_, key) = world.organization("one").await;
        let body = format!("{{\"x\":\"{}\"}}", "y".repeat(200));
        let answer = world.call(&Method::POST, "/v0/pods", Some(&key), &body).await;
        assert_eq!((answer.status, answer.code()), (413, "payload_too_large"));
        assert_eq!(answer.body["message"], "Request body is larger than 100 bytes");
        let answer = world.call(&Method::POST, "/v0/pods", None, &body).await;
        assert_eq!(answer.status, 401);
    }
}

// conventions.md checks 6, 8
#[tokio::test]
async fn bodies_are_json_objects_whatever_their_content_type() {
    for world in World::each(|_| {}).await {
        let (scope, key) = world.organization("one").await;
        let post = async |body: &str, content_type: &str| {
            let request = Request::post("/v0/pods")
                .header("authorization", format!("Bearer {key}"))
                .header("content-type", content_type)
                .body(Full::from(body.to_owned()));
            world.send(request.unwrap()).await
        };
        for (body, content_type) in
            [("", "a/b"), ("{}", "text/plain"), ("{\"name\":\"x\",\"unknown\":[1]}", "text/plain")]
        {
            let answer = post(body, content_type).await;
            assert_eq!(answer.status, 200, "{body}: {}", answer.text);
        }
        world.inbox(&scope, "desk@mail.test").await;
        let path = "/v0/inboxes/desk@mail.test/messages/send";
        let cut = world.call(&Method::POST, path, Some(&key), "{\"to\":").await;
        assert_eq!(
            (&cut.body["errors"][0]["path"], &cut.body["errors"][0]["format"]),
            (&json!([]), &json!("json_string"))
        );
        let answer = post("{\"name\":", "application/json").await;
        assert_eq!((answer.status, answer.code()), (400, "validation_error"));
        assert_eq!(answer.body["errors"][0]["path"], serde_json::json!([]));
        assert_eq!(answer.body["errors"][0]["format"], "json_string");
        let answer = post("[]", "application/json").await;
        assert_eq!(answer.body["errors"][0]["code"], "invalid_type");
        assert_eq!(answer.body["errors"][0]["expected"], "object");
    }
}

#[tokio::test]
async fn the_request_limit_is_per_organization_and_told_in_headers() {
    for world in World::each(|settings| settings.requests_per_second = 1).await {
        let (scope, key) = world.organization("one").await;
        let (_, second) = world.key(&scope, None, None).await;
        let (_, other) = world.organization("two").await;
        let first = world.get("/v0/auth/me", &key).await;
        assert_eq!((first.status, &first.headers["x-ratelimit-remaining"]), (200, &"1".parse().unwrap()));
        world.get("/v0/auth/me", &second).await;
        let refused = world.get("/v0/auth/me", &key).await;
        assert_eq!((refused.status, refused.code()), (429, "rate_limit_exceeded"));
        assert_eq!(refused.headers["retry-after"], "1");
        assert_eq!(refused.headers["x-ratelimit-limit"], "2");
        let reset: i64 = refused.headers["x-ratelimit-reset"].to_str().unwrap().parse().unwrap();
        assert!(reset > world.clock.now().seconds());
        assert_eq!(world.get("/v0/auth/me", &other).await.status, 200);
    }
}

#[tokio::test]
async fn the_server_tells_how_it_is_without_a_key() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        world.get("/v0/auth/me", &key).await;
        let get = async |path: &str| world.call(&Method::GET, path, None, "").await;
        assert_eq!((get("/healthz").await.status, get("/healthz").await.text), (200, "ok".to_owned()));
        assert_eq!(get("/readyz").await.body["status"], "ready");
        let metrics = get("/metrics").await.text;
        assert!(metrics.contains("podmail_up 1\n"), "{metrics}");
        assert!(metrics.contains("route=\"/v0/auth/me\",status=\"2xx\"} 1"), "{metrics}");
        assert!(get("/docs/errors").await.text.contains("id=\"validation_error\""));
    }
}

#[tokio::test]
async fn the_time_of_use_of_a_key_is_written_in_batches() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let used = async || world.get("/v0/api-keys", &key).await.body["api_keys"][0]["used_at"].clone();
        assert_eq!(used().await, serde_json::Value::Null);
        world.app.flush_used_keys().await.unwrap();
        assert_eq!(used().await, world.clock.now().to_string());
    }
}

#[tokio::test]
async fn connections_are_served_until_the_shutdown() {
    for world in World::each(|_| {}).await {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let mut server = tokio::task::JoinSet::new();
        server.spawn(serve(listener, world.api.clone(), stop.clone()));
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /v0/inboxes HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains("missing_authorization") {
            assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "{}", String::from_utf8_lossy(&seen));
        }
        assert!(seen.starts_with(b"HTTP/1.1 401 "));
        stop.cancel();
        server.join_next().await.unwrap().unwrap();
        assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0, "an idle connection is closed");
    }
}

// conventions.md checks 9, 12, 13
#[tokio::test]
async fn a_page_is_asked_for_with_a_number_and_a_token_of_the_same_list() {
    for world in World::each(|_| {}).await {
        let (scope, key) = world.organization("one").await;
        world.pod(&scope, "second").await;
        for name in ["desk@mail.test", "shop@mail.test"] {
            world.inbox(&scope, name).await;
        }
        let small = json!({
            "code": "too_small", "path": ["limit"], "origin": "number", "minimum": 0, "inclusive": false,
            "message": "Too small: expected number to be >0"
        });
        let get = async |path: &str| world.get(path, &key).await;
        let first = |answer: &Answer| {
            assert_eq!((answer.status, answer.code()), (400, "validation_error"), "{}", answer.text);
            answer.body["errors"][0].clone()
        };
        let token = |answer: &Answer| answer.body["next_page_token"].as_str().unwrap().to_owned();
        let pods = token(&get("/v0/pods?limit=1").await);
        let inboxes = token(&get("/v0/inboxes?limit=1").await);
        for list in [
            "/v0/inboxes",
            "/v0/pods",
            "/v0/threads",
            "/v0/drafts",
            "/v0/domains",
            "/v0/webhooks",
            "/v0/api-keys",
            "/v0/inboxes/desk@mail.test/messages",
        ] {
            for limit in ["0", "-1", ""] {
                assert_eq!(first(&get(&format!("{list}?limit={limit}")).await), small, "{list} {limit}");
            }
            let text = first(&get(&format!("{list}?limit=abc")).await);
            assert_eq!(
                (&text["code"], &text["path"], &text["expected"], &text["received"]),
                (&json!("invalid_type"), &json!(["limit"]), &json!("number"), &json!("NaN")),
                "{list}"
            );
            let foreign = if list == "/v0/pods" { &inboxes } else { &pods };
            for bad in ["!!!", foreign] {
                let issue = first(&get(&format!("{list}?page_token={bad}")).await);
                assert_eq!(
                    (&issue["code"], &issue["path"], &issue["format"]),
                    (&json!("invalid_format"), &json!(["page_token"]), &json!("base64url")),
                    "{list} {bad}"
                );
            }
        }
        let both = first(&get("/v0/inboxes?limit=0&page_token=!!!").await);
        assert_eq!(both["path"], json!(["limit"]));
        assert_eq!(
            get("/v0/inboxes?limit=0&page_token=!!!").await.body["errors"][1]["path"],
            json!(["page_token"])
        );
        // Above the cap a page is full and the token goes on.
        let wide = get("/v0/inboxes?limit=100000").await;
        assert_eq!(
            (wide.status, &wide.body["limit"], &wide.body["count"]),
            (200, &json!(100_000), &json!(2))
        );
    }
}

#[tokio::test]
async fn several_idempotency_keys_are_refused_unless_they_are_the_same() {
    let world = World::new(|_| {}).await;
    let (scope, key) = world.organization("one").await;
    world.inbox(&scope, "desk@mail.test").await;
    for (second, status) in [("k2", 400), ("k1", 200)] {
        let request = Request::post("/v0/inboxes/desk@mail.test/messages/send")
            .header("authorization", format!("Bearer {key}"))
            .header("idempotency-key", "k1")
            .header("idempotency-key", second)
            .body(Full::from(json!({ "to": "a@x.test", "text": "x" }).to_string()))
            .unwrap();
        let answer = world.send(request).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        if status == 400 {
            assert_eq!(answer.body["errors"][0]["path"], json!(["Idempotency-Key"]));
        }
    }
}

#[tokio::test]
async fn every_answer_to_a_known_organization_tells_what_is_left_of_its_limit() {
    let world = World::new(|settings| settings.requests_per_second = 5).await;
    let (_, key) = world.organization("one").await;
    for (path, remaining) in [("/v0/inboxes", "9"), ("/v0/no/such/route", "8"), ("/v0/inboxes", "7")] {
        let answer = world.get(path, &key).await;
        assert_eq!(answer.headers["x-ratelimit-limit"], "10", "{path}");
        assert_eq!(answer.headers["x-ratelimit-remaining"], remaining, "{path}");
    }
}

#[tokio::test]
async fn a_filter_that_is_too_long_is_reported_once() {
    let world = World::new(|_| {}).await;
    let (scope, key) = world.organization("one").await;
    world.inbox(&scope, "desk@mail.test").await;
    let long = "x".repeat(1025);
    for (path, name) in [("/v0/inboxes/desk@mail.test/messages", "from"), ("/v0/threads", "senders")] {
        let answer = world.get(&format!("{path}?{name}={long}"), &key).await;
        assert_eq!(
            (answer.status, answer.body["errors"].as_array().unwrap().len()),
            (400, 1),
            "{}",
            answer.text
        );
        assert_eq!(answer.body["errors"][0]["path"], json!([name, 0]));
    }
    // conventions.md §3: 0 to 9 digits of a second's fraction.
    for (digits, status) in [("123456789", 200), ("1234567891", 400)] {
        let path = format!("/v0/threads?before=2026-03-01T09:30:00.{digits}Z");
        assert_eq!(world.get(&path, &key).await.status, status, "{digits}");
    }
}
