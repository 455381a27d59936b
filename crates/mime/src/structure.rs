//! The MIME structure (RFC 2046): one pass over the lines, a stack of open boundaries, a flat list of leaves.
//!
//! Part numbers are positions in that list, so they are stable for the same bytes. Containers that are too deep count as
//! leaves; parts beyond the limit are left out.

use std::borrow::Cow;

use mail_parser::{HeaderValue, parsers::MessageStream};

use crate::{
    decode::Encoding,
    header::{self, Header},
    words,
};

/// Deepest nesting of multiparts that is opened.
const MAX_DEPTH: usize = 32;
/// Most parts, containers included, of one message.
const MAX_PARTS: usize = 1_000;
/// Longest `Content-*` value in bytes that is parsed.
const MAX_CONTENT_FIELD: usize = 16 * 1024;

/// What the `Content-*` fields of a part say.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// `type/subtype` in lower case; `None` when the field is missing or unreadable.
    pub(crate) mime_type: Option<String>,
    /// The whole value with its parameters, as received.
    pub(crate) declared: Option<String>,
    pub(crate) charset: Option<String>,
    pub(crate) boundary: Option<String>,
    pub(crate) flowed: bool,
    pub(crate) delsp: bool,
    /// Lower case.
    pub(crate) disposition: Option<String>,
    pub(crate) filename: Option<String>,
    /// Without brackets.
    pub(crate) content_id: Option<String>,
    pub(crate) encoding: Encoding,
}

/// A part that is no opened container.
#[derive(Debug)]
pub(crate) struct Leaf<'x> {
    pub(crate) content: Content,
    /// As on the wire.
    pub(crate) body: &'x [u8],
    /// Inside multipart/related, not its first part.
    pub(crate) related: bool,
    /// Type when the part names none.
    pub(crate) default_type: &'static str,
}

struct Level {
    boundary: String,
    related: bool,
    digest: bool,
    children: usize,
    preamble: usize,
}

struct Open {
    content: Content,
    start: usize,
    related: bool,
    default_type: &'static str,
}

struct Walk<'x> {
    raw: &'x [u8],
    levels: Vec<Level>,
    open: Option<Open>,
    leaves: Vec<Leaf<'x>>,
    parts: usize,
}

/// Header and leaves of a message.
pub(crate) fn walk(raw: &[u8]) -> (Header<'_>, Vec<Leaf<'_>>) {
    let header = header::split(raw, 0, false);
    let mut walk = Walk { raw, levels: Vec::new(), open: None, leaves: Vec::new(), parts: 0 };
    walk.begin(content(&header), header.body);
    walk.lines(header.body);
    (header, walk.leaves)
}

impl<'x> Walk<'x> {
    /// A part's header is over.
    fn begin(&mut self, content: Content, start: usize) {
        self.parts += 1;
        let parent = self.levels.last();
        let related = parent.is_some_and(|level| level.related && level.children > 1);
        let default_type =
            if parent.is_some_and(|level| level.digest) { "message/rfc822" } else { "text/plain" };
        let kind = content.mime_type.as_deref().and_then(|mime| mime.strip_prefix("multipart/"));
        match (kind, &content.boundary) {
            (Some(kind), Some(boundary)) if self.levels.len() < MAX_DEPTH => self.levels.push(Level {
                boundary: boundary.clone(),
                related: kind == "related",
                digest: kind == "digest",
                children: 0,
                preamble: start,
            }),
            _ => self.open = Some(Open { content, start, related, default_type }),
        }
    }

    fn lines(&mut self, mut at: usize) {
        while at < self.raw.len() && !self.levels.is_empty() {
            let next = header::line_end(self.raw, at);
            let line = self.raw.get(at..next).unwrap_or_default();
            let Some((depth, closing)) = self.boundary(line) else {
                at = next;
                continue;
            };
            let end = self.before_line_break(at);
            self.finish(end);
            self.close_above(depth + 1, end);
            if closing {
                self.close_above(depth, end);
                at = next;
                continue;
            }
            if self.parts >= MAX_PARTS {
                return;
            }
            if let Some(level) = self.levels.last_mut() {
                level.children += 1;
            }
            let part = header::split(self.raw, next, true);
            let body = part.body;
            self.begin(content(&part), body);
            at = body;
        }
        self.finish(self.raw.len());
        self.close_above(0, self.raw.len());
    }

