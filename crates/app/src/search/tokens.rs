//! What a document is found by. A token begins with the letter of its kind: `w` a word of the body, `c` a pair of
//! characters of a script without word breaks, `S` a word of the subject, `s` the end of one from any of its characters
//! on, `P` and `p` the same of sender and recipients, `u` any other character of all these. That a word begins with
//! something is a look-up of all tokens that do. Pure.

use std::collections::BTreeSet;

use super::fold::{is_of_word, is_unbroken, words};
use super::terms::Head;

/// Version of what documents are made of: raised when that changes, and older ones are made again.
pub(super) const VERSION: i64 = 4;
/// Characters of a word at most: longer ones are cut, encoded bytes for example.
const WORD_CHARS: usize = 40;
/// Characters of the end of a word that are kept.
pub(super) const END_CHARS: usize = 8;
/// Distinct tokens of one document at most.
const TOKENS_MAX: usize = 40_000;
/// Characters of one address or subject that are indexed.
const HEAD_CHARS: usize = 1_000;

/// Of a whole word of a body, or of the beginning of one.
pub(super) fn word_token(word: &str) -> String {
    kind('w', word.chars().take(WORD_CHARS))
}

/// Of two characters in a row, or of one at the end.
pub(super) fn pair_token(pair: &[char]) -> String {
    kind('c', pair.iter().copied())
}

/// Where a word stands that is not of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Subject,
    /// Sender and recipients.
    People,
}

impl Field {
    /// Of a whole word.
    pub(super) fn whole_token(self, word: &str) -> String {
        let letter = match self {
            Self::Subject => 'S',
            Self::People => 'P',
        };
        kind(letter, word.chars().take(WORD_CHARS))
    }

    /// Of the end of a word, or of the beginning of one.
    pub(super) fn part_token(self, part: &str) -> String {
        let letter = match self {
            Self::Subject => 's',
            Self::People => 'p',
        };
        kind(letter, part.chars().take(END_CHARS))
    }
}

/// Of a character that is neither letter nor digit nor space.
pub(super) fn mark_token(mark: char) -> String {
    kind('u', std::iter::once(mark))
}

/// The characters of a text that have a [`mark_token`].
pub(super) fn marks(folded: &str) -> impl Iterator<Item = char> {
    // PostgreSQL keeps no character zero in a text.
    folded.chars().filter(|c| !is_of_word(*c) && !c.is_whitespace() && *c != '\0')
}

fn kind(letter: char, rest: impl Iterator<Item = char>) -> String {
    std::iter::once(letter).chain(rest).collect()
}

/// Characters in a row of scripts without word breaks.
pub(super) fn unbroken_runs(folded: &str) -> impl Iterator<Item = Vec<char>> {
    folded.split(|c: char| !is_unbroken(c)).filter(|run| !run.is_empty()).map(|run| run.chars().collect())
}

/// Everything that a document is found by.
pub(super) fn of(head: &Head, body: &str) -> BTreeSet<String> {
    let mut tokens = BTreeSet::new();
    let people = head.people.iter().map(|text| (Field::People, text));
    for (field, text) in std::iter::once((Field::Subject, &head.subject)).chain(people) {
        if tokens.len() >= TOKENS_MAX {
            break;
        }
        let text = text.char_indices().nth(HEAD_CHARS).and_then(|(end, _)| text.get(..end)).unwrap_or(text);
        tokens.extend(marks(text).map(mark_token));
        for word in words(text) {
            let ends = word.char_indices().filter_map(|(at, _)| word.get(at..));
            tokens.extend(ends.map(|end| field.part_token(end)));
            tokens.insert(field.whole_token(word));
        }
    }
    for word in words(body) {
        if tokens.len() >= TOKENS_MAX {
            break;
        }
        if word.chars().any(is_unbroken) {
            for run in unbroken_runs(word) {
                tokens.extend(run.windows(2).map(pair_token));
                tokens.extend(run.last().map(|last| pair_token(&[*last])));
            }
        } else {
            tokens.insert(word_token(word));
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_found_by_words_and_by_the_ends_of_those_of_its_head() {
        let head = Head { subject: "abc internationally".to_owned(), people: vec!["a@x".to_owned()] };
        let tokens = of(&head, " invoice in 会議 ");
        let found = [
            "winvoice",
            "win",
            "c会議",
            "c議",
            "sabc",
            "sbc",
            "sc",
            "sinternat",
            "sionally",
            "sy",
            "px",
            "u@",
            "Sabc",
            "Sinternationally",
            "Px",
        ];
        for token in found {
            assert!(tokens.contains(token), "{token}: {tokens:?}");
        }
        for token in ["sab", "winv", "c会", "u ", "sinternati", "sx", "pabc"] {
            assert!(!tokens.contains(token), "{token}: {tokens:?}");
        }
    }
}
