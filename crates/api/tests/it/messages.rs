//! Messages as they come in, are read, listed, labelled and deleted. Numbers name the checks of the specification.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::mailbox::{DESK, Mailbox, SPAM, paths, segment};

const A: &str = "<a@x.test>";

#[tokio::test]
async fn a_message_has_the_bodies_that_its_mail_has_and_a_list_item_none() {
    for desk in Mailbox::each().await {
        desk.mail("Message-ID: <a@x.test>\nSubject: Hi\nReply-To: r@x.test", "Hello there").await;
        desk.world.clock.advance(Duration::from_secs(1));
        desk.mail("Message-ID: <h@x.test>\nContent-Type: text/html", "<p>Hello</p>").await;
        // messages.md check 1, conventions.md checks 18, 19
        let text = desk.message(A).await;
        let raw = desk.raw(A).await.replace('\n', "\r\n");
        let (organization, thread) =
            (desk.organization.organization().to_string(), text["thread_id"].clone());
        assert_eq!(
            text,
            json!({
                "organization_id": organization, "pod_id": organization, "inbox_id": DESK, "thread_id": thread,
                "message_id": A, "labels": ["received", "unread"], "timestamp": "2026-03-01T09:00:00.000Z",
                "from": "Ada <ada@x.test>", "reply_to": ["r@x.test"], "to": [DESK], "subject": "Hi",
                "preview": "Hello there", "text": "Hello there\n", "extracted_text": "Hello there",
                "size": raw.len(), "updated_at": "2026-03-01T09:00:00.000Z", "created_at": "2026-03-01T09:00:00.000Z"
            })
        );
        // messages.md check 2
        let html = desk.message("<h@x.test>").await;
        for name in ["text", "preview", "extracted_text", "subject", "cc", "bcc", "attachments"] {
            assert!(html.get(name).is_none(), "{name}");
        }
        assert_eq!(html["html"].as_str().unwrap().trim(), "<p>Hello</p>");
        // messages.md check 3; newest first
        let list = desk.get("/messages").await;
        assert_eq!(list["count"], 2);
        assert!(list.get("limit").is_none());
        assert_eq!(list["messages"][0]["message_id"], "<h@x.test>");
        for item in list["messages"].as_array().unwrap() {
            for name in ["text", "html", "extracted_text", "extracted_html", "reply_to", "headers"] {
                assert!(item.get(name).is_none(), "{name}");
            }
        }
        // labels-and-lists.md check 1
        assert_eq!(desk.message(A).await["labels"], json!(["received", "unread"]));
    }
}

#[tokio::test]
async fn received_html_is_sanitised_and_the_raw_message_is_not() {
    for desk in Mailbox::each().await {
        let body = "<div class=\"c\" onclick=\"x()\">Hi<script>alert(1)</script></div>";
        desk.mail("Message-ID: <a@x.test>\nContent-Type: text/html", body).await;
        // messages.md check 47
        assert_eq!(desk.message(A).await["html"].as_str().unwrap().trim(), "<div class=\"c\">Hi</div>");
        assert!(desk.raw(A).await.contains("<script>alert(1)</script>"));
    }
}

#[tokio::test]
async fn ids_are_found_in_every_spelling_and_replaced_where_a_path_cannot_hold_them() {
    for desk in Mailbox::each().await {
        // messages.md check 4
        desk.mail("Message-ID: <a@x.test>", "x").await;
        assert_eq!(desk.get("/messages/%3Ca@x.test%3E").await["message_id"], A);
        // conventions.md check 15
        desk.mail("Message-ID: <a/b@x.test>", "x").await;
        for spelling in ["%3Ca/b@x.test%3E", "%3Ca%2Fb%40x.test%3E"] {
            assert_eq!(desk.get(&format!("/messages/{spelling}")).await["message_id"], "<a/b@x.test>");
            let reply = desk.made(&format!("/messages/{spelling}/reply"), &json!({ "text": "Yes" })).await;
            assert_eq!(reply["in_reply_to"], "<a/b@x.test>");
        }
        for original in ["<a/../../b@x.test>", "<a?b@x.test>"] {
            desk.world.clock.advance(Duration::from_secs(60));
            desk.mail(&format!("Message-ID: {original}"), "x").await;
            let id = desk.list("?limit=1").await.remove(0);
            assert!(id.starts_with('<') && id.ends_with("@mail.test>"), "{id}");
            let message = desk.message(&id).await;
            assert_eq!(message["headers"]["Message-ID"], original);
            desk.mail(
                &format!("Message-ID: <2{original}\nIn-Reply-To: {original}").replace("<2<", "<2"),
                "y",
            )
            .await;
            let answer = desk.get("/messages").await["messages"]
                .as_array()
                .unwrap()
                .iter()
                .find(|item| item["in_reply_to"] == id.as_str())
                .cloned();
            assert_eq!(answer.unwrap()["thread_id"], message["thread_id"], "{original}");
        }
        // messages.md check 5
        desk.world.clock.advance(Duration::from_secs(60));
        desk.mail("Subject: Nameless", "x").await;
        let id = desk.list("?limit=1").await.remove(0);
        assert!(id.starts_with('<') && id.ends_with("@mail.test>"), "{id}");
    }
}

