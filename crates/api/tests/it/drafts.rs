//! Drafts over HTTP, on both engines. Numbers name the checks of the specification.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::Answer;
use crate::mailbox::{DESK, Mailbox, paths, segment};

async fn create(desk: &Mailbox, body: &Value) -> Value {
    let answer = desk.post("/drafts", body).await;
    assert_eq!(answer.status, 200, "{body}: {}", answer.text);
    answer.body
}

fn id(draft: &Value) -> &str {
    draft["draft_id"].as_str().unwrap()
}

fn path(draft: &Value) -> String {
    format!("/drafts/{}", id(draft))
}

async fn draft_send(desk: &Mailbox, draft: &Value, body: &Value) -> Answer {
    desk.post(&format!("{}/send", path(draft)), body).await
}

async fn keyed_send(desk: &Mailbox, draft: &Value, key: &str) -> Answer {
    let request = Request::post(format!("/v0/inboxes/{DESK}{}/send", path(draft)))
        .header("authorization", format!("Bearer {}", desk.key))
        .header("idempotency-key", key)
        .body(Full::from("{}".to_owned()))
        .unwrap();
    desk.world.send(request).await
}

async fn edit(desk: &Mailbox, draft: &Value, body: &Value) -> Value {
    let answer = desk.patch(&path(draft), body).await;
    assert_eq!(answer.status, 200, "{body}: {}", answer.text);
    answer.body
}

async fn status(desk: &Mailbox, draft: &Value) -> u16 {
    desk.call(Method::GET, &path(draft), &Value::Null).await.status
}

fn later(desk: &Mailbox, after: Duration) -> Value {
    json!(desk.world.app.now().plus(after).to_string())
}

/// A received message with an attachment, and its id.
async fn received(desk: &Mailbox) -> String {
    let header = "Message-ID: <in@x.test>\nSubject: Plan\nCc: Cid <cid@x.test>\nMIME-Version: 1.0\n\
        Content-Type: multipart/mixed; boundary=b";
    let body = "--b\nContent-Type: text/plain\n\nShall we?\n--b\nContent-Type: text/csv\n\
        Content-Disposition: attachment; filename=a.csv\n\n1,2\n--b--";
    desk.mail(header, body).await;
    "<in@x.test>".to_owned()
}

#[tokio::test]
async fn an_empty_draft_is_legal_and_a_list_shows_less_than_a_get() {
    for desk in Mailbox::each().await {
        // drafts.md check 1
        let empty = create(&desk, &json!({})).await;
        assert_eq!(empty["labels"], json!(["draft"]));
        for name in ["to", "subject", "send_status", "send_at", "preview", "attachments", "text"] {
            assert!(empty.get(name).is_none(), "{name}: {empty}");
        }
        // drafts.md check 2
        let body = json!({
            "to": ["Bob <bob@x.test>"], "subject": "Hi", "text": "Hello", "html": "<p>Hello</p>",
            "reply_to": "me@x.test", "client_id": "d", "labels": ["Mine"]
        });
        let full = create(&desk, &body).await;
        for (name, want) in [
            ("to", json!(["Bob <bob@x.test>"])),
            ("text", json!("Hello")),
            ("html", json!("<p>Hello</p>")),
            ("preview", json!("Hello")),
            ("reply_to", json!(["me@x.test"])),
            ("client_id", json!("d")),
            ("labels", json!(["draft", "mine"])),
            ("inbox_id", json!(DESK)),
        ] {
            assert_eq!(full[name], want, "{name}");
        }
        assert_eq!(desk.get(&path(&full)).await, full);
        let list = desk.get("/drafts?limit=1").await;
        assert_eq!((&list["count"], &list["limit"]), (&json!(1), &json!(1)));
        let item = &list["drafts"][0];
        assert_eq!(item["draft_id"], full["draft_id"], "newest first");
        for name in ["text", "html", "reply_to", "client_id", "created_at", "references"] {
            assert!(item.get(name).is_none(), "{name}");
        }
        for name in ["to", "subject", "preview", "labels", "updated_at", "organization_id", "pod_id"] {
            assert_eq!(item[name], full[name], "{name}");
        }
        let token = list["next_page_token"].as_str().unwrap();
        let rest = desk.get(&format!("/drafts?limit=1&page_token={token}")).await;
        assert_eq!(rest["drafts"][0]["draft_id"], empty["draft_id"]);
        assert!(rest.get("next_page_token").is_none());
        // drafts.md check 23: d1 edited last comes first
        desk.world.clock.advance(Duration::from_secs(1));
        edit(&desk, &empty, &json!({ "subject": "now" })).await;
        assert_eq!(desk.get("/drafts").await["drafts"][0]["draft_id"], empty["draft_id"]);
        let ascending = desk.get("/drafts?ascending=true").await;
        assert_eq!(ascending["drafts"][0]["draft_id"], full["draft_id"]);
        assert_eq!(desk.get("/drafts?labels=mine").await["count"], 1);
        assert_eq!(desk.get("/drafts?labels=draft").await["count"], 2);
    }
}

