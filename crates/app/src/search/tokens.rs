//! What a document is found by. A token begins with the letter of its kind: `w` a word of the body, `q` the beginning of
//! one, `c` and `d` pairs and single characters of scripts without word breaks, `g`, `h` and `k` three, two and one
//! characters in a row of an address or a subject. Tokens hold letters and digits of any script, and characters of the
//! private use area in place of ASCII's other ones, so that neither engine's query language sees anything in them. Pure.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::fold::{is_unbroken, words};
use super::terms::Head;

/// Version of what documents are made of: raised when that changes, and older ones are made again.
pub(super) const VERSION: i64 = 2;
/// Beginnings of words that have a token of their own; longer ones are rare enough to be looked up by their own words.
pub(super) const PREFIX_CHARS: RangeInclusive<usize> = 3..=6;
/// Characters of a word at most: longer ones are cut, encoded bytes for example.
const WORD_CHARS: usize = 40;
/// Distinct tokens of one document at most.
const TOKENS_MAX: usize = 40_000;
/// Characters of one address or subject that are indexed.
const HEAD_CHARS: usize = 1_000;

fn encoded(kind: char, chars: &[char]) -> String {
    let mut token = String::with_capacity(1 + 3 * chars.len());
    token.push(kind);
    for c in chars {
        let odd = c.is_ascii() && !c.is_ascii_alphanumeric();
        token.push(if odd { char::from_u32(0xe000 + u32::from(*c)).unwrap_or('\u{e000}') } else { *c });
    }
    token
}

pub(super) fn word_token(word: &str) -> String {
    let chars: Vec<char> = word.chars().take(WORD_CHARS).collect();
    encoded('w', &chars)
}

pub(super) fn prefix_token(prefix: &str) -> String {
    encoded('q', &prefix.chars().collect::<Vec<_>>())
}

/// N-grams of a text; `query`: only the longest that it has, which say everything.
pub(super) fn gram_tokens(folded: &str, query: bool) -> Vec<String> {
    let chars: Vec<char> = folded.chars().take(HEAD_CHARS).collect();
    let longest = chars.len().min(3);
    let mut tokens = Vec::new();
    for (length, kind) in [(3, 'g'), (2, 'h'), (1, 'k')] {
        if length == longest || (length < longest && !query) {
            tokens.extend(chars.windows(length).map(|gram| encoded(kind, gram)));
        }
    }
    tokens
}

/// Pairs of characters of scripts without word breaks; for a single one in a row, itself. `query`: only what says
/// everything.
pub(super) fn unbroken_tokens(folded: &str, query: bool) -> Vec<String> {
    let mut tokens = Vec::new();
    for run in folded.split(|c: char| !is_unbroken(c)).filter(|run| !run.is_empty()) {
        let chars: Vec<char> = run.chars().collect();
        tokens.extend(chars.windows(2).map(|pair| encoded('c', pair)));
        if chars.len() == 1 || !query {
            tokens.extend(chars.iter().map(|c| encoded('d', std::slice::from_ref(c))));
        }
    }
    tokens
}

/// Everything that a document is found by.
pub(super) fn of(head: &Head, body: &str) -> BTreeSet<String> {
    let mut tokens = BTreeSet::new();
    for text in head.people.iter().chain([&head.subject]) {
        tokens.extend(gram_tokens(text, false));
    }
    for word in words(body) {
        if tokens.len() >= TOKENS_MAX {
            break;
        }
        if word.chars().any(is_unbroken) {
            tokens.extend(unbroken_tokens(word, false));
            continue;
        }
        let chars: Vec<char> = word.chars().take(WORD_CHARS).collect();
        for length in PREFIX_CHARS {
            if length < chars.len() {
                tokens.extend(chars.get(..length).map(|prefix| encoded('q', prefix)));
            }
        }
        tokens.insert(encoded('w', &chars));
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_found_by_words_their_beginnings_and_parts_of_its_head() {
        let head = Head { subject: "ab c".to_owned(), people: vec!["a@x".to_owned()] };
        let tokens = of(&head, " invoice in 会議 ");
        for token in
            ["winvoice", "qinv", "qinvoic", "win", "c会議", "d会", "gab\u{e020}", "hab", "kc", "ga\u{e040}x"]
        {
            assert!(tokens.contains(token), "{token}: {tokens:?}");
        }
        assert!(!tokens.contains("qinvoice") && !tokens.contains("qin"));
        assert!(tokens.iter().all(|token| token.chars().all(|c| !c.is_ascii() || c.is_ascii_alphanumeric())));
    }
}
