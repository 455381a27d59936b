//! Small conversions between HTML and text for quoting; no renderer.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// Ends of blocks that start a new line in text.
static BLOCK_END: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)</(?:div|li|tr|h[1-6]|blockquote|ul|ol|table|pre)\s*>").expect("the pattern is constant")
});

/// Starts of items and ends of cells, which must not grow together with what stands beside them.
static ITEM_START: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?i)<(?:li|dt|dd|tr)\b").expect("the pattern is constant"));
static CELL_END: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?i)</t[dh]\s*>").expect("the pattern is constant"));

/// Tags of links; the attributes of an opening one are captured.
static LINK: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?i)<a(\s[^<>]*)>|</a\s*>").expect("the pattern is constant"));
static HREF: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)\shref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))"#).expect("the pattern is constant")
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
    let marked = CELL_END.replace_all(&marked, "$0 ");
    let marked = ITEM_START.replace_all(&marked, |found: &Captures<'_>| {
        // What ends before an item begins has ended its line.
        let above = found.get(0).and_then(|tag| marked.get(..tag.start())).unwrap_or_default();
        let tag = found.get(0).map_or("", |tag| tag.as_str());
        let ended = above.is_empty() || above.trim_end().ends_with("<br>") || above.trim_end().ends_with('>');
        if ended { tag.to_owned() } else { format!("<br>{tag}") }
    });
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

/// The same with the targets of links behind their texts, where these do not name them.
pub(crate) fn to_text_with_links(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut done = 0;
    let mut open: Option<(usize, &str)> = None;
    for found in LINK.captures_iter(html) {
        let Some(tag) = found.get(0) else { continue };
        out.push_str(html.get(done..tag.start()).unwrap_or_default());
        done = tag.start();
        match (found.get(1), open.take()) {
            (Some(attributes), _) => {
                let href = HREF.captures(attributes.as_str());
                let target = href.and_then(|href| href.iter().skip(1).flatten().next());
                open = target
                    .map(|target| target.as_str())
                    .filter(|target| target.starts_with("http:") || target.starts_with("https:"))
                    .map(|target| (tag.end(), target));
            }
            (None, Some((from, target))) => {
                let text = to_text(html.get(from..tag.start()).unwrap_or_default());
                let bare =
                    target.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
                if !text.is_empty() && !text.contains(bare) {
                    out.push_str(&format!(" ({target})"));
                }
            }
            (None, None) => {}
        }
    }
    out.push_str(html.get(done..).unwrap_or_default());
    to_text(&out)
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
            to_text(
                "<table><tr><td>A</td><td>B</td></tr><tr><td>C</td></tr></table><ul><li>one<li>two</li></ul>"
            ),
            "A B\nC\n\none\ntwo"
        );
        let links = "<a href=\"https://x.test/a?b=1&amp;c\">here</a>, <a class=x href='https://y.test/'>y.test</a> <a>z</a>";
        assert_eq!(to_text_with_links(links), "here (https://x.test/a?b=1&c), y.test z");
        assert_eq!(append("<html><body>a</BODY></html>", "b"), "<html><body>ab</BODY></html>");
        assert_eq!(append("a", "b"), "ab");
    }
}