#[tokio::test]
async fn a_reply_draft_derives_its_members_and_is_quoted_when_it_is_sent() {
    for desk in Mailbox::each().await {
        let source = received(&desk).await;
        // drafts.md check 3
        let draft = create(&desk, &json!({ "in_reply_to": source, "text": "Yes." })).await;
        assert_eq!(draft["to"], json!(["Ada <ada@x.test>"]));
        assert_eq!(draft["subject"], "Re: Plan");
        assert_eq!(draft["in_reply_to"], source);
        assert_eq!(draft["references"].as_array().unwrap().last().unwrap(), &json!(source));
        assert_eq!(draft["text"], "Yes.");
        let thread = desk.message(&source).await["thread_id"].clone();
        assert_eq!(draft["thread_id"], thread);
        // drafts.md check 4
        let sent = draft_send(&desk, &draft, &json!({})).await;
        assert_eq!((sent.status, &sent.body["thread_id"]), (200, &thread), "{}", sent.text);
        let message = desk.message(sent.body["message_id"].as_str().unwrap()).await;
        assert_eq!((&message["in_reply_to"], &message["labels"]), (&json!(source), &json!(["sent"])));
        let text = message["text"].as_str().unwrap();
        assert!(
            text.starts_with("Yes.") && text.contains("wrote:") && text.contains("> Shall we?"),
            "{text}"
        );
        assert_eq!(message["extracted_text"], "Yes.");
        assert_eq!(status(&desk, &draft).await, 404);
        // drafts.md check 5
        let all = create(&desk, &json!({ "in_reply_to": source, "reply_all": true, "text": "All." })).await;
        assert_eq!((&all["to"], &all["cc"]), (&json!(["Ada <ada@x.test>"]), &json!(["Cid <cid@x.test>"])));
        let refused = desk
            .post("/drafts", &json!({ "in_reply_to": source, "reply_all": true, "cc": ["z@x.test"] }))
            .await;
        assert_eq!(paths(&refused), json!([["reply_all"]]));
        // what a reviewer takes out of it stays out
        edit(&desk, &all, &json!({ "cc": null })).await;
        let sent = draft_send(&desk, &all, &json!({})).await;
        let message = desk.message(sent.body["message_id"].as_str().unwrap()).await;
        assert!(message.get("cc").is_none(), "{message}");
        // drafts.md check 6
        let other =
            create(&desk, &json!({ "in_reply_to": source, "to": ["z@x.test"], "subject": "New" })).await;
        assert_eq!((&other["to"], &other["subject"]), (&json!(["z@x.test"]), &json!("New")));
        let sent = draft_send(&desk, &other, &json!({})).await;
        let message = desk.message(sent.body["message_id"].as_str().unwrap()).await;
        assert_eq!((&message["to"], &message["subject"]), (&json!(["z@x.test"]), &json!("New")));
        // The source goes: the answer still finds its conversation.
        let orphan = create(&desk, &json!({ "in_reply_to": source, "text": "Late." })).await;
        let forward = create(&desk, &json!({ "forward_of": source, "to": "z@x.test" })).await;
        desk.call(Method::DELETE, &format!("/messages/{}", segment(&source)), &Value::Null).await;
        let sent = draft_send(&desk, &orphan, &json!({})).await;
        assert_eq!((sent.status, &sent.body["thread_id"]), (200, &thread), "{}", sent.text);
        let message = desk.message(sent.body["message_id"].as_str().unwrap()).await;
        assert_eq!((&message["text"], &message["in_reply_to"]), (&json!("Late."), &json!(source)));
        assert_eq!(message["references"], orphan["references"]);
        let refused = draft_send(&desk, &forward, &json!({})).await;
        assert_eq!((refused.status, refused.code()), (422, "unprocessable"), "{}", refused.text);
        assert_eq!(status(&desk, &forward).await, 200);
    }
}

