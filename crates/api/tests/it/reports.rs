//! What is learned of a message after it was delivered: bounce reports, complaints, unsubscribing.

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::Full;
use podmail_app::deliveries::{Answer as Said, Attempt, Capacity};
use podmail_app::receive::{Incoming, Received};
use podmail_store::Position;
use serde_json::{Value, json};

use crate::Answer;
use crate::mailbox::{DESK, Mailbox, segment};

const OWN: &str = "news@acme.example";

/// Mailboxes whose organization also has an inbox on a verified domain of its own, one per engine.
async fn each() -> Vec<Mailbox> {
    let all = Mailbox::each().await;
    for mailbox in &all {
        post(mailbox, "/v0/domains", &json!({"domain": "acme.example"})).await;
        mailbox.world.app.operator_verify_domain("acme.example", true).await.unwrap();
        post(mailbox, "/v0/inboxes", &json!({"username": "news", "domain": "acme.example"})).await;
    }
    all
}

async fn post(mailbox: &Mailbox, path: &str, body: &Value) -> Value {
    let answer = mailbox.world.call(&Method::POST, path, Some(&mailbox.key), &body.to_string()).await;
    assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text);
    answer.body
}

async fn try_send(mailbox: &Mailbox, inbox: &str, body: &Value) -> Answer {
    let path = format!("/v0/inboxes/{inbox}/messages/send");
    mailbox.world.call(&Method::POST, &path, Some(&mailbox.key), &body.to_string()).await
}

