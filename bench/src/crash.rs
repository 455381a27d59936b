//! Kills the server with SIGKILL while it works and looks at what it acknowledged.
//!
//! One [`Run`] keeps one installation over many rounds. A round loads the server, kills it at a random moment, starts it
//! on the same data and compares: nothing acknowledged is missing, nothing is torn, nothing is there twice. What was in
//! flight when the server died may or may not be there; a client that repeats it (as mail servers and programs do) must
//! end up with exactly one.
//!
//! Killing a process does not show what a power failure would lose: `syscalls` in the whole-server tests does.

mod load;
mod verify;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::random::Random;
use crate::server::{Engine, Options, Server};
use crate::sink::Sink;
use crate::world;

/// Inboxes of the installation.
const INBOXES: usize = 6;
/// The kill follows after one of these many acknowledgements.
const ACKNOWLEDGED: std::ops::Range<usize> = 10..80;
/// And a random pause of less than so many microseconds, so that it meets any step.
const PAUSE_US: usize = 20_000;
/// A load that makes no progress for so long is a failure.
const LOAD_MAX: Duration = Duration::from_secs(30);
/// How long events may take to reach the sink after a start.
const EVENTS_MAX: Duration = Duration::from_secs(20);

/// A message in an inbox: inbox and Message-ID.
pub(crate) type Place = (String, String);

/// A mail that was sent over SMTP.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    pub(crate) id: String,
    pub(crate) recipients: Vec<String>,
    pub(crate) bytes: Arc<Vec<u8>>,
    /// The Message-ID that it answers, in the same inbox.
    pub(crate) parent: Option<String>,
}

/// A message that was sent over the API.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) inbox: String,
    pub(crate) key: String,
    pub(crate) body: Value,
    /// The id in the answer.
    pub(crate) id: Option<String>,
}

/// What clients remember of the round, as far as the server acknowledged it or was asked for it.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Mail with its 250, by Message-ID.
    pub(crate) mails: BTreeMap<String, Mail>,
    /// Mail that waited for its 250.
    pub(crate) doubtful_mails: Vec<Mail>,
    /// Sends by subject.
    pub(crate) sent: BTreeMap<String, Sent>,
    /// Labels whose addition was acknowledged. Each label is added once in all.
    pub(crate) labels: BTreeMap<Place, BTreeSet<String>>,
    /// Labels whose addition was under way.
    pub(crate) doubtful_labels: BTreeSet<(Place, String)>,
    /// Acknowledgements of this round.
    pub(crate) acknowledged: usize,
}

/// Event ids and the number of attempts at each, by kind of event, inbox and message.
pub(crate) type Events = HashMap<(String, String, String), BTreeMap<String, usize>>;

/// What a round looked at.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// Writes acknowledged before the kill.
    pub acknowledged: usize,
    /// Writes in flight at the kill.
    pub in_flight: usize,
    /// Those of them that were found done.
    pub in_flight_done: usize,
    /// Messages in the installation.
    pub messages: usize,
}

/// An installation that is killed again and again.
#[derive(Debug)]
pub struct Run {
    options: Options,
    server: Option<Server>,
    inboxes: Vec<String>,
    random: Random,
    round: usize,
    pub(crate) memory: Arc<Mutex<Memory>>,
    pub(crate) events: Arc<Mutex<Events>>,
    _sink: Sink,
}

impl Run {
    /// Starts a server with inboxes and a webhook that gets every message event.
    pub async fn start(binary: &Path, data_dir: &Path, engine: Engine, seed: u64) -> Result<Self> {
        // A killed server's leases must run out within the test.
        let options = Options::new(binary, data_dir, engine)
            .variable("PODMAIL_WORK_LEASE", "1s")
            .variable("PODMAIL_WORK_POLL_INTERVAL", "100ms")
            .variable("PODMAIL_WEBHOOKS_RETRY_DELAYS", "200ms,200ms,200ms,200ms,1s,1s,1s");
        let events = Arc::new(Mutex::new(Events::new()));
        let seen = events.clone();
        let sink = Sink::start(Arc::new(move |body, _| note(&seen, body))).await?;
        let server = options.start()?;
        let mut api = server.client();
        let (_, inboxes) = world::create(&mut api, 2, INBOXES).await?;
        let kinds = ["message.received", "message.sent", "message.delivered"];
        api.send("POST", "/v0/webhooks", &json!({"url": sink.url, "event_types": kinds})).await?;
        let (memory, random) = (Arc::new(Mutex::new(Memory::default())), Random::new(seed));
        Ok(Self { options, server: Some(server), inboxes, random, round: 0, memory, events, _sink: sink })
    }

