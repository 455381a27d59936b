//! Reading a received message: one pass over the structure gives everything the platform stores about it.

use std::{borrow::Cow, collections::HashMap, fmt};

use mail_parser::{HeaderValue, parsers::MessageStream};

use crate::{
    Mailbox,
    decode::{self, Encoding},
    flowed,
    header::{self, Field, Header},
    ids,
    names::clean_filename,
    structure::{self, Leaf},
};

/// Characters of a preview.
const PREVIEW_CHARS: usize = 200;
/// Bytes of an inner message that are searched for its subject.
const MAX_INNER_HEADER: usize = 64 * 1024;
/// Years that a Date header may name; anything else is unreadable.
const YEARS: std::ops::RangeInclusive<u16> = 1970..=9999;

/// What a received message says. Strings hold no NUL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parsed {
    /// With angle brackets, otherwise as on the wire: not checked for being usable.
    pub message_id: Option<String>,
    /// First mailbox of the last From header.
    pub from: Option<Mailbox>,
    /// Reply-To.
    pub reply_to: Vec<Mailbox>,
    /// To, groups flattened.
    pub to: Vec<Mailbox>,
    /// Cc.
    pub cc: Vec<Mailbox>,
    /// Bcc, which a received mail should not have.
    pub bcc: Vec<Mailbox>,
    /// Decoded and unfolded, without white space around it.
    pub subject: Option<String>,
    /// Date header in Unix seconds.
    pub date: Option<i64>,
    /// Ids in brackets.
    pub in_reply_to: Vec<String>,
    /// Ids in brackets, in order.
    pub references: Vec<String>,
    /// Headers not represented otherwise: name as received, decoded value; repeated ones joined by line feeds.
    pub headers: Vec<(String, String)>,
    /// The text/plain parts joined, with LF line ends.
    pub text: Option<String>,
    /// The text/html parts joined, not sanitised.
    pub html: Option<String>,
    /// In the order of the structure.
    pub attachments: Vec<Part>,
    /// How many Received headers there are; many mean a loop.
    pub received_count: usize,
    /// Whether a program sent it on its own (RFC 3834): Auto-Submitted other than `no`.
    pub auto_submitted: bool,
    /// Whether the message is a single body whose last line end belongs to the transport rather than to the text: true of
    /// what [`crate::build`] makes of one body. Whoever built the message may take that line end off the body again.
    pub last_line_end_added: bool,
}

/// An attachment of a received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Number for [`part_bytes`]; the same for the same message bytes.
    pub index: u32,
    /// Decoded, fit for [`clean_filename`].
    pub filename: Option<String>,
    /// `type/subtype` in lower case.
    pub content_type: Option<String>,
    /// The whole Content-Type with its parameters, for passing the part on.
    pub declared_type: Option<String>,
    /// How the sender wants it shown.
    pub disposition: Disposition,
    /// Without angle brackets.
    pub content_id: Option<String>,
    /// Decoded bytes.
    pub size: u64,
}

/// Content-Disposition (RFC 2183).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// Shown within the message.
    Inline,
    /// Offered as a file.
    Attachment,
}

impl Disposition {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Attachment => "attachment",
        }
    }
}

