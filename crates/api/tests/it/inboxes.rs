//! Inboxes over HTTP.

use std::time::Duration;

use http::Method;
use podmail_app::PodSubdomains;
use podmail_store::OrganizationChange;
use serde_json::{Value, json};

use crate::mailbox::{Mailbox, segment};
use crate::{Answer, World};

async fn post(world: &World, key: &str, body: &Value) -> Answer {
    world.call(&Method::POST, "/v0/inboxes", Some(key), &body.to_string()).await
}

async fn made(world: &World, key: &str, body: &Value) -> Value {
    let answer = post(world, key, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

async fn patch(world: &World, key: &str, inbox: &str, body: &Value) -> Answer {
    world.call(&Method::PATCH, &format!("/v0/inboxes/{inbox}"), Some(key), &body.to_string()).await
}

fn paths(answer: &Answer) -> Vec<Value> {
    let errors = answer.body["errors"].as_array().expect("issues");
    errors.iter().map(|issue| issue["path"].clone()).collect()
}

fn ids(answer: &Answer) -> Vec<&str> {
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["inboxes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|inbox| inbox["inbox_id"].as_str().unwrap())
        .collect()
}

// inboxes.md check 1, tenancy.md check 2, conventions.md check 7
#[tokio::test]
async fn a_create_without_a_body_makes_a_random_inbox_of_the_default_pod() {
    for world in World::each(|_| {}).await {
        let (scope, key) = world.organization("one").await;
        let answer = world.call(&Method::POST, "/v0/inboxes", Some(&key), "").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let organization = scope.organization().to_string();
        let inbox_id = answer.body["inbox_id"].as_str().unwrap().to_owned();
        let name = inbox_id.strip_suffix("@mail.test").unwrap();
        let (letters, digits) = name.split_at(name.len() - 3);
        assert!(letters.bytes().all(|b| b.is_ascii_lowercase()) && !letters.is_empty(), "{inbox_id}");
        assert!(digits.bytes().all(|b| b.is_ascii_digit()), "{inbox_id}");
        let want = json!({
            "organization_id": organization,
            "pod_id": organization,
            "inbox_id": inbox_id,
            "email": inbox_id,
            "updated_at": "2026-03-01T09:00:00.000Z",
            "created_at": "2026-03-01T09:00:00.000Z",
        });
        assert_eq!(answer.body, want, "nothing else is there");
        let upper = world.get(&format!("/v0/inboxes/{}", inbox_id.to_uppercase()), &key).await;
        assert_eq!((upper.status, upper.body), (200, want));
    }
}

// inboxes.md checks 2, 3, 4, conventions.md check 17
#[tokio::test]
async fn a_taken_address_says_so_to_its_owner_and_little_to_others() {
    for world in World::each(|_| {}).await {
        let ((_, key), (_, foreign)) = (world.organization("one").await, world.organization("two").await);
        let body = json!({ "username": "Support-Agent" });
        assert_eq!(made(&world, &key, &body).await["inbox_id"], "support-agent@mail.test");
        let own = post(&world, &key, &body).await;
        assert_eq!((own.status, own.code()), (403, "already_exists"));
        assert_eq!(own.body["message"], "Inbox already exists");
        let names = own.body["suggestions"].as_array().unwrap();
        assert_eq!(names.len(), 3);
        for name in names {
            let digits = name.as_str().unwrap().strip_prefix("support-agent").unwrap();
            assert!(digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()), "{name}");
        }
        let other = post(&world, &foreign, &body).await;
        assert_eq!((other.status, other.code()), (403, "resource_taken"));
        let found = world.get("/v0/inboxes/SUPPORT-agent@Mail.test", &key).await;
        assert_eq!(found.body["inbox_id"], "support-agent@mail.test");
        assert_eq!(other.body["name"], "IsTakenError");
        assert!(other.body.get("suggestions").is_none());
    }
}

// inboxes.md checks 9, 10, 14, conventions.md checks 16, 25
#[tokio::test]
async fn a_create_reports_every_field_that_does_not_fit() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let long = "x".repeat(257);
        let many: Value =
            (0..257).map(|n| (format!("k{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
        for (body, want) in [
            (json!({ "username": "a b" }), vec![json!(["username"])]),
            (json!({ "username": ".a" }), vec![json!(["username"])]),
            (json!({ "username": "a..b" }), vec![json!(["username"])]),
            (json!({ "username": "é" }), vec![json!(["username"])]),
            (json!({ "username": "x".repeat(65) }), vec![json!(["username"])]),
            (json!({ "username": 5 }), vec![json!(["username"])]),
            (json!({ "client_id": "a@b" }), vec![json!(["client_id"])]),
            (json!({ "display_name": long }), vec![json!(["display_name"])]),
            (json!({ "status": "asleep" }), vec![json!(["status"])]),
            (json!({ "metadata": [] }), vec![json!(["metadata"])]),
            (json!({ "metadata": many }), vec![json!(["metadata"])]),
            (json!({ "metadata": { "a": null } }), vec![json!(["metadata", "a"])]),
            (json!({ "metadata": { "a": {} } }), vec![json!(["metadata", "a"])]),
            (json!({ "metadata": { "a": long } }), vec![json!(["metadata", "a"])]),
            (json!({ "metadata": { long.as_str(): 1 } }), vec![json!(["metadata", "x".repeat(256)])]),
            (
                json!({ "username": "a b", "status": 1, "metadata": { "a": [] } }),
                vec![json!(["status"]), json!(["username"]), json!(["metadata", "a"])],
            ),
        ] {
            let answer = post(&world, &key, &body).await;
            assert_eq!((answer.status, answer.code()), (400, "validation_error"), "{body}");
            assert_eq!(paths(&answer), want, "{body}");
        }
        assert_eq!(made(&world, &key, &json!({ "username": "a+b" })).await["inbox_id"], "a+b@mail.test");
        assert_eq!(
            world.get("/v0/inboxes/a+b@mail.test", &key).await.status,
            200,
            "plus is literal in a path"
        );
        let inbox = made(
            &world,
            &key,
            &json!({
                "username": null, "domain": null, "client_id": null, "status": null, "metadata": {},
                "display_name": "Ann \"Boss\" <x@y>", "unknown": 1,
            }),
        )
        .await;
        assert_eq!(inbox["display_name"], "Ann Boss xy");
        assert!(inbox.get("metadata").is_none() && inbox.get("status").is_none(), "{inbox}");
    }
}

// inboxes.md check 5, conventions.md check 27
#[tokio::test]
async fn parallel_creates_with_one_client_id_answer_with_one_inbox() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let bodies: Vec<Value> =
            (0..20).map(|n| json!({ "username": format!("n{n}"), "client_id": "c1" })).collect();
        let answers =
            futures_util::future::join_all(bodies.iter().map(|body| made(&world, &key, body))).await;
        assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
        assert_eq!(answers[0]["client_id"], "c1");
        assert_eq!(ids(&world.get("/v0/inboxes", &key).await).len(), 1);
    }
}

// inboxes.md check 8
#[tokio::test]
async fn the_quota_is_named_in_the_refusal() {
    for world in World::each(|_| {}).await {
        let (scope, key) = world.organization("one").await;
        let change = OrganizationChange { inbox_limit: Some(Some(1)), ..OrganizationChange::default() };
        assert!(world.store.set_organization(scope.organization(), change, world.app.now()).await.unwrap());
        made(&world, &key, &json!({})).await;
        let answer = post(&world, &key, &json!({})).await;
        assert_eq!((answer.status, answer.code()), (403, "limit_exceeded"));
        assert_eq!((&answer.body["resource"], &answer.body["limit"]), (&json!("inbox"), &json!(1)));
    }
}

// inboxes.md checks 6, 7
#[tokio::test]
async fn domains_answer_as_their_state_is() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let domain = json!({ "domain": "example.com" }).to_string();
        let registered = world.call(&Method::POST, "/v0/domains", Some(&key), &domain).await;
        assert_eq!(registered.status, 200, "{}", registered.text);
        let ask = async |domain: &str| {
            let answer = post(&world, &key, &json!({ "username": "x", "domain": domain })).await;
            let told = answer.body["inbox_id"].as_str().unwrap_or(answer.code()).to_owned();
            (answer.status, told)
        };
        assert_eq!(ask("example.com").await, (403, "domain_not_verified".to_owned()));
        world.app.operator_verify_domain("example.com", true).await.unwrap();
        assert_eq!(ask("Example.COM").await, (200, "x@example.com".to_owned()));
        assert_eq!(ask("bot.example.com").await, (422, "unprocessable".to_owned()));
        assert_eq!(ask("nobody.example").await, (404, "not_found".to_owned()));
        let enable = json!({ "subdomains_enabled": true }).to_string();
        world.call(&Method::PATCH, "/v0/domains/example.com", Some(&key), &enable).await;
        world.app.operator_verify_domain("example.com", true).await.unwrap();
        assert_eq!(ask("bot.example.com").await, (200, "x@bot.example.com".to_owned()));
    }
}

