//! Allow and block lists over HTTP, on both engines. Numbers name the checks of labels-and-lists.md.

use http::Method;
use podmail_store::Suppression;
use serde_json::{Value, json};

use crate::Answer;
use crate::mailbox::{DESK, Mailbox, paths};

async fn call(desk: &Mailbox, method: Method, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    desk.world.call(&method, path, Some(&desk.key), &body).await
}

async fn add(desk: &Mailbox, path: &str, entry: &str) -> Value {
    let answer = call(desk, Method::POST, path, &json!({ "entry": entry })).await;
    assert_eq!(answer.status, 200, "{path} {entry}: {}", answer.text);
    answer.body
}

async fn remove(desk: &Mailbox, path: &str) -> u16 {
    call(desk, Method::DELETE, path, &Value::Null).await.status
}

async fn send(desk: &Mailbox, to: &Value) -> Answer {
    desk.post("/messages/send", &json!({ "to": to, "text": "T" })).await
}

fn inbox(list: &str) -> String {
    format!("/v0/inboxes/{DESK}/lists/{list}")
}

#[tokio::test]
async fn entries_are_normalized_kept_once_and_listed_in_order() {
    for desk in Mailbox::each().await {
        // check 13
        let bob = add(&desk, "/v0/lists/send/block", "Bob+News@Example.COM").await;
        let want = json!({
            "entry": "bob@example.com", "organization_id": desk.organization.organization(), "direction": "send",
            "list_type": "block", "entry_type": "email", "created_at": "2026-03-01T09:00:00.000Z"
        });
        assert_eq!(bob, want);
        for form in ["bob@example.com", "Bob+News@Example.COM"] {
            let got = call(&desk, Method::GET, &format!("/v0/lists/send/block/{form}"), &Value::Null).await;
            assert_eq!((got.status, &got.body), (200, &bob), "{form}");
        }
        // check 14
        let domain = add(&desk, "/v0/lists/send/block", "@Example.com").await;
        assert_eq!((&domain["entry"], &domain["entry_type"]), (&json!("example.com"), &json!("domain")));
        // check 15
        desk.world.clock.advance(std::time::Duration::from_secs(5));
        let again = call(
            &desk,
            Method::POST,
            "/v0/lists/send/block",
            &json!({ "entry": "bob@example.com", "reason": "late" }),
        )
        .await;
        assert_eq!((again.status, &again.body), (200, &bob));
        // check 16
        for (body, path) in [
            (json!({ "entry": "*.example.com" }), "entry"),
            (json!({ "entry": "" }), "entry"),
            (json!({}), "entry"),
            (json!({ "entry": "a@x.test", "reason": "x".repeat(1025) }), "reason"),
        ] {
            let refused = call(&desk, Method::POST, "/v0/lists/send/block", &body).await;
            assert_eq!(paths(&refused), json!([[path]]), "{body}");
        }
        // check 17
        for path in ["/v0/lists/sideways/block", "/v0/lists/sideways/block/a@x.test"] {
            assert_eq!(paths(&call(&desk, Method::GET, path, &Value::Null).await), json!([["direction"]]));
        }
        assert_eq!(
            paths(&call(&desk, Method::GET, "/v0/lists/send/maybe", &Value::Null).await),
            json!([["type"]])
        );
        // check 31
        for entry in ["c.test", "a.test", "b.test"] {
            add(&desk, &inbox("receive/allow"), entry).await;
        }
        let page = call(&desk, Method::GET, &inbox("receive/allow?limit=2"), &Value::Null).await.body;
        assert_eq!((&page["count"], &page["limit"]), (&json!(2), &json!(2)));
        let entries = |page: &Value| -> Vec<String> {
            page["entries"]
                .as_array()
                .unwrap()
                .iter()
                .map(|e| e["entry"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(entries(&page), ["a.test", "b.test"]);
        let token = page["next_page_token"].as_str().unwrap();
        let rest = call(
            &desk,
            Method::GET,
            &inbox(&format!("receive/allow?limit=2&page_token={token}")),
            &Value::Null,
        )
        .await
        .body;
        assert_eq!(entries(&rest), ["c.test"]);
        assert!(rest.get("next_page_token").is_none());
        assert_eq!(rest["entries"][0]["inbox_id"], DESK);
        assert_eq!(remove(&desk, "/v0/lists/send/block/bob@example.com").await, 204);
        assert_eq!(remove(&desk, "/v0/lists/send/block/bob@example.com").await, 404);
    }
}

#[tokio::test]
async fn nothing_is_sent_to_whom_a_list_keeps_out() {
    for desk in Mailbox::each().await {
        // check 18
        add(&desk, "/v0/lists/send/block", "bob@example.com").await;
        let refused = send(&desk, &json!(["Bob <bob@example.com>", "amy@example.com"])).await;
        assert_eq!((refused.status, refused.code()), (403, "message_rejected"));
        assert_eq!(
            refused.body["message"],
            "Message rejected: Recipient(s) blocked: bob@example.com (blocked)"
        );
        // check 32
        let fix = refused.body["fix"].as_str().unwrap();
        assert!(fix.contains("DELETE /v0/lists/send/block/bob@example.com"), "{fix}");
        assert_eq!(desk.list("").await.len(), 0, "amy gets nothing either");
        // drafts.md check 22: the draft stays
        let draft = desk.post("/drafts", &json!({ "to": ["bob@example.com"] })).await.body;
        let path = format!("/drafts/{}", draft["draft_id"].as_str().unwrap());
        assert_eq!(desk.post(&format!("{path}/send"), &json!({})).await.status, 403);
        assert_eq!(desk.get(&path).await["draft_id"], draft["draft_id"]);
        assert_eq!(remove(&desk, "/v0/lists/send/block/bob@example.com").await, 204);
        assert_eq!(desk.post(&format!("{path}/send"), &json!({})).await.status, 200);
        // check 19
        add(&desk, "/v0/lists/send/allow", "example.com").await;
        let refused = send(&desk, &json!("x@other.test")).await;
        assert_eq!(refused.status, 403);
        assert!(refused.body["message"].as_str().unwrap().contains("x@other.test (not in allow list)"));
        assert!(refused.body["fix"].as_str().unwrap().contains("POST /v0/lists/send/allow"));
        assert_eq!(send(&desk, &json!("x@example.com")).await.status, 200);
        // check 20
        add(&desk, "/v0/lists/send/block", "example.com").await;
        add(&desk, &inbox("send/allow"), "bob@example.com").await;
        desk.world.inbox(&desk.organization, "other@mail.test").await;
        assert_eq!(send(&desk, &json!("bob@example.com")).await.status, 200);
        let other = call(
            &desk,
            Method::POST,
            "/v0/inboxes/other@mail.test/messages/send",
            &json!({ "to": "bob@example.com" }),
        )
        .await;
        assert_eq!(other.status, 403, "{}", other.text);
        // a scheduled draft to a blocked address fails: drafts.md check 15
        let at = desk.world.app.now().plus(std::time::Duration::from_secs(1)).to_string();
        let draft = desk.post("/drafts", &json!({ "to": ["amy@example.com"], "send_at": at })).await.body;
        desk.world.clock.advance(std::time::Duration::from_secs(1));
        assert_eq!(desk.world.app.send_due_drafts().await.unwrap(), 1);
        let failed = desk.get(&format!("/drafts/{}", draft["draft_id"].as_str().unwrap())).await;
        assert_eq!(failed["send_error"]["code"], "message_rejected");
    }
}

#[tokio::test]
async fn mail_that_a_list_keeps_out_is_stored_and_hidden() {
    for desk in Mailbox::each().await {
        // check 23
        add(&desk, &inbox("receive/allow"), "good.test").await;
        desk.mail("From: a@bad.test\nMessage-ID: <1@bad.test>\nSubject: s", "x").await;
        desk.mail("From: a@good.test\nMessage-ID: <1@good.test>\nSubject: s", "x").await;
        assert_eq!(desk.list("").await, ["<1@good.test>"]);
        assert_eq!(desk.list("?include_blocked=true").await.len(), 2);
        let blocked = desk.message("<1@bad.test>").await;
        assert_eq!(blocked["labels"], json!(["received", "unread", "blocked"]));
        // checks 24 and 25: an answer to what the inbox sent is asked after on the reply lists
        let sent = desk.send(&json!({ "to": "a@bad.test", "text": "Hi" })).await;
        let sent = sent["message_id"].as_str().unwrap().to_owned();
        let answer =
            |id: &str| format!("From: a@bad.test\nMessage-ID: {id}\nIn-Reply-To: {sent}\nSubject: s");
        desk.mail(&answer("<2@bad.test>"), "y").await;
        assert_eq!(desk.message("<2@bad.test>").await["labels"], json!(["received", "unread"]));
        add(&desk, &inbox("reply/block"), "bad.test").await;
        desk.mail(&answer("<3@bad.test>"), "z").await;
        assert_eq!(desk.message("<3@bad.test>").await["labels"], json!(["received", "unread", "blocked"]));
        // check 26
        desk.mail("From: a@bad.test\nMessage-ID: <4@bad.test>\nIn-Reply-To: <1@good.test>\nSubject: s", "w")
            .await;
        assert_eq!(desk.message("<4@bad.test>").await["labels"][2], "blocked");
        // check 27
        remove(&desk, &inbox("receive/allow/good.test")).await;
        add(&desk, &inbox("receive/block"), "example.com").await;
        desk.mail("From: a@sub.example.com\nMessage-ID: <5@x>\nSubject: s", "v").await;
        assert_eq!(desk.message("<5@x>").await["labels"], json!(["received", "unread"]));
    }
}

#[tokio::test]
async fn what_bounced_or_complained_is_kept_at_the_level_of_its_tenant() {
    for desk in Mailbox::each().await {
        let (world, now) = (&desk.world, desk.world.app.now());
        let address = podmail_domain::InboxId::parse(DESK).unwrap();
        let here = world.store.inbox_scope(&desk.organization, &address).await.unwrap().unwrap();
        let pod = world.pod(&desk.organization, "p").await;
        let there = world.inbox(&pod, "there@mail.test").await;
        let suppress = async |inbox: &podmail_store::Scope, address: &str, cause| {
            world.store.suppress(inbox, address.to_owned(), cause, false, now).await.unwrap();
        };
        // check 28
        suppress(&here, "gone@x.test", Suppression::Bounce).await;
        let entry = call(&desk, Method::GET, "/v0/lists/send/block/gone@x.test", &Value::Null).await;
        assert_eq!((entry.status, &entry.body["reason"]), (200, &json!("bounced")));
        assert!(entry.body.get("read_only").is_none());
        let refused = send(&desk, &json!("gone@x.test")).await;
        assert_eq!(refused.status, 403);
        assert!(refused.body["message"].as_str().unwrap().contains("gone@x.test (bounced)"));
        // an inbox allow entry does not override it
        add(&desk, &inbox("send/allow"), "x.test").await;
        add(&desk, &inbox("send/allow"), "gone@x.test").await;
        assert_eq!(send(&desk, &json!("gone@x.test")).await.status, 403);
        assert_eq!(remove(&desk, "/v0/lists/send/block/gone@x.test").await, 204);
        assert_eq!(send(&desk, &json!("gone@x.test")).await.status, 200);
        // check 29, also when somebody had blocked the address by hand before
        add(&desk, "/v0/lists/send/block", "angry@x.test").await;
        suppress(&here, "Angry@x.test", Suppression::Complaint).await;
        suppress(&here, "angry@x.test", Suppression::Bounce).await;
        let entry = call(&desk, Method::GET, "/v0/lists/send/block/angry@x.test", &Value::Null).await.body;
        assert_eq!((&entry["reason"], &entry["read_only"]), (&json!("complained"), &json!(true)));
        let refused = call(&desk, Method::DELETE, "/v0/lists/send/block/angry@x.test", &Value::Null).await;
        assert_eq!((refused.status, refused.code()), (409, "cannot_delete"));
        add(&desk, &inbox("send/allow"), "angry@x.test").await;
        assert_eq!(send(&desk, &json!("angry@x.test")).await.status, 403);
        // check 33
        suppress(&there, "lost@x.test", Suppression::Bounce).await;
        let pod_id = pod.pod().unwrap();
        let path = format!("/v0/pods/{pod_id}/lists/send/block/lost@x.test");
        assert_eq!(call(&desk, Method::GET, &path, &Value::Null).await.body["pod_id"], json!(pod_id));
        assert_eq!(
            call(&desk, Method::GET, "/v0/lists/send/block/lost@x.test", &Value::Null).await.status,
            404
        );
        assert_eq!(send(&desk, &json!("lost@x.test")).await.status, 200, "another tenant still mails it");
        // The operator removes what nobody else can.
        let removed = world.app.operator_remove_blocks(Some("acme"), None, "Angry@X.test").await.unwrap();
        assert_eq!(removed.len(), 1);
        assert_eq!(send(&desk, &json!("angry@x.test")).await.status, 200);
        assert!(world.app.operator_remove_blocks(Some("acme"), None, "angry@x.test").await.is_err());
    }
}

#[tokio::test]
async fn a_key_means_the_lists_of_its_own_level() {
    for desk in Mailbox::each().await {
        let pod = desk.world.pod(&desk.organization, "p").await;
        let scope = desk.world.inbox(&pod, "in@mail.test").await;
        let (_, pod_key) = desk.world.key(&pod, None, None).await;
        let (_, inbox_key) = desk.world.key(&scope, None, None).await;
        let post = async |key: &str, entry: &str| {
            let body = json!({ "entry": entry }).to_string();
            desk.world.call(&Method::POST, "/v0/lists/send/block", Some(key), &body).await.body
        };
        // check 30
        let made = post(&pod_key, "a@x.test").await;
        assert_eq!(made["pod_id"], json!(pod.pod().unwrap()));
        assert!(made.get("inbox_id").is_none());
        assert_eq!(post(&inbox_key, "b@x.test").await["inbox_id"], "in@mail.test");
        let count =
            async |path: &str| call(&desk, Method::GET, path, &Value::Null).await.body["count"].clone();
        assert_eq!(count("/v0/lists/send/block").await, 0);
        assert_eq!(count(&format!("/v0/pods/{}/lists/send/block", pod.pod().unwrap())).await, 1);
        assert_eq!(count("/v0/inboxes/in@mail.test/lists/send/block").await, 1);
        // They go with their inbox and their pod.
        call(&desk, Method::DELETE, "/v0/inboxes/in@mail.test", &Value::Null).await;
        desk.world.clock.advance(std::time::Duration::from_secs(1));
        for _ in 0..100 {
            if !desk.world.store.purge_step(10).await.unwrap().more {
                break;
            }
        }
        let gone =
            call(&desk, Method::DELETE, &format!("/v0/pods/{}", pod.pod().unwrap()), &Value::Null).await;
        assert_eq!(gone.status, 204, "{}", gone.text);
        let left = desk.world.store.remove_block_entries(
            &desk.organization,
            podmail_domain::list::ListEntry::parse("a@x.test").unwrap(),
        );
        assert_eq!(left.await.unwrap().len(), 0);
    }
}

// conventions.md check 24
#[tokio::test]
async fn a_send_that_a_list_refused_leaves_its_idempotency_key_free() {
    for desk in Mailbox::each().await {
        add(&desk, "/v0/lists/send/block", "bob@example.com").await;
        let keyed = async || {
            let request = http::Request::post(format!("/v0/inboxes/{DESK}/messages/send"))
                .header("authorization", format!("Bearer {}", desk.key))
                .header("idempotency-key", "k3")
                .body(http_body_util::Full::from(r#"{"to":"bob@example.com","text":"T"}"#));
            desk.world.send(request.unwrap()).await
        };
        let refused = keyed().await;
        assert_eq!((refused.status, refused.code()), (403, "message_rejected"));
        assert_eq!(remove(&desk, "/v0/lists/send/block/bob@example.com").await, 204);
        let sent = keyed().await;
        assert_eq!(sent.status, 200, "{}", sent.text);
        assert_eq!(keyed().await.body, sent.body, "now it is kept");
        assert_eq!(desk.list("").await.len(), 1);
    }
}

#[tokio::test]
async fn no_spelling_of_an_address_slips_past_a_list() {
    for desk in Mailbox::each().await {
        add(&desk, "/v0/lists/send/block", "evil.test").await;
        add(&desk, "/v0/lists/send/block", "victim@v.test").await;
        let odd = [
            "\"x\"@evil.test",
            "\"a b\"@evil.test",
            "\"victim\"@v.test",
            "\"vic\\tim\"@v.test",
            "\"Victim+tag\"@v.test",
        ];
        for to in odd {
            let answer = send(&desk, &json!([to])).await;
            assert_eq!((answer.status, answer.code()), (403, "message_rejected"), "{to}: {}", answer.text);
        }
        assert_eq!(send(&desk, &json!(["\"x\"@v.test"])).await.status, 200);
        // Whoever has no name that an allow list could hold is on none.
        add(&desk, "/v0/lists/send/allow", "good.test").await;
        for to in ["\"x\"@v.test", "x@a_b.good.test", "x@localhost"] {
            assert_eq!(send(&desk, &json!([to])).await.status, 403, "{to}");
        }
        desk.mail("Message-ID: <1@x.test>\nReply-To: <\"evil\"@v.test>", "x").await;
        let answer = desk.post("/messages/%3C1%40x.test%3E/reply", &json!({ "text": "T" })).await;
        assert_eq!(answer.status, 403, "{}", answer.text);
        // What comes in is asked after likewise.
        add(&desk, &inbox("receive/block"), "evil.test").await;
        for (n, from) in ["jörg@evil.test", "Foo <x @ evil.test>", "\"x y\"@evil.test"].iter().enumerate() {
            desk.mail(&format!("From: {from}\nMessage-ID: <o{n}@x.test>"), "x").await;
            let labels = desk.message(&format!("<o{n}@x.test>")).await["labels"].clone();
            assert_eq!(labels, json!(["received", "unread", "blocked"]), "{from}");
        }
    }
}

#[tokio::test]
async fn the_way_out_of_a_block_names_its_entry_and_no_other() {
    for desk in Mailbox::each().await {
        let block = "/v0/lists/send/block";
        for entry in ["aab@x.test", "a%61b@x.test"] {
            add(&desk, block, entry).await;
        }
        let refused = send(&desk, &json!(["a%61b@x.test", "A%61b+1@x.test"])).await;
        assert_eq!(
            refused.body["message"], "Message rejected: Recipient(s) blocked: a%61b@x.test (blocked)",
            "named once"
        );
        let fix = refused.body["fix"].as_str().unwrap();
        assert_eq!(fix, "Remove the block of a%61b@x.test: DELETE /v0/lists/send/block/a%2561b@x.test");
        assert_eq!(remove(&desk, fix.rsplit(' ').next().unwrap()).await, 204);
        assert_eq!(send(&desk, &json!("a%61b@x.test")).await.status, 200);
        assert_eq!(send(&desk, &json!("aab@x.test")).await.status, 403);
        // Every violated field at once.
        let wrong = json!({ "entry": "*", "reason": "r".repeat(1025) });
        let answer = call(&desk, Method::POST, block, &wrong).await;
        assert_eq!(paths(&answer), json!([["reason"], ["entry"]]));
    }
}
