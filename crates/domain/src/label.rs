//! Labels: lower-case strings on messages. Four of them are restricted: they hide what carries them.

/// Labels that only the server sets; a client naming one is refused.
pub const SYSTEM: [&str; 11] = [
    "received",
    "sent",
    "delivered",
    "delayed",
    "bounced",
    "complained",
    "rejected",
    "opened",
    "scheduled",
    "draft",
    "agent-armor-held",
];

/// Which of the restricted labels `spam`, `blocked`, `unauthenticated`, `trash` something carries, or a caller may see.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Restricted(u8);

impl Restricted {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// All four.
    pub const ALL: Self = Self(15);
    /// The four labels; the position is the bit.
    pub const LABELS: [&'static str; 4] = ["spam", "blocked", "unauthenticated", "trash"];

    /// The bits, 0 to 15; what the store keeps.
    pub const fn bits(self) -> u8 {
        self.0
    }
    /// From stored bits; others than the lowest four are dropped.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 15)
    }
    /// What a set of labels carries.
    pub fn of<'a>(labels: impl IntoIterator<Item = &'a str>) -> Self {
        labels.into_iter().fold(Self::NONE, Self::with)
    }
    /// Adds `label` when it is a restricted one.
    #[must_use]
    pub fn with(self, label: &str) -> Self {
        Self::LABELS.iter().position(|l| *l == label).map_or(self, |bit| Self(self.0 | (1 << bit)))
    }
    /// Whether everything in `self` is also in `allowed`.
    pub const fn within(self, allowed: Self) -> bool {
        self.0 & !allowed.0 == 0
    }
    /// What both have.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
    /// Every combination that someone who may see `self` sees, in ascending order of bits. At most 16.
    pub fn combinations(self) -> Vec<Self> {
        (0..=15).map(Self).filter(|combination| combination.within(self)).collect()
    }
}

/// Why a label was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// Only the server sets it.
    #[error("Cannot use system label: {0}")]
    System(String),
    /// Empty, too long, or with control characters.
    #[error("A label has 1 to {max} characters and no control characters", max = crate::limits::LABEL_CHARS)]
    Malformed,
}

/// Trims and lower-cases a label of a client and checks it.
pub fn normalize(label: &str) -> Result<String, LabelError> {
    let label = label.trim().to_lowercase();
    if label.is_empty()
        || label.chars().count() > crate::limits::LABEL_CHARS
        || label.chars().any(char::is_control)
    {
        return Err(LabelError::Malformed);
    }
    if SYSTEM.contains(&label.as_str()) {
        return Err(LabelError::System(label));
    }
    Ok(label)
}

/// How many labels count against [`crate::limits::LABELS_PER_MESSAGE`]: all but those of the server.
pub fn counted(labels: &[String]) -> usize {
    labels.iter().filter(|label| !SYSTEM.contains(&label.as_str())).count()
}

/// Adds and then removes labels, keeping the order of attachment. Returns what was really added and removed.
pub fn apply(labels: &mut Vec<String>, add: &[String], remove: &[String]) -> (Vec<String>, Vec<String>) {
    let mut added = Vec::new();
    for label in add {
        if !remove.contains(label) && !labels.contains(label) {
            labels.push(label.clone());
            added.push(label.clone());
        }
    }
    let mut removed = Vec::new();
    labels.retain(|label| {
        let gone = remove.contains(label);
        if gone {
            removed.push(label.clone());
        }
        !gone
    });
    (added, removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_normalized_and_system_labels_refused() {
        for (input, want) in [
            (" Read ", Ok("read".to_owned())),
            ("follow-up:é/1", Ok("follow-up:é/1".to_owned())),
            ("Sent", Err(LabelError::System("sent".to_owned()))),
            ("", Err(LabelError::Malformed)),
            ("a\nb", Err(LabelError::Malformed)),
        ] {
            assert_eq!(normalize(input), want, "{input:?}");
        }
        assert!(normalize(&"x".repeat(256)).is_ok());
        assert!(normalize(&"x".repeat(257)).is_err());
    }

    #[test]
    fn removal_wins_and_only_real_changes_are_reported() {
        let mut labels = vec!["a".to_owned(), "b".to_owned()];
        let s = |l: &[&str]| l.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(apply(&mut labels, &s(&["a", "c", "d"]), &s(&["b", "d", "z"])), (s(&["c"]), s(&["b"])));
        assert_eq!(labels, s(&["a", "c"]));
    }

    #[test]
    fn combinations_cover_what_may_be_seen() {
        assert_eq!(Restricted::NONE.combinations(), vec![Restricted::NONE]);
        let spam_trash = Restricted::of(["spam", "trash", "x"]);
        assert_eq!(spam_trash.bits(), 9);
        assert_eq!(spam_trash.combinations().len(), 4);
        assert!(Restricted::of(["spam"]).within(spam_trash));
        assert!(!Restricted::of(["blocked"]).within(spam_trash));
    }
}