// inboxes.md checks 11, 12, 13, 22, extras.md check 11
#[tokio::test]
async fn updates_say_what_they_change_and_merge_metadata() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let body = json!({ "username": "a", "display_name": "Ann", "metadata": { "a": "1", "b": 2, "c": true, "n": 19.99 } });
        let inbox = made(&world, &key, &body).await;
        assert_eq!(inbox["metadata"].to_string(), r#"{"a":"1","b":2,"c":true,"n":19.99}"#);
        let id = "a@mail.test";
        for (body, want) in [
            (json!({}), vec![json!([])]),
            (json!({ "username": "new" }), vec![json!([])]),
            (json!({ "metadata": {} }), vec![json!(["metadata"])]),
            (json!({ "metadata": "x" }), vec![json!(["metadata"])]),
            (json!({ "status": null }), vec![json!(["status"])]),
            (
                json!({ "status": "asleep", "metadata": { "x": [] } }),
                vec![json!(["status"]), json!(["metadata", "x"])],
            ),
        ] {
            let answer = patch(&world, &key, id, &body).await;
            assert_eq!((answer.status, paths(&answer)), (400, want), "{body}");
        }
        assert_eq!(world.get("/v0/inboxes/a@mail.test", &key).await.body, inbox, "nothing changed");

        world.clock.advance(Duration::from_secs(1));
        let change = json!({ "metadata": { "b": null, "n": null, "d": "x" }, "status": "paused" });
        let answer = patch(&world, &key, id, &change).await;
        assert_eq!(answer.body["metadata"], json!({ "a": "1", "c": true, "d": "x" }));
        assert_eq!((&answer.body["status"], &answer.body["display_name"]), (&json!("paused"), &json!("Ann")));
        assert_eq!(answer.body["updated_at"], "2026-03-01T09:00:01.000Z");
        let many: Value =
            (0..254).map(|n| (format!("k{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
        let full = patch(&world, &key, id, &json!({ "metadata": many })).await;
        assert_eq!((full.status, paths(&full)), (400, vec![json!(["metadata"])]));

        let clear = json!({ "metadata": null, "display_name": "", "status": "active" });
        let answer = patch(&world, &key, id, &clear).await;
        let listed = world.get("/v0/inboxes", &key).await;
        for inbox in [&answer.body, &listed.body["inboxes"][0]] {
            for name in ["metadata", "display_name", "status"] {
                assert!(inbox.get(name).is_none(), "{name}: {inbox}");
            }
        }
        let absent = patch(&world, &key, "b@mail.test", &json!({})).await;
        assert_eq!((absent.status, absent.code()), (404, "not_found"), "404 comes before 400");
    }
}

// inboxes.md checks 23, 24, conventions.md checks 10, 11
#[tokio::test]
async fn lists_and_pods_show_what_lies_in_them() {
    for world in World::each(|_| {}).await {
        let (scope, key) = world.organization("one").await;
        let (pod, other) = (world.pod(&scope, "p").await, world.pod(&scope, "q").await);
        let [pod, other] = [pod, other].map(|pod| pod.pod().unwrap().to_string());
        for (path, name) in [
            ("/v0/inboxes".to_owned(), "a"),
            (format!("/v0/pods/{pod}/inboxes"), "b"),
            ("/v0/inboxes".to_owned(), "c"),
        ] {
            world.clock.advance(Duration::from_secs(1));
            let body = json!({ "username": name }).to_string();
            let answer = world.call(&Method::POST, &path, Some(&key), &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
        }
        let all = world.get("/v0/inboxes", &key).await;
        assert_eq!(ids(&all), vec!["c@mail.test", "b@mail.test", "a@mail.test"]);
        assert_eq!((&all.body["count"], all.body.get("limit")), (&json!(3), None));
        let first = world.get("/v0/inboxes?limit=2&ascending=true", &key).await;
        assert_eq!(ids(&first), vec!["a@mail.test", "b@mail.test"]);
        assert_eq!((&first.body["count"], &first.body["limit"]), (&json!(2), &json!(2)));
        let token = first.body["next_page_token"].as_str().unwrap();
        let second = world.get(&format!("/v0/inboxes?limit=2&ascending=true&page_token={token}"), &key).await;
        assert_eq!(ids(&second), vec!["c@mail.test"]);
        assert!(second.body.get("next_page_token").is_none());
        assert_eq!(
            world.get(&format!("/v0/inboxes?page_token={token}"), &key).await.status,
            400,
            "another direction"
        );

        assert_eq!(ids(&world.get(&format!("/v0/pods/{pod}/inboxes"), &key).await), vec!["b@mail.test"]);
        assert_eq!(world.get(&format!("/v0/pods/{pod}/inboxes/b@mail.test"), &key).await.status, 200);
        let elsewhere = world.get(&format!("/v0/pods/{other}/inboxes/b@mail.test"), &key).await;
        let absent = world.get(&format!("/v0/pods/{other}/inboxes/z@mail.test"), &key).await;
        assert_eq!((elsewhere.status, elsewhere.text), (404, absent.text));
    }
}

// inboxes.md checks 19, 20, extras.md checks 7, 8, 9
#[tokio::test]
async fn a_search_needs_two_characters_and_pages() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        made(&world, &key, &json!({ "username": "support" })).await;
        made(&world, &key, &json!({ "username": "support2" })).await;
        made(&world, &key, &json!({ "username": "x", "display_name": "Port Authority" })).await;
        for (query, code) in [
            ("", "invalid_type"),
            ("?q=", "too_small"),
            ("?q=a", "too_small"),
            (&format!("?q={}", "a".repeat(257)), "too_big"),
        ] {
            let answer = world.get(&format!("/v0/inboxes/search{query}"), &key).await;
            assert_eq!((answer.status, paths(&answer)), (400, vec![json!(["q"])]), "{query}");
            assert_eq!(answer.body["errors"][0]["code"], code, "{query}");
        }
        assert_eq!(world.get("/v0/inboxes/search?q=sup&limit=101", &key).await.status, 400);
        let found = world.get("/v0/inboxes/search?q=sup", &key).await;
        assert_eq!(ids(&found), vec!["support2@mail.test", "support@mail.test"]);
        assert_eq!(ids(&world.get("/v0/inboxes/search?q=port", &key).await), vec!["x@mail.test"]);
        let exact = world.get("/v0/inboxes/search?q=support@mail.test&limit=1", &key).await;
        assert_eq!(ids(&exact), vec!["support@mail.test"]);
        let (mut seen, mut next) = (1, exact.body["next_page_token"].as_str().map(str::to_owned));
        while let Some(token) = next {
            let path = format!("/v0/inboxes/search?q=support@mail.test&limit=1&page_token={token}");
            let page = world.get(&path, &key).await;
            seen += ids(&page).len();
            next = page.body["next_page_token"].as_str().map(str::to_owned);
        }
        assert_eq!(seen, 2, "words of `q` begin words of `support2@mail.test` as well");
    }
}

// conventions.md check 26; inboxes.md check 5
#[tokio::test]
async fn a_client_id_that_is_known_is_answered_whatever_else_is_said() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let inbox = made(&world, &key, &json!({ "client_id": "c", "username": "first" })).await;
        let bad = json!({ "client_id": "c", "username": "a b", "status": 5, "metadata": { "a": [] } });
        assert_eq!(made(&world, &key, &bad).await, inbox);
        let pod =
            async |body: Value| world.call(&Method::POST, "/v0/pods", Some(&key), &body.to_string()).await;
        let first = pod(json!({ "client_id": "c", "name": "First" })).await;
        assert_eq!(first.status, 200, "{}", first.text);
        let again = pod(json!({ "client_id": "c", "name": 5 })).await;
        assert_eq!((again.status, &again.body), (200, &first.body), "{}", again.text);
        assert_eq!(paths(&pod(json!({ "client_id": "new", "name": 5 })).await), vec![json!(["name"])]);
    }
}

