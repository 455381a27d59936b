//! Sends, replies and forwards over HTTP. Numbers name the checks of the specification.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use podmail_domain::InboxId;
use podmail_store::{InboxCreated, InboxPlace, NewInbox, OrganizationChange};
use serde_json::{Value, json};

use crate::mailbox::{DESK, Mailbox, paths, segment};
use crate::{Answer, World};

const A: &str = "<a@x.test>";

fn reply_path(id: &str) -> String {
    format!("/messages/{}/reply", segment(id))
}

#[tokio::test]
async fn a_send_is_stored_and_readable_at_once() {
    for desk in Mailbox::each().await {
        // messages.md checks 8, 13, labels-and-lists.md check 12
        for to in [json!("a@x.test"), json!(["a@x.test"])] {
            let body = json!({ "to": to, "subject": "Hi  ", "text": "Hello", "labels": ["Outreach"] });
            let message = desk.send(&body).await;
            let id = message["message_id"].as_str().unwrap();
            assert!(id.starts_with('<') && id.ends_with("@mail.test>"), "{id}");
            for (name, want) in [
                ("to", json!(["a@x.test"])),
                ("from", json!(DESK)),
                ("subject", json!("Hi")),
                ("text", json!("Hello")),
                ("extracted_text", json!("Hello")),
                ("labels", json!(["sent", "outreach"])),
                ("timestamp", json!("2026-03-01T09:00:00.000Z")),
            ] {
                assert_eq!(message[name], want, "{name}");
            }
            for name in ["html", "cc", "bcc", "attachments", "in_reply_to", "references"] {
                assert!(message.get(name).is_none(), "{name}");
            }
            let raw = desk.raw(id).await;
            assert!(raw.contains(&format!("\nMessage-ID: {id}\n")), "{raw}");
            assert!(
                raw.contains("Date: Sun, 01 Mar 2026 09:00:00 +0000\n")
                    || raw.contains("Date: Sun, 1 Mar 2026")
            );
        }
        let message = desk.send(&json!({ "to": "a@x.test", "subject": "" })).await;
        for name in ["subject", "text", "html", "preview"] {
            assert!(message.get(name).is_none(), "{name}");
        }
    }
}

#[tokio::test]
async fn recipients_are_checked_counted_and_named_once() {
    for desk in Mailbox::each().await {
        let many = |from: usize, count: usize| -> Value {
            (from..from + count).map(|n| format!("r{n}@x.test")).collect()
        };
        // messages.md check 9
        let over = json!({ "to": many(0, 17), "cc": many(17, 17), "bcc": many(34, 17) });
        assert_eq!(paths(&desk.post("/messages/send", &over).await), json!([["to"]]));
        let full = json!({ "to": many(0, 17), "cc": many(17, 17), "bcc": many(34, 16) });
        assert_eq!(desk.post("/messages/send", &full).await.status, 200);
        // messages.md check 10
        for body in [json!({}), json!({ "to": [], "cc": null }), json!({ "text": "x" })] {
            let answer = desk.post("/messages/send", &body).await;
            assert_eq!(paths(&answer), json!([[]]));
            assert_eq!(answer.body["errors"][0]["code"], "custom");
            assert_eq!(answer.body["errors"][0]["message"], "to, cc, or bcc must be specified");
        }
        // Each address once, the first spelling stays.
        let body = json!({ "to": ["Bo <Bo@X.test>", "bo@x.test"], "cc": ["BO@x.test", "c@x.test"] });
        let message = desk.send(&body).await;
        assert_eq!((&message["to"], &message["cc"]), (&json!(["Bo <Bo@x.test>"]), &json!(["c@x.test"])));
        for (body, want) in [
            (json!({ "to": "nope" }), json!([["to"]])),
            (json!({ "to": ["a@x.test", "a@x.test, b@x.test"] }), json!([["to", 1]])),
            (
                json!({ "to": "a@x.test", "cc": ["x"], "labels": ["received"] }),
                json!([["cc", 0], ["labels", 0]]),
            ),
            (json!({ "to": "a@x.test", "subject": 5, "text": [] }), json!([["subject"], ["text"]])),
        ] {
            assert_eq!(paths(&desk.post("/messages/send", &body).await), want, "{body}");
        }
        assert_eq!(desk.list("").await.len(), 2, "nothing was stored by a refused send");
    }
}

