//! What receivers see.

use std::sync::Arc;

use podmail_domain::EventType;
use podmail_webhooks::sign;
use tokio::sync::Semaphore;

use crate::sink::{Post, Say, Sink};
use crate::worlds;

const RECEIVED: &[EventType] = &[EventType::MessageReceived];

fn subjects(posts: &[Post]) -> Vec<String> {
    posts.iter().map(|post| post.json()["message"]["subject"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_mail_is_posted_once_signed_and_with_the_webhooks_own_headers() {
    for world in worlds().await {
        let sink = Sink::new(&[Say::Status(200)]).await;
        let (webhook, secret) = world.webhook(&sink.url, RECEIVED).await;
        world.mail("a", &[], "<p>Hello a</p>").await;
        let post = sink.wait(1).await.remove(0);
        let (id, time) = (post.header("svix-id"), post.header("svix-timestamp"));
        assert!(id.starts_with("msg_") && !id.contains('.'), "{id}");
        assert_eq!(time, "1772355600");
        let signature = sign(&secret, id, 1_772_355_600, &post.body).unwrap();
        for prefix in ["svix", "webhook"] {
            assert_eq!(post.header(&format!("{prefix}-id")), id);
            assert_eq!(post.header(&format!("{prefix}-timestamp")), time);
            assert_eq!(post.header(&format!("{prefix}-signature")), signature);
        }
        assert_eq!(post.header("content-type"), "application/json");
        assert_eq!(post.header("authorization"), "Bearer s1");

        let event = post.json();
        assert_eq!(event["type"], "event");
        assert_eq!(event["event_type"], "message.received");
        assert!(event["event_id"].as_str().unwrap().starts_with("evt_"));
        let (message, thread) = (&event["message"], &event["thread"]);
        for (name, want) in [
            ("inbox_id", "desk@pm.test"),
            ("message_id", "<a@x.test>"),
            ("from", "Ada <ada@x.test>"),
            ("subject", "About a"),
            ("preview", "Hello a"),
            ("timestamp", "2026-03-01T09:00:00.000Z"),
        ] {
            assert_eq!(message[name], want, "{name}");
        }
        assert_eq!(message["text"].as_str().unwrap().trim(), "Hello a");
        assert_eq!(message["html"].as_str().unwrap().trim(), "<p>Hello a</p>");
        assert_eq!(message["labels"], serde_json::json!(["received", "unread"]));
        assert_eq!(thread["thread_id"], message["thread_id"]);
        assert_eq!(thread["message_count"], 1);
        assert_eq!(thread["last_message_id"], "<a@x.test>");

        world.idle().await;
        world.set_header(&webhook, "authorization", "Bearer s2").await;
        world.mail("b", &[], "").await;
        assert_eq!(sink.wait(2).await[1].header("authorization"), "Bearer s2");
        world.idle().await;
        assert_eq!(subjects(&sink.posts()), ["About a", "About b"]);
    }
}

#[tokio::test]
async fn a_spam_mail_reaches_only_who_subscribed_to_spam() {
    for world in worlds().await {
        let (plain, spam) = (Sink::new(&[Say::Status(200)]).await, Sink::new(&[Say::Status(200)]).await);
        world.webhook(&plain.url, RECEIVED).await;
        world.webhook(&spam.url, &[EventType::MessageReceivedSpam]).await;
        world.mail("a", &["spam"], "").await;
        let event = spam.wait(1).await[0].json();
        assert_eq!(event["event_type"], "message.received.spam");
        world.mail("b", &[], "").await;
        assert_eq!(subjects(&plain.wait(1).await), ["About b"]);
        world.idle().await;
        assert_eq!((plain.posts().len(), spam.posts().len()), (1, 1));
    }
}

#[tokio::test]
async fn a_failed_delivery_is_repeated_with_the_same_id_and_bytes_until_it_succeeds() {
    for world in worlds().await {
        let target = Sink::new(&[Say::Status(200)]).await;
        let redirect = Say::With(302, "location", target.url.clone());
        let sink = Sink::new(&[Say::Status(500), redirect, Say::Status(200)]).await;
        world.webhook(&sink.url, RECEIVED).await;
        world.mail("a", &[], "").await;
        sink.wait(1).await;
        world.pass_time(async || sink.posts().len() >= 3).await;
        world.idle().await;
        let posts = sink.posts();
        assert_eq!(posts.len(), 3);
        for (before, after) in posts.iter().zip(&posts[1..]) {
            assert_eq!(before.header("svix-id"), after.header("svix-id"));
            assert_eq!(before.body, after.body);
            assert!(before.header("svix-timestamp") <= after.header("svix-timestamp"));
            assert_ne!(before.header("svix-signature"), after.header("svix-signature"));
        }
        assert_eq!(target.posts().len(), 0, "a redirect is not followed");
    }
}

#[tokio::test]
async fn retries_end_with_the_schedule_or_when_the_receiver_asks() {
    for world in worlds().await {
        let never =
            Sink::new(&[Say::Status(500), Say::Status(500), Say::Status(500), Say::Status(200)]).await;
        let abort = Sink::new(&[Say::With(500, "webhook-delivery", "abort-message".to_owned())]).await;
        world.webhook(&never.url, RECEIVED).await;
        world.webhook(&abort.url, RECEIVED).await;
        world.mail("a", &[], "").await;
        world.pass_time(async || never.posts().len() == 4).await;
        world.idle().await;
        assert_eq!((never.posts().len(), abort.posts().len()), (4, 1));
    }
}

#[tokio::test]
async fn a_pending_retry_survives_a_restart() {
    for mut world in worlds().await {
        let sink = Sink::new(&[Say::Status(503), Say::Status(200)]).await;
        world.webhook(&sink.url, RECEIVED).await;
        world.mail("a", &[], "").await;
        sink.wait(1).await;
        world.restart().await;
        world.pass_time(async || sink.posts().len() == 2).await;
        let posts = sink.posts();
        assert_eq!(posts[0].header("svix-id"), posts[1].header("svix-id"));
        assert_eq!(posts[0].body, posts[1].body);
        world.idle().await;
    }
}

#[tokio::test]
async fn what_a_node_leased_and_did_not_attempt_is_due_at_once_when_it_ends() {
    for mut world in worlds().await {
        let gate = Arc::new(Semaphore::new(0));
        let sink = Sink::new(&[Say::Held(200, gate.clone())]).await;
        world.webhook(&sink.url, RECEIVED).await;
        for n in 0..6 {
            world.mail(&format!("m{n}"), &[], "").await;
        }
        sink.wait(4).await;
        world.all_leased(6).await;
        // The four that are under way are answered after the end has begun; the clock stands still.
        tokio::join!(world.restart(), async { gate.add_permits(6) });
        sink.wait(6).await;
        world.idle().await;
        assert_eq!(sink.posts().len(), 6, "each of them once");
    }
}

#[tokio::test]
async fn an_endpoint_that_only_fails_is_disabled_and_misses_what_happens_meanwhile() {
    for world in worlds().await {
        let mut script = vec![Say::Status(500); 4];
        script.push(Say::Status(200));
        let sink = Sink::new(&script).await;
        let (webhook, _) = world.webhook(&sink.url, RECEIVED).await;
        world.mail("lost", &[], "").await;
        world.pass_time(async || !world.enabled(&webhook).await).await;
        world.idle().await;
        let before = sink.posts().len();
        // Somebody else's delivery tells that the dispatcher has seen the mail.
        let witness = Sink::new(&[Say::Status(200)]).await;
        world.webhook(&witness.url, RECEIVED).await;
        world.mail("missed", &[], "").await;
        witness.wait(1).await;
        world.enable(&webhook, true).await;
        world.mail("later", &[], "").await;
        witness.wait(2).await;
        world.pass_time(async || sink.posts().len() > before).await;
        assert!(subjects(&sink.posts()[before..]).iter().all(|subject| subject == "About later"));
    }
}

#[tokio::test]
async fn a_silent_endpoint_delays_no_other() {
    for world in worlds().await {
        let (silent, quick) = (Sink::new(&[Say::Silence]).await, Sink::new(&[Say::Status(200)]).await);
        let (dead, _) = world.webhook(&silent.url, RECEIVED).await;
        world.webhook(&quick.url, RECEIVED).await;
        for n in 0..40 {
            world.mail(&format!("m{n}"), &[], "").await;
        }
        let posts = quick.wait(40).await;
        assert_eq!(posts.len(), 40);
        assert!(silent.posts().len() <= 16, "no more at once than its share");
        // Deleting it cancels what waits for it.
        world.app.delete_webhook(&world.caller(), &dead).await.unwrap();
        world.idle().await;
    }
}

#[tokio::test]
async fn bodies_above_a_megabyte_lose_their_texts_and_bodies_below_keep_them() {
    for world in worlds().await {
        let sink = Sink::new(&[Say::Status(200)]).await;
        world.webhook(&sink.url, RECEIVED).await;
        world.mail("small", &[], &format!("<p>{}</p>", "word ".repeat(80_000))).await;
        let event = sink.wait(1).await.remove(0).json();
        assert!(event["message"]["html"].as_str().unwrap().len() > 400_000);
        world.mail("large", &[], &format!("<p>{}</p>", "word ".repeat(250_000))).await;
        let post = sink.wait(2).await.remove(1);
        assert!(post.body.len() <= 1_048_576);
        let event = post.json();
        for name in ["text", "html"] {
            assert!(event["message"].get(name).is_none(), "{name}");
        }
        assert_eq!(event["message"]["subject"], "About large");
        assert_eq!(event["thread"]["message_count"], 1);
    }
}
