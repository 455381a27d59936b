//! Reply extraction from plain text: decide whether anything may be cut, cut before the first quote signal, rescue
//! a signature from below the quote, drop footers.

use super::flatten::LINE_BREAK;
use super::signals::{self as signal, announces_bounce, glued_attribution, precedes_bounce};
use super::{SCAN_MAX_BYTES, clip, is_blank};

/// Lines examined; mail beyond that keeps its rest.
const LINES_MAX: usize = 50_000;
/// No attribution or header line is longer: of a longer line only the start is examined.
const LINE_MAX_BYTES: usize = 4096;
/// A glued attribution is looked for in so much of a line, as some senders put the whole mail on one.
const GLUED_LINE_MAX_BYTES: usize = 64 * 1024;
/// An attribution wraps over at most so many lines.
const ATTRIBUTION_MAX_LINES: usize = 3;
/// No label of a header line is longer than this with its colon.
const LABEL_MAX_BYTES: usize = 48;
/// Lines below a sender or underscore line in which its confirmation must stand.
const LOOK_AHEAD_LINES: usize = 3;
/// Prose between two quotes counts as an answer from this length on.
const PROSE_MIN_CHARS: usize = 20;
const PROSE_MIN_WORDS: usize = 4;

/// What the author newly wrote in a plain text body with LF line ends; `None` when nothing remains.
#[must_use]
pub fn extract_text(text: &str) -> Option<String> {
    let lines = Lines::of(clip(text, SCAN_MAX_BYTES));
    let kept = if lines.is_bounce() || lines.is_interleaved() {
        text.to_owned()
    } else {
        match lines.first_cut(0) {
            Some(cut) if !lines.is_forward(cut.line) => lines.without_quote(text, &cut),
            Some(_) | None => text.to_owned(),
        }
    };
    let end = signal::footer(&kept).unwrap_or(kept.len());
    let result = kept.get(..end).unwrap_or_default().trim();
    (!result.is_empty()).then(|| result.to_owned())
}

/// Whether the flattened text of a body announces a failed delivery.
pub(crate) fn is_bounce(flat: &str) -> bool {
    flat.split(['\n', LINE_BREAK])
        .map(|line| clip(line.trim_matches(is_blank), LINE_MAX_BYTES))
        .find(|line| !precedes_bounce(line))
        .is_some_and(announces_bounce)
}

#[derive(Debug)]
struct Line<'a> {
    /// Byte offset in the body.
    start: usize,
    /// Trimmed, and clipped to [`LINE_MAX_BYTES`].
    text: &'a str,
    /// `text` without quote marks.
    inner: &'a str,
    quoted: bool,
    /// Holds nothing but an attribution that was glued behind other text.
    glued: bool,
}

