//! What clients ask of a filled installation, and how long the answers take.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::fill::{Pod, text};
use crate::http::{Client, escape};
use crate::random::Random;
use crate::report::{Times, say};
use crate::server::Server;
use crate::world;

/// Requests of each kind that are made in turn.
const REQUESTS: usize = 2_000;
/// Messages and threads that are asked for by id, from so many inboxes.
const SAMPLED_INBOXES: usize = 100;
/// Searches begin with words of these ranks (see [`text::word`]): in most mails, in some, in very few.
const SEARCHED: [(&str, std::ops::Range<usize>); 3] =
    [("common", 2..30), ("usual", 100..1_000), ("rare", 20_000..60_000)];
/// A server works on what it was filled with (removing, indexing) for so long at most.
const SETTLE_MAX: Duration = Duration::from_secs(2 * 3600);
/// It has come to rest when it uses less than this part of one core.
const REST: f64 = 0.05;
/// Over so much time.
const REST_TIME: Duration = Duration::from_secs(3);

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    path: String,
    body: Option<Value>,
}

/// Requests that are measured together.
#[derive(Debug, Clone)]
pub struct Kind {
    /// As the table calls it.
    pub name: String,
    requests: Arc<Vec<Request>>,
}

/// What a measurement gave.
#[derive(Debug)]
pub struct Figures {
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Of every answer.
    pub times: Times,
    /// The server's processor seconds.
    pub cpu: f64,
}

/// Which kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// Everything.
    All,
    /// Get, lists and searches of inbox and pod: what must not depend on other tenants.
    Own,
}

/// The kinds of a set, about these pods. A route that this server has not is left out, and said so.
pub async fn kinds(server: &Server, pods: &[Pod], set: Set) -> Result<Vec<Kind>> {
    let mut random = Random::new(11);
    let mut api = server.client();
    let sample = Sample::take(&mut api, pods, &mut random).await?;
    let mut kinds = Vec::new();
    let inboxes: Vec<&String> = pods.iter().flat_map(|pod| &pod.inboxes).collect();
    let mut add = |name: &str, make: &dyn Fn(&mut Random) -> Option<Request>| {
        let requests: Vec<Request> = (0..REQUESTS).filter_map(|_| make(&mut random)).collect();
        kinds.push(Kind { name: name.to_owned(), requests: Arc::new(requests) });
    };
    let inbox = |random: &mut Random, rest: &str| {
        random.pick(&inboxes).map(|inbox| get(format!("/v0/inboxes/{}/{rest}", escape(inbox))))
    };
    let pod = |random: &mut Random, rest: &str| {
        random.pick(pods).map(|pod| get(format!("/v0/pods/{}/{rest}", pod.pod_id)))
    };
    add("get message", &|random| random.pick(&sample.messages).cloned());
    add("list 50 of inbox", &|random| inbox(random, "messages?limit=50"));
    add("list 10 of inbox", &|random| inbox(random, "messages?limit=10"));
    add("list 10 threads of inbox", &|random| inbox(random, "threads?limit=10"));
    add("list 10 threads of pod", &|random| pod(random, "threads?limit=10"));
    if set == Set::All {
        add("list 10 unread of inbox", &|random| inbox(random, "messages?limit=10&labels=unread"));
        add("list 10 threads of all", &|_| Some(get("/v0/threads?limit=10".to_owned())));
    }
    add("get thread", &|random| random.pick(&sample.threads).cloned());
    for (often, ranks) in SEARCHED {
        let word = |random: &mut Random| text::word(ranks.start + random.below(ranks.len()));
        let query = |random: &mut Random| format!("search?limit=10&q={}", word(random));
        add(&format!("search messages of inbox, {often} word"), &|random| {
            let query = query(random);
            inbox(random, &format!("messages/{query}"))
        });
        add(&format!("search threads of inbox, {often} word"), &|random| {
            let query = query(random);
            inbox(random, &format!("threads/{query}"))
        });
        add(&format!("search threads of pod, {often} word"), &|random| {
            let query = query(random);
            pod(random, &format!("threads/{query}"))
        });
        if set == Set::All {
            add(&format!("search threads of all, {often} word"), &|random| {
                Some(get(format!("/v0/threads/{}", query(random))))
            });
        }
    }
    if set == Set::All {
        add("send", &|random| {
            let mut request = inbox(random, "messages/send")?;
            request.body = Some(json!({
                "to": [text::correspondent(random)],
                "subject": text::subject(random),
                "text": text::subject(random),
            }));
            Some(request)
        });
    }
    let mut served = Vec::with_capacity(kinds.len());
    for kind in kinds {
        if kind.requests.is_empty() {
            continue;
        }
        if is_served(&mut api, &kind).await? {
            served.push(kind);
        } else {
            say(&format!("{}: this server has no such route; left out", kind.name));
        }
    }
    Ok(served)
}

