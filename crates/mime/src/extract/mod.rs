//! Reply extraction: what the author newly wrote, without the quoted conversation and without footers.
//!
//! Runs once, when a message is stored. [`extract_text`] and [`extract_html`] are pure and total: any input gives
//! an answer, in time linear in the input, and no quote signal is looked for beyond `SCAN_MAX_BYTES` of visible
//! text. They only ever leave things out; no character is invented.

mod flatten;
mod html;
mod signals;
mod text;

#[cfg(test)]
mod tests;

pub(crate) use flatten::{Flat, Tag, find_ignore_case};
pub use html::extract_html;
pub use text::extract_text;

/// How much visible text is searched for signals. The new text of a mail stands at its top, and a megabyte of it
/// is a book: what follows is kept or dropped with the rest, but not examined.
pub(crate) const SCAN_MAX_BYTES: usize = 1 << 20;

/// The longest prefix of at most `max_bytes` bytes that ends at a character boundary.
pub(crate) fn clip(text: &str, max_bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(max_bytes)).unwrap_or_default()
}

/// The first `max_chars` characters.
pub(crate) fn clip_chars(text: &str, max_chars: usize) -> &str {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => clip(text, end),
        None => text,
    }
}

/// White space and the invisible marks that mail clients put around right-to-left and pasted text.
pub(crate) fn is_blank(character: char) -> bool {
    character.is_whitespace()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