#[tokio::test]
async fn a_forward_draft_brings_body_and_attachments_when_it_is_sent() {
    for desk in Mailbox::each().await {
        let source = received(&desk).await;
        // drafts.md check 7
        let draft = create(&desk, &json!({ "forward_of": source, "text": "See below" })).await;
        assert_eq!((&draft["subject"], &draft["forward_of"]), (&json!("Fwd: Plan"), &json!(source)));
        assert!(draft.get("to").is_none() && draft.get("attachments").is_none());
        let refused = draft_send(&desk, &draft, &json!({})).await;
        assert_eq!((refused.status, refused.code()), (422, "unprocessable"));
        edit(&desk, &draft, &json!({ "to": ["z@x.test"] })).await;
        let sent = draft_send(&desk, &draft, &json!({})).await;
        assert_eq!(sent.status, 200, "{}", sent.text);
        let message = desk.message(sent.body["message_id"].as_str().unwrap()).await;
        assert_eq!(message["attachments"][0]["filename"], "a.csv");
        let text = message["text"].as_str().unwrap();
        assert!(text.starts_with("See below") && text.contains("Shall we?"), "{text}");
        assert_eq!(message["thread_id"], desk.message(&source).await["thread_id"]);
    }
}

#[tokio::test]
async fn contradictions_and_bad_fields_are_named() {
    for desk in Mailbox::each().await {
        let source = received(&desk).await;
        for (body, want) in [
            // drafts.md check 8
            (json!({ "in_reply_to": source, "forward_of": source }), json!([["forward_of"]])),
            (json!({ "reply_all": true }), json!([["reply_all"]])),
            // drafts.md check 21
            (json!({ "labels": ["sent"] }), json!([["labels", 0]])),
            (json!({ "to": ["nope", "b@x.test"], "cc": "nope" }), json!([["to", 0], ["cc"]])),
            (json!({ "client_id": "a@b" }), json!([["client_id"]])),
            (json!({ "send_at": "2030-01-01T00:00:00" }), json!([["send_at"]])),
            // drafts.md check 13
            (json!({ "send_at": "2026-03-01T08:59:00Z" }), json!([["send_at"]])),
            (
                json!({ "attachments": [{ "content": "not base64!" }] }),
                json!([["attachments", 0, "content"]]),
            ),
        ] {
            assert_eq!(paths(&desk.post("/drafts", &body).await), want, "{body}");
        }
        let many: Vec<String> = (0..51).map(|n| format!("r{n}@x.test")).collect();
        assert_eq!(paths(&desk.post("/drafts", &json!({ "to": many })).await), json!([["to"]]));
        let absent = desk.post("/drafts", &json!({ "in_reply_to": "<absent@x.test>" })).await;
        assert_eq!((absent.status, &absent.body["message"]), (404, &json!("Message not found")));
        let draft = create(&desk, &json!({})).await;
        assert_eq!(paths(&desk.patch(&path(&draft), &json!({})).await), json!([[]]));
        assert_eq!(paths(&desk.patch(&path(&draft), &json!({ "to": many })).await), json!([["to"]]));
    }
}

