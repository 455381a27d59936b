//! What of a message met a query, marked with `**`. Pure.

use podmail_api_types::search::Highlights;

use super::fold::{Folded, fold_with_origin, is_of_word, is_unbroken};
use super::terms::Term;

/// Fragments of a body.
const FRAGMENTS: usize = 3;
/// Characters of a fragment, about.
const FRAGMENT_CHARS: usize = 150;
/// Characters of a body that are looked at.
const BODY_CHARS: usize = 250_000;

/// A part of a text: byte offsets.
type Span = (usize, usize);

/// Marks the fields of one message. `body`: its text, when a term met it.
pub(super) fn of(
    terms: &[Term],
    sender: &str,
    recipients: &[String],
    subject: Option<&str>,
    body: Option<&str>,
) -> Highlights {
    let marked_all = |texts: &mut dyn Iterator<Item = &str>| -> Vec<String> {
        texts.filter_map(|text| marked(text, &parts(text, terms))).collect()
    };
    Highlights {
        from: marked_all(&mut std::iter::once(sender)),
        recipients: marked_all(&mut recipients.iter().map(String::as_str)),
        subject: marked_all(&mut subject.into_iter()),
        text: body.map(|body| fragments(body, terms)).unwrap_or_default(),
    }
}

/// Where any of the terms stands in a text, merged where they overlap.
fn parts(text: &str, terms: &[Term]) -> Vec<Span> {
    let folded = fold_with_origin(text);
    let mut spans = Vec::new();
    for term in terms {
        let wanted: Vec<char> = term.text.chars().collect();
        find(&folded.chars, &wanted, |at| spans.extend(span(&folded, at, wanted.len())));
    }
    merged(spans)
}

fn find(chars: &[char], wanted: &[char], mut found: impl FnMut(usize)) {
    if wanted.is_empty() {
        return;
    }
    for (at, window) in chars.windows(wanted.len()).enumerate() {
        if window == wanted {
            found(at);
        }
    }
}

fn span(folded: &Folded, at: usize, length: usize) -> Option<Span> {
    Some((folded.origin.get(at)?.0, folded.origin.get(at + length - 1)?.1))
}

