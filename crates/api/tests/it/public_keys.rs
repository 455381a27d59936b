//! Registered public keys over HTTP, on both engines.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::{Answer, World};

/// The key of RFC 7515, appendix A.3, and its thumbprint.
const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
const THUMBPRINT: &str = "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U";

fn jwk() -> Value {
    json!({ "kty": "EC", "crv": "P-256", "x": X, "y": Y })
}

/// Another key: the curve's base point.
fn other_jwk() -> Value {
    json!({
        "kty": "EC", "crv": "P-256",
        "x": "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY", "y": "T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU"
    })
}

async fn call(world: &World, method: Method, path: &str, key: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    world.call(&method, path, Some(key), &body).await
}

async fn register(world: &World, path: &str, key: &str, body: &Value) -> Answer {
    call(world, Method::POST, path, key, body).await
}

fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code()), (status, code), "{}", answer.text);
}

// extras.md checks 21, 22
#[tokio::test]
async fn a_public_key_is_registered_once_under_its_alias() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let me = world.get("/v0/auth/me", &key).await.body["api_key_id"].clone();
        let body =
            json!({ "public_key": jwk(), "client_id": "agent-1", "permissions": { "message_read": true } });
        let made = register(&world, "/v0/api-keys", &key, &body).await;
        assert_eq!(made.status, 200, "{}", made.text);
        let id = made.body["api_key_id"].as_str().unwrap().to_owned();
        assert_eq!(
            made.body,
            json!({
                "type": "public_key", "api_key_id": id, "client_id": "agent-1", "name": "AgentID key oKIywvGU",
                "public_key": { "jwk": jwk(), "fingerprint": THUMBPRINT }, "permissions": { "message_read": true },
                "created_by": { "api_key_id": me },
                "created_at": "2026-03-01T09:00:00.000Z", "updated_at": "2026-03-01T09:00:00.000Z",
            })
        );
        // Once more is no second key, another key under the alias is refused.
        world.clock.advance(Duration::from_secs(1));
        let again = json!({ "public_key": jwk(), "client_id": "agent-1", "name": "other" });
        assert_eq!(register(&world, "/v0/api-keys", &key, &again).await.body, made.body);
        let clash = json!({ "public_key": other_jwk(), "client_id": "agent-1" });
        refused(&register(&world, "/v0/api-keys", &key, &clash).await, 409, "conflict");

        let types = async |query: &str| -> Vec<Value> {
            let list = world.get(&format!("/v0/api-keys{query}"), &key).await;
            assert_eq!(list.status, 200, "{}", list.text);
            list.body["api_keys"].as_array().unwrap().iter().map(|key| key["type"].clone()).collect()
        };
        assert_eq!(types("?ascending=true").await, [json!("bearer"), json!("public_key")]);
        assert_eq!(types("?type=public_key").await, [json!("public_key")]);
        assert_eq!(types("?type=bearer").await, [json!("bearer")]);

        // The alias stands for the id.
        for path in [format!("/v0/api-keys/{id}"), "/v0/api-keys/agent-1".to_owned()] {
            assert_eq!(world.get(&path, &key).await.body, made.body, "{path}");
        }
        let named = json!({ "name": "Agent" });
        let renamed = call(&world, Method::PATCH, "/v0/api-keys/agent-1", &key, &named).await;
        assert_eq!((&renamed.body["name"], &renamed.body["type"]), (&json!("Agent"), &json!("public_key")));
        let lifted = json!({ "permissions": null });
        let lifted = call(&world, Method::PATCH, "/v0/api-keys/agent-1", &key, &lifted).await;
        assert_eq!(lifted.body["permissions"]["inbox_create"], true, "what it may do is always shown");
        assert!(lifted.body["permissions"].get("app_connect").is_none(), "{}", lifted.text);

        // Deleted, the alias is free.
        assert_eq!(
            call(&world, Method::DELETE, "/v0/api-keys/agent-1", &key, &Value::Null).await.status,
            204
        );
        refused(&world.get("/v0/api-keys/agent-1", &key).await, 404, "not_found");
        let free = register(&world, "/v0/api-keys", &key, &clash).await;
        assert_eq!((free.status, &free.body["client_id"]), (200, &json!("agent-1")));
        assert_eq!(
            free.body["permissions"]["message_send"], true,
            "an unrestricted caller passes on what it holds"
        );
    }
}

