//! Start time, first request, idle memory, on a fresh and on a used data folder.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use podmail_bench::report::{self, Table};
use podmail_bench::server::{self, Engine, Options, Profile};
use podmail_bench::{machine, process, world};
use serde_json::json;

/// How long a server idles before its memory is read.
const SETTLE: Duration = Duration::from_secs(2);

/// Measures start time and idle memory.
#[derive(Debug, Parser)]
struct Arguments {
    /// The server; built in release when not given.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Starts of each kind.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Where the JSON goes instead of `bench/results/start.json`.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let binary = arguments.binary.clone().map_or_else(|| server::build(Profile::Release), Ok)?;
    let machine = machine::describe(&std::env::temp_dir());
    let mut table = Table::new(&[
        "folder",
        "round",
        "ready_ms",
        "first_request_ms",
        "rss_mib",
        "anonymous_mib",
        "idle_cpu_ms_per_s",
        "stop_ms",
    ]);
    for round in 0..arguments.rounds {
        let folder = tempfile::tempdir()?;
        for kind in ["fresh", "used"] {
            let begun = Instant::now();
            let server = Options::new(&binary, folder.path(), Engine::Sqlite).start()?;
            let mut api = server.client();
            api.get("/v0/inboxes").await?;
            let first = begun.elapsed();
            if kind == "fresh" {
                world::create(&mut api, 2, 10).await?;
            }
            drop(api);
            let cpu = server.cpu_seconds()?;
            tokio::time::sleep(SETTLE).await;
            let cpu = (server.cpu_seconds()? - cpu) / SETTLE.as_secs_f64();
            let (resident, anonymous) = (server.resident_kib()?, process::memory_kib(server.pid, "RssAnon")?);
            let ready = server.ready_after;
            let stopping = Instant::now();
            server.stop()?;
            table.row(vec![
                json!(kind),
                json!(round),
                json!(ready.as_secs_f64() * 1000.0),
                json!(first.as_secs_f64() * 1000.0),
                json!(resident as f64 / 1024.0),
                json!(anonymous as f64 / 1024.0),
                json!(cpu * 1000.0),
                json!(stopping.elapsed().as_secs_f64() * 1000.0),
            ]);
        }
    }
    table.print();
    report::write_json("start", arguments.json.as_deref(), machine, &[("results", &table)])
}
