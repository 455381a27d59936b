//! Messages and threads.

use std::time::Duration;

use podmail_domain::label::Restricted;
use podmail_domain::thread::Direction;
use podmail_domain::{InboxId, MessageId, Timestamp};
use podmail_store::{
    Announce, CleanBefore, InboxCreated, InboxPlace, KeySecret, LabelChange, Limits, MessageFilter,
    NewDelivery, NewInbox, NewMessage, NewOrganization, Order, Relabelled, Scope, Stored, StoredBytes,
    ThreadFilter, ThreadRelabelled, ThreadTime,
};

use crate::{World, worlds};

pub(crate) async fn inbox(world: &World, name: &str) -> Scope {
    let new = NewOrganization {
        name: name.to_owned(),
        limits: Limits::default(),
        key_name: "First".to_owned(),
        secret: KeySecret { hash: format!("hash of {name}"), prefix: "am_us_000000".to_owned() },
    };
    let (organization, _) = world.store.create_organization(new, world.now()).await.expect("made");
    let whole = world.store.organization_scope(organization).await.expect("read").expect("there");
    inbox_of(world, &whole, name).await
}

pub(crate) async fn inbox_of(world: &World, scope: &Scope, name: &str) -> Scope {
    let id = InboxId::parse(&format!("{name}@pm.test")).expect("an address");
    let new = NewInbox {
        scope: scope.clone(),
        place: InboxPlace::At { inbox_id: id.clone(), governing_domain: None },
        display_name: None,
        client_id: None,
        paused: false,
        metadata: None,
        now: world.now(),
    };
    let created = world.store.create_inbox(new).await.expect("made");
    assert!(matches!(created, InboxCreated::Created(_)), "{created:?}");
    world.store.inbox_scope(scope, &id).await.expect("read").expect("in scope")
}

/// A received mail called `<id@x>`, `minutes` after the start, answering `answers`.
pub(crate) fn mail(
    world: &World,
    scope: &Scope,
    id: &str,
    minutes: u64,
    answers: &[&str],
    extra: &[&str],
) -> NewMessage {
    let now = world.now();
    let bracketed = |id: &str| format!("<{id}@x>");
    let mut labels = vec!["received".to_owned(), "unread".to_owned()];
    labels.extend(extra.iter().map(|label| (*label).to_owned()));
    NewMessage {
        scope: scope.clone(),
        direction: Direction::Received,
        announce: Announce::default(),
        key: None,
        message_id: MessageId::new(&bracketed(id)),
        substitute: MessageId::mint(&*world.ids, now, "pm.test"),
        aliases: Vec::new(),
        candidates: answers.iter().map(|id| bracketed(id)).collect(),
        thread: None,
        labels,
        timestamp: now.plus(Duration::from_secs(60 * minutes)),
        created_at: now,
        size: 100,
        fingerprint: format!("fingerprint of {id}"),
        sender: format!("{id} <{id}@x.test>"),
        to: vec!["desk@pm.test".to_owned()],
        cc: Vec::new(),
        bcc: Vec::new(),
        subject: Some(format!("About {id}")),
        preview: Some(format!("preview {id}")),
        in_reply_to: answers.first().map(|id| bracketed(id)),
        references: answers.iter().map(|id| bracketed(id)).collect(),
        attachments: Vec::new(),
        extract_texts: false,
        bytes: StoredBytes::Inline(b"raw".to_vec()),
        deliveries: Vec::new(),
        draft: None,
        authentication: None,
        idempotency: None,
        original_id: None,
        headers: std::collections::BTreeMap::new(),
        quota_since: None,
    }
}

pub(crate) async fn put(world: &World, message: NewMessage) -> Stored {
    world.store.insert_messages(vec![message]).await.expect("stored").remove(0)
}

fn ids(ids: &[&str]) -> Vec<MessageId> {
    ids.iter().map(|id| MessageId::new(&format!("<{id}@x>"))).collect()
}

fn seeing(visible: Restricted) -> MessageFilter {
    MessageFilter { visible, ..MessageFilter::default() }
}

async fn listed(world: &World, scope: &Scope, filter: &MessageFilter) -> Vec<String> {
    let page = world.store.list_messages(scope, filter, Order::Descending, None, 100).await.expect("listed");
    page.items.into_iter().map(|message| message.message_id.to_string()).collect()
}