impl fmt::Display for Disposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads a message. Total: whatever the bytes are, something comes back; a mail without a header is all text.
#[must_use]
pub fn parse(raw: &[u8]) -> Parsed {
    let (header, leaves) = structure::walk(raw);
    let mut out = Parsed {
        message_id: header.last("Message-ID").and_then(|field| ids::own(&header::unfolded(&field.value))),
        from: header.mailbox("From"),
        reply_to: header.mailboxes("Reply-To"),
        to: header.mailboxes("To"),
        cc: header.mailboxes("Cc"),
        bcc: header.mailboxes("Bcc"),
        subject: header.last("Subject").and_then(|field| header.text(field)),
        date: header.last("Date").and_then(|field| date(&field.value)),
        in_reply_to: id_list(&header, "In-Reply-To", true),
        references: id_list(&header, "References", false),
        headers: visible(&header),
        received_count: header.all("Received").count(),
        auto_submitted: header.last("Auto-Submitted").is_some_and(|field| auto_submitted(field)),
        ..Parsed::default()
    };
    if let ([leaf], false) = (leaves.as_slice(), is_multipart(&header)) {
        // Line ends are no content of Base64.
        out.last_line_end_added = leaf.content.encoding != Encoding::Base64;
    }
    for (index, leaf) in leaves.iter().enumerate() {
        match body_kind(leaf) {
            Some(BodyKind::Text) => join(&mut out.text, body(leaf)),
            Some(BodyKind::Html) => join(&mut out.html, body(leaf)),
            None => out.attachments.extend(u32::try_from(index).ok().map(|index| attachment(index, leaf))),
        }
    }
    out.text = out.text.filter(|text| !text.is_empty());
    out.html = out.html.filter(|html| !html.is_empty());
    out
}

fn is_multipart(header: &Header<'_>) -> bool {
    header.last("Content-Type").is_some_and(|field| {
        header::unfolded(&field.value).trim_start().to_ascii_lowercase().starts_with("multipart/")
    })
}

/// Decoded bytes of the part with that [`Part::index`]; `None` when the message has no such part.
#[must_use]
pub fn part_bytes(raw: &[u8], index: u32) -> Option<Vec<u8>> {
    let (_, leaves) = structure::walk(raw);
    let leaf = leaves.get(usize::try_from(index).ok()?)?;
    Some(decode::bytes(leaf.content.encoding, leaf.body).into_owned())
}

/// The character set that the part with that [`Part::index`] names for itself.
#[must_use]
pub fn part_charset(raw: &[u8], index: u32) -> Option<String> {
    let (_, leaves) = structure::walk(raw);
    leaves.get(usize::try_from(index).ok()?)?.content.charset.clone()
}

/// The first 200 characters of a text body, without white space around it; `None` when nothing is left.
#[must_use]
pub fn preview(text: &str) -> Option<String> {
    let start: String = text.trim_start().chars().take(PREVIEW_CHARS).collect();
    let start = start.trim_end().to_owned();
    (!start.is_empty()).then_some(start)
}

enum BodyKind {
    Text,
    Html,
}

/// Whether the leaf is a body: text/plain or text/html, no attachment, no file name, and not what an HTML part refers to.
fn body_kind(leaf: &Leaf<'_>) -> Option<BodyKind> {
    let content = &leaf.content;
    let named = content.filename.is_some() || content.disposition.as_deref() == Some("attachment");
    if named || leaf.related && content.content_id.is_some() {
        return None;
    }
    match content.mime_type.as_deref() {
        Some("text/html") => Some(BodyKind::Html),
        Some("text/plain") => Some(BodyKind::Text),
        None if leaf.default_type == "text/plain" => Some(BodyKind::Text),
        // A container without a boundary cannot be opened; its content is readable at least.
        Some(kind) if kind.starts_with("multipart/") && content.boundary.is_none() => Some(BodyKind::Text),
        _ => None,
    }
}

fn body(leaf: &Leaf<'_>) -> String {
    let content = &leaf.content;
    let html = content.mime_type.as_deref() == Some("text/html");
    let text = decode::text(content.encoding, content.charset.as_deref(), leaf.body, html);
    if content.flowed && content.mime_type.as_deref() == Some("text/plain") {
        flowed::unflow(&text, content.delsp)
    } else {
        text
    }
}

fn join(all: &mut Option<String>, next: String) {
    match all {
        Some(all) if !all.is_empty() => {
            all.push('\n');
            all.push_str(&next);
        }
        _ => *all = Some(next),
    }
}

