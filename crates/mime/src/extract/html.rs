//! Reply extraction from HTML: cut before the first quote container or quote signal, rescue a signature from below
//! the quote, remove comments, drop footers. Tags are not balanced: what remains is a prefix of the source, with at
//! most a signature behind it.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use super::clip_chars;
use super::flatten::{Flat, Kind, LINE_BREAK, Tag, find_ignore_case};
use super::signals::{self as signal, glued_attribution};
use super::text::is_bounce;

/// `On … wrote:` spans at most so many characters.
const ON_WROTE_MAX_CHARS: usize = 200;
/// A signature below the quote has at most so many visible characters.
const SIGNATURE_MAX_CHARS: usize = 400;
/// Attributions of one document that are looked at.
const VERBS_MAX: usize = 256;

fn attribute(name: &str, values: &str) -> Regex {
    let pattern = format!(
        r#"(?i)\s{name}\s*=\s*(?:"[^"]{{0,300}}(?:{values})|'[^']{{0,300}}(?:{values})|[^\s>"']{{0,300}}(?:{values}))"#
    );
    Regex::new(&pattern).expect("the pattern is a constant that the tests compile")
}

static QUOTE_CLASS: LazyLock<Regex> = LazyLock::new(|| {
    attribute(
        "class",
        "gmail_quote|moz-cite-prefix|yahoo_quoted|protonmail_quote|zmail_extra|ms-outlook-mobile-reference-message",
    )
});
static QUOTE_ID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)\sid\s*=\s*["']?(?:x_)*(?:appendonsend|divRplyFwdMsg|mail-editor-reference-message-container)(?:["'\s>/]|$)"#)
        .expect("the pattern is a constant that the tests compile")
});
/// Containers that have a name only.
static QUOTE_NAME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)\sname\s*=\s*["']?(?:quote|messageReplySection)(?:["'\s>/]|$)"#)
        .expect("the pattern is a constant that the tests compile")
});
static OUTLOOK_ID: LazyLock<Regex> = LazyLock::new(|| attribute("id", "OLK_SRC_BODY_SECTION"));
static RULE_WIDTH: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?i)width\s*[:=]\s*["']?\s*98%"#).expect("the pattern is a constant that the tests compile")
});

/// What the author newly wrote in an HTML body; `None` when nothing that a reader could see remains.
#[must_use]
pub fn extract_html(html: &str) -> Option<String> {
    let flat = Flat::of(html);
    if is_bounce(&flat.text) {
        return visible(html, &flat);
    }
    let Some(cut) = first_cut(&flat) else { return without_noise(html) };
    if is_forward(&flat, &cut) {
        return visible(html, &flat);
    }
    let mut kept = html.get(..cut.source).unwrap_or_default().to_owned();
    if let Some(signature) = signature_below(html, &flat, &cut) {
        kept.push_str(signature);
    }
    without_noise(&kept)
}

#[derive(Debug, Clone, Copy)]
struct Cut {
    source: usize,
    flat: usize,
}

fn first_cut(flat: &Flat<'_>) -> Option<Cut> {
    let container = flat
        .tags
        .iter()
        .find(|tag| is_quote_container(tag))
        .map(|tag| Cut { source: tag.source.start, flat: tag.flat });
    // Text below the first container cannot be the earliest signal.
    let above = container.map_or(flat.text.len(), |cut| cut.flat);
    let text = flat.text.get(..above).unwrap_or_default();
    let signal = if signal::HTML_ANY.is_match(text) { first_signal(flat, text) } else { None };
    [container, signal.map(|at| Cut { source: flat.cut_before(at), flat: at })]
        .into_iter()
        .flatten()
        .min_by_key(|cut| cut.source)
}

fn is_quote_container(tag: &Tag<'_>) -> bool {
    if tag.kind == Kind::Other {
        return tag.is("hr") && RULE_WIDTH.is_match(tag.content);
    }
    tag.is("blockquote")
        || (tag.is("div")
            && (QUOTE_CLASS.is_match(tag.content)
                || QUOTE_ID.is_match(tag.content)
                || QUOTE_NAME.is_match(tag.content)))
        || (tag.content.contains("OLK_SRC_BODY") && OUTLOOK_ID.is_match(tag.content))
}

