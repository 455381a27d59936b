//! API keys.

use std::collections::BTreeMap;
use std::time::Duration;

use podmail_domain::Permissions;
use podmail_store::{
    ApiKey, ApiKeyChange, KeyLevel, KeySecret, KeyWritten, Limits, NewApiKey, NewOrganization, Order, Scope,
};

use crate::{World, worlds};

async fn organization(world: &World, hash: &str) -> Scope {
    let new = NewOrganization {
        name: "Acme".to_owned(),
        limits: Limits::default(),
        key_name: "First".to_owned(),
        secret: KeySecret { hash: hash.to_owned(), prefix: "am_us_000000".to_owned() },
    };
    let (organization, _) = world.store.create_organization(new, world.now()).await.expect("made");
    world.store.organization_scope(organization).await.expect("read").expect("there")
}

async fn pod(world: &World, scope: &Scope) -> Scope {
    let pod = world.store.create_pod(scope, "Tenant".to_owned(), None, world.now()).await.expect("made");
    world.store.pod_scope(scope, &pod.pod_id.to_string()).await.expect("read").expect("in scope")
}

fn flags(flags: &[(&str, bool)]) -> Permissions {
    Permissions(Some(flags.iter().map(|(name, on)| ((*name).to_owned(), *on)).collect::<BTreeMap<_, _>>()))
}

fn new(hash: &str, permissions: Permissions) -> NewApiKey {
    NewApiKey {
        name: hash.to_owned(),
        secret: KeySecret { hash: hash.to_owned(), prefix: "am_us_111111".to_owned() },
        permissions,
        expires_at: None,
    }
}

async fn names(world: &World, scope: &Scope, level: KeyLevel) -> Vec<String> {
    let page = world.store.keys(scope, level, None, Order::Ascending, None, 50).await.expect("a page");
    page.items.into_iter().map(|key| key.name).collect()
}

async fn make(world: &World, scope: &Scope, hash: &str, permissions: Permissions) -> ApiKey {
    world.clock.advance(Duration::from_secs(1));
    world
        .store
        .create_key(scope, new(hash, permissions), world.now())
        .await
        .expect("made")
        .expect("the scope is there")
}

#[tokio::test]
async fn lists_show_what_is_covered_or_exactly_one_level() {
    for world in worlds().await {
        let org = organization(&world, "h1").await;
        let other = organization(&world, "h2").await;
        let (a, b) = (pod(&world, &org).await, pod(&world, &org).await);
        let in_a = make(&world, &a, "a", Permissions::UNRESTRICTED).await;
        make(&world, &b, "b", Permissions::UNRESTRICTED).await;
        assert_eq!(in_a.pod_id, a.pod());
        assert_eq!(names(&world, &org, KeyLevel::Covered).await, ["First", "a", "b"]);
        assert_eq!(names(&world, &org, KeyLevel::Exact).await, ["First"]);
        assert_eq!(names(&world, &a, KeyLevel::Covered).await, ["a"]);
        assert_eq!(names(&world, &a, KeyLevel::Exact).await, ["a"]);
        assert_eq!(names(&world, &other, KeyLevel::Covered).await, ["First"]);
        for (scope, level, found) in [
            (&org, KeyLevel::Covered, true),
            (&org, KeyLevel::Exact, false),
            (&a, KeyLevel::Exact, true),
            (&b, KeyLevel::Covered, false),
            (&other, KeyLevel::Covered, false),
        ] {
            let key = world.store.key(scope, level, in_a.api_key_id).await.expect("read");
            assert_eq!(key.is_some(), found, "{scope:?} {level:?}");
        }
    }
}

#[tokio::test]
async fn a_change_decided_on_older_flags_is_refused() {
    for world in worlds().await {
        let org = organization(&world, "h1").await;
        let seen = make(&world, &org, "k", flags(&[("inbox_read", true), ("message_send", false)])).await;
        assert_eq!(
            world.store.key(&org, KeyLevel::Covered, seen.api_key_id).await.expect("read"),
            Some(seen.clone())
        );
        world.clock.advance(Duration::from_secs(1));

        let raise = ApiKeyChange { name: None, permissions: Some(Permissions::UNRESTRICTED) };
        let raised = world.store.update_key(&org, &seen, raise.clone(), world.now()).await.expect("written");
        let KeyWritten::Done(raised) = raised else { panic!("{raised:?}") };
        assert!(raised.permissions.unrestricted());
        assert_eq!((raised.name.as_str(), raised.updated_at), ("k", world.now()));

        let lower = ApiKeyChange { name: None, permissions: Some(flags(&[])) };
        let refused =
            world.store.update_key(&org, &seen, lower.clone(), world.now()).await.expect("an answer");
        assert_eq!(refused, KeyWritten::Changed);
        assert_eq!(world.store.delete_key(&org, &seen).await.expect("an answer"), KeyWritten::Changed);

        let rename = ApiKeyChange { name: Some("new".to_owned()), permissions: None };
        let renamed = world.store.update_key(&org, &seen, rename, world.now()).await.expect("written");
        let KeyWritten::Done(renamed) = renamed else { panic!("{renamed:?}") };
        assert_eq!((renamed.name.as_str(), renamed.permissions.unrestricted()), ("new", true));

        assert_eq!(world.store.delete_key(&org, &renamed).await.expect("deleted"), KeyWritten::Done(()));
        assert!(world.store.credential("k").await.expect("read").is_none());
        assert_eq!(world.store.delete_key(&org, &renamed).await.expect("an answer"), KeyWritten::Absent);
        assert_eq!(
            world.store.update_key(&org, &renamed, lower, world.now()).await.expect("an answer"),
            KeyWritten::Absent
        );
    }
}

#[tokio::test]
async fn use_is_noted_and_never_goes_back() {
    for world in worlds().await {
        let org = organization(&world, "h1").await;
        let key = make(&world, &org, "k", Permissions::UNRESTRICTED).await;
        assert_eq!(key.used_at, None);
        let early = world.now();
        let late = early.plus(Duration::from_secs(60));
        for at in [late, early] {
            world.store.touch_keys(vec![(org.organization(), key.api_key_id, at)]).await.expect("noted");
        }
        let key =
            world.store.key(&org, KeyLevel::Covered, key.api_key_id).await.expect("read").expect("there");
        assert_eq!(key.used_at, Some(late));
    }
}
