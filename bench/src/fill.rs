//! A filled installation, fast: pods and inboxes over the API, then mail through the store's own insert path, without
//! SMTP in between. What is made depends on the plan alone, so a run that was stopped goes on where it was.
//!
//! The work is cut into units of up to `UNIT` messages, each one call of `insert_messages` and so one transaction. A
//! number in the data folder says below which unit all are done; a few above it may be, which a look for the first
//! message of a unit finds out.

pub mod text;

use std::collections::{BTreeSet, HashMap};
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use podmail_domain::label::Restricted;
use podmail_domain::thread::Direction;
use podmail_domain::{Clock as _, IdSource, MessageId, Timestamp};
use podmail_server::system::{SystemClock, SystemIds};
use podmail_store::{Announce, Location, NewMessage, Scope, Store, Stored, StoredBytes};
use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tokio::task::JoinSet;

use crate::http::Client;
use crate::random::Random;
use crate::report::say;
use crate::server::{Engine, Options};
use crate::world;

/// Messages of one call.
const UNIT: usize = 128;
/// Calls at a time.
const CALLERS: usize = 8;
/// No unit is begun this far above the lowest that is not done.
const WINDOW: usize = 64;
/// The number of finished units is written down after so many.
const SAVE_EVERY: usize = 16;
/// Messages of a thread at most; between one and this many are equally frequent.
const THREAD_MAX: usize = 7;
/// The mail is spread over so much time before the fill. Longer would make it work for the server: it removes old
/// events.
const SPAN: Duration = Duration::from_secs(5 * 24 * 3600);
/// Inboxes of the big pod.
const BIG_INBOXES: usize = 3;
/// The description of what is there.
const STATE: &str = "fill.json";
/// How many units are done.
const DONE: &str = "fill.done";

/// How much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
pub struct Plan {
    /// Messages, spread over the pods.
    #[arg(long, default_value_t = 200_000)]
    pub messages: usize,
    /// Pods of one to three inboxes.
    #[arg(long, default_value_t = 1_000)]
    pub pods: usize,
    /// Messages of one more pod beside them.
    #[arg(long, default_value_t = 0)]
    pub big_pod: usize,
}

/// A pod and the addresses of its inboxes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Its id.
    pub pod_id: String,
    /// Its inboxes.
    pub inboxes: Vec<String>,
}

/// What an installation holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filled {
    plan: Plan,
    begun: i64,
    /// The pods among which `messages` are spread.
    pub pods: Vec<Pod>,
    /// The pod with `big_pod` messages.
    pub big: Option<Pod>,
}

/// Makes what the plan says, or the rest of it, in the data folder or database of `server`, which must not run.
pub async fn run(plan: Plan, server: &Options) -> Result<Filled> {
    anyhow::ensure!(plan.pods > 0, "one pod at least");
    let state = server.data_dir.join(STATE);
    let filled = match std::fs::read(&state) {
        Ok(bytes) => {
            let mut filled: Filled = serde_json::from_slice(&bytes).context("fill.json is not readable")?;
            let same = filled.plan.pods == plan.pods && filled.plan.big_pod == plan.big_pod;
            anyhow::ensure!(
                same && filled.plan.messages <= plan.messages,
                "{} was filled as {:?}; it can get more messages, nothing else",
                server.data_dir.display(),
                filled.plan
            );
            filled.plan = plan;
            filled
        }
        Err(_) => create(plan, server).await?,
    };
    write(&state, &serde_json::to_vec(&filled)?)?;
    insert(&filled, server).await?;
    Ok(filled)
}

/// Pods and inboxes, through the API of a server that is started for it.
async fn create(plan: Plan, options: &Options) -> Result<Filled> {
    say(&format!("making {} pods and their inboxes", plan.pods));
    let server = options.start()?;
    let mut api = server.client();
    let mut pods = Vec::with_capacity(plan.pods);
    for at in 0..plan.pods {
        pods.push(pod(&mut api, &format!("pod{at}"), 1 + at % 3).await?);
    }
    let big = match plan.big_pod {
        0 => None,
        _ => Some(pod(&mut api, "big", BIG_INBOXES).await?),
    };
    server.stop()?;
    let begun = SystemClock.now().minus(SPAN).micros();
    Ok(Filled { plan, begun, pods, big })
}

async fn pod(api: &mut Client, name: &str, inboxes: usize) -> Result<Pod> {
    let body = serde_json::json!({"name": name, "client_id": name});
    let pod_id = world::text(&api.send("POST", "/v0/pods", &body).await?, "pod_id")?;
    let mut addresses = Vec::with_capacity(inboxes);
    for at in 0..inboxes {
        let name = format!("{name}-box{at}");
        let body = serde_json::json!({"username": name, "client_id": name});
        let made = api.send("POST", &format!("/v0/pods/{pod_id}/inboxes"), &body).await?;
        addresses.push(world::text(&made, "inbox_id")?);
    }
    Ok(Pod { pod_id, inboxes: addresses })
}