#[tokio::test]
async fn a_draft_asks_for_the_flags_of_what_it_does() {
    for desk in Mailbox::each().await {
        let source = received(&desk).await;
        let flags = r#"{"draft_create":true,"draft_update":true,"draft_read":true}"#;
        let (_, key) = desk.world.key(&desk.organization, Some(flags), None).await;
        let path = format!("/v0/inboxes/{DESK}/drafts");
        let call =
            async |body: Value| desk.world.call(&Method::POST, &path, Some(&key), &body.to_string()).await;
        assert_eq!(call(json!({})).await.status, 200);
        // drafts.md check 9, tenancy.md check 24
        for (body, flag) in [
            (json!({ "in_reply_to": source }), "message_read"),
            (json!({ "forward_of": source }), "message_read"),
            (json!({ "send_at": "2030-01-01T00:00:00Z" }), "draft_send"),
        ] {
            let refused = call(body).await;
            assert_eq!((refused.status, refused.code()), (403, "missing_permission"));
            assert!(refused.body["fix"].as_str().unwrap().contains(flag), "{}", refused.text);
        }
        // Who may not read the source may not turn its quote to somebody else, but may write the answer.
        for kind in ["in_reply_to", "forward_of"] {
            let draft = create(&desk, &json!({ kind: source })).await;
            let path = format!("/v0/inboxes/{DESK}/drafts/{}", id(&draft));
            let edit = async |body: Value| {
                desk.world.call(&Method::PATCH, &path, Some(&key), &body.to_string()).await
            };
            for member in ["to", "cc", "bcc"] {
                let refused = edit(json!({ member: ["me@else.test"] })).await;
                assert_eq!((refused.status, refused.code()), (403, "missing_permission"), "{member}");
                assert!(refused.body["fix"].as_str().unwrap().contains("message_read"), "{}", refused.text);
            }
            assert_eq!(edit(json!({ "text": "Yes." })).await.status, 200);
        }
    }
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_clears_what_is_null() {
    for desk in Mailbox::each().await {
        let body = json!({
            "to": ["a@x.test"], "cc": ["b@x.test"], "subject": "S", "text": "T",
            "attachments": [{ "content": "aGVsbG8=", "filename": "a.txt" }]
        });
        let draft = create(&desk, &body).await;
        // drafts.md check 10
        let edited = edit(&desk, &draft, &json!({ "cc": null })).await;
        assert!(edited.get("cc").is_none());
        let edited = edit(&desk, &draft, &json!({ "to": [], "text": null })).await;
        assert!(
            edited.get("to").is_none() && edited.get("text").is_none() && edited.get("preview").is_none()
        );
        assert_eq!(edited["subject"], "S");
        assert!(edited["updated_at"].as_str() >= draft["updated_at"].as_str());
        // drafts.md check 11
        let first = edited["attachments"][0]["attachment_id"].clone();
        assert_eq!(edited["attachments"][0]["size"], 5);
        let change = json!({
            "remove_attachments": [first],
            "add_attachments": [{ "content": "AAEC", "filename": "b.bin", "content_id": "<x>" }],
            "add_labels": "One", "remove_labels": ["two"]
        });
        let edited = edit(&desk, &draft, &change).await;
        assert_eq!(edited["attachments"].as_array().unwrap().len(), 1);
        let file = &edited["attachments"][0];
        assert_eq!((&file["filename"], &file["content_id"]), (&json!("b.bin"), &json!("x")));
        assert_eq!(edited["labels"], json!(["draft", "one"]));
        let again = desk.patch(&path(&draft), &json!({ "remove_attachments": [first] })).await;
        assert_eq!(paths(&again), json!([["remove_attachments", 0]]));
        let odd = desk.patch(&path(&draft), &json!({ "remove_attachments": ["nonsense"] })).await;
        assert_eq!(paths(&odd), json!([["remove_attachments", 0]]));
        // The bytes are there, by a link that works without a key, at every level.
        for mount in [format!("/v0/inboxes/{DESK}"), "/v0".to_owned()] {
            let file = file["attachment_id"].as_str().unwrap();
            let link = format!("{mount}{}/attachments/{file}", path(&draft));
            let link = desk.world.get(&link, &desk.key).await;
            assert_eq!((link.status, &link.body["size"]), (200, &json!(3)), "{}", link.text);
            let bytes = desk.download(&link.body["download_url"]).await;
            assert_eq!((bytes.status, bytes.text.as_bytes()), (200, [0, 1, 2].as_slice()));
        }
        // Disjoint changes at the same time are both kept.
        let (subject, to) = (json!({ "subject": "X" }), json!({ "to": ["c@x.test"] }));
        let (target, other) = (path(&draft), path(&draft));
        let (a, b) = tokio::join!(desk.patch(&target, &subject), desk.patch(&other, &to));
        assert_eq!((a.status, b.status), (200, 200));
        let both = desk.get(&path(&draft)).await;
        assert_eq!((&both["subject"], &both["to"]), (&json!("X"), &json!(["c@x.test"])));
        let sent = draft_send(&desk, &draft, &json!({})).await;
        let message = desk.message(sent.body["message_id"].as_str().unwrap()).await;
        assert_eq!(message["attachments"][0]["filename"], "b.bin");
    }
}

#[tokio::test]
async fn a_scheduled_draft_goes_out_at_its_time_and_once() {
    for desk in Mailbox::each().await {
        // drafts.md check 12
        let at = later(&desk, Duration::from_secs(3600));
        let draft =
            create(&desk, &json!({ "to": ["a@x.test"], "text": "T", "labels": ["mine"], "send_at": at }))
                .await;
        assert_eq!(draft["labels"], json!(["draft", "scheduled", "mine"]));
        assert_eq!((&draft["send_status"], &draft["send_at"]), (&json!("scheduled"), &at));
        // drafts.md check 24
        create(&desk, &json!({})).await;
        let scheduled = desk.get("/drafts?labels=%5B%22scheduled%22%5D").await;
        assert_eq!(
            (&scheduled["count"], &scheduled["drafts"][0]["draft_id"]),
            (&json!(1), &draft["draft_id"])
        );
        let cleared = edit(&desk, &draft, &json!({ "send_at": null })).await;
        assert_eq!(cleared["labels"], json!(["draft", "mine"]));
        assert!(cleared.get("send_status").is_none() && cleared.get("send_at").is_none());
        // drafts.md check 14, with the clock in the test's hand
        edit(&desk, &draft, &json!({ "send_at": later(&desk, Duration::from_secs(2)) })).await;
        edit(&desk, &draft, &json!({ "subject": "still scheduled" })).await;
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 0, "never before its time");
        desk.world.clock.advance(Duration::from_secs(2));
        assert_eq!(desk.world.app.until_next_draft(Duration::from_secs(60)).await.unwrap(), Duration::ZERO);
        let app = Arc::new(desk.world.app.clone());
        let tried = futures_util::future::join_all((0..4).map(|_| {
            let app = app.clone();
            async move { app.send_due_drafts().await.unwrap() }
        }))
        .await;
        assert_eq!(tried.iter().sum::<usize>(), 1);
        assert_eq!(status(&desk, &draft).await, 404);
        assert_eq!(desk.list("").await.len(), 1);
        let message = &desk.get("/messages").await["messages"][0];
        assert_eq!(message["labels"], json!(["sent", "mine"]));
        // drafts.md check 16
        let draft =
            create(&desk, &json!({ "to": ["a@x.test"], "send_at": later(&desk, Duration::from_secs(5)) }))
                .await;
        assert_eq!(draft_send(&desk, &draft, &json!({})).await.status, 200);
        desk.world.clock.advance(Duration::from_secs(10));
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 0);
        assert_eq!(desk.list("").await.len(), 2);
    }
}

