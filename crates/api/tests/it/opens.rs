//! Open tracking.

use http::Method;
use podmail_domain::{Clock, InboxId};
use podmail_store::{InboxCreated, InboxPlace, NewInbox, Scope};
use serde_json::{Value, json};

use crate::mailbox::{Mailbox, segment};
use crate::{Answer, World};

const OWN: &str = "news@acme.example";

async fn post(world: &World, key: &str, path: &str, body: &Value) -> Answer {
    world.call(&Method::POST, path, Some(key), &body.to_string()).await
}

/// A mailbox whose organization also has an inbox on a verified domain of its own.
async fn tracked(enabled: bool) -> (Mailbox, Scope) {
    let mailbox = Mailbox::new().await;
    let world = &mailbox.world;
    let body = json!({"domain": "acme.example", "tracking_enabled": enabled});
    let made = post(world, &mailbox.key, "/v0/domains", &body).await;
    assert_eq!(made.status, 200, "{}", made.text);
    world.app.operator_verify_domain("acme.example", true).await.unwrap();
    let inbox_id = InboxId::parse(OWN).unwrap();
    let new = NewInbox {
        scope: mailbox.organization.clone(),
        place: InboxPlace::At {
            inbox_id: inbox_id.clone(),
            governing_domain: Some("acme.example".to_owned()),
        },
        display_name: None,
        client_id: None,
        paused: false,
        metadata: None,
        now: world.clock.now(),
    };
    assert!(matches!(world.store.create_inbox(new).await.unwrap(), InboxCreated::Created(_)));
    let scope = world.store.inbox_scope(&mailbox.organization, &inbox_id).await.unwrap().unwrap();
    (mailbox, scope)
}

async fn send(mailbox: &Mailbox, body: &Value) -> Answer {
    post(&mailbox.world, &mailbox.key, &format!("/v0/inboxes/{OWN}/messages/send"), body).await
}

async fn message(mailbox: &Mailbox, id: &Value) -> Value {
    let path = format!("/v0/inboxes/{OWN}/messages/{}", segment(id.as_str().unwrap()));
    mailbox.world.get(&path, &mailbox.key).await.body
}

async fn fetch(mailbox: &Mailbox, path: &str) -> Answer {
    let answer = mailbox.world.call(&Method::GET, path, None, "").await;
    assert_eq!((answer.status, answer.headers["content-type"].as_bytes()), (200, &b"image/gif"[..]));
    assert!(answer.headers["cache-control"].to_str().unwrap().contains("no-store"));
    assert!(answer.text.starts_with("GIF89a"), "{}", answer.text);
    answer
}

// messages.md check 49
#[tokio::test]
async fn the_first_fetch_of_the_image_marks_the_message_as_opened() {
    let (mailbox, _) = tracked(true).await;
    let body = json!({"to": "a@x.test", "html": "<html><body><p>Hi</p></body></html>", "track_opens": true});
    let sent = send(&mailbox, &body).await;
    assert_eq!(sent.status, 200, "{}", sent.text);
    let id = &sent.body["message_id"];
    let html = message(&mailbox, id).await["html"].as_str().unwrap().to_owned();
    let start = "<img src=\"http://link.acme.example:8080/o/";
    let (_, rest) = html.split_once(start).unwrap_or_else(|| panic!("{html}"));
    assert!(html.ends_with("</body></html>"), "{html}");
    let token = rest.split('"').next().unwrap();
    let forged = format!("x{token}");
    for unknown in ["x", "x.gif", "a.b.gif", forged.as_str(), &token.replace(".gif", "A.gif")] {
        fetch(&mailbox, &format!("/o/{unknown}")).await;
    }
    assert!(message(&mailbox, id).await.get("opened_at").is_none());
    fetch(&mailbox, &format!("/o/{token}")).await;
    let opened = message(&mailbox, id).await;
    assert_eq!(opened["labels"], json!(["sent", "opened"]));
    assert_eq!(opened["opened_at"], "2026-03-01T09:00:00.000Z");
    mailbox.world.clock.advance(std::time::Duration::from_secs(60));
    fetch(&mailbox, &format!("/o/{token}")).await;
    assert_eq!(message(&mailbox, id).await, opened, "a second fetch changes nothing");
    assert_eq!(mailbox.world.call(&Method::GET, &format!("/downloads/{token}"), None, "").await.status, 403);
}

#[tokio::test]
async fn tracking_needs_a_domain_that_asks_for_it_and_html() {
    let (mailbox, _) = tracked(false).await;
    let html = json!({"to": "a@x.test", "html": "<p>Hi</p>", "track_opens": true});
    let refused = send(&mailbox, &html).await;
    assert_eq!((refused.status, refused.code()), (422, "unprocessable"), "{}", refused.text);
    let shared = mailbox.post("/messages/send", &html).await;
    assert_eq!(shared.status, 422, "the shared domain tracks nothing: {}", shared.text);
    let text = send(&mailbox, &json!({"to": "a@x.test", "text": "Hi", "track_opens": true})).await;
    assert_eq!(text.status, 200, "{}", text.text);
    let untracked = send(&mailbox, &json!({"to": "a@x.test", "html": "<p>Hi</p>"})).await;
    assert_eq!(message(&mailbox, &untracked.body["message_id"]).await["html"], "<p>Hi</p>");
}
