//! Replies (RFC 5321 §4.2): written by a server, parsed by a client.

use memchr::memchr;

/// Most lines of one reply that a client takes.
pub const REPLY_LINES_MAX: usize = 100;
/// Longest line of a reply that a client takes, with its line end.
pub const REPLY_LINE_MAX_BYTES: usize = 2_048;
/// Longest text of a line that a server writes: 512 bytes (RFC 5321 §4.5.3.1.5) less codes and CR LF.
const TEXT_MAX_BYTES: usize = 490;

/// Appends one reply. Line feeds in `text` begin further lines, long lines are broken, and what is not
/// printable ASCII becomes `?`, so that text of strangers cannot forge replies.
pub fn write_reply(out: &mut Vec<u8>, code: u16, enhanced: &str, text: &str) {
    let lines = text.split('\n').flat_map(|line| {
        let bytes = line.as_bytes();
        let empty = bytes.is_empty().then_some(bytes);
        bytes.chunks(TEXT_MAX_BYTES).chain(empty)
    });
    write(out, code, enhanced, lines);
}

/// Appends one reply without enhanced code, a line for each of `lines`: the greeting and the answers to
/// `EHLO` and `HELO` (RFC 2034 §4).
pub fn write_lines(out: &mut Vec<u8>, code: u16, lines: &[&str]) {
    write(out, code, "", lines.iter().map(|line| line.as_bytes()));
}

fn write<'a>(out: &mut Vec<u8>, code: u16, enhanced: &str, lines: impl Iterator<Item = &'a [u8]>) {
    let mut lines = lines.peekable();
    let digits = [100, 10, 1].map(|unit| b'0' + u8::try_from(code / unit % 10).unwrap_or_default());
    while let Some(line) = lines.next() {
        out.extend_from_slice(&digits);
        out.push(if lines.peek().is_some() { b'-' } else { b' ' });
        if !enhanced.is_empty() {
            out.extend_from_slice(enhanced.as_bytes());
            out.push(b' ');
        }
        out.extend(line.iter().map(|&byte| if matches!(byte, b' '..=b'~') { byte } else { b'?' }));
        out.extend_from_slice(b"\r\n");
    }
}

/// `class.subject.detail` (RFC 3463).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnhancedCode {
    /// 2, 4 or 5
    pub class: u8,
    /// What the code is about, at most three digits
    pub subject: u16,
    /// What happened, at most three digits
    pub detail: u16,
}

impl EnhancedCode {
    /// The code at the front of a reply's text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let word = text.split(' ').next()?;
        let mut parts = word.split('.');
        let mut number = |digits_max: usize| {
            let part = parts.next()?;
            let fine = part.len() <= digits_max && part.bytes().all(|byte| byte.is_ascii_digit());
            if fine { part.parse::<u16>().ok() } else { None }
        };
        let (class, subject, detail) = (number(1)?, number(3)?, number(3)?);
        let class = u8::try_from(class).ok().filter(|class| matches!(class, 2 | 4 | 5))?;
        parts.next().is_none().then_some(Self { class, subject, detail })
    }
}

impl std::fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// A complete reply of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599, of the last line: that is the one servers mean when they differ.
    pub code: u16,
    /// The enhanced code of the first line, if its class is that of `code`.
    pub enhanced: Option<EnhancedCode>,
    /// Text of the lines, without the code and with the enhanced code; at least one, at most
    /// [`REPLY_LINES_MAX`]. Bytes that are not UTF-8 are replaced.
    pub lines: Vec<String>,
}

impl Reply {
    /// 2xx
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 3xx
    #[must_use]
    pub fn is_intermediate(&self) -> bool {
        self.code / 100 == 3
    }

    /// 4xx: try again later
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// 5xx: do not try again
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// The text in one line.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }
}

/// Why the bytes of a server are no reply. The connection is of no use afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A line does not begin with a code from 200 to 599, or something odd follows the code.
    #[error("the server sent a line that is no reply")]
    Syntax,
    /// A line is longer than [`REPLY_LINE_MAX_BYTES`].
    #[error("the server sent a line that is too long")]
    LineTooLong,
    /// More lines than [`REPLY_LINES_MAX`].
    #[error("the server sent a reply of too many lines")]
    TooManyLines,
}

/// Parses replies from pieces of any size. It holds at most one reply, within the two bounds.
#[derive(Debug, Default)]
pub struct ReplyParser {
    partial: Vec<u8>,
    lines: Vec<String>,
}

impl ReplyParser {
    /// A parser before the first byte of a reply.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the front of `input`. Returns how much it consumed, and a reply when one is complete; what
    /// follows belongs to the next reply. Lines may end with LF alone: there is nothing to smuggle.
    ///
    /// # Errors
    /// A [`ReplyError`] when this is not SMTP.
    pub fn feed(&mut self, input: &[u8]) -> Result<(usize, Option<Reply>), ReplyError> {
        let mut rest = input;
        while !rest.is_empty() {
            let end = memchr(b'\n', rest).map(|at| at + 1);
            let (piece, tail) = rest.split_at(end.unwrap_or(rest.len()));
            if self.partial.len() + piece.len() > REPLY_LINE_MAX_BYTES {
                return Err(ReplyError::LineTooLong);
            }
            self.partial.extend_from_slice(piece);
            rest = tail;
            if end.is_some() {
                let line = std::mem::take(&mut self.partial);
                if let Some(reply) = self.line(&line)? {
                    return Ok((input.len() - rest.len(), Some(reply)));
                }
            }
        }
        Ok((input.len(), None))
    }

    fn line(&mut self, line: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (code, after) = line.split_at_checked(3).ok_or(ReplyError::Syntax)?;
        let code = std::str::from_utf8(code)
            .ok()
            .filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|code| code.parse::<u16>().ok())
            .filter(|code| (200..600).contains(code))
            .ok_or(ReplyError::Syntax)?;
        let (more, text) = match after.split_first() {
            None => (false, after),
            Some((b' ', text)) => (false, text),
            Some((b'-', text)) => (true, text),
            Some(_) => return Err(ReplyError::Syntax),
        };
        if self.lines.len() == REPLY_LINES_MAX {
            return Err(ReplyError::TooManyLines);
        }
        self.lines.push(String::from_utf8_lossy(text).into_owned());
        if more {
            return Ok(None);
        }
        let lines = std::mem::take(&mut self.lines);
        let enhanced = lines
            .first()
            .and_then(|text| EnhancedCode::parse(text))
            .filter(|enhanced| u16::from(enhanced.class) == code / 100);
        Ok(Some(Reply { code, enhanced, lines }))
    }
}
