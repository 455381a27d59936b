//! Organizations, pods, keys and who one is, seen from outside (tenancy, "Checks").

use std::time::Duration;

use http::Method;
use podmail_app::organizations::{Limits, OrganizationChange};
use podmail_domain::{Clock as _, Permission, PodId};
use serde_json::{Value, json};

use crate::mailbox::{DESK, Mailbox, SPAM, segment};
use crate::{Answer, World};

impl World {
    async fn post_json(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.call(&Method::POST, path, Some(key), &body.to_string()).await
    }
    async fn patch_json(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.call(&Method::PATCH, path, Some(key), &body.to_string()).await
    }
    async fn remove(&self, path: &str, key: &str) -> Answer {
        self.call(&Method::DELETE, path, Some(key), "").await
    }
}

fn expect(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{}", answer.text);
}

fn ids(answer: &Answer, list: &str, id: &str) -> Vec<String> {
    let items = answer.body.get(list).and_then(Value::as_array).expect("a list");
    let id_of = |item: &Value| item.get(id).and_then(Value::as_str).expect("the member").to_owned();
    items.iter().map(id_of).collect()
}

// tenancy.md checks 1, 3
#[tokio::test]
async fn a_new_organization_has_one_pod_that_cannot_be_deleted() {
    for world in World::each(|_| {}).await {
        let (scope, key) = world.organization("one").await;
        let organization = scope.organization().to_string();
        let pods = world.get("/v0/pods", &key).await;
        assert_eq!(pods.status, 200);
        assert_eq!(
            pods.body,
            json!({ "count": 1, "pods": [{
                "pod_id": organization, "name": "Default Pod",
                "updated_at": "2026-03-01T09:00:00.000Z", "created_at": "2026-03-01T09:00:00.000Z",
            }]})
        );
        let answer = world.remove(&format!("/v0/pods/{organization}"), &key).await;
        expect(&answer, 409, "cannot_delete");

        let shown = world.get("/v0/organizations", &key).await;
        assert_eq!(
            shown.body,
            json!({
                "organization_id": organization, "inbox_count": 0, "domain_count": 0,
                "updated_at": "2026-03-01T09:00:00.000Z", "created_at": "2026-03-01T09:00:00.000Z",
            })
        );
        let change = OrganizationChange { inbox_limit: Some(Some(3)), ..OrganizationChange::default() };
        world.app.operator_set_organization("one", change).await.unwrap();
        assert_eq!(world.get("/v0/organizations", &key).await.body["inbox_limit"], 3);
    }
}

// conventions.md check 26
#[tokio::test]
async fn a_pod_is_found_by_its_client_id_and_made_once() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let first =
            world.post_json("/v0/pods", &key, &json!({ "name": " Tenant ", "client_id": "t-1" })).await;
        assert_eq!(
            (first.status, &first.body["name"], &first.body["client_id"]),
            (200, &json!("Tenant"), &json!("t-1"))
        );
        let again = world.post_json("/v0/pods", &key, &json!({ "name": "Other", "client_id": "t-1" })).await;
        assert_eq!(again.body, first.body);
        assert_eq!(world.get("/v0/pods/t-1", &key).await.body, first.body);
        assert_eq!(world.post_json("/v0/pods", &key, &json!({})).await.body["name"], "My Pod");

        let refused = world.post_json("/v0/pods", &key, &json!({ "name": "  ", "client_id": "a@b" })).await;
        expect(&refused, 400, "validation_error");
        let paths: Vec<&Value> =
            refused.body["errors"].as_array().unwrap().iter().map(|issue| &issue["path"]).collect();
        assert_eq!(paths, [&json!(["client_id"]), &json!(["name"])]);
        for name in ["x".repeat(257), "a\nb".to_owned()] {
            expect(
                &world.post_json("/v0/pods", &key, &json!({ "name": name })).await,
                400,
                "validation_error",
            );
        }

        assert_eq!(world.remove("/v0/pods/t-1", &key).await.status, 204);
        expect(&world.get("/v0/pods/t-1", &key).await, 404, "not_found");
        let fresh = world.post_json("/v0/pods", &key, &json!({ "client_id": "t-1" })).await;
        assert_ne!(fresh.body["pod_id"], first.body["pod_id"]);
    }
}

