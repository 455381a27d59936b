//! HTML as a reader sees it, with a way back to the source.
//!
//! A small tokenizer, not a parser: quote signals need the visible text of each block and the place where its tag
//! starts, nothing else. Every byte of the source is looked at a bounded number of times, whatever it contains.

use std::ops::Range;

use super::{SCAN_MAX_BYTES, clip};

/// Between blocks of [`Flat::text`].
pub(crate) const BLOCK_BREAK: char = '\n';
/// Between lines of one block (`<br>`, line breaks in `<pre>`). One byte like [`BLOCK_BREAK`], so that replacing
/// one with the other keeps offsets.
pub(crate) const LINE_BREAK: char = '\u{0b}';
/// Tags remembered. What follows in the source is neither searched nor cut.
const TAGS_MAX: usize = 100_000;
/// Attributes are looked for in so much of a tag; beyond is inline image data.
const TAG_MAX_BYTES: usize = 2048;
/// Longer character references do not exist among those decoded here.
const REFERENCE_MAX_BYTES: usize = 10;

/// What a tag does to the text around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    OpenBlock,
    OpenInline,
    /// Closing tags, void elements, declarations: nothing begins here.
    Other,
}

#[derive(Debug)]
pub(crate) struct Tag<'a> {
    /// Byte range in the source.
    pub(crate) source: Range<usize>,
    /// Where the tag stands in the text.
    pub(crate) flat: usize,
    pub(crate) kind: Kind,
    /// As written, with a slash when closing.
    pub(crate) name: &'a str,
    /// The start of the tag, attributes included.
    pub(crate) content: &'a str,
}

impl Tag<'_> {
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The visible text of a document.
#[derive(Debug, Default)]
pub(crate) struct Flat<'a> {
    pub(crate) text: String,
    pub(crate) tags: Vec<Tag<'a>>,
    /// Ascending pairs (offset in the text, offset in the source): text is a copy of the source between two pairs.
    spans: Vec<(usize, usize)>,
}

impl<'a> Flat<'a> {
    pub(crate) fn of(html: &'a str) -> Self {
        let mut flat = Self::default();
        let mut at = 0;
        let mut preformatted = 0_usize;
        while at < html.len() && flat.text.len() < SCAN_MAX_BYTES && flat.tags.len() < TAGS_MAX {
            let rest = html.get(at..).unwrap_or_default();
            if let Some(comment) = rest.strip_prefix("<!--") {
                at += comment.find("-->").map_or(rest.len(), |end| 4 + end + 3);
                continue;
            }
            if !starts_tag(rest) {
                // A stray "<" is text.
                let length =
                    rest.char_indices().skip(1).find(|&(_, c)| c == '<').map_or(rest.len(), |(end, _)| end);
                flat.push_text(rest.get(..length).unwrap_or_default(), at, preformatted > 0);
                at += length;
                continue;
            }
            let Some(length) = tag_length(rest) else { break };
            let content = rest.get(..length).unwrap_or_default();
            let name = tag_name(content);
            preformatted = match name.to_ascii_lowercase().as_str() {
                "pre" => preformatted + 1,
                "/pre" => preformatted.saturating_sub(1),
                _ => preformatted,
            };
            flat.push_tag(name, content, at);
            at += length;
            if let Some(close) = raw_text_end(name) {
                at += find_ignore_case(html.get(at..).unwrap_or_default(), close).unwrap_or(html.len() - at);
            }
        }
        flat
    }

    /// Offset in the source of a byte of the text.
    pub(crate) fn source_of(&self, flat: usize) -> usize {
        let next = self.spans.partition_point(|&(start, _)| start <= flat);
        match next.checked_sub(1).and_then(|index| self.spans.get(index)) {
            Some(&(start, source)) => source + (flat - start),
            None => 0,
        }
    }

    /// The text with every break as a newline; offsets are the same.
    pub(crate) fn lines(&self) -> String {
        self.text.replace(LINE_BREAK, "\n")
    }

    /// Where the line (of a block with several) that holds byte `at` starts.
    pub(crate) fn line_start(&self, at: usize) -> usize {
        let above = self.text.get(..at).unwrap_or_default();
        above.rfind([BLOCK_BREAK, LINE_BREAK]).map_or(0, |position| position + 1)
    }