/// The earliest place of the text where a quote announces itself in words.
fn first_signal(flat: &Flat<'_>, text: &str) -> Option<usize> {
    let sender = signal::HTML_FROM.find(text).map(|found| {
        let blank = found.as_str().len() - found.as_str().trim_start().len();
        found.start() + blank
    });
    let unspaced = signal::HTML_UNSPACED.find(text).map(|found| attribution_start(flat, found.start()));
    let divider = signal::DIVIDER_ANYWHERE.find(text).map(|found| found.start());
    let dated = dated_address(flat, text);
    [english(flat, text), foreign(flat, text), sender, unspaced, divider, dated].into_iter().flatten().min()
}

/// `On … wrote:` within one block.
fn english(flat: &Flat<'_>, text: &str) -> Option<usize> {
    signal::WROTE.find_iter(text).take(VERBS_MAX).find_map(|verb| {
        let above = text.get(..verb.start())?;
        let block = above.rfind('\n').map_or(0, |position| position + 1);
        let reach = above.char_indices().rev().nth(ON_WROTE_MAX_CHARS - 1).map_or(0, |(at, _)| at);
        let from = block.max(reach);
        let window = above.get(from..)?;
        let openers = signal::HTML_ON.find_iter(window).map(|found| from + found.start());
        // Of several openers the last one that is followed by a date, as names may hold an "on" as well.
        openers
            .filter_map(|at| {
                let whole = text.get(at..verb.end())?;
                let dated = signal::DATE_TOKEN.is_match(whole);
                let opens_line = flat.is_blank_between(flat.line_start(at), at);
                // Inside of a line it must look like an attribution, or "based on what you wrote: no" would be cut.
                (opens_line || dated || signal::ADDRESS.is_match(whole)).then_some((dated, opens_line, at))
            })
            .max()
            .map(|(_, _, at)| at)
    })
}

/// A foreign "wrote" with its colon within one block.
fn foreign(flat: &Flat<'_>, text: &str) -> Option<usize> {
    signal::HTML_FOREIGN.find_iter(text).take(VERBS_MAX).find_map(|found| {
        let start = attribution_start(flat, found.start());
        let (from, to) = (flat.line_start(found.start()), found.end());
        let line = text.get(from..)?.split(['\n', LINE_BREAK]).next()?;
        if let Some((glued, _)) = glued_attribution(super::clip(line, 16 * 1024)) {
            return Some(from + glued);
        }
        // The verb and a colon alone also occur in prose; an attribution ends its line or tells when or who.
        let ends_line =
            text.get(to..).unwrap_or_default().trim_start_matches(' ').starts_with(['\n', LINE_BREAK])
                || found.as_str().ends_with(['\n', LINE_BREAK])
                || flat.is_blank_between(to, text.len());
        let whole = text.get(start..to)?;
        let told = if signal::FOREIGN_VERB.is_match(found.as_str()) {
            ends_line || signal::DATE_TOKEN.is_match(whole)
        } else {
            signal::YEAR.is_match(whole)
        };
        (told || signal::ADDRESS.is_match(whole)).then_some(start)
    })
}

/// A line with a year and a time of day that ends with an address and a colon, in whatever language.
fn dated_address(flat: &Flat<'_>, text: &str) -> Option<usize> {
    signal::HTML_ADDRESS_END.find_iter(text).take(VERBS_MAX).find_map(|found| {
        let start = flat.line_start(found.start());
        let line = super::clip(text.get(start..found.end())?, 4096);
        (signal::YEAR.is_match(line) && signal::CLOCK.is_match(line)).then_some(start)
    })
}

/// The start of the attribution whose verb stands at `at`: its line, or up to two lines above in the same block
/// when the attribution wraps and begins there with date and time.
fn attribution_start(flat: &Flat<'_>, at: usize) -> usize {
    let line = flat.line_start(at);
    let mut start = line;
    for _ in 0..2 {
        let Some(previous) = start.checked_sub(1) else { break };
        if !flat.text.get(previous..).is_some_and(|rest| rest.starts_with(LINE_BREAK)) {
            break;
        }
        let above = flat.line_start(previous);
        let text = super::clip(flat.text.get(above..previous).unwrap_or_default(), 4096);
        if text.trim().is_empty() {
            break;
        }
        if signal::YEAR.is_match(text) && signal::CLOCK.is_match(text) {
            return above;
        }
        start = above;
    }
    line
}