// tenancy.md check 4
#[tokio::test]
async fn a_pod_with_an_inbox_is_not_deleted_and_its_keys_end_with_it() {
    for world in World::each(|_| {}).await {
        let (scope, key) = world.organization("one").await;
        let pod = world.pod(&scope, "tenant").await;
        let (_, pod_key) = world.key(&pod, None, None).await;
        let inbox = world.inbox(&pod, "desk@mail.test").await;
        let path = format!("/v0/pods/{}", pod.pod().unwrap());
        let refused = world.remove(&path, &key).await;
        expect(&refused, 409, "cannot_delete");
        assert_eq!(refused.body["message"], "Cannot delete Pod: Cannot delete pod with existing inboxes");
        assert!(world.store.delete_inbox(&inbox, world.clock.now()).await.unwrap());
        assert_eq!(world.get("/v0/auth/me", &pod_key).await.status, 200);
        assert_eq!(world.remove(&path, &key).await.status, 204);
        expect(&world.get("/v0/auth/me", &pod_key).await, 401, "unknown_api_key");
    }
}

// tenancy.md checks 6, 7, 8, 9
#[tokio::test]
async fn a_key_says_who_it_is_at_every_level() {
    for world in World::each(|_| {}).await {
        let (scope, key) = world.organization("one").await;
        let pod = world.pod(&scope, "tenant").await;
        let inbox = world.inbox(&pod, "desk@mail.test").await;
        let (pod_key_id, pod_key) = world.key(&pod, Some("{}"), None).await;
        let (inbox_key_id, inbox_key) = world.key(&inbox, None, None).await;
        let (organization, pod_id) = (scope.organization().to_string(), pod.pod().unwrap().to_string());

        let me = world.get("/v0/auth/me", &key).await;
        assert_eq!(
            (&me.body["scope_type"], &me.body["scope_id"]),
            (&json!("organization"), &json!(organization))
        );
        assert!(me.body.get("pod_id").is_none() && me.body.get("inbox_id").is_none());
        assert_eq!(
            world.get("/v0/auth/me", &pod_key).await.body,
            json!({
                "scope_type": "pod", "scope_id": pod_id, "organization_id": organization,
                "pod_id": pod_id, "api_key_id": pod_key_id,
            })
        );
        assert_eq!(
            world.get("/v0/auth/me", &inbox_key).await.body,
            json!({
                "scope_type": "inbox", "scope_id": "desk@mail.test", "organization_id": organization,
                "pod_id": pod_id, "inbox_id": "desk@mail.test", "api_key_id": inbox_key_id,
            })
        );

        expect(&world.get(&format!("/v0/pods/{pod_id}"), &inbox_key).await, 403, "forbidden");
        let (_, pod_key) = world.key(&pod, None, None).await;
        assert_eq!(ids(&world.get("/v0/pods", &pod_key).await, "pods", "pod_id"), [pod_id]);
        let default = PodId::default_of(scope.organization());
        expect(&world.get(&format!("/v0/pods/{default}"), &pod_key).await, 404, "not_found");
        expect(&world.post_json("/v0/pods", &pod_key, &json!({})).await, 403, "missing_permission");
        let refused = world.get("/v0/organizations", &pod_key).await;
        expect(&refused, 403, "missing_permission");
        assert!(refused.body["fix"].as_str().unwrap().contains("organization_read"));
    }
}

