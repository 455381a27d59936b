//! Transfer encodings and character sets. Lenient: broken input gives what can be read.

use std::{borrow::Cow, sync::LazyLock};

use mail_parser::decoders::charsets::map::charset_decoder;
use regex::Regex;

/// Bytes of an HTML document in which it names its character set.
const META_BYTES: usize = 4_096;
static META: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)<meta\b[^>]{0,200}?charset\s{0,4}=\s{0,4}["']?\s{0,4}([a-z0-9_:.-]{2,40})"#)
        .expect("the pattern is constant")
});

/// Longest charset name that is looked up.
const MAX_CHARSET: usize = 40;

/// Content-Transfer-Encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Encoding {
    /// 7bit, 8bit, binary and everything unknown.
    #[default]
    Identity,
    Base64,
    QuotedPrintable,
}

impl Encoding {
    pub(crate) fn of(name: &str) -> Self {
        if name.eq_ignore_ascii_case("base64") {
            Self::Base64
        } else if name.eq_ignore_ascii_case("quoted-printable") {
            Self::QuotedPrintable
        } else {
            Self::Identity
        }
    }
}

/// The content of a part.
pub(crate) fn bytes(encoding: Encoding, body: &[u8]) -> Cow<'_, [u8]> {
    match encoding {
        Encoding::Identity => Cow::Borrowed(body),
        Encoding::Base64 => {
            let (body, _) = without_footer(body);
            let mut out = Vec::with_capacity(body.len() / 4 * 3 + 3);
            base64(body, |group, count| out.extend(group.iter().take(count)));
            Cow::Owned(out)
        }
        Encoding::QuotedPrintable => {
            let mut out = Vec::with_capacity(body.len());
            quoted_printable(body, |b| out.push(b));
            Cow::Owned(out)
        }
    }
}

/// How many bytes [`bytes`] gives, without making them.
pub(crate) fn decoded_len(encoding: Encoding, body: &[u8]) -> u64 {
    let mut len = 0_u64;
    match encoding {
        Encoding::Identity => len = u64::try_from(body.len()).unwrap_or(u64::MAX),
        Encoding::Base64 => {
            base64(without_footer(body).0, |_, count| len += u64::try_from(count).unwrap_or(0))
        }
        Encoding::QuotedPrintable => quoted_printable(body, |_| len += 1),
    }
    len
}

/// The content of a text part: decoded to UTF-8, CRLF to LF, no NUL, no byte order mark.
/// `html`: the document may name its character set, which counts when the part does not.
pub(crate) fn text(encoding: Encoding, charset: Option<&str>, body: &[u8], html: bool) -> String {
    let (encoded, footer) = if encoding == Encoding::Base64 { without_footer(body) } else { (body, &[][..]) };
    let content = if encoding == Encoding::Base64 && !looks_like_base64(encoded) {
        Cow::Borrowed(body)
    } else {
        bytes(encoding, encoded)
    };
    let charset = charset.map(str::trim).unwrap_or_default();
    let own = if html && is_ascii_name(charset) { named_inside(&content) } else { None };
    let decoded = named(own.as_deref().unwrap_or(charset), &content);
    let mut out = normalized(decoded.strip_prefix('\u{feff}').unwrap_or(&decoded));
    if !footer.is_empty() && !matches!(content, Cow::Borrowed(_)) {
        if !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(&normalized(&guessed(footer)));
    }
    out
}

/// Bytes in the character set of that name. ASCII, unknown and missing names mean UTF-8 and, where the bytes are none,
/// windows-1252: that is what mislabelled mail holds.
pub(crate) fn named<'x>(charset: &str, bytes: &'x [u8]) -> Cow<'x, str> {
    let utf8 = ["utf-8", "utf8"].iter().any(|name| charset.eq_ignore_ascii_case(name));
    match decoder(charset) {
        Some(decode) => Cow::Owned(decode(bytes)),
        None if utf8 => String::from_utf8_lossy(bytes),
        None => guessed(bytes),
    }
}

/// UTF-8, or windows-1252 where nothing beyond ASCII is any: a stray byte among letters of UTF-8 makes no other text of it.
pub(crate) fn guessed(bytes: &[u8]) -> Cow<'_, str> {
    let spoken = || bytes.utf8_chunks().any(|chunk| !chunk.valid().is_ascii());
    match (std::str::from_utf8(bytes), charset_decoder(b"windows-1252")) {
        (Ok(text), _) => Cow::Borrowed(text),
        (Err(_), Some(decode)) if !spoken() => Cow::Owned(decode(bytes)),
        (Err(_), _) => String::from_utf8_lossy(bytes),
    }
}

/// The first bytes of a text, up to a whole character.
pub(crate) fn clipped(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}

