//! The API over an in-process product, with SQLite and, where a test asks for both engines, PostgreSQL.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may fail loudly")]

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use podmail_api::Api;
use podmail_app::auth::hash_secret;
use podmail_app::{App, Parts, Settings, on_commit};
use podmail_blob::Blobs;
use podmail_bus::Bus;
use podmail_dns::MockResolver;
use podmail_domain::id::new_api_key_secret;
use podmail_domain::{Clock, IdSource, InboxId, Permissions, Timestamp};
use podmail_egress::{Egress, Policy};
use podmail_store::{
    InboxCreated, InboxPlace, KeySecret, Limits, Location, NewApiKey, NewInbox, NewOrganization, Scope, Store,
};
use podmail_testkit::{Database, FakeClock, TestIds};
use serde_json::Value;

mod attachments;
mod authentication;
mod authorization;
mod conventions;
mod description;
mod domains;
mod draft_rights;
mod draft_schedules;
mod drafts;
mod filters;
mod identity;
mod inboxes;
mod labs;
mod lists;
mod mailbox;
mod messages;
mod objects;
mod opens;
mod public_keys;
mod readable;
mod refusals;
mod reports;
mod sdk;
mod search;
mod sending;
mod setup_link;
mod threads;
mod webhooks;

/// A running product and its API.
pub(crate) struct World {
    pub(crate) api: Api,
    pub(crate) app: App,
    pub(crate) store: Store,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) dns: MockResolver,
    pub(crate) ids: Arc<TestIds>,
    _database: Database,
    _writer: tokio::task::JoinSet<()>,
}

/// An answer, with its JSON body; null when there is none.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("")
    }
}

impl World {
    pub(crate) async fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("podmail.db").display());
        Self::on(Database { url, folder }, change).await
    }

    /// One per engine.
    pub(crate) async fn each(change: impl Fn(&mut Settings) + Send + Sync) -> Vec<Self> {
        let mut all = Vec::new();
        for database in podmail_testkit::databases().await {
            all.push(Self::on(database, &change).await);
        }
        all
    }

    /// A world on a database of its own.
    pub(crate) async fn on(database: Database, change: impl FnOnce(&mut Settings)) -> Self {
        let blobs = Blobs::folder(&database.folder.path().join("blobs")).unwrap();
        Self::on_blobs(database, blobs, change).await
    }

    /// A world with a place of its own for large messages.
    pub(crate) async fn on_blobs(
        database: Database,
        blobs: Blobs,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let location = Location::parse(&database.url).unwrap();
        let (bus, ids, clock) =
            (Bus::default(), Arc::new(TestIds::default()), Arc::new(FakeClock::default()));
        let shared: Arc<dyn IdSource> = ids.clone();
        let (store, task) = Store::open(&location, shared.clone(), on_commit(bus.clone())).await.unwrap();
        let mut writer = tokio::task::JoinSet::new();
        writer.spawn(task);
        let dns = MockResolver::new();
        let resolver = Arc::new(dns.clone());
        let mut settings = Settings::for_domain("mail.test");
        settings.requests_per_second = 0;
        // Checks are the business of the tests that publish DNS records.
        settings.inbound_authentication = podmail_app::InboundAuthentication::Off;
        change(&mut settings);
        let app = App::new(Parts {
            store: store.clone(),
            blobs,
            bus,
            resolver: resolver.clone(),
            egress: Egress::new(resolver, Policy { allow_private: settings.allow_private_egress }).unwrap(),
            clock: clock.clone(),
            ids: shared,
            settings,
        });
        let api = Api::new(app.clone(), Arc::new(|| "podmail_up 1\n".to_owned()));
        Self { api, app, store, clock, dns, ids, _database: database, _writer: writer }
    }

    fn secret(&self) -> (String, KeySecret) {
        let secret = new_api_key_secret(&*self.ids);
        let kept = KeySecret { hash: hash_secret(&secret), prefix: secret.chars().take(12).collect() };
        (secret, kept)
    }

    /// A new organization: its scope and the secret of its first key.
    pub(crate) async fn organization(&self, name: &str) -> (Scope, String) {
        let (secret, kept) = self.secret();
        let new = NewOrganization {
            name: name.to_owned(),
            limits: Limits::default(),
            key_name: "first".to_owned(),
            secret: kept,
        };
        let (organization, _) = self.store.create_organization(new, self.clock.now()).await.unwrap();
        (self.store.organization_scope(organization).await.unwrap().unwrap(), secret)
    }

    pub(crate) async fn pod(&self, scope: &Scope, name: &str) -> Scope {
        let pod = self.store.create_pod(scope, name.to_owned(), None, self.clock.now()).await.unwrap();
        self.store.pod_scope(scope, &pod.pod_id.to_string()).await.unwrap().unwrap()
    }

    pub(crate) async fn inbox(&self, scope: &Scope, address: &str) -> Scope {
        let inbox_id = InboxId::parse(address).unwrap();
        let new = NewInbox {
            scope: scope.clone(),
            place: InboxPlace::At { inbox_id: inbox_id.clone(), governing_domain: None },
            display_name: None,
            client_id: None,
            paused: false,
            metadata: None,
            now: self.clock.now(),
        };
        let created = self.store.create_inbox(new).await.unwrap();
        assert!(matches!(created, InboxCreated::Created(_)), "{created:?}");
        self.store.inbox_scope(scope, &inbox_id).await.unwrap().unwrap()
    }

    /// A key of `scope`: its id and its secret. `flags` is the permissions object, `None` an unrestricted key.
    pub(crate) async fn key(
        &self,
        scope: &Scope,
        flags: Option<&str>,
        end: Option<Timestamp>,
    ) -> (String, String) {
        let (secret, kept) = self.secret();
        let new = NewApiKey {
            name: "k".to_owned(),
            secret: kept,
            permissions: Permissions::from_json(flags),
            expires_at: end,
        };
        let key = self.store.create_key(scope, new, self.clock.now()).await.unwrap().unwrap();
        (key.api_key_id.to_string(), secret)
    }

    /// One call with `Authorization: Bearer {key}`.
    pub(crate) async fn call(&self, method: &Method, path: &str, key: Option<&str>, body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        self.send(request.body(Full::from(body.to_owned())).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str, key: &str) -> Answer {
        self.call(&Method::GET, path, Some(key), "").await
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let response = self.api.handle(request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if parts.status == StatusCode::NO_CONTENT {
            assert_eq!(text, "");
        }
        let body = serde_json::from_str(&text).unwrap_or_default();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body, text }
    }
}