// tenancy.md checks 10, 11, 26, 28, extras.md check 18
#[tokio::test]
async fn a_created_key_shows_its_secret_once_and_its_use_once_it_is_flushed() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        world.clock.advance(Duration::from_secs(1));
        let made = world.call(&Method::POST, "/v0/api-keys", Some(&key), "").await;
        assert_eq!((made.status, &made.body["name"]), (200, &json!("My API Key")));
        let secret = made.body["api_key"].as_str().unwrap().to_owned();
        assert!(secret.starts_with("am_us_") && secret.len() == 70, "{secret}");
        let prefix: String = secret.chars().take(12).collect();
        assert_eq!(made.body["prefix"], prefix);
        let id = made.body["api_key_id"].as_str().unwrap().to_owned();
        let path = format!("/v0/api-keys/{id}");

        let list = world.get("/v0/api-keys?limit=1", &key).await;
        assert!(
            list.body.get("limit").is_none() && list.body["next_page_token"].is_string(),
            "{}",
            list.text
        );
        assert_eq!(
            list.body["api_keys"],
            json!([{
                "type": "bearer", "api_key_id": id, "prefix": prefix, "name": "My API Key",
                "created_at": "2026-03-01T09:00:01.000Z", "updated_at": "2026-03-01T09:00:01.000Z",
            }])
        );
        assert!(!list.text.contains(&secret));
        let none = world.get("/v0/api-keys?type=public_key", &key).await;
        assert_eq!(none.body, json!({ "count": 0, "api_keys": [] }));
        expect(&world.get("/v0/api-keys?type=x", &key).await, 400, "validation_error");

        assert_eq!(world.get("/v0/auth/me", &secret).await.status, 200);
        world.app.flush_used_keys().await.unwrap();
        let shown = world.get(&path, &key).await;
        assert_eq!(shown.body["used_at"], "2026-03-01T09:00:01.000Z");
        assert_eq!(world.remove(&path, &secret).await.status, 204, "a key may delete itself");
        expect(&world.get("/v0/auth/me", &secret).await, 401, "unknown_api_key");
        expect(&world.remove(&path, &key).await, 404, "not_found");
    }
}

#[tokio::test]
async fn the_route_decides_the_level_of_a_key_and_what_a_list_shows() {
    for world in World::each(|_| {}).await {
        let (scope, key) = world.organization("one").await;
        let pod = world.pod(&scope, "tenant").await;
        world.inbox(&pod, "desk@mail.test").await;
        let pod_id = pod.pod().unwrap().to_string();
        let (of_pod, of_inbox) =
            (format!("/v0/pods/{pod_id}/api-keys"), "/v0/inboxes/desk@mail.test/api-keys");
        let (_, pod_key) = world.key(&pod, None, None).await;

        let a = world.post_json(&of_pod, &key, &json!({ "name": "a" })).await;
        assert_eq!((&a.body["pod_id"], a.body.get("inbox_id")), (&json!(pod_id), None));
        let b = world.post_json(of_inbox, &pod_key, &json!({ "name": "b" })).await;
        assert_eq!((&b.body["pod_id"], &b.body["inbox_id"]), (&json!(pod_id), &json!("desk@mail.test")));
        let c = world.post_json("/v0/api-keys", &pod_key, &json!({ "name": "c" })).await;
        assert_eq!(c.body["pod_id"], pod_id, "the caller's own level");
        let inbox_key = b.body["api_key"].as_str().unwrap();
        let d = world.post_json("/v0/api-keys", inbox_key, &json!({ "name": "d" })).await;
        assert_eq!(d.body["inbox_id"], "desk@mail.test");

        for (path, who, want) in [
            ("/v0/api-keys?ascending=true", key.as_str(), vec!["first", "k", "a", "b", "c", "d"]),
            ("/v0/api-keys?ascending=true", &pod_key, vec!["k", "a", "b", "c", "d"]),
            ("/v0/api-keys", inbox_key, vec!["d", "b"]),
            (&of_pod, &key, vec!["c", "a", "k"]),
            (of_inbox, &key, vec!["d", "b"]),
        ] {
            assert_eq!(ids(&world.get(path, who).await, "api_keys", "name"), want, "{path}");
        }
        let (a, b) = (a.body["api_key_id"].as_str().unwrap(), b.body["api_key_id"].as_str().unwrap());
        expect(&world.remove(&format!("{of_pod}/{b}"), &key).await, 404, "not_found");
        expect(&world.remove(&format!("{of_inbox}/{a}"), &key).await, 404, "not_found");
        expect(&world.get(&format!("{of_pod}/{a}"), &key).await, 404, "not_found");
        assert_eq!(
            world.patch_json(&format!("{of_inbox}/{b}"), &key, &json!({ "name": "B" })).await.body["name"],
            "B"
        );
        assert_eq!(world.remove(&format!("{of_pod}/{a}"), &key).await.status, 204);
    }
}