    /// Whether nothing visible stands between two places of the text.
    pub(crate) fn is_blank_between(&self, from: usize, to: usize) -> bool {
        self.text.get(from..to).is_none_or(|between| between.chars().all(super::is_blank))
    }

    /// Source offset at which to cut so that the text from byte `at` on goes: the start of the block's tag if the
    /// text opens its block, else the text itself.
    pub(crate) fn cut_before(&self, at: usize) -> usize {
        let blank =
            self.text.get(at..).map_or(0, |rest| rest.len() - rest.trim_start_matches(super::is_blank).len());
        let mut cut = self.source_of(at + blank);
        let below = self.tags.partition_point(|tag| tag.source.end <= cut);
        for tag in self.tags.iter().take(below).rev() {
            if !self.is_blank_between(tag.flat, at) || tag.kind == Kind::Other {
                break;
            }
            cut = tag.source.start;
            if tag.kind == Kind::OpenBlock {
                break;
            }
        }
        cut
    }

    fn push_tag(&mut self, name: &'a str, content: &'a str, at: usize) {
        let is_break = name.trim_end_matches('/').eq_ignore_ascii_case("br");
        let is_block = is_block(name.trim_start_matches('/'));
        let kind = match (is_block, name.starts_with(['/', '!', '?']) || is_void(name)) {
            (_, true) => Kind::Other,
            (true, false) => Kind::OpenBlock,
            (false, false) => Kind::OpenInline,
        };
        if is_break {
            self.push_char(LINE_BREAK, at);
        } else if is_block && !self.text.ends_with(BLOCK_BREAK) && !self.text.is_empty() {
            self.push_char(BLOCK_BREAK, at);
        }
        let source = at..at + content.len();
        let content = clip(content, TAG_MAX_BYTES);
        self.tags.push(Tag { source, flat: self.text.len(), kind, name, content });
    }

    /// One character of the text that is not a copy of the source.
    fn push_char(&mut self, character: char, source: usize) {
        self.spans.push((self.text.len(), source));
        self.text.push(character);
    }