#[tokio::test]
async fn the_same_mail_is_stored_once_a_day_and_another_one_under_a_substitute_id() {
    for desk in Mailbox::each().await {
        // messages.md checks 6, 50
        desk.mail("Message-ID: <a@x.test>", "one").await;
        desk.mail("Message-ID: <a@x.test>", "one").await;
        desk.world.clock.advance(Duration::from_secs(3600));
        desk.mail("Message-ID: <a@x.test>", "one").await;
        assert_eq!(desk.list("").await, [A]);
        desk.mail("Message-ID: <a@x.test>", "two").await;
        let ids = desk.list("").await;
        assert_eq!((ids.len(), ids[1].as_str()), (2, A));
        assert!(ids[0].ends_with("@mail.test>"), "{ids:?}");
        assert_eq!(desk.message(&ids[0]).await["text"], "two\n");
        desk.world.clock.advance(Duration::from_secs(2 * 24 * 3600));
        desk.mail("Message-ID: <a@x.test>", "one").await;
        assert_eq!(desk.list("").await.len(), 3);
    }
}

#[tokio::test]
async fn a_date_is_believed_within_bounds() {
    for desk in Mailbox::each().await {
        for (n, (date, want)) in [
            // messages.md check 7
            ("Sun, 01 Mar 2026 11:00:00 +0000", "2026-03-01T09:00:00.000Z"),
            ("Sun, 01 Mar 2026 09:04:00 +0000", "2026-03-01T09:04:00.000Z"),
            ("Sun, 01 Mar 2026 09:30:00 +0100", "2026-03-01T08:30:00.000Z"),
            ("Sat, 21 Feb 2026 09:00:00 +0000", "2026-03-01T09:00:00.000Z"),
            ("yesterday", "2026-03-01T09:00:00.000Z"),
        ]
        .into_iter()
        .enumerate()
        {
            desk.mail(&format!("Message-ID: <{n}@x.test>\nDate: {date}"), "x").await;
            let message = desk.message(&format!("<{n}@x.test>")).await;
            assert_eq!(message["timestamp"], want, "{date}");
            assert_eq!(message["created_at"], "2026-03-01T09:00:00.000Z");
        }
    }
}