// inboxes.md section 5: "Numbers come back as the same JSON number"
#[tokio::test]
async fn numbers_of_metadata_come_back_as_they_were_or_are_refused() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let kept = json!({ "a": 5, "b": 19.99, "c": 18_446_744_073_709_551_615_u64, "d": -0.5 });
        let inbox = made(&world, &key, &json!({ "username": "n", "metadata": kept })).await;
        assert_eq!(inbox["metadata"], kept);
        for number in ["123456789012345678901234567890", "0.12345678901234567890123"] {
            let body = format!(r#"{{"metadata":{{"fine":1,"big":{number},"also":"{number}"}}}}"#);
            for (method, path) in [(Method::POST, "/v0/inboxes"), (Method::PATCH, "/v0/inboxes/n@mail.test")]
            {
                let refused = world.call(&method, path, Some(&key), &body).await;
                assert_eq!(refused.status, 400, "{}", refused.text);
                assert_eq!(paths(&refused), vec![json!(["metadata", "big"])]);
            }
        }
    }
}

// extras.md section 3
#[tokio::test]
async fn a_search_for_an_address_begins_with_it_and_accents_do_not_matter() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        for (username, name) in [("ann", None), ("ann.lee", None), ("x", Some("Écoles de Paris"))] {
            made(&world, &key, &json!({ "username": username, "display_name": name })).await;
            world.clock.advance(std::time::Duration::from_secs(1));
        }
        for (q, want) in [
            ("ann@mail.test", vec!["ann@mail.test", "ann.lee@mail.test"]),
            ("ann@mai", vec!["ann@mail.test", "ann.lee@mail.test"]),
            ("ann@", vec!["ann@mail.test", "ann.lee@mail.test"]),
            ("ann", vec!["ann.lee@mail.test", "ann@mail.test"]),
            ("ecole", vec!["x@mail.test"]),
        ] {
            assert_eq!(ids(&world.get(&format!("/v0/inboxes/search?q={q}"), &key).await), want, "{q}");
        }
    }
}

