//! An installation in small, and every list and search of it at every level, with every filter, in both directions.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use podmail_domain::label::Restricted;
use podmail_domain::list::{ListDirection, ListEntry, ListType};
use podmail_domain::thread::{Attachment, Direction};
use podmail_domain::{AttachmentId, DomainName, InboxId, Permissions, ThreadId, Timestamp};
use podmail_store::{
    Cursor, DomainFlags, DomainStatus, DraftClaimed, DraftContent, DraftCreated, DraftFilter, DraftKind,
    DraftRelease, InboxCreated, InboxPlace, KeyFamily, KeyLevel, KeySecret, LeaseRequest, Limits, ListName,
    Lookup, MessageFilter, NewApiKey, NewDelivery, NewDomain, NewDraft, NewInbox, NewMessage,
    NewOrganization, Order, Page, Position, Scope, SearchDocument, SearchWindow, Stored, Suppression,
    ThreadFilter, ThreadTime,
};

use crate::messages::mail;
use crate::{World, events, webhooks, worlds};

/// The levels of one tenant.
#[derive(Debug)]
pub(crate) struct Levels {
    organization: Scope,
    pod: Scope,
    inbox: Scope,
    threads: Vec<ThreadId>,
    /// Of the inbox, and in the names of what belongs to it.
    name: String,
}

impl Levels {
    fn all(&self) -> [&Scope; 3] {
        [&self.organization, &self.pod, &self.inbox]
    }
}

const BOTH: [Order; 2] = [Order::Descending, Order::Ascending];
const SEND_BLOCK: ListName = ListName { direction: ListDirection::Send, list_type: ListType::Block };
const RECEIVE_ALLOW: ListName = ListName { direction: ListDirection::Receive, list_type: ListType::Allow };

/// Organizations with `rows` rows in each list of each of their inboxes.
pub(crate) async fn installation(world: &World, organizations: usize, rows: usize) -> Vec<Levels> {
    let mut tenants = Vec::new();
    for n in 0..organizations {
        let new = NewOrganization {
            name: format!("Tenant {n}"),
            limits: Limits::default(),
            key_name: "First".to_owned(),
            secret: KeySecret { hash: format!("hash {n}"), prefix: "am_us_000000".to_owned() },
        };
        let (id, _) = world.store.create_organization(new, world.now()).await.expect("made");
        let organization = world.store.organization_scope(id).await.expect("read").expect("there");
        let made = world.store.create_pod(&organization, "Pod".to_owned(), None, world.now()).await;
        let pod = made.expect("made").pod_id.to_string();
        let pod = world.store.pod_scope(&organization, &pod).await.expect("read").expect("there");
        // Empty ones: a table of few rows is read as a whole.
        for empty in 0..rows / 5 {
            inbox(world, &organization, &format!("c{n}-{empty}")).await;
        }
        for name in ["b", "a"] {
            let scope = if name == "a" { &pod } else { &organization };
            let inbox = inbox(world, scope, &format!("{name}{n}")).await;
            let threads = Box::pin(fill(world, scope, &inbox, rows, &format!("{name}{n}"))).await;
            if name == "a" {
                let organization = organization.clone();
                let name = format!("a{n}");
                tenants.push(Levels { organization, pod: pod.clone(), inbox, threads, name });
            }
        }
    }
    fan_out(world).await;
    tenants
}

async fn inbox(world: &World, scope: &Scope, name: &str) -> Scope {
    world.clock.advance(Duration::from_secs(1));
    let id = InboxId::parse(&format!("{name}@pm.test")).expect("an address");
    let new = NewInbox {
        scope: scope.clone(),
        place: InboxPlace::At { inbox_id: id.clone(), governing_domain: None },
        display_name: Some(format!("Desk {name}")),
        client_id: None,
        paused: false,
        metadata: None,
        now: world.now(),
    };
    let created = world.store.create_inbox(new).await.expect("made");
    assert!(matches!(created, InboxCreated::Created(_)), "{created:?}");
    world.store.inbox_scope(scope, &id).await.expect("read").expect("in scope")
}

