//! In which order results come, and where those of each class are looked for. Pure.
//!
//! Of a single term every quality is a class, and where several terms are met by the body alone, one result is as good as
//! another: there the newest come first and only as many are read as a page shows. Only results of several terms that
//! sender, recipients or subject meet are compared with each other, the latest [`COMPARED`] of them; older ones follow by
//! time.

use podmail_domain::Timestamp;
use podmail_store::{Cursor, Page};

use super::terms::Quality;

/// Results with a term in sender, recipients or subject that are compared with each other.
pub(super) const COMPARED: usize = 400;

/// What results are sorted by first, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Class {
    /// The body has no more than the beginning of a term.
    Beginnings,
    /// The body has all terms.
    Words,
    /// The only term is in sender or recipients, inside of a word.
    Participant,
    /// The only term is in sender or recipients, as a word.
    ParticipantWord,
    /// The only term is in the subject, inside of a word.
    Subject,
    /// The only term is in the subject, as a word.
    SubjectWord,
    /// Like `Head`, but older than those which are compared.
    OlderHead,
    /// One of several terms is in sender, recipients or subject.
    Head,
}

impl Class {
    const OF_ONE: [Self; 6] = [
        Self::SubjectWord,
        Self::Subject,
        Self::ParticipantWord,
        Self::Participant,
        Self::Words,
        Self::Beginnings,
    ];
    const OF_SEVERAL: [Self; 4] = [Self::Head, Self::OlderHead, Self::Words, Self::Beginnings];

    /// Those of so many terms, best first.
    pub(super) const fn of(terms: usize) -> &'static [Self] {
        if terms == 1 { &Self::OF_ONE } else { &Self::OF_SEVERAL }
    }

    /// The class that is looked for in more documents than this one, all of this one's among them.
    pub(super) const fn wider(self) -> Option<Self> {
        match self {
            Self::SubjectWord => Some(Self::Subject),
            Self::ParticipantWord => Some(Self::Participant),
            Self::Words => Some(Self::Beginnings),
            Self::Subject | Self::Participant | Self::Beginnings | Self::Head | Self::OlderHead => None,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::OF_ONE.into_iter().chain(Self::OF_SEVERAL).find(|class| class.letter() == text)
    }

    const fn letter(self) -> &'static str {
        match self {
            Self::Beginnings => "b",
            Self::Words => "w",
            Self::Participant => "p",
            Self::ParticipantWord => "P",
            Self::Subject => "s",
            Self::SubjectWord => "S",
            Self::OlderHead => "o",
            Self::Head => "h",
        }
    }
}

/// Where something stands among the results: the better class, then how well the terms are met, then the newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) class: Class,
    score: u32,
    /// Number of the document, which follows its time.
    pub(super) document: i64,
}

impl Rank {
    /// Of a document that meets terms so. `floor`: the oldest document that is compared.
    pub(super) fn of(qualities: &[Quality], document: i64, floor: i64) -> Self {
        let best = qualities.iter().max().copied().unwrap_or(Quality::BodyPrefix);
        let worst = qualities.iter().min().copied().unwrap_or(Quality::BodyPrefix);
        let class = match (qualities.len(), best, worst) {
            (_, Quality::BodyPrefix, _) | (_, Quality::Body, Quality::BodyPrefix) => Class::Beginnings,
            (_, Quality::Body, _) => Class::Words,
            (1, Quality::Participant, _) => Class::Participant,
            (1, Quality::ParticipantWord, _) => Class::ParticipantWord,
            (1, Quality::Subject, _) => Class::Subject,
            (1, Quality::SubjectWord, _) => Class::SubjectWord,
            _ if document >= floor => Class::Head,
            _ => Class::OlderHead,
        };
        let score = match class {
            Class::Head => qualities.iter().map(|quality| *quality as u32 + 1).sum(),
            Class::OlderHead
            | Class::SubjectWord
            | Class::Subject
            | Class::ParticipantWord
            | Class::Participant
            | Class::Words
            | Class::Beginnings => 0,
        };
        Self { class, score, document }
    }

    /// Behind everything of this class down to this document.
    pub(super) const fn end(class: Class, document: i64) -> Self {
        Self { class, score: 0, document }
    }
}

/// Where a page ends, and which documents were compared for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) rank: Rank,
    pub(super) floor: i64,
}

impl Position {
    fn cursor(self) -> Cursor {
        let Rank { class, score, document } = self.rank;
        Cursor::new(
            Timestamp::from_micros(0),
            format!("{}:{score}:{document}:{}", class.letter(), self.floor),
        )
    }

