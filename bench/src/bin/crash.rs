//! Kills the server under load a hundred times and compares after each; the program for release notes, the tests do a
//! few rounds. Exits with an error at the first thing that is missing, torn or doubled.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use podmail_bench::crash::Run;
use podmail_bench::report::{Table, say};
use podmail_bench::server::{self, Database, Engine, Profile};
use serde_json::json;

/// Kills the server under load and looks for what it lost.
#[derive(Debug, Parser)]
struct Arguments {
    /// The server; built in release when not given.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// On PostgreSQL, in a database made on this server.
    #[arg(long)]
    postgres: Option<String>,
    /// How often it is killed.
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    /// Another seed gives other moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A data folder that is kept when something is wrong; a temporary one when not given.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let binary = arguments.binary.clone().map_or_else(|| server::build(Profile::Release), Ok)?;
    let database = match &arguments.postgres {
        Some(url) => Some(Database::create(url).await?),
        None => None,
    };
    let engine = database.as_ref().map_or(Engine::Sqlite, |database| Engine::Postgres(database.url.clone()));
    let temporary = tempfile::tempdir()?;
    let folder = arguments.data_dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    let mut run = Run::start(&binary, &folder, engine.clone(), arguments.seed).await?;
    let (mut acknowledged, mut in_flight, mut done, mut messages) = (0, 0, 0, 0);
    for number in 1..=arguments.rounds {
        let begun = Instant::now();
        let round = run.round().await?;
        say(&format!("round {number}: {round:?} in {} ms", begun.elapsed().as_millis()));
        acknowledged += round.acknowledged;
        in_flight += round.in_flight;
        done += round.in_flight_done;
        messages = round.messages;
    }
    run.stop()?;
    if let Some(database) = database {
        database.remove().await?;
    }
    let columns = ["engine", "rounds", "acknowledged", "lost", "in_flight", "in_flight_done", "messages"];
    let mut table = Table::new(&columns);
    let row = [acknowledged, 0, in_flight, done, messages].map(|count| json!(count));
    table.row([json!(engine.name()), json!(arguments.rounds)].into_iter().chain(row).collect());
    table.print();
    Ok(())
}