// inboxes.md check 21
#[tokio::test]
async fn after_a_delete_nothing_is_left_to_see() {
    for world in World::each(|_| {}).await {
        let (scope, key) = world.organization("one").await;
        let inbox = world.inbox(&scope, "gone@mail.test").await;
        let (_, inbox_key) = world.key(&inbox, None, None).await;
        assert_eq!(ids(&world.get("/v0/inboxes", &inbox_key).await), vec!["gone@mail.test"]);
        let path = "/v0/inboxes/gone@mail.test";
        let made = world.call(&Method::POST, "/v0/inboxes", Some(&inbox_key), "{}").await;
        assert_eq!((made.status, made.code()), (403, "missing_permission"));
        assert_eq!(world.call(&Method::DELETE, path, Some(&key), "").await.status, 204);
        assert_eq!(world.get(path, &key).await.status, 404);
        assert_eq!(world.call(&Method::DELETE, path, Some(&key), "").await.status, 404);
        assert_eq!(ids(&world.get("/v0/inboxes", &key).await), Vec::<&str>::new());
        assert_eq!(ids(&world.get("/v0/inboxes/search?q=gone", &key).await), Vec::<&str>::new());
        let dead = world.get("/v0/inboxes", &inbox_key).await;
        assert_eq!((dead.status, dead.code()), (401, "unknown_api_key"));
    }
}

