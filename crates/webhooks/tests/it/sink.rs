//! An HTTP receiver on loopback that keeps what it is sent and answers as it is told.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Longest wait for a condition before a test fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// One answer of a sink.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    Status(u16),
    /// A status and one header.
    With(u16, &'static str, String),
    /// A status once there is a permit.
    Held(u16, Arc<Semaphore>),
    /// Nothing, for as long as the test runs.
    Silence,
}

/// One request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Post {
    /// All values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str()).collect()
    }
    /// The value of a header that is there once.
    pub(crate) fn header(&self, name: &str) -> &str {
        let values = self.all(name);
        assert_eq!(values.len(), 1, "{name}: {values:?}");
        values[0]
    }
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// A running receiver.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) url: String,
    posts: Arc<Mutex<Vec<Post>>>,
    count: watch::Receiver<usize>,
    _tasks: JoinSet<()>,
}

impl Sink {
    /// Says these answers in order, and the last of them from then on.
    pub(crate) async fn new(script: &[Say]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let posts = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(script.iter().cloned().collect::<VecDeque<_>>()));
        let (changed, count) = watch::channel(0);
        let changed = Arc::new(changed);
        let kept = posts.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (posts, script, changed) = (kept.clone(), script.clone(), changed.clone());
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        answer(request, posts.clone(), script.clone(), changed.clone())
                    });
                    // How a connection ends is the client's affair.
                    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { url, posts, count, _tasks: tasks }
    }

    pub(crate) fn posts(&self) -> Vec<Post> {
        self.posts.lock().expect("no panic inside").clone()
    }

    /// Waits until `count` requests have come.
    pub(crate) async fn wait(&self, count: usize) -> Vec<Post> {
        let mut seen = self.count.clone();
        tokio::time::timeout(DEADLINE, seen.wait_for(|seen| *seen >= count))
            .await
            .unwrap_or_else(|_| panic!("{count} requests before the deadline, {} came", self.posts().len()))
            .expect("the sink runs");
        self.posts()
    }
}

async fn answer(
    request: Request<Incoming>,
    posts: Arc<Mutex<Vec<Post>>>,
    script: Arc<Mutex<VecDeque<Say>>>,
    changed: Arc<watch::Sender<usize>>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let headers = request.headers().iter();
    let headers = headers
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    let say = {
        let mut script = script.lock().expect("no panic inside");
        if script.len() > 1 { script.pop_front() } else { script.front().cloned() }
    };
    posts.lock().expect("no panic inside").push(Post { headers, body });
    changed.send_modify(|count| *count += 1);
    let response = match say.expect("a script") {
        Say::Status(status) => Response::builder().status(status),
        Say::With(status, name, value) => Response::builder().status(status).header(name, value),
        Say::Held(status, gate) => {
            gate.acquire().await.expect("an open gate").forget();
            Response::builder().status(status)
        }
        Say::Silence => std::future::pending().await,
    };
    Ok(response.body(Empty::new()).expect("a response"))
}