    /// Loads, kills, starts again and compares. An error names what is wrong.
    pub async fn round(&mut self) -> Result<Round> {
        self.round += 1;
        let server = self.server.take().context("a round before ended badly")?;
        {
            let mut memory = self.memory.lock().expect("no panic while held");
            // What earlier rounds left is counted by every comparison; its bytes were compared then.
            memory.mails.values_mut().for_each(|mail| mail.bytes = Arc::default());
            memory.acknowledged = 0;
        }
        let load = load::start(&server, self.round, &self.inboxes, &self.memory, &mut self.random);
        let target = ACKNOWLEDGED.start + self.random.below(ACKNOWLEDGED.len());
        self.wait("acknowledgements under load", LOAD_MAX, |run| {
            run.memory.lock().expect("no panic while held").acknowledged >= target
        })
        .await?;
        let pause = u64::try_from(self.random.below(PAUSE_US)).unwrap_or_default();
        tokio::time::sleep(Duration::from_micros(pause)).await;
        server.kill()?;
        load::end(load).await?;
        let server = self.options.start().context("the killed server does not start again")?;
        let name = format!("round {}", self.round);
        let mut outcome =
            verify::restarted(&server, &self.inboxes, &self.memory).await.with_context(|| name.clone())?;
        self.wait("events of acknowledged messages", EVENTS_MAX, |run| run.missing_events().is_empty())
            .await
            .with_context(|| format!("{name}: missing {:?}", self.missing_events()))?;
        self.events_once()?;
        outcome.messages = verify::settled(&server, &self.inboxes, &self.memory).await.context(name)?;
        self.server = Some(server);
        Ok(outcome)
    }

    /// Stops the server with SIGTERM.
    pub fn stop(mut self) -> Result<()> {
        let status = self.server.take().context("a round ended badly")?.stop()?;
        anyhow::ensure!(status.success(), "SIGTERM ends with {status}");
        Ok(())
    }

    async fn wait(&self, what: &str, limit: Duration, done: impl Fn(&Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !done(self) {
            anyhow::ensure!(Instant::now() < deadline, "waited too long for {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Events that must have been delivered and were not.
    fn missing_events(&self) -> Vec<(String, String, String)> {
        let memory = self.memory.lock().expect("no panic while held");
        let events = self.events.lock().expect("no panic while held");
        let received = memory.mails.values().flat_map(|mail| {
            mail.recipients
                .iter()
                .map(|inbox| ("message.received".to_owned(), inbox.clone(), mail.id.clone()))
        });
        let sent = memory
            .sent
            .values()
            .filter_map(|sent| Some((sent.inbox.clone(), sent.id.clone()?)))
            .flat_map(|(inbox, id)| {
                ["message.sent", "message.delivered"].map(|kind| (kind.to_owned(), inbox.clone(), id.clone()))
            });
        received.chain(sent).filter(|event| !events.contains_key(event)).take(5).collect()
    }

    /// Attempts may repeat, but all of them are about one occurrence.
    fn events_once(&self) -> Result<()> {
        let events = self.events.lock().expect("no panic while held");
        for (event, ids) in events.iter() {
            anyhow::ensure!(ids.len() == 1, "round {}: {event:?} has several event ids: {ids:?}", self.round);
        }
        Ok(())
    }
}

/// Counts one delivery.
fn note(events: &Mutex<Events>, body: &[u8]) {
    let Ok(event) = serde_json::from_slice::<Value>(body) else { return };
    let kind = event.get("event_type").and_then(Value::as_str).unwrap_or("none");
    let payload = ["message", "send", "delivery"].into_iter().find_map(|name| event.get(name));
    let member = |name: &str| {
        payload.and_then(|payload| payload.get(name)).and_then(Value::as_str).unwrap_or("none").to_owned()
    };
    let id = event.get("event_id").and_then(Value::as_str).unwrap_or("none").to_owned();
    let mut events = events.lock().expect("no panic while held");
    let attempts = events.entry((kind.to_owned(), member("inbox_id"), member("message_id"))).or_default();
    *attempts.entry(id).or_default() += 1;
}
