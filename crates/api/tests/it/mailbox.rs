//! An inbox and the mail that comes to it: shared by the tests of messages and threads.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use podmail_app::Settings;
use podmail_app::receive::{Incoming, Received};
use podmail_app::texts::{Extractor, TextFile, extract};
use podmail_store::Scope;
use serde_json::{Value, json};

use crate::{Answer, World};

/// The inbox.
pub(crate) const DESK: &str = "desk@mail.test";
/// A body that is taken for spam.
pub(crate) const SPAM: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

/// Takes texts out here: the server does it in a process of its own.
pub(crate) struct InProcess;

impl Extractor for InProcess {
    fn extract(&self, file: TextFile) -> BoxFuture<'_, Option<String>> {
        Box::pin(async move { extract(file.kind, file.charset.as_deref(), &file.bytes) })
    }
}

/// A product with one inbox and a key of its organization.
pub(crate) struct Mailbox {
    pub(crate) world: World,
    pub(crate) organization: Scope,
    pub(crate) key: String,
}

/// An id as a path segment.
pub(crate) fn segment(id: &str) -> String {
    utf8_percent_encode(id, NON_ALPHANUMERIC).to_string()
}

/// Paths of the issues of a refused request.
pub(crate) fn paths(answer: &Answer) -> Value {
    assert_eq!((answer.status, answer.code()), (400, "validation_error"), "{}", answer.text);
    answer.body["errors"].as_array().unwrap().iter().map(|issue| issue["path"].clone()).collect()
}

impl Mailbox {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// One per engine.
    pub(crate) async fn each() -> Vec<Self> {
        Self::each_with(|_| {}).await
    }

    pub(crate) async fn each_with(change: impl Fn(&mut Settings) + Send + Sync) -> Vec<Self> {
        let mut all = Vec::new();
        for database in podmail_testkit::databases().await {
            all.push(Self::of(World::on(database, &change).await).await);
        }
        all
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::of(World::new(change).await).await
    }

    pub(crate) async fn of(world: World) -> Self {
        let (organization, key) = world.organization("acme").await;
        world.inbox(&organization, DESK).await;
        Self { world, organization, key }
    }

    /// A mail comes in. `\n` ends a line; From and To are Ada and the inbox unless `header` has its own.
    pub(crate) async fn mail(&self, header: &str, body: &str) {
        let has = |name: &str| header.lines().any(|line| line.starts_with(name));
        let from = if has("From:") { "" } else { "From: Ada <ada@x.test>\n" };
        let to = if has("To:") { "" } else { "To: desk@mail.test\n" };
        self.raw_mail(&[DESK], &format!("{from}{to}{}\n\n{body}\n", header.trim_end())).await;
    }

    pub(crate) async fn raw_mail(&self, recipients: &[&str], raw: &str) {
        let incoming = Incoming {
            from: Some("ada@x.test".to_owned()),
            recipients: recipients.iter().map(|recipient| (*recipient).to_owned()).collect(),
            helo: "mx.x.test".to_owned(),
            remote: Some("192.0.2.1:25".parse().unwrap()),
            tls: true,
        };
        let raw = Bytes::from(raw.replace("\r\n", "\n").replace('\n', "\r\n"));
        assert_eq!(self.world.app.receive(&incoming, raw).await.unwrap(), Received::Accepted);
    }

    /// A call below the inbox.
    pub(crate) async fn call(&self, method: Method, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.world.call(&method, &format!("/v0/inboxes/{DESK}{path}"), Some(&self.key), &body).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::PATCH, path, body).await
    }

    /// The body of a successful GET below the inbox.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.call(Method::GET, path, &Value::Null).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.body
    }

    pub(crate) async fn message(&self, id: &str) -> Value {
        self.get(&format!("/messages/{}", segment(id))).await
    }

    /// The ids of a list of messages.
    pub(crate) async fn list(&self, query: &str) -> Vec<String> {
        let body = self.get(&format!("/messages{query}")).await;
        let messages = body["messages"].as_array().unwrap();
        assert_eq!(body["count"], messages.len());
        messages.iter().map(|message| message["message_id"].as_str().unwrap().to_owned()).collect()
    }

    /// A successful send, reply or forward: the new message.
    pub(crate) async fn made(&self, path: &str, body: &Value) -> Value {
        let answer = self.post(path, body).await;
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text);
        let message = self.message(answer.body["message_id"].as_str().unwrap()).await;
        let both = json!({ "message_id": message["message_id"], "thread_id": message["thread_id"] });
        assert_eq!(answer.body, both);
        message
    }

    pub(crate) async fn send(&self, body: &Value) -> Value {
        self.made("/messages/send", body).await
    }

    /// What a link leads to, fetched without a key.
    pub(crate) async fn download(&self, url: &Value) -> Answer {
        let path = url.as_str().unwrap().strip_prefix("http://127.0.0.1:8080").unwrap();
        self.world.call(&Method::GET, path, None, "").await
    }

    /// Looks at every attachment that waits.
    pub(crate) async fn extract_texts(&self) {
        while self.world.app.extract_texts_once(&InProcess).await.unwrap() {}
    }

    /// The bytes of a message with `\n` line ends.
    pub(crate) async fn raw(&self, id: &str) -> String {
        let link = self.get(&format!("/messages/{}/raw", segment(id))).await;
        self.download(&link["download_url"]).await.text.replace("\r\n", "\n")
    }
}