/// What every unit is made with.
#[derive(Debug)]
struct Maker {
    filled: Filled,
    scopes: HashMap<String, Scope>,
    ids: Arc<dyn IdSource>,
}

async fn insert(filled: &Filled, server: &Options) -> Result<()> {
    let plan = filled.plan;
    let big = plan.big_pod.div_ceil(UNIT);
    let units = big + plan.messages.div_ceil(UNIT);
    let total = plan.messages + plan.big_pod;
    let done_path = server.data_dir.join(DONE);
    let done = std::fs::read_to_string(&done_path).unwrap_or_default();
    let begin = done.trim().parse().unwrap_or(0);
    if begin >= units {
        say("filled already");
        return Ok(());
    }
    let location = match &server.engine {
        Engine::Sqlite => Location::Sqlite(server.data_dir.join("podmail.db")),
        Engine::Postgres(url) => Location::Postgres(url.clone()),
    };
    let ids: Arc<dyn IdSource> = Arc::new(SystemIds::new());
    let (store, writing) = Store::open(&location, ids.clone(), Arc::new(|_| {})).await?;
    let mut writer = JoinSet::new();
    writer.spawn(writing);
    let mut scopes = HashMap::new();
    for pod in filled.pods.iter().chain(&filled.big) {
        scopes.extend(store.routes(&pod.inboxes).await?.into_iter().map(|(name, route)| (name, route.scope)));
    }
    let maker = Arc::new(Maker { filled: filled.clone(), scopes, ids });
    let mut bar = Bar::new(server.engine.name(), total, begin * UNIT);
    let (mut tasks, mut finished, mut low, mut next) = (JoinSet::new(), BTreeSet::new(), begin, begin);
    let mut saved = begin;
    while low < units {
        while tasks.len() < CALLERS && next < units.min(low + WINDOW) {
            let (store, maker, unit) = (store.clone(), maker.clone(), next);
            let doubtful = unit < begin + WINDOW + SAVE_EVERY;
            tasks.spawn(async move { one(&store, maker, unit, doubtful).await.map(|()| unit) });
            next += 1;
        }
        finished.insert(tasks.join_next().await.context("a unit is under way")???);
        while finished.remove(&low) {
            low += 1;
        }
        if low >= saved + SAVE_EVERY || low == units {
            write(&done_path, low.to_string().as_bytes())?;
            saved = low;
        }
        bar.at((low * UNIT).min(total));
    }
    bar.end();
    store.close().await;
    Ok(())
}

/// Does at once what autovacuum does in an installation that was not filled within minutes; after the server has come
/// to rest, so that what it derived counts too.
pub async fn tidy(engine: &Engine) -> Result<()> {
    if let Engine::Postgres(url) = engine {
        say("vacuum and analyze");
        let mut connection = PgConnection::connect(url).await?;
        connection.execute("VACUUM (ANALYZE)").await?;
    }
    Ok(())
}

async fn one(store: &Store, maker: Arc<Maker>, unit: usize, doubtful: bool) -> Result<()> {
    let messages = tokio::task::spawn_blocking(move || maker.unit(unit)).await??;
    let Some(first) = messages.first() else { return Ok(()) };
    if doubtful && store.message(&first.scope, &first.message_id, Restricted::ALL).await?.is_some() {
        return Ok(());
    }
    let stored = store.insert_messages(messages).await?;
    let new = stored.iter().filter(|stored| matches!(stored, Stored::New { .. })).count();
    anyhow::ensure!(new == stored.len(), "unit {unit}: {new} of {} messages were stored", stored.len());
    Ok(())
}

impl Maker {
    /// The messages of a unit: threads in random inboxes, the big pod's units first.
    fn unit(&self, unit: usize) -> Result<Vec<NewMessage>> {
        let Filled { plan, begun, pods, big } = &self.filled;
        let big_units = plan.big_pod.div_ceil(UNIT);
        let (first, all) = match unit.checked_sub(big_units) {
            None => (unit * UNIT, plan.big_pod),
            Some(unit) => (unit * UNIT, plan.messages),
        };
        let count = UNIT.min(all - first);
        let mut random = Random::new(unit as u64);
        let mut messages = Vec::with_capacity(count);
        while messages.len() < count {
            let pod = if unit < big_units { big.as_ref() } else { random.pick(pods) };
            let inbox = pod.and_then(|pod| random.pick(&pod.inboxes)).context("an inbox")?;
            let scope = self.scopes.get(inbox).with_context(|| format!("{inbox} is gone"))?;
            let (from, subject) = (text::correspondent(&mut random), text::subject(&mut random));
            let mut earlier: Vec<String> = Vec::new();
            let length = (1 + random.below(THREAD_MAX)).min(count - messages.len());
            for _ in 0..length {
                let at = messages.len();
                let place =
                    u64::try_from(first + at)? * u64::try_from(SPAN.as_micros())? / (all as u64).max(1);
                let time = Timestamp::from_micros(begun + i64::try_from(place)?);
                let id = format!("<fill.{unit}.{at}@mail.example>");
                let unique = format!("ord{unit}x{at}");
                let letter = text::Letter {
                    id: &id,
                    earlier: &earlier,
                    from: &from,
                    to: inbox,
                    subject: &subject,
                    seconds: time.seconds(),
                    unique: &unique,
                };
                let raw = letter.raw(&mut random);
                messages.push(self.message(scope, &raw, time, labels(&mut random)));
                earlier.push(id);
            }
        }
        Ok(messages)
    }