// tenancy.md checks 14, 15, 16, 17, 29, extras.md check 20
#[tokio::test]
async fn a_key_hands_out_and_takes_away_no_more_than_it_has() {
    for world in World::each(|_| {}).await {
        let (scope, key) = world.organization("one").await;
        let own = r#"{"api_key_create":true,"api_key_update":true,"api_key_delete":true,"message_read":true,"app_connect":true,"message_send":false}"#;
        let (own_id, weak) = world.key(&scope, Some(own), None).await;
        let (strong_id, _) = world.key(&scope, None, None).await;
        let (other_id, _) = world.key(&scope, Some(r#"{"message_send":true}"#), None).await;
        let create = async |who: &str, body: Value| world.post_json("/v0/api-keys", who, &body).await;

        let refused =
            create(&weak, json!({ "permissions": { "message_read": true, "message_send": true } })).await;
        expect(&refused, 403, "permission_escalation");
        assert!(refused.body["fix"].as_str().unwrap().contains("message_send"), "{}", refused.text);
        assert_eq!(
            create(&weak, json!({})).await.body["permissions"],
            json!({ "api_key_create": true, "api_key_update": true, "api_key_delete": true, "message_read": true }),
            "opt-in flags are not passed on unasked"
        );
        expect(&create(&weak, json!({ "permissions": null })).await, 403, "unrestricted_key_required");
        let child =
            create(&weak, json!({ "permissions": { "message_read": true, "message_send": false } })).await;
        assert_eq!(
            child.body["permissions"],
            json!({ "message_read": true, "message_send": false }),
            "as stored"
        );
        assert!(create(&key, json!({ "permissions": null })).await.body.get("permissions").is_none());
        let armed = create(&key, json!({ "permissions": { "agent_armor_release": true } })).await;
        assert_eq!(armed.status, 200, "{}", armed.text);

        let (own_path, strong) = (format!("/v0/api-keys/{own_id}"), format!("/v0/api-keys/{strong_id}"));
        let other = format!("/v0/api-keys/{other_id}");
        let less = json!({ "permissions": { "message_read": true } });
        expect(&world.patch_json(&strong, &weak, &less).await, 403, "unrestricted_key_required");
        assert_eq!(
            world.patch_json(&strong, &weak, &json!({ "name": "renamed" })).await.body["name"],
            "renamed"
        );
        expect(&world.patch_json(&other, &weak, &less).await, 403, "permission_escalation");
        expect(
            &world.patch_json(&own_path, &weak, &json!({ "permissions": null })).await,
            403,
            "unrestricted_key_required",
        );
        expect(&world.remove(&strong, &weak).await, 403, "permission_escalation");
        expect(&world.remove(&other, &weak).await, 403, "permission_escalation");
        let child = format!("/v0/api-keys/{}", child.body["api_key_id"].as_str().unwrap());
        assert_eq!(
            world.patch_json(&child, &weak, &json!({ "permissions": {} })).await.body["permissions"],
            json!({})
        );
        assert_eq!(world.remove(&child, &weak).await.status, 204);

        let freed = world.patch_json(&other, &key, &json!({ "permissions": null })).await;
        assert!(freed.status == 200 && freed.body.get("permissions").is_none(), "{}", freed.text);
        assert_eq!(world.remove(&strong, &key).await.status, 204);
    }
}

// tenancy.md checks 19, 20, extras.md check 19
#[tokio::test]
async fn bodies_of_keys_are_checked() {
    for world in World::each(|_| {}).await {
        let (scope, key) = world.organization("one").await;
        let (id, _) = world.key(&scope, None, None).await;
        let one = format!("/v0/api-keys/{id}");
        let create = "/v0/api-keys".to_owned();
        for (method, path, body, code, at) in [
            (
                Method::POST,
                &create,
                json!({ "permissions": { "provider_connect": true } }),
                "unrecognized_keys",
                json!(["permissions"]),
            ),
            (
                Method::POST,
                &create,
                json!({ "permissions": { "inbox_read": 1 } }),
                "invalid_type",
                json!(["permissions", "inbox_read"]),
            ),
            (Method::POST, &create, json!({ "permissions": [] }), "invalid_type", json!(["permissions"])),
            (
                Method::POST,
                &create,
                json!({ "expires_at": "2026-02-01T00:00:00Z" }),
                "custom",
                json!(["expires_at"]),
            ),
            (
                Method::POST,
                &create,
                json!({ "expires_at": "tomorrow" }),
                "invalid_format",
                json!(["expires_at"]),
            ),
            (Method::POST, &create, json!({ "public_key": "x" }), "invalid_type", json!(["public_key"])),
            (Method::POST, &create, json!({ "name": "" }), "too_small", json!(["name"])),
            (Method::PATCH, &one, json!({}), "custom", json!([])),
            (Method::PATCH, &one, json!({ "expires_at": "2027-02-01T00:00:00Z" }), "custom", json!([])),
            (Method::PATCH, &one, json!({ "name": null }), "invalid_type", json!(["name"])),
            (
                Method::PATCH,
                &one,
                json!({ "permissions": { "x": true } }),
                "unrecognized_keys",
                json!(["permissions"]),
            ),
        ] {
            let answer = world.call(&method, path, Some(&key), &body.to_string()).await;
            expect(&answer, 400, "validation_error");
            let issue = &answer.body["errors"][0];
            assert_eq!((&issue["code"], &issue["path"]), (&json!(code), &at), "{body}: {}", answer.text);
        }
        let absent = "/v0/api-keys/0192f3c1-0000-7c3d-9b0e-4a1f6d2c8b71";
        expect(&world.call(&Method::PATCH, absent, Some(&key), "{}").await, 404, "not_found");
        expect(&world.get("/v0/api-keys/nonsense", &key).await, 404, "not_found");
    }
}

// tenancy.md check 18, extras.md check 19
#[tokio::test]
async fn a_child_never_outlives_its_creator() {
    for world in World::each(|_| {}).await {
        let (scope, key) = world.organization("one").await;
        let tomorrow = world.clock.now().plus(Duration::from_secs(86_400));
        let (_, ending) = world.key(&scope, None, Some(tomorrow)).await;
        let create = async |who: &str, body: Value| world.post_json("/v0/api-keys", who, &body).await;
        expect(
            &create(&ending, json!({ "expires_at": "2026-03-08T09:00:00Z" })).await,
            403,
            "permission_escalation",
        );
        assert_eq!(create(&ending, json!({})).await.body["expires_at"], "2026-03-02T09:00:00.000Z");
        let sooner = create(&ending, json!({ "expires_at": "2026-03-01T12:00:00+02:00" })).await;
        assert_eq!(sooner.body["expires_at"], "2026-03-01T10:00:00.000Z");
        assert!(create(&key, json!({})).await.body.get("expires_at").is_none());
        let late = create(&key, json!({ "expires_at": "2030-01-01T00:00:00Z" })).await;
        assert_eq!(late.body["expires_at"], "2030-01-01T00:00:00.000Z");
    }
}

#[tokio::test]
async fn the_first_key_is_made_once_and_operators_make_further_ones() {
    for world in World::each(|_| {}).await {
        for bad in ["", "a b", "one.two.three", "é"] {
            assert!(world.app.bootstrap(Some(bad.to_owned())).await.is_err(), "{bad}");
        }
        let chosen = "chosen-bootstrap-key".to_owned();
        assert_eq!(world.app.bootstrap(Some(chosen.clone())).await.unwrap(), Some(chosen.clone()));
        assert_eq!(world.app.bootstrap(None).await.unwrap(), None);
        assert_eq!(world.get("/v0/auth/me", &chosen).await.status, 200);

        let (_, only) = world.app.operator_create_key(None, None, None, Some("extra")).await.unwrap();
        assert_eq!(only.name, "extra");
        assert_eq!(world.get("/v0/auth/me", &only.api_key).await.body["scope_type"], "organization");

        let limits = Limits { inbox_limit: Some(2), ..Limits::default() };
        let (acme, secret) = world.app.operator_create_organization("Acme", limits).await.unwrap();
        assert_eq!(world.get("/v0/organizations", &secret).await.body["inbox_limit"], 2);
        let several = world.app.operator_create_key(None, None, None, None).await.unwrap_err();
        assert!(several.to_string().contains(&acme.to_string()), "{several}");
        let (twin, _) = world.app.operator_create_organization("Acme", limits).await.unwrap();
        let ambiguous = world.app.operator_organization("Acme").await.unwrap_err().to_string();
        assert!(
            ambiguous.contains(&acme.to_string()) && ambiguous.contains(&twin.to_string()),
            "{ambiguous}"
        );
        assert_eq!(world.app.operator_organization(&acme.to_string()).await.unwrap().name, "Acme");
        assert!(world.app.operator_organization("acme").await.is_err());
        let names: Vec<String> =
            world.app.operator_organizations().await.unwrap().into_iter().map(|found| found.name).collect();
        assert_eq!(names, ["default", "Acme", "Acme"]);

        let scope = world.store.organization_scope(acme).await.unwrap().unwrap();
        let pod = world.pod(&scope, "tenant").await;
        world.inbox(&pod, "desk@mail.test").await;
        let acme = acme.to_string();
        let pod_id = pod.pod().unwrap().to_string();
        let (_, of_pod) =
            world.app.operator_create_key(Some(&acme), Some(&pod_id), None, None).await.unwrap();
        assert_eq!((of_pod.pod_id, of_pod.inbox_id.is_none()), (pod.pod(), true));
        let (_, of_inbox) =
            world.app.operator_create_key(Some(&acme), None, Some("Desk@mail.test"), None).await.unwrap();
        assert_eq!(of_inbox.inbox_id.unwrap().as_str(), "desk@mail.test");
        assert!(
            world.app.operator_create_key(Some("default"), None, Some("desk@mail.test"), None).await.is_err()
        );
    }
}

// tenancy.md checks 5, 6
#[tokio::test]
async fn a_pods_key_sees_what_lies_in_its_pod_and_cannot_tell_the_rest_from_nothing() {
    for world in World::each(|_| {}).await {
        let (scope, key) = world.organization("one").await;
        let (a, b) = (world.pod(&scope, "a").await, world.pod(&scope, "b").await);
        world.inbox(&a, "a@mail.test").await;
        world.inbox(&b, "b@mail.test").await;
        let (_, of_a) = world.key(&a, None, None).await;
        let [a, b] = [a, b].map(|pod| pod.pod().unwrap().to_string());
        assert_eq!(ids(&world.get("/v0/inboxes", &of_a).await, "inboxes", "inbox_id"), ["a@mail.test"]);
        assert_eq!(ids(&world.get("/v0/pods", &of_a).await, "pods", "pod_id"), [a.as_str()]);
        let absent = "0192f3c1-0000-7c3d-9b0e-4a1f6d2c8b71";
        for (path, nothing) in [
            ("/v0/inboxes/b@mail.test".to_owned(), "/v0/inboxes/z@mail.test".to_owned()),
            (format!("/v0/pods/{a}/inboxes/b@mail.test"), format!("/v0/pods/{a}/inboxes/z@mail.test")),
            (format!("/v0/pods/{b}/inboxes/b@mail.test"), format!("/v0/pods/{absent}/inboxes/z@mail.test")),
            (format!("/v0/pods/{b}"), format!("/v0/pods/{absent}")),
        ] {
            let hidden = world.get(&path, &of_a).await;
            expect(&hidden, 404, "not_found");
            assert_eq!(hidden.text, world.get(&nothing, &of_a).await.text, "{path}");
        }
        assert_eq!(world.get("/v0/inboxes/b@mail.test", &key).await.status, 200);
    }
}

// tenancy.md checks 12, 21, 24, 25
#[tokio::test]
async fn a_refusal_names_the_flag_that_the_key_lacks() {
    for desk in Mailbox::each().await {
        let world = &desk.world;
        desk.mail("Message-ID: <a@x.test>\nSubject: s", "See you").await;
        let inbox = format!("/v0/inboxes/{DESK}");
        let source = format!("{inbox}/messages/{}", segment("<a@x.test>"));
        let (send, to) = (format!("{inbox}/messages/send"), json!({ "to": "b@x.test", "text": "Hi" }));
        let (forward, reply) = (format!("{source}/forward"), format!("{source}/reply"));
        let draft = json!({ "to": ["b@x.test"], "send_at": "2030-01-01T00:00:00Z" });
        for (flags, path, body, missing) in [
            (r#"{"inbox_read":true}"#, &send, &to, Some("message_send")),
            (r#"{"message_send":false}"#, &send, &to, Some("message_send")),
            (r#"{"message_send":true}"#, &send, &to, None),
            (r#"{"message_send":true}"#, &reply, &json!({ "text": "Hi" }), None),
            (r#"{"message_send":true}"#, &forward, &to, Some("message_read")),
            (r#"{"message_read":true}"#, &forward, &to, Some("message_send")),
            (r#"{"message_send":true,"message_read":true}"#, &forward, &to, None),
            (r#"{"draft_create":true}"#, &format!("{inbox}/drafts"), &draft, Some("draft_send")),
            (r#"{"draft_create":true}"#, &format!("{inbox}/drafts"), &json!({}), None),
        ] {
            let (_, key) = world.key(&desk.organization, Some(flags), None).await;
            let answer = world.post_json(path, &key, body).await;
            match missing {
                None => assert_eq!(answer.status, 200, "{flags} {path}: {}", answer.text),
                Some(flag) => {
                    expect(&answer, 403, "missing_permission");
                    assert_eq!(answer.body["message"], "Forbidden", "{path}");
                    assert!(answer.body["fix"].as_str().unwrap().contains(flag), "{}", answer.text);
                }
            }
        }
        let inbox = world.inbox(&desk.organization, "own@mail.test").await;
        let (_, key) = world.key(&inbox, Some(r#"{"inbox_create":true}"#), None).await;
        expect(&world.post_json("/v0/inboxes", &key, &json!({})).await, 403, "missing_permission");
    }
}

// tenancy.md checks 22, 23, 30
#[tokio::test]
async fn restricted_labels_hide_a_message_from_a_key_without_their_flag() {
    for desk in Mailbox::each().await {
        let world = &desk.world;
        desk.mail("Message-ID: <a@x.test>", "x").await;
        desk.mail("Message-ID: <s@x.test>", SPAM).await;
        let list = format!("/v0/inboxes/{DESK}/messages");
        let one = |id: &str| format!("{list}/{}", segment(id));
        let (_, blind) =
            world.key(&desk.organization, Some(r#"{"message_read":true,"message_update":true}"#), None).await;
        let listed = async |query: &str, key: &str| {
            let answer = world.get(&format!("{list}{query}"), key).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            ids(&answer, "messages", "message_id").len()
        };
        assert_eq!((listed("", &desk.key).await, listed("?include_spam=true", &desk.key).await), (1, 2));
        assert_eq!(listed("?include_spam=true", &blind).await, 1);
        assert_eq!(world.get(&one("<s@x.test>"), &desk.key).await.status, 200);
        let hidden = world.get(&one("<s@x.test>"), &blind).await;
        expect(&hidden, 404, "not_found");
        assert_eq!(hidden.text, world.get(&one("<none@x.test>"), &blind).await.text);

        let trash = json!({ "add_labels": ["trash"] });
        assert_eq!(world.patch_json(&one("<a@x.test>"), &blind, &trash).await.status, 200);
        expect(&world.get(&one("<a@x.test>"), &blind).await, 404, "not_found");
        let back = json!({ "remove_labels": ["trash"] });
        expect(&world.patch_json(&one("<a@x.test>"), &blind, &back).await, 404, "not_found");
        assert_eq!(world.get(&one("<a@x.test>"), &desk.key).await.body["labels"][2], "trash");
    }
}

// extras.md check 23
#[tokio::test]
async fn an_unrestricted_child_holds_every_flag_but_those_to_be_asked_for() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let child = world.post_json("/v0/api-keys", &key, &json!({})).await.body;
        assert!(child.get("permissions").is_none(), "{child}");
        let caller = world.app.authenticate(child["api_key"].as_str().unwrap()).await.unwrap();
        let lacking: Vec<&str> = Permission::ALL
            .iter()
            .filter(|flag| !caller.permissions.allows(**flag))
            .map(|flag| flag.as_str())
            .collect();
        assert_eq!(lacking, ["agent_armor_release", "app_connect", "app_share_owner"]);
    }
}

#[tokio::test]
async fn a_refusal_names_the_key_that_would_do() {
    for world in World::each(|_| {}).await {
        let (organization, key) = world.organization("acme").await;
        let pod = world.pod(&organization, "tenant").await;
        let inbox = world.inbox(&pod, "desk@mail.test").await;
        let (_, pod_key) = world.key(&pod, None, None).await;
        let (_, inbox_key) = world.key(&inbox, None, None).await;
        let fix = |answer: &Answer, code: &str| {
            expect(answer, 403, code);
            answer.body["fix"].as_str().unwrap().to_owned()
        };
        // No flag helps a key whose scope is too narrow.
        let refused = world.post_json("/v0/inboxes", &inbox_key, &json!({})).await;
        assert_eq!(
            fix(&refused, "missing_permission"),
            "\"inbox_create\" lies beyond the scope of this key, whatever its permissions: use a key of the pod or of \
             the organization."
        );
        for refused in [
            world.post_json("/v0/pods", &pod_key, &json!({})).await,
            world.get("/v0/organizations", &pod_key).await,
            world.get("/v0/organizations", &inbox_key).await,
        ] {
            let fix = fix(&refused, "missing_permission");
            assert!(fix.ends_with("use a key of the organization."), "{fix}");
        }
        // Deleting a stronger key grants nothing.
        let flags = r#"{"api_key_delete":true,"inbox_read":true}"#;
        let (_, weak) = world.key(&organization, Some(flags), None).await;
        let (unrestricted, _) = world.key(&organization, None, None).await;
        let refused = world.remove(&format!("/v0/api-keys/{unrestricted}"), &weak).await;
        assert_eq!(
            fix(&refused, "permission_escalation"),
            "That key is unrestricted: use an unrestricted key."
        );
        let (stronger, _) =
            world.key(&organization, Some(r#"{"inbox_read":true,"message_send":true}"#), None).await;
        let refused = world.remove(&format!("/v0/api-keys/{stronger}"), &weak).await;
        let fix = fix(&refused, "permission_escalation");
        assert!(fix.contains("lacks (message_send): use a key that has them"), "{fix}");
        assert_eq!(world.remove(&format!("/v0/api-keys/{stronger}"), &key).await.status, 204);
    }
}