/// A sent message whose copies were all taken: itself, and its return path.
async fn sent(mailbox: &Mailbox, inbox: &str, to: &[&str]) -> (Value, String) {
    let answer = try_send(mailbox, inbox, &json!({"to": to, "subject": "Hello", "text": "Hi"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let app = &mailbox.world.app;
    let capacity = Capacity { free: 10, per_destination: 10, per_pod: 10, ..Capacity::default() };
    let mut path = String::new();
    for claim in app.lease_deliveries(capacity).await.unwrap() {
        path = app.outbound_mail(&claim).await.unwrap().unwrap().envelope_from;
        let answers = vec![(Said::Accepted, "250 ok".to_owned()); claim.recipients.len()];
        app.delivery_result(&claim, &Attempt { left: true, answers, ..Attempt::default() }).await.unwrap();
    }
    (answer.body, path)
}

async fn message(mailbox: &Mailbox, inbox: &str, id: &Value) -> Value {
    let path = format!("/v0/inboxes/{inbox}/messages/{}", segment(id.as_str().unwrap()));
    mailbox.world.get(&path, &mailbox.key).await.body
}

async fn labels(mailbox: &Mailbox, inbox: &str, id: &Value) -> Value {
    message(mailbox, inbox, id).await["labels"].clone()
}

/// Messages with the label `feedback`.
async fn notices(mailbox: &Mailbox, inbox: &str) -> Vec<Value> {
    let path = format!("/v0/inboxes/{inbox}/messages?labels=feedback");
    mailbox.world.get(&path, &mailbox.key).await.body["messages"].as_array().unwrap().clone()
}

/// Types and facts of the whole log.
async fn events(mailbox: &Mailbox) -> Vec<(String, Value)> {
    loop {
        let log = mailbox.world.store.read_log(Position::default(), 1000).await.unwrap();
        if !log.more {
            let facts = |text: &str| serde_json::from_str(text).unwrap();
            return log.events.iter().map(|e| (e.event_type.as_str().to_owned(), facts(&e.facts))).collect();
        }
        tokio::task::yield_now().await;
    }
}

async fn count(mailbox: &Mailbox, kind: &str) -> usize {
    events(mailbox).await.iter().filter(|(own, _)| own == kind).count()
}

/// A mail comes from the internet.
async fn arrives(mailbox: &Mailbox, recipients: &[&str], raw: &str) -> Received {
    let incoming = Incoming {
        from: None,
        recipients: recipients.iter().map(|recipient| (*recipient).to_owned()).collect(),
        helo: "mx.x.test".to_owned(),
        remote: Some("192.0.2.1:25".parse().unwrap()),
        tls: true,
    };
    let raw = Bytes::from(raw.replace("\r\n", "\n").replace('\n', "\r\n"));
    mailbox.world.app.receive(&incoming, raw).await.unwrap()
}

fn refused(received: &Received) -> u16 {
    match received {
        Received::Refused(refusal) => refusal.code,
        Received::Accepted => panic!("accepted"),
    }
}

fn bounce(id: &str, recipient: &str, action: &str, status: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.x.test\nTo: whoever@sent.it\nSubject: Undelivered Mail\nMessage-ID: <{id}@mx.x.test>\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n\
         --b\nContent-Type: text/plain\n\nSorry.\n\
         --b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.x.test\n\n\
         Final-Recipient: rfc822; {recipient}\nAction: {action}\nStatus: {status}\n\
         Diagnostic-Code: smtp; 550 {status} no\n\n--b--\n"
    )
}

/// A complaint about the message with these names; `fields` go into the report.
fn complaint(kind: &str, fields: &str, original: &str) -> String {
    format!(
        "From: fbl@y.test\nTo: abuse@mail.test\nSubject: FW\nMessage-ID: <{kind}.{}@y.test>\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n\
         --b\nContent-Type: text/plain\n\nAbuse.\n\
         --b\nContent-Type: message/feedback-report\n\nFeedback-Type: {kind}\nVersion: 1\n{fields}\n\
         --b\nContent-Type: message/rfc822\n\n{original}\n\nHi\n--b--\n",
        fields.len() + original.len()
    )
}

/// A refused send; the reason that it names.
async fn blocked(mailbox: &Mailbox, inbox: &str, to: &str) -> String {
    let answer = try_send(mailbox, inbox, &json!({"to": to, "text": "again"})).await;
    assert_eq!((answer.status, answer.code()), (403, "message_rejected"), "{}", answer.text);
    answer.body["message"].as_str().unwrap().to_owned()
}

// domains.md check 24
#[tokio::test]
async fn a_bounce_report_is_shown_beside_the_message_and_announced_as_a_bounce_only() {
    for mailbox in each().await {
        for (inbox, host) in [(OWN, "mail.acme.example"), (DESK, "mail.test")] {
            let to = format!("gone-{}@x.test", inbox.len());
            let (first, path) = sent(&mailbox, inbox, &[&to, "fine@x.test"]).await;
            assert_eq!(path.split_once('@').unwrap().1, host);
            assert!(mailbox.world.app.takes_mail(&path.to_uppercase()).await.unwrap());
            let before = events(&mailbox).await.len();
            let report = bounce("dsn1", &to.to_uppercase(), "failed", "5.1.1");
            assert_eq!(arrives(&mailbox, &[&path], &report).await, Received::Accepted);

            let news = events(&mailbox).await.split_off(before);
            assert_eq!(news.len(), 1, "{news:?}");
            assert_eq!(news[0].0, "message.bounced");
            assert_eq!(news[0].1["type"], "Permanent");
            assert_eq!(news[0].1["sub_type"], "NoEmail");
            assert_eq!(news[0].1["recipients"], json!([{"address": to, "status": "bounced"}]));
            let labelled = labels(&mailbox, inbox, &first["message_id"]).await;
            assert_eq!(labelled, json!(["sent", "delivered", "bounced"]));
            let shown = notices(&mailbox, inbox).await;
            assert_eq!(shown.len(), 1);
            assert_eq!(shown[0]["labels"], json!(["received", "feedback"]));
            assert_eq!(shown[0]["thread_id"], first["thread_id"]);
            assert_eq!(shown[0]["message_id"], "<dsn1@mx.x.test>");
            assert!(blocked(&mailbox, inbox, &to).await.contains(&format!("{to} (bounced)")));

            // The same report again changes nothing and is not shown twice.
            assert_eq!(arrives(&mailbox, &[&path], &report).await, Received::Accepted);
            assert_eq!(events(&mailbox).await.len(), before + 1);
            assert_eq!(notices(&mailbox, inbox).await.len(), 1);
        }
        assert_eq!(count(&mailbox, "message.received").await, 0);
    }
}

// domains.md check 24
#[tokio::test]
async fn a_domain_without_feedback_gets_the_event_and_no_message() {
    for mailbox in each().await {
        let body = json!({"feedback_enabled": false}).to_string();
        let path = "/v0/domains/acme.example";
        let changed = mailbox.world.call(&Method::PATCH, path, Some(&mailbox.key), &body).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        let (_, path) = sent(&mailbox, OWN, &["gone@x.test"]).await;
        let report = bounce("dsn1", "gone@x.test", "failed", "5.1.1");
        assert_eq!(arrives(&mailbox, &[&path], &report).await, Received::Accepted);
        assert_eq!(notices(&mailbox, OWN).await, Vec::<Value>::new());
        assert_eq!(count(&mailbox, "message.bounced").await, 1);
        assert_eq!(count(&mailbox, "message.received").await, 0);
    }
}

#[tokio::test]
async fn only_failures_of_recipients_change_anything() {
    for mailbox in Mailbox::each().await {
        let (first, path) = sent(&mailbox, DESK, &["a@x.test"]).await;
        let before = events(&mailbox).await.len();
        let id = &first["message_id"];
        let prose =
            "From: MAILER-DAEMON@old.x.test\nSubject: failure notice\n\nSorry, no mailbox here. (#5.1.1)\n";
        for (n, raw) in [
            bounce("r1", "stranger@x.test", "failed", "5.1.1"),
            bounce("r2", "a@x.test", "delivered", "2.0.0"),
            bounce("r3", "a@x.test", "relayed", "2.0.0"),
            bounce("r4", "a@x.test", "expanded", "2.0.0"),
            prose.to_owned(),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(arrives(&mailbox, &[&path], &raw).await, Received::Accepted);
            assert_eq!(notices(&mailbox, DESK).await.len(), n + 1, "what is not understood is shown: {raw}");
        }
        assert_eq!(labels(&mailbox, DESK, id).await, json!(["sent", "delivered"]));
        let delayed = bounce("r6", "a@x.test", "delayed", "4.4.1");
        assert_eq!(arrives(&mailbox, &[&path], &delayed).await, Received::Accepted);
        assert_eq!(labels(&mailbox, DESK, id).await, json!(["sent", "delivered", "delayed"]));
        assert_eq!(events(&mailbox).await.len(), before, "none of it is an event");
        assert_eq!(try_send(&mailbox, DESK, &json!({"to": "a@x.test", "text": "x"})).await.status, 200);
    }
}

#[tokio::test]
async fn nobody_reports_about_a_message_whose_return_path_he_does_not_know() {
    for mailbox in Mailbox::each().await {
        let (_, path) = sent(&mailbox, DESK, &["a@x.test"]).await;
        let (user, domain) = path.split_once('@').unwrap();
        let (other, _) = mailbox.world.organization("other").await;
        mailbox.world.inbox(&other, "spy@mail.test").await;
        let last = if user.ends_with('0') { "1" } else { "0" };
        let near = format!("{}{last}@{domain}", user.strip_suffix(|_: char| true).unwrap());
        let zero = format!("bounce-{}@{domain}", "0".repeat(50));
        let many = path.replace("bounce-", "unsubscribe-");
        let elsewhere = format!("{user}@x.test");
        for forged in [&near, &zero, &elsewhere, &"bounce-@mail.test".to_owned()] {
            assert!(!mailbox.world.app.takes_mail(forged).await.unwrap(), "{forged}");
            let report = bounce("r", "a@x.test", "failed", "5.1.1");
            assert_eq!(refused(&arrives(&mailbox, &[forged], &report).await), 550);
        }
        assert!(mailbox.world.app.takes_mail(&many).await.unwrap());
        let (_, two) = sent(&mailbox, DESK, &["a@x.test", "b@x.test"]).await;
        let many = two.replace("bounce-", "unsubscribe-");
        assert!(!mailbox.world.app.takes_mail(&many).await.unwrap(), "nobody can tell who asks");
        // Nor has anybody an inbox of such a name.
        let body = json!({"username": user});
        let taken =
            mailbox.world.call(&Method::POST, "/v0/inboxes", Some(&mailbox.key), &body.to_string()).await;
        assert_eq!((taken.status, taken.code()), (403, "resource_taken"), "{}", taken.text);
    }
}

#[tokio::test]
async fn a_mail_to_an_inbox_and_a_return_path_works_for_both() {
    for mailbox in Mailbox::each().await {
        let (first, path) = sent(&mailbox, DESK, &["a@x.test"]).await;
        mailbox.world.inbox(&mailbox.organization, "copy@mail.test").await;
        let report = bounce("r1", "a@x.test", "failed", "4.4.7");
        assert_eq!(arrives(&mailbox, &["copy@mail.test", &path], &report).await, Received::Accepted);
        assert_eq!(count(&mailbox, "message.received").await, 1);
        let last = events(&mailbox).await.into_iter().find(|(kind, _)| kind == "message.bounced").unwrap();
        assert_eq!(last.1["type"], "Transient");
        assert_eq!(
            labels(&mailbox, DESK, &first["message_id"]).await,
            json!(["sent", "delivered", "bounced"])
        );
        assert_eq!(try_send(&mailbox, DESK, &json!({"to": "a@x.test", "text": "x"})).await.status, 200);
    }
}

// events-and-webhooks.md check 25; labels-and-lists.md check 29
#[tokio::test]
async fn a_complaint_is_announced_once_and_blocks_the_recipient_for_good() {
    for mailbox in each().await {
        let (first, path) = sent(&mailbox, OWN, &["ada@x.test", "ben@x.test"]).await;
        let fields = format!("Original-Mail-From: <{path}>\nOriginal-Rcpt-To: <ADA@x.test>\n");
        let report = complaint("abuse", &fields, "From: redacted@y.test");
        for (mailbox_of, again) in
            [("abuse@mail.test", 1), ("Complaints@mail.test", 1), ("abuse@mx.mail.test", 1)]
        {
            assert!(mailbox.world.app.takes_mail(mailbox_of).await.unwrap());
            assert_eq!(arrives(&mailbox, &[mailbox_of], &report).await, Received::Accepted);
            assert_eq!(count(&mailbox, "message.complained").await, again, "{mailbox_of}");
        }
        let (_, facts) =
            events(&mailbox).await.into_iter().find(|(kind, _)| kind == "message.complained").unwrap();
        assert_eq!((&facts["type"], &facts["sub_type"]), (&json!("abuse"), &json!("spam")));
        assert_eq!(facts["recipients"], json!(["ada@x.test"]));
        let id = &first["message_id"];
        assert_eq!(labels(&mailbox, OWN, id).await, json!(["sent", "delivered", "complained"]));
        let shown = notices(&mailbox, OWN).await;
        assert_eq!(shown.len(), 1);
        assert_eq!(shown[0]["thread_id"], first["thread_id"]);
        assert!(blocked(&mailbox, OWN, "ada@x.test").await.contains("(complained)"));
        assert!(blocked(&mailbox, DESK, "ada@x.test").await.contains("(complained)"));
        assert_eq!(try_send(&mailbox, OWN, &json!({"to": "ben@x.test", "text": "x"})).await.status, 200);
        let path = "/v0/lists/send/block/ada@x.test";
        let deleted = mailbox.world.call(&Method::DELETE, path, Some(&mailbox.key), "").await;
        assert_eq!((deleted.status, deleted.code()), (409, "cannot_delete"), "{}", deleted.text);
    }
}

#[tokio::test]
async fn a_complaint_finds_its_message_by_sender_and_id_too() {
    for mailbox in Mailbox::each().await {
        let (first, _) = sent(&mailbox, DESK, &["ada@x.test"]).await;
        let id = first["message_id"].as_str().unwrap();
        // The only recipient it was, whatever the report hides.
        let original = format!("From: Desk <DESK@mail.test>\nTo: redacted@x.test\nMessage-ID: {id}");
        let report = complaint("fraud", "Original-Rcpt-To: redacted@x.test\n", &original);
        assert_eq!(arrives(&mailbox, &["abuse@mail.test"], &report).await, Received::Accepted);
        assert!(blocked(&mailbox, DESK, "ada@x.test").await.contains("(complained)"));

        let (second, _) = sent(&mailbox, DESK, &["ben@x.test", "cid@x.test"]).await;
        let id = second["message_id"].as_str().unwrap();
        let original = format!("From: desk@mail.test\nMessage-ID: {id}");
        let report = complaint("other", "", &original);
        for _ in 0..2 {
            assert_eq!(arrives(&mailbox, &["abuse@mail.test"], &report).await, Received::Accepted);
        }
        let all: Vec<Value> = events(&mailbox)
            .await
            .into_iter()
            .filter(|(kind, _)| kind == "message.complained")
            .map(|(_, facts)| json!([facts["type"], facts["recipients"]]))
            .collect();
        assert_eq!(all, [json!(["fraud", ["ada@x.test"]]), json!(["other", ["ben@x.test", "cid@x.test"]])]);
        assert_eq!(try_send(&mailbox, DESK, &json!({"to": "ben@x.test", "text": "x"})).await.status, 200);

        let (third, path) = sent(&mailbox, DESK, &["dan@x.test"]).await;
        let fields = format!("Original-Mail-From: {path}\n");
        for kind in ["not-spam", "auth-failure", "unheard-of"] {
            let report = complaint(kind, &fields, "From: desk@mail.test");
            assert_eq!(arrives(&mailbox, &["abuse@mail.test"], &report).await, Received::Accepted);
        }
        assert_eq!(labels(&mailbox, DESK, &third["message_id"]).await, json!(["sent", "delivered"]));
        let report = complaint("opt-out", &fields, "From: desk@mail.test");
        assert_eq!(arrives(&mailbox, &["abuse@mail.test"], &report).await, Received::Accepted);
        let reason = blocked(&mailbox, DESK, "dan@x.test").await;
        assert!(reason.contains("(Unsubscribed via List-Unsubscribe)"), "{reason}");
        assert_eq!(labels(&mailbox, DESK, &third["message_id"]).await, json!(["sent", "delivered"]));
    }
}

#[tokio::test]
async fn what_is_no_complaint_about_mail_of_this_server_is_refused() {
    for mailbox in Mailbox::each().await {
        let (_, path) = sent(&mailbox, DESK, &["ada@x.test"]).await;
        let unknown = "From: desk@mail.test\nMessage-ID: <unknown@mail.test>";
        for raw in [
            "From: a@x.test\nSubject: Your mail annoys me\n\nStop it.\n".to_owned(),
            bounce("r1", "ada@x.test", "failed", "5.1.1"),
            complaint("abuse", "", unknown),
            complaint("abuse", "Original-Mail-From: bounce-x@mail.test\n", "From: nobody@mail.test"),
        ] {
            assert_eq!(refused(&arrives(&mailbox, &["abuse@mail.test"], &raw).await), 550, "{raw}");
        }
        assert_eq!(count(&mailbox, "message.complained").await, 0);
        // Whoever has an inbox of that name reads everything.
        mailbox.world.inbox(&mailbox.organization, "abuse@mail.test").await;
        let report = complaint("abuse", &format!("Original-Mail-From: {path}\n"), "From: desk@mail.test");
        for raw in ["From: a@x.test\nSubject: Stop\n\nStop it.\n", &report] {
            assert_eq!(arrives(&mailbox, &["abuse@mail.test"], raw).await, Received::Accepted);
        }
        assert_eq!(count(&mailbox, "message.received").await, 2);
        assert_eq!(count(&mailbox, "message.complained").await, 1);
    }
}

/// The ways to unsubscribe that a sent message offers: link and address.
async fn ways(mailbox: &Mailbox, inbox: &str, id: &Value) -> (String, String) {
    let headers = message(mailbox, inbox, id).await["headers"].clone();
    assert_eq!(headers["List-Unsubscribe-Post"], "List-Unsubscribe=One-Click", "{headers}");
    let value = headers["List-Unsubscribe"].as_str().unwrap();
    let (link, address) = value.split_once(", ").unwrap();
    let inner = |text: &str| text.strip_prefix('<').unwrap().strip_suffix('>').unwrap().to_owned();
    let link = inner(link).strip_prefix("http://127.0.0.1:8080").unwrap().to_owned();
    (link, inner(address).strip_prefix("mailto:").unwrap().to_owned())
}

async fn click(mailbox: &Mailbox, link: &str, body: &str) -> Answer {
    let request = Request::post(link).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    mailbox.world.send(request.body(Full::from(body.to_owned())).unwrap()).await
}

// domains.md check 25
#[tokio::test]
async fn one_click_keeps_the_recipient_from_being_mailed_again() {
    for mailbox in each().await {
        let app = &mailbox.world.app;
        let (plain, _) = sent(&mailbox, OWN, &["a@x.test"]).await;
        assert_eq!(
            message(&mailbox, OWN, &plain["message_id"]).await["headers"]["List-Unsubscribe"],
            Value::Null
        );
        app.operator_set_unsubscribe("acme.example", true).await.unwrap();
        app.operator_set_unsubscribe("mail.test", true).await.unwrap();
        assert!(app.operator_set_unsubscribe("unknown.example", true).await.is_err());
        for (inbox, host) in [(OWN, "mail.acme.example"), (DESK, "mail.test")] {
            let to = format!("reader{}@x.test", inbox.len());
            let (first, _) = sent(&mailbox, inbox, &[&to]).await;
            let (link, address) = ways(&mailbox, inbox, &first["message_id"]).await;
            assert_eq!(address.split_once('@').unwrap().1, host);

            // Scanners look at links.
            let page = mailbox.world.call(&Method::GET, &link, None, "").await;
            assert_eq!(page.status, 200);
            assert!(page.text.contains(&to) && page.text.contains("<form method=\"post\">"), "{}", page.text);
            let policy = page.headers["content-security-policy"].to_str().unwrap();
            assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
            for body in ["", "List-Unsubscribe=No", "x=y"] {
                let answer = click(&mailbox, &link, body).await;
                assert_eq!(answer.status, 400, "{body}");
                assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
            }
            let still = try_send(&mailbox, inbox, &json!({"to": to, "text": "x"})).await;
            assert_eq!(still.status, 200, "{}", still.text);

            // The link works whatever became of the message.
            let gone =
                format!("/v0/inboxes/{inbox}/messages/{}", segment(first["message_id"].as_str().unwrap()));
            assert_eq!(mailbox.world.call(&Method::DELETE, &gone, Some(&mailbox.key), "").await.status, 204);
            for _ in 0..2 {
                assert_eq!(click(&mailbox, &link, "List-Unsubscribe=One-Click").await.status, 200);
            }
            let reason = blocked(&mailbox, inbox, &to).await;
            assert!(reason.contains(&format!("{to} (Unsubscribed via List-Unsubscribe)")), "{reason}");
            let entry = mailbox.world.get(&format!("/v0/lists/send/block/{to}"), &mailbox.key).await.body;
            assert_eq!(entry["read_only"], true);

            for bad in ["/u/x", "/u/a.b", &format!("{link}x"), &link.replace("/u/", "/u/A")] {
                for answer in [
                    mailbox.world.call(&Method::GET, bad, None, "").await,
                    click(&mailbox, bad, "List-Unsubscribe=One-Click").await,
                ] {
                    assert_eq!(answer.status, 404, "{bad}");
                    // People in a browser read it.
                    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
                    assert!(answer.text.contains("<h1>This link does not work</h1>"), "{}", answer.text);
                }
            }
        }
        app.operator_set_unsubscribe("mail.test", false).await.unwrap();
        let (last, _) = sent(&mailbox, DESK, &["b@x.test"]).await;
        assert_eq!(
            message(&mailbox, DESK, &last["message_id"]).await["headers"]["List-Unsubscribe"],
            Value::Null
        );
    }
}

#[tokio::test]
async fn mail_to_the_unsubscribe_address_does_the_same() {
    for mailbox in each().await {
        mailbox.world.app.operator_set_unsubscribe("acme.example", true).await.unwrap();
        let (first, _) = sent(&mailbox, OWN, &["reader@x.test"]).await;
        let (_, address) = ways(&mailbox, OWN, &first["message_id"]).await;
        let mail = "From: reader@x.test\nSubject: unsubscribe\n\n\n";
        assert_eq!(arrives(&mailbox, &[&address], mail).await, Received::Accepted);
        let reason = blocked(&mailbox, OWN, "reader@x.test").await;
        assert!(reason.contains("(Unsubscribed via List-Unsubscribe)"), "{reason}");
        assert_eq!(notices(&mailbox, OWN).await, Vec::<Value>::new());
        assert_eq!(count(&mailbox, "message.received").await, 0);

        // Also from an inbox of this installation, whose mail does not leave it.
        let (second, _) = sent(&mailbox, OWN, &["desk@mail.test"]).await;
        let (_, address) = ways(&mailbox, OWN, &second["message_id"]).await;
        let raw = Bytes::from_static(b"From: desk@mail.test\r\nSubject: unsubscribe\r\n\r\n");
        let from = Some("desk@mail.test");
        let done =
            mailbox.world.app.deliver_internally(from, std::slice::from_ref(&address), raw).await.unwrap();
        assert_eq!(done, [(address, podmail_app::receive::InternalOutcome::Stored)]);
        blocked(&mailbox, OWN, "desk@mail.test").await;
    }
}

#[tokio::test]
async fn headers_are_added_to_mail_of_one_recipient_without_such_headers_only() {
    for mailbox in Mailbox::each().await {
        mailbox.world.app.operator_set_unsubscribe("mail.test", true).await.unwrap();
        let several = mailbox.send(&json!({"to": "a@x.test", "bcc": "b@x.test", "text": "x"})).await;
        assert_eq!(several["headers"]["List-Unsubscribe"], Value::Null);
        let headers = json!({"list-unsubscribe": "<https://own.test/u>"});
        let own = mailbox.send(&json!({"to": "a@x.test", "text": "x", "headers": headers})).await;
        assert_eq!(own["headers"]["list-unsubscribe"], "<https://own.test/u>");
        assert_eq!(own["headers"]["List-Unsubscribe-Post"], Value::Null);
        // A draft, a forward and an answer offer it like any other send.
        let draft = mailbox.post("/drafts", &json!({"to": "d@x.test", "text": "x"})).await;
        let path = format!("/drafts/{}/send", draft.body["draft_id"].as_str().unwrap());
        let drafted = mailbox.made(&path, &json!({})).await;
        let source = segment(own["message_id"].as_str().unwrap());
        let forward = mailbox.made(&format!("/messages/{source}/forward"), &json!({"to": "f@x.test"})).await;
        let reply = mailbox.made(&format!("/messages/{source}/reply"), &json!({"text": "and"})).await;
        for message in [&drafted, &forward, &reply] {
            ways(&mailbox, DESK, &message["message_id"]).await;
        }
        let long = format!("{}@{}.test", "l".repeat(64), "d".repeat(60));
        let wide = mailbox.send(&json!({"to": long, "text": "x"})).await;
        let raw = mailbox.raw(wide["message_id"].as_str().unwrap()).await;
        assert!(raw.lines().all(|line| line.len() <= 998), "{raw}");
        let (link, _) = ways(&mailbox, DESK, &wide["message_id"]).await;
        assert_eq!(click(&mailbox, &link, "List-Unsubscribe=One-Click").await.status, 200);
        blocked(&mailbox, DESK, &long).await;
    }
}

#[tokio::test]
async fn a_tenant_does_not_learn_whom_another_one_may_not_mail() {
    for mailbox in Mailbox::each().await {
        let pod = mailbox.world.pod(&mailbox.organization, "tenant").await;
        mailbox.world.inbox(&pod, "tenant@mail.test").await;
        mailbox.world.app.operator_set_unsubscribe("mail.test", true).await.unwrap();
        let (first, path) = sent(&mailbox, "tenant@mail.test", &["reader@x.test"]).await;
        let (link, _) = ways(&mailbox, "tenant@mail.test", &first["message_id"]).await;
        assert_eq!(click(&mailbox, &link, "List-Unsubscribe=One-Click").await.status, 200);
        assert!(blocked(&mailbox, "tenant@mail.test", "reader@x.test").await.contains("Unsubscribed"));
        let other = try_send(&mailbox, DESK, &json!({"to": "reader@x.test", "text": "x"})).await;
        assert_eq!(other.status, 200, "{}", other.text);
        // A bounce that follows does not soften the entry.
        let report = bounce("r1", "reader@x.test", "failed", "5.1.1");
        assert_eq!(arrives(&mailbox, &[&path], &report).await, Received::Accepted);
        assert!(blocked(&mailbox, "tenant@mail.test", "reader@x.test").await.contains("Unsubscribed"));
    }
}

#[tokio::test]
async fn the_return_path_is_its_own_proof_and_everybody_else_is_checked() {
    let standard = |settings: &mut podmail_app::Settings| {
        settings.inbound_authentication = podmail_app::InboundAuthentication::Standard;
    };
    for mailbox in Mailbox::each_with(standard).await {
        // The name that the client gives itself says that nothing comes from there.
        mailbox.world.dns.set_txt("mx.x.test", vec!["v=spf1 -all".to_owned()]);
        let (_, path) = sent(&mailbox, DESK, &["a@x.test"]).await;
        let report = bounce("r1", "a@x.test", "failed", "5.1.1");
        assert_eq!(arrives(&mailbox, &[&path], &report).await, Received::Accepted);
        let shown = notices(&mailbox, DESK).await;
        assert_eq!(shown[0]["labels"], json!(["received", "feedback"]));
        assert_eq!(refused(&arrives(&mailbox, &[DESK], &report).await), 550);
        assert_eq!(refused(&arrives(&mailbox, &[DESK, &path], &report).await), 550, "the inbox's answer");

        let (_, path) = sent(&mailbox, DESK, &["b@x.test"]).await;
        let report = complaint("abuse", &format!("Original-Mail-From: {path}\n"), "From: desk@mail.test");
        assert_eq!(refused(&arrives(&mailbox, &["abuse@mail.test"], &report).await), 550);
        assert_eq!(count(&mailbox, "message.complained").await, 0);
        mailbox.world.dns.set_txt("mx.x.test", vec!["v=spf1 ip4:192.0.2.1 -all".to_owned()]);
        assert_eq!(arrives(&mailbox, &["abuse@mail.test"], &report).await, Received::Accepted);
        assert_eq!(count(&mailbox, "message.complained").await, 1);
    }
}