async fn fill(world: &World, above: &Scope, inbox: &Scope, rows: usize, name: &str) -> Vec<ThreadId> {
    let store = &world.store;
    let threads = messages(world, inbox, rows).await;
    for n in 0..rows.min(20) {
        world.clock.advance(Duration::from_secs(1));
        let now = world.now();
        for scope in [above, inbox] {
            let level = if scope.inbox().is_some() { "inbox" } else { "above" };
            let new = NewApiKey {
                name: format!("{n}"),
                secret: KeySecret { hash: format!("{name} {level} {n}"), prefix: "am_us_111111".to_owned() },
                permissions: Permissions::default(),
                expires_at: None,
            };
            store.create_key(scope, new, now).await.expect("made").expect("there");
            for list in [SEND_BLOCK, RECEIVE_ALLOW] {
                let entry = ListEntry::parse(&format!("n{n}@{name}.test")).expect("an entry");
                store.create_list_entry(scope, list, entry, None, now).await.expect("made").expect("there");
            }
            let new = podmail_store::NewWebhook { limit: 1000, ..webhooks::new(world) };
            webhooks::made(world, scope, new).await;
        }
        store.create_domain(above, domain(world, &format!("n{n}.{name}.test"))).await.expect("made");
        draft(world, inbox, now.plus(Duration::from_secs(3600)), n).await;
    }
    threads
}

fn domain(world: &World, name: &str) -> NewDomain {
    NewDomain {
        domain: DomainName::parse(name).expect("a name"),
        client_id: None,
        flags: DomainFlags { feedback: true, inbound: true, subdomains: false, tracking: false },
        status: DomainStatus::Pending,
        reason: None,
        dkim_selector: "s1".to_owned(),
        dkim_private: vec![0],
        dkim_public: "AAAA".to_owned(),
        records: "[]".to_owned(),
        next_check_at: Some(world.now().plus(Duration::from_secs(60))),
        created_at: world.now(),
    }
}

/// A draft in an inbox.
pub(crate) fn plain_draft(world: &World, inbox: &Scope) -> NewDraft {
    let content = DraftContent {
        kind: DraftKind::Plain,
        client_id: None,
        thread_id: None,
        reply_to: Vec::new(),
        to: vec!["to@x.test".to_owned()],
        cc: Vec::new(),
        bcc: Vec::new(),
        subject: None,
        preview: None,
        in_reply_to: None,
        forward_of: None,
        references: Vec::new(),
        attachments: Vec::new(),
        failure: None,
    };
    NewDraft {
        scope: inbox.clone(),
        labels: vec!["vip".to_owned()],
        content,
        text: None,
        html: None,
        files: Vec::new(),
        send_at: None,
        now: world.now(),
    }
}

/// A draft that is scheduled, waits, or is sent at once.
async fn draft(world: &World, inbox: &Scope, at: Timestamp, n: usize) {
    let mut new = plain_draft(world, inbox);
    new.content.client_id = Some(format!("{} {n}", inbox.inbox().expect("an inbox").id));
    new.send_at = n.is_multiple_of(2).then_some(at);
    let made = world.store.create_draft(new).await.expect("made");
    let DraftCreated::Created(draft) = made else { panic!("{made:?}") };
    if n % 4 == 1 {
        let claimed = world.store.claim_draft(inbox, draft.draft_id, world.now(), at).await.expect("run");
        let DraftClaimed::Claimed(claim) = claimed else { panic!("{claimed:?}") };
        let sent = mail(world, inbox, &format!("draft{n}"), 0, &[], &[]);
        let sent = NewMessage { direction: Direction::Sent, draft: Some(claim), ..sent };
        let stored = world.store.insert_messages(vec![sent]).await.expect("stored");
        assert!(matches!(stored.as_slice(), [Stored::New { .. }]), "{stored:?}");
    }
}

/// A delivery of each of the first events to every webhook that listens.
async fn fan_out(world: &World) {
    let events = events::log(world, Position::default(), 128).await.events;
    for part in events.chunks(64) {
        events::fan_out(world, part, None).await;
    }
}

