//! Webhooks over HTTP.

use http::Method;
use serde_json::{Value, json};

use crate::{Answer, World};

const POST: Method = Method::POST;
const PATCH: Method = Method::PATCH;

fn body(more: &Value) -> String {
    let mut body = json!({"url": "https://x.example/h", "event_types": ["message.received"]});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body.to_string()
}

async fn create(world: &World, path: &str, key: &str, more: Value) -> Answer {
    world.call(&POST, path, Some(key), &body(&more)).await
}

/// The id of a webhook that is created without objection.
async fn made(world: &World, path: &str, key: &str, more: Value) -> String {
    let answer = create(world, path, key, more).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["webhook_id"].as_str().unwrap().to_owned()
}

fn paths(answer: &Answer) -> Vec<Value> {
    answer.body["errors"].as_array().unwrap().iter().map(|issue| issue["path"].clone()).collect()
}

#[tokio::test]
async fn a_webhook_is_created_read_listed_and_deleted() {
    let world = World::new(|_| {}).await;
    let (_, key) = world.organization("acme").await;
    let more = json!({"event_types": ["message.received", "message.received"], "headers": {"Authorization": "Bearer s1"}});
    let answer = create(&world, "/v0/webhooks", &key, more).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let id = answer.body["webhook_id"].as_str().unwrap();
    let secret = answer.body["secret"].as_str().unwrap();
    assert!(id.starts_with("ep_"), "{id}");
    assert!(secret.starts_with("whsec_") && secret.len() == 6 + 32, "{secret}");
    assert_eq!(
        answer.body,
        json!({
            "webhook_id": id, "url": "https://x.example/h", "event_types": ["message.received"], "secret": secret,
            "enabled": true, "updated_at": "2026-03-01T09:00:00.000Z", "created_at": "2026-03-01T09:00:00.000Z"
        })
    );
    let one = format!("/v0/webhooks/{id}");
    assert_eq!(world.get(&one, &key).await.body, answer.body);
    let list = world.get("/v0/webhooks?limit=5", &key).await;
    assert_eq!(list.body, json!({"count": 1, "limit": 5, "webhooks": [answer.body]}));
    let deleted = world.call(&Method::DELETE, &one, Some(&key), "").await;
    assert_eq!((deleted.status, deleted.text.as_str()), (204, ""));
    let gone = world.get(&one, &key).await;
    assert_eq!((gone.status, gone.code()), (404, "not_found"));
}

#[tokio::test]
async fn bad_creations_name_every_violated_field() {
    let world = World::new(|_| {}).await;
    let (all, key) = world.organization("acme").await;
    world.inbox(&all, "desk@mail.test").await;
    let pod = all.pod_or_default();
    let eleven: Vec<String> = (0..11).map(|n| format!("i{n}@mail.test")).collect();
    let of_pod = format!("/v0/pods/{pod}/webhooks");
    let of_inbox = "/v0/inboxes/desk@mail.test/webhooks".to_owned();
    let anywhere = "/v0/webhooks".to_owned();
    for (path, more, want) in [
        (&anywhere, json!({"event_types": []}), json!([["event_types"]])),
        (&anywhere, json!({"event_types": null}), json!([["event_types"]])),
        (&anywhere, json!({"event_types": ["message.received", "nothing"]}), json!([["event_types", 1]])),
        (&anywhere, json!({"url": null}), json!([["url"]])),
        (&anywhere, json!({"url": "http://x.example/h"}), json!([["url"]])),
        (&anywhere, json!({"url": "https://127.0.0.1/h"}), json!([["url"]])),
        (&anywhere, json!({"url": "https://u:p@x.example/h"}), json!([["url"]])),
        (&anywhere, json!({"url": "/h"}), json!([["url"]])),
        (&anywhere, json!({"inbox_ids": eleven}), json!([["inbox_ids"]])),
        (&anywhere, json!({"client_id": "a@b"}), json!([["client_id"]])),
        (&anywhere, json!({"headers": {}}), json!([["headers"]])),
        (&anywhere, json!({"headers": {"X-A": "1\r\n"}}), json!([["headers", "X-A"]])),
        (&anywhere, json!({"headers": {"Svix-Id": "1"}}), json!([["headers", "Svix-Id"]])),
        (&of_pod, json!({"pod_ids": [pod.to_string()]}), json!([["pod_ids"]])),
        (&of_inbox, json!({"inbox_ids": ["desk@mail.test"]}), json!([["inbox_ids"]])),
        (
            &anywhere,
            json!({"url": "ftp://x", "event_types": ["no"], "client_id": ""}),
            json!([["event_types", 0], ["client_id"], ["url"]]),
        ),
    ] {
        let answer = create(&world, path, &key, more.clone()).await;
        assert_eq!(
            (answer.status, answer.code()),
            (400, "validation_error"),
            "{path} {more}: {}",
            answer.text
        );
        assert_eq!(json!(paths(&answer)), want, "{path} {more}: {}", answer.text);
    }
    for more in [json!({"inbox_ids": ["none@mail.test"]}), json!({"pod_ids": ["nope"]})] {
        assert_eq!(create(&world, "/v0/webhooks", &key, more).await.status, 404);
    }
}