    /// Which open container the line delimits, and whether it ends it.
    fn boundary(&self, line: &[u8]) -> Option<(usize, bool)> {
        let line = line.strip_prefix(b"--")?.trim_ascii_end();
        self.levels.iter().enumerate().rev().find_map(|(depth, level)| {
            let rest = line.strip_prefix(level.boundary.as_bytes())?;
            match rest {
                b"" => Some((depth, false)),
                b"--" => Some((depth, true)),
                _ => None,
            }
        })
    }

    /// The line break before a boundary belongs to the boundary.
    fn before_line_break(&self, at: usize) -> usize {
        let before = self.raw.get(..at).unwrap_or_default();
        let before = before.strip_suffix(b"\n").unwrap_or(before);
        before.strip_suffix(b"\r").unwrap_or(before).len()
    }

    fn finish(&mut self, end: usize) {
        if let Some(open) = self.open.take() {
            let body = self.raw.get(open.start..end.max(open.start)).unwrap_or_default();
            self.leaves.push(Leaf {
                content: open.content,
                body,
                related: open.related,
                default_type: open.default_type,
            });
        }
    }

    /// Closes containers down to `depth` open ones. One whose boundary never came was no container: its content is text.
    fn close_above(&mut self, depth: usize, end: usize) {
        while self.levels.len() > depth {
            let Some(level) = self.levels.pop() else { break };
            let body = self.raw.get(level.preamble..end.max(level.preamble)).unwrap_or_default();
            if level.children == 0 && !body.trim_ascii().is_empty() {
                self.leaves.push(Leaf {
                    content: Content::default(),
                    body,
                    related: false,
                    default_type: "text/plain",
                });
            }
        }
    }
}

/// Reads the `Content-*` fields.
fn content(header: &Header<'_>) -> Content {
    let mut out = Content::default();
    for field in &header.fields {
        if !field.name.get(..8).is_some_and(|prefix| prefix.eq_ignore_ascii_case("content-")) {
            continue;
        }
        let value = if field.value.len() > MAX_CONTENT_FIELD {
            Cow::Borrowed(&b"\n"[..])
        } else {
            words::normalized(&field.value)
        };
        let value = &*value;
        match field.name.get(8..).unwrap_or_default().to_ascii_lowercase().as_str() {
            "type" => {
                content_type(&mut out, value);
                out.declared = out.mime_type.is_some().then(|| header::unfolded(&field.value));
            }
            "disposition" => {
                if let HeaderValue::ContentType(parsed) = MessageStream::new(value).parse_content_type() {
                    out.disposition = Some(parsed.c_type.trim().to_ascii_lowercase());
                    if let Some(name) = parsed.attribute("filename") {
                        out.filename = Some(name.to_owned());
                    }
                }
            }
            "transfer-encoding" => out.encoding = Encoding::of(&header::unfolded(value)),
            "id" => {
                let id = header::unfolded(value);
                let id = id.strip_prefix('<').unwrap_or(&id);
                let id = id.split_once('>').map_or(id, |(id, _)| id).trim();
                out.content_id = (!id.is_empty()).then(|| id.to_owned());
            }
            _ => {}
        }
    }
    out
}

fn content_type(out: &mut Content, value: &[u8]) {
    let HeaderValue::ContentType(parsed) = MessageStream::new(value).parse_content_type() else {
        return;
    };
    let main = parsed.c_type.trim().to_ascii_lowercase();
    let sub = parsed.c_subtype.as_deref().map(|sub| sub.trim().to_ascii_lowercase());
    out.mime_type = match (main.as_str(), sub.as_deref()) {
        ("text", None | Some("")) => Some("text/plain".to_owned()),
        (main, Some(sub)) if token(main) && token(sub) => Some(format!("{main}/{sub}")),
        _ => None,
    };
    let attribute = |name: &str| parsed.attribute(name).map(str::to_owned).filter(|value| !value.is_empty());
    out.charset = attribute("charset");
    out.boundary =
        attribute("boundary").map(|boundary| boundary.trim_end().to_owned()).filter(|b| !b.is_empty());
    out.flowed = parsed.attribute("format").is_some_and(|value| value.eq_ignore_ascii_case("flowed"));
    out.delsp = parsed.attribute("delsp").is_some_and(|value| value.eq_ignore_ascii_case("yes"));
    if out.filename.is_none() {
        out.filename = attribute("name");
    }
}

/// RFC 2045 token of a bearable length.
pub(crate) fn token(s: &str) -> bool {
    (1..=127).contains(&s.len())
        && s.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b))
}
