//! What a key may do with drafts that others made: what it must not see through them, and what it must not send.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use http::{Method, Request};
use http_body_util::Full;
use podmail_domain::DraftId;
use podmail_store::{DraftState, OrganizationChange};
use serde_json::{Value, json};

use crate::Answer;
use crate::mailbox::{DESK, Mailbox, paths, segment};

const SOURCE: &str = "<in@x.test>";

/// A key of the organization with these flags, and calls with it.
struct Helper<'a> {
    desk: &'a Mailbox,
    key: String,
}

impl<'a> Helper<'a> {
    async fn of(desk: &'a Mailbox, flags: &[&str]) -> Self {
        let flags: Value = flags.iter().map(|flag| ((*flag).to_owned(), json!(true))).collect();
        let (_, key) = desk.world.key(&desk.organization, Some(&flags.to_string()), None).await;
        Self { desk, key }
    }

    async fn patch(&self, draft: &Value, body: &Value) -> Answer {
        self.call(&Method::PATCH, &path(draft), body).await
    }

    async fn send(&self, draft: &Value) -> Answer {
        self.call(&Method::POST, &format!("{}/send", path(draft)), &json!({})).await
    }

    async fn call(&self, method: &Method, path: &str, body: &Value) -> Answer {
        let path = format!("/v0/inboxes/{DESK}{path}");
        self.desk.world.call(method, &path, Some(&self.key), &body.to_string()).await
    }
}

fn path(draft: &Value) -> String {
    format!("/drafts/{}", draft["draft_id"].as_str().unwrap())
}

async fn create(desk: &Mailbox, body: &Value) -> Value {
    let answer = desk.post("/drafts", body).await;
    assert_eq!(answer.status, 200, "{body}: {}", answer.text);
    answer.body
}

async fn edit(desk: &Mailbox, draft: &Value, body: &Value) -> Value {
    let answer = desk.patch(&path(draft), body).await;
    assert_eq!(answer.status, 200, "{body}: {}", answer.text);
    answer.body
}

async fn text_of(desk: &Mailbox, sent: &Answer) -> String {
    assert_eq!(sent.status, 200, "{}", sent.text);
    desk.message(sent.body["message_id"].as_str().unwrap()).await["text"].as_str().unwrap().to_owned()
}

fn missing(answer: &Answer, flag: &str) {
    assert_eq!((answer.status, answer.code()), (403, "missing_permission"), "{}", answer.text);
    assert!(answer.body["fix"].as_str().unwrap().contains(flag), "{}", answer.text);
}

fn later(desk: &Mailbox, seconds: u64) -> Value {
    json!(desk.world.app.now().plus(Duration::from_secs(seconds)).to_string())
}

#[tokio::test]
async fn a_draft_does_not_open_a_message_that_a_label_hides_from_the_key() {
    for desk in Mailbox::each().await {
        desk.mail("Message-ID: <in@x.test>\nSubject: Plan", "Shall we?").await;
        let forward = create(&desk, &json!({ "forward_of": SOURCE })).await;
        let reply = create(&desk, &json!({ "in_reply_to": SOURCE, "text": "Yes." })).await;
        let planned = json!({ "in_reply_to": SOURCE, "text": "Soon.", "send_at": later(&desk, 5) });
        let planned = create(&desk, &planned).await;
        let label = format!("/messages/{}", segment(SOURCE));
        assert_eq!(desk.patch(&label, &json!({ "add_labels": "spam" })).await.status, 200);
        let flags = ["draft_read", "draft_update", "draft_send", "message_read"];
        let helper = Helper::of(&desk, &flags).await;
        let hidden = |answer: &Answer| {
            assert_eq!((answer.status, &answer.body["message"]), (404, &json!("Message not found")));
        };
        // Neither who gets it nor when may be decided without seeing it; the rest may.
        for draft in [&forward, &reply] {
            for change in [json!({ "to": "z@x.test" }), json!({ "send_at": later(&desk, 9) })] {
                hidden(&helper.patch(draft, &change).await);
            }
            assert_eq!(helper.patch(draft, &json!({ "subject": "Mine" })).await.status, 200);
        }
        edit(&desk, &forward, &json!({ "to": "z@x.test" })).await;
        hidden(&helper.send(&forward).await);
        // An answer goes to its conversation, without the quote.
        let sent = helper.send(&reply).await;
        assert_eq!(text_of(&desk, &sent).await, "Yes.");
        assert_eq!(sent.body["thread_id"], reply["thread_id"]);
        // Who may see it sends it whole, and what was scheduled goes out as whoever scheduled it meant.
        let sent = desk.post(&format!("{}/send", path(&forward)), &json!({})).await;
        assert!(text_of(&desk, &sent).await.contains("Shall we?"));
        desk.world.clock.advance(Duration::from_secs(5));
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 1);
        let newest = desk.list("?labels=sent").await;
        let message = desk.message(&newest[0]).await;
        assert_eq!(message["thread_id"], planned["thread_id"]);
        assert!(message["text"].as_str().unwrap().contains("> Shall we?"), "{message}");
    }
}

