//! A small HTTP/1.1 client: one keep-alive connection, bodies with a length.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Largest answer that is read, in bytes.
const BODY_MAX: usize = 64 * 1024 * 1024;

/// A client of one server with one key.
#[derive(Debug)]
pub struct Client {
    address: String,
    key: String,
    connection: Option<BufReader<TcpStream>>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body as sent.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; an error unless the status is 2xx.
    pub fn json(&self) -> Result<Value> {
        let text = String::from_utf8_lossy(&self.body);
        anyhow::ensure!((200..300).contains(&self.status), "HTTP {}: {text}", self.status);
        serde_json::from_slice(&self.body).with_context(|| format!("no JSON: {text}"))
    }
}

impl Client {
    /// Connects with the first request.
    pub fn new(address: &str, key: &str) -> Self {
        Self { address: address.to_owned(), key: key.to_owned(), connection: None }
    }

    /// A GET whose answer is JSON.
    pub async fn get(&mut self, path: &str) -> Result<Value> {
        self.request("GET", path, "", None).await?.json()
    }

    /// A request with a JSON body whose answer is JSON.
    pub async fn send(&mut self, method: &str, path: &str, body: &Value) -> Result<Value> {
        self.request(method, path, "", Some(body)).await?.json()
    }

    /// Any request. `headers` are further header lines, each with its CRLF. Never repeats a request by itself; after an
    /// error the next request opens a connection.
    pub async fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let stream =
                    TcpStream::connect(&self.address).await.context("cannot connect to the HTTP address")?;
                stream.set_nodelay(true)?;
                BufReader::new(stream)
            }
        };
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n{headers}content-length: {}\r\n\r\n{body}",
            self.address,
            self.key,
            body.len()
        );
        connection.write_all(request.as_bytes()).await?;
        let (answer, keep) = read_answer(&mut connection).await?;
        if keep {
            self.connection = Some(connection);
        }
        Ok(answer)
    }
}

async fn read_answer(connection: &mut BufReader<TcpStream>) -> Result<(Answer, bool)> {
    let mut line = String::new();
    if connection.read_line(&mut line).await? == 0 {
        bail!("the server closed the connection");
    }
    let status = line.split_ascii_whitespace().nth(1).and_then(|code| code.parse().ok());
    let status = status.with_context(|| format!("no HTTP status line: {line}"))?;
    let (mut length, mut keep) = (None, true);
    loop {
        line.clear();
        anyhow::ensure!(connection.read_line(&mut line).await? > 0, "the answer ends within its head");
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse::<usize>()?);
        } else if name.eq_ignore_ascii_case("connection") {
            keep = !value.trim().eq_ignore_ascii_case("close");
        }
    }
    let length = if status == 204 { 0 } else { length.context("an answer without content-length")? };
    anyhow::ensure!(length <= BODY_MAX, "an answer of {length} bytes");
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await?;
    Ok((Answer { status, body }, keep))
}

/// Escapes what may not stand in a path segment.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
