//! One connection to a server: bytes out, replies in, every wait with a limit.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use podmail_smtp_wire::{Reply, ReplyError, ReplyParser};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

/// Bytes read at once.
const READ_BYTES: usize = 4_096;

/// Why nothing more can be said or heard.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("timed out")]
    Timeout,
    #[error("the server closed the connection")]
    Closed,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Reply(#[from] ReplyError),
    #[error("the server spoke before TLS was established")]
    EarlyData,
    #[error("the host's name does not fit into TLS")]
    Name,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection, plain or encrypted.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    /// Bytes that are read and not parsed: at most [`READ_BYTES`].
    unread: Vec<u8>,
    parser: ReplyParser,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr, limit: Duration) -> Result<Self, Broken> {
        let stream = timeout(limit, TcpStream::connect(address)).await.map_err(|_| Broken::Timeout)??;
        stream.set_nodelay(true)?;
        Ok(Self { stream: Box::new(stream), unread: Vec::new(), parser: ReplyParser::new() })
    }

    /// The same connection inside of TLS. Nothing that was received before is carried over (RFC 3207).
    pub(crate) async fn encrypt(
        self,
        config: Arc<ClientConfig>,
        host: &str,
        limit: Duration,
    ) -> Result<Self, Broken> {
        if !self.unread.is_empty() {
            return Err(Broken::EarlyData);
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_owned();
        let name = ServerName::try_from(host).map_err(|_| Broken::Name)?;
        let handshake = TlsConnector::from(config).connect(name, self.stream);
        let stream = timeout(limit, Box::pin(handshake)).await.map_err(|_| Broken::Timeout)??;
        Ok(Self { stream: Box::new(stream), unread: Vec::new(), parser: ReplyParser::new() })
    }

    pub(crate) async fn write(&mut self, bytes: &[u8], limit: Duration) -> Result<(), Broken> {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        Ok(timeout(limit, write).await.map_err(|_| Broken::Timeout)??)
    }

    /// The next reply, whole within `limit`.
    pub(crate) async fn reply(&mut self, limit: Duration) -> Result<Reply, Broken> {
        let deadline = Instant::now() + limit;
        loop {
            let (consumed, reply) = self.parser.feed(&self.unread)?;
            self.unread.drain(..consumed);
            if let Some(reply) = reply {
                return Ok(reply);
            }
            self.unread.reserve(READ_BYTES);
            let mut room = (&mut self.stream).take(u64::try_from(READ_BYTES).unwrap_or(u64::MAX));
            let read = timeout_at(deadline, room.read_buf(&mut self.unread));
            if read.await.map_err(|_| Broken::Timeout)?? == 0 {
                return Err(Broken::Closed);
            }
        }
    }

    /// Ends the connection politely, as far as the other side goes along within `limit`.
    pub(crate) async fn close(&mut self, limit: Duration) {
        // The conversation is over and its result known; nothing depends on how it ends.
        drop(timeout(limit, self.stream.shutdown()).await);
    }
}
