//! Two nodes on one PostgreSQL database: what one takes in the other shows, wakes for, and finishes when the first is
//! gone. `./test` always has a PostgreSQL server; without one there is nothing to test.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use podmail_bench::http::{Client, escape};
use podmail_bench::server::{Database, Engine, Options, Server, test_binary};
use podmail_bench::sink::Sink;
use podmail_bench::smtp::{Envelope, Session};
use podmail_bench::world;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;

/// Longest wait for a condition before a test fails.
const DEADLINE: Duration = Duration::from_secs(30);
/// Longer than any test: whoever acts earlier was woken.
const NEVER: &str = "600s";

/// Two nodes and their database.
struct Cluster {
    database: Database,
    folders: [TempDir; 2],
}

impl Cluster {
    /// `None` without a PostgreSQL server.
    async fn new() -> Option<Self> {
        #[expect(clippy::disallowed_methods, reason = "how the test script tells of its server")]
        let server = std::env::var("PODMAIL_TEST_POSTGRES").ok()?;
        let database = Database::create(&server).await.unwrap();
        Some(Self { database, folders: [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()] })
    }

    fn options(&self, node: usize) -> Options {
        let engine = Engine::Postgres(self.database.url.clone());
        // What has no room in a row lies where both nodes see it.
        let blobs = format!("file://{}/blobs", self.folders[0].path().display());
        Options::new(&test_binary().unwrap(), self.folders[node].path(), engine)
            .variable("PODMAIL_BLOB_URL", &blobs)
            .variable("PODMAIL_WORK_LEASE", "3s")
    }

    /// Starts both; the second learns of the first organization's key from the folder of the first.
    fn start(&self, variables: &[(&str, &str)]) -> (Server, Server) {
        let with = |node| {
            let set = |options: Options, (name, value): &(&str, &str)| options.variable(name, value);
            variables.iter().fold(self.options(node), set)
        };
        let first = with(0).start().unwrap();
        share_key(self.folders[0].path(), self.folders[1].path());
        let second = with(1).start().unwrap();
        (first, second)
    }
}

fn share_key(from: &Path, to: &Path) {
    std::fs::copy(from.join("bootstrap-key"), to.join("bootstrap-key")).unwrap();
}

/// Events that a webhook receiver was sent, by the id of the delivery's event.
#[derive(Default)]
struct Seen {
    events: Mutex<Vec<Value>>,
    news: Notify,
}

impl Seen {
    async fn sink(self: &Arc<Self>) -> Sink {
        let seen = Arc::clone(self);
        Sink::start(Arc::new(move |body, _| {
            seen.events.lock().unwrap().push(serde_json::from_slice(body).unwrap());
            seen.news.notify_one();
        }))
        .await
        .unwrap()
    }

    fn of(&self, event_type: &str) -> Vec<Value> {
        let events = self.events.lock().unwrap();
        events.iter().filter(|event| event["event_type"] == event_type).cloned().collect()
    }

    async fn wait(&self, event_type: &str, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let until = Instant::now() + DEADLINE;
        loop {
            let found = self.of(event_type);
            if enough(&found) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            let waited = tokio::time::timeout(left, self.news.notified()).await;
            assert!(waited.is_ok(), "{event_type}: {} by the deadline", found.len());
        }
    }
}

async fn mail(server: &Server, inbox: &str, name: &str) -> bool {
    let Ok(mut session) = Session::connect(&server.smtp).await else { return false };
    let message = format!(
        "From: a@load.example\r\nSubject: {name}\r\nMessage-ID: <{name}@load.example>\r\n\r\nHello\r\n"
    );
    session.send(&Envelope::new("a@load.example", &[inbox.to_owned()]), message.as_bytes()).await.is_ok()
}