#[tokio::test]
async fn a_claim_whose_holder_died_runs_out_and_the_draft_is_sent_once() {
    for desk in Mailbox::each().await {
        let draft =
            create(&desk, &json!({ "to": ["a@x.test"], "send_at": later(&desk, Duration::from_secs(1)) }))
                .await;
        desk.world.clock.advance(Duration::from_secs(1));
        let (now, lease) = (desk.world.app.now(), desk.world.app.settings().work_lease);
        // A node claims it and dies before it stores the message.
        let lost = desk.world.store.claim_due_drafts(now, now.plus(lease), 10).await.unwrap();
        assert_eq!(lost.len(), 1);
        assert_eq!(desk.get(&path(&draft)).await["send_status"], "sending");
        // What is being sent is left alone.
        for (method, path, body) in [
            (Method::PATCH, path(&draft), json!({ "subject": "x" })),
            (Method::DELETE, path(&draft), Value::Null),
            (Method::POST, format!("{}/send", path(&draft)), json!({})),
        ] {
            let refused = desk.call(method, &path, &body).await;
            assert_eq!((refused.status, refused.code()), (409, "conflict"), "{path}: {}", refused.text);
        }
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 0);
        desk.world.clock.advance(lease);
        assert_eq!(desk.get(&path(&draft)).await["send_status"], "scheduled");
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 1);
        assert_eq!((status(&desk, &draft).await, desk.list("").await.len()), (404, 1));
    }
}

