//! What was found out about the sender of a received message.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Results of the checks of a received message, each a word of RFC 8601 §2.7 such as `pass`, `fail` or `none`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuthenticationResults {
    /// Of the envelope sender (RFC 7208).
    pub spf: String,
    /// Of the signatures (RFC 6376).
    pub dkim: String,
    /// Of the domain in From (RFC 7489).
    pub dmarc: String,
}
