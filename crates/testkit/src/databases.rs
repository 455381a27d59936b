//! A database of its own for each test: a SQLite file in a temporary folder always, and a fresh PostgreSQL database
//! when the test run started a server (`PODMAIL_TEST_POSTGRES`; `./test` does).

use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// One empty database.
#[derive(Debug)]
pub struct Database {
    /// `sqlite:PATH` or `postgres://…`
    pub url: String,
    /// A folder that lives as long as this value; for SQLite it holds the file.
    pub folder: tempfile::TempDir,
}

/// An empty database per engine. Without a PostgreSQL server only SQLite's: `./test` always has one.
pub async fn databases() -> Vec<Database> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite:{}", folder.path().join("podmail.db").display());
    let mut all = vec![Database { url, folder }];
    #[expect(clippy::disallowed_methods, reason = "how the test script tells of its server")]
    if let Ok(server) = std::env::var("PODMAIL_TEST_POSTGRES") {
        let folder = tempfile::tempdir().expect("a temporary folder");
        all.push(Database { url: fresh(&server, folder.path()).await, folder });
    }
    all
}

/// Databases outlive their test on a server that runs on, and process ids come back: the folder's name is unique.
async fn fresh(server: &str, folder: &std::path::Path) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let unique = folder.file_name().unwrap_or_default().to_string_lossy();
    let unique: String = unique.bytes().map(|byte| format!("{byte:02x}")).collect();
    let name = format!("test_{}_{unique}", COUNT.fetch_add(1, Ordering::SeqCst));
    let mut connection = PgConnection::connect(server).await.expect("the test run's PostgreSQL answers");
    let text = format!("CREATE DATABASE {name}");
    connection.execute(AssertSqlSafe(text)).await.expect("a fresh database");
    let (base, query) = server.split_once('?').map_or((server, None), |(base, query)| (base, Some(query)));
    let root =
        base.rfind('/').filter(|at| *at > "postgres://".len()).and_then(|at| base.get(..at)).unwrap_or(base);
    query.map_or_else(|| format!("{root}/{name}"), |query| format!("{root}/{name}?{query}"))
}