/// The character set that an HTML document names in its head. UTF-8 that is written as such stays what it is.
fn named_inside(content: &[u8]) -> Option<String> {
    let escapes = content.contains(&0x1b);
    if std::str::from_utf8(content).is_ok() && !escapes {
        return None;
    }
    let head = String::from_utf8_lossy(content.get(..content.len().min(META_BYTES)).unwrap_or_default());
    let name = META.captures(&head)?.get(1)?.as_str().to_ascii_lowercase();
    // A document whose name could be read is written in no such thing.
    (!name.starts_with("utf-16") && !name.starts_with("utf-7")).then_some(name)
}

/// Splits Base64 from what mailing lists put below it: the rest begins with the first line of words or strokes.
fn without_footer(body: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    for line in body.split_inclusive(|&b| b == b'\n') {
        let content = line.trim_ascii();
        let foreign = content.iter().filter(|&&b| VALUES.get(usize::from(b)).copied() == Some(SKIP)).count();
        let words = content.contains(&b' ') || foreign >= 2 && foreign.saturating_mul(4) >= content.len();
        if at > 0 && words {
            return body.split_at(at);
        }
        at += line.len();
    }
    (body, &[])
}

/// A text that a stranger calls `charset`, as UTF-8 with LF line ends, without NUL and byte order mark. An unknown or
/// absent name means UTF-8 where the bytes are that.
#[must_use]
pub fn decode_text(charset: Option<&str>, bytes: &[u8]) -> String {
    text(Encoding::Identity, charset, bytes, false)
}

/// Whether a part says nothing about its character set.
fn is_ascii_name(charset: &str) -> bool {
    charset.is_empty() || ["us-ascii", "ascii"].iter().any(|name| charset.eq_ignore_ascii_case(name))
}

/// `None`: UTF-8, or whatever the bytes are.
fn decoder(charset: &str) -> Option<fn(&[u8]) -> String> {
    let utf8 = ["utf-8", "utf8"].iter().any(|name| charset.eq_ignore_ascii_case(name));
    if utf8 || is_ascii_name(charset) || charset.len() > MAX_CHARSET {
        None
    } else {
        charset_decoder(charset.as_bytes())
    }
}

/// CRLF and lone CR become LF; NUL goes.
pub(crate) fn normalized(text: &str) -> String {
    if !text.bytes().any(|b| b == b'\r' || b == 0) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\0' => {}
            '\r' => {
                if chars.peek() != Some(&'\n') {
                    out.push('\n');
                }
            }
            other => out.push(other),
        }
    }
    out
}

