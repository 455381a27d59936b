//! The index of words: what each scope finds, newest first, while segments are merged and documents go.

use std::collections::{BTreeSet, HashMap};

use podmail_domain::label::Restricted;
use podmail_domain::{MessageId, MessageKey};
use podmail_store::{Error, Lookup, Scope, SearchDocument, SearchWindow, Terms};

use crate::messages::{inbox, inbox_of, mail};
use crate::{World, worlds};

/// Which numbers a query means.
type Meant = fn(usize) -> bool;

/// Messages by number, their keys.
type Keys = HashMap<MessageKey, usize>;

/// Stores messages with these numbers, alternating between two inboxes, and indexes them as one segment.
async fn add(world: &World, [one, two]: [&Scope; 2], numbers: std::ops::Range<usize>, keys: &mut Keys) {
    let minutes = |n: usize| u64::try_from(n).expect("small");
    let mails: Vec<_> = numbers
        .map(|n| {
            mail(world, if n.is_multiple_of(3) { two } else { one }, &format!("{n}"), minutes(n), &[], &[])
        })
        .collect();
    world.store.insert_messages(mails).await.expect("stored");
    let whole = world.store.organization_scope(one.organization()).await.expect("read").expect("there");
    let waiting = world.store.search_backlog_of(&whole, 512).await.expect("read");
    let documents = waiting.into_iter().map(|message| {
        let id = message.message_id.as_str();
        let n: usize = id.trim_matches(['<', '>']).trim_end_matches("@x").parse().expect("a number");
        keys.insert(message.message_key, n);
        let tokens = BTreeSet::from([
            "wall".to_owned(),
            format!("wten{}", n % 10),
            format!("sonly{n}"),
            "cx".to_owned(),
        ]);
        SearchDocument { message, tokens, text: vec![0], version: 1 }
    });
    world.store.index_documents(documents.collect(), true).await.expect("indexed");
}

fn exactly(token: &str) -> Lookup {
    Lookup::Exact(token.to_owned())
}

/// All that a scope finds, read in pages of seven.
async fn found(world: &World, scope: &Scope, terms: &Terms, keys: &Keys) -> Vec<usize> {
    let mut index = world.store.search_index(scope).await.expect("read");
    let (mut all, mut window) = (Vec::new(), SearchWindow::default());
    loop {
        let numbers = world.store.search_candidates(&mut index, terms, window, 7).await.expect("read");
        let Some(last) = numbers.last() else { return all };
        window.below = Some(*last);
        let mut hits = world.store.search_hits(scope, &numbers).await.expect("read");
        hits.sort_by_key(|hit| std::cmp::Reverse(hit.document));
        all.extend(hits.iter().map(|hit| keys[&hit.message_key]));
    }
}

async fn tend(world: &World) -> usize {
    for times in 0..1_000 {
        if !world.store.tend_search().await.expect("tended") {
            return times;
        }
    }
    panic!("there is always something to tend");
}

