//! The webhook worker, from a stored message to requests at a receiver on loopback, on both engines.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may fail loudly")]

mod deliveries;
mod payloads;
mod sink;

use std::sync::Arc;
use std::time::Duration;

use podmail_app::webhooks::{CreateWebhook, UpdateHeaders, UpdateWebhook};
use podmail_app::{App, Caller, Parts, Settings, on_commit};
use podmail_blob::Blobs;
use podmail_bus::Bus;
use podmail_dns::MockResolver;
use podmail_domain::thread::Direction;
use podmail_domain::{ApiKeyId, Clock, EventType, IdSource, InboxId, MessageId, Permissions};
use podmail_egress::{Egress, Policy};
use podmail_jobs::{Stopped, Tasks};
use podmail_store::{
    Announce, InboxCreated, InboxPlace, KeySecret, Limits, Location, NewInbox, NewMessage, NewOrganization,
    Scope, Store, Stored, StoredBytes,
};
use podmail_testkit::{Database, FakeClock, TestIds, databases};

/// Longest wait for a condition before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A product with one inbox, and its worker.
pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) store: Store,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) desk: Scope,
    pub(crate) dns: MockResolver,
    ids: Arc<TestIds>,
    tasks: Tasks,
    _database: Database,
    _writer: tokio::task::JoinSet<()>,
}

/// One world per engine; the worker runs.
pub(crate) async fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for database in databases().await {
        worlds.push(world(database).await);
    }
    worlds
}

async fn world(database: Database) -> World {
    let location = Location::parse(&database.url).unwrap();
    let (bus, ids, clock) = (Bus::default(), Arc::new(TestIds::default()), Arc::new(FakeClock::default()));
    let shared: Arc<dyn IdSource> = ids.clone();
    let (store, task) = Store::open(&location, shared.clone(), on_commit(bus.clone())).await.unwrap();
    let mut writer = tokio::task::JoinSet::new();
    writer.spawn(task);
    let mut settings = Settings::for_domain("pm.test");
    settings.work_poll_interval = Duration::from_millis(10);
    settings.webhook_retry_delays = vec![Duration::from_secs(5); 3];
    settings.webhook_disable_after = Duration::from_secs(12);
    settings.allow_private_egress = true;
    let dns = MockResolver::new();
    let resolver = Arc::new(dns.clone());
    let app = App::new(Parts {
        store: store.clone(),
        blobs: Blobs::folder(&database.folder.path().join("blobs")).unwrap(),
        bus,
        resolver: resolver.clone(),
        egress: Egress::new(resolver, Policy { allow_private: true }).unwrap(),
        clock: clock.clone(),
        ids: shared,
        settings,
    });
    let new = NewOrganization {
        name: "Acme".to_owned(),
        limits: Limits::default(),
        key_name: "first".to_owned(),
        secret: KeySecret { hash: "hash".to_owned(), prefix: "am_us_000000".to_owned() },
    };
    let (organization, _) = store.create_organization(new, clock.now()).await.unwrap();
    let whole = store.organization_scope(organization).await.unwrap().unwrap();
    let inbox_id = InboxId::parse("desk@pm.test").unwrap();
    let new = NewInbox {
        scope: whole.clone(),
        place: InboxPlace::At { inbox_id: inbox_id.clone(), governing_domain: None },
        display_name: None,
        client_id: None,
        paused: false,
        metadata: None,
        now: clock.now(),
    };
    assert!(matches!(store.create_inbox(new).await.unwrap(), InboxCreated::Created(_)));
    let desk = store.inbox_scope(&whole, &inbox_id).await.unwrap().unwrap();
    let tasks = Tasks::new();
    podmail_webhooks::run(app.clone(), &tasks);
    World { app, store, clock, desk, dns, ids, tasks, _database: database, _writer: writer }
}

impl World {
    pub(crate) fn caller(&self) -> Caller {
        Caller {
            scope: self.desk.clone(),
            own: self.desk.clone(),
            permissions: Permissions::UNRESTRICTED,
            api_key_id: ApiKeyId::new(&*self.ids, self.clock.now()),
            expires_at: None,
            suspended: false,
        }
    }

    /// A webhook of the inbox; its id and secret.
    pub(crate) async fn webhook(&self, url: &str, types: &[EventType]) -> (String, String) {
        let input = CreateWebhook {
            url: url.to_owned(),
            event_types: types.to_vec(),
            headers: Some(vec![("Authorization".to_owned(), "Bearer s1".to_owned())]),
            ..CreateWebhook::default()
        };
        let made = self.app.create_webhook(&self.caller(), input).await.unwrap();
        (made.webhook_id.to_string(), made.secret)
    }

