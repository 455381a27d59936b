//! Reads, searches and sends in an installation with many messages in many pods: requests per second and their times.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;
use podmail_bench::fill::{self, Filled, Plan};
use podmail_bench::load::{self, Load};
use podmail_bench::mail::{self, Sizes};
use podmail_bench::place::{Engines, Places};
use podmail_bench::random::Random;
use podmail_bench::reads::{self, Set};
use podmail_bench::report::{self, Table, say};
use podmail_bench::server::Server;
use podmail_bench::{machine, process};
use serde_json::json;
use tokio::task::JoinSet;

/// Connections over which one pod receives mail with `--with-load`.
const LOAD_CONNECTIONS: usize = 16;

/// Measures the API.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    plan: Plan,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Numbers of clients.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    clients: Vec<usize>,
    /// Measure again while one pod receives mail as fast as it can.
    #[arg(long)]
    with_load: bool,
    /// Measure the big pod too.
    #[arg(long)]
    with_big_pod: bool,
    /// Only requests with this in their name.
    #[arg(long)]
    only: Option<String>,
    /// Where the JSON goes instead of `bench/results/api.json`.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let binary = arguments.places.program()?;
    let mut table = Table::new(&[
        "engine",
        "pods",
        "meanwhile",
        "request",
        "clients",
        "requests",
        "per_second",
        "p50_ms",
        "p95_ms",
        "p99_ms",
        "max_ms",
        "cpu_ms_per_request",
    ]);
    let folder = arguments.places.data_dir.clone().unwrap_or_else(std::env::temp_dir);
    std::fs::create_dir_all(&folder)?;
    let machine = machine::describe(&folder);
    for &engine in arguments.places.engines() {
        measure(&arguments, engine, &binary, &mut table).await?;
    }
    table.print();
    report::write_json("api", arguments.json.as_deref(), machine, &[("results", &table)])
}

async fn measure(
    arguments: &Arguments,
    engine: Engines,
    binary: &std::path::Path,
    table: &mut Table,
) -> Result<()> {
    let place = arguments.places.open(engine, binary).await?;
    let filled = fill::run(arguments.plan, &place.options).await?;
    let server = place.options.start()?;
    reads::settle(&server).await?;
    fill::tidy(&place.options.engine).await?;
    say(&format!(
        "{} MiB resident, {} MB in the data folder",
        server.resident_kib()? / 1024,
        process::folder_bytes(&place.options.data_dir) / 1_000_000
    ));
    let name = place.options.engine.name();
    let mut pods = vec![("small", filled.pods.clone())];
    if arguments.with_big_pod {
        pods.push(("big", vec![filled.big.clone().context("--big-pod fills one")?]));
    }
    for (which, pods) in &pods {
        all(arguments, &server, [name, which, "nothing"], pods, table).await?;
    }
    if arguments.with_load {
        reads::settle(&server).await?;
        let begun = Instant::now();
        let (accepted, mut load) = receive(&server, &filled)?;
        for (which, pods) in &pods {
            all(arguments, &server, [name, which, "mail"], pods, table).await?;
            // A load that ended by itself has failed, and the figures are not what they say.
            if let Some(ended) = load.try_join_next() {
                ended??;
                anyhow::bail!("the load ended before the measurements");
            }
        }
        load.shutdown().await;
        let rate = accepted.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
        say(&format!("meanwhile {rate:.0} mails/s arrived in one pod"));
    }
    server.stop()?;
    place.close().await
}

/// Every kind of request with every number of clients. `labels`: engine, which pods, what happens meanwhile.
async fn all(
    arguments: &Arguments,
    server: &Server,
    labels: [&str; 3],
    pods: &[fill::Pod],
    table: &mut Table,
) -> Result<()> {
    for kind in reads::kinds(server, pods, Set::All).await? {
        if arguments.only.as_ref().is_some_and(|only| !kind.name.contains(only)) {
            continue;
        }
        for &clients in &arguments.clients {
            let mut figures =
                reads::measure(server, &kind, clients, Duration::from_secs(arguments.seconds)).await?;
            let [p50, p95, p99, max] = figures.times.summary();
            let count = figures.times.count();
            let rate = count as f64 / figures.elapsed.as_secs_f64();
            say(&format!(
                "{}: {}, {clients} clients: {rate:.0}/s, p99 {p99:.1} ms",
                labels.join(", "),
                kind.name
            ));
            let mut row: Vec<_> = labels.iter().map(|label| json!(label)).collect();
            row.extend([json!(kind.name), json!(clients), json!(count), json!(rate)]);
            row.extend([p50, p95, p99, max, figures.cpu * 1000.0 / count.max(1) as f64].map(|ms| json!(ms)));
            table.row(row);
        }
    }
    Ok(())
}

/// Mail for the first pod until the returned task is stopped, and how many were taken.
fn receive(server: &Server, filled: &Filled) -> Result<(Arc<AtomicUsize>, JoinSet<Result<load::Outcome>>)> {
    let pod = filled.pods.first().context("one pod at least")?;
    let accepted = Arc::new(AtomicUsize::new(0));
    let counted = accepted.clone();
    let load = Load {
        smtp: server.smtp.clone(),
        connections: LOAD_CONNECTIONS,
        messages: usize::MAX,
        time: Duration::MAX,
        rate: None,
        recipients: Arc::new(pod.inboxes.iter().map(|inbox| vec![inbox.clone()]).collect()),
        templates: Arc::new(mail::templates(Sizes::Fixed(4_000), 100, &mut Random::new(5))),
        accepted: Some(Arc::new(move |_, _| {
            counted.fetch_add(1, Ordering::Relaxed);
        })),
        // Another run on the same installation sends other mail.
        name: format!("load{}", std::process::id()),
    };
    let mut task = JoinSet::new();
    task.spawn(async move { load::run(&load).await });
    Ok((accepted, task))
}