fn get(path: String) -> Request {
    Request { path, body: None }
}

async fn is_served(api: &mut Client, kind: &Kind) -> Result<bool> {
    let request = kind.requests.first().context("one request at least")?;
    let answer = ask(api, request).await?;
    // Without a search route, `search` is taken for the id of something that is not there.
    let search = kind.name.starts_with("search");
    Ok(answer.status != 404 || !(search || String::from_utf8_lossy(&answer.body).contains("Route not found")))
}

async fn ask(api: &mut Client, request: &Request) -> Result<crate::http::Answer> {
    match &request.body {
        None => api.request("GET", &request.path, "", None).await,
        Some(body) => api.request("POST", &request.path, "", Some(body)).await,
    }
}

/// Messages and threads that exist.
#[derive(Debug, Default)]
struct Sample {
    messages: Vec<Request>,
    threads: Vec<Request>,
}

impl Sample {
    async fn take(api: &mut Client, pods: &[Pod], random: &mut Random) -> Result<Self> {
        let mut sample = Self::default();
        for _ in 0..SAMPLED_INBOXES {
            let pod = random.pick(pods).context("one pod at least")?;
            let inbox = escape(random.pick(&pod.inboxes).context("one inbox at least")?);
            let page = api.get(&format!("/v0/inboxes/{inbox}/messages?limit=100")).await?;
            for message in page.get("messages").and_then(Value::as_array).into_iter().flatten() {
                let (id, thread) = (world::text(message, "message_id")?, world::text(message, "thread_id")?);
                sample.messages.push(get(format!("/v0/inboxes/{inbox}/messages/{}", escape(&id))));
                sample.threads.push(get(format!("/v0/inboxes/{inbox}/threads/{thread}")));
            }
        }
        anyhow::ensure!(!sample.messages.is_empty(), "the inboxes are empty");
        Ok(sample)
    }
}

/// Asks for so long with so many clients, each on a connection of its own.
pub async fn measure(server: &Server, kind: &Kind, clients: usize, time: Duration) -> Result<Figures> {
    let cpu = server.cpu_seconds()?;
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for at in 0..clients {
        let (kind, api) = (kind.clone(), server.client());
        tasks.spawn(async move { client(api, &kind, (clients * 1_000 + at) as u64, begun + time).await });
    }
    let mut times = Times::default();
    while let Some(part) = tasks.join_next().await {
        times.extend(part??);
    }
    Ok(Figures { elapsed: begun.elapsed(), times, cpu: server.cpu_seconds()? - cpu })
}

async fn client(mut api: Client, kind: &Kind, seed: u64, end: Instant) -> Result<Times> {
    let mut random = Random::new(seed);
    let mut times = Times::default();
    while Instant::now() < end {
        let request = random.pick(&kind.requests).context("one request at least")?;
        let start = Instant::now();
        let answer = ask(&mut api, request).await?;
        anyhow::ensure!(
            answer.status == 200,
            "{}: HTTP {}: {}",
            request.path,
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
        times.push(start.elapsed());
    }
    Ok(times)
}

/// Waits until a server has done what a fill left to it.
pub async fn settle(server: &Server) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < SETTLE_MAX {
        let cpu = server.cpu_seconds()?;
        tokio::time::sleep(REST_TIME).await;
        let used = server.cpu_seconds()? - cpu;
        if used < REST * REST_TIME.as_secs_f64() {
            say(&format!("the server came to rest after {:.0} s", begun.elapsed().as_secs_f64()));
            return Ok(());
        }
    }
    anyhow::bail!("the server does not come to rest")
}