    pub(crate) async fn enable(&self, webhook: &str, enabled: bool) {
        let input = UpdateWebhook { enabled: Some(enabled), ..UpdateWebhook::default() };
        self.app.update_webhook(&self.caller(), webhook, input).await.unwrap();
    }

    pub(crate) async fn set_header(&self, webhook: &str, name: &str, value: &str) {
        let input =
            UpdateHeaders { headers: Some(vec![(name.to_owned(), value.to_owned())]), remove_headers: None };
        self.app.update_webhook_headers(&self.caller(), webhook, input).await.unwrap();
    }

    /// A mail for the inbox with this HTML body.
    pub(crate) async fn mail(&self, name: &str, labels: &[&str], html: &str) {
        let raw = format!(
            "From: Ada <ada@x.test>\r\nTo: desk@pm.test\r\nSubject: About {name}\r\n\
             Message-ID: <{name}@x.test>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\
             \r\n--b\r\nContent-Type: text/plain\r\n\r\nHello {name}\r\n--b\r\nContent-Type: text/html\r\n\r\n\
             {html}\r\n--b--\r\n"
        );
        let now = self.clock.now();
        let mut all = vec!["received".to_owned(), "unread".to_owned()];
        all.extend(labels.iter().map(|label| (*label).to_owned()));
        let new = NewMessage {
            scope: self.desk.clone(),
            direction: Direction::Received,
            announce: Announce::default(),
            key: None,
            message_id: MessageId::new(&format!("<{name}@x.test>")),
            substitute: MessageId::mint(&*self.ids, now, "pm.test"),
            aliases: Vec::new(),
            candidates: Vec::new(),
            thread: None,
            labels: all,
            timestamp: now,
            created_at: now,
            size: raw.len() as u64,
            fingerprint: name.to_owned(),
            sender: "Ada <ada@x.test>".to_owned(),
            to: vec!["desk@pm.test".to_owned()],
            cc: Vec::new(),
            bcc: Vec::new(),
            subject: Some(format!("About {name}")),
            preview: Some(format!("Hello {name}")),
            in_reply_to: None,
            references: Vec::new(),
            attachments: Vec::new(),
            extract_texts: false,
            bytes: StoredBytes::Inline(podmail_blob::compress(raw.as_bytes())),
            deliveries: Vec::new(),
            draft: None,
            authentication: None,
            idempotency: None,
            original_id: None,
            headers: std::collections::BTreeMap::new(),
            quota_since: None,
        };
        let stored = self.store.insert_messages(vec![new]).await.unwrap();
        assert!(matches!(stored[..], [Stored::New { .. }]), "{stored:?}");
    }

    /// Lets time pass in steps longer than a retry's delay until `done`.
    pub(crate) async fn pass_time(&self, done: impl AsyncFn() -> bool) {
        let until = tokio::time::Instant::now() + DEADLINE;
        let mut look = tokio::time::interval(Duration::from_millis(40));
        while !done().await {
            assert!(tokio::time::Instant::now() < until, "nothing changed before the deadline");
            look.tick().await;
            self.clock.advance(Duration::from_secs(6));
        }
    }

    /// Waits until no delivery waits and none is under way.
    pub(crate) async fn idle(&self) {
        let until = tokio::time::Instant::now() + DEADLINE;
        let mut look = tokio::time::interval(Duration::from_millis(5));
        while !self.store.next_webhook_deliveries(&[], 1).await.unwrap().is_empty() {
            assert!(tokio::time::Instant::now() < until, "deliveries remain at the deadline");
            look.tick().await;
        }
    }

    /// Waits until this many deliveries are there and the worker holds all of them.
    pub(crate) async fn all_leased(&self, count: usize) {
        let until = tokio::time::Instant::now() + DEADLINE;
        let mut look = tokio::time::interval(Duration::from_millis(5));
        loop {
            let waiting = self.store.next_webhook_deliveries(&[], count + 1).await.unwrap();
            if waiting.len() == count && waiting.iter().all(|row| row.due_at > self.clock.now()) {
                return;
            }
            assert!(tokio::time::Instant::now() < until, "not leased at the deadline: {waiting:?}");
            look.tick().await;
        }
    }

    /// Ends the worker and starts another one, as a restart does.
    pub(crate) async fn restart(&mut self) {
        assert_eq!(self.tasks.shutdown(DEADLINE).await, Stopped::Clean);
        self.tasks = Tasks::new();
        podmail_webhooks::run(self.app.clone(), &self.tasks);
    }

    pub(crate) async fn enabled(&self, webhook: &str) -> bool {
        self.app.webhook(&self.caller(), webhook).await.unwrap().enabled
    }
}
