//! Whether a small pod gets slower when others are there: the same requests with 1, 10 and 1,000 pods filled alike.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use podmail_bench::fill::{self, Plan};
use podmail_bench::place::{Engines, Places};
use podmail_bench::reads::{self, Set};
use podmail_bench::report::{self, Table, say};
use podmail_bench::{machine, world};
use serde_json::json;

/// Measures one pod among few and many others.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    places: Places,
    /// Numbers of pods, each an installation of its own.
    #[arg(long = "pods", value_delimiter = ',', default_values_t = [1, 10, 1_000])]
    pods: Vec<usize>,
    /// Messages of each pod, on average.
    #[arg(long, default_value_t = 200)]
    pod_messages: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Numbers of clients.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    clients: Vec<usize>,
    /// Where the JSON goes instead of `bench/results/flatness.json`.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    anyhow::ensure!(
        arguments.places.data_dir.is_none(),
        "every number of pods is filled anew: no --data-dir"
    );
    let binary = arguments.places.program()?;
    let machine = machine::describe(&std::env::temp_dir());
    let mut table = Table::new(&[
        "engine",
        "request",
        "clients",
        "pods",
        "own_messages",
        "all_messages",
        "per_second",
        "p50_ms",
        "p95_ms",
        "p99_ms",
    ]);
    let mut rows = Vec::new();
    for &engine in arguments.places.engines() {
        for &pods in &arguments.pods {
            rows.extend(measure(&arguments, engine, &binary, pods).await?);
        }
    }
    // What is to be compared stands together: by engine, request, clients, then pods.
    rows.sort_by_key(|(key, _)| *key);
    rows.into_iter().for_each(|(_, row)| table.row(row));
    table.print();
    report::write_json("flatness", arguments.json.as_deref(), machine, &[("results", &table)])
}

type Row = ((&'static str, usize, usize, usize), Vec<serde_json::Value>);

async fn measure(
    arguments: &Arguments,
    engine: Engines,
    binary: &std::path::Path,
    pods: usize,
) -> Result<Vec<Row>> {
    let place = arguments.places.open(engine, binary).await?;
    let all_messages = arguments.pod_messages * pods;
    let filled = fill::run(Plan { messages: all_messages, pods, big_pod: 0 }, &place.options).await?;
    let server = place.options.start()?;
    reads::settle(&server).await?;
    fill::tidy(&place.options.engine).await?;
    let own: Vec<_> = filled.pods.into_iter().take(1).collect();
    let mut own_messages = 0;
    for inbox in own.iter().flat_map(|pod| &pod.inboxes) {
        let path = format!("/v0/inboxes/{inbox}/messages?limit=100");
        own_messages += world::list(&mut server.client(), &path, "messages").await?.len();
    }
    let name = place.options.engine.name();
    let mut rows = Vec::new();
    for (at, kind) in reads::kinds(&server, &own, Set::Own).await?.iter().enumerate() {
        for &clients in &arguments.clients {
            let mut figures =
                reads::measure(&server, kind, clients, Duration::from_secs(arguments.seconds)).await?;
            let [p50, p95, p99, _] = figures.times.summary();
            let rate = figures.times.count() as f64 / figures.elapsed.as_secs_f64();
            say(&format!("{name}, {pods} pods: {}, {clients} clients: {rate:.0}/s", kind.name));
            let mut row = vec![json!(name), json!(kind.name), json!(clients), json!(pods)];
            row.extend([json!(own_messages), json!(all_messages)]);
            row.extend([rate, p50, p95, p99].map(|figure| json!(figure)));
            rows.push(((name, at, clients, pods), row));
        }
    }
    server.stop()?;
    place.close().await?;
    Ok(rows)
}
