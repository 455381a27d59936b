//! Answers to requests that never become one: `hyper` refuses what it cannot read by itself, with a status and no body.
//! [`Refusing`] stands between it and the socket and puts the envelope of our errors in place of that answer, so that
//! every error is a JSON object.
//!
//! What `hyper` writes then is recognised by its shape: a head of a 4xx without a type, at the end of what is written. No
//! answer of ours looks like it, but bytes that we serve might end like it; a connection that served such bytes is left
//! alone from then on ([`Told::served`]).

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::Api;
use crate::error::Problem;

/// Bytes of a request's head that are kept for telling what is wrong with it.
const SEEN_BYTES_MAX: usize = 2048;
/// Longest head of a refusal of `hyper`: status line, `content-length`, `connection` and `date`.
const HEAD_BYTES_MAX: usize = 160;
/// Bytes that are read and dropped behind a refusal: a client that is still sending would lose the answer.
const DRAIN_BYTES_MAX: usize = 1024 * 1024;
/// How long.
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// What a connection has to know of the answers that were given on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told(Arc<AtomicBool>);

impl Told {
    /// Takes note of an answer.
    pub(crate) fn served(&self, answer: &Response<Full<Bytes>>) {
        let body = answer.body().clone().into_inner();
        if body.is_some_and(|body| refusal(&body).is_some()) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// A socket on which refusals get a body.
#[derive(Debug)]
pub(crate) struct Refusing<S> {
    socket: S,
    api: Api,
    told: Told,
    /// The first bytes that came since something was written.
    seen: Vec<u8>,
    instead: Option<Instead>,
    drain: Option<(Pin<Box<Sleep>>, usize)>,
}

/// Bytes written in place of others.
#[derive(Debug)]
struct Instead {
    bytes: Vec<u8>,
    written: usize,
    /// Length of what they stand for.
    length: usize,
}

impl<S> Refusing<S> {
    pub(crate) fn new(socket: S, api: Api, told: Told) -> Self {
        Self { socket, api, told, seen: Vec::new(), instead: None, drain: None }
    }
}

impl<S: AsyncWrite + Unpin> Refusing<S> {
    /// Whether what is to be written is, or ends with, a refusal; then its replacement is prepared.
    fn replaces(&mut self, slices: &[&[u8]]) -> bool {
        if self.instead.is_some() {
            return true;
        }
        let Some(last) = slices.iter().rfind(|slice| !slice.is_empty()) else { return false };
        let found = refusal(last).filter(|_| !self.told.0.load(Ordering::Relaxed));
        let Some(Refusal { at, status, date }) = found else {
            self.seen.clear();
            return false;
        };
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        let answer = self.api.refuse(problem(status, &self.seen), date);
        let mut bytes: Vec<u8> = slices.concat();
        bytes.truncate(length - (last.len() - at));
        bytes.extend_from_slice(&answer);
        self.instead = Some(Instead { bytes, written: 0, length });
        true
    }

    fn poll_replace(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        while let Some(instead) = &mut self.instead {
            let left = instead.bytes.get(instead.written..).unwrap_or_default();
            if left.is_empty() {
                let length = instead.length;
                self.instead = None;
                self.drain = Some((Box::pin(tokio::time::sleep(DRAIN_TIME)), 0));
                return Poll::Ready(Ok(length));
            }
            let wrote = ready!(Pin::new(&mut self.socket).poll_write(cx, left))?;
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            instead.written += wrote;
        }
        Poll::Ready(Ok(0))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Refusing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        let room = SEEN_BYTES_MAX.saturating_sub(self.seen.len());
        let new = buffer.filled().get(before..).unwrap_or_default();
        self.seen.extend(new.iter().take(room));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Refusing<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.replaces(&[bytes]) {
            return self.poll_replace(cx);
        }
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let plain: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        if self.replaces(&plain) {
            return self.poll_replace(cx);
        }
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
        let Self { socket, drain, .. } = &mut *self;
        let Some((end, dropped)) = drain else { return Poll::Ready(Ok(())) };
        let mut room = [0; 8192];
        while *dropped < DRAIN_BYTES_MAX && end.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut room);
            match ready!(Pin::new(&mut *socket).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => *dropped += buffer.filled().len(),
                // The client is done, or gone.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// An answer of `hyper`'s own.
#[derive(Debug, PartialEq, Eq)]
struct Refusal<'a> {
    /// Where it begins.
    at: usize,
    status: u16,
    date: Option<&'a str>,
}

/// The refusal that these bytes end with.
fn refusal(bytes: &[u8]) -> Option<Refusal<'_>> {
    let end = bytes.strip_suffix(b"\r\n\r\n")?;
    let tail = end.get(end.len().saturating_sub(HEAD_BYTES_MAX)..)?;
    let at = tail.windows(9).rposition(|window| window == b"HTTP/1.1 " || window == b"HTTP/1.0 ")?;
    let head = std::str::from_utf8(tail.get(at..)?).ok()?;
    let mut lines = head.split("\r\n");
    let status: u16 = lines.next()?.get(9..12)?.parse().ok()?;
    let mut date = None;
    let mut empty = false;
    for line in lines {
        match line.split_once(": ")? {
            ("content-length", "0") => empty = true,
            ("connection", "close") => {}
            ("date", value) => date = Some(value),
            _ => return None,
        }
    }
    let hypers = empty && matches!(status, 400 | 414 | 431);
    hypers.then_some(Refusal { at: end.len() - tail.len() + at, status, date })
}

/// What to say of a request that began with `seen`.
fn problem(status: u16, seen: &[u8]) -> Problem {
    match status {
        414 => Problem::uri_too_long(),
        431 => Problem::headers_too_large(),
        _ => {
            let (what, fix) = wrong(seen);
            Problem::unreadable(what, fix)
        }
    }
}

/// What is wrong with a request's head, and what to do about it.
fn wrong(seen: &[u8]) -> (&'static str, String) {
    let text = String::from_utf8_lossy(seen);
    let mut lines = text.lines().skip_while(|line| line.is_empty());
    let line = lines.next().unwrap_or_default();
    let bad = line.split_once(' ').map(|(_, rest)| refused_characters(rest)).unwrap_or_default();
    if !bad.is_empty() {
        let escapes: Vec<String> = bad.iter().map(|c| format!("`{c}` as %{:02X}", u32::from(*c))).collect();
        return (
            "The URL has characters that URLs cannot have",
            format!(
                "Percent-encode them: {}. With curl: `-G --data-urlencode 'name=value'` for the query.",
                escapes.join(", ")
            ),
        );
    }
    let lengths = || {
        let value = |line: &str| {
            line.split_once(':')
                .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map(|(_, value)| value.trim().to_owned())
        };
        lines.map_while(|line| Some(line).filter(|line| !line.is_empty())).filter_map(value)
    };
    if lengths().count() > 0 {
        return (
            "The request's headers cannot be read",
            "Send one Content-Length with the number of bytes of the body, or none with chunks, and lines of \
             `name: value`."
                .to_owned(),
        );
    }
    (
        "The request cannot be read as HTTP/1.1",
        "Send `METHOD /path HTTP/1.1`, then headers as lines of `name: value`.".to_owned(),
    )
}

/// The characters of a request line's rest, `/path?query HTTP/1.1`, that its URL cannot have, each once.
fn refused_characters(rest: &str) -> Vec<char> {
    let target = rest.rsplit_once(" HTTP/").map_or(rest, |(target, _)| target);
    let mut bad: Vec<char> = Vec::new();
    let mut query = false;
    for c in target.chars() {
        query |= c == '?';
        if !bad.contains(&c) && c.is_ascii() && !accepted(c, query) {
            bad.push(c);
        }
    }
    bad
}

/// Whether a URL may have this character as it is.
fn accepted(c: char, in_query: bool) -> bool {
    let target = if in_query { format!("/?{c}") } else { format!("/{c}") };
    !matches!(c, '"' | '<' | '>') && target.parse::<http::uri::PathAndQuery>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "date: Tue, 24 Nov 2026 20:34:45 GMT";

    #[test]
    fn only_a_head_without_a_type_and_body_at_the_end_is_a_refusal() {
        let head =
            |rest: &str| format!("HTTP/1.1 400 Bad Request\r\n{rest}content-length: 0\r\n{DATE}\r\n\r\n");
        let plain = head("");
        assert_eq!(
            refusal(plain.as_bytes()),
            Some(Refusal { at: 0, status: 400, date: Some("Tue, 24 Nov 2026 20:34:45 GMT") })
        );
        assert_eq!(refusal(format!("before{plain}").as_bytes()).map(|found| found.at), Some(6));
        assert!(refusal(head("connection: close\r\n").as_bytes()).is_some());
        for other in [
            format!("{plain}x"),
            head("content-type: text/html\r\n"),
            head("x-request-id: req_1\r\n"),
            plain.replace("400", "200"),
            plain.replace("content-length: 0\r\n", ""),
            plain.replace("HTTP/1.1", "SMTP/1.1"),
            "\r\n\r\n".to_owned(),
            String::new(),
        ] {
            assert_eq!(refusal(other.as_bytes()), None, "{other:?}");
        }
    }

    #[test]
    fn the_fix_names_what_has_to_be_encoded() {
        for (seen, want) in [
            ("GET /v0/m?labels=[\"unread\"] HTTP/1.1\r\n", "`\"` as %22"),
            ("GET /v0/m/<a@x> HTTP/1.1\r\n", "`<` as %3C, `>` as %3E"),
            ("GET /v0/m?subject=a b HTTP/1.1\r\n", "` ` as %20"),
            ("POST /v0/m HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "Content-Length"),
            ("hello\r\n", "METHOD /path"),
            ("", "METHOD /path"),
        ] {
            let (_, fix) = wrong(seen.as_bytes());
            assert!(fix.contains(want), "{seen:?}: {fix}");
        }
    }
}