#[tokio::test]
async fn a_message_is_invisible_outside_of_its_inbox() {
    for world in worlds().await {
        let (own, other) = (inbox(&world, "own").await, inbox(&world, "other").await);
        let sibling = inbox_of(&world, &own.without_inbox(), "sibling").await;
        let stored = put(&world, mail(&world, &own, "a", 0, &[], &[])).await;
        let Stored::New { thread_id, .. } = stored else { panic!("{stored:?}") };
        let id = MessageId::new("<a@x>");
        assert!(world.store.message(&own, &id, Restricted::ALL).await.expect("read").is_some());
        for foreign in [&other, &sibling] {
            assert_eq!(world.store.message(foreign, &id, Restricted::ALL).await.expect("read"), None);
            assert_eq!(listed(&world, foreign, &seeing(Restricted::ALL)).await, Vec::<String>::new());
            assert_eq!(world.store.thread(foreign, thread_id, Restricted::ALL).await.expect("read"), None);
            assert_eq!(world.store.delete_message(foreign, &id, Restricted::ALL).await.expect("run"), None);
            assert_eq!(
                world.store.delete_thread(foreign, thread_id, Restricted::ALL).await.expect("run"),
                None
            );
            let change = LabelChange { add: vec!["x".to_owned()], remove: Vec::new() };
            let relabelled = world
                .store
                .relabel_messages(foreign, vec![id.clone()], change.clone(), Restricted::ALL, world.now())
                .await;
            assert_eq!(relabelled.expect("run"), Relabelled::Done(Vec::new()));
            let relabelled =
                world.store.relabel_thread(foreign, thread_id, change, Restricted::ALL, world.now()).await;
            assert_eq!(relabelled.expect("run"), ThreadRelabelled::NotFound);
        }
        let whole = own.without_inbox();
        assert!(world.store.thread(&whole, thread_id, Restricted::ALL).await.expect("read").is_some());
        assert!(world.store.message(&own, &id, Restricted::ALL).await.expect("read").is_some());
    }
}

#[tokio::test]
async fn the_same_mail_is_stored_once_and_another_with_its_id_under_a_substitute() {
    for world in worlds().await {
        let own = inbox(&world, "own").await;
        let first = mail(&world, &own, "a", 0, &[], &[]);
        assert!(matches!(put(&world, first.clone()).await, Stored::New { .. }));
        world.clock.advance(Duration::from_secs(3600));
        let again = NewMessage { created_at: world.now(), ..first.clone() };
        assert_eq!(put(&world, again.clone()).await, Stored::Duplicate);
        let both = world.store.insert_messages(vec![again.clone(), again]).await.expect("run");
        assert_eq!(both, [Stored::Duplicate, Stored::Duplicate]);
        let changed =
            NewMessage { fingerprint: "other".to_owned(), created_at: world.now(), ..first.clone() };
        let stored = put(&world, changed.clone()).await;
        let Stored::New { message_id, .. } = stored else { panic!("{stored:?}") };
        assert_eq!(message_id, changed.substitute);
        world.clock.advance(Duration::from_secs(48 * 3600));
        let late = NewMessage {
            created_at: world.now(),
            substitute: MessageId::mint(&*world.ids, world.now(), "pm.test"),
            ..first
        };
        assert!(matches!(put(&world, late).await, Stored::New { .. }), "two days later it is another mail");
        assert_eq!(listed(&world, &own, &seeing(Restricted::ALL)).await.len(), 3);
    }
}