    fn push_text(&mut self, run: &str, at: usize, preformatted: bool) {
        let run = clip(run, SCAN_MAX_BYTES);
        let mut rest = run;
        while let Some(first) = rest.chars().next() {
            if self.text.len() >= SCAN_MAX_BYTES {
                return;
            }
            let source = at + (run.len() - rest.len());
            let reference = if first == '&' { decode(rest) } else { None };
            let (shown, length) = reference.unwrap_or((first, first.len_utf8()));
            if preformatted && shown == '\n' {
                self.push_char(LINE_BREAK, source);
            } else if shown.is_whitespace() {
                if !self.text.is_empty() && !self.text.ends_with([' ', BLOCK_BREAK, LINE_BREAK]) {
                    self.push_char(' ', source);
                }
            } else if reference.is_some() {
                self.push_char(shown, source);
            } else {
                // Words with single spaces between them are copied at once.
                let length = copied_length(rest, length);
                self.spans.push((self.text.len(), source));
                self.text.push_str(rest.get(..length).unwrap_or_default());
                rest = rest.get(length..).unwrap_or_default();
                continue;
            }
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

/// Bytes of `run` that look the same to the reader, the first `known` of them seen already: up to a character
/// reference or white space other than a single space inside of the run.
fn copied_length(run: &str, known: usize) -> usize {
    let mut after_space = false;
    let mut length = known;
    for character in run.get(known..).unwrap_or_default().chars() {
        let is_space = character == ' ';
        if character == '&' || (is_space && after_space) || (!is_space && character.is_whitespace()) {
            break;
        }
        after_space = is_space;
        length += character.len_utf8();
    }
    // A space in front of other white space is left to the caller, who merges them.
    if after_space { length - 1 } else { length }
}

fn starts_tag(rest: &str) -> bool {
    let mut bytes = rest.bytes();
    bytes.next() == Some(b'<')
        && bytes.next().is_some_and(|next| next.is_ascii_alphabetic() || matches!(next, b'/' | b'!' | b'?'))
}

/// Bytes of the tag at the start of `rest`; `None` when it is never closed. A quoted attribute may hold a ">".
fn tag_length(rest: &str) -> Option<usize> {
    let mut at = 1;
    loop {
        let tail = rest.get(at..)?;
        let found = tail.find(['>', '"', '\''])?;
        let mark = tail.get(found..)?.chars().next()?;
        let is_value = tail.get(..found).is_some_and(|before| before.trim_end().ends_with('='));
        at += found + 1;
        if mark == '>' {
            return Some(at);
        }
        if !is_value {
            continue;
        }
        // An unclosed quote ends with the next ">"; there is no other such quote behind it, so this search
        // happens once for each kind.
        let inside = rest.get(at..)?;
        match inside.find(mark) {
            Some(end) => at += end + 1,
            None => return inside.find('>').map(|end| at + end + 1),
        }
    }
}

fn tag_name(content: &str) -> &str {
    let name = content.trim_start_matches('<');
    let end = name
        .char_indices()
        .skip(1)
        .find(|&(_, c)| !c.is_ascii_alphanumeric())
        .map_or(name.len(), |(end, _)| end);
    clip(name.get(..end).unwrap_or_default(), 16)
}

/// The end tag of elements whose content is no visible text.
fn raw_text_end(name: &str) -> Option<&'static str> {
    const RAW: [(&str, &str); 3] = [("style", "</style"), ("script", "</script"), ("title", "</title")];
    RAW.iter().find(|(raw, _)| name.eq_ignore_ascii_case(raw)).map(|&(_, close)| close)
}

pub(crate) fn find_ignore_case(text: &str, needle: &str) -> Option<usize> {
    text.as_bytes().windows(needle.len()).position(|window| window.eq_ignore_ascii_case(needle.as_bytes()))
}

fn is_void(name: &str) -> bool {
    const VOID: [&str; 8] = ["br", "hr", "img", "meta", "link", "input", "wbr", "col"];
    VOID.iter().any(|void| name.eq_ignore_ascii_case(void))
}

fn is_block(name: &str) -> bool {
    const BLOCKS: [&str; 44] = [
        "p",
        "div",
        "td",
        "th",
        "tr",
        "table",
        "tbody",
        "thead",
        "tfoot",
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
        "pre",
        "blockquote",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "section",
        "article",
        "header",
        "footer",
        "center",
        "address",
        "fieldset",
        "form",
        "main",
        "nav",
        "aside",
        "figure",
        "html",
        "head",
        "body",
        "title",
        "style",
        "script",
        "caption",
        "option",
    ];
    BLOCKS.iter().any(|block| name.eq_ignore_ascii_case(block))
}

/// Decodes the character reference at the start of `text`; gives the character and the bytes it took.
fn decode(text: &str) -> Option<(char, usize)> {
    const NAMED: [(&str, char); 25] = [
        ("amp", '&'),
        ("lt", '<'),
        ("gt", '>'),
        ("quot", '"'),
        ("apos", '\''),
        ("nbsp", ' '),
        ("ensp", ' '),
        ("emsp", ' '),
        ("eacute", 'é'),
        ("egrave", 'è'),
        ("agrave", 'à'),
        ("aacute", 'á'),
        ("iacute", 'í'),
        ("oacute", 'ó'),
        ("uacute", 'ú'),
        ("ntilde", 'ñ'),
        ("ccedil", 'ç'),
        ("atilde", 'ã'),
        ("aring", 'å'),
        ("auml", 'ä'),
        ("ouml", 'ö'),
        ("uuml", 'ü'),
        ("Eacute", 'É'),
        ("rsquo", '’'),
        ("ndash", '–'),
    ];
    let end = clip(text, REFERENCE_MAX_BYTES).find(';')?;
    let name = text.get(1..end)?;
    let number = name.strip_prefix('#').and_then(|digits| match digits.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => digits.parse().ok(),
    });
    let character = match number {
        Some(code) => char::from_u32(code)?,
        None => NAMED.iter().find(|(known, _)| *known == name)?.1,
    };
    Some((character, end + 1))
}
