//! Full-text search over HTTP, on both engines. Numbers name the checks of search.md.

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::mailbox::{DESK, Mailbox, SPAM, paths, segment};

fn encoded(q: &str) -> String {
    utf8_percent_encode(q, NON_ALPHANUMERIC).to_string()
}

/// What a search for messages finds.
async fn found(desk: &Mailbox, q: &str) -> Vec<Value> {
    let body = desk.get(&format!("/messages/search?q={}", encoded(q))).await;
    let messages = body["messages"].as_array().unwrap().clone();
    assert_eq!(body["count"], messages.len());
    messages
}

/// The subjects of what a search for messages finds, in order.
async fn subjects(desk: &Mailbox, q: &str) -> Vec<String> {
    found(desk, q).await.iter().map(|m| m["subject"].as_str().unwrap_or("").to_owned()).collect()
}

async fn threads(desk: &Mailbox, path: &str, q: &str) -> Vec<Value> {
    let answer = desk.world.get(&format!("{path}/threads/search?q={}", encoded(q)), &desk.key).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["threads"].as_array().unwrap().clone()
}

/// The lines of `/metrics` on what waits for the index.
async fn gauge(desk: &Mailbox) -> Vec<String> {
    let text = desk.world.call(&Method::GET, "/metrics", None, "").await.text;
    let own = |line: &&str| line.contains("podmail_search_backlog") && !line.starts_with("# HELP");
    text.lines().filter(own).map(str::to_owned).collect()
}

async fn mail(desk: &Mailbox, id: &str, header: &str, body: &str) {
    desk.mail(&format!("Message-ID: <{id}@x.test>\n{header}"), body).await;
    desk.world.clock.advance(std::time::Duration::from_secs(1));
}

#[tokio::test]
async fn words_are_found_where_they_stand_and_the_subject_counts_most() {
    for desk in Mailbox::each().await {
        mail(&desk, "1", "Subject: neither", "Nothing to see.").await;
        mail(&desk, "2", "Subject: Your invoice", "Hello there.").await;
        mail(&desk, "3", "Subject: body only", "We sent the invoice. Overdue!").await;
        // check 1, newest first only where the match is as good
        assert_eq!(subjects(&desk, "INVOICE").await, ["Your invoice", "body only"]);
        // check 2
        assert_eq!(subjects(&desk, "voi").await, ["Your invoice"]);
        // check 3
        assert_eq!(subjects(&desk, "invo").await, ["Your invoice", "body only"]);
        // check 5
        let hit = &found(&desk, "invoice").await[0];
        assert_eq!(hit["highlights"], json!({ "subject": ["Your **invoice**"] }));
        assert_eq!(
            found(&desk, "invo").await[1]["highlights"]["text"],
            json!(["We sent the **invoice**. Overdue!"])
        );
        // check 6
        assert_eq!(subjects(&desk, "invoice overdue").await, ["body only"]);
        // check 7
        assert_eq!(subjects(&desk, "\"invoice overdue\"").await, ["body only"]);
        assert_eq!(subjects(&desk, "\"overdue invoice\"").await, Vec::<String>::new());
        // check 12
        for q in ["(((", "AND", "a* OR -b", "\"", "from:x", "'; DROP TABLE messages", "\\", "%", "💥"] {
            found(&desk, q).await;
        }
        // A message item otherwise: no bodies.
        for name in ["text", "html", "extracted_text"] {
            assert!(hit.get(name).is_none(), "{name}");
        }
    }
}