#[tokio::test]
async fn batches_answer_in_request_order_and_change_all_or_nothing() {
    for desk in Mailbox::each().await {
        for name in ["a", "b", "c"] {
            desk.mail(&format!("Message-ID: <{name}@x.test>"), "Hello").await;
        }
        let many = |count: usize| -> Value { (0..count).map(|n| format!("<{n}@y.test>")).collect() };
        // messages.md check 27
        let got = desk
            .post("/messages/batch-get", &json!({ "message_ids": ["<b@x.test>", "<no@x.test>", A] }))
            .await
            .body;
        assert_eq!((&got["limit"], &got["count"]), (&json!(3), &json!(2)));
        assert_eq!(got["messages"][0]["message_id"], "<b@x.test>");
        assert_eq!(got["messages"][1]["message_id"], A);
        for name in ["text", "html", "extracted_text", "extracted_html"] {
            assert!(got["messages"][0].get(name).is_none(), "{name}");
        }
        for (ids, want) in [
            (json!([A, A]), json!([["message_ids", 1]])),
            (json!([]), json!([["message_ids"]])),
            (many(501), json!([["message_ids"]])),
            (Value::Null, json!([["message_ids"]])),
        ] {
            let answer = desk.post("/messages/batch-get", &json!({ "message_ids": ids })).await;
            assert_eq!(paths(&answer), want);
        }
        assert_eq!(desk.post("/messages/batch-get", &json!({ "message_ids": many(500) })).await.status, 200);
        // messages.md checks 28, 29
        let all = json!([A, "<b@x.test>", "<c@x.test>"]);
        for (body, want) in [
            (json!({ "message_ids": all, "add_labels": ["x", "sent"] }), json!([["add_labels", 1]])),
            (json!({ "message_ids": many(51), "add_labels": ["x"] }), json!([["message_ids"]])),
            (json!({ "message_ids": all }), json!([[]])),
            (json!({ "message_ids": all, "add_labels": [], "remove_labels": [] }), json!([[]])),
        ] {
            assert_eq!(paths(&desk.post("/messages/batch-update", &body).await), want, "{body}");
        }
        assert!(desk.list("?labels=x").await.is_empty());
        let body = json!({ "message_ids": ["<c@x.test>", "<no@x.test>", A], "add_labels": "x", "remove_labels": "unread" });
        assert_eq!(
            desk.post("/messages/batch-update", &body).await.body,
            json!({ "limit": 3, "count": 2, "updates": [
                { "message_id": "<c@x.test>", "labels": ["received", "x"] },
                { "message_id": A, "labels": ["received", "x"] }
            ]})
        );
    }
}

#[tokio::test]
async fn labels_are_normalized_and_system_labels_belong_to_the_server() {
    for desk in Mailbox::each().await {
        desk.mail("Message-ID: <a@x.test>", "x").await;
        let path = format!("/messages/{}", segment(A));
        // messages.md check 30, labels-and-lists.md checks 3, 4, 10
        for (body, want) in [
            (json!({}), json!([[]])),
            (json!({ "add_labels": ["ok", "sent"] }), json!([["add_labels", 1]])),
            (json!({ "remove_labels": "received" }), json!([["remove_labels", 0]])),
            (json!({ "add_labels": ["draft", "Scheduled"] }), json!([["add_labels", 0], ["add_labels", 1]])),
            (json!({ "add_labels": ["l".repeat(257)] }), json!([["add_labels", 0]])),
            (json!({ "add_labels": [""] }), json!([["add_labels", 0]])),
            (json!({ "add_labels": ["a\u{7}b"] }), json!([["add_labels", 0]])),
        ] {
            let answer = desk.patch(&path, &body).await;
            assert_eq!(paths(&answer), want, "{body}: {}", answer.text);
        }
        let refused = desk.patch(&path, &json!({ "add_labels": ["ok", "sent"] })).await;
        assert_eq!(refused.body["errors"][0]["code"], "custom");
        assert_eq!(refused.body["errors"][0]["message"], "Cannot use system label: sent");
        assert_eq!(desk.message(A).await["labels"], json!(["received", "unread"]));
        // labels-and-lists.md checks 2, 5, 6
        for (body, want) in [
            (json!({ "add_labels": ["Read "], "remove_labels": ["unread"] }), json!(["received", "read"])),
            (json!({ "add_labels": ["x"], "remove_labels": ["x"] }), json!(["received", "read"])),
            (json!({ "add_labels": "solo" }), json!(["received", "read", "solo"])),
            (json!({ "add_labels": ["l".repeat(256)], "remove_labels": ["solo", "none"] }), {
                json!(["received", "read", "l".repeat(256)])
            }),
        ] {
            let answer = desk.patch(&path, &body).await;
            assert_eq!(answer.body, json!({ "message_id": A, "labels": want }), "{body}");
        }
        let missing = desk.patch(&format!("/messages/{}", segment("<no@x.test>")), &json!({})).await;
        assert_eq!(
            (missing.status, missing.code()),
            (404, "not_found"),
            "a missing message comes before a bad body"
        );
    }
}