#[tokio::test]
async fn subscriptions_need_the_permission_to_read_what_they_bring() {
    let world = World::new(|_| {}).await;
    let (all, owner) = world.organization("acme").await;
    let (_, poor) = world.key(&all, Some(r#"{"webhook_create":true,"webhook_update":true}"#), None).await;
    let plain = made(&world, "/v0/webhooks", &poor, json!({})).await;
    for name in ["spam", "blocked", "unauthenticated"] {
        let kind = json!({"event_types": [format!("message.received.{name}")]});
        let answer = create(&world, "/v0/webhooks", &poor, kind.clone()).await;
        assert_eq!((answer.status, answer.code()), (403, "missing_permission"));
        assert_eq!(answer.body["message"], format!("label_{name}_read is forbidden"));
        let answer =
            world.call(&PATCH, &format!("/v0/webhooks/{plain}"), Some(&poor), &kind.to_string()).await;
        assert_eq!((answer.status, answer.code()), (403, "missing_permission"));

        let rich = made(&world, "/v0/webhooks", &owner, kind).await;
        let path = format!("/v0/webhooks/{rich}");
        let pause = world.call(&PATCH, &path, Some(&poor), r#"{"enabled":false}"#).await;
        assert_eq!((pause.status, &pause.body["enabled"]), (200, &json!(false)));
        let resume = world.call(&PATCH, &path, Some(&poor), r#"{"enabled":true}"#).await;
        assert_eq!((resume.status, resume.code()), (403, "missing_permission"));
        let resume = world.call(&PATCH, &path, Some(&owner), r#"{"enabled":true}"#).await;
        assert_eq!((resume.status, &resume.body["enabled"]), (200, &json!(true)));
    }
}

#[tokio::test]
async fn a_client_id_repeats_a_creation_within_its_owner_and_the_limit_is_kept() {
    let world = World::new(|settings| settings.webhook_limit = 2).await;
    let (all, key) = world.organization("acme").await;
    world.inbox(&all, "desk@mail.test").await;
    let first = create(&world, "/v0/webhooks", &key, json!({"client_id": "hook-1"})).await;
    let again = json!({"client_id": "hook-1", "url": "https://other.example/"});
    let second = create(&world, "/v0/webhooks", &key, again.clone()).await;
    assert_eq!((second.status, &second.body), (200, &first.body));
    let elsewhere = create(&world, "/v0/inboxes/desk@mail.test/webhooks", &key, again).await;
    assert_eq!((elsewhere.status, elsewhere.code()), (403, "already_exists"));
    made(&world, "/v0/webhooks", &key, json!({})).await;
    let third = create(&world, "/v0/webhooks", &key, json!({})).await;
    assert_eq!((third.status, third.code()), (403, "limit_exceeded"));
    assert_eq!((&third.body["resource"], &third.body["limit"]), (&json!("webhook"), &json!(2)));
}

#[tokio::test]
async fn a_narrow_key_sees_its_own_webhooks_only() {
    let world = World::new(|_| {}).await;
    let (all, key) = world.organization("acme").await;
    let pod = world.pod(&all, "tenant").await;
    let inbox = world.inbox(&pod, "desk@mail.test").await;
    let (_, pod_key) = world.key(&pod, None, None).await;
    let (_, inbox_key) = world.key(&inbox, None, None).await;
    let (_, stranger) = world.organization("other").await;
    let pod_id = pod.pod_or_default().to_string();
    let wide = made(&world, "/v0/webhooks", &key, json!({})).await;
    let of_pod = made(&world, "/v0/webhooks", &pod_key, json!({})).await;
    let of_inbox = made(&world, "/v0/webhooks", &inbox_key, json!({})).await;
    let seen = world.get(&format!("/v0/webhooks/{of_inbox}"), &key).await;
    assert_eq!((&seen.body["pod_id"], &seen.body["inbox_id"]), (&json!(pod_id), &json!("desk@mail.test")));
    for (own, path, want) in [
        (&key, "/v0/webhooks".to_owned(), vec![&of_inbox, &of_pod, &wide]),
        (&key, format!("/v0/pods/{pod_id}/webhooks"), vec![&of_inbox, &of_pod]),
        (&pod_key, "/v0/webhooks".to_owned(), vec![&of_inbox, &of_pod]),
        (&inbox_key, "/v0/webhooks".to_owned(), vec![&of_inbox]),
        (&stranger, "/v0/webhooks".to_owned(), vec![]),
    ] {
        let list = world.get(&path, own).await;
        let ids: Vec<&Value> =
            list.body["webhooks"].as_array().unwrap().iter().map(|webhook| &webhook["webhook_id"]).collect();
        assert_eq!(json!(ids), json!(want), "{path}");
        for id in [&wide, &of_pod, &of_inbox] {
            let status = if want.contains(&id) { 200 } else { 404 };
            assert_eq!(world.get(&format!("{path}/{id}"), own).await.status, status, "{path} {id}");
            assert_eq!(world.get(&format!("{path}/{id}/headers"), own).await.status, status, "{path} {id}");
        }
    }
    let foreign = world.get(&format!("/v0/webhooks/{wide}"), &stranger).await;
    assert_eq!(foreign.text, world.get("/v0/webhooks/ep_none", &stranger).await.text);
}

#[tokio::test]
async fn a_change_replaces_types_widens_channels_and_keeps_one() {
    let world = World::new(|_| {}).await;
    let (all, key) = world.organization("acme").await;
    for name in ["a", "b"] {
        world.inbox(&all, &format!("{name}@mail.test")).await;
    }
    let id = made(&world, "/v0/webhooks", &key, json!({"inbox_ids": ["A@mail.test"]})).await;
    let path = format!("/v0/webhooks/{id}");
    for (change, status, types, inboxes) in [
        (json!({"event_types": []}), 200, json!(["message.received"]), json!(["a@mail.test"])),
        (json!({"event_types": ["message.sent"]}), 200, json!(["message.sent"]), json!(["a@mail.test"])),
        (json!({"event_types": ["no"]}), 400, json!(["message.sent"]), json!(["a@mail.test"])),
        (json!({"remove_inbox_ids": ["a@mail.test"]}), 400, json!(["message.sent"]), json!(["a@mail.test"])),
        (
            json!({"add_inbox_ids": ["b@mail.test"]}),
            200,
            json!(["message.sent"]),
            json!(["a@mail.test", "b@mail.test"]),
        ),
        (
            json!({"add_inbox_ids": ["a@mail.test"], "remove_inbox_ids": ["A@mail.test"]}),
            400,
            json!(["message.sent"]),
            json!(["a@mail.test", "b@mail.test"]),
        ),
        (
            json!({"add_inbox_ids": ["z@mail.test"]}),
            404,
            json!(["message.sent"]),
            json!(["a@mail.test", "b@mail.test"]),
        ),
        (
            json!({"remove_inbox_ids": ["a@mail.test", "z@mail.test"]}),
            200,
            json!(["message.sent"]),
            json!(["b@mail.test"]),
        ),
        (json!({"enabled": null}), 400, json!(["message.sent"]), json!(["b@mail.test"])),
    ] {
        let answer = world.call(&PATCH, &path, Some(&key), &change.to_string()).await;
        assert_eq!(answer.status, status, "{change}: {}", answer.text);
        let now = world.get(&path, &key).await.body;
        assert_eq!((&now["event_types"], &now["inbox_ids"]), (&types, &inboxes), "{change}");
    }
    let inbox_path = "/v0/inboxes/a@mail.test/webhooks";
    let own = made(&world, inbox_path, &key, json!({})).await;
    let widen = r#"{"add_inbox_ids":["b@mail.test"]}"#;
    let answer = world.call(&PATCH, &format!("{inbox_path}/{own}"), Some(&key), widen).await;
    assert_eq!((answer.status, paths(&answer)), (400, vec![json!(["add_inbox_ids"])]));
}

#[tokio::test]
async fn header_values_are_write_only() {
    let world = World::new(|_| {}).await;
    let (_, key) = world.organization("acme").await;
    let id = made(&world, "/v0/webhooks", &key, json!({"headers": {"Authorization": "Bearer s1"}})).await;
    let path = format!("/v0/webhooks/{id}/headers");
    for (change, status, names) in [
        (json!({"headers": {"X-A": "1"}, "remove_headers": ["x-a"]}), 400, json!(["Authorization"])),
        (json!({}), 400, json!(["Authorization"])),
        (json!({"headers": {}}), 400, json!(["Authorization"])),
        (json!({"headers": {"X-A": "1\n2"}}), 400, json!(["Authorization"])),
        (json!({"headers": {"X-A": 1}}), 400, json!(["Authorization"])),
        (json!({"remove_headers": ["x-none"]}), 204, json!(["Authorization"])),
        (
            json!({"headers": {"authorization": "Bearer s2", "X-A": "1"}}),
            204,
            json!(["authorization", "X-A"]),
        ),
        (json!({"remove_headers": ["AUTHORIZATION"]}), 204, json!(["X-A"])),
    ] {
        let answer = world.call(&PATCH, &path, Some(&key), &change.to_string()).await;
        assert_eq!(answer.status, status, "{change}: {}", answer.text);
        let seen = world.get(&path, &key).await;
        assert_eq!(seen.body, json!({"header_names": names}), "{change}");
        assert!(!world.get("/v0/webhooks", &key).await.text.contains("Bearer"));
    }
}