#[tokio::test]
async fn addresses_accents_and_scripts_without_breaks_are_found() {
    for desk in Mailbox::each().await {
        mail(&desk, "1", "From: Alice <alice@x.test>\nSubject: a", "x").await;
        mail(&desk, "2", "To: desk@mail.test\nCc: Alice <alice@x.test>\nSubject: b", "x").await;
        // check 4
        let hits = found(&desk, "alice@x.test").await;
        assert_eq!(hits.len(), 2);
        for hit in &hits {
            let name = if hit["subject"] == "a" { "from" } else { "recipients" };
            assert!(hit["highlights"][name].to_string().contains("**alice@x.test**"), "{hit}");
        }
        // check 16
        mail(&desk, "3", "Subject: =?utf-8?Q?Caf=C3=A9?=", "x").await;
        let hits = found(&desk, "cafe").await;
        assert_eq!(hits[0]["highlights"]["subject"], json!(["**Café**"]));
        // check 17
        mail(&desk, "4", "Subject: Order 12345", "x").await;
        assert_eq!(subjects(&desk, "12345").await, ["Order 12345"]);
        assert_eq!(desk.list("?subject=%5B%222345%22%5D").await, ["<4@x.test>"]);
        // one and two characters, and a single Chinese one
        assert_eq!(subjects(&desk, "r 1").await, ["Order 12345"]);
        assert_eq!(subjects(&desk, "45").await, ["Order 12345"]);
        let header = "Subject: cjk\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
            Content-Transfer-Encoding: 8bit";
        mail(&desk, "5", header, "明日の会議は東京駅で。").await;
        for q in ["会議", "東京駅", "駅", "明日の会議"] {
            assert_eq!(subjects(&desk, q).await, ["cjk"], "{q}");
        }
        assert_eq!(subjects(&desk, "京都").await, Vec::<String>::new());
        assert_eq!(
            found(&desk, "会議").await[0]["highlights"]["text"],
            json!(["明日の**会議**は東京駅で。"])
        );
        // check 20
        let header = "Subject: html\nMIME-Version: 1.0\nContent-Type: text/html";
        mail(
            &desk,
            "6",
            header,
            "<p class=\"hiddenword\">Your <b>refund</b> is here</p><style>.stylish{}</style>",
        )
        .await;
        let hit = &found(&desk, "refund").await[0];
        assert_eq!(hit["highlights"]["text"], json!(["Your **refund** is here"]));
        for q in ["hiddenword", "stylish"] {
            assert_eq!(subjects(&desk, q).await, Vec::<String>::new(), "{q}");
        }
    }
}

#[tokio::test]
async fn results_are_right_after_every_change_and_never_show_what_is_restricted() {
    for desk in Mailbox::each().await {
        // check 8
        mail(&desk, "1", "Subject: needle spam", SPAM).await;
        assert_eq!(subjects(&desk, "needle").await, Vec::<String>::new());
        let body = desk.get("/messages/search?q=needle&include_spam=true").await;
        assert_eq!(body["count"], 0);
        // check 13
        mail(&desk, "2", "Subject: needle one", "x").await;
        assert_eq!(subjects(&desk, "needle").await, ["needle one"]);
        desk.patch("/messages/%3C2%40x.test%3E", &json!({ "add_labels": ["trash"] })).await;
        assert_eq!(subjects(&desk, "needle").await, Vec::<String>::new());
        assert_eq!(threads(&desk, "/v0", "needle").await.len(), 0);
        desk.patch("/messages/%3C2%40x.test%3E", &json!({ "remove_labels": ["trash"] })).await;
        assert_eq!(subjects(&desk, "needle").await, ["needle one"]);
        // The worker's index says the same as the search that indexed by itself.
        while desk.world.app.index_once().await.unwrap() > 0 {}
        assert_eq!(desk.world.app.search_backlog().await.unwrap(), 0);
        mail(&desk, "3", "Subject: needle two", "x").await;
        assert_eq!(desk.world.app.search_backlog().await.unwrap(), 1);
        assert_eq!(gauge(&desk).await, ["# TYPE podmail_search_backlog gauge", "podmail_search_backlog 1"]);
        while desk.world.app.index_once().await.unwrap() > 0 {}
        assert_eq!(gauge(&desk).await.last().map(String::as_str), Some("podmail_search_backlog 0"));
        assert_eq!(subjects(&desk, "needle").await, ["needle two", "needle one"]);
        desk.call(Method::DELETE, &format!("/messages/{}", segment("<2@x.test>")), &Value::Null).await;
        assert_eq!(subjects(&desk, "needle").await, ["needle two"]);
        // What is sent is found as well.
        desk.send(&json!({ "to": "a@x.test", "subject": "needle three" })).await;
        assert_eq!(subjects(&desk, "needle").await, ["needle three", "needle two"]);
        // A deleted inbox leaves nothing, not even in the index.
        desk.world.call(&Method::DELETE, &format!("/v0/inboxes/{DESK}"), Some(&desk.key), "").await;
        assert_eq!(threads(&desk, "/v0", "needle").await.len(), 0);
        let listed = desk.world.get("/v0/threads?subject=needle", &desk.key).await;
        assert_eq!(listed.body["count"], 0, "a filter is no way around");
        for _ in 0..200 {
            if !desk.world.store.purge_step(10).await.unwrap().more {
                break;
            }
        }
        assert_eq!(threads(&desk, "/v0", "needle").await.len(), 0);
    }
}