#[tokio::test]
async fn blind_copies_are_known_to_the_sender_alone() {
    for desk in Mailbox::each().await {
        desk.world.inbox(&desk.organization, "other@mail.test").await;
        // messages.md check 11
        let sent = desk.send(&json!({ "to": "a@x.test", "bcc": "other@mail.test", "text": "x" })).await;
        assert_eq!(sent["bcc"], json!(["other@mail.test"]));
        let id = sent["message_id"].as_str().unwrap();
        let raw = desk.raw(id).await;
        assert!(!raw.to_lowercase().contains("bcc") && !raw.contains("other@mail.test"), "{raw}");
        desk.raw_mail(&["other@mail.test"], &raw).await;
        let path = format!("/v0/inboxes/other@mail.test/messages/{}", segment(id));
        let got = desk.world.get(&path, &desk.key).await.body;
        assert_eq!((&got["message_id"], &got["to"]), (&json!(id), &json!(["a@x.test"])));
        assert!(got.get("bcc").is_none());
        desk.mail("Message-ID: <a@x.test>\nBcc: spy@x.test", "x").await;
        assert!(desk.message(A).await.get("bcc").is_none(), "a received Bcc header is not believed");
    }
}

#[tokio::test]
async fn extra_headers_go_out_and_cannot_replace_or_inject_others() {
    for desk in Mailbox::each().await {
        // messages.md check 12
        for (headers, name) in [
            (json!({ "X-A": "1\r\nBcc: e@x.test" }), "X-A"),
            (json!({ "X-A": "1\u{0}" }), "X-A"),
            (json!({ "From": "x" }), "From"),
            (json!({ "content-type": "x/y" }), "content-type"),
            (json!({ "X A": "1" }), "X A"),
            (json!({ "X-A": 1 }), "X-A"),
        ] {
            let answer = desk.post("/messages/send", &json!({ "to": "a@x.test", "headers": headers })).await;
            assert_eq!(paths(&answer), json!([["headers", name]]));
        }
        let message = desk.send(&json!({ "to": "a@x.test", "headers": { "X-A": "1" } })).await;
        assert_eq!(message["headers"], json!({ "X-A": "1" }));
        assert!(desk.raw(message["message_id"].as_str().unwrap()).await.contains("\nX-A: 1\n"));
        // A send may continue a conversation; a reply has its own links.
        desk.mail("Message-ID: <a@x.test>", "x").await;
        let linked = desk.send(&json!({ "to": "a@x.test", "headers": { "In-Reply-To": A } })).await;
        assert_eq!(linked["thread_id"], desk.message(A).await["thread_id"]);
        let answer = desk.post(&reply_path(A), &json!({ "headers": { "In-Reply-To": A } })).await;
        assert_eq!(paths(&answer), json!([["headers", "In-Reply-To"]]));
    }
}

#[tokio::test]
async fn mail_to_oneself_and_to_a_plus_tag_ends_in_the_inbox_once() {
    for desk in Mailbox::each().await {
        // messages.md check 14
        let sent = desk.send(&json!({ "to": DESK, "text": "note" })).await;
        let raw = desk.raw(sent["message_id"].as_str().unwrap()).await;
        desk.raw_mail(&[DESK], &raw).await;
        assert_eq!(desk.list("").await, [sent["message_id"].as_str().unwrap()]);
        assert_eq!(desk.get("/messages").await["messages"][0]["labels"], json!(["sent"]));
        // messages.md check 15
        desk.raw_mail(
            &["desk+tag@mail.test"],
            "From: a@x.test\nTo: desk+tag@mail.test\nMessage-ID: <a@x.test>\n\nx\n",
        )
        .await;
        assert_eq!(desk.message(A).await["to"], json!(["desk+tag@mail.test"]));
    }
}

