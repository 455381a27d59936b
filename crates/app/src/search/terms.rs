//! A query, split into terms, and how a term meets a document. Pure.
//!
//! The index only proposes candidates: whether a term really matches is decided here, on the document itself.

use podmail_store::{Alternative, Lookup, Terms};

use super::fold::{fold, is_of_word, is_unbroken, words};
use super::rank::Class;
use super::tokens::{END_CHARS, Field, mark_token, marks, pair_token, unbroken_runs, word_token};

/// Tokens of one term that are looked up: more do not make it rarer.
const LOOKUPS_MAX: usize = 24;
/// Characters of a term that the beginning of a word may meet.
const BEGINNING_CHARS_MIN: usize = 3;

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

    /// How documents are found that have the term in this field. `whole`: as words of their own; else the first may be
    /// the end of one, and the last the beginning.
    fn in_field(&self, field: Field, whole: bool) -> Alternative {
        if self.words.is_empty() {
            return marks(&self.text).take(LOOKUPS_MAX).map(|mark| Lookup::Exact(mark_token(mark))).collect();
        }
        let open = self.text.ends_with(is_of_word);
        let last = self.words.len() - 1;
        let lookup = |(n, word): (usize, &String)| {
            if whole {
                Lookup::Exact(field.whole_token(word))
            } else if n == last && open && word.chars().count() < END_CHARS {
                Lookup::Prefix(field.part_token(word))
            } else {
                Lookup::Exact(field.part_token(word))
            }
        };
        self.words.iter().enumerate().take(LOOKUPS_MAX).map(lookup).collect()
    }

    /// Likewise, in any field but the body.
    fn in_heads(&self) -> [Alternative; 2] {
        [Field::Subject, Field::People].map(|field| self.in_field(field, false))
    }

    /// How documents are found whose body has the term itself; none when none can.
    fn in_words(&self) -> Option<Alternative> {
        let lookups: Alternative = if self.unbroken {
            let of_run = |run: Vec<char>| match run.as_slice() {
                [single] => vec![Lookup::Prefix(pair_token(&[*single]))],
                run => run.windows(2).map(|pair| Lookup::Exact(pair_token(pair))).collect(),
            };
            unbroken_runs(&self.words.join(" ")).flat_map(of_run).take(LOOKUPS_MAX).collect()
        } else {
            self.words.iter().map(|word| Lookup::Exact(word_token(word))).take(LOOKUPS_MAX).collect()
        };
        (!lookups.is_empty()).then_some(lookups)
    }

    /// How documents are found whose body has words that begin with the term; none when that does not count.
    fn in_beginnings(&self) -> Option<Alternative> {
        let [word] = self.words.as_slice() else { return None };
        let long = !self.unbroken && word.chars().count() >= BEGINNING_CHARS_MIN;
        long.then(|| vec![Lookup::Prefix(word_token(word))])
    }

    fn anywhere(&self) -> Vec<Alternative> {
        let body = [self.in_words(), self.in_beginnings()];
        self.in_heads().into_iter().chain(body.into_iter().flatten()).collect()
    }

    /// How well a folded field of the message's head meets the term.
    fn head(&self, folded: &str, word: Quality, part: Quality) -> Option<Quality> {
        let mut found = None;
        for (at, _) in folded.match_indices(self.text.as_str()) {
            let before = folded.get(..at).and_then(|text| text.chars().next_back());
            let after = folded.get(at + self.text.len()..).and_then(|text| text.chars().next());
            let open = |c: Option<char>| c.is_none_or(|c| !is_of_word(c));
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
        let long = self.words.len() == 1 && start.trim_start().chars().count() >= BEGINNING_CHARS_MIN;
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
        Class::Head | Class::OlderHead => terms.iter().flat_map(Term::in_heads).collect(),
        Class::SubjectWord => terms.iter().map(|term| term.in_field(Field::Subject, true)).collect(),
        Class::Subject => terms.iter().map(|term| term.in_field(Field::Subject, false)).collect(),
        Class::ParticipantWord => terms.iter().map(|term| term.in_field(Field::People, true)).collect(),
        Class::Participant => terms.iter().map(|term| term.in_field(Field::People, false)).collect(),
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

/// How documents are found that hold a text in a field; `None` when the index does not know.
pub(crate) fn field_lookups(field: Field, text: &str) -> Option<Alternative> {
    let lookups = Term::new(fold(text)).in_field(field, false);
    (!lookups.is_empty()).then_some(lookups)
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