#[tokio::test]
async fn pages_continue_and_bad_queries_are_named() {
    for desk in Mailbox::each().await {
        for n in 1..=3 {
            mail(&desk, &n.to_string(), &format!("Subject: hit {n}"), "x").await;
        }
        // check 9
        for query in ["", "?q=", "?q=%20", "?limit=101"] {
            let answer = desk.call(Method::GET, &format!("/messages/search{query}"), &Value::Null).await;
            assert_eq!(paths(&answer)[0], json!(["q"]), "{query}");
        }
        let answer = desk.call(Method::GET, "/messages/search?q=hit&limit=101", &Value::Null).await;
        assert_eq!(paths(&answer), json!([["limit"]]));
        let long =
            desk.call(Method::GET, &format!("/messages/search?q={}", "x".repeat(257)), &Value::Null).await;
        assert_eq!(paths(&long), json!([["q"]]));
        // check 10
        for path in ["/messages/search", "/threads/search"] {
            let first = desk.get(&format!("{path}?q=hit&limit=2")).await;
            let name = if path.starts_with("/messages") { "messages" } else { "threads" };
            let list = |page: &Value| -> Vec<Value> {
                page[name].as_array().unwrap().iter().map(|item| item["subject"].clone()).collect()
            };
            assert_eq!((list(&first), &first["limit"]), (vec![json!("hit 3"), json!("hit 2")], &json!(2)));
            let token = first["next_page_token"].as_str().unwrap();
            let rest = desk.get(&format!("{path}?q=hit&limit=2&page_token={token}")).await;
            assert_eq!(list(&rest), [json!("hit 1")]);
            assert!(rest.get("next_page_token").is_none());
            // check 11
            let other =
                desk.call(Method::GET, &format!("{path}?q=other&page_token={token}"), &Value::Null).await;
            assert_eq!(paths(&other), json!([["page_token"]]));
        }
        // check 21
        for (query, want) in [
            ("before=2026-03-01T09:00:01Z", vec!["hit 1"]),
            ("after=2026-03-01T09:00:01Z", vec!["hit 3", "hit 2"]),
            ("after=2026-03-01T09:00:01Z&before=2026-03-01T09:00:02Z", vec!["hit 2"]),
        ] {
            let body = desk.get(&format!("/messages/search?q=hit&{query}")).await;
            let got: Vec<&str> =
                body["messages"].as_array().unwrap().iter().map(|m| m["subject"].as_str().unwrap()).collect();
            assert_eq!(got, want, "{query}");
            let body = desk.get(&format!("/threads/search?q=hit&{query}")).await;
            assert_eq!(body["count"], want.len(), "{query}");
        }
        // check 18 and 19: filters of lists are something else
        mail(&desk, "4", "Subject: a and b\nCc: Carol <carol@x.test>", "x").await;
        assert_eq!(desk.list("?subject=%5B%22a%22%2C%22b%22%5D").await, ["<4@x.test>"]);
        assert_eq!(desk.list("?to=%5B%22carol%22%5D").await, ["<4@x.test>"]);
    }
}

