//! Elements that a style sheet hides. The sanitiser drops style sheets, so what they hide is marked with the attribute
//! `hidden` first: preheaders and contents for other screens must not appear because the rule that hid them is gone.
//!
//! Rules of one element count (`.a`, `td.a.b`, `#id`); what needs the tree, a width or a state is left as it is.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use crate::extract::{Flat, Tag, find_ignore_case};
use crate::markdown::hides;

/// Style sheets are read up to so many bytes in total.
const SHEETS_MAX_BYTES: usize = 256 * 1024;
/// Hiding selectors kept.
const SELECTORS_MAX: usize = 1024;
/// Rules looked at for one class or id.
const RULES_PER_KEY_MAX: usize = 16;
/// Classes of one element that are looked at.
const CLASSES_MAX: usize = 32;

/// Marks the elements that a style sheet of the document hides.
pub(crate) fn mark(html: &str) -> Cow<'_, str> {
    if find_ignore_case(html, "<style").is_none() {
        return Cow::Borrowed(html);
    }
    let flat = Flat::of(html);
    let rules = Rules::of(html, &flat);
    if rules.0.is_empty() {
        return Cow::Borrowed(html);
    }
    let mut out = String::with_capacity(html.len() + 64);
    let mut done = 0;
    for tag in flat.tags.iter().filter(|tag| rules.hide(tag)) {
        let name_end = tag.source.start + 1 + tag.name.len();
        out.push_str(html.get(done..name_end).unwrap_or_default());
        out.push_str(" hidden=\"\"");
        done = name_end;
    }
    out.push_str(html.get(done..).unwrap_or_default());
    Cow::Owned(out)
}

/// A selector of one element, its key (see [`Rules`]) left out.
#[derive(Debug)]
struct Rule {
    element: String,
    classes: Vec<String>,
    important: bool,
}

/// Hiding rules by `.class` or `#id`.
#[derive(Debug)]
struct Rules(HashMap<String, Vec<Rule>>);

impl Rules {
    fn of(html: &str, flat: &Flat<'_>) -> Self {
        let mut found = BTreeMap::new();
        let mut left = SHEETS_MAX_BYTES;
        for pair in flat.tags.windows(2) {
            let [open, close] = pair else { continue };
            if !open.is("style") || !applies(attribute(open.content, "media").unwrap_or_default()) {
                continue;
            }
            let sheet = html.get(open.source.end..close.source.start).unwrap_or_default();
            let sheet = crate::extract::clip(sheet, left);
            left -= sheet.len();
            read(&without_comments(sheet), &mut found);
        }
        let mut rules: HashMap<String, Vec<Rule>> = HashMap::new();
        for (selector, important) in found {
            let Some((key, rule)) = parse(&selector, important) else { continue };
            let known = rules.entry(key).or_default();
            if known.len() < RULES_PER_KEY_MAX {
                known.push(rule);
            }
        }
        Self(rules)
    }

    fn hide(&self, tag: &Tag<'_>) -> bool {
        if tag.name.starts_with(['/', '!', '?']) || tag.is("body") || tag.is("html") {
            return false;
        }
        let classes: Vec<&str> = attribute(tag.content, "class")
            .unwrap_or_default()
            .split_ascii_whitespace()
            .take(CLASSES_MAX)
            .collect();
        let id = attribute(tag.content, "id").map(|id| format!("#{id}"));
        let keys = classes.iter().map(|class| format!(".{class}")).chain(id);
        let applying: Vec<&Rule> = keys
            .filter_map(|key| self.0.get(&key))
            .flatten()
            .filter(|rule| rule.element.is_empty() || tag.is(&rule.element))
            .filter(|rule| rule.classes.iter().all(|class| classes.contains(&class.as_str())))
            .collect();
        // What the element says about itself goes before a rule that does not insist.
        let says =
            attribute(tag.content, "style").is_some_and(|own| own.to_ascii_lowercase().contains("display"));
        applying.iter().any(|rule| rule.important || !says)
    }
}

/// Whether a condition on the medium holds on every screen.
fn applies(media: &str) -> bool {
    let media = media.to_ascii_lowercase();
    media.trim().is_empty()
        || !media.contains(['(', ',']) && (media.contains("screen") || media.contains("all"))
}

