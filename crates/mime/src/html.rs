//! Small conversions between HTML and text for quoting; no renderer.

use std::{borrow::Cow, sync::LazyLock};

use regex::Regex;

/// Ends of blocks that start a new line in text.
static BLOCK_END: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)</(?:div|li|tr|h[1-6]|blockquote|ul|ol|table|pre)\s*>").expect("the pattern is constant")
});

/// Tags of the document around the body.
static DOCUMENT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)<!doctype[^<>]*>|</?(?:html|body)\b[^<>]*>").expect("the pattern is constant")
});

/// Characters with a meaning in HTML become entities.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

/// Text as HTML with the same line breaks.
pub(crate) fn from_text(text: &str) -> String {
    escape(text.trim_end_matches('\n')).replace('\n', "<br>\n")
}

/// HTML with the tags stripped; ends of blocks become line breaks.
#[must_use]
pub fn to_text(html: &str) -> String {
    let marked = BLOCK_END.replace_all(html, "<br>");
    let text = mail_parser::decoders::html::html_to_text(&marked);
    let mut out = String::with_capacity(text.len());
    let mut blank = 0;
    for line in text.lines().map(str::trim) {
        blank = if line.is_empty() { blank + 1 } else { 0 };
        if blank < 2 && !(out.is_empty() && line.is_empty()) {
            out.push_str(line);
            out.push('\n');
        }
    }
    out.trim_end().to_owned()
}

/// What is inside the body of an HTML document, so that it can stand inside another one.
pub(crate) fn inner(html: &str) -> Cow<'_, str> {
    let lower = html.to_ascii_lowercase();
    let head = lower
        .find("<head")
        .filter(|&at| matches!(lower.as_bytes().get(at + 5), Some(b'>' | b' ' | b'\n' | b'\t')));
    let without_head = match head.and_then(|start| {
        let close = start + lower.get(start..)?.find("</head")?;
        let end = close + lower.get(close..)?.find('>')? + 1;
        Some(format!("{}{}", html.get(..start)?, html.get(end..)?))
    }) {
        Some(owned) => Cow::Owned(owned),
        None => Cow::Borrowed(html),
    };
    match DOCUMENT.replace_all(&without_head, "") {
        Cow::Owned(stripped) => Cow::Owned(stripped),
        Cow::Borrowed(_) => without_head,
    }
}

/// Puts `addition` at the end of a document's body, or at the end of a fragment.
pub(crate) fn append(html: &str, addition: &str) -> String {
    let lower = html.to_ascii_lowercase();
    let at = lower.rfind("</body").or_else(|| lower.rfind("</html")).unwrap_or(html.len());
    format!("{}{addition}{}", html.get(..at).unwrap_or(html), html.get(at..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions() {
        assert_eq!(from_text("a < b\n\"c\"\n"), "a &lt; b<br>\n&quot;c&quot;");
        assert_eq!(
            to_text("<style>x{}</style><div>Hi &amp; bye</div><p>two<br>three</p>"),
            "Hi & bye\ntwo\nthree"
        );
        assert_eq!(
            inner(
                "<!DOCTYPE html><html><head><title>t</title></head><body class=\"a\"><p>x</p></body></html>"
            ),
            "<p>x</p>"
        );
        assert_eq!(append("<html><body>a</BODY></html>", "b"), "<html><body>ab</BODY></html>");
        assert_eq!(append("a", "b"), "ab");
    }
}
