//! A small SMTP client for load: pipelined envelopes, no TLS, one message after another on one connection.

use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// One connection after EHLO.
#[derive(Debug)]
pub struct Session {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    buffer: Vec<u8>,
}

/// What a server answers: the code and the text of the last line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// The whole last line.
    pub text: String,
}

/// Sender and recipients of one message, ready to be sent.
#[derive(Debug, Clone)]
pub struct Envelope {
    commands: Vec<u8>,
    replies: usize,
}

impl Envelope {
    /// MAIL, a RCPT for each recipient, and DATA in one piece (RFC 2920).
    pub fn new(sender: &str, recipients: &[String]) -> Self {
        let mut commands = format!("MAIL FROM:<{sender}>\r\n");
        for recipient in recipients {
            commands.push_str(&format!("RCPT TO:<{recipient}>\r\n"));
        }
        commands.push_str("DATA\r\n");
        Self { commands: commands.into_bytes(), replies: recipients.len() + 2 }
    }
}

impl Session {
    /// Connects and says EHLO.
    pub async fn connect(address: &str) -> Result<Self> {
        let stream =
            TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let mut session = Self { reader: BufReader::new(reader), writer, buffer: Vec::new() };
        session.expect(220).await?;
        session.writer.write_all(b"EHLO load.example\r\n").await?;
        session.expect(250).await?;
        Ok(session)
    }

    /// Sends an envelope up to the go-ahead for the message.
    pub async fn open(&mut self, envelope: &Envelope) -> Result<()> {
        self.writer.write_all(&envelope.commands).await?;
        self.opened(envelope).await
    }

    async fn opened(&mut self, envelope: &Envelope) -> Result<()> {
        for _ in 1..envelope.replies {
            self.expect(250).await?;
        }
        self.expect(354).await
    }

    /// Sends a message whose envelope is open, together with the next envelope (RFC 2920 lets commands follow the final
    /// dot), and returns when its 250 arrived. `message` ends in CRLF and has no line that starts with a dot.
    /// After this [`Self::ready`] has to be called if there was a next envelope.
    pub async fn message(&mut self, message: &[u8], next: Option<&Envelope>) -> Result<Instant> {
        self.buffer.clear();
        self.buffer.extend_from_slice(message);
        self.buffer.extend_from_slice(b".\r\n");
        self.buffer.extend(next.into_iter().flat_map(|next| next.commands.iter()));
        self.writer.write_all(&self.buffer).await?;
        self.expect(250).await?;
        Ok(Instant::now())
    }

    /// Takes the replies to the envelope that was sent along with a message.
    pub async fn ready(&mut self, envelope: &Envelope) -> Result<()> {
        self.opened(envelope).await
    }

    /// Sends one message and returns once it is accepted.
    pub async fn send(&mut self, envelope: &Envelope, message: &[u8]) -> Result<()> {
        self.open(envelope).await?;
        self.message(message, None).await?;
        Ok(())
    }

    async fn expect(&mut self, code: u16) -> Result<()> {
        let reply = self.reply().await?;
        anyhow::ensure!(reply.code == code, "expected {code}, the server says: {}", reply.text);
        Ok(())
    }

    async fn reply(&mut self) -> Result<Reply> {
        loop {
            let mut text = String::new();
            if self.reader.read_line(&mut text).await? == 0 {
                bail!("the server closed the connection");
            }
            if text.as_bytes().get(3) != Some(&b'-') {
                let code = text.get(..3).and_then(|code| code.parse().ok());
                let code = code.with_context(|| format!("no SMTP reply: {text}"))?;
                return Ok(Reply { code, text: text.trim_end().to_owned() });
            }
        }
    }
}