// inboxes.md checks 25, 26
#[tokio::test]
async fn tenants_may_all_be_called_support() {
    for (setting, want) in [
        (PodSubdomains::Conflict, ["support@mail.test", "support@tenant-globex.mail.test"]),
        (PodSubdomains::Off, ["support@mail.test", "already_exists"]),
        (PodSubdomains::Always, ["support@tenant-acme-123.mail.test", "support@tenant-globex.mail.test"]),
    ] {
        for world in World::each(|settings| settings.pod_subdomains = setting).await {
            let (_, key) = world.organization("one").await;
            let ask = async |pod: &str, domain: Value| {
                let path = format!("/v0/pods/{pod}/inboxes");
                let body = json!({ "username": "support", "domain": domain }).to_string();
                let answer = world.call(&Method::POST, &path, Some(&key), &body).await;
                answer.body["inbox_id"].as_str().unwrap_or(answer.code()).to_owned()
            };
            for (pod, want) in ["tenant-acme-123", "tenant-globex"].into_iter().zip(want) {
                let body = json!({ "client_id": pod }).to_string();
                let made = world.call(&Method::POST, "/v0/pods", Some(&key), &body).await;
                assert_eq!(made.status, 200, "{}", made.text);
                assert_eq!(ask(pod, Value::Null).await, want, "{setting:?}");
                assert_eq!(ask(pod, Value::Null).await, "already_exists", "{setting:?}");
            }
            assert_eq!(
                ask("tenant-acme-123", json!("tenant-globex.mail.test")).await,
                "not_found",
                "{setting:?}"
            );
            assert_eq!(
                post(&world, &key, &json!({ "username": "desk" })).await.body["inbox_id"],
                "desk@mail.test"
            );
        }
    }
}