    /// The mail as it is stored when it arrives.
    fn message(&self, scope: &Scope, raw: &[u8], time: Timestamp, labels: Vec<String>) -> NewMessage {
        let parsed = podmail_mime::parse(raw);
        let domain = scope.inbox().map_or("", |inbox| inbox.id.domain());
        let substitute = MessageId::mint(&*self.ids, time, domain);
        let texts = |list: &[podmail_mime::Mailbox]| list.iter().map(ToString::to_string).collect();
        NewMessage {
            scope: scope.clone(),
            direction: Direction::Received,
            announce: Announce::Arrival,
            key: None,
            message_id: parsed.message_id.as_deref().map_or_else(|| substitute.clone(), MessageId::new),
            substitute,
            aliases: Vec::new(),
            candidates: podmail_mime::thread_candidates(&parsed),
            thread: None,
            labels,
            timestamp: time,
            created_at: time,
            size: raw.len() as u64,
            fingerprint: podmail_mime::fingerprint(raw),
            sender: parsed.from.as_ref().map(ToString::to_string).unwrap_or_default(),
            to: texts(&parsed.to),
            cc: texts(&parsed.cc),
            bcc: Vec::new(),
            authentication: None,
            subject: parsed.subject.clone(),
            preview: parsed.text.as_deref().and_then(podmail_mime::preview),
            in_reply_to: parsed.in_reply_to.first().cloned(),
            references: parsed.references.clone(),
            attachments: Vec::new(),
            extract_texts: false,
            bytes: StoredBytes::Inline(podmail_blob::compress(raw)),
            deliveries: Vec::new(),
            draft: None,
            idempotency: None,
            original_id: None,
            headers: std::collections::BTreeMap::new(),
            quota_since: None,
        }
    }
}

/// Half is unread, a twentieth hidden, a fifth has a label of the tenant's own.
fn labels(random: &mut Random) -> Vec<String> {
    let mut labels = vec!["received"];
    if random.below(2) == 0 {
        labels.push("unread");
    }
    match random.below(100) {
        0..2 => labels.push("spam"),
        2..4 => labels.push("trash"),
        4 => labels.push("blocked"),
        5..15 => labels.push("billing"),
        15..25 => labels.push("support"),
        25.. => {}
    }
    labels.into_iter().map(str::to_owned).collect()
}

/// Whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, bytes)?;
    std::fs::rename(&new, path).with_context(|| format!("cannot write {}", path.display()))
}

/// How far the fill has come: one line that changes, or a line now and then where nobody watches.
#[derive(Debug)]
struct Bar {
    name: &'static str,
    total: usize,
    from: usize,
    begun: Instant,
    last: Instant,
    live: bool,
}

impl Bar {
    fn new(name: &'static str, total: usize, from: usize) -> Self {
        let live = std::io::stderr().is_terminal();
        Self { name, total, from, begun: Instant::now(), last: Instant::now(), live }
    }

    fn at(&mut self, done: usize) {
        let pause = if self.live { Duration::from_millis(200) } else { Duration::from_secs(10) };
        if done < self.total && self.last.elapsed() < pause {
            return;
        }
        self.last = Instant::now();
        let rate = done.saturating_sub(self.from) as f64 / self.begun.elapsed().as_secs_f64().max(0.001);
        let left = (self.total - done) as f64 / rate.max(0.001);
        let percent = done * 100 / self.total.max(1);
        let line = format!(
            "{} [{:<25}] {percent:>3} % {done} of {}, {rate:.0}/s, {left:.0} s left",
            self.name,
            "=".repeat(percent / 4),
            self.total
        );
        if self.live {
            // Progress that cannot be shown is no reason to stop.
            drop(write!(std::io::stderr(), "\r{line}\x1b[K"));
        } else {
            say(&line);
        }
    }

    fn end(self) {
        if self.live {
            say("");
        }
        let (count, seconds) = (self.total.saturating_sub(self.from), self.begun.elapsed().as_secs_f64());
        say(&format!(
            "{}: {count} messages in {seconds:.1} s, {:.0} s for 1,000,000",
            self.name,
            seconds * 1e6 / count.max(1) as f64
        ));
    }
}
