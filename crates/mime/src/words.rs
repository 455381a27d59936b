//! Encoded words (RFC 2047) as they are met: without padding, with spaces in them, next to brackets, and with a character
//! that is spread over two of them. Time is linear in the value.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::decode::{self, Encoding};

/// Longest name of a character set with its language.
const MAX_NAME: usize = 60;

/// One word with the bytes of its text.
#[derive(Debug)]
struct Word<'x> {
    charset: &'x str,
    bytes: Vec<u8>,
    /// Bytes of the value that it takes.
    len: usize,
}

/// A value without folding as text: bytes that are no UTF-8 are windows-1252, words are decoded.
pub(crate) fn decoded(value: &[u8]) -> String {
    replaced(&unfolded(&decode::guessed(value)), str::to_owned).into_owned()
}

/// A value for the parsers of structured fields: UTF-8, and each run of words as one word that they can read.
pub(crate) fn normalized(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.windows(2).any(|pair| pair == b"=?") && std::str::from_utf8(value).is_ok() {
        return Cow::Borrowed(value);
    }
    let text = decode::guessed(value);
    let encode = |text: &str| format!("=?utf-8?B?{}?=", STANDARD.encode(text));
    Cow::Owned(replaced(&text, encode).into_owned().into_bytes())
}

/// Line breaks with the white space around them become one space.
fn unfolded(value: &str) -> Cow<'_, str> {
    if !value.contains(['\r', '\n']) {
        return Cow::Borrowed(value);
    }
    let lines: Vec<&str> = value
        .split(['\r', '\n'])
        .map(|line| line.trim_matches([' ', '\t']))
        .filter(|line| !line.is_empty())
        .collect();
    Cow::Owned(lines.join(" "))
}

/// The value with each run of words written as `write` gives it.
fn replaced(value: &str, write: impl Fn(&str) -> String) -> Cow<'_, str> {
    if !value.contains("=?") {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    // Behind the last end of a word there are no words.
    let last_end = value.rfind("?=").unwrap_or(0);
    while let Some(start) = rest.find("=?") {
        let (before, from) = rest.split_at(start);
        let at = value.len() - from.len();
        let Some(first) = (at < last_end).then(|| word(from)).flatten() else {
            out.push_str(before);
            out.push_str("=?");
            rest = from.get(2..).unwrap_or_default();
            continue;
        };
        out.push_str(before);
        let mut run = String::new();
        let Word { mut charset, mut bytes, len } = first;
        rest = from.get(len..).unwrap_or_default();
        loop {
            // White space between two words is none of the text.
            let next = rest.trim_start_matches([' ', '\t', '\r', '\n']);
            let near = if value.len() - next.len() < last_end { word(next) } else { None };
            let Some(next_word) = near else { break };
            if next_word.charset.eq_ignore_ascii_case(charset) {
                bytes.extend_from_slice(&next_word.bytes);
            } else {
                run.push_str(&decode::named(charset, &bytes));
                (charset, bytes) = (next_word.charset, next_word.bytes);
            }
            rest = next.get(next_word.len..).unwrap_or_default();
        }
        run.push_str(&decode::named(charset, &bytes));
        out.push_str(&write(&run));
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The word at the start of `text`.
fn word(text: &str) -> Option<Word<'_>> {
    let inner = text.strip_prefix("=?")?;
    let (name, after) = decode::clipped(inner, MAX_NAME)
        .split_once('?')
        .map(|(name, _)| (name, inner.get(name.len() + 1..)))?;
    let charset = name.split('*').next().unwrap_or_default();
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'=' | b'"' | b'<' | b'>' | b'(' | b')');
    let (kind, content) = after?.split_at_checked(2)?;
    if charset.is_empty() || !charset.bytes().all(plain) {
        return None;
    }
    let end = content.find('?').filter(|&end| content.get(end..).is_some_and(|rest| rest.starts_with("?=")));
    let (encoded, quoted) = match kind {
        "B?" | "b?" => (content.get(..end?)?, false),
        // A question mark belongs to the text unless an equals sign follows.
        "Q?" | "q?" => (content.get(..content.find("?=")?)?, true),
        _ => return None,
    };
    let bytes = if quoted {
        let spaced = encoded.replace('_', " ");
        // The marker keeps white space at the end, which lines of bodies lose.
        let mut bytes =
            decode::bytes(Encoding::QuotedPrintable, format!("{spaced}=20").as_bytes()).into_owned();
        bytes.pop();
        bytes
    } else {
        decode::bytes(Encoding::Base64, encoded.as_bytes()).into_owned()
    };
    let len = text.len() - content.len() + encoded.len() + 2;
    Some(Word { charset, bytes, len })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_met() {
        for (value, want) in [
            ("=?utf-8?B?SGVsbG8?=", "Hello"),
            ("=?utf-8?B?w5w=?= =?utf-8?B?YmVy?=", "Über"),
            ("=?utf-8?B?ww==?=\r\n =?UTF-8?B?nGJlcg==?= alles", "Über alles"),
            ("=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"),
            ("(=?utf-8?q?=C3=BC?=)", "(ü)"),
            ("=?utf-8?Q?with space = in_it?= tail", "with space = in it tail"),
            ("=?utf-8?Q?abc?==?utf-8?Q?def?=foo", "abcdeffoo"),
            ("=?utf-8?Q?why??= a", "why? a"),
            ("a =?utf-8?Q?b_?= =?iso-8859-1*de?Q?=FC?= c", "a b ü c"),
            ("=?us-ascii?Q?caf=E9?=", "café"),
            ("=?utf-8?Q?open", "=?utf-8?Q?open"),
            ("=?x?Z?a?= =??Q?a?=", "=?x?Z?a?= =??Q?a?="),
            ("1 =? 2 ?= 3", "1 =? 2 ?= 3"),
            ("a\r\n\tb\r\n   c ", "a b c"),
        ] {
            assert_eq!(decoded(value.as_bytes()), want, "{value}");
        }
        assert_eq!(decoded(b"Gr\xfc\xdfe \x80"), "Grüße €");
        assert_eq!(normalized(b"=?utf-8?B?ww?= =?utf-8?B?nA?= <a@x>"), b"=?utf-8?B?w5w=?= <a@x>".as_slice());
    }

    #[test]
    fn a_value_full_of_beginnings_ends() {
        for value in ["=?utf-8?Q?".repeat(400_000), format!("{}?=", "=?utf-8?B?a?b".repeat(300_000))] {
            assert!(decoded(value.as_bytes()).len() <= value.len());
        }
    }
}