// inboxes.md check 15
#[tokio::test]
async fn metadata_that_would_grow_too_large_changes_nothing() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let numbered = |from: usize, to: usize| -> Value {
            (from..to).map(|n| (format!("k{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into()
        };
        let inbox = made(&world, &key, &json!({ "username": "a", "metadata": numbered(0, 200) })).await;
        let over = patch(&world, &key, "a@mail.test", &json!({ "metadata": numbered(200, 257) })).await;
        assert_eq!((over.status, paths(&over)), (400, vec![json!(["metadata"])]));
        assert_eq!(world.get("/v0/inboxes/a@mail.test", &key).await.body, inbox);
        let full = patch(&world, &key, "a@mail.test", &json!({ "metadata": numbered(200, 256) })).await;
        assert_eq!(full.body["metadata"], numbered(0, 256));
    }
}

// inboxes.md check 9
#[tokio::test]
async fn an_address_with_a_plus_goes_before_the_tag_of_another() {
    for desk in Mailbox::each().await {
        made(&desk.world, &desk.key, &json!({ "username": "desk+vip" })).await;
        for tag in ["vip", "other"] {
            let to = format!("desk+{tag}@mail.test");
            let raw = format!("From: a@x.test\nTo: {to}\nMessage-ID: <{tag}@x.test>\n\nx\n");
            desk.raw_mail(&[&to], &raw).await;
        }
        assert_eq!(desk.list("").await, ["<other@x.test>"]);
        let vip = desk.world.get("/v0/inboxes/desk+vip@mail.test/messages", &desk.key).await;
        assert_eq!(
            (&vip.body["count"], &vip.body["messages"][0]["message_id"]),
            (&json!(1), &json!("<vip@x.test>"))
        );
    }
}

// inboxes.md checks 16, 17, 18, extras.md check 10
#[tokio::test]
async fn a_paused_inbox_sends_nothing_and_loses_what_comes() {
    for desk in Mailbox::each().await {
        let at = desk.world.app.now().plus(Duration::from_secs(1)).to_string();
        let draft = desk.post("/drafts", &json!({ "to": ["a@x.test"], "send_at": at })).await.body;
        let draft = format!("/drafts/{}", draft["draft_id"].as_str().unwrap());
        desk.mail("Message-ID: <before@x.test>", "x").await;
        assert_eq!(desk.patch("", &json!({ "status": "paused" })).await.body["status"], "paused");
        assert_eq!(desk.get("").await["status"], "paused");
        let source = format!("/messages/{}", segment("<before@x.test>"));
        for path in [
            "/messages/send".to_owned(),
            format!("{source}/reply"),
            format!("{source}/reply-all"),
            format!("{source}/forward"),
            format!("{draft}/send"),
        ] {
            let body = if path.ends_with("send") || path.ends_with("forward") {
                json!({ "to": "b@x.test" })
            } else {
                json!({ "text": "y" })
            };
            let body = if path.starts_with("/drafts") { json!({}) } else { body };
            let refused = desk.post(&path, &body).await;
            assert_eq!((refused.status, refused.code()), (403, "inbox_paused"), "{path}: {}", refused.text);
        }
        // The one who sends it learns nothing.
        desk.mail("Message-ID: <while@x.test>", "x").await;
        desk.world.clock.advance(Duration::from_secs(1));
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 1);
        assert_eq!(desk.get(&draft).await["send_status"], "failed");
        assert_eq!(desk.list("").await, ["<before@x.test>"], "reading works");
        assert_eq!(desk.patch(&source, &json!({ "add_labels": ["x"] })).await.status, 200);

        let resumed = desk.patch("", &json!({ "status": "active" })).await.body;
        assert!(resumed.get("status").is_none(), "{resumed}");
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 0);
        assert_eq!(desk.get(&draft).await["send_status"], "failed");
        assert_eq!(desk.list("").await, ["<before@x.test>"]);
        desk.send(&json!({ "to": "b@x.test" })).await;
        desk.mail("Message-ID: <while@x.test>", "x").await;
        assert_eq!(desk.list("").await.len(), 3, "the same mail may come again");
    }
}

