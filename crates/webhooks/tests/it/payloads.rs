//! The four payloads of mail, whole: what receivers parse must not change by accident.

use std::time::Duration;

use podmail_app::Caller;
use podmail_app::deliveries::{Answer, Attempt, Capacity};
use podmail_app::domains::CreateDomain;
use podmail_app::webhooks::CreateWebhook;
use podmail_dns::Mx;
use podmail_domain::thread::Direction;
use podmail_domain::{Clock as _, EventType, MessageId};
use podmail_store::{Announce, NewDelivery, NewMessage, Stored, StoredBytes};
use serde_json::{Value, json};

use crate::sink::{Post, Say, Sink};
use crate::{World, worlds};

/// The events by type, without their ids, which are checked here.
fn of_type(posts: &[Post], kind: &str) -> Vec<Value> {
    let events = posts.iter().map(Post::json).filter(|event| event["event_type"] == kind);
    events
        .map(|mut event| {
            let id = event.as_object_mut().unwrap().remove("event_id").unwrap();
            assert!(id.as_str().unwrap().starts_with("evt_"), "{id}");
            event
        })
        .collect()
}

/// Stores a send to these recipients; its thread.
async fn send(world: &World, recipients: &[&str]) -> String {
    let (raw, now) = ("Message-ID: <out@pm.test>\r\n\r\nx\r\n", world.clock.now());
    let all: Vec<String> = recipients.iter().map(|recipient| (*recipient).to_owned()).collect();
    let new = NewMessage {
        scope: world.desk.clone(),
        direction: Direction::Sent,
        announce: Announce::default(),
        key: None,
        message_id: MessageId::new("<out@pm.test>"),
        substitute: MessageId::new("<substitute@pm.test>"),
        aliases: Vec::new(),
        candidates: Vec::new(),
        thread: None,
        labels: vec!["sent".to_owned()],
        timestamp: now,
        created_at: now,
        size: raw.len() as u64,
        fingerprint: "out".to_owned(),
        sender: "desk@pm.test".to_owned(),
        to: all.clone(),
        cc: Vec::new(),
        bcc: Vec::new(),
        subject: None,
        preview: None,
        in_reply_to: None,
        references: Vec::new(),
        attachments: Vec::new(),
        extract_texts: false,
        bytes: StoredBytes::Inline(podmail_blob::compress(raw.as_bytes())),
        deliveries: all
            .into_iter()
            .map(|recipient| NewDelivery {
                recipient,
                destination: "x.test".to_owned(),
                expires_at: now.plus(world.app.settings().delivery_expire_after),
            })
            .collect(),
        draft: None,
        authentication: None,
        idempotency: None,
        original_id: None,
        headers: std::collections::BTreeMap::new(),
        quota_since: None,
    };
    match world.store.insert_messages(vec![new]).await.unwrap().as_slice() {
        [Stored::New { thread_id, .. }] => thread_id.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_received_mail_is_shown_whole_with_its_thread() {
    for world in worlds().await {
        let sink = Sink::new(&[Say::Status(200)]).await;
        world.webhook(&sink.url, &[EventType::MessageReceived]).await;
        world.mail("a", &[], "<p>Hello a</p>").await;
        let posts = sink.wait(1).await;
        let event = of_type(&posts, "message.received").remove(0);
        let organization = world.desk.organization().to_string();
        let (thread, size) = (event["thread"]["thread_id"].clone(), event["message"]["size"].clone());
        let (html, extracted) =
            (event["message"]["html"].clone(), event["message"]["extracted_html"].clone());
        assert_eq!((html.as_str().unwrap().trim(), extracted.as_str().unwrap().trim()), {
            ("<p>Hello a</p>", "<p>Hello a</p>")
        });
        let time = "2026-03-01T09:00:00.000Z";
        assert_eq!(
            event,
            json!({
                "type": "event",
                "event_type": "message.received",
                "message": {
                    "organization_id": organization, "pod_id": organization, "inbox_id": "desk@pm.test",
                    "thread_id": thread, "message_id": "<a@x.test>", "labels": ["received", "unread"],
                    "timestamp": time, "from": "Ada <ada@x.test>", "to": ["desk@pm.test"], "subject": "About a",
                    "preview": "Hello a", "text": event["message"]["text"], "html": html,
                    "extracted_text": "Hello a", "extracted_html": extracted, "size": size,
                    "updated_at": time, "created_at": time
                },
                "thread": {
                    "organization_id": organization, "pod_id": organization, "inbox_id": "desk@pm.test",
                    "thread_id": thread, "labels": ["received", "unread"], "timestamp": time,
                    "received_timestamp": time, "senders": ["Ada <ada@x.test>"], "recipients": ["desk@pm.test"],
                    "subject": "About a", "preview": "Hello a", "last_message_id": "<a@x.test>",
                    "message_count": 1, "size": size, "updated_at": time, "created_at": time
                }
            })
        );
    }
}

#[tokio::test]
async fn a_send_tells_that_it_left_and_what_became_of_each_recipient() {
    for world in worlds().await {
        let sink = Sink::new(&[Say::Status(200)]).await;
        let kinds = [EventType::MessageSent, EventType::MessageDelivered, EventType::MessageBounced];
        world.webhook(&sink.url, &kinds).await;
        let thread = send(&world, &["ok@x.test", "gone@x.test"]).await;
        let capacity = Capacity { free: 1, per_destination: 1, per_pod: 1, ..Capacity::default() };
        let claim = world.app.lease_deliveries(capacity).await.unwrap().remove(0);
        let answers = vec![
            (Answer::Accepted, "250 2.0.0 Ok".to_owned()),
            (Answer::Refused { enhanced: Some("5.1.1".to_owned()) }, "550 5.1.1 No such user".to_owned()),
        ];
        let attempt = Attempt { left: true, answers, ..Attempt::default() };
        world.app.delivery_result(&claim, &attempt).await.unwrap();
        let posts = sink.wait(3).await;
        for (kind, key, more) in [
            ("message.sent", "send", json!({ "recipients": ["ok@x.test", "gone@x.test"] })),
            ("message.delivered", "delivery", json!({ "recipients": ["ok@x.test"] })),
            (
                "message.bounced",
                "bounce",
                json!({ "type": "Permanent", "sub_type": "NoEmail",
                    "recipients": [{ "address": "gone@x.test", "status": "bounced" }] }),
            ),
        ] {
            let mut inner = json!({ "inbox_id": "desk@pm.test", "thread_id": thread,
                "message_id": "<out@pm.test>", "timestamp": "2026-03-01T09:00:00.000Z" });
            inner.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let want = json!({ "type": "event", "event_type": kind, key: inner });
            assert_eq!(of_type(&posts, kind), [want]);
        }
    }
}

#[tokio::test]
async fn a_verified_domain_is_told_to_the_organization_and_to_no_inbox() {
    for world in worlds().await {
        let (wide, narrow) = (Sink::new(&[Say::Status(200)]).await, Sink::new(&[Say::Status(200)]).await);
        let whole = world.store.organization_scope(world.desk.organization()).await.unwrap().unwrap();
        let owner = Caller { scope: whole.clone(), own: whole, ..world.caller() };
        let kinds = vec![EventType::DomainVerified];
        let webhook =
            CreateWebhook { url: wide.url.clone(), event_types: kinds.clone(), ..CreateWebhook::default() };
        world.app.create_webhook(&owner, webhook).await.unwrap();
        world.webhook(&narrow.url, &kinds).await;
        let create = CreateDomain {
            domain: world.app.new_domain_name("acme.example").unwrap(),
            feedback_enabled: None,
            inbound_enabled: None,
            subdomains_enabled: None,
            tracking_enabled: None,
            allow_conflicting_provider: false,
            client_id: None,
        };
        let domain = world.app.create_domain(&owner, create).await.unwrap();
        for record in &domain.records {
            let value = record.value.clone();
            match (record.kind, record.priority) {
                ("TXT", _) => world.dns.set_txt(&record.name, vec![value]),
                ("MX", Some(priority)) => world.dns.set_mx(&record.name, vec![Mx { priority, host: value }]),
                _ => world.dns.set_cname(&record.name, Some(&value)),
            }
        }
        world.clock.advance(Duration::from_secs(60));
        assert_eq!(world.app.check_domains_once().await.unwrap(), 1);
        let event = of_type(&wide.wait(1).await, "domain.verified").remove(0);
        assert_eq!(event["domain"]["status"], "VERIFIED");
        let shown = serde_json::to_value(world.app.domain(&owner, "acme.example").await.unwrap()).unwrap();
        assert_eq!(event, json!({ "type": "event", "event_type": "domain.verified", "domain": shown }));
        world.idle().await;
        assert_eq!((wide.posts().len(), narrow.posts().len()), (1, 0));
    }
}