#[tokio::test]
async fn threads_are_found_once_by_all_their_messages_within_their_pod() {
    for desk in Mailbox::each().await {
        mail(&desk, "1", "Subject: Budget", "The budget for spring.").await;
        mail(
            &desk,
            "2",
            "Subject: Re: Budget\nIn-Reply-To: <1@x.test>\nFrom: Bob <bob@x.test>",
            "Budget approved.",
        )
        .await;
        // check 15
        let hits = threads(&desk, &format!("/v0/inboxes/{DESK}"), "budget").await;
        assert_eq!((hits.len(), &hits[0]["message_count"]), (1, &json!(2)));
        assert_eq!(hits[0]["highlights"]["subject"], json!(["Re: **Budget**", "**Budget**"]));
        assert_eq!(
            hits[0]["highlights"]["text"],
            json!(["**Budget** approved.", "The **budget** for spring."])
        );
        // terms may be spread over its messages
        assert_eq!(threads(&desk, "/v0", "spring approved").await.len(), 1);
        assert_eq!(threads(&desk, "/v0", "spring declined").await.len(), 0);
        let hits = threads(&desk, "/v0", "bob@x.test spring").await;
        assert_eq!(hits[0]["highlights"]["from"], json!(["Bob <**bob@x.test**>"]));
        assert_eq!(subjects(&desk, "spring approved").await.len(), 0, "no one message holds both");
        // check 14
        let (one, two) =
            (desk.world.pod(&desk.organization, "a").await, desk.world.pod(&desk.organization, "b").await);
        for (pod, name) in [(&one, "one@mail.test"), (&two, "two@mail.test")] {
            desk.world.inbox(pod, name).await;
            desk.raw_mail(
                &[name],
                &format!("From: x@x.test\nTo: {name}\nSubject: shared word {name}\n\nx\n"),
            )
            .await;
        }
        let (_, key) = desk.world.key(&one, None, None).await;
        assert_eq!(threads(&desk, "/v0", "shared").await.len(), 2);
        let mine = threads(&desk, &format!("/v0/pods/{}", one.pod().unwrap()), "shared").await;
        assert_eq!((mine.len(), &mine[0]["inbox_id"]), (1, &json!("one@mail.test")));
        let seen = desk.world.get("/v0/threads/search?q=shared", &key).await;
        assert_eq!(
            (&seen.body["count"], &seen.body["threads"][0]["inbox_id"]),
            (&json!(1), &json!("one@mail.test"))
        );
        let other =
            desk.world.get(&format!("/v0/pods/{}/threads/search?q=shared", two.pod().unwrap()), &key).await;
        assert_eq!(other.status, 404);
    }
}

/// Every item of a search, page by page.
async fn all_pages(desk: &Mailbox, path: &str, name: &str) -> Vec<Value> {
    let (mut items, mut token) = (Vec::new(), String::new());
    for _ in 0..20 {
        let page = desk.get(&format!("{path}&limit=100{token}")).await;
        items.extend(page[name].as_array().unwrap().iter().cloned());
        match page["next_page_token"].as_str() {
            Some(next) => token = format!("&page_token={next}"),
            None => return items,
        }
    }
    panic!("{path}: more pages than there can be");
}

/// More results than are compared with each other, all of one instant, as when the clock stands still.
#[tokio::test]
async fn every_result_comes_once_however_many_there_are() {
    const HEADS: usize = 430;
    const BODIES: usize = 30;
    for desk in Mailbox::each().await {
        for n in 0..HEADS {
            desk.mail(&format!("Message-ID: <head{n}@x.test>\nSubject: lantern {n}"), "x").await;
        }
        for n in 0..BODIES {
            let text = if n % 2 == 0 { "A lantern." } else { "Two lanterns." };
            desk.mail(&format!("Message-ID: <body{n}@x.test>\nSubject: other {n}"), text).await;
        }
        for (path, name) in
            [("/messages/search?q=lantern", "messages"), ("/threads/search?q=lantern", "threads")]
        {
            let subjects: Vec<String> = all_pages(&desk, path, name)
                .await
                .iter()
                .map(|item| item["subject"].as_str().unwrap().to_owned())
                .collect();
            assert_eq!(subjects.len(), HEADS + BODIES, "{path}");
            let distinct: std::collections::BTreeSet<&String> = subjects.iter().collect();
            assert_eq!(distinct.len(), HEADS + BODIES, "{path}");
            assert!(subjects[..HEADS].iter().all(|subject| subject.starts_with("lantern")), "{path}");
            let number =
                |subject: &String| subject.strip_prefix("other ").unwrap().parse::<usize>().unwrap() % 2;
            let tail: Vec<usize> = subjects[HEADS..].iter().map(number).collect();
            assert!(tail.is_sorted(), "{path}: words before their beginnings, {tail:?}");
        }
    }
}
