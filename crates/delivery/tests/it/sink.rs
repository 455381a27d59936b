//! An SMTP server that takes mail from the worker, refuses what it is told to, and remembers everything.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// What the sink does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Speaks SMTP.
    Normal,
    /// Says nothing at all.
    Hang,
    /// Refuses with this greeting and closes.
    Greet(&'static str),
    /// Takes the message and closes without an answer.
    DropAfterData,
}

/// One message that was transmitted, whether it was acknowledged or not.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) data: String,
}

#[derive(Default)]
struct State {
    /// Manners of the next connections; `Normal` afterwards.
    manners: VecDeque<Manner>,
    /// Replies to the next RCPTs of an address; 250 afterwards.
    replies: HashMap<String, VecDeque<&'static str>>,
    /// Reply to the end of a message.
    last_word: Option<&'static str>,
    taken: Vec<Taken>,
    connections: usize,
}

/// The server; it ends when this is dropped.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: AbortHandle,
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sink {
    pub(crate) async fn start() -> Self {
        Self::at(IpAddr::V4(Ipv4Addr::LOCALHOST), 0).await
    }

    pub(crate) async fn at(ip: IpAddr, port: u16) -> Self {
        let listener = TcpListener::bind((ip, port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let manner = {
                    let mut state = shared.lock().unwrap();
                    state.connections += 1;
                    state.manners.pop_front().unwrap_or(Manner::Normal)
                };
                open.spawn(serve(stream, manner, Arc::clone(&shared)));
            }
        });
        Self { address, state, task: task.abort_handle() }
    }

    /// How the next connections are treated.
    pub(crate) fn next(&self, manners: &[Manner]) {
        self.state.lock().unwrap().manners.extend(manners);
    }

    /// What the next RCPTs for an address are answered.
    pub(crate) fn reply(&self, address: &str, replies: &[&'static str]) {
        let mut state = self.state.lock().unwrap();
        state.replies.entry(address.to_owned()).or_default().extend(replies);
    }

    /// What every message is answered.
    pub(crate) fn last_word(&self, reply: &'static str) {
        self.state.lock().unwrap().last_word = Some(reply);
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.state.lock().unwrap().taken.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }
}

async fn serve(stream: TcpStream, manner: Manner, state: Arc<Mutex<State>>) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    match manner {
        Manner::Hang => {
            while let Ok(Some(_)) = lines.next_line().await {}
            return;
        }
        Manner::Greet(greeting) => {
            drop(write.write_all(format!("{greeting}\r\n").as_bytes()).await);
            return;
        }
        Manner::Normal | Manner::DropAfterData => {}
    }
    let mut envelope = Taken { from: String::new(), to: vec![], data: String::new() };
    let mut reply = "220 sink.example ready".to_owned();
    loop {
        if write.write_all(format!("{reply}\r\n").as_bytes()).await.is_err() {
            return;
        }
        let Ok(Some(line)) = lines.next_line().await else { return };
        let inside = |line: &str| line.split(['<', '>']).nth(1).unwrap().to_owned();
        reply = match line.split([' ', ':']).next().unwrap() {
            "EHLO" => {
                "250-sink.example\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250 8BITMIME".to_owned()
            }
            "MAIL" => {
                envelope = Taken { from: inside(&line), to: vec![], data: String::new() };
                "250 2.1.0 Ok".to_owned()
            }
            "RCPT" => {
                let address = inside(&line);
                let told = state.lock().unwrap().replies.get_mut(&address).and_then(VecDeque::pop_front);
                if told.is_none() {
                    envelope.to.push(address);
                }
                told.unwrap_or("250 2.1.5 Ok").to_owned()
            }
            "DATA" if envelope.to.is_empty() => "554 5.5.1 no valid recipients".to_owned(),
            "DATA" => {
                write.write_all(b"354 Go ahead\r\n").await.unwrap();
                loop {
                    let Ok(Some(line)) = lines.next_line().await else { return };
                    if line == "." {
                        break;
                    }
                    envelope.data.push_str(&line);
                    envelope.data.push('\n');
                }
                let mut state = state.lock().unwrap();
                state.taken.push(envelope.clone());
                if manner == Manner::DropAfterData {
                    return;
                }
                state.last_word.unwrap_or("250 2.0.0 Ok").to_owned()
            }
            "QUIT" => {
                drop(write.write_all(b"221 2.0.0 Bye\r\n").await);
                return;
            }
            _ => "500 5.5.2 what?".to_owned(),
        };
    }
}
