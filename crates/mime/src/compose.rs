//! Building an outgoing message (RFC 5322, MIME): CRLF line ends, no line over 998 bytes, nothing that is not given.

use base64::{Engine, engine::general_purpose::STANDARD};
use mail_builder::{
    encoders::base64::Base64Encoder,
    headers::{
        Header,
        address::{Address, EmailAddress},
        content_type::ContentType,
        date::Date,
        raw::Raw,
        text::Text,
    },
    mime::MimePart,
};
use mail_parser::{HeaderValue, parsers::MessageStream};
use sha2::{Digest, Sha256};

use crate::{
    Disposition, Mailbox, decode, fingerprint::hex, names::clean_filename, structure::token,
    subject::clean_subject,
};

/// Longest line in bytes without its CRLF (RFC 5322 section 2.1.1).
const MAX_LINE: usize = 998;
/// Where lists of ids are folded.
const FOLD: usize = 78;
/// Longest run without white space that is left to the folding of the library.
const MAX_WORD: usize = 400;
/// Characters of a display name without any white space that go out.
const MAX_NAME_WORD: usize = 100;
/// Bytes of text in one encoded word, so that it stays under 75 characters (RFC 2047 section 2).
const ENCODED_WORD: usize = 42;
/// Characters of a boundary that come from the seed.
const BOUNDARY_DIGITS: usize = 32;

/// A message to build.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// With brackets; written as it is.
    pub message_id: String,
    /// Unix seconds; written in UTC.
    pub date: i64,
    /// From.
    pub from: Mailbox,
    /// To.
    pub to: Vec<Mailbox>,
    /// Cc.
    pub cc: Vec<Mailbox>,
    /// Reply-To.
    pub reply_to: Vec<Mailbox>,
    /// Subject; line breaks become spaces.
    pub subject: Option<String>,
    /// Text body.
    pub text: Option<String>,
    /// HTML body.
    pub html: Option<String>,
    /// With brackets; written as it is.
    pub in_reply_to: Option<String>,
    /// With brackets, oldest first; written as they are. Ids that do not fit a line are left out.
    pub references: Vec<String>,
    /// Extra headers, checked by the caller.
    pub headers: Vec<(String, String)>,
    /// Attachments in order.
    pub attachments: Vec<OutgoingPart>,
    /// Unguessable and different for each message; the boundaries are made from it.
    pub boundary_seed: String,
}

/// An attachment of an outgoing message.
#[derive(Debug, Clone)]
pub struct OutgoingPart {
    /// File name, if any.
    pub filename: Option<String>,
    /// `type/subtype` with optional parameters; anything else goes out as application/octet-stream.
    pub content_type: String,
    /// Inline parts with a content id become related to the HTML body.
    pub disposition: Disposition,
    /// Without brackets.
    pub content_id: Option<String>,
    /// The content.
    pub bytes: Vec<u8>,
}

/// A date and time in UTC as RFC 5322 §3.3 writes it, without a line end. `unix`: seconds since the epoch.
pub fn format_date(unix: i64) -> String {
    Date::new(unix).to_rfc822()
}

