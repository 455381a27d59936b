//! Message ids: their bracketed form, which of them can stand in a path, and how they link threads.

use crate::Parsed;

/// Longest id in bytes: one header line (RFC 5322 section 2.1.1).
pub(crate) const MAX_ID: usize = 998;
/// Most ids that are asked for when a thread is looked up.
const MAX_CANDIDATES: usize = 100;

/// Whether the platform can use the id (with its brackets) as `message_id`, or has to issue a substitute: at most 998 bytes, an
/// `@`, no white space, control characters, `?`, `#`, `%`, `\`, and no empty, `.` or `..` segment between slashes.
#[must_use]
pub fn usable_message_id(id: &str) -> bool {
    id.len() <= MAX_ID
        && id.contains('@')
        && !id.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '%' | '\\'))
        && id.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

/// The id with angle brackets, added where missing.
#[must_use]
pub fn bracketed(id: &str) -> String {
    let id = id.trim();
    match (id.starts_with('<'), id.ends_with('>')) {
        (true, true) => id.to_owned(),
        (true, false) => format!("{id}>"),
        (false, true) => format!("<{id}"),
        (false, false) => format!("<{id}>"),
    }
}

/// Ids that may name the thread, the most telling first: In-Reply-To, then References from last to first; each once, at most
/// 100.
#[must_use]
pub fn thread_candidates(p: &Parsed) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for id in p.in_reply_to.iter().chain(p.references.iter().rev()) {
        if out.len() == MAX_CANDIDATES {
            break;
        }
        if !out.contains(id) {
            out.push(id.clone());
        }
    }
    out
}

/// The id of a Message-ID value: the bracketed part, or all of it.
pub(crate) fn own(value: &str) -> Option<String> {
    let value = value.trim();
    let id = value.find('<').and_then(|start| {
        let rest = value.get(start..)?;
        rest.find('>').and_then(|end| rest.get(..=end))
    });
    let id = id.map_or_else(|| bracketed(value), str::to_owned);
    (!value.is_empty() && id != "<>").then_some(id)
}

/// The ids of an In-Reply-To or References value. Words outside brackets count when they contain `@`; with `strict`, only when
/// there are no bracketed ids (old programs write prose with addresses into In-Reply-To).
pub(crate) fn list(value: &str, strict: bool, out: &mut Vec<String>) {
    let mut words = Vec::new();
    let mut bracketed_ids = false;
    let mut rest = value;
    while let Some(start) = rest.find('<') {
        let (before, after) = rest.split_at(start);
        words.push((before, false));
        let Some(end) = after.find('>') else {
            rest = after.strip_prefix('<').unwrap_or_default();
            break;
        };
        let (id, tail) = after.split_at(end + 1);
        if id != "<>" {
            words.push((id, true));
            bracketed_ids = true;
        }
        rest = tail;
    }
    words.push((rest, false));
    for (text, is_id) in words {
        if is_id {
            out.push(text.to_owned());
        } else if !(strict && bracketed_ids) {
            let separate = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '"' | '>');
            out.extend(text.split(separate).filter(|word| word.contains('@')).map(bracketed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dangerous_ids_are_not_usable() {
        for (id, usable) in [
            ("<a@x.test>", true),
            ("<a/b@x.test>", true),
            ("<a>", false),
            ("<a b@x.test>", false),
            ("<a?@x.test>", false),
            ("<a#@x.test>", false),
            ("<a%2f@x.test>", false),
            ("<a\\@x.test>", false),
            ("<a//b@x.test>", false),
            ("<a/../b@x.test>", false),
            ("<a/./b@x.test>", false),
            ("<a\u{7}@x.test>", false),
        ] {
            assert_eq!(usable_message_id(id), usable, "{id}");
        }
        assert!(usable_message_id(&format!("<{}@x>", "a".repeat(994))));
        assert!(!usable_message_id(&format!("<{}@x>", "a".repeat(995))));
    }

    #[test]
    fn ids_are_found_with_and_without_brackets() {
        for (value, strict, want) in [
            ("<a@x> <b@x>", false, vec!["<a@x>", "<b@x>"]),
            ("a@x b@x", false, vec!["<a@x>", "<b@x>"]),
            ("a@x <b@x>, c@x", false, vec!["<a@x>", "<b@x>", "<c@x>"]),
            ("Message from bob@x of Monday <b@x>", true, vec!["<b@x>"]),
            ("<a@x", false, vec!["<a@x>"]),
            ("<> prose", false, vec![]),
        ] {
            let mut got = Vec::new();
            list(value, strict, &mut got);
            assert_eq!(got, want, "{value}");
        }
    }

    #[test]
    fn own_ids_are_as_on_the_wire() {
        for (value, want) in [
            ("<a@x>", Some("<a@x>")),
            ("a@x", Some("<a@x>")),
            ("<a b@x> (comment)", Some("<a b@x>")),
            ("", None),
            ("<>", None),
        ] {
            assert_eq!(own(value).as_deref(), want, "{value}");
        }
    }
}
