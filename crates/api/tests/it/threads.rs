//! Threads at their three mounts. Numbers name the checks of the specification.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::mailbox::{DESK, Mailbox, SPAM, paths, segment};

const A: &str = "<a@x.test>";

impl Mailbox {
    /// Ids of the threads of a list.
    async fn threads(&self, path: &str) -> Vec<String> {
        let answer = self.world.get(path, &self.key).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        let threads = answer.body["threads"].as_array().unwrap();
        assert_eq!(answer.body["count"], threads.len());
        threads.iter().map(|thread| thread["thread_id"].as_str().unwrap().to_owned()).collect()
    }

    async fn thread_of(&self, message: &str) -> String {
        self.message(message).await["thread_id"].as_str().unwrap().to_owned()
    }

    async fn thread(&self, id: &str) -> Value {
        self.get(&format!("/threads/{id}")).await
    }

    /// `count` mails of one thread, a second apart: `<0@x.test>` and on.
    async fn conversation(&self, count: usize) -> String {
        for n in 0..count {
            let link = if n == 0 { "" } else { "\nReferences: <0@x.test>" };
            self.mail(&format!("Message-ID: <{n}@x.test>{link}"), "x").await;
            self.world.clock.advance(Duration::from_secs(1));
        }
        self.thread_of("<0@x.test>").await
    }
}

