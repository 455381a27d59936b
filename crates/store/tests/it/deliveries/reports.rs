//! What is learned of a message after a server took it.

use podmail_domain::MessageKey;
use podmail_domain::list::{ListDirection, ListEntry, ListMatch};
use podmail_store::{BounceReport, Complainer, Complaint, Reported, ReportedMessage};
use serde_json::json;

use super::*;

/// A message whose copies were all taken, as a report finds it.
async fn taken(world: &World, scope: &Scope, id: &str, recipients: &[&str]) -> ReportedMessage {
    send(world, scope, id, recipients).await;
    let mut key = None;
    for claim in lease(world, request(world, id)).await {
        let outcomes = vec![DeliveryOutcome::Delivered; claim.recipients.len()];
        report(world, &claim, &outcomes, &[]).await;
        key = Some(claim.message_key);
    }
    found(world, scope, key.expect("a claim")).await.expect("a sent message")
}

async fn found(world: &World, scope: &Scope, message: MessageKey) -> Option<ReportedMessage> {
    world.store.reported_message(scope.inbox().expect("an inbox").key, message).await.expect("read")
}

fn permanent() -> DeliveryOutcome {
    DeliveryOutcome::Bounced { kind: "Permanent", sub_type: "NoEmail" }
}

async fn bounce(
    world: &World,
    message: &ReportedMessage,
    results: &[(&[&str], DeliveryOutcome)],
) -> Finished {
    let report = BounceReport {
        sent: message.sent.clone(),
        now: world.now(),
        host: Some("mx.one.test".to_owned()),
        results: results
            .iter()
            .map(|(addresses, outcome)| Reported {
                addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
                outcome: outcome.clone(),
                said: "550 5.1.1 no such user".to_owned(),
            })
            .collect(),
        suppress_in_organization: false,
    };
    world.store.report_bounce(report).await.expect("recorded")
}

async fn complain(world: &World, message: &ReportedMessage, by: Complainer) -> usize {
    let complaint = Complaint {
        sent: message.sent.clone(),
        now: world.now(),
        host: None,
        kind: "abuse",
        sub_type: "spam",
        by,
        suppress_in_organization: false,
    };
    world.store.report_complaint(complaint).await.expect("recorded").recipients
}

/// Entries that keep the inbox from mailing an address.
async fn blocks(world: &World, scope: &Scope, address: &str) -> Vec<ListMatch> {
    let entry = ListEntry::parse(address).expect("an address");
    world.store.list_matches(scope, ListDirection::Send, &[entry]).await.expect("read").found
}

fn named(all: &[&str]) -> Complainer {
    Complainer::Named(all.iter().map(|address| (*address).to_owned()).collect())
}

#[tokio::test]
async fn a_bounce_report_counts_for_recipients_of_the_message_and_only_once() {
    for world in worlds().await {
        let acme = organization(&world, "h").await;
        let desk = podded(&world, &acme, "desk@pm.test").await;
        let message = taken(&world, &desk, "<1@x>", &["a@one.test", "b@one.test", "c@one.test"]).await;
        assert_eq!(message.recipients, ["a@one.test", "b@one.test", "c@one.test"]);
        assert!(message.feedback, "the shared domain shows reports");
        let before = events(&world).await.len();
        world.clock.advance(Duration::from_secs(60));
        let report: &[(&[&str], DeliveryOutcome)] = &[
            (&["forwarded@far.test", "A@One.Test"], permanent()),
            (&["stranger@one.test"], permanent()),
            (&["b@one.test"], DeliveryOutcome::Deferred { due_at: world.now() }),
            (&["a@one.test"], permanent()),
            (&["c@one.test"], DeliveryOutcome::Delivered),
        ];
        assert_eq!(bounce(&world, &message, report).await, Finished { recipients: 2, objects: vec![] });
        let at = world.now().micros();
        let want = json!({"message_id": "<1@x>", "timestamp": at, "type": "Permanent", "sub_type": "NoEmail",
                          "recipients": [{"address": "a@one.test", "status": "bounced"}]});
        assert_eq!(events(&world).await.split_off(before), [("message.bounced".to_owned(), want)]);
        let id = message.sent.message_id.clone();
        assert_eq!(labels(&world, &desk, &id).await, ["sent", "delivered", "bounced", "delayed"]);
        assert_eq!(blocks(&world, &desk, "a@one.test").await[0].reason.as_deref(), Some("bounced"));
        assert_eq!(blocks(&world, &desk, "stranger@one.test").await, []);
        assert_eq!(blocks(&world, &desk, "b@one.test").await, []);
        let elsewhere = podded(&world, &acme, "shop@pm.test").await;
        assert_eq!(blocks(&world, &elsewhere, "a@one.test").await, [], "another tenant may mail it");

        let again = bounce(&world, &message, &report[..2]).await;
        assert_eq!(again, Finished::default());
        assert_eq!(events(&world).await.len(), before + 1);
    }
}

#[tokio::test]
async fn a_report_may_overtake_the_worker_that_sent_the_message() {
    for world in worlds().await {
        let acme = organization(&world, "h").await;
        let desk = inbox(&world, &acme, "desk@pm.test").await;
        send(&world, &desk, "<1@x>", &["a@one.test"]).await;
        let claim = lease(&world, request(&world, "t")).await.remove(0);
        let message = found(&world, &desk, claim.message_key).await.expect("sent");
        assert_eq!(bounce(&world, &message, &[(&["a@one.test"], permanent())]).await.recipients, 1);
        assert_eq!(report(&world, &claim, &[DeliveryOutcome::Delivered], &[]).await, Finished::default());
        let types: Vec<String> = events(&world).await.into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(types, ["message.sent", "message.bounced"]);
    }
}

