//! Writes a message after `DATA`: CR LF everywhere, dots stuffed (RFC 5321 §4.5.2), the end appended.

use std::borrow::Cow;

use memchr::memchr2;

/// Writes one message in pieces of any size. Lone CR and LF become CR LF.
#[derive(Debug)]
pub struct DotStuffer {
    line_start: bool,
    /// The last byte was a CR: CR LF is written, and an LF that follows belongs to it.
    after_cr: bool,
}

impl Default for DotStuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl DotStuffer {
    /// A writer before the first byte of a message.
    #[must_use]
    pub fn new() -> Self {
        Self { line_start: true, after_cr: false }
    }

    /// Appends the next piece of the message to `out`. It grows by at most twice the input.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        out.reserve(rest.len());
        while let Some((&byte, after)) = rest.split_first() {
            let after_cr = std::mem::take(&mut self.after_cr);
            match byte {
                b'\n' if after_cr => rest = after,
                b'\r' | b'\n' => {
                    out.extend_from_slice(b"\r\n");
                    self.after_cr = byte == b'\r';
                    self.line_start = true;
                    rest = after;
                }
                _ => {
                    if self.line_start && byte == b'.' {
                        out.push(b'.');
                    }
                    let end = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                    let (line, tail) = rest.split_at(end);
                    out.extend_from_slice(line);
                    self.line_start = false;
                    rest = tail;
                }
            }
        }
    }

    /// Appends the end of the message, and CR LF before it if the last line has none.
    pub fn finish(self, out: &mut Vec<u8>) {
        if !self.line_start {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }
}

/// The message as [`DotStuffer`] transmits it, before stuffing: sign this, or the signature breaks.
/// A message that needs no change is borrowed.
#[must_use]
pub fn normalize_line_ends(message: &[u8]) -> Cow<'_, [u8]> {
    if is_normal(message) {
        return Cow::Borrowed(message);
    }
    let mut out = Vec::with_capacity(message.len() + message.len() / 16 + 2);
    let mut rest = message;
    while let Some(at) = memchr2(b'\r', b'\n', rest) {
        let (line, tail) = rest.split_at(at);
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
        rest = tail.strip_prefix(b"\r\n").or_else(|| tail.get(1..)).unwrap_or_default();
    }
    if !rest.is_empty() {
        out.extend_from_slice(rest);
        out.extend_from_slice(b"\r\n");
    }
    Cow::Owned(out)
}

fn is_normal(message: &[u8]) -> bool {
    let mut rest = message;
    while let Some(at) = memchr2(b'\r', b'\n', rest) {
        let Some(after) = rest.get(at..).and_then(|tail| tail.strip_prefix(b"\r\n")) else { return false };
        rest = after;
    }
    rest.is_empty()
}
