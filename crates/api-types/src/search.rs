//! Results of full-text searches.

use schemars::JsonSchema;
use serde::Serialize;

use crate::messages::Message;
use crate::threads::ThreadItem;

/// What met the query, marked with `**`; a member is there only when its field met.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Highlights {
    /// The sender; of threads, each that met.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
    /// Each recipient that met.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// The whole subject.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject: Vec<String>,
    /// Up to three pieces of the body.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub text: Vec<String>,
}

impl Highlights {
    /// Whether nothing met.
    pub const fn is_empty(&self) -> bool {
        self.from.is_empty() && self.recipients.is_empty() && self.subject.is_empty() && self.text.is_empty()
    }
}

/// A message that a search found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FoundMessage {
    /// As lists show it.
    #[serde(flatten)]
    pub message: Message,
    /// What met the query.
    #[serde(skip_serializing_if = "Highlights::is_empty")]
    pub highlights: Highlights,
}

/// A thread that a search found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FoundThread {
    /// As lists show it.
    #[serde(flatten)]
    pub thread: ThreadItem,
    /// What met the query, in any of its messages.
    #[serde(skip_serializing_if = "Highlights::is_empty")]
    pub highlights: Highlights,
}