async fn subjects(api: &mut Client, inbox: &str) -> Vec<String> {
    let path = format!("/v0/inboxes/{}/messages?limit=100", escape(inbox));
    let messages = world::list(api, &path, "messages").await.unwrap();
    messages.iter().map(|message| message["subject"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_at_one_node_is_listed_by_the_other_and_work_wakes_whichever_node_runs() {
    let Some(cluster) = Cluster::new().await else { return };
    let (a, b) = cluster.start(&[("PODMAIL_WORK_POLL_INTERVAL", NEVER)]);
    let (mut at_a, mut at_b) = (a.client(), b.client());
    let (_, inboxes) = world::create(&mut at_a, 0, 1).await.unwrap();
    let seen = Arc::new(Seen::default());
    let sink = seen.sink().await;
    let hook = json!({"url": sink.url, "event_types": ["message.received", "domain.verified"]});
    at_b.send("POST", "/v0/webhooks", &hook).await.unwrap();

    assert!(mail(&a, &inboxes[0], "one").await);
    assert_eq!(subjects(&mut at_b, &inboxes[0]).await, ["one"]);
    seen.wait("message.received", |found| found.len() == 1).await;

    // A process that has no workers makes an event: only news over the database can wake a node that never looks.
    at_a.send("POST", "/v0/domains", &json!({"domain": "acme.example"})).await.unwrap();
    let done = std::process::Command::new(test_binary().unwrap())
        .args(["domain", "verify", "acme.example", "--force"])
        .env_clear()
        .env("PODMAIL_DATA_DIR", cluster.folders[0].path())
        .env("PODMAIL_DATABASE_URL", &cluster.database.url)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    seen.wait("domain.verified", |found| found.len() == 1).await;

    // One node ends in order; the other goes on alone.
    drop(at_a);
    let stopped = tokio::task::spawn_blocking(move || a.stop().unwrap().code()).await.unwrap();
    assert_eq!(stopped, Some(0));
    assert!(mail(&b, &inboxes[0], "two").await);
    seen.wait("message.received", |found| found.len() == 2).await;
    assert_eq!(subjects(&mut at_b, &inboxes[0]).await, ["two", "one"]);
    drop((at_b, b));
    cluster.database.remove().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_killed_under_load_loses_nothing_and_the_other_finishes_its_work() {
    let Some(cluster) = Cluster::new().await else { return };
    let (a, b) = cluster.start(&[]);
    let (_, inboxes) = world::create(&mut a.client(), 0, 1).await.unwrap();
    let seen = Arc::new(Seen::default());
    let sink = seen.sink().await;
    let hook = json!({"url": sink.url, "event_types": ["message.received", "message.delivered"]});
    a.client().send("POST", "/v0/webhooks", &hook).await.unwrap();

    // Mail in and mail out at A, until it is killed in the middle.
    let acknowledged = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let server = Arc::new(a);
    let mut load = tokio::task::JoinSet::new();
    for worker in 0..4 {
        let (server, inbox, kept) = (server.clone(), inboxes[0].clone(), acknowledged.clone());
        load.spawn(async move {
            let mut api = server.client();
            let path = format!("/v0/inboxes/{}/messages/send", escape(&inbox));
            for n in 0.. {
                let name = format!("in-{worker}-{n}");
                if !mail(&server, &inbox, &name).await {
                    return;
                }
                kept.lock().unwrap().0.push(name);
                let body =
                    json!({"to": "z@elsewhere.example", "subject": format!("out-{worker}-{n}"), "text": "t"});
                let Ok(sent) = api.send("POST", &path, &body).await else { return };
                kept.lock().unwrap().1.push(world::text(&sent, "message_id").unwrap());
            }
        });
    }
    seen.wait("message.received", |found| found.len() >= 40).await;
    podmail_bench::process::signal(server.pid, "KILL").unwrap();
    while load.join_next().await.is_some() {}
    drop(server);

    let (received, sent) = acknowledged.lock().unwrap().clone();
    let listed = subjects(&mut b.client(), &inboxes[0]).await;
    for name in &received {
        assert_eq!(listed.iter().filter(|subject| *subject == name).count(), 1, "{name}");
    }
    let all = |wanted: &[String], found: &[Value], name: &dyn Fn(&Value) -> Value| {
        let found: std::collections::HashSet<String> =
            found.iter().filter_map(|event| name(event).as_str().map(str::to_owned)).collect();
        wanted.iter().all(|wanted| found.contains(wanted))
    };
    seen.wait("message.received", |found| {
        all(&received, found, &|event| event["message"]["subject"].clone())
    })
    .await;
    seen.wait("message.delivered", |found| {
        all(&sent, found, &|event| event["delivery"]["message_id"].clone())
    })
    .await;
    drop(b);
    cluster.database.remove().await.unwrap();
}

/// The variables of a stand-in for S3 with a bucket, as an operator sets them. `None` without one.
async fn s3(bucket: &str) -> Option<Vec<(&'static str, String)>> {
    #[expect(clippy::disallowed_methods, reason = "how the test script tells of its server")]
    let endpoint = std::env::var("PODMAIL_TEST_S3").ok()?;
    let host = endpoint.strip_prefix("http://").unwrap();
    let made = Client::new(host, "none").request("PUT", &format!("/{bucket}"), "", None).await.unwrap();
    assert_eq!(made.status, 200, "{made:?}");
    Some(vec![
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "podmail".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_mail_goes_through_s3_and_a_missing_bucket_is_named_with_its_cure() {
    let Some(cluster) = Cluster::new().await else { return };
    let Some(variables) = s3("podmail-e2e").await else { return };
    let mut set: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    set.push(("PODMAIL_BLOB_URL", "s3://podmail-e2e/mail"));
    let (a, b) = cluster.start(&set);
    let (_, inboxes) = world::create(&mut a.client(), 0, 1).await.unwrap();
    let noise = podmail_bench::mail::noise(&mut podmail_bench::random::Random::new(7), 300_000);
    let message = format!("From: a@load.example\r\nMessage-ID: <large@load.example>\r\n\r\n{noise}\r\n");
    let mut session = Session::connect(&a.smtp).await.unwrap();
    session.send(&Envelope::new("a@load.example", &inboxes), message.as_bytes()).await.unwrap();
    let path = format!("/v0/inboxes/{}/messages/%3Clarge@load.example%3E", escape(&inboxes[0]));
    let read = b.client().get(&path).await.unwrap();
    assert_eq!(read["text"].as_str().unwrap().split_whitespace().collect::<String>().len(), letters(&noise));
    drop((a, b));

    let output = std::process::Command::new(test_binary().unwrap())
        .args(["doctor", "--json"])
        .env_clear()
        .envs(variables.iter().map(|(name, value)| (*name, value.as_str())))
        .env("PODMAIL_DATA_DIR", cluster.folders[0].path())
        .env("PODMAIL_DATABASE_URL", &cluster.database.url)
        .env("PODMAIL_BLOB_URL", "s3://no-such-bucket/mail")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("Create the bucket `no-such-bucket`"), "{said}");
    cluster.database.remove().await.unwrap();
}

fn letters(text: &str) -> usize {
    text.split_whitespace().map(str::len).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_idempotency_key_on_both_nodes_at_once_sends_one_message() {
    let Some(cluster) = Cluster::new().await else { return };
    let (a, b) = cluster.start(&[]);
    let (_, inboxes) = world::create(&mut a.client(), 0, 1).await.unwrap();
    let path = format!("/v0/inboxes/{}/messages/send", escape(&inboxes[0]));
    for round in 0..10 {
        let body = json!({"to": "z@elsewhere.example", "subject": format!("round {round}"), "text": "t"});
        let mut both = tokio::task::JoinSet::new();
        for server in [&a, &b] {
            let (mut api, path, body) = (server.client(), path.clone(), body.clone());
            let header = format!("idempotency-key: key-{round}\r\n");
            both.spawn(async move { api.request("POST", &path, &header, Some(&body)).await.unwrap() });
        }
        let answers = both.join_all().await;
        let ids: Vec<String> = answers
            .iter()
            .filter(|answer| answer.status == 200)
            .map(|answer| world::text(&answer.json().unwrap(), "message_id").unwrap())
            .collect();
        assert!(!ids.is_empty() && ids.iter().all(|id| *id == ids[0]), "{answers:?}");
        assert!(answers.iter().all(|answer| [200, 409].contains(&answer.status)), "{answers:?}");
    }
    assert_eq!(subjects(&mut b.client(), &inboxes[0]).await.len(), 10);
    drop((a, b));
    cluster.database.remove().await.unwrap();
}
