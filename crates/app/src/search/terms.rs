//! A query, split into terms, and how a term meets a document. Pure.
//!
//! The index only proposes candidates: whether a term really matches is decided here, on the document itself.

use podmail_store::{Alternative, Terms};

use super::fold::{fold, is_unbroken, words};
use super::rank::Class;
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

    /// Tokens of sender, recipients or subject.
    fn in_heads(&self) -> Alternative {
        gram_tokens(&self.text, true).into_iter().take(GRAMS_MAX).collect()
    }

    /// Tokens of a body that has the term itself; none when none can.
    fn in_words(&self) -> Option<Alternative> {
        if self.unbroken {
            Some(unbroken_tokens(&self.words.join(" "), true).into_iter().take(GRAMS_MAX).collect())
        } else {
            Some(self.words.iter().map(|word| word_token(word)).collect())
        }
        .filter(|tokens: &Alternative| !tokens.is_empty())
    }

    /// The token of a body that has words which begin with the term; none when that does not count. Of longer words it is
    /// that of their beginning.
    fn in_beginnings(&self) -> Option<Alternative> {
        let [word] = self.words.as_slice() else { return None };
        let start: String = word.chars().take(*PREFIX_CHARS.end()).collect();
        let long = !self.unbroken && start.chars().count() >= *PREFIX_CHARS.start();
        long.then(|| vec![prefix_token(&start)])
    }

    fn anywhere(&self) -> Vec<Alternative> {
        [Some(self.in_heads()), self.in_words(), self.in_beginnings()].into_iter().flatten().collect()
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

    /// The best that sender, recipients and subject offer.
    pub(super) fn in_head(&self, document: &Head) -> Option<Quality> {
        let subject = self.head(&document.subject, Quality::SubjectWord, Quality::Subject);
        let people = document
            .people
            .iter()
            .filter_map(|text| self.head(text, Quality::ParticipantWord, Quality::Participant));
        people.chain(subject).max()
    }
}

/// The fields of a document besides its body, folded.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) subject: String,
    pub(super) people: Vec<String>,
}

/// Where candidates of a class are found that meet all of these terms; `None` when there can be none.
pub(super) fn lookups(terms: &[Term], class: Class) -> Option<Terms> {
    let ways: Vec<Alternative> = match class {
        Class::Words => {
            return terms.iter().map(|term| term.in_words().map(|way| vec![way])).collect();
        }
        Class::Head | Class::OlderHead => terms.iter().map(Term::in_heads).collect(),
        Class::Beginnings => terms.iter().filter_map(Term::in_beginnings).collect(),
    };
    if ways.is_empty() {
        return None;
    }
    // One term at least is met in this way, and so the only one.
    let mut all = if terms.len() > 1 { lookups_anywhere(terms) } else { Terms::new() };
    all.push(ways);
    Some(all)
}

/// Where candidates for all of these terms are found, in any class.
pub(super) fn lookups_anywhere(terms: &[Term]) -> Terms {
    terms.iter().map(Term::anywhere).collect()
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
        let head =
            Head { subject: "your invoices".to_owned(), people: vec!["bill <bill@x.test>".to_owned()] };
        for (q, want) in [
            ("your", Some(Quality::SubjectWord)),
            ("voi", Some(Quality::Subject)),
            ("bill", Some(Quality::ParticipantWord)),
            ("ill", Some(Quality::Participant)),
            ("absent", None),
        ] {
            assert_eq!(split(q)[0].in_head(&head), want, "{q}");
        }
    }
}
