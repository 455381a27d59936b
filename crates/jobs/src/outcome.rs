//! What became of one attempt at a job.
//!
//! Handlers return an [`Outcome`], never a bare error: whoever writes the handler decides whether trying
//! again can help.

/// The end of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an outcome decides what happens to the job"]
pub enum Outcome {
    /// The work is done; the job leaves the queue.
    Done,
    /// The cause may pass: try again when the schedule says so, fail once it is exhausted.
    Retry {
        /// Why, in words for the operator; free of secrets and message contents.
        reason: String,
    },
    /// Trying again cannot help.
    Fail {
        /// Why, in words for the operator; free of secrets and message contents.
        reason: String,
    },
}

impl Outcome {
    /// A failure that may pass.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry { reason: reason.into() }
    }

    /// A failure that stays.
    pub fn fail(reason: impl Into<String>) -> Self {
        Self::Fail { reason: reason.into() }
    }
}