/// The bytes of the message as they are handed to the transport. No Bcc; the same input gives the same bytes.
#[must_use]
pub fn build(m: &Outgoing) -> Vec<u8> {
    let attached: usize = m.attachments.iter().map(|part| part.bytes.len() / 54 * 74 + 1_024).sum();
    let bodies = m.text.as_ref().map_or(0, String::len) + m.html.as_ref().map_or(0, String::len);
    let mut out = Vec::with_capacity(attached + bodies + bodies / 2 + 2_048);

    mailboxes(&mut out, "From", std::slice::from_ref(&m.from));
    mailboxes(&mut out, "To", &m.to);
    mailboxes(&mut out, "Cc", &m.cc);
    if m.to.is_empty() && m.cc.is_empty() {
        out.extend_from_slice(b"To: undisclosed-recipients:;\r\n");
    }
    mailboxes(&mut out, "Reply-To", &m.reply_to);
    if let Some(subject) = m.subject.as_deref().map(clean_subject).filter(|subject| !subject.is_empty()) {
        unstructured(&mut out, "Subject", &subject);
    }
    out.extend_from_slice(b"Date: ");
    Date::new(m.date).write_header(&mut out, "Date: ".len());
    ids(&mut out, "Message-ID", std::slice::from_ref(&m.message_id));
    ids(&mut out, "In-Reply-To", m.in_reply_to.as_slice());
    ids(&mut out, "References", &m.references);
    for (name, value) in &m.headers {
        unstructured(&mut out, name, value);
    }
    out.extend_from_slice(b"MIME-Version: 1.0\r\n");
    Tree::of(m).write(&mut out, &mut Boundaries::new(&m.boundary_seed));
    // SMTP ends each line; inside multiparts the closing boundary has done so. Behind a single body exactly one line end
    // is added whatever the body ends with, so that [`crate::Parsed::last_line_end_added`] tells what to take off again.
    let single = m.attachments.is_empty() && (m.text.is_some() != m.html.is_some());
    if single || !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn mailboxes(out: &mut Vec<u8>, name: &str, list: &[Mailbox]) {
    if list.is_empty() {
        return;
    }
    let addresses = list
        .iter()
        .map(|mailbox| {
            Address::Address(EmailAddress {
                name: mailbox
                    .name
                    .as_deref()
                    .map(display_name)
                    .filter(|name| !name.is_empty())
                    .map(Into::into),
                email: mailbox.address.as_str().into(),
            })
        })
        .collect();
    out.extend_from_slice(format!("{name}: ").as_bytes());
    Address::new_list(addresses).write_header(out, name.len() + 2);
}

/// A display name on one line, without words that no folding fits.
fn display_name(name: &str) -> String {
    let clean: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words = clean.split_whitespace().map(|word| word.chars().take(MAX_NAME_WORD).collect::<String>());
    words.collect::<Vec<_>>().join(" ")
}

/// A header of free text; ASCII goes out as it is, so that values with a syntax of their own survive.
fn unstructured(out: &mut Vec<u8>, name: &str, value: &str) {
    let value: String = value.chars().filter(|c| !matches!(c, '\r' | '\n' | '\0')).collect();
    let value = value.trim();
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    let long_word = value.split([' ', '\t']).any(|word| word.len() > MAX_WORD);
    let fits_verbatim = value.is_ascii() && name.len() + 2 + value.len() <= FOLD;
    // Looks like an encoded word without being one: it would be decoded at the other end.
    let ambiguous = value.contains("=?");
    if value.is_ascii() && !ambiguous && (fits_verbatim || !long_word) {
        Raw::new(value).write_header(out, name.len() + 2);
    } else if value.is_ascii() && !ambiguous && name.len() + 2 + value.len() <= MAX_LINE {
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    } else if long_word || ambiguous {
        encoded_words(out, value);
    } else {
        Text::new(value).write_header(out, name.len() + 2);
    }
}

/// RFC 2047 words, one a line.
fn encoded_words(out: &mut Vec<u8>, mut value: &str) {
    while !value.is_empty() {
        let (word, rest) = value.split_at(value.floor_char_boundary(ENCODED_WORD));
        out.extend_from_slice(b"\r\n ");
        out.extend_from_slice(encoded_word(word).as_bytes());
        value = rest;
    }
    out.extend_from_slice(b"\r\n");
}

fn encoded_word(text: &str) -> String {
    format!("=?utf-8?B?{}?=", STANDARD.encode(text))
}

/// Ids as they are, folded between them. An id with white space or control characters could break the header, one that
/// is longer than a line cannot go out: both are left out.
fn ids<S: AsRef<str>>(out: &mut Vec<u8>, name: &str, ids: &[S]) {
    let fit = |id: &&str| {
        !id.is_empty() && id.len() < MAX_LINE && !id.chars().any(|c| c.is_control() || c.is_whitespace())
    };
    let mut column = name.len() + 1;
    let mut any = false;
    for id in ids.iter().map(AsRef::as_ref).filter(fit) {
        if !any {
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
        }
        let fold = column + 1 + id.len() > if any { FOLD } else { MAX_LINE };
        if fold {
            out.extend_from_slice(b"\r\n");
            column = 0;
        }
        out.push(b' ');
        out.extend_from_slice(id.as_bytes());
        column += 1 + id.len();
        any = true;
    }
    if any {
        out.extend_from_slice(b"\r\n");
    }
}

/// Deterministic boundaries. `=_` occurs in no quoted-printable or Base64 content.
struct Boundaries {
    stem: String,
    made: usize,
}

impl Boundaries {
    fn new(seed: &str) -> Self {
        let digest = hex(&Sha256::digest(seed.as_bytes()));
        Self { stem: digest.chars().take(BOUNDARY_DIGITS).collect(), made: 0 }
    }

    fn next(&mut self) -> String {
        self.made += 1;
        format!("=_{}_{}", self.stem, self.made)
    }
}

/// The MIME structure.
enum Tree<'m> {
    Text(&'static str, &'m str),
    File(&'m OutgoingPart),
    Multi(&'static str, Vec<Tree<'m>>),
}

impl<'m> Tree<'m> {
    /// Text and HTML alternative, inline parts related to the HTML, everything else mixed.
    fn of(m: &'m Outgoing) -> Self {
        let is_related = |part: &&OutgoingPart| {
            m.html.is_some() && part.disposition == Disposition::Inline && part.content_id.is_some()
        };
        let (related, files): (Vec<_>, Vec<_>) = m.attachments.iter().partition(is_related);
        let html = m.html.as_deref().map(|html| {
            wrap("related", Tree::Text("text/html", html), related.into_iter().map(Tree::File).collect())
        });
        let text = m.text.as_deref().map(|text| Tree::Text("text/plain", text));
        let body = match (text, html) {
            (Some(text), Some(html)) => Some(Tree::Multi("alternative", vec![text, html])),
            (Some(one), None) | (None, Some(one)) => Some(one),
            (None, None) => None,
        };
        let files: Vec<_> = files.into_iter().map(Tree::File).collect();
        match body {
            Some(body) => wrap("mixed", body, files),
            None if files.is_empty() => Tree::Text("text/plain", ""),
            None => Tree::Multi("mixed", files),
        }
    }

    fn write(&self, out: &mut Vec<u8>, boundaries: &mut Boundaries) {
        match self {
            Tree::Text(mime, text) => {
                MimePart::new(*mime, decode::normalized(text).replace('\n', "\r\n")).write_part(out);
            }
            Tree::File(part) => file(out, part, &boundaries.stem),
            Tree::Multi(kind, children) => {
                let boundary = boundaries.next();
                out.extend_from_slice(
                    format!("Content-Type: multipart/{kind};\r\n boundary=\"{boundary}\"\r\n\r\n").as_bytes(),
                );
                for child in children {
                    out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
                    child.write(out, boundaries);
                    // Belongs to the boundary: the content stays as it is.
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
            }
        }
    }
}

fn wrap<'m>(kind: &'static str, root: Tree<'m>, rest: Vec<Tree<'m>>) -> Tree<'m> {
    if rest.is_empty() {
        return root;
    }
    let mut children = vec![root];
    children.extend(rest);
    Tree::Multi(kind, children)
}

