//! A running server, a sink that remembers, and a client that reads replies.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use podmail_smtp_in::{Config, Counters, DeliverAnswer, Envelope, MailSink, RecipientAnswer, Server, Tls};
use podmail_smtp_wire::{Reply, ReplyParser};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// No test waits longer for anything.
const DEADLINE: Duration = Duration::from_secs(20);

/// Takes mail for everybody but `unknown@` and `busy@`; refuses messages from `loop@`, cannot store those
/// from `full@`.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    messages: Mutex<Vec<(Envelope, Bytes)>>,
}

impl Sink {
    pub(crate) fn take(&self) -> Vec<(Envelope, Bytes)> {
        std::mem::take(&mut self.messages.lock().unwrap())
    }
}

impl MailSink for Sink {
    async fn recipient(&self, address: &str) -> RecipientAnswer {
        match address.split('@').next() {
            Some("unknown") => RecipientAnswer::Unknown,
            Some("busy") => RecipientAnswer::Unavailable,
            _ => RecipientAnswer::Accept,
        }
    }

    async fn deliver(&self, envelope: Envelope, raw: Bytes) -> DeliverAnswer {
        match envelope.from.as_deref() {
            Some("loop@a.example") => {
                let text = "Too many hops".to_owned();
                return DeliverAnswer::Refused { code: 554, enhanced: "5.4.6", text };
            }
            Some("full@a.example") => return DeliverAnswer::Unavailable,
            _ => {}
        }
        self.messages.lock().unwrap().push((envelope, raw));
        DeliverAnswer::Stored
    }
}

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) sink: Arc<Sink>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

pub(crate) fn config() -> Config {
    Config { hostname: "mx.podmail.example".into(), ..Config::default() }
}

impl Running {
    pub(crate) async fn start(config: Config, tls: Option<Tls>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sink, counters, shutdown) = (Arc::default(), Arc::default(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(Server::run(
            listener,
            Arc::clone(&sink),
            config,
            tls,
            Arc::clone(&counters),
            shutdown.clone(),
        ));
        Self { address, sink, counters, shutdown, tasks }
    }

    pub(crate) async fn plain() -> Self {
        Self::start(config(), None).await
    }

    /// A client that has not read the greeting.
    pub(crate) async fn connect(&self) -> Client<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client::new(stream)
    }

    /// A client that has said `EHLO`.
    pub(crate) async fn greeted(&self) -> Client<TcpStream> {
        let mut client = self.connect().await;
        client.expect(220).await;
        client.command("EHLO client.example", 250).await;
        client
    }

    /// The server has returned.
    pub(crate) async fn ended(mut self) {
        within(self.tasks.join_next()).await.unwrap().unwrap();
    }
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it happens before the deadline")
}

pub(crate) struct Client<IO> {
    pub(crate) stream: IO,
    parser: ReplyParser,
    unread: Vec<u8>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Client<IO> {
    pub(crate) fn new(stream: IO) -> Self {
        Self { stream, parser: ReplyParser::new(), unread: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next reply, or `None` at the end of the connection.
    pub(crate) async fn reply(&mut self) -> Option<Reply> {
        loop {
            let (consumed, reply) = self.parser.feed(&self.unread).unwrap();
            self.unread.drain(..consumed);
            if reply.is_some() {
                return reply;
            }
            let mut buffer = [0; 4096];
            let n = within(self.stream.read(&mut buffer)).await.unwrap_or(0);
            if n == 0 {
                return None;
            }
            self.unread.extend_from_slice(&buffer[..n]);
        }
    }

    pub(crate) async fn expect(&mut self, code: u16) -> Reply {
        let reply = self.reply().await.expect("the connection is open");
        assert_eq!(reply.code, code, "{reply:?}");
        reply
    }

    pub(crate) async fn command(&mut self, line: &str, code: u16) -> Reply {
        self.send(format!("{line}\r\n").as_bytes()).await;
        let reply = self.reply().await.unwrap_or_else(|| panic!("the connection is open after {line}"));
        assert_eq!(reply.code, code, "{line}: {reply:?}");
        reply
    }

    /// Code and enhanced code of the answer.
    pub(crate) async fn codes(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes()).await;
        let reply = self.reply().await.unwrap_or_else(|| panic!("the connection is open after {line}"));
        let enhanced = reply.enhanced.map(|code| format!(" {code}")).unwrap_or_default();
        format!("{}{enhanced}", reply.code)
    }

    /// Codes of all replies until the server closes.
    pub(crate) async fn rest(&mut self) -> Vec<u16> {
        let mut codes = Vec::new();
        while let Some(reply) = self.reply().await {
            codes.push(reply.code);
        }
        codes
    }

    /// Up to the point where the message is sent.
    pub(crate) async fn begin_message(&mut self) {
        self.command("MAIL FROM:<sender@a.example>", 250).await;
        self.command("RCPT TO:<desk@podmail.example>", 250).await;
        self.command("DATA", 354).await;
    }
}
