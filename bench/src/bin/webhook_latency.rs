//! From the `250` to the first attempt at a webhook, at a steady rate; then deliveries per second when there are more
//! than the server can make.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use podmail_bench::load::{self, Load};
use podmail_bench::mail::{self, Sizes};
use podmail_bench::random::Random;
use podmail_bench::report::{self, Table, Times, say};
use podmail_bench::server::{self, Database, Engine, Options, Profile, Server};
use podmail_bench::sink::Sink;
use podmail_bench::{machine, world};
use serde_json::{Value, json};

/// How long after the last message deliveries are waited for.
const WAIT: Duration = Duration::from_secs(60);

/// Measures webhooks.
#[derive(Debug, Parser)]
struct Arguments {
    /// The server; built in release when not given.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// On PostgreSQL, in a database made on this server.
    #[arg(long)]
    postgres: Option<String>,
    /// Messages per second while latency is measured.
    #[arg(long, default_value_t = 500)]
    rate: usize,
    /// Seconds for which latency is measured.
    #[arg(long, default_value_t = 10)]
    seconds: usize,
    /// Bytes of a message.
    #[arg(long, default_value_t = 4096)]
    size: usize,
    /// Messages of the saturated run.
    #[arg(long, default_value_t = 5_000)]
    messages: usize,
    /// Webhooks that each get every message in the saturated run.
    #[arg(long, default_value_t = 5)]
    fan_out: usize,
    /// Where the JSON goes instead of `bench/results/webhook_latency.json`.
    #[arg(long)]
    json: Option<PathBuf>,
}

type Arrivals = Arc<Mutex<HashMap<String, Instant>>>;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let binary = arguments.binary.clone().map_or_else(|| server::build(Profile::Release), Ok)?;
    let machine = machine::describe(&std::env::temp_dir());
    let mut latency = Table::new(&[
        "engine",
        "rate",
        "messages",
        "seen",
        "p50_ms",
        "p95_ms",
        "p99_ms",
        "max_ms",
        "reply_p99_ms",
        "cpu_s_per_1000",
    ]);
    let mut saturated =
        Table::new(&["engine", "webhooks", "deliveries", "per_second", "accepted_per_second"]);
    let database = match &arguments.postgres {
        Some(url) => Some(Database::create(url).await?),
        None => None,
    };
    let engine = database.as_ref().map_or(Engine::Sqlite, |database| Engine::Postgres(database.url.clone()));
    let folder = tempfile::tempdir()?;
    let server = Options::new(&binary, folder.path(), engine.clone()).start()?;
    let (_, inboxes) = world::create(&mut server.client(), 8, 64).await?;
    let templates = Arc::new(mail::templates(Sizes::Fixed(arguments.size), 50, &mut Random::new(3)));
    let recipients = Arc::new(inboxes.into_iter().map(|inbox| vec![inbox]).collect());
    let load = Load {
        smtp: server.smtp.clone(),
        connections: 16,
        messages: arguments.rate * arguments.seconds,
        time: Duration::from_secs(3600),
        rate: Some(arguments.rate),
        recipients,
        templates,
        accepted: None,
        name: "steady".to_owned(),
    };
    steady(&arguments, engine.name(), &server, load.clone(), &mut latency).await?;
    flood(&arguments, engine.name(), &server, load, &mut saturated).await?;
    server.stop()?;
    if let Some(database) = database {
        database.remove().await?;
    }
    latency.print();
    saturated.print();
    let tables = [("latency", &latency), ("saturated", &saturated)];
    report::write_json("webhook_latency", arguments.json.as_deref(), machine, &tables)
}

async fn subscribe(server: &Server, sink: &Sink) -> Result<String> {
    let body = json!({"url": sink.url, "event_types": ["message.received"]});
    world::text(&server.client().send("POST", "/v0/webhooks", &body).await?, "webhook_id")
}

async fn steady(
    arguments: &Arguments,
    engine: &str,
    server: &Server,
    mut load: Load,
    table: &mut Table,
) -> Result<()> {
    say("steady rate");
    let (replies, attempts) = (Arrivals::default(), Arrivals::default());
    let record = |map: &Arrivals| {
        let map = map.clone();
        move |id: &str, at: Instant| {
            map.lock().expect("no panic while held").entry(id.to_owned()).or_insert(at);
        }
    };
    let attempt = record(&attempts);
    let sink = Sink::start(Arc::new(move |body, at| {
        if let Some(id) = message_id(body) {
            attempt(&id, at);
        }
    }))
    .await?;
    let webhook = subscribe(server, &sink).await?;
    load.accepted = Some(Arc::new(record(&replies)));
    let cpu = server.cpu_seconds()?;
    let mut outcome = load::run(&load).await?;
    wait(|| attempts.lock().expect("no panic while held").len() >= outcome.messages).await;
    let cpu = server.cpu_seconds()? - cpu;
    let attempts = attempts.lock().expect("no panic while held").clone();
    let replies = replies.lock().expect("no panic while held").clone();
    let mut times = Times::default();
    for (id, reply) in &replies {
        // An attempt may be made before the 250 is read: both follow the same commit.
        attempts
            .get(id)
            .into_iter()
            .for_each(|attempt| times.push(attempt.saturating_duration_since(*reply)));
    }
    let [p50, p95, p99, max] = times.summary();
    table.row(vec![
        json!(engine),
        json!(arguments.rate),
        json!(outcome.messages),
        json!(times.count()),
        json!(p50),
        json!(p95),
        json!(p99),
        json!(max),
        json!(outcome.replies.percentile_ms(990)),
        json!(cpu * 1000.0 / outcome.messages as f64),
    ]);
    server.client().request("DELETE", &format!("/v0/webhooks/{webhook}"), "", None).await?;
    Ok(())
}

async fn flood(
    arguments: &Arguments,
    engine: &str,
    server: &Server,
    mut load: Load,
    table: &mut Table,
) -> Result<()> {
    say("as fast as possible");
    let count = Arc::new(AtomicUsize::new(0));
    let ends = Arc::new(Mutex::new(None::<(Instant, Instant)>));
    let (counter, times) = (count.clone(), ends.clone());
    let sink = Sink::start(Arc::new(move |_, at| {
        counter.fetch_add(1, Ordering::Relaxed);
        let mut times = times.lock().expect("no panic while held");
        *times = Some((times.map_or(at, |(first, _)| first), at));
    }))
    .await?;
    for _ in 0..arguments.fan_out {
        subscribe(server, &sink).await?;
    }
    (load.rate, load.messages, load.connections) = (None, arguments.messages, 64);
    "flood".clone_into(&mut load.name);
    let outcome = load::run(&load).await?;
    let wanted = outcome.messages * arguments.fan_out;
    wait(|| count.load(Ordering::Relaxed) >= wanted).await;
    let seconds =
        ends.lock().expect("no panic while held").map_or(0.0, |(first, last)| (last - first).as_secs_f64());
    let seen = count.load(Ordering::Relaxed);
    table.row(vec![
        json!(engine),
        json!(arguments.fan_out),
        json!(seen),
        json!(seen as f64 / seconds.max(0.001)),
        json!(outcome.per_second()),
    ]);
    Ok(())
}

fn message_id(body: &[u8]) -> Option<String> {
    let event: Value = serde_json::from_slice(body).ok()?;
    event.get("message")?.get("message_id")?.as_str().map(str::to_owned)
}

async fn wait(done: impl Fn() -> bool) {
    let deadline = Instant::now() + WAIT;
    while !done() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