// extras.md check 9
#[tokio::test]
async fn an_inbox_called_search_is_no_obstacle_to_searching() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        made(&world, &key, &json!({ "username": "search" })).await;
        assert_eq!(ids(&world.get("/v0/inboxes/search?q=search", &key).await), vec!["search@mail.test"]);
        assert_eq!(world.get("/v0/inboxes/search@mail.test", &key).await.status, 200);
        let pod = json!({ "client_id": "search" }).to_string();
        world.call(&Method::POST, "/v0/pods", Some(&key), &pod).await;
        let of_pod = world.get("/v0/pods/search/inboxes/search?q=search", &key).await;
        assert_eq!(ids(&of_pod), Vec::<&str>::new());
        assert_eq!(ids(&world.get("/v0/pods/search/inboxes", &key).await), Vec::<&str>::new());
    }
}

// extras.md check 8
#[tokio::test]
async fn the_exact_address_is_found_first() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        for username in ["ann", "ann.lee", "ann-mail-test"] {
            made(&world, &key, &json!({ "username": username })).await;
        }
        let found = world.get("/v0/inboxes/search?q=ann@mail.test", &key).await;
        assert_eq!(ids(&found)[0], "ann@mail.test", "{}", found.text);
        assert_eq!(ids(&found).len(), 3);
    }
}
