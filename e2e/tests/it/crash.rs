//! A few rounds of the crash test; `cargo run --release -p podmail-bench --bin crash` does a hundred.

use podmail_bench::crash::Run;
use podmail_bench::server::{Database, Engine, test_binary};

const ROUNDS: usize = 5;

async fn rounds(engine: Engine) {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::start(&test_binary().unwrap(), folder.path(), engine, 5).await.unwrap();
    for _ in 0..ROUNDS {
        let round = run.round().await.unwrap();
        assert!(round.acknowledged > 0, "{round:?}");
    }
    run.stop().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_on_sqlite_loses_and_doubles_nothing_it_acknowledged() {
    rounds(Engine::Sqlite).await;
}

/// `./test` always has a PostgreSQL server; without one only SQLite is tested.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_on_postgres_loses_and_doubles_nothing_it_acknowledged() {
    #[expect(clippy::disallowed_methods, reason = "how the test script tells of its server")]
    let Ok(server) = std::env::var("PODMAIL_TEST_POSTGRES") else { return };
    let database = Database::create(&server).await.unwrap();
    rounds(Engine::Postgres(database.url.clone())).await;
    database.remove().await.unwrap();
}