    /// Of a token that this code made.
    pub(super) fn of(cursor: &Cursor) -> Option<Self> {
        let parts: Vec<&str> = cursor.id.split(':').collect();
        let [class, score, document, floor] = parts.as_slice() else { return None };
        let rank = Rank {
            class: Class::parse(class)?,
            score: score.parse().ok()?,
            document: document.parse().ok()?,
        };
        Some(Self { rank, floor: floor.parse().ok()? })
    }
}

/// Results that are gathered, best class first, until a page is full.
#[derive(Debug)]
pub(super) struct Gathered<T> {
    pub(super) after: Option<Position>,
    pub(super) floor: i64,
    pub(super) limit: usize,
    items: Vec<(Rank, T)>,
    /// Where looking was given up.
    pub(super) given_up: Option<Rank>,
}

impl<T> Gathered<T> {
    pub(super) fn new(after: Option<&Cursor>, limit: usize) -> Self {
        let after = after.and_then(Position::of);
        let floor = after.map_or(i64::MIN, |after| after.floor);
        Self { after, floor, limit, items: Vec::new(), given_up: None }
    }

    /// How many more are wanted: one more than are shown tells whether others follow.
    pub(super) fn wanted(&self) -> usize {
        (self.limit + 1).saturating_sub(self.items.len())
    }

    /// Whether this class has anything for this page.
    pub(super) fn wants(&self, class: Class) -> bool {
        self.wanted() > 0
            && self.given_up.is_none()
            && self.after.is_none_or(|after| class <= after.rank.class)
            && (class != Class::OlderHead || self.floor > i64::MIN)
    }

    /// Documents of this class are looked for below this one.
    pub(super) fn below(&self, class: Class) -> Option<i64> {
        match self.after {
            // Results of `Head` are sorted by more than their numbers.
            Some(after) if after.rank.class == class && class != Class::Head => Some(after.rank.document),
            _ if class == Class::OlderHead => Some(self.floor),
            _ => None,
        }
    }

    pub(super) fn add(&mut self, class: Class, rank: Rank, item: T) {
        if rank.class == class && self.after.is_none_or(|after| rank < after.rank) {
            self.items.push((rank, item));
        }
    }

    /// The page.
    pub(super) fn page(mut self) -> Page<T> {
        self.items.sort_by(|(a, _), (b, _)| b.cmp(a));
        let more = self.items.len() > self.limit;
        self.items.truncate(self.limit);
        let last = if more { self.items.last().map(|(rank, _)| *rank) } else { self.given_up };
        let floor = self.floor;
        let next = last.map(|rank| Position { rank, floor }.cursor());
        Page { items: self.items.into_iter().map(|(_, item)| item).collect(), next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_comes_before_words_and_words_before_beginnings() {
        let rank = |qualities: &[Quality], document| Rank::of(qualities, document, 100);
        let subject = rank(&[Quality::SubjectWord, Quality::BodyPrefix], 100);
        let sender = rank(&[Quality::ParticipantWord, Quality::BodyPrefix], 500);
        let older = rank(&[Quality::SubjectWord, Quality::SubjectWord], 99);
        let words = rank(&[Quality::Body, Quality::Body], 900);
        let older_words = rank(&[Quality::Body, Quality::Body], 800);
        let beginnings = rank(&[Quality::Body, Quality::BodyPrefix], 901);
        assert!(subject > sender && sender > older && older > words);
        assert!(words > older_words && older_words > beginnings);
    }

    #[test]
    fn a_single_term_is_ranked_by_where_it_stands_however_old() {
        use Quality::{Body, BodyPrefix, Participant, ParticipantWord, Subject, SubjectWord};
        let ranks: Vec<Rank> = [SubjectWord, Subject, ParticipantWord, Participant, Body, BodyPrefix]
            .into_iter()
            .zip(1..)
            .map(|(quality, document)| Rank::of(&[quality], document, i64::MIN))
            .collect();
        assert!(ranks.is_sorted_by(|a, b| a > b), "{ranks:?}");
        assert_eq!(ranks.iter().map(|rank| rank.class).collect::<Vec<_>>(), Class::of(1));
    }

    #[test]
    fn a_token_says_where_its_page_ended() {
        let rank = Rank::of(&[Quality::Subject, Quality::Body], 77, 5);
        let position = Position { rank, floor: 5 };
        assert_eq!(Position::of(&position.cursor()), Some(position));
        assert_eq!(Position::of(&Cursor::new(Timestamp::from_micros(0), "x")), None);
    }
}