/// Threads of four messages, the second one sent and waiting, the third one spam now and then. The last ones wait for
/// the index.
async fn messages(world: &World, inbox: &Scope, rows: usize) -> Vec<ThreadId> {
    let mut threads = Vec::new();
    let mut all = Vec::new();
    for n in 0..rows {
        world.clock.advance(Duration::from_millis(1));
        all.push(message(world, inbox, n));
    }
    for part in all.chunks(64) {
        index(world, inbox).await;
        for stored in world.store.insert_messages(part.to_vec()).await.expect("stored") {
            let Stored::New { thread_id, .. } = stored else { panic!("{stored:?}") };
            threads.push(thread_id);
        }
    }
    threads.dedup();
    threads
}

/// Indexes what waits in a scope.
async fn index(world: &World, scope: &Scope) {
    loop {
        let waiting = world.store.search_backlog_of(scope, 64).await.expect("read");
        if waiting.is_empty() {
            return;
        }
        let document = |message| SearchDocument {
            message,
            tokens: BTreeSet::from(["wabout".to_owned()]),
            text: vec![0],
            version: 1,
        };
        world.store.index_documents(waiting.into_iter().map(document).collect(), true).await.expect("run");
    }
}

fn message(world: &World, inbox: &Scope, n: usize) -> NewMessage {
    let first = format!("m{}", n - n % 4);
    let answers: &[&str] = if n.is_multiple_of(4) { &[] } else { &[&first] };
    let labels: &[&str] = if n % 8 == 2 { &["vip", "spam"] } else { &["vip"] };
    let minutes = u64::try_from(n).expect("small");
    let mut new = mail(world, inbox, &format!("m{n}"), minutes, answers, labels);
    if n % 4 == 1 {
        new.direction = Direction::Sent;
        new.deliveries = vec![NewDelivery {
            recipient: format!("r{n}@d{}.test", n % 16),
            destination: format!("d{}.test", n % 16),
            expires_at: world.now().plus(Duration::from_secs(86_400)),
        }];
        new.idempotency =
            Some((format!("key {n} of {}", inbox.inbox().expect("an inbox").id), "hash".to_owned()));
    }
    new.aliases = vec![format!("<alias{n}@x>")];
    if n % 4 == 3 {
        new.extract_texts = true;
        new.attachments = vec![Attachment {
            attachment_id: AttachmentId::new(&*world.ids, world.now()),
            part: 1,
            size: 5,
            filename: Some("a.pdf".to_owned()),
            content_type: Some("application/pdf".to_owned()),
            content_disposition: None,
            content_id: None,
        }];
    }
    new
}

/// Both directions, each from its start and from behind its first page; counts what there was.
async fn walk<T>(list: impl AsyncFn(Order, Option<&Cursor>) -> podmail_store::Result<Page<T>>) -> usize {
    let mut counts = Vec::new();
    for order in BOTH {
        let first = list(order, None).await.expect("a page");
        let mut count = first.items.len();
        if let Some(next) = first.next {
            count += list(order, Some(&next)).await.expect("a page").items.len();
        }
        counts.push(count);
    }
    counts.into_iter().max().unwrap_or(0)
}

/// The ranges that lists of messages, threads and drafts take.
fn ranges(now: Timestamp) -> [(Option<Timestamp>, Option<Timestamp>); 4] {
    let (before, after) = (now.plus(Duration::from_secs(600_000)), now.minus(Duration::from_secs(600_000)));
    [(None, None), (Some(before), None), (None, Some(after)), (Some(before), Some(after))]
}

const NO_LABEL: &[&str] = &[];
const FILTERS: [&[&str]; 3] = [NO_LABEL, &["vip"], &["vip", "received"]];

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