#[tokio::test]
async fn a_transient_failure_blocks_nobody_and_a_deleted_message_still_bounces() {
    for world in worlds().await {
        let acme = organization(&world, "h").await;
        let desk = inbox(&world, &acme, "desk@pm.test").await;
        let message = taken(&world, &desk, "<1@x>", &["a@one.test", "b@one.test"]).await;
        let id = message.sent.message_id.clone();
        world.store.delete_message(&desk, &id, Restricted::ALL).await.expect("deleted");
        assert_eq!(found(&world, &desk, message.sent.message_key).await.as_ref(), Some(&message));
        let transient = DeliveryOutcome::Bounced { kind: "Transient", sub_type: "General" };
        let report: &[(&[&str], DeliveryOutcome)] =
            &[(&["a@one.test"], transient), (&["b@one.test"], permanent())];
        assert_eq!(bounce(&world, &message, report).await.recipients, 2);
        assert_eq!(blocks(&world, &desk, "a@one.test").await, []);
        assert_eq!(blocks(&world, &desk, "b@one.test").await.len(), 1);
    }
}

#[tokio::test]
async fn each_recipient_complains_once_and_is_not_mailed_again() {
    for world in worlds().await {
        let acme = organization(&world, "h").await;
        let desk = inbox(&world, &acme, "desk@pm.test").await;
        let message = taken(&world, &desk, "<1@x>", &["a@one.test", "b@one.test"]).await;
        let before = events(&world).await.len();
        assert_eq!(complain(&world, &message, named(&["A@one.test", "stranger@x.test"])).await, 1);
        assert_eq!(complain(&world, &message, named(&["a@one.test"])).await, 0);
        assert_eq!(complain(&world, &message, named(&["b@one.test"])).await, 1);
        let facts: Vec<Value> =
            events(&world).await.split_off(before).into_iter().map(|(_, facts)| facts).collect();
        let at = world.now().micros();
        let want = |who: &str| json!({"message_id": "<1@x>", "timestamp": at, "type": "abuse", "sub_type": "spam", "recipients": [who]});
        assert_eq!(facts, [want("a@one.test"), want("b@one.test")]);
        assert_eq!(
            labels(&world, &desk, &message.sent.message_id).await,
            ["sent", "delivered", "complained"]
        );
        let block = &blocks(&world, &desk, "a@one.test").await[0];
        assert_eq!((block.reason.as_deref(), block.read_only), (Some("complained"), true));
    }
}

#[tokio::test]
async fn a_complaint_of_nobody_in_particular_names_all_and_blocks_none() {
    for world in worlds().await {
        let acme = organization(&world, "h").await;
        let desk = inbox(&world, &acme, "desk@pm.test").await;
        let both = ["a@one.test", "b@one.test"];
        let message = taken(&world, &desk, "<1@x>", &both).await;
        let one_of = || Complainer::OneOf(both.map(str::to_owned).to_vec());
        assert_eq!(complain(&world, &message, one_of()).await, 2);
        assert_eq!(complain(&world, &message, one_of()).await, 0);
        let last = events(&world).await.pop().expect("an event");
        assert_eq!((last.0.as_str(), &last.1["recipients"]), ("message.complained", &json!(both)));
        assert_eq!(blocks(&world, &desk, "a@one.test").await, []);
        assert_eq!(complain(&world, &message, named(&["a@one.test"])).await, 1, "now it is known who");
        assert_eq!(blocks(&world, &desk, "a@one.test").await.len(), 1);
    }
}

#[tokio::test]
async fn keys_lead_to_a_sent_message_of_their_own_inbox_only() {
    for world in worlds().await {
        let acme = organization(&world, "h").await;
        let other = organization(&world, "h2").await;
        let desk = inbox(&world, &acme, "desk@pm.test").await;
        let foreign = inbox(&world, &other, "foreign@pm.test").await;
        let message = taken(&world, &desk, "<1@x>", &["a@one.test"]).await;
        let theirs = taken(&world, &foreign, "<1@x>", &["a@one.test"]).await;
        assert_eq!(theirs.sent.scope, foreign);
        assert_eq!(found(&world, &desk, theirs.sent.message_key).await, None);
        let unknown = MessageKey::new(&*world.ids, world.now());
        assert_eq!(found(&world, &desk, unknown).await, None);
        let named = world.store.sent_message_named(&desk, "<1@x>").await.expect("read");
        assert_eq!(named, Some(message.sent.message_key));
        let desk_id = InboxId::parse("desk@pm.test").expect("an address");
        let scope = world.store.inbox_scope_by_address(&desk_id).await.expect("read");
        assert_eq!(scope.as_ref(), Some(&desk));
        world.store.delete_inbox(&desk, world.now()).await.expect("deleted");
        assert_eq!(found(&world, &desk, message.sent.message_key).await, None, "the inbox is gone");
        assert_eq!(world.store.inbox_scope_by_address(&desk_id).await.expect("read"), None);
    }
}
