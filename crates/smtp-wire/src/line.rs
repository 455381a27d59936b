//! Cuts the bytes that a client sends into command lines, with a bound on their length.

use memchr::memchr;

/// Longest command line, with its CR LF. RFC 5321 §4.5.3.1.4 asks for 512 and lets extensions add more.
pub const COMMAND_LINE_MAX_BYTES: usize = 2_048;

/// What is wrong with a line as such. The line has been consumed; the next one can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Longer than [`COMMAND_LINE_MAX_BYTES`].
    #[error("the line is too long")]
    TooLong,
    /// Ended with LF alone. RFC 5321 §2.3.8 forbids to take that for the end of a line; the line is
    /// refused as a whole, so that both sides stay in step.
    #[error("the line does not end with CR LF")]
    BareLineFeed,
}

/// The outcome of [`LineSplitter::next_line`].
#[derive(Debug, PartialEq, Eq)]
pub struct Split<'a> {
    /// How many bytes of the input are done with, also when there is no line yet.
    pub consumed: usize,
    /// The line without its CR LF, if one is complete.
    pub line: Option<Result<&'a [u8], LineError>>,
}

/// Finds command lines at the front of a buffer. It holds no bytes: what it has not consumed has to be
/// offered again with more behind it, which is never more than [`COMMAND_LINE_MAX_BYTES`].
#[derive(Debug, Default)]
pub struct LineSplitter {
    /// Inside a line that is too long: its bytes go until its end is seen.
    skipping: bool,
}

impl LineSplitter {
    /// A splitter at the start of a line.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks for one line at the front of `buffer`.
    pub fn next_line<'a>(&mut self, buffer: &'a [u8]) -> Split<'a> {
        let Some(end) = memchr(b'\n', buffer) else {
            if self.skipping || buffer.len() >= COMMAND_LINE_MAX_BYTES {
                self.skipping = true;
                return Split { consumed: buffer.len(), line: None };
            }
            return Split { consumed: 0, line: None };
        };
        let consumed = end + 1;
        let before = buffer.get(..end).unwrap_or_default();
        let line = if self.skipping || consumed > COMMAND_LINE_MAX_BYTES {
            Err(LineError::TooLong)
        } else {
            before.strip_suffix(b"\r").ok_or(LineError::BareLineFeed)
        };
        self.skipping = false;
        Split { consumed, line: Some(line) }
    }
}