async fn mail_lists(world: &World, tenant: &Levels) {
    let store = &world.store;
    for visible in [Restricted::NONE, Restricted::of(["spam"]), Restricted::ALL] {
        for (before, after) in ranges(world.now()) {
            for labels in FILTERS {
                let filter = MessageFilter { labels: texts(labels), before, after, visible };
                let seen = walk(async |order, from| {
                    store.list_messages(&tenant.inbox, &filter, order, from, 2).await
                });
                assert_eq!(seen.await, 4, "{filter:?}");
            }
        }
        thread_lists(world, tenant, visible).await;
        let seen = walk(async |order, from| store.label_events(&tenant.inbox, visible, order, from, 2).await);
        assert_eq!(seen.await, 4);
        let thread = *tenant.threads.first().expect("a thread");
        for scope in tenant.all() {
            let page = store.thread_messages(scope, thread, visible, None, 2).await.expect("run");
            let next = page.next.as_ref();
            assert!(next.is_some(), "{scope:?}");
            store.thread_messages(scope, thread, visible, next, 2).await.expect("run");
            assert!(store.thread(scope, thread, visible).await.expect("run").is_some());
        }
    }
    for scope in tenant.all() {
        for labels in [NO_LABEL, &["draft"], &["scheduled"], &["scheduled", "vip"]] {
            for (before, after) in ranges(world.now()).into_iter().step_by(3) {
                let filter = DraftFilter { labels: texts(labels), before, after };
                let seen =
                    walk(async |order, from| store.drafts(scope, &filter, order, from, 1, world.now()).await);
                assert_eq!(seen.await, 2, "{filter:?} {scope:?}");
            }
        }
    }
}

async fn thread_lists(world: &World, tenant: &Levels, visible: Restricted) {
    for (before, after) in ranges(world.now()).into_iter().step_by(3) {
        for labels in [NO_LABEL, &["vip", "received"]] {
            for time in [ThreadTime::Any, ThreadTime::Received, ThreadTime::Sent] {
                let filter = ThreadFilter { labels: texts(labels), before, after, time, visible };
                for scope in tenant.all() {
                    let seen = walk(async |order, from| {
                        world.store.list_threads(scope, &filter, order, from, 1).await
                    });
                    assert_eq!(seen.await, 2, "{filter:?} {scope:?}");
                }
            }
        }
    }
}

async fn owned_lists(world: &World, tenant: &Levels) {
    let store = &world.store;
    for scope in tenant.all() {
        let above = scope.inbox().is_none();
        if above {
            assert!(walk(async |order, from| store.pods(scope, order, from, 1).await).await > 0);
            assert_eq!(walk(async |order, from| store.domains(scope, order, from, 1).await).await, 2);
        }
        assert!(walk(async |order, from| store.list_inboxes(scope, order, from, 1).await).await > 0);
        assert_eq!(walk(async |order, from| store.list_webhooks(scope, order, from, 1).await).await, 2);
        for level in [KeyLevel::Covered, KeyLevel::Exact] {
            for family in [None, Some(KeyFamily::Bearer), Some(KeyFamily::PublicKey)] {
                let seen =
                    walk(async |order, from| store.keys(scope, level, family, order, from, 1).await).await;
                assert_eq!(seen, if family == Some(KeyFamily::PublicKey) { 0 } else { 2 }, "{level:?}");
            }
        }
        for list in [SEND_BLOCK, RECEIVE_ALLOW] {
            let seen = walk(async |_, from| store.list_entries(scope, list, from, 1).await).await;
            assert!(seen == 2 || scope.pod().is_none(), "{scope:?}");
        }
        for q in ["desk", &format!("{}@pm.test", tenant.name), "nobody"] {
            let page = store.search_inboxes(scope, q, None, 1).await.expect("a page");
            if let Some(next) = page.next {
                store.search_inboxes(scope, q, Some(&next), 1).await.expect("a page");
            }
        }
    }
    let first = store.organizations(None, 1).await.expect("read").remove(0).organization_id;
    assert_eq!(store.organizations(Some(first), 1).await.expect("read").len(), 1);
    let suppressed = format!("n1@{}.test", tenant.name);
    let entries: Vec<ListEntry> =
        ["x@y.test", &suppressed].into_iter().filter_map(ListEntry::parse).collect();
    let found = store.list_matches(&tenant.inbox, ListDirection::Send, &entries).await.expect("read");
    assert_eq!(found.found.len(), 2, "of the inbox and of its pod");
    store.list_matches(&tenant.inbox, ListDirection::Receive, &[]).await.expect("read");
    assert!(store.sent_by_inbox(&tenant.inbox, &texts(&["<m1@x>", "<m2@x>"])).await.expect("read"));
    store
        .suppress(&tenant.inbox, suppressed.clone(), Suppression::Bounce, false, world.now())
        .await
        .expect("run");
    for scope in [&tenant.pod, &tenant.organization] {
        let entry = ListEntry::parse(&suppressed).expect("an entry");
        store.remove_block_entries(scope, entry).await.expect("run");
    }
    let entry = ListEntry::parse(&suppressed).expect("an entry");
    store.delete_list_entry(&tenant.inbox, RECEIVE_ALLOW, entry).await.expect("run");
}