#[tokio::test]
async fn what_is_scheduled_changes_only_by_who_may_send() {
    for desk in Mailbox::each().await {
        let body = json!({ "to": "a@x.test", "text": "As agreed.", "send_at": later(&desk, 5) });
        let draft = create(&desk, &body).await;
        let helper = Helper::of(&desk, &["draft_read", "draft_update"]).await;
        for change in [
            json!({ "to": "evil@x.test" }),
            json!({ "cc": "evil@x.test" }),
            json!({ "bcc": "evil@x.test" }),
            json!({ "reply_to": "evil@x.test" }),
            json!({ "subject": "Other" }),
            json!({ "text": "Other" }),
            json!({ "html": "<p>Other</p>" }),
            json!({ "add_attachments": [{ "content": "aGk=" }] }),
        ] {
            missing(&helper.patch(&draft, &change).await, "draft_send");
        }
        let labelled = helper.patch(&draft, &json!({ "add_labels": "seen" })).await;
        assert_eq!((labelled.status, &labelled.body["send_status"]), (200, &json!("scheduled")));
        // Off the schedule it may say anything: it does not go out.
        let taken = helper.patch(&draft, &json!({ "send_at": null, "text": "Other" })).await;
        assert_eq!((taken.status, &taken.body["text"]), (200, &json!("Other")), "{}", taken.text);
        assert_eq!(helper.patch(&draft, &json!({ "to": "b@x.test" })).await.status, 200);
        let sender = Helper::of(&desk, &["draft_read", "draft_update", "draft_send"]).await;
        let again = json!({ "send_at": later(&desk, 5), "to": "c@x.test" });
        assert_eq!(sender.patch(&draft, &again).await.status, 200);
        assert_eq!(sender.patch(&draft, &json!({ "text": "Final" })).await.status, 200);
        desk.world.clock.advance(Duration::from_secs(5));
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 1);
        let message = desk.message(&desk.list("").await[0]).await;
        assert_eq!((&message["to"], &message["text"]), (&json!(["c@x.test"]), &json!("Final")));
    }
}

// drafts.md check 4: whoever made the draft was allowed to read what it quotes
#[tokio::test]
async fn a_key_that_may_only_send_drafts_sends_them_with_their_quotes() {
    for desk in Mailbox::each().await {
        desk.mail("Message-ID: <in@x.test>\nSubject: Plan", "Shall we?").await;
        let helper = Helper::of(&desk, &["draft_send"]).await;
        let reply = create(&desk, &json!({ "in_reply_to": SOURCE, "text": "Yes." })).await;
        let text = text_of(&desk, &helper.send(&reply).await).await;
        assert!(text.starts_with("Yes.") && text.contains("> Shall we?"), "{text}");
        let forward = create(&desk, &json!({ "forward_of": SOURCE, "to": "z@x.test" })).await;
        assert!(text_of(&desk, &helper.send(&forward).await).await.contains("Shall we?"));
    }
}

