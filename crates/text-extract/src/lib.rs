//! Plain text out of files: what `text_url` of an attachment leads to.
//!
//! Pure: bytes in, text out. The parsers behind it are other people's and meet hostile files: they may panic, recurse
//! deeply or take long. The bounds here (input, decompressed bytes, characters, cells, pages) keep honest work small;
//! whoever runs [`extract`] on strangers' bytes does so in a process of its own with limits on memory and time.

mod detect;
mod doc;
mod docx;
mod pdf;
mod plain;
mod xlsx;

pub use detect::{Kind, detect, worth_a_look};

/// Larger files are skipped.
pub const INPUT_BYTES_MAX: u64 = 10 * 1024 * 1024;
/// Characters of a text; what follows is cut off.
pub const TEXT_CHARS_MAX: usize = 250_000;
/// Decompressed bytes of one member of a zip container that are read.
const MEMBER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The text of a file of that kind, at most [`TEXT_CHARS_MAX`] characters; `None` when it has none or cannot be read.
///
/// `charset` is what the sender says about the encoding of a text; ignored for kinds that know their own.
#[must_use]
pub fn extract(kind: Kind, charset: Option<&str>, bytes: &[u8]) -> Option<String> {
    if u64::try_from(bytes.len()).ok()? > INPUT_BYTES_MAX {
        return None;
    }
    let text = match kind {
        Kind::Pdf => pdf::text(bytes),
        Kind::Docx => docx::text(bytes),
        Kind::Doc => doc::text(bytes),
        Kind::Xlsx => xlsx::text(bytes),
        Kind::Html => plain::html(charset, bytes),
        Kind::Text => plain::text(charset, bytes),
    }?;
    finish(&text)
}

/// Cuts, and drops what no text has; `None` when nothing is left to read.
fn finish(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|&c| c != '\0').take(TEXT_CHARS_MAX).collect();
    (!text.trim().is_empty()).then_some(text)
}

/// Text that is being collected, up to the bound.
#[derive(Debug, Default)]
struct Collected {
    text: String,
    chars: usize,
}

impl Collected {
    /// Adds; `false` when the bound is reached and more is in vain.
    fn push(&mut self, more: &str) -> bool {
        let left = TEXT_CHARS_MAX.saturating_sub(self.chars);
        for c in more.chars().take(left) {
            self.text.push(c);
            self.chars += 1;
        }
        self.chars < TEXT_CHARS_MAX
    }
}

#[cfg(test)]
mod tests;