// extras.md check 21
#[tokio::test]
async fn a_public_key_that_is_none_is_refused_with_every_violation() {
    for world in World::each(|_| {}).await {
        let (scope, key) = world.organization("one").await;
        let pod = world.pod(&scope, "tenant").await.pod().unwrap().to_string();
        let with = |member: &str, value: Value| {
            let mut jwk = jwk();
            jwk[member] = value;
            jwk
        };
        let at = |member: &str| json!(["public_key", member]);
        for (body, want) in [
            (json!({ "public_key": with("d", json!("secret")) }), vec![json!(["public_key"])]),
            (json!({ "public_key": with("x", json!("short")) }), vec![at("x")]),
            (json!({ "public_key": with("x", json!(Y)) }), vec![json!(["public_key"])]),
            (json!({ "public_key": with("crv", json!("P-384")) }), vec![at("crv")]),
            (json!({ "public_key": "x" }), vec![json!(["public_key"])]),
            (
                json!({ "public_key": {}, "client_id": "a@b", "name": "" }),
                vec![at("kty"), at("crv"), at("x"), at("y"), json!(["client_id"]), json!(["name"])],
            ),
        ] {
            let answer = register(&world, "/v0/api-keys", &key, &body).await;
            refused(&answer, 400, "validation_error");
            let issues = answer.body["errors"].as_array().unwrap();
            let paths: Vec<Value> = issues.iter().map(|issue| issue["path"].clone()).collect();
            assert_eq!(paths, want, "{body}: {}", answer.text);
        }
        let private =
            register(&world, "/v0/api-keys", &key, &json!({ "public_key": with("d", json!("s")) })).await;
        assert_eq!(private.body["errors"][0]["keys"], json!(["d"]));
        // Below a pod only secrets are made.
        let path = format!("/v0/pods/{pod}/api-keys");
        let below = register(&world, &path, &key, &json!({ "public_key": jwk() })).await;
        refused(&below, 400, "validation_error");
        assert_eq!(world.get(&path, &key).await.body["count"], 0);
        // Null is as good as absent.
        let bearer = register(&world, "/v0/api-keys", &key, &json!({ "public_key": null })).await;
        assert!(bearer.body["api_key"].is_string(), "{}", bearer.text);
    }
}

#[tokio::test]
async fn a_public_key_has_no_more_than_the_key_that_registers_it_and_lies_where_the_path_says() {
    for world in World::each(|_| {}).await {
        let (scope, key) = world.organization("one").await;
        let (_, foreign) = world.organization("two").await;
        let inbox = world.inbox(&scope, "desk@mail.test").await;
        let tomorrow = world.app.now().plus(Duration::from_secs(86_400));
        let (_, weak) = world
            .key(
                &scope,
                Some(r#"{"api_key_create":true,"api_key_read":true,"message_read":true}"#),
                Some(tomorrow),
            )
            .await;
        let more = json!({ "public_key": jwk(), "permissions": { "message_send": true } });
        refused(&register(&world, "/v0/api-keys", &weak, &more).await, 403, "permission_escalation");
        let none = json!({ "public_key": jwk(), "permissions": null });
        refused(&register(&world, "/v0/api-keys", &weak, &none).await, 403, "unrestricted_key_required");
        let late = json!({ "public_key": jwk(), "expires_at": "2026-03-08T09:00:00Z" });
        refused(&register(&world, "/v0/api-keys", &weak, &late).await, 403, "permission_escalation");
        let child = register(&world, "/v0/api-keys", &weak, &json!({ "public_key": jwk() })).await.body;
        assert_eq!(
            (&child["permissions"], &child["expires_at"]),
            (
                &json!({ "api_key_create": true, "api_key_read": true, "message_read": true }),
                &json!("2026-03-02T09:00:00.000Z")
            )
        );

        let below = "/v0/inboxes/desk@mail.test/api-keys";
        let body = json!({ "public_key": jwk(), "client_id": "desk" });
        let of_inbox = register(&world, below, &key, &body).await;
        assert_eq!(
            (of_inbox.status, &of_inbox.body["inbox_id"]),
            (200, &json!("desk@mail.test")),
            "{}",
            of_inbox.text
        );
        let listed = world.get(below, &key).await;
        assert_eq!(listed.body["api_keys"][0]["client_id"], "desk");
        // The organization's key covers it, a path that promises another place does not.
        assert_eq!(register(&world, "/v0/api-keys", &key, &body).await.body, of_inbox.body);
        world.inbox(&scope, "shop@mail.test").await;
        let elsewhere = register(&world, "/v0/inboxes/shop@mail.test/api-keys", &key, &body).await;
        refused(&elsewhere, 403, "already_exists");
        // The alias is one of the organization, and another organization has its own.
        refused(&world.get("/v0/api-keys/desk", &foreign).await, 404, "not_found");
        assert_eq!(register(&world, "/v0/api-keys", &foreign, &body).await.status, 200);
        // It goes with its inbox, and its alias is free then.
        assert!(world.store.delete_inbox(&inbox, world.app.now()).await.unwrap());
        refused(&world.get("/v0/api-keys/desk", &key).await, 404, "not_found");
        let free = register(&world, "/v0/api-keys", &key, &body).await;
        assert_eq!((free.status, free.body.get("inbox_id")), (200, None));
    }
}

#[tokio::test]
async fn twenty_registrations_at_once_make_one_public_key() {
    for world in World::each(|_| {}).await {
        let (_, key) = world.organization("one").await;
        let body = json!({ "public_key": jwk(), "client_id": "agent" });
        let all = (0..20).map(|_| register(&world, "/v0/api-keys", &key, &body));
        let answers = futures_util::future::join_all(all).await;
        assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body));
        assert_eq!(world.get("/v0/api-keys?type=public_key", &key).await.body["count"], 1);
    }
}