#[tokio::test]
async fn a_reply_goes_to_the_sender_ties_to_its_source_and_quotes_it() {
    for desk in Mailbox::each().await {
        desk.mail(
            "Message-ID: <a@x.test>\nSubject: Plan\nReply-To: r@x.test\nReferences: <0@x.test>",
            "See you",
        )
        .await;
        // messages.md checks 16, 22
        let reply = desk.made(&reply_path(A), &json!({ "text": "Thanks", "subject": "ignored" })).await;
        for (name, want) in [
            ("to", json!(["r@x.test"])),
            ("subject", json!("Re: Plan")),
            ("in_reply_to", json!(A)),
            ("references", json!(["<0@x.test>", A])),
            ("thread_id", desk.message(A).await["thread_id"].clone()),
            ("labels", json!(["sent"])),
            ("extracted_text", json!("Thanks")),
        ] {
            assert_eq!(reply[name], want, "{name}");
        }
        let quote = "Thanks\n\nOn Sun, Mar 1, 2026 at 9:00 AM UTC, Ada <ada@x.test> wrote:\n> See you";
        assert_eq!(reply["text"].as_str().unwrap().trim_end(), quote);
        assert!(reply.get("html").is_none());
        // messages.md checks 17, 18
        desk.mail("Message-ID: <b@x.test>\nSubject: RE: Plan", "x").await;
        let reply = desk.made(&reply_path("<b@x.test>"), &json!({ "to": "z@x.test" })).await;
        assert_eq!((&reply["subject"], &reply["to"]), (&json!("RE: Plan"), &json!(["z@x.test"])));
        assert!(reply.get("cc").is_none());
        let reply =
            desk.made(&reply_path("<b@x.test>"), &json!({ "cc": "c@x.test", "html": "<p>Ok</p>" })).await;
        assert_eq!((&reply["to"], &reply["cc"]), (&json!(["Ada <ada@x.test>"]), &json!(["c@x.test"])));
        assert!(reply["html"].as_str().unwrap().starts_with("<p>Ok</p>"), "{reply}");
        assert_eq!(reply["extracted_html"].as_str().unwrap().trim(), "<p>Ok</p>");
        // messages.md check 19
        for field in ["to", "cc", "bcc"] {
            let answer =
                desk.post(&reply_path("<b@x.test>"), &json!({ "reply_all": true, field: "c@x.test" })).await;
            assert_eq!(paths(&answer), json!([["reply_all"]]), "{field}");
        }
        let missing = desk.post(&reply_path("<no@x.test>"), &json!({ "to": 5 })).await;
        assert_eq!((missing.status, missing.code()), (404, "not_found"));
        // A key that may not read the source does not quote it.
        let (_, blind) = desk.world.key(&desk.organization, Some(r#"{"message_send":true}"#), None).await;
        let path = format!("/v0/inboxes/{DESK}{}", reply_path(A));
        let answer = desk.world.call(&Method::POST, &path, Some(&blind), r#"{"text":"Thanks"}"#).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(desk.message(answer.body["message_id"].as_str().unwrap()).await["text"], "Thanks");
    }
}

#[tokio::test]
async fn a_reply_to_all_leaves_out_the_own_address_and_nobody_else() {
    for desk in Mailbox::each().await {
        desk.mail("From: a@x.test\nTo: desk@mail.test, b@x.test, desk+t@mail.test\nCc: c@x.test, a@x.test\nMessage-ID: <a@x.test>", "x")
        .await;
        // messages.md check 20
        let path = format!("/messages/{}/reply-all", segment(A));
        for (path, body) in [
            (path, json!({ "text": "y", "to": "ignored@x.test" })),
            (reply_path(A), json!({ "text": "y", "reply_all": true })),
        ] {
            let reply = desk.made(&path, &body).await;
            assert_eq!(
                (&reply["to"], &reply["cc"]),
                (&json!(["a@x.test", "b@x.test"]), &json!(["c@x.test"]))
            );
        }
        // messages.md check 21
        let own = desk.send(&json!({ "to": ["a@x.test", "b@x.test"], "cc": "c@x.test" })).await;
        let id = own["message_id"].as_str().unwrap();
        let reply = desk.made(&reply_path(id), &json!({ "text": "also" })).await;
        assert_eq!(reply["to"], json!(["a@x.test", "b@x.test"]));
        assert!(reply.get("cc").is_none());
        let all = desk.made(&format!("/messages/{}/reply-all", segment(id)), &json!({})).await;
        assert_eq!((&all["to"], &all["cc"]), (&json!(["a@x.test", "b@x.test"]), &json!(["c@x.test"])));
        assert_eq!(all["subject"], "Re:");
    }
}

#[tokio::test]
async fn an_answer_reaches_whoever_wrote_whatever_the_name_holds() {
    for desk in Mailbox::each().await {
        let comma = "From: \"Smith, John\" <j@x.test>\nTo: desk@mail.test, \"z; y\" <z@x.test>\nCc: \"A: B\" <b@x.test>";
        desk.mail(&format!("{comma}\nMessage-ID: <a@x.test>"), "x").await;
        let reply = desk.made(&reply_path(A), &json!({ "text": "T" })).await;
        assert_eq!(reply["to"], json!(["Smith, John <j@x.test>"]));
        let all = desk.made(&format!("/messages/{}/reply-all", segment(A)), &json!({ "text": "T" })).await;
        assert_eq!(
            (&all["to"], &all["cc"]),
            (&json!(["Smith, John <j@x.test>", "z; y <z@x.test>"]), &json!(["A: B <b@x.test>"]))
        );
        // What we show can be given back, and an answer to our own mail goes to the same people.
        let again = desk.send(&json!({ "to": desk.message(A).await["from"], "text": "T" })).await;
        assert_eq!(again["to"], json!(["Smith, John <j@x.test>"]));
        let own =
            desk.made(&reply_path(again["message_id"].as_str().unwrap()), &json!({ "text": "U" })).await;
        assert_eq!(own["to"], again["to"]);
        let draft = desk.post("/drafts", &json!({ "in_reply_to": A, "text": "T" })).await;
        assert_eq!(draft.body["to"], json!(["Smith, John <j@x.test>"]), "{}", draft.text);
        let path = format!("/drafts/{}/send", draft.body["draft_id"].as_str().unwrap());
        let sent = desk.post(&path, &json!({})).await;
        let sent = desk.message(sent.body["message_id"].as_str().unwrap()).await;
        assert_eq!(sent["to"], json!(["Smith, John <j@x.test>"]));
        for (n, (header, to)) in [
            ("From: a@b.test\nReply-To: a@münchen.test", "a@xn--mnchen-3ya.test"),
            ("From: a@b.test\nReply-To: jörg@x.test", "a@b.test"),
            ("From: a..b@docomo.test", "\"a..b\"@docomo.test"),
            ("From: \"a b\"@x.test", "\"a b\"@x.test"),
        ]
        .into_iter()
        .enumerate()
        {
            let id = format!("<odd{n}@x.test>");
            desk.mail(&format!("{header}\nMessage-ID: {id}"), "x").await;
            assert_eq!(
                desk.made(&reply_path(&id), &json!({ "text": "T" })).await["to"],
                json!([to]),
                "{header}"
            );
        }
        // Whoever cannot be answered is not answered by mail to ourselves.
        for (n, from) in ["MAILER-DAEMON", "jörg@x.test", "x@[192.0.2.1]"].into_iter().enumerate() {
            let id = format!("<nobody{n}@x.test>");
            desk.mail(&format!("From: {from}\nMessage-ID: {id}"), "x").await;
            let answer = desk.post(&reply_path(&id), &json!({ "text": "T" })).await;
            assert_eq!(answer.status, 422, "{from}: {}", answer.text);
            let given = desk.made(&reply_path(&id), &json!({ "text": "T", "to": "c@x.test" })).await;
            assert_eq!(given["to"], json!(["c@x.test"]));
            let draft = desk.post("/drafts", &json!({ "in_reply_to": id })).await;
            assert_eq!(
                (draft.status, &draft.body["to"]),
                (200, &json!(null)),
                "it can get recipients later: {}",
                draft.text
            );
        }
    }
}

#[tokio::test]
async fn what_is_quoted_carries_no_script_and_stays_within_its_quote() {
    for desk in Mailbox::each().await {
        let header = "Message-ID: <a@x.test>\nMIME-Version: 1.0\nContent-Type: text/html";
        desk.mail(header, "</div></blockquote><p onclick=x()>hi</p><script>alert(1)</script>").await;
        for (path, body) in [
            (reply_path(A), json!({ "html": "<p>T</p>" })),
            (format!("/messages/{}/forward", segment(A)), json!({ "to": "c@x.test" })),
        ] {
            let sent = desk.made(&path, &body).await;
            let html = sent["html"].as_str().unwrap();
            assert!(html.contains("<p>hi</p>"), "{html}");
            assert!(!html.contains("script") && !html.contains("onclick"), "{html}");
            assert_eq!(html.matches("</blockquote>").count(), html.matches("<blockquote").count(), "{html}");
        }
    }
}

#[tokio::test]
async fn an_inbox_that_looks_like_a_tag_of_ours_is_somebody_else() {
    for desk in Mailbox::each().await {
        let made = desk
            .world
            .call(&Method::POST, "/v0/inboxes", Some(&desk.key), r#"{"username":"desk+own"}"#)
            .await;
        assert_eq!(made.status, 200, "{}", made.text);
        let from = made.body["inbox_id"].as_str().unwrap().to_owned();
        desk.mail(&format!("From: {from}\nTo: desk@mail.test, c@x.test\nMessage-ID: <a@x.test>"), "x").await;
        let all = desk.made(&format!("/messages/{}/reply-all", segment(A)), &json!({ "text": "T" })).await;
        assert_eq!(all["to"], json!([from, "c@x.test"]));
    }
}

#[tokio::test]
async fn a_forward_keeps_to_the_bounds_with_what_it_passes_on() {
    for desk in Mailbox::each().await {
        let part = "--b\nContent-Type: text/plain\nContent-Disposition: attachment\n\nx\n".repeat(100);
        let header = "Message-ID: <a@x.test>\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b";
        desk.mail(header, &format!("{part}--b--")).await;
        let path = format!("/messages/{}/forward", segment(A));
        let forward = json!({ "to": "c@x.test" });
        assert_eq!(desk.made(&path, &forward).await["attachments"].as_array().unwrap().len(), 100);
        let more = json!({ "to": "c@x.test", "attachments": [{ "content": "eA==" }] });
        let refused = desk.post(&path, &more).await;
        assert_eq!(paths(&refused), json!([["attachments"]]));
        assert_eq!(refused.body["errors"][0]["maximum"], 100);
    }
}

#[tokio::test]
async fn threads_follow_ids_and_not_subjects() {
    for desk in Mailbox::each().await {
        desk.mail("Message-ID: <a@x.test>\nSubject: Plan", "x").await;
        let thread = desk.message(A).await["thread_id"].clone();
        // messages.md check 25
        desk.mail("Message-ID: <b@x.test>\nSubject: Other\nIn-Reply-To: a@x.test", "x").await;
        assert_eq!(desk.message("<b@x.test>").await["thread_id"], thread);
        // messages.md check 26
        desk.mail("Message-ID: <c@x.test>\nSubject: Re: Plan", "x").await;
        assert_ne!(desk.message("<c@x.test>").await["thread_id"], thread);
    }
}

async fn keyed(world: &World, owner: &str, path: &str, key: &str, body: &str) -> Answer {
    let request = Request::post(format!("/v0/inboxes/{path}"))
        .header("authorization", format!("Bearer {owner}"))
        .header("idempotency-key", key)
        .body(Full::<Bytes>::from(body.to_owned()));
    world.send(request.unwrap()).await
}

// extras.md check 29
#[tokio::test]
async fn an_idempotency_key_sends_once_and_names_one_request() {
    for desk in Mailbox::each().await {
        desk.world.inbox(&desk.organization, "other@mail.test").await;
        let (world, owner) = (&desk.world, desk.key.as_str());
        let send = "desk@mail.test/messages/send";
        // conventions.md check 20
        let first =
            keyed(world, owner, send, "k1", r#"{"to":"a@x.test","headers":{"X-A":"1","X-B":"2"}}"#).await;
        let again =
            keyed(world, owner, send, "k1", r#"{"headers":{"X-B":"2","X-A":"1"},"to":"a@x.test"}"#).await;
        assert_eq!((first.status, &first.body), (200, &again.body));
        assert_eq!(desk.list("").await.len(), 1);
        // conventions.md check 21
        let id = segment(first.body["message_id"].as_str().unwrap());
        let same = r#"{"to":"a@x.test","headers":{"X-A":"1","X-B":"2"}}"#;
        for (path, body) in [
            (send.to_owned(), r#"{"to":"a@x.test","subject":"other"}"#),
            ("other@mail.test/messages/send".to_owned(), same),
            (format!("desk@mail.test/messages/{id}/reply"), same),
        ] {
            let answer = keyed(world, owner, &path, "k1", body).await;
            assert_eq!((answer.status, answer.code()), (409, "conflict"), "{path}");
        }
        // conventions.md check 22
        for bad in ["", "a b", &"k".repeat(257)] {
            let answer = keyed(world, owner, send, bad, same).await;
            assert_eq!((answer.status, answer.code()), (400, "validation_error"), "{bad}");
        }
        assert_eq!(desk.list("").await.len(), 1);
        // A refused request leaves its key free.
        assert_eq!(keyed(world, owner, send, "k2", "{}").await.status, 400);
        assert_eq!(keyed(world, owner, send, "k2", same).await.status, 200);
        // A day later it is forgotten.
        world.clock.advance(Duration::from_secs(24 * 3600 + 1));
        let later = keyed(world, owner, send, "k1", same).await;
        assert_eq!(later.status, 200);
        assert_ne!(later.body["message_id"], first.body["message_id"]);
    }
}

#[tokio::test]
async fn a_key_replays_what_it_made_and_nothing_else() {
    for desk in Mailbox::each().await {
        let (world, owner) = (&desk.world, desk.key.as_str());
        let send = "desk@mail.test/messages/send";
        let first = keyed(world, owner, send, "k", r#"{"to":"a@x.test"}"#).await;
        assert_eq!(first.status, 200, "{}", first.text);
        // Absent and null are one request.
        let again = keyed(world, owner, send, "k", r#"{"to":"a@x.test","cc":null,"labels":null}"#).await;
        assert_eq!((again.status, &again.body), (200, &first.body), "{}", again.text);
        let draft = desk.post("/drafts", &json!({ "to": "a@x.test" })).await.body;
        let send_draft = format!("desk@mail.test/drafts/{}/send", draft["draft_id"].as_str().unwrap());
        let sent = keyed(world, owner, &send_draft, "d", "").await;
        assert_eq!(sent.status, 200, "{}", sent.text);
        for body in ["{}", " ", r#"{"add_labels":null}"#] {
            let again = keyed(world, owner, &send_draft, "d", body).await;
            assert_eq!((again.status, &again.body), (200, &sent.body), "{body}");
        }
        // What is no request replays nothing.
        for (path, key) in [(send, "k"), (send_draft.as_str(), "d")] {
            for body in [r#"{"x"#, "null", "[]"] {
                let refused = keyed(world, owner, path, key, body).await;
                assert_eq!((refused.status, refused.code()), (400, "validation_error"), "{body}");
            }
        }
        // The address begins anew, in another pod: what was sent from it before is nobody's there.
        assert_eq!(desk.call(http::Method::DELETE, "", &Value::Null).await.status, 204);
        let tenant = world.pod(&desk.organization, "tenant").await;
        world.inbox(&tenant, "desk@mail.test").await;
        let (_, theirs) = world.key(&tenant, None, None).await;
        let refused = keyed(world, &theirs, send, "k", r#"{"to":"a@x.test"}"#).await;
        assert_eq!((refused.status, refused.code()), (409, "conflict"), "{}", refused.text);
    }
}

#[tokio::test]
async fn a_message_carries_a_hundred_labels_besides_those_of_the_server() {
    for desk in Mailbox::each().await {
        let labels: Vec<String> = (0..100).map(|n| format!("l{n}")).collect();
        let message = desk.send(&json!({ "to": "a@x.test", "labels": labels })).await;
        assert_eq!(message["labels"].as_array().unwrap().len(), 101);
        let path = format!("/messages/{}", segment(message["message_id"].as_str().unwrap()));
        // labels-and-lists.md section 1, rule 4: without effect, so without a limit
        assert_eq!(desk.patch(&path, &json!({ "add_labels": "l7" })).await.status, 200);
        let refused = desk.patch(&path, &json!({ "add_labels": "one more" })).await;
        assert_eq!((refused.status, refused.code()), (400, "validation_error"));
        let swapped = json!({ "add_labels": "one more", "remove_labels": "l7" });
        assert_eq!(desk.patch(&path, &swapped).await.status, 200);
    }
}

#[tokio::test]
async fn what_is_missing_is_told_by_what_was_given() {
    for desk in Mailbox::each().await {
        let many = vec!["a@x.test"; 501];
        for (body, want) in [
            (json!({ "text": "x", "labels": "received" }), json!([[], ["labels", 0]])),
            (json!({ "text": "x", "to": [], "reply_to": "nope" }), json!([[], ["reply_to"]])),
            (json!({ "to": [null] }), json!([["to", 0]])),
            (json!({ "to": 5 }), json!([["to"]])),
            (json!({ "to": many }), json!([["to"]])),
        ] {
            let refused = desk.post("/messages/send", &body).await;
            let mut paths = paths(&refused).as_array().unwrap().clone();
            paths.sort_by_key(ToString::to_string);
            let mut want = want.as_array().unwrap().clone();
            want.sort_by_key(ToString::to_string);
            assert_eq!(paths, want, "{}", refused.text);
        }
        let refused = desk.post("/messages/batch-update", &json!({})).await;
        let paths = paths(&refused);
        assert_eq!(paths, json!([["message_ids"], []]), "{}", refused.text);
        // A label that is refused is not one that is missing.
        let refused = desk.post("/messages/batch-update", &json!({ "add_labels": "sent" })).await;
        assert_eq!(crate::mailbox::paths(&refused), json!([["message_ids"], ["add_labels", 0]]));
    }
}

#[tokio::test]
async fn quotas_and_unverified_domains_refuse_a_send() {
    for desk in Mailbox::each().await {
        let change = OrganizationChange { send_per_day: Some(Some(2)), ..OrganizationChange::default() };
        let organization = desk.organization.organization();
        assert!(desk.world.store.set_organization(organization, change, desk.world.app.now()).await.unwrap());
        // conventions.md check 28
        desk.send(&json!({ "to": "a@x.test", "cc": "b@x.test" })).await;
        desk.world.clock.advance(Duration::from_secs(3600));
        let refused = desk.post("/messages/send", &json!({ "to": "a@x.test" })).await;
        assert_eq!((refused.status, refused.code()), (429, "rate_limit_exceeded"), "{}", refused.text);
        assert_eq!(refused.headers["retry-after"], "82800");
        desk.world.clock.advance(Duration::from_secs(23 * 3600 + 1));
        // At once, no more are sent than one after the other.
        let body = json!({ "to": "a@x.test" });
        let sends = futures_util::future::join_all((0..12).map(|_| desk.post("/messages/send", &body))).await;
        let mut statuses: Vec<u16> = sends.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [vec![200; 2], vec![429; 10]].concat());
        desk.world.clock.advance(Duration::from_secs(24 * 3600 + 1));
        // messages.md check 48
        let inbox_id = InboxId::parse("desk@own.test").unwrap();
        let created = desk.world.store.create_inbox(NewInbox {
            scope: desk.organization.clone(),
            place: InboxPlace::At { inbox_id, governing_domain: Some("own.test".to_owned()) },
            display_name: None,
            client_id: None,
            paused: false,
            metadata: None,
            now: desk.world.app.now(),
        });
        assert!(matches!(created.await.unwrap(), InboxCreated::Created(_)));
        let path = "/v0/inboxes/desk@own.test/messages/send";
        let answer = desk.world.call(&Method::POST, path, Some(&desk.key), r#"{"to":"a@x.test"}"#).await;
        assert_eq!((answer.status, answer.code()), (403, "domain_not_verified"));
    }
}