/// Value of each character, [`PAD`], or [`SKIP`].
#[expect(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "constant evaluation, 64 entries"
)]
const VALUES: [u8; 256] = {
    let mut table = [SKIP; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut i = 0;
    while i < 64 {
        table[alphabet[i] as usize] = i as u8;
        i += 1;
    }
    table[b'=' as usize] = PAD;
    table
};
const PAD: u8 = 254;
const SKIP: u8 = 255;

/// Calls `sink` with up to three bytes at a time. Foreign characters are skipped; padding ends a group, not the data, since
/// some programs concatenate.
fn base64(body: &[u8], mut sink: impl FnMut([u8; 3], usize)) {
    let mut acc = 0_u32;
    let mut have = 0_usize;
    let mut flush = |acc: u32, have: usize| {
        let [_, a, b, c] = (acc << (6 * (4 - have))).to_be_bytes();
        sink([a, b, c], have - 1);
    };
    for &byte in body {
        let value = VALUES.get(usize::from(byte)).copied().unwrap_or(SKIP);
        if value < 64 {
            acc = (acc << 6) | u32::from(value);
            have += 1;
            if have == 4 {
                flush(acc, have);
                (acc, have) = (0, 0);
            }
        } else if value == PAD {
            if have > 1 {
                flush(acc, have);
            }
            (acc, have) = (0, 0);
        }
    }
    if have > 1 {
        flush(acc, have);
    }
}

/// False for text that only claims to be Base64: more than a twentieth of it is foreign.
fn looks_like_base64(body: &[u8]) -> bool {
    let foreign = body
        .iter()
        .filter(|&&b| !matches!(b, b'\r' | b'\n') && VALUES.get(usize::from(b)).copied() == Some(SKIP))
        .count();
    foreign.saturating_mul(20) <= body.len()
}

/// RFC 2045 section 6.7. Broken escapes stay as they are; white space at line ends goes.
fn quoted_printable(body: &[u8], mut sink: impl FnMut(u8)) {
    for line in body.split_inclusive(|&b| b == b'\n') {
        let ending: &[u8] = if line.ends_with(b"\r\n") {
            b"\r\n"
        } else if line.ends_with(b"\n") {
            b"\n"
        } else {
            b""
        };
        let content = line.strip_suffix(ending).unwrap_or(line);
        let end = content.iter().rposition(|b| !matches!(b, b' ' | b'\t')).map_or(0, |last| last + 1);
        let mut rest = content.get(..end).unwrap_or_default();
        let mut soft = false;
        while let Some((&b, tail)) = rest.split_first() {
            rest = tail;
            if b != b'=' {
                sink(b);
                continue;
            }
            match tail {
                [] => soft = true,
                [high, low, after @ ..] => match (hex(*high), hex(*low)) {
                    (Some(high), Some(low)) => {
                        sink(high << 4 | low);
                        rest = after;
                    }
                    _ => sink(b'='),
                },
                [_] => sink(b'='),
            }
        }
        if !soft {
            ending.iter().for_each(|&b| sink(b));
        }
    }
}

fn hex(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_reads_what_it_can() {
        for (input, want) in [
            ("aGVsbG8=", "hello"),
            ("aGVs\r\nbG8", "hello"),
            ("aGVs!bG8=", "hello"),
            ("aGk=aGk=", "hihi"),
            ("a", ""),
            ("", ""),
        ] {
            assert_eq!(bytes(Encoding::Base64, input.as_bytes()).as_ref(), want.as_bytes(), "{input}");
            assert_eq!(decoded_len(Encoding::Base64, input.as_bytes()), want.len() as u64, "{input}");
        }
    }

    #[test]
    fn quoted_printable_reads_what_it_can() {
        for (input, want) in [
            ("a=3Db", "a=b"),
            ("soft=\r\nbreak \r\nx", "softbreak\r\nx"),
            ("soft=  \nbreak", "softbreak"),
            ("100% =ZZ =4", "100% =ZZ =4"),
            ("end=", "end"),
        ] {
            assert_eq!(
                bytes(Encoding::QuotedPrintable, input.as_bytes()).as_ref(),
                want.as_bytes(),
                "{input}"
            );
            assert_eq!(
                decoded_len(Encoding::QuotedPrintable, input.as_bytes()),
                want.len() as u64,
                "{input}"
            );
        }
    }

    #[test]
    fn text_that_only_claims_to_be_base64_is_shown_as_it_is() {
        assert_eq!(
            text(Encoding::Base64, None, b"Hello, this is no base64.\r\n", false),
            "Hello, this is no base64.\n"
        );
        assert_eq!(text(Encoding::Base64, None, b"aGVsbG8=", false), "hello");
    }

    #[test]
    fn what_a_list_puts_below_base64_is_text_of_a_body_and_no_byte_of_a_file() {
        for encoded in ["aGVsbG8=", "aGVs\r\nbG8h", "aGVsbG8h\r\n"] {
            let body = format!("{encoded}\r\n_____________\r\nlist mailing list\r\nlist@x.test\r\n");
            let decoded = decode_text(None, &bytes(Encoding::Base64, body.as_bytes()));
            assert!(matches!(&*decoded, "hello" | "hello!"), "{decoded}");
            assert_eq!(decoded_len(Encoding::Base64, body.as_bytes()), decoded.len() as u64);
            assert_eq!(
                text(Encoding::Base64, None, body.as_bytes(), false),
                format!("{decoded}\n_____________\nlist mailing list\nlist@x.test\n")
            );
        }
    }

    #[test]
    fn character_sets_that_are_missing_or_wrong_are_guessed() {
        for (charset, html, content, want) in [
            (Some("us-ascii"), false, &b"\x93smart\x94 caf\xe9 \x80"[..], "\u{201c}smart\u{201d} café €"),
            (None, false, b"Gr\xfc\xdfe", "Grüße"),
            (Some("x-unknown"), false, b"Gr\xfc\xdfe", "Grüße"),
            (None, false, "Grüße".as_bytes(), "Grüße"),
            (Some("utf-8"), false, b"caf\xe9 \xc3\xa9", "caf\u{fffd} é"),
            (
                None,
                true,
                b"<head><meta charset=\"windows-1251\"></head>\xcf\xf0",
                "<head><meta charset=\"windows-1251\"></head>Пр",
            ),
            (
                Some("us-ascii"),
                true,
                b"<meta http-equiv=Content-Type content='text/html; charset=gb2312'>\xc4\xe3",
                "<meta http-equiv=Content-Type content='text/html; charset=gb2312'>你",
            ),
            (None, true, "<meta charset=gb2312>ü".as_bytes(), "<meta charset=gb2312>ü"),
        ] {
            assert_eq!(text(Encoding::Identity, charset, content, html), want, "{charset:?}");
        }
    }
}
