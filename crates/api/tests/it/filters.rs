//! Substring filters of lists where much else lies before what they look for. Numbers name the checks of search.md.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::mailbox::{Mailbox, segment};

/// More than a list looks through before it asks the index, and more than are rare.
const OTHERS: usize = 1_030;

/// Subjects of a list, read to the end in pages of `limit`; how many pages.
async fn all(desk: &Mailbox, path: &str, noun: &str, limit: usize) -> (Vec<String>, usize) {
    let (mut found, mut pages, mut token) = (Vec::new(), 0, String::new());
    while pages < 100 {
        let body = desk.get(&format!("{path}&limit={limit}{token}")).await;
        found.extend(
            body[noun].as_array().unwrap().iter().map(|item| item["subject"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        match body["next_page_token"].as_str() {
            Some(next) => token = format!("&page_token={next}"),
            None => return (found, pages),
        }
    }
    panic!("{path} does not end: {found:?}");
}

async fn buried(desk: &Mailbox) {
    for n in 1..=4 {
        desk.mail(
            &format!("From: Rare Bird <rare@z.test>\nMessage-ID: <{n}@x.test>\nSubject: Needle {n}"),
            "x",
        )
        .await;
        desk.world.clock.advance(Duration::from_secs(1));
    }
    desk.mail("From: Nora <nora@z.test>\nMessage-ID: <n@x.test>\nSubject: Plan", "x").await;
    let header =
        "From: N. Other <nora@z.test>\nMessage-ID: <o@x.test>\nReferences: <n@x.test>\nSubject: Changed";
    desk.mail(header, "x").await;
    desk.world.clock.advance(Duration::from_secs(1));
    // Within one instant, so that only ids tell them apart.
    for first in (0..OTHERS).step_by(64) {
        join_all((first..(first + 64).min(OTHERS)).map(|n| async move {
            let header = format!("From: other{n}@y.test\nMessage-ID: <f{n}@x.test>\nSubject: Other {n}.");
            desk.mail(&header, "x").await;
        }))
        .await;
    }
    let change = json!({ "add_labels": ["trash"] });
    assert_eq!(desk.patch(&format!("/messages/{}", segment("<2@x.test>")), &change).await.status, 200);
    while desk.world.app.index_once().await.unwrap() > 0 {}
}

#[tokio::test]
async fn what_is_rare_is_found_in_one_request_however_much_came_after_it() {
    for desk in Mailbox::each().await {
        buried(&desk).await;
        let needles = |numbers: &[usize]| numbers.iter().map(|n| format!("Needle {n}")).collect::<Vec<_>>();
        for (query, want) in [
            ("?from=RARE", vec![4, 3, 1]),
            ("?from=are+b&from=z.test&to=desk", vec![4, 3, 1]),
            ("?subject=eedl&include_trash=true", vec![4, 3, 2, 1]),
            ("?subject=needle&labels=trash&include_trash=true", vec![2]),
            ("?subject=needle&labels=trash", vec![]),
            ("?subject=needle+3", vec![3]),
            (
                "?subject=needle&after=2026-03-01T09:00:01Z&before=2026-03-01T09:00:03Z&include_trash=true",
                vec![3, 2],
            ),
            ("?from=rare&subject=other", vec![]),
        ] {
            // checks 17 and 18, in one page each
            assert_eq!(
                all(&desk, &format!("/messages{query}"), "messages", 10).await,
                (needles(&want), 1),
                "{query}"
            );
            assert_eq!(
                all(
                    &desk,
                    &format!("/threads{}", query.replace("from=", "senders=").replace("to=", "recipients=")),
                    "threads",
                    10
                )
                .await,
                (needles(&want), 1),
                "{query}"
            );
        }
        // Pages joined are the whole, each once.
        assert_eq!(all(&desk, "/messages?from=rare", "messages", 1).await, (needles(&[4, 3, 1]), 3));
        assert_eq!(
            all(&desk, "/threads?senders=rare&ascending=true", "threads", 2).await,
            (needles(&[1, 3, 4]), 2)
        );
        for (path, noun, pages) in
            [("/messages?from=other", "messages", 11), ("/threads?subject=other", "threads", 11)]
        {
            let (found, count) = all(&desk, path, noun, 100).await;
            let distinct: BTreeSet<&String> = found.iter().collect();
            assert_eq!((distinct.len(), count), (found.len(), pages), "{path}");
            assert_eq!(found.len() - OTHERS, usize::from(noun == "messages"), "{path}: N. Other is one too");
        }
    }
}

#[tokio::test]
async fn a_thread_is_listed_for_any_of_its_messages() {
    for desk in Mailbox::each().await {
        buried(&desk).await;
        let names = |body: &Value| {
            body["threads"].as_array().unwrap().iter().map(|t| t["subject"].clone()).collect::<Vec<_>>()
        };
        // Its row has Nora's first name and the first subject: the others are read of its messages.
        for query in [
            "senders=n. other",
            "subject=changed",
            "subject=plan&subject=changed&senders=nora",
            "recipients=desk&subject=change",
        ] {
            let query = query.replace(' ', "+");
            assert_eq!(names(&desk.get(&format!("/threads?{query}")).await), [json!("Plan")], "{query}");
        }
        // Where every value is common, threads are looked through.
        let found = all(&desk, "/threads?senders=other&recipients=desk", "threads", 100).await.0;
        assert_eq!((found.len(), found.iter().filter(|subject| *subject == "Plan").count()), (OTHERS + 1, 1));
        let change = json!({ "add_labels": ["spam"] });
        assert_eq!(desk.patch(&format!("/messages/{}", segment("<o@x.test>")), &change).await.status, 200);
        assert_eq!(names(&desk.get("/threads?subject=changed").await), Vec::<Value>::new(), "not visible");
        assert_eq!(names(&desk.get("/threads?subject=changed&include_spam=true").await), [json!("Plan")]);
    }
}