#[tokio::test]
async fn each_scope_finds_its_own_newest_first_before_and_after_segments_are_merged() {
    const COUNT: usize = 700;
    for world in worlds().await {
        let one = inbox(&world, "one").await;
        let pod = one.without_inbox();
        let two = inbox_of(&world, &pod, "two").await;
        let whole = world.store.organization_scope(one.organization()).await.expect("read").expect("there");
        let (mut keys, mut strangers) = (Keys::new(), Keys::new());
        for first in (0..COUNT).step_by(7) {
            add(&world, [&one, &two], first..first + 7, &mut keys).await;
        }
        let stranger = inbox(&world, "stranger").await;
        add(&world, [&stranger, &stranger], 0..20, &mut strangers).await;

        for stage in ["as written", "merged"] {
            for (scope, inbox) in [(&one, Some(0)), (&two, Some(1)), (&pod, None), (&whole, None)] {
                let within = |n: &usize| inbox.is_none_or(|inbox| usize::from(n.is_multiple_of(3)) == inbox);
                let ten3 = || vec![vec![exactly("wten3")]];
                let cases: [(Terms, Meant); 7] = [
                    (vec![vec![vec![exactly("wall")]]], |_| true),
                    (vec![ten3()], |n| n % 10 == 3),
                    (vec![vec![vec![Lookup::Prefix("wte".to_owned())]], ten3()], |n| n % 10 == 3),
                    (vec![vec![vec![exactly("wten3")], vec![exactly("wten4")]]], |n| {
                        [3, 4].contains(&(n % 10))
                    }),
                    (vec![vec![vec![Lookup::Prefix("sonly69".to_owned())]]], |n| n == 69 || n / 10 == 69),
                    (vec![vec![vec![exactly("sonly69"), exactly("wten3")]]], |_| false),
                    (vec![vec![Vec::new()]], |_| true),
                ];
                for (terms, meant) in cases {
                    let want: Vec<usize> = (0..COUNT).rev().filter(|n| within(n) && meant(*n)).collect();
                    assert_eq!(
                        found(&world, scope, &terms, &keys).await,
                        want,
                        "{stage} {inbox:?} {terms:?}"
                    );
                }
            }
            // Two nodes that tend the same scopes do not get into each other's way.
            let (one, two) = tokio::join!(tend(&world), tend(&world));
            assert_eq!(one + two > 0, stage == "as written");
        }
        let all = vec![vec![vec![exactly("wall")]]];
        assert_eq!(found(&world, &stranger, &all, &strangers).await, (0..20).rev().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_window_is_kept() {
    for world in worlds().await {
        let (one, mut keys) = (inbox(&world, "one").await, Keys::new());
        for first in (0..600).step_by(60) {
            add(&world, [&one, &one], first..first + 60, &mut keys).await;
        }
        let all: Terms = vec![vec![vec![exactly("wall")]]];
        let mut index = world.store.search_index(&one).await.expect("read");
        let find = async |index: &mut _, window, limit| {
            world.store.search_candidates(index, &all, window, limit).await.expect("read")
        };
        let every = find(&mut index, SearchWindow::default(), 1_000).await;
        assert_eq!(every.len(), 600);
        assert!(every.is_sorted_by(|a, b| a > b));
        for (from, below) in [(10, 590), (299, 301), (255, 257), (0, 1), (400, 401)] {
            let window = SearchWindow {
                from: Some(every[below]),
                below: Some(every[from]),
                ..SearchWindow::default()
            };
            assert_eq!(find(&mut index, window, 1_000).await, every[from + 1..=below]);
            assert_eq!(find(&mut index, window, 1).await, every[from + 1..=from + 1]);
        }
        assert!(find(&mut index, SearchWindow::default(), 0).await.is_empty());
    }
}

#[tokio::test]
async fn a_deleted_message_leaves_the_index_and_a_search_that_lost_its_segments_is_told() {
    for world in worlds().await {
        let (one, mut keys) = (inbox(&world, "one").await, Keys::new());
        add(&world, [&one, &one], 0..5, &mut keys).await;
        assert_eq!(tend(&world).await, 0);
        let mut before = world.store.search_index(&one).await.expect("read");
        let id = MessageId::new("<2@x>");
        world.store.delete_message(&one, &id, Restricted::NONE).await.expect("run").expect("there");
        let all: Terms = vec![vec![vec![exactly("wall")]]];
        // It is still in its segment, but not shown.
        assert_eq!(found(&world, &one, &all, &keys).await, [4, 3, 1, 0]);
        assert!(tend(&world).await > 0);
        let mut index = world.store.search_index(&one).await.expect("read");
        let window = SearchWindow::default();
        assert_eq!(world.store.search_candidates(&mut index, &all, window, 9).await.expect("read").len(), 4);
        assert_eq!(found(&world, &one, &all, &keys).await, [4, 3, 1, 0]);
        let lost = world.store.search_candidates(&mut before, &all, window, 9).await;
        assert!(matches!(lost, Err(Error::Race)), "{lost:?}");
        // With the last of them the segment goes.
        for id in ["<0@x>", "<1@x>", "<3@x>", "<4@x>"] {
            world
                .store
                .delete_message(&one, &MessageId::new(id), Restricted::NONE)
                .await
                .expect("run")
                .expect("there");
        }
        assert!(tend(&world).await > 0);
        let mut index = world.store.search_index(&one).await.expect("read");
        assert!(world.store.search_candidates(&mut index, &all, window, 9).await.expect("read").is_empty());
    }
}

#[tokio::test]
async fn a_large_segment_is_written_anew_once_a_quarter_of_it_is_gone() {
    for world in worlds().await {
        let (one, mut keys) = (inbox(&world, "one").await, Keys::new());
        for first in (0..600).step_by(60) {
            add(&world, [&one, &one], first..first + 60, &mut keys).await;
        }
        tend(&world).await;
        let all: Terms = vec![vec![vec![exactly("wall")]]];
        let indexed = async || {
            let mut index = world.store.search_index(&one).await.expect("read");
            let found = world.store.search_candidates(&mut index, &all, SearchWindow::default(), 1_000).await;
            found.expect("read").len()
        };
        for n in 0..149 {
            let id = MessageId::new(&format!("<{n}@x>"));
            world.store.delete_message(&one, &id, Restricted::NONE).await.expect("run").expect("there");
        }
        assert!(tend(&world).await > 0);
        assert_eq!(indexed().await, 600);
        let last = MessageId::new("<149@x>");
        world.store.delete_message(&one, &last, Restricted::NONE).await.expect("run").expect("there");
        assert!(tend(&world).await > 0);
        assert_eq!(indexed().await, 450);
        assert_eq!(found(&world, &one, &all, &keys).await, (150..600).rev().collect::<Vec<_>>());
    }
}
