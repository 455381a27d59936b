//! Transfer encodings and character sets. Lenient: broken input gives what can be read.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;

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
        Encoding::Base64 => base64(body, |_, count| len += u64::try_from(count).unwrap_or(0)),
        Encoding::QuotedPrintable => quoted_printable(body, |_| len += 1),
    }
    len
}

/// The content of a text part: decoded to UTF-8, CRLF to LF, no NUL, no byte order mark.
pub(crate) fn text(encoding: Encoding, charset: Option<&str>, body: &[u8]) -> String {
    let content = if encoding == Encoding::Base64 && !looks_like_base64(body) {
        Cow::Borrowed(body)
    } else {
        bytes(encoding, body)
    };
    let decoded = match charset.map(str::trim).and_then(decoder) {
        Some(decode) => Cow::Owned(decode(&content)),
        None => String::from_utf8_lossy(&content),
    };
    normalized(decoded.strip_prefix('\u{feff}').unwrap_or(&decoded))
}

/// A text that a stranger calls `charset`, as UTF-8 with LF line ends, without NUL and byte order mark. An unknown or
/// absent name means UTF-8 where the bytes are that.
#[must_use]
pub fn decode_text(charset: Option<&str>, bytes: &[u8]) -> String {
    text(Encoding::Identity, charset, bytes)
}

/// `None`: UTF-8. ASCII counts as UTF-8, which is what mislabelled mail holds.
fn decoder(charset: &str) -> Option<fn(&[u8]) -> String> {
    let plain = ["us-ascii", "ascii", "utf-8", "utf8"].iter().any(|name| charset.eq_ignore_ascii_case(name));
    if plain || charset.is_empty() || charset.len() > MAX_CHARSET {
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
            text(Encoding::Base64, None, b"Hello, this is no base64.\r\n"),
            "Hello, this is no base64.\n"
        );
        assert_eq!(text(Encoding::Base64, None, b"aGVsbG8="), "hello");
    }
}