fn file(out: &mut Vec<u8>, part: &OutgoingPart, boundary_stem: &str) {
    let name = part.filename.as_deref().map(clean_filename).filter(|name| !name.is_empty());
    let mut content_type = typed(&part.content_type, name.as_deref());
    let mut name = name;
    // An attached message must not be encoded (RFC 2046 section 5.2.1): one that cannot travel as it is becomes a file.
    let is_message = content_type.c_type == "message/rfc822";
    let travels = is_message && plain_lines(&part.bytes, boundary_stem);
    if is_message && !travels {
        let stem = name.unwrap_or_else(|| "message".to_owned());
        let is_eml =
            std::path::Path::new(&stem).extension().is_some_and(|own| own.eq_ignore_ascii_case("eml"));
        let named = if is_eml { stem } else { clean_filename(&format!("{stem}.eml")) };
        content_type = typed("application/octet-stream", Some(&named));
        name = Some(named);
    }
    out.extend_from_slice(b"Content-Type: ");
    content_type.write_header(out, "Content-Type: ".len());
    let mut disposition = ContentType::new(part.disposition.as_str());
    if let Some(name) = name {
        disposition = disposition.attribute("filename", name);
    }
    out.extend_from_slice(b"Content-Disposition: ");
    disposition.write_header(out, "Content-Disposition: ".len());
    if let Some(id) = &part.content_id {
        let id: String =
            id.chars().filter(|c| !c.is_control() && !c.is_whitespace() && !matches!(c, '<' | '>')).collect();
        ids(out, "Content-ID", &[format!("<{id}>")]);
    }
    if travels {
        out.extend_from_slice(b"Content-Transfer-Encoding: 7bit\r\n\r\n");
        out.extend_from_slice(&part.bytes);
        return;
    }
    out.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n\r\n");
    Base64Encoder::new().wrap_lines().encode_into(&part.bytes, out);
}

/// Whether the bytes may travel as they are: ASCII, CRLF line ends, short lines, and not this message's boundary.
fn plain_lines(bytes: &[u8], boundary_stem: &str) -> bool {
    let short = bytes.split_inclusive(|&b| b == b'\n').all(|line| {
        let content = line.strip_suffix(b"\r\n").unwrap_or(line);
        content.len() <= MAX_LINE
            && content.iter().all(|&b| b != 0 && b != b'\r' && b != b'\n' && b.is_ascii())
    });
    short && !bytes.windows(boundary_stem.len().max(1)).any(|window| window == boundary_stem.as_bytes())
}

/// The type of an attachment with its parameters and, for old programs, its name.
fn typed<'x>(value: &str, name: Option<&str>) -> ContentType<'x> {
    let value = format!("{}\n", value.replace(['\r', '\n', '\0'], " "));
    let mut parsed = ContentType::new("application/octet-stream");
    if let HeaderValue::ContentType(given) = MessageStream::new(value.as_bytes()).parse_content_type() {
        let main = given.c_type.to_ascii_lowercase();
        let sub = given.c_subtype.as_deref().unwrap_or_default().to_ascii_lowercase();
        if token(&main) && token(&sub) && main != "multipart" {
            parsed = ContentType::new(format!("{main}/{sub}"));
            for attribute in given.attributes.iter().flatten() {
                let key = attribute.name.to_ascii_lowercase();
                if token(&key) && key != "name" && key != "boundary" {
                    parsed = parsed.attribute(key, attribute.value.clone().into_owned());
                }
            }
        }
    }
    match name {
        Some(name) if name.is_ascii() => parsed.attribute("name", name.to_owned()),
        Some(name) => {
            let mut words = Vec::new();
            let mut rest = name;
            while !rest.is_empty() {
                let (word, tail) = rest.split_at(rest.floor_char_boundary(ENCODED_WORD));
                words.push(encoded_word(word));
                rest = tail;
            }
            parsed.attribute("name", words.join(" "))
        }
        None => parsed,
    }
}