/// Which side of the quote marks a signal is looked for.
#[derive(Debug, Clone, Copy)]
enum Side {
    Outer,
    Inner,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signal {
    /// A `>` line.
    Quote,
    /// "On … wrote:" up to and including line `last`.
    Attribution { last: usize },
    /// Anything else: header blocks, dividers.
    Other,
}

#[derive(Debug)]
struct Cut {
    line: usize,
    signal: Signal,
}

#[derive(Debug)]
struct Lines<'a>(Vec<Line<'a>>);

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let mut lines = Vec::new();
        let mut start = 0;
        for raw in text.split('\n').take(LINES_MAX) {
            let glued = glued_attribution(clip(raw, GLUED_LINE_MAX_BYTES));
            if let Some((from, to)) = glued {
                for (range, is_glued) in [(0..from, false), (from..to, true), (to..raw.len(), false)] {
                    let part_start = start + range.start;
                    let part = raw.get(range).unwrap_or_default();
                    if !part.chars().all(is_blank) {
                        lines.push(Line::new(part_start, part, is_glued));
                    }
                }
            } else {
                lines.push(Line::new(start, raw, false));
            }
            start += raw.len() + 1;
        }
        Self(lines)
    }

    fn get(&self, index: usize) -> Option<&Line<'a>> {
        self.0.get(index)
    }

    fn view(&self, index: usize, side: Side) -> Option<&'a str> {
        self.get(index).map(|line| match side {
            Side::Outer => line.text,
            Side::Inner => line.inner,
        })
    }

    fn is_bounce(&self) -> bool {
        self.0.iter().map(|line| line.text).find(|line| !precedes_bounce(line)).is_some_and(announces_bounce)
    }

    /// Two blocks of quotes with a written answer between them.
    fn is_interleaved(&self) -> bool {
        let mut quote_seen = false;
        let mut answer_seen = false;
        let mut previous_blank = true;
        let mut previous_quoted = false;
        for (index, line) in self.0.iter().enumerate() {
            if line.quoted && previous_quoted {
                if answer_seen {
                    return true;
                }
                quote_seen = true;
            }
            if quote_seen && !answer_seen && previous_blank && line.is_prose() {
                answer_seen = !matches!(self.signal(index), Some(Signal::Attribution { .. }));
            }
            previous_blank = line.text.is_empty();
            previous_quoted = line.quoted;
        }
        false
    }

    /// A forwarded message that starts above line `cut`.
    fn is_forward(&self, cut: usize) -> bool {
        let first = self.0.iter().map(|line| line.text).find(|line| !line.is_empty());
        first.is_some_and(|line| signal::FORWARD_PREFIX.is_match(line))
            || self.0.iter().take(cut).any(|line| {
                line.text.ends_with(['-', '–', '—', ':', '\u{ff1a}'])
                    && signal::FORWARD_LINE.is_match(line.text)
            })
    }

    /// The first quote signal at or below line `from`.
    fn first_cut(&self, from: usize) -> Option<Cut> {
        (from..self.0.len()).find_map(|line| self.signal(line).map(|signal| Cut { line, signal }))
    }

    fn signal(&self, index: usize) -> Option<Signal> {
        let line = self.get(index)?;
        if line.glued {
            return Some(Signal::Attribution { last: index });
        }
        if line.quoted {
            let is_block = self.get(index + 1).is_some_and(|next| next.quoted);
            return (is_block || self.content_signal(index, Side::Inner).is_some()).then_some(Signal::Quote);
        }
        self.content_signal(index, Side::Outer)
    }

    /// All signals but the quote mark itself.
    fn content_signal(&self, index: usize, side: Side) -> Option<Signal> {
        let text = self.view(index, side)?;
        if text.len() >= 5 && text.bytes().all(|byte| byte == b'_') {
            let confirmed = (index + 1..self.0.len())
                .filter(|&below| self.view(below, side).is_some_and(|text| !text.is_empty()))
                .take(LOOK_AHEAD_LINES)
                .any(|below| self.is_signal_below_rule(below, side));
            return confirmed.then_some(Signal::Other);
        }
        self.line_signal(index, side)
    }

    /// Like [`Self::signal`] but blind to rules of underscores, so that a page of them costs linear time.
    fn is_signal_below_rule(&self, index: usize, side: Side) -> bool {
        let block = matches!(side, Side::Outer)
            && self.get(index).is_some_and(|line| line.quoted)
            && self.get(index + 1).is_some_and(|line| line.quoted);
        block || self.get(index).is_some_and(|line| line.glued) || self.line_signal(index, side).is_some()
    }

    fn line_signal(&self, index: usize, side: Side) -> Option<Signal> {
        let text = self.view(index, side)?;
        let attribution = Some(Signal::Attribution { last: index });
        match text.chars().next()? {
            '-' | '–' | '—' if signal::DIVIDER.is_match(text) => return Some(Signal::Other),
            '-' if signal::DASHED_WROTE.is_match(text) => return attribution,
            'o' | 'O' => {
                if let Some(last) = self.english_attribution(index, side) {
                    return Some(Signal::Attribution { last });
                }
            }
            '发' if text.starts_with("发件人") => return Some(Signal::Other),
            _ => {}
        }
        if self.opens_header_block(index, side) {
            return Some(Signal::Other);
        }
        if text.contains('@') && signal::SAMSUNG_WROTE.is_match(text) {
            return attribution;
        }
        if text.ends_with([':', '\u{ff1a}']) && ends_attribution(text) {
            return attribution;
        }
        self.wrapped_attribution(index, side)
    }

    /// `On …` that reaches `wrote:` within three lines; gives the last of them.
    fn english_attribution(&self, index: usize, side: Side) -> Option<usize> {
        let rest = self.view(index, side)?.get(2..)?;
        if !self.view(index, side)?.get(..2)?.eq_ignore_ascii_case("on") || !rest.starts_with(is_blank) {
            return None;
        }
        self.joined(index, side).find_map(|(last, joined)| {
            let wrote = signal::WROTE.is_match(&joined);
            (wrote || (signal::SENT.is_match(&joined) && signal::ADDRESS.is_match(&joined))).then_some(last)
        })
    }

    /// A foreign attribution that begins with date and time and wraps; gives its last line.
    fn wrapped_attribution(&self, index: usize, side: Side) -> Option<Signal> {
        let text = self.view(index, side)?;
        if !text.contains("20")
            || !signal::YEAR.is_match(text)
            || !(signal::CLOCK.is_match(text) || signal::WEAK_VERB.is_match(text))
        {
            return None;
        }
        self.joined(index, side).skip(1).find_map(|(last, joined)| {
            (joined.ends_with([':', '\u{ff1a}']) && ends_attribution(&joined))
                .then_some(Signal::Attribution { last })
        })
    }

    /// Line `index`, then joined with the next, then with the next two; stops at a blank line and at an attribution
    /// that was glued to the line.
    fn joined(&self, index: usize, side: Side) -> impl Iterator<Item = (usize, String)> {
        let mut joined = String::new();
        (index..index + ATTRIBUTION_MAX_LINES).map_while(move |line| {
            let text = self.view(line, side).filter(|text| !text.is_empty())?;
            if line > index && self.get(line).is_some_and(|line| line.glued) {
                return None;
            }
            if !joined.is_empty() {
                joined.push(' ');
            }
            joined.push_str(text);
            Some((line, joined.clone()))
        })
    }

    /// A sender line, or the date line directly above one.
    fn opens_header_block(&self, index: usize, side: Side) -> bool {
        let labelled = |line: usize| {
            self.view(line, side).is_some_and(|text| clip(text, LABEL_MAX_BYTES).contains([':', '\u{ff1a}']))
        };
        labelled(index)
            && (self.is_sender_line(index, side)
                || labelled(index + 1)
                    && self.view(index, side).is_some_and(|text| signal::DATE_LINE.is_match(text))
                    && self.is_sender_line(index + 1, side))
    }

    fn is_sender_line(&self, index: usize, side: Side) -> bool {
        let Some(text) = self.view(index, side) else { return false };
        let strong = signal::FROM_STRONG.is_match(text);
        if !strong && !signal::FROM_WEAK.is_match(text) {
            return false;
        }
        let mut below = (index + 1..=index + LOOK_AHEAD_LINES).filter_map(|line| self.view(line, side));
        signal::ADDRESS.is_match(text)
            || (below.clone().any(|line| signal::DATE_LINE.is_match(line))
                && (strong || below.any(|line| signal::ADDRESS.is_match(line))))
    }

    /// The text above the cut, or the answer below the quote, with a signature from below the quote.
    fn without_quote(&self, text: &str, cut: &Cut) -> String {
        if let Some(first) = self.bottom_posted(cut) {
            let answer = self.get(first).map_or(text.len(), |line| line.start);
            return match self.first_cut(first) {
                Some(next) => self.with_signature(text, answer, next.line),
                None => text.get(answer..).unwrap_or_default().to_owned(),
            };
        }
        self.with_signature(text, 0, cut.line)
    }

    /// The line after the last `>` line, if the mail is an attribution, a quote and an answer below it.
    fn bottom_posted(&self, cut: &Cut) -> Option<usize> {
        let is_blank_line = |line: &&Line<'_>| line.text.is_empty();
        let above = self.0.iter().take(cut.line);
        let quote = match cut.signal {
            Signal::Other => return None,
            Signal::Attribution { last } => {
                if !above.clone().all(|line| line.text.is_empty()) {
                    return None;
                }
                last + 1 + self.0.iter().skip(last + 1).take_while(is_blank_line).count()
            }
            // "Bob wrote:" is no signal of its own, but an attribution all the same.
            Signal::Quote => {
                let written: Vec<&str> = above
                    .map(|line| line.text)
                    .filter(|text| !text.is_empty())
                    .take(ATTRIBUTION_MAX_LINES + 1)
                    .collect();
                let attribution = written.join(" ");
                let is_attribution = written.len() <= ATTRIBUTION_MAX_LINES
                    && attribution.ends_with([':', '\u{ff1a}'])
                    && signal::ANY_VERB.is_match(&attribution);
                if !written.is_empty() && !is_attribution {
                    return None;
                }
                cut.line
            }
        };
        self.get(quote).filter(|line| line.quoted)?;
        let first = self.0.iter().rposition(|line| line.quoted)? + 1;
        let prose = self.0.iter().enumerate().skip(first).find(|(_, line)| !line.text.is_empty());
        prose.filter(|&(index, line)| line.text != "--" && self.signal(index).is_none()).map(|_| first)
    }

    /// `text[from..]` up to line `cut`, and everything from the signature marker below it that stands under a quote.
    fn with_signature(&self, text: &str, from: usize, cut: usize) -> String {
        let end = self.get(cut).map_or(text.len(), |line| line.start);
        let mut kept = text.get(from..end).unwrap_or_default().to_owned();
        if let Some(marker) = self.signature_below(cut).and_then(|marker| self.get(marker)) {
            if !kept.is_empty() && !kept.ends_with('\n') {
                kept.push('\n');
            }
            kept.push_str(text.get(marker.start..).unwrap_or_default());
        }
        kept
    }

    fn signature_below(&self, cut: usize) -> Option<usize> {
        let mut found = None;
        // Non-empty lines below the marker last found, as long as no other marker ended its block.
        let mut block: Option<usize> = None;
        let (mut written, mut quoted) = (0_usize, 0_usize);
        for (index, line) in self.0.iter().enumerate().skip(cut) {
            if line.text == "--" {
                if block.is_some_and(|lines| lines >= 2) {
                    break;
                }
                let stands_under_quote = quoted * 2 >= written;
                found = if stands_under_quote { Some(index) } else { found };
                block = stands_under_quote.then_some(0);
            } else if !line.text.is_empty() {
                block = block.map(|lines| lines + 1);
            }
            written += usize::from(!line.text.is_empty());
            quoted += usize::from(line.quoted);
        }
        found
    }
}

