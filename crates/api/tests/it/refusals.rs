//! What cannot be read as a request, over a real socket.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use podmail_api::serve;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::World;
use crate::mailbox::segment;

/// A world behind a socket.
pub(crate) struct Served {
    pub(crate) world: World,
    pub(crate) key: String,
    address: std::net::SocketAddr,
    _server: JoinSet<()>,
}

/// A raw answer: its head, and its body as far as the connection went on.
pub(crate) struct Raw {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Raw {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(own, value)| own.eq_ignore_ascii_case(name).then_some(value))
    }
}

impl Served {
    pub(crate) async fn new() -> Self {
        let world = World::new(|_| {}).await;
        let (scope, key) = world.organization("one").await;
        world.inbox(&scope, "desk@mail.test").await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(serve(listener, world.api.clone(), CancellationToken::new()));
        Self { world, key, address, _server: server }
    }

    /// Sends bytes and reads until the server ends the connection.
    pub(crate) async fn raw(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut all = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut all)).await;
        read.expect("the connection ends").unwrap();
        all
    }

    pub(crate) async fn answer(&self, request: &[u8]) -> Raw {
        let all = self.raw(request).await;
        let at = all.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        Raw { head: String::from_utf8(all[..at].to_vec()).unwrap(), body: all[at + 4..].to_vec() }
    }

    /// A request with a key that ends its connection.
    pub(crate) async fn call(&self, line: &str, more: &str) -> Raw {
        let key = &self.key;
        let request = format!(
            "{line} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n{more}\r\n"
        );
        self.answer(request.as_bytes()).await
    }
}

fn envelope(answer: &Raw) -> Value {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{}", answer.head));
    for member in ["name", "code", "message", "fix", "docs"] {
        assert!(body[member].is_string(), "{member}: {body}");
    }
    assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert!(answer.header("x-request-id").is_some_and(|id| id.starts_with("req_")), "{}", answer.head);
    body
}

#[tokio::test]
async fn whatever_cannot_be_read_is_answered_with_the_envelope() {
    let served = Served::new().await;
    let messages = "GET /v0/inboxes/desk@mail.test/messages";
    let long = "x".repeat(70_000);
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    let large = format!("x-large: {}\r\n", "y".repeat(600_000));
    for (line, more, status, code, fix) in [
        (format!("{messages}?labels=[\"unread\"]"), "", 400, "validation_error", "`\"` as %22"),
        (format!("{messages}/<m@x.test>"), "", 400, "validation_error", "`<` as %3C, `>` as %3E"),
        (format!("{messages}?subject=a b"), "", 400, "validation_error", "` ` as %20"),
        ("POST /v0/pods".to_owned(), "Content-Length: x\r\n", 400, "validation_error", "Content-Length"),
        ("POST /v0/pods".to_owned(), "bad header\r\n", 400, "validation_error", "name: value"),
        ("hello".to_owned(), "", 400, "validation_error", "METHOD"),
        (format!("{messages}?subject={long}"), "", 414, "uri_too_long", "query"),
        (messages.to_owned(), &many, 431, "headers_too_large", "headers"),
        (messages.to_owned(), &large, 431, "headers_too_large", "headers"),
    ] {
        let shown = line.chars().take(80).collect::<String>();
        let answer = served.call(&line, more).await;
        assert_eq!(answer.status(), status, "{shown}: {}", answer.head);
        let body = envelope(&answer);
        assert_eq!(body["code"], code, "{shown}");
        assert!(body["fix"].as_str().unwrap().contains(fix), "{shown}: {body}");
        assert_eq!(answer.header("connection"), Some("close"), "{shown}");
        assert_eq!(body["errors"].is_array(), status == 400, "{shown}");
    }
}

#[tokio::test]
async fn a_broken_body_lists_what_is_wrong_like_any_other_violation() {
    let served = Served::new().await;
    let answer = served.call("POST /v0/pods", "Transfer-Encoding: chunked\r\n\r\nzz\r\n").await;
    assert_eq!(answer.status(), 400, "{}", answer.head);
    let body = envelope(&answer);
    assert_eq!(body["code"], "validation_error");
    assert_eq!((&body["errors"][0]["code"], &body["errors"][0]["path"]), (&json!("custom"), &json!([])));
}

#[tokio::test]
async fn every_printable_character_in_a_url_is_accepted_or_named_with_its_escape() {
    let served = Served::new().await;
    for c in ' '..='~' {
        for line in [format!("GET /v0/inboxes/a{c}b"), format!("GET /v0/inboxes?x=a{c}b")] {
            let answer = served.call(&line, "").await;
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            match answer.status() {
                200 | 404 => {}
                400 => {
                    let escape = format!("`{c}` as %{:02X}", u32::from(c));
                    assert!(envelope(&answer)["fix"].as_str().unwrap().contains(&escape), "{line}: {body}");
                }
                other => panic!("{line}: {other} {body}"),
            }
        }
    }
}

#[tokio::test]
async fn answers_before_a_refusal_stay_whole_and_bytes_that_look_like_one_are_left_alone() {
    let served = Served::new().await;
    let two = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /v0/<x> HTTP/1.1\r\nHost: x\r\n\r\n";
    let all = String::from_utf8(served.raw(two).await).unwrap();
    let (first, second) = all.split_once("ok").unwrap();
    assert!(first.starts_with("HTTP/1.1 200 OK\r\n"), "{all}");
    assert!(
        second.starts_with("HTTP/1.1 400 Bad Request\r\n") && second.contains("\"validation_error\""),
        "{all}"
    );

    let file =
        b"x HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\ndate: Tue, 24 Nov 2026 20:34:45 GMT\r\n\r\n";
    let (world, inbox) = (&served.world, "/v0/inboxes/desk@mail.test/messages");
    let body = json!({
        "to": "bob@x.test", "text": "x", "attachments": [{ "content": STANDARD.encode(file), "filename": "a.bin" }],
    });
    let sent =
        world.call(&Method::POST, &format!("{inbox}/send"), Some(&served.key), &body.to_string()).await;
    let message = format!("{inbox}/{}", segment(sent.body["message_id"].as_str().unwrap()));
    let id = world.get(&message, &served.key).await.body["attachments"][0]["attachment_id"].clone();
    let link = world.get(&format!("{message}/attachments/{}", id.as_str().unwrap()), &served.key).await;
    let url = link.body["download_url"].as_str().unwrap().to_owned();
    let path = url.split_once("/downloads/").unwrap().1;
    let answer = served.call(&format!("GET /downloads/{path}"), "").await;
    assert_eq!((answer.status(), &*answer.body), (200, file.as_slice()));
}

#[tokio::test]
async fn head_is_answered_like_get_without_the_body() {
    let served = Served::new().await;
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/docs/api.md",
        "/docs/errors",
        "/llms.txt",
        "/v0/inboxes",
        "/v0/inboxes/desk@mail.test",
    ] {
        let (get, head) =
            (served.call(&format!("GET {path}"), "").await, served.call(&format!("HEAD {path}"), "").await);
        assert_eq!((get.status(), head.status()), (200, 200), "{path}");
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
        if path != "/metrics" {
            assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
        }
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
    let head = served.call("HEAD /v0/nothing", "").await;
    assert_eq!((head.status(), head.body.len()), (404, 0));
}