fn without_comments(sheet: &str) -> String {
    let mut out = String::with_capacity(sheet.len());
    let mut rest = sheet;
    while let Some((before, comment)) = rest.split_once("/*") {
        out.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out.replace("<!--", " ").replace("-->", " ")
}

/// Collects the selectors that hide, with whether they insist; a later rule that shows takes one away.
fn read(sheet: &str, found: &mut BTreeMap<String, bool>) {
    let mut rest = sheet;
    while let Some((prelude, body)) = rest.split_once('{') {
        // Statements such as `@import …;` and stray brackets stand in front of a selector.
        let prelude = prelude.rsplit([';', '}']).next().unwrap_or_default().trim();
        if let Some(at) = prelude.strip_prefix('@') {
            // The rules inside of a block for every screen are read as if they stood outside.
            let open = at.strip_prefix("media").is_some_and(applies);
            rest = if open { body } else { body.get(block_end(body)..).unwrap_or_default() };
            continue;
        }
        let (declarations, after) = body.split_once('}').unwrap_or((body, ""));
        rest = after;
        let lower = declarations.to_ascii_lowercase();
        let (hiding, insists, shows) =
            (hides(declarations), lower.contains("!important"), lower.contains("display"));
        for selector in prelude.split(',').map(str::trim) {
            if hiding {
                if found.len() < SELECTORS_MAX {
                    found.insert(selector.to_owned(), insists);
                }
            } else if shows {
                found.remove(selector);
            }
        }
    }
}

/// Bytes up to behind the bracket that closes a block with blocks in it.
fn block_end(body: &str) -> usize {
    let mut depth = 1_usize;
    for (at, byte) in body.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    body.len()
}

/// A selector as key and rule; `None` when it needs more than the element itself.
fn parse(selector: &str, important: bool) -> Option<(String, Rule)> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '#');
    if !selector.chars().all(plain) || selector.matches('#').count() > 1 {
        return None;
    }
    let start = selector.find(['.', '#'])?;
    let (element, marks) = selector.split_at(start);
    let (classes, id) = match marks.split_once('#') {
        Some((classes, id)) if !id.contains('.') => (classes, Some(id)),
        Some(_) => return None,
        None => (marks, None),
    };
    let mut classes: Vec<String> =
        classes.split('.').filter(|class| !class.is_empty()).map(str::to_owned).collect();
    let key = match id {
        Some(id) => format!("#{id}"),
        None => format!(".{}", classes.pop()?),
    };
    Some((key, Rule { element: element.to_owned(), classes, important }))
}

/// The value of an attribute of a tag as written; the first of that name.
fn attribute<'a>(tag: &'a str, wanted: &str) -> Option<&'a str> {
    let mut rest = tag.split_once(|c: char| c.is_ascii_whitespace() || c == '/')?.1;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        let end = rest.find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/'))?;
        let (name, after) = rest.split_at(end);
        let Some(value) = after.trim_start().strip_prefix('=').map(str::trim_start) else {
            if name.is_empty() {
                return None;
            }
            rest = after;
            continue;
        };
        let (value, after) = match value.chars().next()? {
            quote @ ('"' | '\'') => value.get(1..)?.split_once(quote)?,
            _ => value.split_at(value.find(|c: char| c.is_ascii_whitespace() || c == '>')?),
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sheet_hides_is_marked() {
        for (html, want) in [
            ("<style>.a{display:none}</style><p class=\"x a\">1</p>", "<p hidden=\"\" class=\"x a\">1</p>"),
            (
                "<STYLE>td.a,p.b { DISPLAY : none !important; }</STYLE><p class=b>1",
                "<p hidden=\"\" class=b>1",
            ),
            ("<style>td.a{display:none}</style><p class=a>1", "<p class=a>1"),
            ("<style>#a{max-height:0}</style><p id='a'>1", "<p hidden=\"\" id='a'>1"),
            (
                "<style>.a.b{display:none}</style><p class=a>1<p class='b a'>2",
                "<p class=a>1<p hidden=\"\" class='b a'>2",
            ),
            ("<style>/*.a{*/.b{display:none}</style><p class=a>1", "<p class=a>1"),
            ("<style><!-- .a{display:none} --></style><p class=a>1", "<p hidden=\"\" class=a>1"),
            (
                "<style>@media (max-width:600px){.a{display:none}}.b{color:red}</style><p class=a>1",
                "<p class=a>1",
            ),
            ("<style>@media screen{.a{display:none}}</style><p class=a>1", "<p hidden=\"\" class=a>1"),
            ("<style>@import 'x';.a{display:none}.a{display:block}</style><p class=a>1", "<p class=a>1"),
            ("<style>u + .g .a, .a:hover, [x] .a{display:none}</style><p class=a>1", "<p class=a>1"),
            (
                "<style>.a{display:none}</style><p class=a style='display:block'>1",
                "<p class=a style='display:block'>1",
            ),
            (
                "<!--[if mso]><style>.a{display:none}</style><![endif]--><style>p{}</style><p class=a>1",
                "<p class=a>1",
            ),
            ("<style>.a{display:none", ""),
        ] {
            let marked = mark(html);
            let got = marked.rsplit_once("</style>").or_else(|| marked.rsplit_once("</STYLE>"));
            assert_eq!(got.map_or("", |(_, body)| body), want, "{html}");
        }
    }

    #[test]
    fn hostile_sheets_end() {
        for css in [
            "@a{".repeat(100_000),
            "@media screen{".repeat(50_000),
            format!("{}{{display:none;{}}}", ".a,".repeat(60_000), "x:y;".repeat(20_000)),
            "/*".repeat(100_000),
            (0..40_000).map(|n| format!(".a{n}{{display:none}}")).collect(),
        ] {
            let html = format!("<style>{css}</style>{}", "<p class=\"a a1 a2 a3\">x".repeat(5_000));
            assert!(mark(&html).len() < html.len() * 2);
        }
    }
}