/// A forward divider above the cut, or as the first visible thing of the container that was taken for a quote.
fn is_forward(flat: &Flat<'_>, cut: &Cut) -> bool {
    signal::FORWARD_ANYWHERE
        .find(&flat.text)
        .is_some_and(|found| found.start() <= cut.flat || flat.is_blank_between(cut.flat, found.start()))
}

/// What follows the last quote, if it looks like a signature and is short.
fn signature_below<'a>(html: &'a str, flat: &Flat<'_>, cut: &Cut) -> Option<&'a str> {
    let close = flat.tags.iter().rev().find(|tag| tag.is("/blockquote"))?;
    if close.source.start < cut.source {
        return None;
    }
    let tail = html.get(close.source.end..)?;
    let below = Flat::of(tail);
    if first_cut(&below).is_some() || signal::FORWARD_ANYWHERE.is_match(&below.text) {
        return None;
    }
    let kept = tail.get(..footer_start(&below).unwrap_or(tail.len()))?;
    let below = Flat::of(kept);
    let visible = below
        .text
        .chars()
        .filter(|&character| !super::is_blank(character))
        .take(SIGNATURE_MAX_CHARS + 1)
        .count();
    let is_short = (1..=SIGNATURE_MAX_CHARS).contains(&visible);
    let is_signature = || {
        signal::SIGN_OFF.is_match(&below.lines())
            || below.tags.iter().any(|tag| {
                tag.content.contains("gmail_signature")
                    || (tag.is("a") && find_ignore_case(tag.content, "href").is_some())
            })
    };
    (is_short && is_signature()).then_some(kept)
}

/// Source offset of the first block that is a footer.
fn footer_start(flat: &Flat<'_>) -> Option<usize> {
    let worded = signal::footer(&flat.lines());
    // A link that says "unsubscribe" is an instruction by itself.
    let linked = flat
        .tags
        .iter()
        .filter(|tag| tag.is("a"))
        .find(|tag| {
            let shown = flat.text.get(tag.flat..).unwrap_or_default().trim_start_matches(super::is_blank);
            clip_chars(shown, 11).eq_ignore_ascii_case("unsubscribe")
        })
        .map(|tag| flat.line_start(tag.flat));
    [worded, linked].into_iter().flatten().min().map(|at| flat.cut_before(at))
}

/// The last steps: comments go, then everything from the first footer block on.
fn without_noise(html: &str) -> Option<String> {
    let html = without_comments(html);
    let flat = Flat::of(&html);
    match footer_start(&flat) {
        Some(end) => {
            let kept = html.get(..end)?;
            visible(kept, &Flat::of(kept))
        }
        None => visible(&html, &flat),
    }
}

/// Removes `<!-- -->` everywhere and `/* */` inside of style sheets. An unclosed comment reaches to the end, as it
/// does in browsers.
fn without_comments(html: &str) -> Cow<'_, str> {
    if !html.contains("<!--") && !html.contains("/*") {
        return Cow::Borrowed(html);
    }
    let mut kept = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let (before, from) = rest.split_at(start);
        kept.push_str(before);
        if let Some(comment) = from.strip_prefix("<!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
        } else if from.get(..6).is_some_and(|tag| tag.eq_ignore_ascii_case("<style")) {
            let end = find_ignore_case(from, "</style").unwrap_or(from.len());
            let (sheet, after) = from.split_at(end);
            push_without_css_comments(&mut kept, sheet);
            rest = after;
        } else {
            kept.push('<');
            rest = from.get(1..).unwrap_or_default();
        }
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

fn push_without_css_comments(kept: &mut String, sheet: &str) {
    let mut rest = sheet;
    while let Some((before, comment)) = rest.split_once("/*") {
        kept.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    // Outlook wraps whole style sheets in HTML comment marks; browsers skip the marks, and so does this.
    kept.push_str(rest);
}

/// The trimmed body, if it shows anything: text, or a picture.
fn visible(html: &str, flat: &Flat<'_>) -> Option<String> {
    let shows = flat.text.chars().any(|character| !super::is_blank(character))
        || flat
            .tags
            .iter()
            .any(|tag| ["img", "svg", "video", "audio", "object"].iter().any(|name| tag.is(name)));
    shows.then(|| html.trim().to_owned())
}
