//! Bodies as Markdown. Numbers name the checks of the specification.

use http::Method;
use serde_json::{Value, json};

use crate::mailbox::{DESK, Mailbox, paths, segment};

const A: &str = "<a@x.test>";

fn with(id: &str, query: &str) -> String {
    format!("/messages/{}?{query}", segment(id))
}

// messages.md check 52
#[tokio::test]
async fn html_mail_is_read_as_markdown_without_what_nobody_sees() {
    let desk = Mailbox::new().await;
    let html = "<div style=\"display:none\">Secret preheader</div><table><tr><td><table><tr><td><h1>Offer</h1></td></tr>\
        <tr><td><img src=\"https://x.test/l.png\" alt=\"Acme logo\"> Save <b>now</b></td></tr></table></td></tr></table>\
        <a href=\"https://x.test/p?utm_source=mail&amp;id=7\">See it</a><p hidden>Also secret</p>";
    desk.mail("Message-ID: <a@x.test>\nContent-Type: text/html", html).await;
    let plain = desk.message(A).await;
    for name in ["markdown", "markdown_length", "markdown_next_offset", "text"] {
        assert!(plain.get(name).is_none(), "{name}");
    }
    let mut message = desk.get(&with(A, "body=markdown")).await;
    let want = "# Offer\n\nAcme logo Save **now**\n\n[See it](https://x.test/p?id=7)";
    assert_eq!(message["markdown"], want);
    assert_eq!(message["markdown_length"], want.chars().count());
    assert!(message.get("markdown_next_offset").is_none());
    // All the rest is as without it.
    let members = message.as_object_mut().unwrap();
    members.retain(|name, _| !name.starts_with("markdown"));
    assert_eq!(message, plain);
}

// messages.md check 53
#[tokio::test]
async fn long_bodies_come_in_pages_of_characters() {
    let desk = Mailbox::new().await;
    let body = (0..60).map(|n| format!("Zeile {n} äöü")).collect::<Vec<_>>().join("\n");
    desk.mail("Message-ID: <a@x.test>\nContent-Type: text/plain; charset=utf-8", &body).await;
    let (mut whole, mut offset) = (String::new(), 0);
    loop {
        let page = desk.get(&with(A, &format!("body=markdown&body_limit=100&body_offset={offset}"))).await;
        let markdown = page["markdown"].as_str().unwrap();
        assert_eq!(page["markdown_length"], body.chars().count());
        whole.push_str(markdown);
        let Some(next) = page.get("markdown_next_offset") else { break };
        assert_eq!(markdown.chars().count(), 100);
        assert_eq!(next, &json!(offset + 100));
        offset += 100;
    }
    assert_eq!(whole, body);
    let past = desk.get(&with(A, "body=markdown&body_offset=999999")).await;
    assert_eq!(past["markdown"], "");
    assert!(past.get("markdown_next_offset").is_none());
    let thread = desk.message(A).await["thread_id"].as_str().unwrap().to_owned();
    for path in [with(A, ""), format!("/threads/{thread}?")] {
        for (query, want) in [
            ("body=xml", json!([["body"]])),
            ("body_limit=0", json!([["body_limit"]])),
            ("body=markdown&body_limit=250001", json!([["body_limit"]])),
            ("body=markdown&body_offset=-1", json!([["body_offset"]])),
            ("body=&body_limit=x&body_offset=1.5", json!([["body"], ["body_limit"], ["body_offset"]])),
        ] {
            let answer = desk.call(Method::GET, &format!("{path}{query}"), &Value::Null).await;
            assert_eq!(paths(&answer), want, "{query}");
        }
    }
    let missing = desk.call(Method::GET, &with("<no@x.test>", "body=xml"), &Value::Null).await;
    assert_eq!(missing.status, 404);
}

// messages.md check 54
#[tokio::test]
async fn only_the_new_words_are_read_and_threads_read_all_their_messages() {
    let desk = Mailbox::new().await;
    desk.mail("Message-ID: <a@x.test>", "First question").await;
    desk.mail(
        "Message-ID: <b@x.test>\nIn-Reply-To: <a@x.test>\nContent-Type: text/html",
        "<div>Fine <b>by me</b></div><div class=\"gmail_quote\">On Mon Bob wrote:<blockquote>First question</blockquote></div>",
    )
    .await;
    let reply = desk.get(&with("<b@x.test>", "body=markdown_extracted")).await;
    assert_eq!(reply["markdown"], "Fine **by me**");
    let whole = desk.get(&with("<b@x.test>", "body=markdown")).await;
    assert_eq!(whole["markdown"], "Fine **by me**\n\nOn Mon Bob wrote:\n\n> First question");
    let thread = reply["thread_id"].as_str().unwrap();
    let organization = desk.organization.organization();
    for mount in ["/v0".to_owned(), format!("/v0/pods/{organization}"), format!("/v0/inboxes/{DESK}")] {
        let path = format!("{mount}/threads/{thread}?body=markdown&limit=2");
        let answer = desk.world.get(&path, &desk.key).await;
        let messages = answer.body["messages"].as_array().unwrap();
        let mut bodies: Vec<&Value> = messages.iter().map(|message| &message["markdown"]).collect();
        bodies.sort_by_key(|body| body.as_str().map(str::len));
        assert_eq!(bodies, [&json!("First question"), &whole["markdown"]], "{mount}");
    }
}
