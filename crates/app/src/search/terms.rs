//! A query, split into terms, and how a term meets a document. Pure.
//!
//! The index only proposes candidates: whether a term really matches is decided here, on the document itself.

use podmail_store::{Alternative, Lookup, Terms};

use super::fold::{fold, is_unbroken, words};
use super::tokens::{PREFIX_CHARS, gram_tokens, prefix_token, unbroken_tokens, word_token};

/// N-grams of one term that are looked up: more do not make it rarer.
const GRAMS_MAX: usize = 24;

/// One term of a query: a word, or what stood in quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Term {
    /// Folded, as it is looked for in addresses and subjects.
    pub(super) text: String,
    /// Its words, as they are looked for in bodies: with a space around each.
    pub(super) body: String,
    words: Vec<String>,
    /// Holds characters of a script without word breaks.
    unbroken: bool,
}

/// How well a field meets a term; the greater the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Quality {
    BodyPrefix,
    Body,
    Participant,
    ParticipantWord,
    Subject,
    SubjectWord,
}

/// Splits a query at white space; double quotes make a phrase one term. Terms that are there twice count once.
pub(super) fn split(q: &str) -> Vec<Term> {
    let mut terms: Vec<Term> = Vec::new();
    let mut add = |text: &str| {
        let text = fold(text).split_whitespace().collect::<Vec<_>>().join(" ");
        if !text.is_empty() && !terms.iter().any(|term| term.text == text) {
            terms.push(Term::new(text));
        }
    };
    for (n, part) in q.split('"').enumerate() {
        if n % 2 == 1 {
            add(part);
        } else {
            part.split_whitespace().for_each(&mut add);
        }
    }
    terms
}

impl Term {
    fn new(text: String) -> Self {
        let words: Vec<String> = words(&text).map(str::to_owned).collect();
        let body = if words.is_empty() { String::new() } else { format!(" {} ", words.join(" ")) };
        let unbroken = text.chars().any(is_unbroken);
        Self { text, body, words, unbroken }
    }

    /// Where candidates are found.
    fn lookups(&self) -> Vec<Alternative> {
        let token = |token: String| Lookup::Token(token);
        let grams = gram_tokens(&self.text, true).into_iter().take(GRAMS_MAX).map(token).collect();
        let mut ways: Vec<Alternative> = vec![grams];
        if self.unbroken {
            let parts: Alternative =
                unbroken_tokens(&self.words.join(" "), true).into_iter().take(GRAMS_MAX).map(token).collect();
            ways.push(parts);
        } else if !self.words.is_empty() {
            ways.push(self.words.iter().map(|word| token(word_token(word))).collect());
        }
        if let [word] = self.words.as_slice()
            && !self.unbroken
        {
            let count = word.chars().count();
            if PREFIX_CHARS.contains(&count) {
                ways.push(vec![token(prefix_token(word))]);
            } else if count > *PREFIX_CHARS.end() {
                ways.push(vec![Lookup::Prefix(word_token(word))]);
            }
        }
        ways.retain(|way| !way.is_empty());
        ways
    }

    /// How well a folded field of the message's head meets the term.
    fn head(&self, folded: &str, word: Quality, part: Quality) -> Option<Quality> {
        let mut found = None;
        for (at, _) in folded.match_indices(self.text.as_str()) {
            let before = folded.get(..at).and_then(|text| text.chars().next_back());
            let after = folded.get(at + self.text.len()..).and_then(|text| text.chars().next());
            let open = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
            if open(before) && open(after) {
                return Some(word);
            }
            found = Some(part);
        }
        found
    }

    /// How well the words of a body meet the term.
    pub(super) fn in_body(&self, body: &str) -> Option<Quality> {
        if self.words.is_empty() {
            return None;
        }
        if self.unbroken {
            let text = self.body.trim();
            return body.contains(text).then_some(Quality::Body);
        }
        if body.contains(&self.body) {
            return Some(Quality::Body);
        }
        let start = self.body.trim_end();
        let long = self.words.len() == 1 && start.trim_start().chars().count() >= *PREFIX_CHARS.start();
        (long && body.contains(start)).then_some(Quality::BodyPrefix)
    }

    /// The best that any field offers.
    pub(super) fn meets(&self, document: &Document) -> Option<Quality> {
        let subject = self.head(&document.subject, Quality::SubjectWord, Quality::Subject);
        let people = document
            .people
            .iter()
            .filter_map(|text| self.head(text, Quality::ParticipantWord, Quality::Participant));
        people.chain(subject).max().or_else(|| self.in_body(&document.body))
    }
}

/// A document's fields, folded.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) subject: String,
    pub(super) people: Vec<String>,
    /// Its words with a space around each.
    pub(super) body: String,
}

/// Where candidates for all of these terms are found.
pub(super) fn lookups(terms: &[Term]) -> Terms {
    terms.iter().map(Term::lookups).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_split_at_white_space_and_quotes() {
        for (q, want) in [
            ("Invoice  overdue", vec!["invoice", "overdue"]),
            ("\"Invoice overdue\" now", vec!["invoice overdue", "now"]),
            ("\"unfinished phrase", vec!["unfinished phrase"]),
            ("a a", vec!["a"]),
            ("(((", vec!["((("]),
            ("\"\"", vec![]),
        ] {
            let terms: Vec<String> = split(q).into_iter().map(|term| term.text).collect();
            assert_eq!(terms, want, "{q}");
        }
    }

    #[test]
    fn a_body_is_met_by_words_and_by_their_beginnings() {
        let body = " we sent invoices to alice x test in 会議室で ";
        for (q, want) in [
            ("invoices", Some(Quality::Body)),
            ("invo", Some(Quality::BodyPrefix)),
            ("voi", None),
            ("in", Some(Quality::Body)),
            ("se", None),
            ("alice@x.test", Some(Quality::Body)),
            ("alice@x.te", None),
            ("議室", Some(Quality::Body)),
            ("(((", None),
        ] {
            assert_eq!(split(q)[0].in_body(body), want, "{q}");
        }
    }

    #[test]
    fn a_subject_counts_more_than_people_and_these_more_than_the_body() {
        let document = Document {
            subject: "your invoices".to_owned(),
            people: vec!["bill <bill@x.test>".to_owned()],
            body: " bill ".to_owned(),
        };
        for (q, want) in [
            ("your", Some(Quality::SubjectWord)),
            ("voi", Some(Quality::Subject)),
            ("bill", Some(Quality::ParticipantWord)),
            ("ill", Some(Quality::Participant)),
            ("absent", None),
        ] {
            assert_eq!(split(q)[0].meets(&document), want, "{q}");
        }
    }
}
