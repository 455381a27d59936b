//! Lists and search.

use std::time::Duration;

use podmail_domain::InboxId;
use podmail_store::{Cursor, NewInbox, Order};

use super::{at, listed, made, organization, pod};
use crate::worlds;

#[tokio::test]
async fn lists_page_both_ways_within_the_scope() {
    for world in worlds().await {
        let (acme, other) = (organization(&world, "h1", None).await, organization(&world, "h2", None).await);
        let tenant = pod(&world, &acme, "Tenant", None).await;
        made(&world, at(&world, &other, "foreign@pm.test")).await;
        let mut all = Vec::new();
        for (n, scope) in [&acme, &tenant, &acme, &tenant, &acme].into_iter().enumerate() {
            // Two of them share a time: the key decides.
            world.clock.advance(Duration::from_secs(u64::from(n != 2)));
            all.push(made(&world, at(&world, scope, &format!("n{n}@pm.test"))).await.inbox_id.to_string());
        }
        for (order, want) in [
            (Order::Ascending, all.clone()),
            (Order::Descending, all.iter().rev().cloned().collect::<Vec<_>>()),
        ] {
            let (mut seen, mut after): (Vec<String>, Option<Cursor>) = (Vec::new(), None);
            loop {
                let page = world.store.list_inboxes(&acme, order, after.as_ref(), 2).await.expect("a page");
                seen.extend(page.items.iter().map(|inbox| inbox.inbox_id.to_string()));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(seen, want, "{order:?}");
        }
        assert_eq!(listed(&world, &tenant).await, vec!["n3@pm.test", "n1@pm.test"]);
        let one = InboxId::parse("n1@pm.test").expect("an address");
        let scope = world.store.inbox_scope(&tenant, &one).await.expect("read").expect("in scope");
        assert_eq!(listed(&world, &scope).await, vec!["n1@pm.test"]);
        let foreign = world.store.pod_scope(&other, &tenant.pod().expect("a pod").to_string()).await;
        assert_eq!(foreign.expect("read"), None);
    }
}

#[tokio::test]
async fn a_search_ranks_the_exact_address_then_addresses_then_names() {
    for world in worlds().await {
        let (acme, other) = (organization(&world, "h1", None).await, organization(&world, "h2", None).await);
        let tenant = pod(&world, &acme, "Tenant", None).await;
        made(&world, at(&world, &other, "support@elsewhere.test")).await;
        for (scope, address, name) in [
            (&acme, "x@pm.test", Some("Support Team")),
            (&acme, "support@pm.test", None),
            (&acme, "support@pm.test.example", None),
            (&tenant, "y@pm.test", Some("Port Authority")),
            (&acme, "support.eu@pm.test", Some("Support")),
            (&acme, "z@pm.test", Some("Écoles")),
        ] {
            world.clock.advance(Duration::from_secs(1));
            let display_name = name.map(str::to_owned);
            made(&world, NewInbox { display_name, ..at(&world, scope, address) }).await;
        }
        for (q, want) in [
            ("sup", vec!["support.eu@pm.test", "support@pm.test.example", "support@pm.test", "x@pm.test"]),
            ("port", vec!["y@pm.test"]),
            (
                "Support@PM.test",
                vec!["support@pm.test", "support@pm.test.example", "support.eu@pm.test", "x@pm.test"],
            ),
            // the beginning of an address comes before its words, though it is older
            (
                "support@pm",
                vec!["support@pm.test.example", "support@pm.test", "support.eu@pm.test", "x@pm.test"],
            ),
            ("ecole", vec!["z@pm.test"]),
            ("écoles", vec!["z@pm.test"]),
            ("team support", vec!["x@pm.test"]),
            ("team nobody", vec![]),
            ("--", vec![]),
        ] {
            for limit in [1, 2, 50] {
                let (mut seen, mut after): (Vec<String>, Option<Cursor>) = (Vec::new(), None);
                loop {
                    let page =
                        world.store.search_inboxes(&acme, q, after.as_ref(), limit).await.expect("a page");
                    assert!(page.items.len() <= limit);
                    seen.extend(page.items.iter().map(|inbox| inbox.inbox_id.to_string()));
                    after = page.next;
                    if after.is_none() {
                        break;
                    }
                }
                assert_eq!(seen, want, "{q} by {limit}");
            }
        }
        let page = world.store.search_inboxes(&tenant, "sup", None, 50).await.expect("a page");
        assert_eq!((page.items.len(), page.next), (0, None), "another pod's inboxes are not found");
    }
}
