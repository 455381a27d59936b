//! Mail in over SMTP: messages per second, processor time, time to the `250`, disk used.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use podmail_bench::load::{self, Load};
use podmail_bench::mail::{self, Sizes};
use podmail_bench::random::Random;
use podmail_bench::report::{self, Table, say};
use podmail_bench::server::{self, Database, Engine, Options, Profile};
use podmail_bench::{machine, process, world};
use serde_json::json;

/// Measures how fast mail is taken in.
#[derive(Debug, Parser)]
struct Arguments {
    /// The server; built in release when not given.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Also on PostgreSQL, in a database made on this server.
    #[arg(long)]
    postgres: Option<String>,
    /// Leave SQLite out.
    #[arg(long)]
    skip_sqlite: bool,
    /// Messages per run at most.
    #[arg(long, default_value_t = 20_000)]
    messages: usize,
    /// Seconds per run at most.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Numbers of connections, one run each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64])]
    connections: Vec<usize>,
    /// One size in bytes instead of mixed sizes.
    #[arg(long)]
    size: Option<usize>,
    /// Inboxes that receive.
    #[arg(long, default_value_t = 64)]
    inboxes: usize,
    /// A second server to compare with; `postfix` is not built yet.
    #[arg(long)]
    peer: Option<String>,
    /// Where the JSON goes instead of `bench/results/ingest.json`.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(peer) = &arguments.peer {
        say(&format!("the comparison with {peer} is not built yet and left out"));
    }
    let binary = arguments.binary.clone().map_or_else(|| server::build(Profile::Release), Ok)?;
    let machine = machine::describe(&std::env::temp_dir());
    let mut table = Table::new(&[
        "engine",
        "sizes",
        "connections",
        "messages",
        "mb",
        "per_second",
        "mb_per_second",
        "cpu_s_per_1000",
        "database_cpu_s_per_1000",
        "p50_ms",
        "p95_ms",
        "p99_ms",
        "max_ms",
        "disk_per_byte",
        "rss_mib",
    ]);
    for &connections in &arguments.connections {
        if !arguments.skip_sqlite {
            measure(&arguments, &binary, Engine::Sqlite, connections, &mut table).await?;
        }
        if let Some(url) = &arguments.postgres {
            let database = Database::create(url).await?;
            let engine = Engine::Postgres(database.url.clone());
            let outcome = measure(&arguments, &binary, engine, connections, &mut table).await;
            database.remove().await?;
            outcome?;
        }
    }
    table.print();
    report::write_json("ingest", arguments.json.as_deref(), machine, &[("results", &table)])
}

async fn measure(
    arguments: &Arguments,
    binary: &std::path::Path,
    engine: Engine,
    connections: usize,
    table: &mut Table,
) -> Result<()> {
    say(&format!("{}, {connections} connections", engine.name()));
    let folder = tempfile::tempdir()?;
    let postgres = matches!(engine, Engine::Postgres(_));
    let name = engine.name();
    let server = Options::new(binary, folder.path(), engine).start()?;
    let pods = arguments.inboxes.div_ceil(8);
    let (_, inboxes) = world::create(&mut server.client(), pods, arguments.inboxes).await?;
    let sizes = arguments.size.map_or(Sizes::Mixed, Sizes::Fixed);
    let load = Load {
        smtp: server.smtp.clone(),
        connections,
        messages: arguments.messages,
        time: Duration::from_secs(arguments.seconds),
        rate: None,
        recipients: Arc::new(inboxes.into_iter().map(|inbox| vec![inbox]).collect()),
        templates: Arc::new(mail::templates(sizes, 200, &mut Random::new(7))),
        accepted: None,
        name: format!("ingest{connections}"),
    };
    let database_cpu = || if postgres { process::cpu_seconds_of_all("postgres") } else { 0.0 };
    let (cpu, other, disk) = (server.cpu_seconds()?, database_cpu(), process::folder_bytes(folder.path()));
    let mut outcome = load::run(&load).await?;
    let (cpu, other) = (server.cpu_seconds()? - cpu, database_cpu() - other);
    let resident = server.resident_kib()?;
    server.stop()?;
    let disk = process::folder_bytes(folder.path()).saturating_sub(disk);
    let thousands = outcome.messages as f64 / 1000.0;
    let megabytes = outcome.bytes as f64 / 1e6;
    let [p50, p95, p99, max] = outcome.replies.summary();
    table.row(vec![
        json!(name),
        json!(arguments.size.map_or_else(|| "mixed".to_owned(), |size| size.to_string())),
        json!(connections),
        json!(outcome.messages),
        json!(megabytes),
        json!(outcome.per_second()),
        json!(megabytes / outcome.elapsed.as_secs_f64()),
        json!(cpu / thousands),
        if postgres { json!(other / thousands) } else { json!(null) },
        json!(p50),
        json!(p95),
        json!(p99),
        json!(max),
        if postgres { json!(null) } else { json!(disk as f64 / outcome.bytes as f64) },
        json!(resident as f64 / 1024.0),
    ]);
    Ok(())
}
