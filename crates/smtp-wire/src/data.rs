//! Reads the message that follows `DATA`, up to the line with the single dot.
//!
//! Invariants: only CR LF `.` CR LF ends a message; a dot is removed only at the start of a line that CR LF
//! began (RFC 5321 §4.5.2); lone CR and LF are content and stay as they are; at most `max_bytes` are stored.

use memchr::memmem::Finder;

/// Where the reader stands between two bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// After CR LF, or before the first byte.
    LineStart,
    /// After a dot at the start of a line. The dot is not stored: it goes whatever comes next.
    Dot,
    /// After that dot and a CR, which is not stored yet.
    DotCr,
    /// Inside a line.
    Text,
    /// Inside a line, after a CR that is stored.
    Cr,
    /// The end has been seen.
    Done,
}

/// What one call of [`DataReader::feed`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataProgress {
    /// Bytes of the input that belong to the message and its end. What follows is the next command.
    pub consumed: usize,
    /// The end of the message has been seen.
    pub done: bool,
}

/// Reads one message in pieces of any size.
#[derive(Debug)]
pub struct DataReader {
    state: State,
    content: Vec<u8>,
    seen_bytes: u64,
    max_bytes: usize,
    keep: bool,
    /// Built once per message: a search for the start of a line that begins with a dot.
    dotted_line: Finder<'static>,
}

impl DataReader {
    /// A reader that stores at most `max_bytes` of content and starts with room for
    /// `expected_bytes`, which the caller bounds.
    #[must_use]
    pub fn new(max_bytes: usize, expected_bytes: usize) -> Self {
        Self {
            state: State::LineStart,
            content: Vec::with_capacity(expected_bytes.min(max_bytes)),
            seen_bytes: 0,
            max_bytes,
            keep: true,
            dotted_line: Finder::new(b"\r\n."),
        }
    }

    /// Reads the front of `input`. After the end it consumes nothing.
    pub fn feed(&mut self, input: &[u8]) -> DataProgress {
        let mut rest = input;
        while self.state != State::Done {
            let Some((&byte, after)) = rest.split_first() else { break };
            match self.state {
                State::LineStart if byte == b'.' => {
                    self.state = State::Dot;
                    rest = after;
                }
                State::Dot if byte == b'\r' => {
                    self.state = State::DotCr;
                    rest = after;
                }
                State::DotCr if byte == b'\n' => {
                    self.state = State::Done;
                    rest = after;
                }
                State::DotCr => {
                    self.store(b"\r");
                    self.state = State::Cr;
                }
                State::Cr if byte == b'\n' => {
                    self.store(b"\n");
                    self.state = State::LineStart;
                    rest = after;
                }
                State::LineStart | State::Dot | State::Cr | State::Text => rest = self.text(rest),
                State::Done => {}
            }
        }
        DataProgress { consumed: input.len() - rest.len(), done: self.state == State::Done }
    }

    /// Stores `input` up to the next line that begins with a dot, and returns what follows that dot.
    /// One search and one copy for any number of lines.
    fn text<'a>(&mut self, input: &'a [u8]) -> &'a [u8] {
        const PREFIX: usize = 2; // CR LF stay, the dot goes
        if let Some(at) = self.dotted_line.find(input) {
            let (stored, dot) = input.split_at(at + PREFIX);
            self.store(stored);
            self.state = State::Dot;
            return dot.get(1..).unwrap_or_default();
        }
        self.store(input);
        self.state = if input.ends_with(b"\r\n") {
            State::LineStart
        } else if input.ends_with(b"\r") {
            State::Cr
        } else {
            State::Text
        };
        &[]
    }

    fn store(&mut self, bytes: &[u8]) {
        self.seen_bytes = self.seen_bytes.saturating_add(bytes.len() as u64);
        if self.keep && bytes.len() <= self.max_bytes - self.content.len() {
            self.content.extend_from_slice(bytes);
        } else {
            self.discard();
        }
    }

    /// Frees what is stored and stores no more; the end is still looked for.
    pub fn discard(&mut self) {
        self.keep = false;
        self.content = Vec::new();
    }

    /// Content bytes so far, stored or not, without stuffed dots and without the end.
    #[must_use]
    pub fn seen_bytes(&self) -> u64 {
        self.seen_bytes
    }

    /// Bytes of memory that hold content.
    #[must_use]
    pub fn stored_bytes(&self) -> usize {
        self.content.len()
    }

    /// More content than `max_bytes` has come.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.seen_bytes > self.max_bytes as u64
    }

    /// The content, or `None` when it was too large or discarded.
    #[must_use]
    pub fn into_content(self) -> Option<Vec<u8>> {
        self.keep.then_some(self.content)
    }
}
