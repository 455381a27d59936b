//! The contract of the store, run on both engines.

#![expect(clippy::wildcard_enum_match_arm, reason = "tests fail loudly on anything unexpected")]

use std::sync::Arc;

use podmail_domain::{Clock as _, IdSource, Timestamp};
use podmail_store::{Location, Store};
use podmail_testkit::{Database, FakeClock, TestIds, databases};

mod deliveries;
mod domains;
mod events;
mod inboxes;
mod keys;
mod messages;
mod objects;
mod organizations;
mod plans;
mod pods;
mod search;
mod tenancy;
mod texts;
mod webhooks;

/// An open store with its time and ids.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) ids: Arc<dyn IdSource>,
    pub(crate) clock: FakeClock,
    database: Database,
    _writer: tokio::task::JoinSet<()>,
}

impl World {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Where the database is.
    pub(crate) fn url(&self) -> &str {
        &self.database.url
    }
}

/// One world per engine.
pub(crate) async fn worlds() -> Vec<World> {
    plans::record::start();
    let mut worlds = Vec::new();
    for database in databases().await {
        let ids: Arc<dyn IdSource> = Arc::new(TestIds::default());
        let location = Location::parse(&database.url).expect("a known URL");
        let (store, task) =
            Store::open(&location, ids.clone(), Arc::new(|_| {})).await.expect("an open store");
        let mut writer = tokio::task::JoinSet::new();
        writer.spawn(task);
        worlds.push(World { store, ids, clock: FakeClock::default(), database, _writer: writer });
    }
    worlds
}