fn attachment(index: u32, leaf: &Leaf<'_>) -> Part {
    let content = &leaf.content;
    let content_type = content
        .mime_type
        .clone()
        .or_else(|| (leaf.default_type != "text/plain").then(|| leaf.default_type.to_owned()));
    let is_image = content_type.as_deref().is_some_and(|mime| mime.starts_with("image/"));
    let disposition = match content.disposition.as_deref() {
        Some("inline") => Disposition::Inline,
        None if content.content_id.is_some() && (is_image || leaf.related) => Disposition::Inline,
        Some(_) | None => Disposition::Attachment,
    };
    let filename = content.filename.as_deref().map(clean_filename).filter(|name| !name.trim().is_empty());
    let filename = match content_type.as_deref() {
        Some("message/rfc822" | "message/global") => filename.or_else(|| inner_subject(leaf)),
        _ => filename,
    };
    Part {
        index,
        filename,
        content_type,
        declared_type: content.declared.clone(),
        disposition,
        content_id: content.content_id.clone(),
        size: decode::decoded_len(content.encoding, leaf.body),
    }
}

/// File name of an attached message: its subject and `.eml`.
fn inner_subject(leaf: &Leaf<'_>) -> Option<String> {
    let start = leaf.body.get(..leaf.body.len().min(MAX_INNER_HEADER)).unwrap_or_default();
    let inner = match leaf.content.encoding {
        Encoding::Identity => Cow::Borrowed(start),
        Encoding::Base64 | Encoding::QuotedPrintable => decode::bytes(leaf.content.encoding, start),
    };
    header::subject_of(&inner).map(|subject| clean_filename(&format!("{subject}.eml")))
}

/// Unix seconds of a Date value.
fn date(value: &[u8]) -> Option<i64> {
    let HeaderValue::DateTime(date) = MessageStream::new(value).parse_date() else {
        return None;
    };
    (date.is_valid() && YEARS.contains(&date.year)).then(|| date.to_timestamp())
}

fn id_list(header: &Header<'_>, name: &str, strict: bool) -> Vec<String> {
    let mut out = Vec::new();
    for field in header.all(name) {
        ids::list(&header::unfolded(&field.value), strict, &mut out);
    }
    out
}

fn auto_submitted(field: &Field<'_>) -> bool {
    let value = header::unfolded(&field.value);
    let word = value.split([';', ' ', '\t', '(']).next().unwrap_or_default();
    !word.is_empty() && !word.eq_ignore_ascii_case("no")
}

/// The headers that consumers see, see `Parsed::headers`.
fn visible(header: &Header<'_>) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for field in &header.fields {
        let key = field.name.to_ascii_lowercase();
        if hidden(&key) {
            continue;
        }
        let value = header.text(field).unwrap_or_default();
        match seen.get(&key).and_then(|&at| out.get_mut(at)) {
            Some((_, all)) => {
                all.push('\n');
                all.push_str(&value);
            }
            None => {
                seen.insert(key, out.len());
                out.push((field.name.to_owned(), value));
            }
        }
    }
    out
}

/// Headers that other fields represent, that trace the way, or that anyone can forge. `name` is in lower case.
fn hidden(name: &str) -> bool {
    name.starts_with("content-")
        || name.starts_with("arc-")
        || matches!(
            name,
            "from"
                | "to"
                | "cc"
                | "bcc"
                | "reply-to"
                | "subject"
                | "date"
                | "message-id"
                | "mime-version"
                | "received"
                | "return-path"
                | "dkim-signature"
                | "authentication-results"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preview_is_the_start_of_the_text() {
        assert_eq!(preview(" \n hi\nyou "), Some("hi\nyou".to_owned()));
        assert_eq!(preview(&"ä".repeat(300)).map(|p| p.chars().count()), Some(200));
        assert_eq!(preview(" \n"), None);
    }

    #[test]
    fn dates_are_read_with_their_zone_and_absurd_ones_are_not() {
        for (value, want) in [
            (" Wed, 4 Mar 2026 10:30:00 +0100\r\n", Some(1_772_616_600)),
            ("4 Mar 2026 09:30:00 GMT\n", Some(1_772_616_600)),
            ("yesterday\n", None),
            ("Wed, 40 Foo 2026 99:99:99 +9999\n", None),
        ] {
            assert_eq!(date(value.as_bytes()), want, "{value}");
        }
    }
}