#[tokio::test]
async fn lists_show_what_carries_every_label_and_hide_what_is_restricted() {
    for desk in Mailbox::each().await {
        for (name, labels) in [("a", json!(["a"])), ("ab", json!(["a", "b", "foo"])), ("b", json!(["b"]))] {
            desk.mail(&format!("Message-ID: <{name}@x.test>"), "x").await;
            let path = format!("/messages/{}", segment(&format!("<{name}@x.test>")));
            assert_eq!(desk.patch(&path, &json!({ "add_labels": labels })).await.status, 200);
        }
        // labels-and-lists.md checks 7, 11, conventions.md check 14
        for query in
            ["?labels=%5B%22a%22%2C%22b%22%5D", "?labels=a&labels=b", "?labels=a,b", "?labels=A&labels=%20b"]
        {
            assert_eq!(desk.list(query).await, ["<ab@x.test>"], "{query}");
        }
        assert!(desk.list("?labels=fo*").await.is_empty());
        // labels-and-lists.md checks 8, 9
        let path = format!("/messages/{}", segment(A));
        desk.patch(&path, &json!({ "add_labels": ["spam"] })).await;
        let shown = async |query: &str| desk.list(query).await.iter().any(|id| id == A);
        for (query, want) in [("", false), ("?labels=spam", false), ("?include_spam=true", true)] {
            assert_eq!(shown(query).await, want, "{query}");
        }
        assert_eq!(desk.list("?labels=spam&include_spam=1").await, [A]);
        desk.patch(&path, &json!({ "add_labels": ["trash"] })).await;
        for (query, want) in [
            ("?include_spam=true", false),
            ("?include_trash=true", false),
            ("?include_spam=true&include_trash=true", true),
        ] {
            assert_eq!(shown(query).await, want, "{query}");
        }
        assert_eq!(desk.message(A).await["labels"], json!(["received", "unread", "a", "spam", "trash"]));
        // Without the flag of the key the message does not exist.
        let (_, blind) = desk.world.key(&desk.organization, Some(r#"{"message_read":true}"#), None).await;
        let answer = desk.world.get(&format!("/v0/inboxes/{DESK}{path}"), &blind).await;
        assert_eq!((answer.status, answer.code()), (404, "not_found"));
        desk.mail("Message-ID: <spam@x.test>", SPAM).await;
        assert_eq!(desk.message("<spam@x.test>").await["labels"], json!(["received", "unread", "spam"]));
    }
}

#[tokio::test]
async fn lists_show_headers_like_the_message_itself() {
    for desk in Mailbox::each().await {
        desk.mail("Message-ID: <a@x.test>\nX-A: 1\nX-A: 2\nList-Id: <l.x.test>\nSubject: s", "x").await;
        desk.mail("Message-ID: <a@x.test>\nSubject: t", "y").await;
        let long = format!("Message-ID: <c@x.test>\nX-Long: {}", "y".repeat(17_000));
        desk.mail(&long, "z").await;
        let listed = desk.get("/messages?ascending=true").await["messages"].clone();
        let find = |subject: Option<&str>| {
            let all = listed.as_array().unwrap();
            all.iter().find(|message| message["subject"].as_str() == subject).unwrap().clone()
        };
        assert_eq!(find(Some("s"))["headers"], json!({ "X-A": "1\n2", "List-Id": "<l.x.test>" }));
        let substitute = find(Some("t"));
        assert_eq!(substitute["headers"], json!({ "Message-ID": "<a@x.test>" }));
        for message in [find(Some("s")), substitute] {
            let id = message["message_id"].as_str().unwrap();
            assert_eq!(desk.message(id).await["headers"], message["headers"]);
        }
        assert_eq!(find(None).get("headers"), None, "too long for a list");
        assert_eq!(desk.message("<c@x.test>").await["headers"]["X-Long"].as_str().unwrap().len(), 17_000);
    }
}

#[tokio::test]
async fn list_filters_are_substrings_of_senders_recipients_and_subject() {
    for desk in Mailbox::each().await {
        desk.mail(
            "From: Alice <a@x.test>\nCc: Carol <c@y.test>\nMessage-ID: <1@x.test>\nSubject: Plan A",
            "x",
        )
        .await;
        desk.mail("From: alice@x.test\nMessage-ID: <2@x.test>\nSubject: Lunch", "x").await;
        desk.mail("From: bob@x.test\nMessage-ID: <3@x.test>", "x").await;
        // messages.md check 33
        for (query, want) in [
            ("?ascending=true&from=%5B%22ALICE%22%5D", vec!["<2@x.test>", "<1@x.test>"]),
            ("?from=alice&from=x.test&subject=plan", vec!["<1@x.test>"]),
            ("?from=%5B%22alice%22%2C%22bob%22%5D", vec![]),
            ("?to=carol", vec!["<1@x.test>"]),
            ("?to=c@y.test&to=desk", vec!["<1@x.test>"]),
            ("?subject=plan", vec!["<1@x.test>"]),
        ] {
            assert_eq!(desk.list(query).await, want, "{query}");
        }
        // messages.md check 34
        let call =
            async |query: &str| desk.call(Method::GET, &format!("/messages{query}"), &Value::Null).await;
        assert_eq!(paths(&call("?limit=101&subject=%5B%22a%22%5D").await), json!([["limit"]]));
        assert_eq!(call("?limit=101").await.status, 200);
        assert_eq!(paths(&call("?subject=%5B%22%22%5D").await), json!([["subject", 0]]));
        // conventions.md checks 29, 30, 31
        assert_eq!(paths(&call("?before=2026-01-01T00:00:00").await), json!([["before"]]));
        assert_eq!(paths(&call("?include_spam=maybe").await), json!([["include_spam"]]));
        assert_eq!(desk.list("?after=2026-03-01T09:00:00Z").await.len(), 3);
        assert_eq!(desk.list("?before=2026-03-01T10:00:00%2B01:00").await.len(), 0);
        // Pages joined are the whole.
        let page = desk.get("/messages?limit=2&from=x.test").await;
        assert_eq!((&page["count"], &page["limit"]), (&json!(2), &json!(2)));
        let token = page["next_page_token"].as_str().unwrap();
        let rest = desk.get(&format!("/messages?limit=2&from=x.test&page_token={token}")).await;
        assert_eq!(rest["count"], 1);
        assert!(rest.get("next_page_token").is_none());
    }
}

#[tokio::test]
async fn a_raw_link_works_without_a_key_until_it_expires_or_the_message_is_gone() {
    for desk in Mailbox::each().await {
        desk.mail("Message-ID: <a@x.test>\nSubject: Hi", "one").await;
        desk.mail("Message-ID: <b@x.test>\nIn-Reply-To: <a@x.test>", "two").await;
        let thread = desk.message(A).await["thread_id"].as_str().unwrap().to_owned();
        let path = format!("/messages/{}", segment(A));
        // messages.md check 32
        let link = desk.get(&format!("{path}/raw")).await;
        assert_eq!(link["message_id"], A);
        assert_eq!(link["expires_at"], "2026-03-01T10:00:00.000Z");
        let answer = desk.download(&link["download_url"]).await;
        assert_eq!(
            (answer.status, &answer.headers["content-type"]),
            (200, &"message/rfc822".parse().unwrap())
        );
        assert_eq!(answer.text.len(), link["size"]);
        assert!(answer.text.starts_with("Received: from mx.x.test ([192.0.2.1])\r\n"), "{}", answer.text);
        assert!(
            answer
                .text
                .ends_with("To: desk@mail.test\r\nMessage-ID: <a@x.test>\r\nSubject: Hi\r\n\r\none\r\n")
        );
        desk.world.clock.advance(Duration::from_secs(3600));
        assert_eq!(desk.download(&link["download_url"]).await.status, 403);
        // messages.md check 31
        let link = desk.get(&format!("{path}/raw")).await;
        assert_eq!(desk.get(&format!("/threads/{thread}")).await["message_count"], 2);
        assert_eq!(desk.call(Method::DELETE, &path, &Value::Null).await.status, 204);
        assert_eq!(desk.call(Method::GET, &path, &Value::Null).await.code(), "not_found");
        assert_eq!(desk.call(Method::DELETE, &path, &Value::Null).await.status, 404);
        assert_eq!(desk.download(&link["download_url"]).await.status, 404);
        assert_eq!(desk.get(&format!("/threads/{thread}")).await["message_count"], 1);
        desk.call(Method::DELETE, &format!("/messages/{}", segment("<b@x.test>")), &Value::Null).await;
        assert_eq!(desk.call(Method::GET, &format!("/threads/{thread}"), &Value::Null).await.status, 404);
    }
}
