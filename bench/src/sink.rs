//! A webhook receiver: answers 204 to every POST and hands its body on.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Largest body; deliveries have at most 1 MiB.
const BODY_MAX: usize = 2 * 1024 * 1024;

/// Called with each body and the time when it was complete.
pub type Handler = Arc<dyn Fn(&[u8], Instant) + Send + Sync>;

/// A receiver on a free loopback port; it ends when this is dropped.
#[derive(Debug)]
pub struct Sink {
    /// Where it receives.
    pub url: String,
    _tasks: JoinSet<()>,
}

impl Sink {
    /// Starts receiving.
    pub async fn start(handler: Handler) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((stream, _)) = accepted else { continue };
                        let handler = handler.clone();
                        connections.spawn(async move {
                            // A sender that goes away in the middle is a killed server, not a failure of the sink.
                            drop(serve(stream, handler).await);
                        });
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self { url, _tasks: tasks })
    }
}

async fn serve(stream: TcpStream, handler: Handler) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut connection = BufReader::new(stream);
    let mut line = String::new();
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if connection.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            if line.trim_end().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse::<usize>().context("content-length")?;
            }
        }
        anyhow::ensure!(length <= BODY_MAX, "a body of {length} bytes");
        let mut body = vec![0; length];
        connection.read_exact(&mut body).await?;
        handler(&body, Instant::now());
        connection.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
    }
}
