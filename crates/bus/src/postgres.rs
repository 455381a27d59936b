//! Notices through PostgreSQL's `LISTEN` and `NOTIFY`, on two connections of their own: `NOTIFY` takes a lock over the
//! whole database until its transaction ends, so it never runs in one that writes. No table is read or written here.
//!
//! A database that lacks `NOTIFY`, or a pooler that swallows `LISTEN`, costs latency only.

use std::str::FromStr as _;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};

use crate::{Error, Notices, Wire};

/// The channel of all installations of one database; a foreign notice wakes, and waking too often is harmless.
const CHANNEL: &str = "podmail_news";
/// How long one of them may take to open.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Clone)]
pub struct Postgres {
    options: PgConnectOptions,
    telling: PgPool,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The options hold a password.
        f.write_str("Postgres")
    }
}

impl Postgres {
    /// Connects when first used. `url` is `postgres://…`.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn new(url: &str) -> Result<Self, Error> {
        let options = PgConnectOptions::from_str(url)?.application_name("podmail bus");
        let telling = single().connect_lazy_with(options.clone());
        Ok(Self { options, telling })
    }
}

/// A pool is what opens a connection again.
fn single() -> PgPoolOptions {
    PgPoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_TIMEOUT)
}

impl Wire for Postgres {
    fn send<'a>(&'a self, notice: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        async move {
            sqlx::query("SELECT pg_notify($1, $2)")
                .bind(CHANNEL)
                .bind(notice)
                // Poolers that change the session between two statements know no prepared ones.
                .persistent(false)
                .execute(&self.telling)
                .await?;
            Ok(())
        }
        .boxed()
    }

    fn listen(&self) -> BoxFuture<'_, Result<Box<dyn Notices>, Error>> {
        async move {
            let pool = single().connect_with(self.options.clone()).await?;
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.listen(CHANNEL).await?;
            let notices: Box<dyn Notices> = Box::new(Listening { listener });
            Ok(notices)
        }
        .boxed()
    }
}

struct Listening {
    listener: PgListener,
}

impl Notices for Listening {
    fn next(&mut self) -> BoxFuture<'_, Result<String, Error>> {
        async move {
            match self.listener.try_recv().await? {
                Some(notice) => Ok(notice.payload().to_owned()),
                None => Err(Error::Lost),
            }
        }
        .boxed()
    }
}