#[tokio::test]
async fn a_refusal_at_its_time_is_shown_and_a_new_time_arms_it_again() {
    for desk in Mailbox::each().await {
        // drafts.md check 15, refused because nobody is addressed
        let draft = create(&desk, &json!({ "send_at": later(&desk, Duration::from_secs(1)) })).await;
        desk.world.clock.advance(Duration::from_secs(1));
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 1);
        let failed = desk.get(&path(&draft)).await;
        assert_eq!((&failed["send_status"], &failed["labels"]), (&json!("failed"), &json!(["draft"])));
        assert_eq!(
            (&failed["send_at"], &failed["send_error"]["code"]),
            (&draft["send_at"], &json!("unprocessable"))
        );
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 0, "not tried again");
        let armed = edit(
            &desk,
            &draft,
            &json!({ "to": ["a@x.test"], "send_at": later(&desk, Duration::from_secs(1)) }),
        )
        .await;
        assert_eq!((&armed["send_status"], armed.get("send_error")), (&json!("scheduled"), None));
        desk.world.clock.advance(Duration::from_secs(1));
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 1);
        assert_eq!(desk.list("").await.len(), 1);
        // A paused inbox refuses; sending by hand afterwards is allowed.
        let draft =
            create(&desk, &json!({ "to": ["a@x.test"], "send_at": later(&desk, Duration::from_secs(1)) }))
                .await;
        desk.patch("", &json!({ "status": "paused" })).await;
        let refused = draft_send(&desk, &draft, &json!({})).await;
        assert_eq!((refused.status, refused.code()), (403, "inbox_paused"));
        assert_eq!(desk.get(&path(&draft)).await["send_status"], "scheduled");
        desk.world.clock.advance(Duration::from_secs(1));
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 1);
        assert_eq!(desk.get(&path(&draft)).await["send_error"]["code"], "inbox_paused");
        desk.patch("", &json!({ "status": "active" })).await;
        assert_eq!(draft_send(&desk, &draft, &json!({})).await.status, 200);
        // Deleting the draft cancels.
        let draft =
            create(&desk, &json!({ "to": ["a@x.test"], "send_at": later(&desk, Duration::from_secs(1)) }))
                .await;
        assert_eq!(desk.call(Method::DELETE, &path(&draft), &Value::Null).await.status, 204);
        desk.world.clock.advance(Duration::from_secs(1));
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_draft_becomes_one_message_whoever_else_sends_it() {
    for desk in Mailbox::each().await {
        // drafts.md check 17, conventions.md check 23
        let body = json!({ "to": ["a@x.test"], "text": "once" });
        let draft = create(&desk, &body).await;
        assert_eq!(draft_send(&desk, &draft, &json!({})).await.status, 200);
        assert_eq!(draft_send(&desk, &draft, &json!({})).await.status, 404);
        let draft = create(&desk, &body).await;
        let (first, second) = (keyed_send(&desk, &draft, "k").await, keyed_send(&desk, &draft, "k").await);
        assert_eq!((first.status, second.status, &first.body), (200, 200, &second.body));
        assert_eq!(status(&desk, &draft).await, 404);
        // drafts.md check 18
        let draft = create(&desk, &json!({ "to": ["a@x.test"], "labels": ["y", "z"] })).await;
        let sent = draft_send(&desk, &draft, &json!({ "add_labels": "x", "remove_labels": ["y"] })).await;
        let message = desk.message(sent.body["message_id"].as_str().unwrap()).await;
        assert_eq!(message["labels"], json!(["sent", "z", "x"]));
        // drafts.md check 19
        let before = desk.list("").await.len();
        let draft = create(&desk, &body).await;
        let none = json!({});
        let all = futures_util::future::join_all((0..10).map(|_| draft_send(&desk, &draft, &none))).await;
        let good = all.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(good, 1);
        assert!(all.iter().all(|answer| [200, 404, 409].contains(&answer.status)));
        assert_eq!(desk.list("").await.len(), before + 1);
    }
}