fn ids(thread: &Value) -> Vec<&str> {
    thread["messages"].as_array().unwrap().iter().map(|m| m["message_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_thread_tells_of_all_its_messages() {
    for desk in Mailbox::each().await {
        // threads.md check 1
        let sent = desk.send(&json!({ "to": "Bob <b@x.test>", "subject": "Plan", "text": "Hello" })).await;
        let (thread, id) = (sent["thread_id"].as_str().unwrap(), sent["message_id"].as_str().unwrap());
        let item = desk.get("/threads").await["threads"][0].clone();
        let organization = desk.organization.organization().to_string();
        assert_eq!(
            item,
            json!({
                "organization_id": organization, "pod_id": organization, "inbox_id": DESK, "thread_id": thread,
                "labels": ["sent"], "timestamp": "2026-03-01T09:00:00.000Z",
                "sent_timestamp": "2026-03-01T09:00:00.000Z", "senders": [DESK], "recipients": ["Bob <b@x.test>"],
                "subject": "Plan", "preview": "Hello", "last_message_id": id, "message_count": 1,
                "size": sent["size"], "updated_at": "2026-03-01T09:00:00.000Z", "created_at": "2026-03-01T09:00:00.000Z"
            })
        );
        // threads.md checks 2, 3, 4
        desk.world.clock.advance(Duration::from_secs(60));
        let header =
            format!("From: Bob <b@x.test>\nMessage-ID: <b1@x.test>\nSubject: Re: other\nIn-Reply-To: {id}");
        desk.mail(&header, "Sure").await;
        desk.world.clock.advance(Duration::from_secs(60));
        desk.made(&format!("/messages/{}/reply", segment("<b1@x.test>")), &json!({ "text": "Good" })).await;
        desk.world.clock.advance(Duration::from_secs(60));
        desk.mail(&format!("From: b@X.test\nMessage-ID: <b2@x.test>\nIn-Reply-To: {id}"), "Bye").await;
        let whole = desk.thread(thread).await;
        for (name, want) in [
            ("message_count", json!(4)),
            ("labels", json!(["sent", "received", "unread"])),
            ("timestamp", json!("2026-03-01T09:03:00.000Z")),
            ("received_timestamp", json!("2026-03-01T09:03:00.000Z")),
            ("sent_timestamp", json!("2026-03-01T09:02:00.000Z")),
            ("senders", json!([DESK, "Bob <b@x.test>"])),
            ("recipients", json!(["Bob <b@x.test>", DESK])),
            ("subject", json!("Plan")),
            ("preview", json!("Bye")),
            ("last_message_id", json!("<b2@x.test>")),
            ("count", json!(4)),
        ] {
            assert_eq!(whole[name], want, "{name}");
        }
        assert_eq!(ids(&whole)[0], id);
        assert_eq!(whole["messages"][3], desk.message("<b2@x.test>").await);
        assert!(whole.get("limit").is_none() && whole.get("next_page_token").is_none());
        // threads.md check 5
        let size = |message: &Value| message["size"].as_u64().unwrap();
        let sum: u64 = whole["messages"].as_array().unwrap().iter().map(size).sum();
        assert_eq!(whole["size"], sum);
        desk.call(Method::DELETE, &format!("/messages/{}", segment("<b2@x.test>")), &Value::Null).await;
        let less = desk.thread(thread).await;
        assert_eq!(less["size"], sum - size(&whole["messages"][3]));
        assert_eq!(less["preview"].as_str().unwrap().lines().next(), Some("Good"));
    }
}

#[tokio::test]
async fn a_thread_is_seen_from_its_inbox_its_pod_and_its_organization() {
    for desk in Mailbox::each().await {
        let pod = desk.world.pod(&desk.organization, "b").await;
        desk.world.inbox(&pod, "b@mail.test").await;
        // threads.md check 21: one mail to both inboxes
        let raw = "From: Ada <ada@x.test>\nTo: desk@mail.test\nMessage-ID: <a@x.test>\n\nx\n";
        desk.raw_mail(&[DESK, "b@mail.test"], raw).await;
        desk.raw_mail(
            &[DESK, "b@mail.test"],
            &raw.replace("<a@", "<2@").replace("\n\n", "\nIn-Reply-To: <a@x.test>\n\n"),
        )
        .await;
        let (default, own) = (desk.organization.pod_or_default(), pod.pod().unwrap());
        // threads.md check 6
        let here = desk.threads(&format!("/v0/inboxes/{DESK}/threads")).await;
        let there = desk.threads("/v0/inboxes/b@mail.test/threads").await;
        assert_eq!((here.len(), there.len()), (1, 1));
        assert_ne!(here, there);
        assert_eq!(desk.threads(&format!("/v0/pods/{default}/threads")).await, here);
        assert_eq!(desk.threads(&format!("/v0/pods/{own}/threads")).await, there);
        let mut all = desk.threads("/v0/threads").await;
        all.sort();
        let mut both = [here.clone(), there.clone()].concat();
        both.sort();
        assert_eq!(all, both);
        // threads.md check 7
        for path in [
            format!("/v0/pods/{default}/threads/{}", there[0]),
            format!("/v0/inboxes/{DESK}/threads/{}", there[0]),
        ] {
            let answer = desk.world.get(&path, &desk.key).await;
            assert_eq!((answer.status, answer.code()), (404, "not_found"), "{path}");
        }
        assert_eq!(desk.world.get(&format!("/v0/threads/{}", there[0]), &desk.key).await.status, 200);
    }
}

// extras.md check 27
#[tokio::test]
async fn a_long_thread_comes_newest_page_first_and_ascending_inside() {
    for desk in Mailbox::each().await {
        let thread = desk.conversation(120).await;
        let id = |n: usize| format!("<{n}@x.test>");
        let range = |from: usize, to: usize| (from..to).map(id).collect::<Vec<_>>();
        // threads.md check 8
        let whole = desk.thread(&thread).await;
        assert_eq!((&whole["message_count"], &whole["count"]), (&json!(120), &json!(100)));
        assert_eq!(ids(&whole), range(20, 120));
        let token = whole["next_page_token"].as_str().unwrap();
        let rest = desk.get(&format!("/threads/{thread}?page_token={token}")).await;
        assert_eq!(ids(&rest), range(0, 20));
        assert!(rest.get("next_page_token").is_none());
        let (mut token, mut pages) = (String::new(), Vec::new());
        for (from, to) in [(70, 120), (20, 70), (0, 20)] {
            let page = desk.get(&format!("/threads/{thread}?limit=50{token}")).await;
            assert_eq!(ids(&page), range(from, to));
            assert_eq!((&page["message_count"], &page["limit"]), (&json!(120), &json!(50)));
            token = page["next_page_token"]
                .as_str()
                .map_or_else(String::new, |token| format!("&page_token={token}"));
            pages.push(token.is_empty());
        }
        assert_eq!(pages, [false, false, true]);
        // threads.md check 9
        let answer = desk.call(Method::GET, &format!("/threads/{thread}?limit=101"), &Value::Null).await;
        assert_eq!(paths(&answer), json!([["limit"]]));
        assert_eq!(answer.body["errors"][0]["code"], "too_big");
    }
}

#[tokio::test]
async fn a_change_of_labels_is_one_of_all_messages() {
    for desk in Mailbox::each().await {
        let thread = desk.conversation(3).await;
        let path = format!("/threads/{thread}");
        // threads.md check 10
        let answer = desk.patch(&path, &json!({ "add_labels": ["done"] })).await;
        assert_eq!(answer.body, json!({ "thread_id": thread, "labels": ["received", "unread", "done"] }));
        assert_eq!(desk.list("?labels=done").await.len(), 3);
        // threads.md checks 11, 12
        for (body, want) in [
            (json!({ "add_labels": ["sent"] }), json!([["add_labels", 0]])),
            (json!({ "remove_labels": ["ok", "received"] }), json!([["remove_labels", 1]])),
            (json!({}), json!([[]])),
        ] {
            assert_eq!(paths(&desk.patch(&path, &body).await), want, "{body}");
        }
        let answer = desk.patch(&path, &json!({ "add_labels": ["a"], "remove_labels": ["a", "done"] })).await;
        assert_eq!(answer.body["labels"], json!(["received", "unread"]));
        // threads.md check 14
        let list = format!("/v0/inboxes/{DESK}/threads");
        desk.patch(&path, &json!({ "add_labels": ["trash"] })).await;
        assert!(desk.threads(&list).await.is_empty());
        assert_eq!(desk.threads(&format!("{list}?include_trash=true")).await, [thread.as_str()]);
        assert_eq!(desk.thread(&thread).await["labels"], json!(["received", "unread", "trash"]));
        desk.patch(&path, &json!({ "remove_labels": "trash" })).await;
        assert_eq!(desk.threads(&list).await, [thread.as_str()]);
        // threads.md check 15
        assert_eq!(desk.call(Method::DELETE, &path, &Value::Null).await.status, 204);
        assert_eq!(desk.call(Method::GET, &path, &Value::Null).await.status, 404);
        for n in 0..3 {
            let message = format!("/messages/{}", segment(&format!("<{n}@x.test>")));
            assert_eq!(desk.call(Method::GET, &message, &Value::Null).await.status, 404);
        }
        let later = "Message-ID: <late@x.test>\nReferences: <0@x.test>";
        desk.mail(later, "x").await;
        assert_ne!(desk.thread_of("<late@x.test>").await, thread);
    }
}

#[tokio::test]
async fn a_thread_of_a_hundred_messages_is_too_large_to_change_at_once() {
    for desk in Mailbox::each().await {
        // threads.md check 13
        let thread = desk.conversation(99).await;
        let path = format!("/threads/{thread}");
        assert_eq!(desk.patch(&path, &json!({ "add_labels": ["x"] })).await.status, 200);
        desk.mail("Message-ID: <99@x.test>\nReferences: <0@x.test>", "x").await;
        let answer = desk.patch(&path, &json!({ "add_labels": ["y"] })).await;
        assert_eq!((answer.status, answer.code()), (422, "unprocessable"));
        assert!(desk.list("?labels=y").await.is_empty());
    }
}

#[tokio::test]
async fn a_restricted_message_hides_itself_and_not_its_thread() {
    for desk in Mailbox::each().await {
        let thread = desk.conversation(2).await;
        desk.mail("From: Eve <e@x.test>\nMessage-ID: <s@x.test>\nReferences: <0@x.test>", SPAM).await;
        desk.mail("Message-ID: <only@x.test>", SPAM).await;
        let only = desk.thread_of("<only@x.test>").await;
        let list = format!("/v0/inboxes/{DESK}/threads");
        // threads.md checks 16, 17
        let plain = desk.get("/threads").await;
        assert_eq!(plain["count"], 1);
        assert_eq!(plain["threads"][0]["message_count"], 2);
        assert_eq!(plain["threads"][0]["labels"], json!(["received", "unread"]));
        assert_eq!(plain["threads"][0]["senders"], json!(["Ada <ada@x.test>"]));
        let spam = desk.get("/threads?include_spam=true&ascending=true").await;
        assert_eq!(spam["count"], 2);
        let of = |id: &str| {
            let threads = spam["threads"].as_array().unwrap();
            threads.iter().find(|thread| thread["thread_id"] == id).unwrap().clone()
        };
        assert_eq!((&of(&thread)["message_count"], &of(&thread)["labels"][2]), (&json!(3), &json!("spam")));
        assert_eq!(of(&only)["labels"], json!(["received", "unread", "spam"]));
        assert_eq!(desk.thread(&thread).await["message_count"], 3, "in a get only the key matters");
        // threads.md check 18
        let (_, blind) = desk.world.key(&desk.organization, Some(r#"{"message_read":true}"#), None).await;
        let seen = desk.world.get(&format!("{list}/{thread}"), &blind).await.body;
        assert_eq!((&seen["message_count"], &seen["count"]), (&json!(2), &json!(2)));
        assert_eq!(seen["labels"], json!(["received", "unread"]));
        let hidden = desk.world.get(&format!("{list}/{only}"), &blind).await;
        assert_eq!((hidden.status, hidden.code()), (404, "not_found"));
    }
}

#[tokio::test]
async fn lists_order_by_what_they_show_and_filter_by_who_and_what() {
    for desk in Mailbox::each().await {
        desk.mail("From: Alice <al@x.test>\nMessage-ID: <a@x.test>\nSubject: Plan", "x").await;
        desk.world.clock.advance(Duration::from_secs(60));
        desk.mail("From: bob@x.test\nMessage-ID: <b@x.test>\nSubject: Lunch", "x").await;
        desk.world.clock.advance(Duration::from_secs(60));
        desk.made(&format!("/messages/{}/reply", segment(A)), &json!({ "text": "y" })).await;
        let (a, b) = (desk.thread_of(A).await, desk.thread_of("<b@x.test>").await);
        // threads.md checks 19, 22, 23
        for (query, want) in [
            ("", vec![&a, &b]),
            ("?labels=%5B%22received%22%5D", vec![&b, &a]),
            ("?labels=received,sent", vec![&a]),
            ("?labels=sent", vec![&a]),
            ("?ascending=true", vec![&b, &a]),
            ("?senders=%5B%22ali%22%5D", vec![&a]),
            ("?recipients=AL@x", vec![&a]),
            ("?subject=lunch&senders=bob", vec![&b]),
            ("?before=2026-03-01T09:02:00Z", vec![&b]),
            ("?labels=received&before=2026-03-01T09:01:00Z", vec![&a]),
            ("?after=2026-03-01T09:01:00Z&labels=received", vec![&b]),
        ] {
            let got = desk.threads(&format!("/v0/inboxes/{DESK}/threads{query}")).await;
            assert_eq!(got.iter().collect::<Vec<_>>(), want, "{query}");
        }
        let page = desk.get("/threads?limit=1").await;
        let token = page["next_page_token"].as_str().unwrap();
        assert_eq!(page["threads"][0]["thread_id"], a);
        assert_eq!(
            desk.get(&format!("/threads?limit=1&page_token={token}")).await["threads"][0]["thread_id"],
            b
        );
        let wide = desk.call(Method::GET, "/threads?limit=101&subject=a", &Value::Null).await;
        assert_eq!(paths(&wide), json!([["limit"]]));
    }
}

#[tokio::test]
async fn a_thread_shows_the_files_of_all_its_messages() {
    for desk in Mailbox::each().await {
        let part = "MIME-Version: 1.0\nContent-Type: text/csv\nContent-Disposition: attachment; filename=";
        desk.mail(&format!("Message-ID: <a@x.test>\n{part}1.csv"), "one").await;
        desk.mail("Message-ID: <2@x.test>\nReferences: <a@x.test>", "x").await;
        desk.mail(&format!("Message-ID: <3@x.test>\nReferences: <a@x.test>\n{part}3.csv"), "three").await;
        desk.mail(&format!("Message-ID: <other@x.test>\n{part}o.csv"), "other").await;
        let thread = desk.thread_of(A).await;
        // threads.md check 20
        let shown = desk.thread(&thread).await["attachments"].clone();
        let names: Vec<&Value> = shown.as_array().unwrap().iter().map(|file| &file["filename"]).collect();
        assert_eq!(json!(names), json!(["1.csv", "3.csv"]));
        for file in shown.as_array().unwrap() {
            let path = format!("/threads/{thread}/attachments/{}", file["attachment_id"].as_str().unwrap());
            assert_eq!(desk.get(&path).await["filename"], file["filename"]);
        }
        let other = desk.message("<other@x.test>").await["attachments"][0]["attachment_id"].clone();
        let path = format!("/threads/{thread}/attachments/{}", other.as_str().unwrap());
        assert_eq!(desk.call(Method::GET, &path, &Value::Null).await.status, 404);
    }
}

#[tokio::test]
async fn an_answer_of_the_same_second_comes_after_its_question() {
    for desk in Mailbox::each().await {
        desk.world.clock.advance(Duration::from_millis(500));
        let sent = desk.send(&json!({ "to": "a@x.test", "subject": "S", "text": "question" })).await;
        let question = sent["message_id"].as_str().unwrap();
        desk.world.clock.advance(Duration::from_millis(200));
        let date = "Sun, 01 Mar 2026 09:00:00 +0000";
        desk.mail(
            &format!("Message-ID: <a@x.test>\nIn-Reply-To: {question}\nSubject: Re: S\nDate: {date}"),
            "answer",
        )
        .await;
        // threads.md check 2
        let thread = desk.thread(sent["thread_id"].as_str().unwrap()).await;
        assert_eq!(ids(&thread), [question, A]);
        assert_eq!((&thread["subject"], &thread["last_message_id"]), (&json!("S"), &json!(A)));
        assert_eq!(thread["preview"], "answer");
        assert_eq!(desk.list("").await, [A, question]);
        // Otherwise the date counts, in whole seconds.
        desk.mail(&format!("Message-ID: <b@x.test>\nDate: {date}"), "x").await;
        assert_eq!(desk.message("<b@x.test>").await["timestamp"], "2026-03-01T09:00:00.000Z");
    }
}

#[tokio::test]
async fn labels_of_threads_are_compared_whole_and_hidden_ones_stay_hidden() {
    for desk in Mailbox::each().await {
        desk.mail("Message-ID: <a@x.test>", "x").await;
        desk.mail("Message-ID: <b@x.test>\nReferences: <a@x.test>", "y").await;
        let thread = desk.thread_of(A).await;
        let odd = json!({ "add_labels": ["x\"b", "y,", "z"] });
        assert_eq!(desk.patch(&format!("/messages/{}", segment(A)), &odd).await.status, 200);
        for (label, count) in [("b", 0), ("x\\\"b", 1), ("y,", 1), ("z", 1), ("y", 0)] {
            let label = percent_encoding::utf8_percent_encode(label, percent_encoding::NON_ALPHANUMERIC);
            let found = desk.get(&format!("/threads?labels=%5B%22{label}%22%5D")).await;
            assert_eq!(found["count"], count, "{label}");
        }
        // What carries trash already is not told of to a key that may not see it.
        let hidden = json!({ "add_labels": ["secret", "trash"] });
        assert_eq!(desk.patch("/messages/%3Cb%40x.test%3E", &hidden).await.status, 200);
        let key = desk
            .world
            .call(
                &Method::POST,
                "/v0/api-keys",
                Some(&desk.key),
                &json!({ "permissions": { "message_read": true, "message_update": true } }).to_string(),
            )
            .await;
        assert_eq!(key.status, 200, "{}", key.text);
        let key = key.body["api_key"].as_str().unwrap();
        let path = format!("/v0/inboxes/{DESK}/threads/{thread}");
        let changed = desk.world.call(&Method::PATCH, &path, Some(key), r#"{"add_labels":["trash"]}"#).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        let labels: Vec<&str> =
            changed.body["labels"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
        assert!(labels.contains(&"trash") && !labels.contains(&"secret"), "{labels:?}");
    }
}

#[tokio::test]
async fn a_thread_was_changed_last_when_it_was_also_after_a_deletion() {
    for desk in Mailbox::each().await {
        let thread = desk.conversation(2).await;
        let before = desk.thread(&thread).await["updated_at"].clone();
        let gone = desk.call(Method::DELETE, "/messages/%3C1%40x.test%3E", &Value::Null).await;
        assert_eq!(gone.status, 204);
        assert_eq!(desk.thread(&thread).await["updated_at"], before);
    }
}