fn merged(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for (start, end) in spans {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

fn marked(text: &str, spans: &[Span]) -> Option<String> {
    if spans.is_empty() {
        return None;
    }
    let mut out = String::with_capacity(text.len() + 4 * spans.len());
    let mut at = 0;
    for (start, end) in spans {
        out.push_str(text.get(at..*start)?);
        out.push_str("**");
        out.push_str(text.get(*start..*end)?);
        out.push_str("**");
        at = *end;
    }
    out.push_str(text.get(at..)?);
    Some(out)
}

/// Words of a body that meet any of the terms.
fn body_parts(text: &str, terms: &[Term]) -> Vec<Span> {
    let folded = fold_with_origin(text);
    // Where each word stands among the folded characters.
    let mut words: Vec<(usize, usize)> = Vec::new();
    let mut start = None;
    for (n, c) in folded.chars.iter().chain([&' ']).enumerate() {
        match (is_of_word(*c), start) {
            (true, None) => start = Some(n),
            (false, Some(from)) => {
                words.push((from, n));
                start = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
    let word = |(from, to): (usize, usize)| folded.chars.get(from..to).unwrap_or_default();
    let mut spans = Vec::new();
    for term in terms {
        let wanted: Vec<Vec<char>> = term.body.split_whitespace().map(|w| w.chars().collect()).collect();
        if wanted.is_empty() {
            continue;
        }
        if term.text.chars().any(is_unbroken) {
            let text: Vec<char> = term.body.trim().chars().collect();
            find(&folded.chars, &text, |at| spans.extend(span(&folded, at, text.len())));
            continue;
        }
        for run in words.windows(wanted.len()) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let exact = run.iter().zip(&wanted).all(|(place, wanted)| word(*place) == wanted.as_slice());
            let start = matches!(wanted.as_slice(), [one] if one.len() >= 3 && word(*first).starts_with(one));
            if exact || start {
                spans.extend(span(&folded, first.0, last.1 - first.0));
            }
        }
    }
    merged(spans)
}

/// Up to three pieces of a body around what met, cut between words, white space collapsed.
fn fragments(body: &str, terms: &[Term]) -> Vec<String> {
    let body: String = body.chars().take(BODY_CHARS).collect();
    let body = body.split_whitespace().collect::<Vec<_>>().join(" ");
    let spans: Vec<Span> = body_parts(&body, terms)
        .into_iter()
        .map(|(start, end)| (start, shortened(&body, start, end)))
        .collect();
    let mut fragments = Vec::new();
    let mut covered = 0;
    for (start, end) in &spans {
        if fragments.len() == FRAGMENTS {
            break;
        }
        if *start < covered {
            continue;
        }
        let around = FRAGMENT_CHARS.saturating_sub(end - start) / 2;
        let from = cut_before(&body, start.saturating_sub(around).max(covered));
        let to = cut_after(&body, end + around);
        let inside: Vec<Span> =
            spans.iter().filter(|(s, e)| *s >= from && *e <= to).map(|(s, e)| (s - from, e - from)).collect();
        if let Some(piece) = body.get(from..to).and_then(|piece| marked(piece, &inside)) {
            fragments.push(piece.trim().to_owned());
        }
        covered = to;
    }
    fragments
}

/// The end of a mark: endless words are not marked as a whole.
fn shortened(text: &str, start: usize, end: usize) -> usize {
    let most = start + FRAGMENT_CHARS;
    if end <= most { end } else { (start..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(end) }
}

/// The start of the word at or before `at`; for scripts without breaks, of the character.
fn cut_before(text: &str, at: usize) -> usize {
    let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let word = text.get(..at).and_then(|text| text.rfind(' ')).map_or(0, |space| space + 1);
    if at - word > FRAGMENT_CHARS { at } else { word }
}

fn cut_after(text: &str, at: usize) -> usize {
    let at = (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    let word = text.get(at..).and_then(|text| text.find(' ')).map_or(text.len(), |space| at + space);
    if word - at > FRAGMENT_CHARS { at } else { word }
}

#[cfg(test)]
mod tests {
    use super::super::terms::split;
    use super::*;

    #[test]
    fn exactly_what_met_is_marked() {
        for (text, q, want) in [
            ("Your invoice", "INVOICE", Some("Your **invoice**")),
            ("Your invoice", "voi", Some("Your in**voi**ce")),
            ("Café", "cafe", Some("**Café**")),
            ("abcd", "abc bcd", Some("**abcd**")),
            ("Order 12345", "2345", Some("Order 1**2345**")),
            ("nothing", "x1", None),
            ("Cafe\u{301} au lait", "cafe", Some("**Cafe\u{301}** au lait")),
            ("double \t space", "\"double space\"", Some("**double \t space**")),
            ("ΟΔΟΣ ΑΘΗΝΑ", "οδος", Some("**ΟΔΟΣ** ΑΘΗΝΑ")),
        ] {
            let terms = split(q);
            assert_eq!(marked(text, &parts(text, &terms)).as_deref(), want, "{text} {q}");
        }
    }

    #[test]
    fn bodies_show_fragments_around_marked_words() {
        let long = format!("{} the refund is due {}", "word ".repeat(60), "more ".repeat(60));
        let found = fragments(&long, &split("refund"));
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("the **refund** is due") && found[0].len() < 200, "{found:?}");
        assert!(found[0].starts_with("word ") && found[0].ends_with(" more"), "{found:?}");
        assert_eq!(fragments("We invoiced\n\nthem", &split("invo")), ["We **invoiced** them"]);
        assert_eq!(fragments("a voice", &split("voi")), ["a **voice**"]);
        assert_eq!(fragments("明日の会議室で", &split("会議")), ["明日の**会議**室で"]);
        assert_eq!(fragments("mail alice@x.test now", &split("alice@x.test")), ["mail **alice@x.test** now"]);
        let endless = format!("see abc{} here", "x".repeat(200_000));
        let found = fragments(&endless, &split("abc"));
        assert!(found.len() == 1 && found[0].len() < 500 && found[0].starts_with("**abcx"), "{found:?}");
        let thrice = "refund ".repeat(200);
        assert_eq!(fragments(&thrice, &split("refund")).len(), 3);
    }
}