#[tokio::test]
async fn a_client_id_names_its_draft_also_after_it_was_sent() {
    for desk in Mailbox::each().await {
        // drafts.md check 20
        let body = json!({ "client_id": "d1", "to": ["a@x.test"], "text": "T" });
        let draft = create(&desk, &body).await;
        assert_eq!(create(&desk, &json!({ "client_id": "d1", "subject": "other" })).await, draft);
        assert_eq!(draft_send(&desk, &draft, &json!({})).await.status, 200);
        let again = create(&desk, &body).await;
        assert_eq!((&again["draft_id"], &again["text"]), (&draft["draft_id"], &json!("T")));
        assert_eq!(draft_send(&desk, &again, &json!({})).await.status, 404);
        desk.world.clock.advance(Duration::from_secs(31 * 24 * 3600));
        let fresh = create(&desk, &body).await;
        assert_ne!(fresh["draft_id"], draft["draft_id"], "forgotten after 30 days");
        // An explicit delete frees it at once.
        assert_eq!(desk.call(Method::DELETE, &path(&fresh), &Value::Null).await.status, 204);
        assert_ne!(create(&desk, &body).await["draft_id"], fresh["draft_id"]);
        // Another inbox of the organization does not get it.
        desk.world.inbox(&desk.organization, "other@mail.test").await;
        let other = "/v0/inboxes/other@mail.test/drafts";
        let other = desk.world.call(&Method::POST, other, Some(&desk.key), &body.to_string()).await;
        assert_eq!((other.status, other.code()), (403, "already_exists"), "{}", other.text);
        // Many at once make one.
        let body = json!({ "client_id": "d2" });
        let all = futures_util::future::join_all((0..20).map(|_| create(&desk, &body))).await;
        assert!(all.iter().all(|draft| draft["draft_id"] == all[0]["draft_id"]));
    }
}

#[tokio::test]
async fn drafts_are_seen_within_their_pod_and_go_with_their_inbox() {
    for desk in Mailbox::each().await {
        let (one, two) = (
            desk.world.pod(&desk.organization, "one").await,
            desk.world.pod(&desk.organization, "two").await,
        );
        desk.world.inbox(&one, "one@mail.test").await;
        let body = json!({ "to": ["a@x.test"], "attachments": [{ "content": "aGVsbG8=" }] }).to_string();
        let made = desk
            .world
            .call(&Method::POST, "/v0/inboxes/one@mail.test/drafts", Some(&desk.key), &body)
            .await
            .body;
        let (one, two) = (one.pod().unwrap(), two.pod().unwrap());
        let get = async |path: String| desk.world.get(&path, &desk.key).await;
        // drafts.md check 25
        for (path, want) in [
            (format!("/v0/pods/{one}/drafts/{}", id(&made)), 200),
            (format!("/v0/pods/{two}/drafts/{}", id(&made)), 404),
            (format!("/v0/drafts/{}", id(&made)), 200),
            (format!("/v0/inboxes/{DESK}/drafts/{}", id(&made)), 404),
        ] {
            assert_eq!(get(path.clone()).await.status, want, "{path}");
        }
        assert_eq!(get(format!("/v0/pods/{one}/drafts")).await.body["count"], 1);
        assert_eq!(get(format!("/v0/pods/{two}/drafts")).await.body["count"], 0);
        let gone = desk.world.call(&Method::DELETE, "/v0/inboxes/one@mail.test", Some(&desk.key), "").await;
        assert_eq!(gone.status, 204);
        assert_eq!(get("/v0/drafts".to_owned()).await.body["count"], 0);
        assert_eq!(get(format!("/v0/drafts/{}", id(&made))).await.status, 404);
        for _ in 0..100 {
            if !desk.world.store.purge_step(10).await.unwrap().more {
                break;
            }
        }
        assert_eq!(get("/v0/drafts".to_owned()).await.body["count"], 0);
    }
}
