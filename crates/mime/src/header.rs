//! The header block of a message or a part: finding its fields, and decoding the values.
//!
//! Splitting is linear and keeps raw bytes; a value is decoded only when somebody wants it.

use std::{borrow::Cow, cell::Cell};

use crate::{Mailbox, address, words};

/// Most fields of one header block that are looked at.
const MAX_FIELDS: usize = 1_000;
/// Longest value in bytes that is looked at; what follows is only in the raw message.
const MAX_VALUE: usize = 256 * 1024;
/// Work allowed for encoded words of one header block, as bytes times `=?` marks: each mark may scan the rest of its value.
const MAX_DECODE_WORK: usize = 64_000_000;

/// One field as received.
#[derive(Debug)]
pub(crate) struct Field<'x> {
    /// Name as received: ASCII without white space.
    pub(crate) name: &'x str,
    /// Everything after the colon with its folding; ends with a line feed.
    pub(crate) value: Cow<'x, [u8]>,
}

/// The fields of a header block and where the body begins.
#[derive(Debug)]
pub(crate) struct Header<'x> {
    pub(crate) fields: Vec<Field<'x>>,
    /// Offset of the first byte below the header.
    pub(crate) body: usize,
    work: Cell<usize>,
}

/// End of the line that begins at `start`, after its line feed.
pub(crate) fn line_end(raw: &[u8], start: usize) -> usize {
    let rest = raw.get(start..).unwrap_or_default();
    rest.iter().position(|&b| b == b'\n').map_or(raw.len(), |at| start + at + 1)
}

/// Splits the header block that begins at `start`. `in_part`: a line that begins with `--` ends it, since part headers may be
/// cut short by a boundary.
pub(crate) fn split(raw: &[u8], start: usize, in_part: bool) -> Header<'_> {
    let mut fields = Vec::new();
    let mut at = start;
    while at < raw.len() {
        let first_end = line_end(raw, at);
        let line = raw.get(at..first_end).unwrap_or_default();
        if matches!(line, b"\n" | b"\r\n") {
            at = first_end;
            break;
        }
        if in_part && line.starts_with(b"--") {
            break;
        }
        let colon = field_name(line);
        // The mark of a mailbox file at the very beginning, or a line that is no field among those that are.
        let is_envelope = line.starts_with(b"From ") || line.starts_with(b">From ");
        let skipped = if fields.is_empty() { is_envelope } else { is_plain_field(raw, first_end) };
        if colon.is_none() && !skipped {
            break;
        }
        let mut end = first_end;
        while matches!(raw.get(end), Some(b' ' | b'\t')) {
            end = line_end(raw, end);
        }
        if let Some(colon) = colon
            && fields.len() < MAX_FIELDS
        {
            let name = line.get(..colon).unwrap_or_default().trim_ascii_end();
            let value_end = end.min((at + colon + 1).saturating_add(MAX_VALUE));
            let value = raw.get(at + colon + 1..value_end).unwrap_or_default();
            // A name with odd bytes is nobody's field, but it does not end the header.
            if let Some(name) =
                std::str::from_utf8(name).ok().filter(|name| name.bytes().all(|b| b.is_ascii_graphic()))
            {
                fields.push(Field { name, value: terminated(value) });
            }
        }
        at = end;
    }
    Header { fields, body: at, work: Cell::new(MAX_DECODE_WORK) }
}

/// Position of the colon when the line looks like a field: a name without white space, perhaps white space, a colon.
fn field_name(line: &[u8]) -> Option<usize> {
    let colon = line.iter().position(|&b| b == b':')?;
    let name = line.get(..colon)?.trim_ascii_end();
    (!name.is_empty() && !name.iter().any(|b| b.is_ascii_whitespace())).then_some(colon)
}

/// Whether the line that begins at `at` is a field of a usual name.
fn is_plain_field(raw: &[u8], at: usize) -> bool {
    let line = raw.get(at..line_end(raw, at)).unwrap_or_default();
    let name = field_name(line).and_then(|colon| line.get(..colon)).unwrap_or_default();
    !name.is_empty() && name.contains(&b'-') && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        || ["from", "to", "cc", "subject", "date"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// The parsers want a line feed at the end.
fn terminated(value: &[u8]) -> Cow<'_, [u8]> {
    if value.ends_with(b"\n") {
        Cow::Borrowed(value)
    } else {
        let mut owned = value.to_vec();
        owned.push(b'\n');
        Cow::Owned(owned)
    }
}

impl<'x> Header<'x> {
    /// All fields of that name in order.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a Field<'x>> {
        self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name))
    }

    /// The last field of that name: signatures cover repeated fields from below.
    pub(crate) fn last<'a>(&'a self, name: &'a str) -> Option<&'a Field<'x>> {
        self.all(name).next_back()
    }

    /// Decoded text of a field; `None` when empty.
    pub(crate) fn text(&self, field: &Field<'x>) -> Option<String> {
        // NUL can be stored nowhere and means nothing.
        let text = words::decoded(&field.value).replace('\0', "");
        // No word can fake a line.
        let odd = |c: char| c.is_control() && c != '\t';
        let text = if text.contains(odd) { address::clean(&text) } else { text.trim().to_owned() };
        Some(text).filter(|text| !text.is_empty())
    }

    /// Mailboxes of all fields of that name.
    pub(crate) fn mailboxes(&self, name: &str) -> Vec<Mailbox> {
        self.all(name)
            .filter(|field| self.may_decode(&field.value))
            .flat_map(|field| address::received(&field.value))
            .collect()
    }

    /// The first mailbox of the last field of that name, one with an address if there is any: a comma in a name that is not
    /// quoted parts it.
    pub(crate) fn mailbox(&self, name: &str) -> Option<Mailbox> {
        let field = self.last(name).filter(|field| self.may_decode(&field.value))?;
        let all = address::received(&field.value);
        let whole = all.iter().position(|mailbox| mailbox.address.contains('@'));
        all.into_iter().nth(whole.unwrap_or(0))
    }

    /// Takes the cost of decoding this value from the block's allowance.
    fn may_decode(&self, value: &[u8]) -> bool {
        let marks = value.windows(2).filter(|pair| pair == b"=?").count();
        let cost = marks.saturating_mul(value.len());
        let left = self.work.get();
        let allowed = cost <= left;
        if allowed {
            self.work.set(left - cost);
        }
        allowed
    }
}

/// The value as text without decoding: line breaks of folding and NUL removed, trimmed.
pub(crate) fn unfolded(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.chars().filter(|c| !matches!(c, '\r' | '\n' | '\0')).collect::<String>().trim().to_owned()
}

/// Decoded text of a single value that is in no block, for example of an inner message.
pub(crate) fn subject_of(raw: &[u8]) -> Option<String> {
    let header = split(raw, 0, false);
    header.last("Subject").and_then(|field| header.text(field))
}
