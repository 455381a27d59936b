//! Domains.

use std::time::Duration;

use podmail_domain::{DomainName, EventType, PodId, Timestamp};
use podmail_store::{
    Cursor, Domain, DomainAdmission, DomainChange, DomainCreated, DomainFlags, DomainStatus, KeySecret,
    Limits, NewDomain, NewOrganization, NextCheck, Order, Position, Scope,
};

use crate::{World, worlds};

async fn organization(world: &World, hash: &str, domain_limit: Option<u64>) -> Scope {
    let new = NewOrganization {
        name: "Acme".to_owned(),
        limits: Limits { domain_limit, ..Limits::default() },
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

fn name(text: &str) -> DomainName {
    DomainName::parse(text).expect("a name")
}

fn new(world: &World, domain: &str, client_id: Option<&str>) -> NewDomain {
    NewDomain {
        domain: name(domain),
        client_id: client_id.map(str::to_owned),
        flags: DomainFlags { feedback: true, inbound: true, subdomains: false, tracking: false },
        status: DomainStatus::Pending,
        reason: Some("dns_records_missing".to_owned()),
        dkim_selector: "s1".to_owned(),
        dkim_private: vec![0, 159, 146, 150],
        dkim_public: "AAAA".to_owned(),
        records: "[]".to_owned(),
        next_check_at: Some(world.now().plus(Duration::from_secs(60))),
        created_at: world.now(),
    }
}

async fn create(world: &World, scope: &Scope, domain: &str) -> DomainCreated {
    world.store.create_domain(scope, new(world, domain, None)).await.expect("an outcome")
}

async fn made(world: &World, scope: &Scope, domain: &str) -> Domain {
    created(create(world, scope, domain).await)
}

fn created(outcome: DomainCreated) -> Domain {
    let DomainCreated::Created(domain) = outcome else { panic!("{outcome:?}") };
    *domain
}

async fn verify(world: &World, domain: &Domain) -> bool {
    let next = Domain {
        status: DomainStatus::Verified,
        reason: None,
        verified_at: Some(world.now()),
        sending: true,
        updated_at: world.now(),
        next_check_at: None,
        ..domain.clone()
    };
    let verified_event = Some(format!("{{\"domain_id\":\"{}\"}}", domain.domain));
    let change = DomainChange { domain: next, next_check: NextCheck::Set, verified_event, at: world.now() };
    world.store.change_domain(change).await.expect("written")
}

async fn verified_events(world: &World) -> Vec<(Option<PodId>, String)> {
    let log = crate::events::log(world, Position::default(), 100).await;
    log.events
        .into_iter()
        .filter(|event| event.event_type == EventType::DomainVerified)
        .map(|event| (event.scope.pod(), event.facts))
        .collect()
}

#[tokio::test]
async fn a_name_belongs_to_one_organization_and_pods_see_their_own_only() {
    for world in worlds().await {
        let (scope, other) = (organization(&world, "h1", None).await, organization(&world, "h2", None).await);
        let (tenant, neighbour) = (pod(&world, &scope).await, pod(&world, &scope).await);
        let shared = made(&world, &scope, "acme.example").await;
        let own = made(&world, &tenant, "tenant.example").await;
        assert_eq!((shared.pod_id, own.pod_id), (None, tenant.pod()));
        assert_eq!((own.version, own.checks_since, own.updated_at), (1, world.now(), world.now()));

        let refused = |why| DomainCreated::Refused(why);
        assert_eq!(create(&world, &scope, "acme.example").await, refused(DomainAdmission::AlreadyExists));
        assert_eq!(
            create(&world, &neighbour, "tenant.example").await,
            refused(DomainAdmission::AlreadyExists)
        );
        assert_eq!(create(&world, &other, "acme.example").await, refused(DomainAdmission::Taken));

        for (seer, domain, want) in [
            (&scope, "acme.example", true),
            (&scope, "tenant.example", true),
            (&tenant, "tenant.example", true),
            (&tenant, "acme.example", false),
            (&neighbour, "tenant.example", false),
            (&other, "acme.example", false),
        ] {
            let found = world.store.domain(seer, &name(domain)).await.expect("read");
            assert_eq!(found.is_some(), want, "{seer:?} {domain}");
            if !want {
                assert!(
                    !world.store.delete_domain(seer, &name(domain)).await.expect("an answer"),
                    "{seer:?}"
                );
            }
        }
        let by_name = world.store.domain_by_name(&name("tenant.example")).await.expect("read");
        assert_eq!(by_name, Some(own));
    }
}

#[tokio::test]
async fn lists_page_both_ways_within_the_scope() {
    for world in worlds().await {
        let (scope, other) = (organization(&world, "h1", None).await, organization(&world, "h2", None).await);
        let tenant = pod(&world, &scope).await;
        made(&world, &other, "other.example").await;
        let mut names = Vec::new();
        for (n, scope) in [&scope, &tenant, &scope, &tenant].into_iter().enumerate() {
            // Two of them share a time.
            if n != 1 {
                world.clock.advance(Duration::from_secs(1));
            }
            names.push(made(&world, scope, &format!("d{n}.example")).await.domain.to_string());
        }
        for (seer, order, want) in [
            (&scope, Order::Ascending, vec![0, 1, 2, 3]),
            (&scope, Order::Descending, vec![3, 2, 1, 0]),
            (&tenant, Order::Descending, vec![3, 1]),
        ] {
            let (mut seen, mut after): (Vec<String>, Option<Cursor>) = (Vec::new(), None);
            loop {
                let page = world.store.domains(seer, order, after.as_ref(), 1).await.expect("a page");
                seen.extend(page.items.iter().map(|domain| domain.domain.to_string()));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let want: Vec<String> = want.into_iter().map(|n: usize| names[n].clone()).collect();
            assert_eq!(seen, want, "{order:?}");
        }
    }
}

#[tokio::test]
async fn parallel_creates_with_one_client_id_give_one_domain() {
    for world in worlds().await {
        let scope = organization(&world, "h1", Some(1)).await;
        let tenant = pod(&world, &scope).await;
        let creates = (0..20).map(|n| {
            let (store, scope) = (world.store.clone(), scope.clone());
            let new = new(&world, &format!("d{n}.example"), Some("c-1"));
            async move { store.create_domain(&scope, new).await.expect("an outcome") }
        });
        let outcomes = futures_util::future::join_all(creates).await;
        let names: Vec<DomainName> = outcomes
            .into_iter()
            .map(|outcome| match outcome {
                DomainCreated::Created(domain)
                | DomainCreated::Refused(DomainAdmission::Existing(domain)) => domain.domain,
                refused @ (DomainCreated::Refused(_) | DomainCreated::PodGone) => panic!("{refused:?}"),
            })
            .collect();
        assert!(names.iter().all(|name| *name == names[0]), "{names:?}");

        let elsewhere = world.store.create_domain(&tenant, new(&world, "x.example", Some("c-1"))).await;
        assert_eq!(elsewhere.expect("an outcome"), DomainCreated::Refused(DomainAdmission::AlreadyExists));
        assert_eq!(
            create(&world, &scope, "more.example").await,
            DomainCreated::Refused(DomainAdmission::LimitReached(1))
        );
        assert!(world.store.delete_domain(&scope, &names[0]).await.expect("deleted"));
        let again = world.store.create_domain(&scope, new(&world, "more.example", Some("c-1"))).await;
        assert_eq!(created(again.expect("an outcome")).domain, name("more.example"));
    }
}

#[tokio::test]
async fn parallel_creates_never_pass_the_quota_or_share_a_name() {
    for world in worlds().await {
        let (scope, other) =
            (organization(&world, "h1", Some(3)).await, organization(&world, "h2", None).await);
        let creates = (0..10).map(|n| {
            let (store, scope, new) =
                (world.store.clone(), scope.clone(), new(&world, &format!("d{n}.example"), None));
            async move { store.create_domain(&scope, new).await.expect("an outcome") }
        });
        let outcomes = futures_util::future::join_all(creates).await;
        let count = outcomes.iter().filter(|outcome| matches!(outcome, DomainCreated::Created(_))).count();
        assert_eq!(count, 3);
        let free = organization(&world, "h3", None).await;
        let creates = (0..10).map(|n| {
            let scope = if n % 2 == 0 { other.clone() } else { free.clone() };
            let (store, new) = (world.store.clone(), new(&world, "wanted.example", None));
            async move { store.create_domain(&scope, new).await.expect("an outcome") }
        });
        let outcomes = futures_util::future::join_all(creates).await;
        let count = outcomes.iter().filter(|outcome| matches!(outcome, DomainCreated::Created(_))).count();
        assert_eq!(count, 1, "{outcomes:?}");
    }
}

#[tokio::test]
async fn names_below_a_verified_domain_are_its_organizations_alone() {
    for world in worlds().await {
        let (scope, other) = (organization(&world, "h1", None).await, organization(&world, "h2", None).await);
        let parent = made(&world, &scope, "acme.example").await;
        made(&world, &other, "early.acme.example").await;
        assert!(verify(&world, &parent).await);
        let late = create(&world, &other, "late.eu.acme.example").await;
        assert_eq!(late, DomainCreated::Refused(DomainAdmission::Taken));
        made(&world, &scope, "own.acme.example").await;
        made(&world, &other, "notacme.example").await;
    }
}

// domains.md check 21
#[tokio::test]
async fn a_decision_on_an_older_row_is_not_written_and_a_verification_brings_one_event() {
    for world in worlds().await {
        let scope = organization(&world, "h1", None).await;
        let tenant = pod(&world, &scope).await;
        let domain = made(&world, &tenant, "acme.example").await;
        assert!(verify(&world, &domain).await);
        assert!(!verify(&world, &domain).await, "the row has changed since");
        let events = verified_events(&world).await;
        assert_eq!(events, vec![(tenant.pod(), "{\"domain_id\":\"acme.example\"}".to_owned())]);
        let stored = world.store.domain(&scope, &domain.domain).await.expect("read").expect("there");
        assert_eq!((stored.status, stored.version), (DomainStatus::Verified, 2));
        assert_eq!((stored.verified_at, stored.next_check_at), (Some(world.now()), None));
    }
}

#[tokio::test]
async fn due_domains_are_leased_once_and_come_back_when_the_lease_ends() {
    for world in worlds().await {
        let scope = organization(&world, "h1", None).await;
        made(&world, &scope, "acme.example").await;
        let lease = |now: Timestamp| world.store.lease_domains(now, now.plus(Duration::from_secs(30)), 10);
        assert!(lease(world.now()).await.expect("leased").is_empty(), "not due");
        world.clock.advance(Duration::from_secs(60));
        let (first, second) = tokio::join!(lease(world.now()), lease(world.now()));
        let leased = [first.expect("leased"), second.expect("leased")].concat();
        assert_eq!(leased.len(), 1);
        let (leased_scope, domain) = leased[0].clone();
        assert_eq!(leased_scope, scope);
        world.clock.advance(Duration::from_secs(30));
        assert_eq!(lease(world.now()).await.expect("leased").len(), 1, "its holder was killed");

        let later = world.now().plus(Duration::from_secs(600));
        let next = Domain { next_check_at: Some(later), ..domain };
        let change = DomainChange {
            domain: next,
            next_check: NextCheck::SetUnlessAsked,
            verified_event: None,
            at: world.now(),
        };
        assert!(world.store.change_domain(change).await.expect("written"));
        let stored = world.store.domain(&scope, &name("acme.example")).await.expect("read").expect("there");
        assert_eq!(stored.next_check_at, Some(later));
    }
}

#[tokio::test]
async fn a_request_for_a_check_is_due_at_once_survives_a_running_check_and_is_bounded() {
    for world in worlds().await {
        let scope = organization(&world, "h1", None).await;
        let domain = made(&world, &scope, "acme.example").await;
        world.clock.advance(Duration::from_secs(60));
        let until = world.now().plus(Duration::from_secs(30));
        let leased = world.store.lease_domains(world.now(), until, 10).await.expect("leased");
        assert_eq!(leased.len(), 1);
        let pause = Duration::from_secs(10);
        let ask = |now: Timestamp| world.store.request_domain_check(&domain, now, now.minus(pause));
        assert!(ask(world.now()).await.expect("asked"));
        assert!(!ask(world.now().plus(Duration::from_secs(9))).await.expect("asked"));
        let asked_at = world.now();
        assert!(
            world.store.lease_domains(asked_at, until, 10).await.expect("leased").is_empty(),
            "still running"
        );

        let next = Domain { next_check_at: Some(until.plus(pause)), ..leased[0].1.clone() };
        let change = DomainChange {
            domain: next,
            next_check: NextCheck::SetUnlessAsked,
            verified_event: None,
            at: asked_at,
        };
        assert!(world.store.change_domain(change).await.expect("written"));
        assert_eq!(
            world.store.lease_domains(asked_at, until, 10).await.expect("leased").len(),
            1,
            "asked for"
        );
    }
}

#[tokio::test]
async fn the_private_key_is_for_sending_only() {
    for world in worlds().await {
        let (scope, other) = (organization(&world, "h1", None).await, organization(&world, "h2", None).await);
        let domain = made(&world, &scope, "acme.example").await;
        let key = |scope: &Scope| {
            let (store, scope) = (world.store.clone(), scope.clone());
            async move { store.sending_domain(&scope, "acme.example").await.expect("read") }
        };
        let sending = key(&scope).await.expect("there");
        assert_eq!((sending.may_send, sending.selector.as_str()), (false, "s1"));
        assert_eq!(sending.private_pkcs8, vec![0, 159, 146, 150]);
        assert!(!format!("{sending:?}{:?}", new(&world, "x.example", None)).contains("159"));
        assert!(verify(&world, &domain).await);
        assert!(key(&scope).await.expect("there").may_send);
        assert!(key(&other).await.is_none());
        assert!(world.store.delete_domain(&scope, &domain.domain).await.expect("deleted"));
        assert!(key(&scope).await.is_none());
    }
}

#[tokio::test]
async fn inboxes_find_the_domains_that_govern_a_name_nearest_first() {
    for world in worlds().await {
        let scope = organization(&world, "a", None).await;
        let other = organization(&world, "b", None).await;
        let parent = made(&world, &scope, "acme.example").await;
        made(&world, &scope, "mail.acme.example").await;
        assert!(verify(&world, &parent).await);
        let found = world.store.governing_domains(&scope, &name("x.mail.acme.example")).await.expect("read");
        let shown: Vec<_> = found.iter().map(|f| (f.domain.as_str(), f.verified, f.complete)).collect();
        assert_eq!(shown, [("mail.acme.example", false, false), ("acme.example", true, true)]);
        let foreign = world.store.governing_domains(&other, &name("acme.example")).await.expect("read");
        assert_eq!(foreign.len(), 0);
    }
}
