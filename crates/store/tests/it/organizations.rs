//! Organizations, and what the installation stores once.

use std::sync::Arc;

use podmail_domain::{OrganizationId, PodId};
use podmail_store::{KeySecret, Limits, NewOrganization, Order, OrganizationChange};

use crate::worlds;

fn acme(hash: &str) -> NewOrganization {
    NewOrganization {
        name: "Acme".to_owned(),
        limits: Limits { inbox_limit: Some(5), domain_limit: None, send_per_day: Some(100) },
        key_name: "First".to_owned(),
        secret: KeySecret { hash: hash.to_owned(), prefix: "am_us_000000".to_owned() },
    }
}

#[tokio::test]
async fn an_organization_comes_with_its_default_pod_and_an_unrestricted_key() {
    for world in worlds().await {
        let (organization, key) =
            world.store.create_organization(acme("h1"), world.now()).await.expect("made");
        let credential = world.store.credential("h1").await.expect("read").expect("known");
        assert_eq!(credential.api_key_id, key.api_key_id);
        assert_eq!(credential.scope.organization(), organization);
        assert_eq!(credential.scope.pod(), None);
        assert!(credential.permissions.unrestricted());
        assert!(!credential.suspended);

        let pods = world.store.pods(&credential.scope, Order::Descending, None, 10).await.expect("a page");
        assert_eq!(pods.items.len(), 1);
        assert_eq!(pods.items[0].name, "Default Pod");
        assert_eq!(pods.items[0].pod_id, PodId::default_of(organization));

        let found = world.store.organization(&credential.scope).await.expect("read").expect("there");
        assert_eq!(found.name, "Acme");
        assert_eq!(
            found.limits,
            Limits { inbox_limit: Some(5), domain_limit: None, send_per_day: Some(100) }
        );
        assert_eq!((found.inbox_count, found.domain_count, found.suspended), (0, 0, false));
        assert_eq!((found.created_at, found.updated_at), (world.now(), world.now()));
    }
}

#[tokio::test]
async fn limits_change_one_by_one_and_suspension_shows_in_the_credential() {
    for world in worlds().await {
        let (organization, _) = world.store.create_organization(acme("h1"), world.now()).await.expect("made");
        let (other, _) = world.store.create_organization(acme("h2"), world.now()).await.expect("made");
        let change = OrganizationChange {
            inbox_limit: Some(None),
            domain_limit: Some(Some(7)),
            suspended: Some(true),
            ..OrganizationChange::default()
        };
        assert!(world.store.set_organization(organization, change, world.now()).await.expect("set"));
        let found = world.store.organization_by_id(organization).await.expect("read").expect("there");
        assert_eq!(
            found.limits,
            Limits { inbox_limit: None, domain_limit: Some(7), send_per_day: Some(100) }
        );
        assert!(world.store.credential("h1").await.expect("read").expect("known").suspended);
        let untouched = world.store.organization_by_id(other).await.expect("read").expect("there");
        assert_eq!(untouched.limits, acme("h2").limits);
        assert!(!untouched.suspended);
        let unknown = OrganizationId::new(&*world.ids, world.now());
        assert!(!world.store.set_organization(unknown, change, world.now()).await.expect("nothing to set"));
    }
}

#[tokio::test]
async fn operators_list_organizations_oldest_first_and_find_namesakes() {
    for world in worlds().await {
        let mut made = Vec::new();
        for hash in ["h1", "h2", "h3"] {
            made.push(world.store.create_organization(acme(hash), world.now()).await.expect("made").0);
        }
        let first = world.store.organizations(None, 2).await.expect("a page");
        assert_eq!(first.iter().map(|o| o.organization_id).collect::<Vec<_>>(), made[..2]);
        let rest = world.store.organizations(Some(made[1]), 2).await.expect("a page");
        assert_eq!(rest.iter().map(|o| o.organization_id).collect::<Vec<_>>(), made[2..]);
        assert_eq!(world.store.organizations_named("Acme").await.expect("read"), made);
        assert!(world.store.organizations_named("acme").await.expect("read").is_empty());
    }
}

#[tokio::test]
async fn nodes_that_start_together_make_one_first_organization() {
    for world in worlds().await {
        let starts =
            (0..8).map(|n| {
                let (store, now) = (world.store.clone(), world.now());
                async move {
                    store.create_first_organization(acme(&format!("h{n}")), now).await.expect("an answer")
                }
            });
        let made = futures_util::future::join_all(starts).await;
        assert_eq!(made.iter().filter(|made| made.is_some()).count(), 1);
        assert_eq!(world.store.organizations(None, 10).await.expect("a page").len(), 1);
    }
}

#[tokio::test]
async fn the_first_writer_of_an_installation_value_wins() {
    for world in worlds().await {
        assert_eq!(world.store.installation_value("secret").await.expect("read"), None);
        let store = Arc::new(world.store.clone());
        let writers =
            (0..8).map(|n| {
                let store = store.clone();
                async move {
                    store.installation_value_or_insert("secret", &format!("v{n}")).await.expect("stored")
                }
            });
        let values = futures_util::future::join_all(writers).await;
        let stored = world.store.installation_value("secret").await.expect("read").expect("stored");
        assert!(values.iter().all(|value| *value == stored), "{values:?}");
    }
}
