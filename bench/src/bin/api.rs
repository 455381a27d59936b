//! Lists and gets with 200,000 messages in 1,000 inboxes of 200 pods: requests per second and their times.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;
use podmail_bench::http::{Client, escape};
use podmail_bench::load::{self, Load};
use podmail_bench::mail::{self, Sizes};
use podmail_bench::random::Random;
use podmail_bench::report::{self, Table, Times, say};
use podmail_bench::server::{self, Database, Engine, Options, Profile, Server};
use podmail_bench::{machine, process, world};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Recipients of one envelope while filling; the server's default bound.
const ENVELOPE: usize = 100;
/// Paths of each kind that are asked for in turn.
const PATHS: usize = 2_000;

/// Measures reads of the API.
#[derive(Debug, Parser)]
struct Arguments {
    /// The server; built in release when not given.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// On PostgreSQL, in a database made on this server.
    #[arg(long)]
    postgres: Option<String>,
    /// Messages in all.
    #[arg(long, default_value_t = 200_000)]
    messages: usize,
    /// Inboxes in all.
    #[arg(long, default_value_t = 1_000)]
    inboxes: usize,
    /// Pods.
    #[arg(long, default_value_t = 200)]
    pods: usize,
    /// Bytes of a message.
    #[arg(long, default_value_t = 2_000)]
    size: usize,
    /// A data folder to fill, or one that was filled before; a temporary one when not given. SQLite only.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Numbers of clients.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    clients: Vec<usize>,
    /// Where the JSON goes instead of `bench/results/api.json`.
    #[arg(long)]
    json: Option<PathBuf>,
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
    let server = Options::new(&binary, &folder, engine.clone()).start()?;
    let machine = machine::describe(&folder);
    let (pods, inboxes) = world::create(&mut server.client(), arguments.pods, arguments.inboxes).await?;
    fill(&arguments, &server, &inboxes).await?;
    let mut table = Table::new(&[
        "engine",
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
    for (name, paths) in requests(&server, &pods, &inboxes).await? {
        let paths = Arc::new(paths);
        for &clients in &arguments.clients {
            say(&format!("{name}, {clients} clients"));
            measure(&arguments, &engine, &server, &name, &paths, clients, &mut table).await?;
        }
    }
    say(&format!(
        "{} MiB resident, {} MB on disk",
        server.resident_kib()? / 1024,
        process::folder_bytes(&folder) / 1_000_000
    ));
    server.stop()?;
    if let Some(database) = database {
        database.remove().await?;
    }
    table.print();
    report::write_json("api", arguments.json.as_deref(), machine, &[("results", &table)])
}

/// Sends mail until every inbox has its share, unless the last inbox has it from an earlier run.
async fn fill(arguments: &Arguments, server: &Server, inboxes: &[String]) -> Result<()> {
    let share = arguments.messages.div_ceil(inboxes.len().max(1));
    let last = inboxes.last().context("one inbox at least")?;
    let path = format!("/v0/inboxes/{}/messages?limit=500", escape(last));
    if world::list(&mut server.client(), &path, "messages").await?.len() * 10 >= share * 9 {
        say("the data folder is filled");
        return Ok(());
    }
    let recipients: Vec<Vec<String>> = inboxes.chunks(ENVELOPE).map(<[String]>::to_vec).collect();
    let begun = Instant::now();
    for (at, group) in recipients.iter().enumerate() {
        let load = Load {
            smtp: server.smtp.clone(),
            connections: 4,
            messages: share,
            time: Duration::from_secs(3600),
            rate: None,
            recipients: Arc::new(vec![group.clone()]),
            templates: Arc::new(mail::templates(
                Sizes::Fixed(arguments.size),
                50,
                &mut Random::new(at as u64),
            )),
            accepted: None,
            name: format!("fill{at}"),
        };
        let outcome = load::run(&load).await?;
        let stored = outcome.messages * group.len();
        say(&format!(
            "group {} of {}: {:.0} messages/s",
            at + 1,
            recipients.len(),
            stored as f64 / outcome.elapsed.as_secs_f64()
        ));
    }
    say(&format!("filled in {:.0} s", begun.elapsed().as_secs_f64()));
    Ok(())
}

/// What is asked for: each kind with many paths, so that no one page stays hot.
async fn requests(
    server: &Server,
    pods: &[String],
    inboxes: &[String],
) -> Result<Vec<(String, Vec<String>)>> {
    let mut random = Random::new(11);
    let mut api = server.client();
    let mut gets = Vec::with_capacity(PATHS);
    while gets.len() < PATHS {
        let inbox = escape(random.pick(inboxes).context("one inbox at least")?);
        let page = api.get(&format!("/v0/inboxes/{inbox}/messages?limit=100")).await?;
        let messages = page.get("messages").and_then(Value::as_array).context("a list")?;
        anyhow::ensure!(!messages.is_empty(), "{inbox} is empty");
        for _ in 0..20 {
            let id = random
                .pick(messages)
                .map(|message| world::text(message, "message_id"))
                .context("a message")??;
            gets.push(format!("/v0/inboxes/{inbox}/messages/{}", escape(&id)));
        }
    }
    let mut each = |items: &[String], path: &dyn Fn(&str) -> String| -> Vec<String> {
        (0..PATHS).filter_map(|_| random.pick(items)).map(|item| path(&escape(item))).collect()
    };
    let list = each(inboxes, &|inbox| format!("/v0/inboxes/{inbox}/messages"));
    let short = each(inboxes, &|inbox| format!("/v0/inboxes/{inbox}/messages?limit=10"));
    let unread = each(inboxes, &|inbox| format!("/v0/inboxes/{inbox}/messages?limit=10&labels=unread"));
    let threads = each(inboxes, &|inbox| format!("/v0/inboxes/{inbox}/threads?limit=10"));
    let pod = each(pods, &|pod| format!("/v0/pods/{pod}/threads?limit=10"));
    Ok(vec![
        ("get message".to_owned(), gets),
        ("list 50 of inbox".to_owned(), list),
        ("list 10 of inbox".to_owned(), short),
        ("list 10 unread of inbox".to_owned(), unread),
        ("list 10 threads of inbox".to_owned(), threads),
        ("list 10 threads of pod".to_owned(), pod),
        ("list 10 threads of all".to_owned(), vec!["/v0/threads?limit=10".to_owned()]),
    ])
}

async fn measure(
    arguments: &Arguments,
    engine: &Engine,
    server: &Server,
    name: &str,
    paths: &Arc<Vec<String>>,
    clients: usize,
    table: &mut Table,
) -> Result<()> {
    let cpu = server.cpu_seconds()?;
    let begun = Instant::now();
    let end = begun + Duration::from_secs(arguments.seconds);
    let mut tasks = JoinSet::new();
    for at in 0..clients {
        let (paths, api) = (paths.clone(), server.client());
        tasks.spawn(async move { client(api, &paths, at as u64, end).await });
    }
    let mut times = Times::default();
    while let Some(part) = tasks.join_next().await {
        times.extend(part??);
    }
    let elapsed = begun.elapsed();
    let cpu = server.cpu_seconds()? - cpu;
    let [p50, p95, p99, max] = times.summary();
    let count = times.count();
    table.row(vec![
        json!(engine.name()),
        json!(name),
        json!(clients),
        json!(count),
        json!(count as f64 / elapsed.as_secs_f64()),
        json!(p50),
        json!(p95),
        json!(p99),
        json!(max),
        json!(cpu * 1000.0 / count.max(1) as f64),
    ]);
    Ok(())
}

async fn client(mut api: Client, paths: &[String], seed: u64, end: Instant) -> Result<Times> {
    let mut random = Random::new(seed);
    let mut times = Times::default();
    while Instant::now() < end {
        let path = random.pick(paths).context("one path at least")?;
        let start = Instant::now();
        let answer = api.request("GET", path, "", None).await?;
        anyhow::ensure!(answer.status == 200, "{path}: HTTP {}", answer.status);
        times.push(start.elapsed());
    }
    Ok(times)
}
