//! A server that is killed with SIGKILL under load loses nothing it acknowledged and does nothing twice.
//!
//! What is compared stands in [`podmail_bench::crash`]; its program runs a hundred rounds and more.

use anyhow::Result;
use podmail_bench::crash::Run;
use podmail_bench::server::{Database, Engine, test_binary};

const ROUNDS: usize = 5;
const SEED: u64 = 7;

async fn rounds(engine: Engine) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut run = Run::start(&test_binary()?, folder.path(), engine, SEED).await?;
    let mut before = 0;
    for _ in 0..ROUNDS {
        let round = run.round().await?;
        println!("{round:?}");
        assert!(round.acknowledged > 0, "{round:?}");
        assert!(round.messages > before, "acknowledged mail adds messages: {round:?}, before {before}");
        before = round.messages;
    }
    run.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_on_sqlite_keeps_what_it_acknowledged() -> Result<()> {
    rounds(Engine::Sqlite).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_on_postgresql_keeps_what_it_acknowledged() -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "how a test run names its PostgreSQL server")]
    let Ok(server) = std::env::var("PODMAIL_TEST_POSTGRES") else {
        println!("PODMAIL_TEST_POSTGRES is not set: SQLite only");
        return Ok(());
    };
    let database = Database::create(&server).await?;
    let outcome = rounds(Engine::Postgres(database.url.clone())).await;
    database.remove().await?;
    outcome
}