#[tokio::test]
async fn a_send_whose_client_hangs_up_still_ends() {
    for desk in Mailbox::each().await {
        for polls in 1..25_usize {
            let draft = create(&desk, &json!({ "to": "a@x.test", "text": "T" })).await;
            let request = Request::post(format!("/v0/inboxes/{DESK}{}/send", path(&draft)))
                .header("authorization", format!("Bearer {}", desk.key))
                .body(Full::from("{}".to_owned()))
                .unwrap();
            // The client is there for so many steps of the work.
            let mut sending = Box::pin(desk.world.send(request));
            let mut left = polls;
            let answered = std::future::poll_fn(|context| {
                let step = pin!(&mut sending).poll(context);
                left -= 1;
                if step.is_ready() || left == 0 { Poll::Ready(step.is_ready()) } else { Poll::Pending }
            })
            .await;
            drop(sending);
            let id = DraftId::parse(draft["draft_id"].as_str().unwrap()).unwrap();
            let ended = async {
                // A claim that nobody holds any more would last: the clock stands still.
                loop {
                    let found = desk.world.store.draft(&desk.organization, id, desk.world.app.now()).await;
                    if found.unwrap().is_none_or(|draft| draft.state != DraftState::Sending) {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            };
            let ended = tokio::time::timeout(Duration::from_secs(10), ended).await;
            assert!(ended.is_ok(), "the draft is still being sent after {polls} steps");
            if answered {
                break;
            }
        }
    }
}

#[tokio::test]
async fn more_recipients_than_the_daily_quota_are_refused_for_good() {
    for desk in Mailbox::each().await {
        let change = OrganizationChange { send_per_day: Some(Some(2)), ..OrganizationChange::default() };
        let organization = desk.organization.organization();
        assert!(desk.world.store.set_organization(organization, change, desk.world.app.now()).await.unwrap());
        let three = json!({ "to": ["a@x.test", "b@x.test", "c@x.test"], "send_at": later(&desk, 1) });
        let draft = create(&desk, &three).await;
        desk.world.clock.advance(Duration::from_secs(1));
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 1);
        let failed = desk.get(&path(&draft)).await;
        assert_eq!(
            (&failed["send_status"], &failed["send_error"]["code"]),
            (&json!("failed"), &json!("message_rejected"))
        );
        let refused = desk.post(&format!("{}/send", path(&draft)), &json!({})).await;
        assert_eq!((refused.status, refused.code()), (403, "message_rejected"), "{}", refused.text);
        assert!(refused.body["fix"].is_string() && refused.headers.get("retry-after").is_none());
        // What fits the day but not what is left of it waits.
        edit(&desk, &draft, &json!({ "to": ["a@x.test", "b@x.test"] })).await;
        assert_eq!(desk.post(&format!("{}/send", path(&draft)), &json!({})).await.status, 200);
        let waits = desk.post("/messages/send", &json!({ "to": "a@x.test" })).await;
        assert_eq!((waits.status, waits.code()), (429, "rate_limit_exceeded"));
    }
}

#[tokio::test]
async fn an_update_keeps_recipients_apart_like_a_create() {
    for desk in Mailbox::each().await {
        let many: Vec<String> = (0..50).map(|n| format!("r{n}@x.test")).collect();
        let draft = create(&desk, &json!({ "to": many })).await;
        let edited = edit(&desk, &draft, &json!({ "cc": ["R7 <r7@X.test>"] })).await;
        assert_eq!((edited["to"].as_array().unwrap().len(), edited.get("cc")), (50, None));
        assert_eq!(paths(&desk.patch(&path(&draft), &json!({ "cc": ["z@x.test"] })).await), json!([["to"]]));
        // The first place of an address is the one it keeps.
        let body = json!({ "cc": ["Bob <b@x.test>", "c@x.test"], "bcc": ["d@x.test"] });
        let draft = create(&desk, &body).await;
        let edited = edit(&desk, &draft, &json!({ "to": ["B@x.test", "d@x.test"] })).await;
        assert_eq!((&edited["to"], &edited["cc"]), (&json!(["B@x.test", "d@x.test"]), &json!(["c@x.test"])));
        assert!(edited.get("bcc").is_none());
    }
}

// drafts.md checks 11 and 13
#[tokio::test]
async fn every_violation_of_an_update_is_named_at_once() {
    for desk in Mailbox::each().await {
        let draft = create(&desk, &json!({ "attachments": [{ "content": "aGk=" }] })).await;
        let own = draft["attachments"][0]["attachment_id"].clone();
        let (one, two) = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002");
        let change = json!({ "remove_attachments": [one, own, two, "odd"] });
        let all = json!([["remove_attachments", 0], ["remove_attachments", 2], ["remove_attachments", 3]]);
        assert_eq!(paths(&desk.patch(&path(&draft), &change).await), all);
        let change = json!({ "remove_attachments": [one], "to": "nope", "add_labels": ["sent"] });
        let refused = paths(&desk.patch(&path(&draft), &change).await);
        assert_eq!(refused, json!([["to"], ["remove_attachments", 0], ["add_labels", 0]]));
        // A time that could not be shown again is none.
        for body in [
            json!({ "send_at": "9999-12-31T23:59:59-12:00" }),
            json!({ "send_at": "0001-01-01T00:00:00+01:00" }),
        ] {
            assert_eq!(paths(&desk.post("/drafts", &body).await), json!([["send_at"]]));
        }
        let far = create(&desk, &json!({ "send_at": "9999-12-31T23:59:59.999Z" })).await;
        assert_eq!(far["send_at"], "9999-12-31T23:59:59.999Z");
    }
}

#[tokio::test]
async fn attachments_that_are_too_large_together_are_measured_in_bytes() {
    let desk = Mailbox::with(|settings| settings.max_request_bytes = 64 << 20).await;
    let content = "AAAA".repeat((31 << 20) / 3);
    let refused = desk.post("/drafts", &json!({ "attachments": [{ "content": content }] })).await;
    assert_eq!(paths(&refused), json!([["attachments"]]));
    let issue = &refused.body["errors"][0];
    assert_eq!((&issue["origin"], &issue["maximum"]), (&json!("file"), &json!(31_457_280)));
    assert!(issue["message"].as_str().unwrap().contains("31457280 bytes"), "{issue}");
}

#[tokio::test]
async fn drafts_of_a_deleted_inbox_hold_nothing_up() {
    for desk in Mailbox::each().await {
        create(&desk, &json!({ "to": "a@x.test", "send_at": later(&desk, 1) })).await;
        let named = create(&desk, &json!({ "to": "a@x.test", "client_id": "d" })).await;
        assert_eq!(desk.post(&format!("{}/send", path(&named)), &json!({})).await.status, 200);
        assert_eq!(desk.call(Method::DELETE, "", &Value::Null).await.status, 204);
        // The worker neither sends it nor turns in circles for it.
        desk.world.clock.advance(Duration::from_secs(2));
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 0);
        let minute = Duration::from_secs(60);
        assert_eq!(desk.world.app.until_next_draft(minute).await.unwrap(), minute);
        // Its `client_id` went with the inbox.
        desk.world.inbox(&desk.organization, DESK).await;
        let fresh = create(&desk, &json!({ "client_id": "d" })).await;
        assert_ne!(fresh["draft_id"], named["draft_id"]);
    }
}