#[tokio::test]
async fn answers_join_the_thread_of_any_name_of_a_message() {
    for world in worlds().await {
        let own = inbox(&world, "own").await;
        let odd = NewMessage { aliases: vec!["<odd?@x>".to_owned()], ..mail(&world, &own, "a", 0, &[], &[]) };
        let mut answer = mail(&world, &own, "b", 1, &[], &[]);
        answer.candidates = vec!["<odd?@x>".to_owned()];
        answer.in_reply_to = Some("<odd?@x>".to_owned());
        let chained = mail(&world, &own, "c", 2, &["unknown", "b"], &[]);
        let alone = mail(&world, &own, "d", 3, &["unknown"], &[]);
        // In one batch: each sees what the ones before it brought.
        let stored = world.store.insert_messages(vec![odd, answer, chained, alone]).await.expect("stored");
        let threads: Vec<_> = stored
            .iter()
            .map(|stored| match stored {
                Stored::New { thread_id, .. } => *thread_id,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(threads[0], threads[1]);
        assert_eq!(threads[0], threads[2]);
        assert_ne!(threads[0], threads[3]);
        let b = world.store.message(&own, &MessageId::new("<b@x>"), Restricted::ALL).await.expect("read");
        let shown = b.expect("there").in_reply_to.expect("an answer");
        assert_eq!(shown.as_str(), "<a@x>", "shown by the id under which it can be fetched");
        let thread =
            world.store.thread(&own, threads[0], Restricted::ALL).await.expect("read").expect("there");
        assert_eq!(thread.aggregate.message_count, 3);
        assert_eq!(thread.aggregate.subject.as_deref(), Some("About a"));
        assert_eq!(thread.aggregate.preview.as_deref(), Some("preview c"));
        assert_eq!(thread.aggregate.senders, ["a <a@x.test>", "b <b@x.test>", "c <c@x.test>"]);
        assert_eq!(thread.aggregate.size, 300);
    }
}

#[tokio::test]
async fn a_thread_is_the_same_in_whatever_order_its_messages_came() {
    for world in worlds().await {
        let (first, second) = (inbox(&world, "first").await, inbox(&world, "second").await);
        let mut views = Vec::new();
        for (scope, order) in [(&first, [0, 1, 2]), (&second, [0, 2, 1])] {
            let mails = [
                mail(&world, scope, "a", 0, &[], &[]),
                mail(&world, scope, "b", 1, &["a"], &["spam"]),
                mail(&world, scope, "c", 2, &["a"], &[]),
            ];
            for n in order {
                put(&world, mails[n].clone()).await;
            }
            let a =
                world.store.message(scope, &MessageId::new("<a@x>"), Restricted::ALL).await.expect("read");
            let thread = a.expect("there").thread_id;
            for visible in [Restricted::NONE, Restricted::ALL] {
                let thread = world.store.thread(scope, thread, visible).await.expect("read").expect("there");
                let of = thread.aggregate;
                views.push((
                    visible,
                    of.labels,
                    of.message_count,
                    of.last_message_id,
                    of.senders,
                    of.preview,
                ));
            }
        }
        assert_eq!(views[0], views[2]);
        assert_eq!(views[1], views[3]);
        assert_eq!((views[0].2, views[1].2), (2, 3));
        assert!(!views[0].1.contains(&"spam".to_owned()));
        assert!(views[1].1.contains(&"spam".to_owned()));
    }
}

#[tokio::test]
async fn restricted_messages_are_hidden_from_lists_and_aggregates_but_not_from_who_may_see_them() {
    for world in worlds().await {
        let own = inbox(&world, "own").await;
        let spam = Restricted::of(["spam"]);
        put(&world, mail(&world, &own, "a", 0, &[], &[])).await;
        put(&world, mail(&world, &own, "junk", 5, &[], &["spam"])).await;
        put(&world, mail(&world, &own, "both", 6, &[], &["spam", "trash"])).await;
        assert_eq!(listed(&world, &own, &seeing(Restricted::NONE)).await, ["<a@x>"]);
        assert_eq!(listed(&world, &own, &seeing(spam)).await, ["<junk@x>", "<a@x>"]);
        assert_eq!(listed(&world, &own, &seeing(Restricted::ALL)).await, ["<both@x>", "<junk@x>", "<a@x>"]);
        let by_label = MessageFilter { labels: vec!["spam".to_owned()], ..seeing(Restricted::NONE) };
        assert_eq!(
            listed(&world, &own, &by_label).await,
            Vec::<String>::new(),
            "filtering does not reveal it"
        );
        let junk = MessageId::new("<junk@x>");
        assert_eq!(world.store.message(&own, &junk, Restricted::NONE).await.expect("read"), None);
        assert!(world.store.message(&own, &junk, spam).await.expect("read").is_some());
        for (visible, want) in [(Restricted::NONE, 1), (spam, 2), (Restricted::ALL, 3)] {
            let filter = ThreadFilter { visible, ..ThreadFilter::default() };
            for scope in [&own, &own.without_inbox()] {
                let page = world.store.list_threads(scope, &filter, Order::Descending, None, 10).await;
                assert_eq!(page.expect("listed").items.len(), want, "{visible:?}");
            }
        }
    }
}

#[tokio::test]
async fn labels_change_all_or_nothing_and_the_thread_follows() {
    for world in worlds().await {
        let own = inbox(&world, "own").await;
        put(&world, mail(&world, &own, "a", 0, &[], &[])).await;
        put(&world, mail(&world, &own, "b", 1, &["a"], &[])).await;
        let change = LabelChange {
            add: vec!["vip".to_owned(), "both".to_owned()],
            remove: vec!["unread".to_owned(), "both".to_owned()],
        };
        let relabelled = world
            .store
            .relabel_messages(&own, ids(&["b", "nobody", "a"]), change, Restricted::ALL, world.now())
            .await
            .expect("run");
        let labels = || vec!["received".to_owned(), "vip".to_owned()];
        let want = ids(&["b", "a"]).into_iter().map(|id| (id, labels())).collect();
        assert_eq!(relabelled, Relabelled::Done(want), "in the order of the request");
        let vip = MessageFilter {
            labels: vec!["vip".to_owned(), "received".to_owned()],
            ..seeing(Restricted::NONE)
        };
        assert_eq!(listed(&world, &own, &vip).await, ["<b@x>", "<a@x>"]);
        let unread = MessageFilter { labels: vec!["unread".to_owned()], ..seeing(Restricted::NONE) };
        assert_eq!(listed(&world, &own, &unread).await, Vec::<String>::new());
        let many: Vec<String> = (0..100).map(|n| format!("l{n}")).collect();
        let many = LabelChange { add: many, remove: Vec::new() };
        let refused =
            world.store.relabel_messages(&own, ids(&["a"]), many, Restricted::ALL, world.now()).await;
        assert_eq!(refused.expect("run"), Relabelled::TooMany);
        let page = world
            .store
            .list_threads(&own, &ThreadFilter::default(), Order::Descending, None, 10)
            .await
            .expect("listed");
        assert_eq!(page.items[0].aggregate.labels, labels());
        let trash = LabelChange { add: vec!["trash".to_owned()], remove: Vec::new() };
        let thread = page.items[0].thread_id;
        let done = world.store.relabel_thread(&own, thread, trash, Restricted::ALL, world.now()).await;
        assert_eq!(
            done.expect("run"),
            ThreadRelabelled::Done(vec!["received".to_owned(), "vip".to_owned(), "trash".to_owned()])
        );
        assert_eq!(world.store.thread(&own, thread, Restricted::NONE).await.expect("read"), None);
        let back = LabelChange { add: Vec::new(), remove: vec!["trash".to_owned()] };
        world.store.relabel_thread(&own, thread, back, Restricted::ALL, world.now()).await.expect("run");
        assert!(world.store.thread(&own, thread, Restricted::NONE).await.expect("read").is_some());
    }
}

#[tokio::test]
async fn history_tells_each_real_change_once_and_hides_what_is_hidden() {
    for world in worlds().await {
        let own = inbox(&world, "own").await;
        put(&world, mail(&world, &own, "a", 0, &[], &[])).await;
        put(&world, mail(&world, &own, "junk", 1, &[], &["spam"])).await;
        for (add, remove) in [(vec!["vip"], vec![]), (vec!["vip"], vec![]), (vec![], vec!["vip", "gone"])] {
            let texts = |labels: Vec<&str>| labels.into_iter().map(str::to_owned).collect();
            let change = LabelChange { add: texts(add), remove: texts(remove) };
            world
                .store
                .relabel_messages(&own, ids(&["a"]), change, Restricted::ALL, world.now())
                .await
                .expect("run");
        }
        let told = async |visible, order| {
            let (mut told, mut after, mut last) = (Vec::new(), None, None);
            for _ in 0..10 {
                let page =
                    world.store.label_events(&own, visible, order, after.as_ref(), 2).await.expect("read");
                for event in page.items {
                    let later = last.is_none_or(|last| (event.seq > last) == (order == Order::Ascending));
                    assert!(later, "in one direction only");
                    last = Some(event.seq);
                    let sign = if event.added { "+" } else { "-" };
                    told.push(format!(
                        "{}{sign}{}",
                        event.message_id.as_str().trim_matches(['<', '>']),
                        event.label
                    ));
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            told
        };
        let all = [
            "a@x+received",
            "a@x+unread",
            "junk@x+received",
            "junk@x+unread",
            "junk@x+spam",
            "a@x+vip",
            "a@x-vip",
        ];
        assert_eq!(told(Restricted::ALL, Order::Ascending).await, all);
        let mut backward = all.to_vec();
        backward.reverse();
        assert_eq!(told(Restricted::ALL, Order::Descending).await, backward);
        assert_eq!(
            told(Restricted::NONE, Order::Ascending).await,
            ["a@x+received", "a@x+unread", "a@x+vip", "a@x-vip"]
        );
    }
}

#[tokio::test]
async fn fifty_label_changes_at_once_lose_none() {
    for world in worlds().await {
        let own = inbox(&world, "own").await;
        put(&world, mail(&world, &own, "a", 0, &[], &[])).await;
        let changes = (0..50).map(|n| {
            let change = LabelChange { add: vec![format!("l{n:02}")], remove: Vec::new() };
            world.store.relabel_messages(&own, ids(&["a"]), change, Restricted::ALL, world.now())
        });
        for result in futures_util::future::join_all(changes).await {
            result.expect("run");
        }
        let a = world.store.message(&own, &MessageId::new("<a@x>"), Restricted::ALL).await.expect("read");
        let a = a.expect("there");
        let thread =
            world.store.thread(&own, a.thread_id, Restricted::ALL).await.expect("read").expect("there");
        for labels in [&a.labels, &thread.aggregate.labels] {
            assert_eq!(labels.iter().filter(|label| label.starts_with('l')).count(), 50);
        }
    }
}

#[tokio::test]
async fn deleting_messages_shrinks_the_thread_until_it_is_gone() {
    for world in worlds().await {
        let own = inbox(&world, "own").await;
        put(&world, mail(&world, &own, "a", 0, &[], &[])).await;
        put(&world, mail(&world, &own, "b", 1, &["a"], &[])).await;
        let [a, b] = [MessageId::new("<a@x>"), MessageId::new("<b@x>")];
        let thread =
            world.store.message(&own, &a, Restricted::ALL).await.expect("read").expect("there").thread_id;
        assert!(world.store.delete_message(&own, &b, Restricted::ALL).await.expect("run").is_some());
        assert_eq!(world.store.delete_message(&own, &b, Restricted::ALL).await.expect("run"), None);
        let left = world.store.thread(&own, thread, Restricted::ALL).await.expect("read").expect("there");
        assert_eq!((left.aggregate.message_count, left.aggregate.size), (1, 100));
        assert_eq!(left.aggregate.last_message_id, a);
        assert!(world.store.delete_thread(&own, thread, Restricted::ALL).await.expect("run").is_some());
        assert_eq!(world.store.thread(&own, thread, Restricted::ALL).await.expect("read"), None);
        assert_eq!(world.store.message(&own, &a, Restricted::ALL).await.expect("read"), None);
        let stored = put(&world, mail(&world, &own, "c", 2, &["a"], &[])).await;
        assert!(matches!(stored, Stored::New { thread_id, .. } if thread_id != thread), "{stored:?}");
    }
}

#[tokio::test]
async fn an_idempotency_key_stores_one_message_however_many_try() {
    for world in worlds().await {
        let own = inbox(&world, "own").await;
        let send = |n: usize, hash: &str| NewMessage {
            direction: Direction::Sent,
            message_id: MessageId::new(&format!("<s{n}@pm.test>")),
            labels: vec!["sent".to_owned()],
            deliveries: vec![NewDelivery {
                recipient: "b@x.test".to_owned(),
                destination: "x.test".to_owned(),
                expires_at: world.now().plus(Duration::from_secs(60)),
            }],
            draft: None,
            idempotency: Some(("k1".to_owned(), hash.to_owned())),
            ..mail(&world, &own, "unused", 0, &[], &[])
        };
        let tries = (0..20).map(|n| world.store.insert_messages(vec![send(n, "h")]));
        let outcomes: Vec<Stored> = futures_util::future::join_all(tries)
            .await
            .into_iter()
            .map(|outcome| outcome.expect("run").remove(0))
            .collect();
        let new: Vec<_> = outcomes.iter().filter(|outcome| matches!(outcome, Stored::New { .. })).collect();
        assert_eq!(new.len(), 1, "{outcomes:?}");
        let Stored::New { message_id, thread_id } = new[0].clone() else { unreachable!() };
        let replay = Stored::Replay { message_id, thread_id };
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == replay).count(), 19);
        assert_eq!(put(&world, send(99, "another request")).await, Stored::KeyReused);
        assert_eq!(listed(&world, &own, &seeing(Restricted::ALL)).await.len(), 1);
        world.clock.advance(Duration::from_secs(25 * 3600));
        assert!(matches!(put(&world, send(100, "another request")).await, Stored::New { .. }), "forgotten");
        world.clock.advance(Duration::from_secs(25 * 3600));
        let ever = Timestamp::from_micros(0);
        let before = CleanBefore { deliveries: ever, events: ever, idempotency: world.now(), texts: ever };
        for want in [1, 0] {
            assert_eq!(world.store.clean_step(before).await.expect("cleaned").idempotency, want);
        }
    }
}

#[tokio::test]
async fn pages_neither_skip_nor_repeat_although_times_are_equal() {
    for world in worlds().await {
        let own = inbox(&world, "own").await;
        let mails = (0..7).map(|n| mail(&world, &own, &format!("m{n}"), u64::from(n / 3 == 1), &[], &[]));
        world.store.insert_messages(mails.collect()).await.expect("stored");
        for order in [Order::Descending, Order::Ascending] {
            let (mut seen, mut after) = (Vec::new(), None);
            for _ in 0..10 {
                let page = world
                    .store
                    .list_messages(&own, &MessageFilter::default(), order, after.as_ref(), 2)
                    .await
                    .expect("listed");
                seen.extend(page.items.iter().map(|message| message.message_id.to_string()));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let whole = world.store.list_messages(&own, &MessageFilter::default(), order, None, 100).await;
            let whole: Vec<_> =
                whole.expect("listed").items.iter().map(|message| message.message_id.to_string()).collect();
            assert_eq!(seen, whole);
            assert_eq!(seen.len(), 7);
        }
    }
}

#[tokio::test]
async fn a_received_view_is_ordered_by_what_was_received() {
    for world in worlds().await {
        let own = inbox(&world, "own").await;
        put(&world, mail(&world, &own, "a", 0, &[], &[])).await;
        put(&world, mail(&world, &own, "b", 1, &[], &[])).await;
        let mut answer = mail(&world, &own, "answer", 2, &["a"], &[]);
        answer.direction = Direction::Sent;
        answer.labels = vec!["sent".to_owned()];
        put(&world, answer).await;
        for (time, labels, want) in [
            (ThreadTime::Any, vec![], ["About a", "About b"]),
            (ThreadTime::Received, vec!["received".to_owned()], ["About b", "About a"]),
        ] {
            let filter = ThreadFilter { time, labels, ..ThreadFilter::default() };
            let page =
                world.store.list_threads(&own, &filter, Order::Descending, None, 10).await.expect("listed");
            let subjects: Vec<_> = page.items.iter().filter_map(|t| t.aggregate.subject.as_deref()).collect();
            assert_eq!(subjects, want);
        }
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_stored_fails_alone() {
    for world in worlds().await {
        let own = inbox(&world, "own").await;
        // A whole scope is no inbox: storing there is an error, and must not take its neighbours along.
        let lost = NewMessage { scope: own.without_inbox(), ..mail(&world, &own, "lost", 0, &[], &[]) };
        let fine = |id: &str| mail(&world, &own, id, 0, &[], &[]);
        let (a, b, c) = tokio::join!(
            world.store.insert_messages(vec![fine("a")]),
            world.store.insert_messages(vec![lost]),
            world.store.insert_messages(vec![fine("c")]),
        );
        assert!(matches!(a.expect("stored")[..], [Stored::New { .. }]));
        assert!(b.is_err());
        assert!(matches!(c.expect("stored")[..], [Stored::New { .. }]));
        assert_eq!(listed(&world, &own, &seeing(Restricted::ALL)).await.len(), 2);
    }
}