impl<'a> Line<'a> {
    fn new(start: usize, raw: &'a str, glued: bool) -> Self {
        let text = clip(raw.trim_matches(is_blank), LINE_MAX_BYTES);
        let quoted = text.starts_with('>');
        let inner = if quoted { text.trim_start_matches(|mark| mark == '>' || is_blank(mark)) } else { text };
        Self { start, text, inner, quoted, glued }
    }

    fn is_prose(&self) -> bool {
        !self.quoted
            && self.text.chars().nth(PROSE_MIN_CHARS - 1).is_some()
            && self.text.split_whitespace().nth(PROSE_MIN_WORDS - 1).is_some()
    }
}

/// Whether a line that ends with a colon is the end of an attribution.
fn ends_attribution(text: &str) -> bool {
    signal::FOREIGN_VERB.is_match(text)
        || signal::WROTE_END.is_match(text)
        || (signal::WEAK_VERB.is_match(text)
            && (signal::ADDRESS.is_match(text) || signal::YEAR.is_match(text)))
        || (signal::WROTE.is_match(text) && signal::ADDRESS.is_match(text) && signal::YEAR.is_match(text))
        || (signal::ADDRESS_COLON_END.is_match(text)
            && signal::YEAR.is_match(text)
            && signal::CLOCK.is_match(text))
}
