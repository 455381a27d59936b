//! Mail as fast as, or as evenly as, wanted: the load of the benchmarks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;

use crate::mail::{self, Template};
use crate::random::Random;
use crate::report::{Progress, Times};
use crate::smtp::{Envelope, Session};

/// Called with a message's id and the time of its 250.
pub type Accepted = Arc<dyn Fn(&str, Instant) + Send + Sync>;

/// What is sent.
#[derive(Clone)]
pub struct Load {
    /// Where to.
    pub smtp: String,
    /// Open connections.
    pub connections: usize,
    /// Stop after so many messages,
    pub messages: usize,
    /// or after so much time.
    pub time: Duration,
    /// Messages per second over all connections; `None` sends as fast as they are taken.
    pub rate: Option<usize>,
    /// The recipients of each message, chosen evenly.
    pub recipients: Arc<Vec<Vec<String>>>,
    /// The bodies, chosen evenly.
    pub templates: Arc<Vec<Template>>,
    /// Told of each 250.
    pub accepted: Option<Accepted>,
    /// Makes Message-IDs unique among loads on one server.
    pub name: String,
}

impl std::fmt::Debug for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Load")
            .field("connections", &self.connections)
            .field("messages", &self.messages)
            .finish()
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Messages that got their 250.
    pub messages: usize,
    /// Their bytes.
    pub bytes: usize,
    /// From the first byte to the last 250.
    pub elapsed: Duration,
    /// From the whole message sent to its 250.
    pub replies: Times,
}

impl Outcome {
    /// Messages per second.
    pub fn per_second(&self) -> f64 {
        self.messages as f64 / self.elapsed.as_secs_f64().max(0.001)
    }
}

/// Runs a load to its end.
pub async fn run(load: &Load) -> Result<Outcome> {
    let begun = Instant::now();
    let (taken, done, stop) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut tasks = JoinSet::new();
    for at in 0..load.connections {
        let (load, taken, done, stop) = (load.clone(), taken.clone(), done.clone(), stop.clone());
        tasks.spawn(async move { connection(&load, at, begun, &taken, &done, &stop).await });
    }
    let mut progress = Progress::new("messages", load.messages);
    let mut outcome = Outcome::default();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            joined = tasks.join_next() => {
                let Some(joined) = joined else { break };
                let part = joined??;
                outcome.messages += part.messages;
                outcome.bytes += part.bytes;
                outcome.replies.extend(part.replies);
            }
            _ = ticks.tick() => {
                progress.at(done.load(Ordering::Relaxed));
                if begun.elapsed() >= load.time {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
    }
    outcome.elapsed = begun.elapsed();
    Ok(outcome)
}

async fn connection(
    load: &Load,
    number: usize,
    begun: Instant,
    taken: &AtomicUsize,
    done: &AtomicUsize,
    stop: &AtomicBool,
) -> Result<Outcome> {
    let seed =
        load.name.bytes().fold(number as u64 + 1, |seed, byte| seed.wrapping_mul(31) ^ u64::from(byte));
    let mut random = Random::new(seed);
    let mut session = Session::connect(&load.smtp).await?;
    let mut outcome = Outcome::default();
    let mut open = false;
    let empty = Vec::new();
    let choose = |random: &mut Random| {
        Envelope::new("load@load.example", random.pick(&load.recipients).unwrap_or(&empty))
    };
    loop {
        let count = taken.fetch_add(1, Ordering::Relaxed);
        if count >= load.messages || stop.load(Ordering::Relaxed) {
            return Ok(outcome);
        }
        if let Some(rate) = load.rate {
            let due = begun + Duration::from_secs_f64(count as f64 / rate as f64);
            tokio::time::sleep_until(due.into()).await;
        }
        if !open {
            session.open(&choose(&mut random)).await?;
        }
        let id = format!("<{}.{count}@load.example>", load.name);
        let Some(template) = random.pick(&load.templates) else { return Ok(outcome) };
        let bytes = mail::message(&id, &format!("{} {count}", load.name), "", template);
        // A paced load must not hold an envelope open between messages: it would be a slow client.
        let next = load.rate.is_none().then(|| choose(&mut random));
        let start = Instant::now();
        let end = session.message(&bytes, next.as_ref()).await?;
        if let Some(accepted) = &load.accepted {
            accepted(&id, end);
        }
        if let Some(next) = &next {
            session.ready(next).await?;
        }
        open = next.is_some();
        outcome.messages += 1;
        outcome.bytes += bytes.len();
        outcome.replies.push(end - start);
        done.fetch_add(1, Ordering::Relaxed);
    }
}