async fn searches(world: &World, tenant: &Levels) {
    let store = &world.store;
    for scope in tenant.all() {
        let waiting = store.search_backlog_of(scope, 10).await.expect("read");
        assert!(!waiting.is_empty());
        assert_eq!(store.bytes_of(&waiting).await.expect("read").len(), waiting.len());
    }
    index(world, &tenant.organization).await;
    while store.tend_search().await.expect("run") {}
    let about = || Lookup::Prefix("wabo".to_owned());
    let terms = vec![vec![vec![about()]], vec![vec![about()], vec![Lookup::Exact("wnobody".to_owned())]]];
    for scope in tenant.all() {
        let (before, after) = ranges(world.now())[3];
        for window in [SearchWindow::default(), SearchWindow { before, after, ..SearchWindow::default() }] {
            let mut index = store.search_index(scope).await.expect("read");
            let found = store.search_candidates(&mut index, &terms, window, 50).await.expect("read");
            assert!(!found.is_empty(), "{scope:?}");
            assert!(!store.search_hits(scope, &found).await.expect("read").is_empty());
            let threads = store.search_threads(scope, &found).await.expect("read");
            let threads: Vec<ThreadId> = threads.into_iter().map(|(_, thread)| thread).collect();
            assert!(!store.search_hits_of(scope, &threads).await.expect("read").is_empty());
        }
    }
    let page = store
        .list_messages(&tenant.inbox, &MessageFilter::default(), Order::Ascending, None, 3)
        .await
        .expect("read");
    let keys: Vec<_> = page.items.iter().map(|message| (message.inbox_key, message.message_key)).collect();
    assert_eq!(store.messages_by_key(&tenant.inbox, &keys).await.expect("read").len(), 3);
    assert_eq!(store.search_backlog_size(10).await.expect("read"), 10, "of the other tenants");
    assert_eq!(store.search_backlog(10).await.expect("read").len(), 10);
    assert!(store.requeue_outdated(2, 3).await.expect("run") > 0);
}

async fn queues(world: &World, tenant: &Levels) {
    let store = &world.store;
    let full = HashMap::from([("d1.test".to_owned(), 9), ("d2.test".to_owned(), 9)]);
    let pods = HashMap::from([(tenant.pod.pod_or_default(), 9)]);
    for (destinations, pods) in [(HashMap::new(), HashMap::new()), (full, pods)] {
        let request = LeaseRequest {
            limit: 4,
            token: "token".to_owned(),
            now: world.now(),
            lease: Duration::from_secs(60),
            per_destination: 2,
            per_pod: 2,
            destinations,
            pods,
        };
        store.lease_deliveries(request).await.expect("leased");
    }
    store.read_log(Position::default(), 10).await.expect("read");
    let served = DomainName::parse("a.b.c.test").expect("a name");
    assert!(!store.domain_is_served(&served).await.expect("read"));
    world.clock.advance(Duration::from_secs(7200));
    assert!(store.next_draft_due().await.expect("read").is_some());
    let until = world.now().plus(Duration::from_secs(60));
    for claim in store.claim_due_drafts(world.now(), until, 2).await.expect("claimed") {
        store.release_draft(claim, DraftRelease::Back, world.now()).await.expect("released");
    }
    store.tidy_drafts(world.now(), Duration::from_secs(60)).await.expect("tidied");
    for name in ["d1.test".to_owned(), format!("n1.{}.test", tenant.name)] {
        let name = DomainName::parse(&name).expect("a name");
        for scope in tenant.all() {
            store.governing_domains(scope, &name).await.expect("read");
        }
    }
}

#[tokio::test]
async fn every_list_and_search_answers_at_every_level_with_every_filter_in_both_directions() {
    for world in worlds().await {
        let tenants = installation(&world, 2, 24).await;
        let tenant = tenants.last().expect("a tenant");
        mail_lists(&world, tenant).await;
        owned_lists(&world, tenant).await;
        searches(&world, tenant).await;
        queues(&world, tenant).await;
    }
}
