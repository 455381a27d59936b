//! Messages: parses what arrives, builds what leaves, and knows the rules in between (quoting, threading keys,
//! reply extraction).
//!
//! Pure: no sockets, files, clocks or randomness; dates, ids and boundaries come from the caller. Everything that takes
//! bytes of strangers is total: it never panics or fails, and its work is bounded by the constants next to the code.
//! The walk through the MIME structure is our own, so that depth, parts and time have limits; the fields of a header and
//! the character sets are decoded by `mail-parser`.

mod address;
mod compose;
mod decode;
pub mod extract;
mod fingerprint;
mod flowed;
mod header;
mod hidden;
mod html;
mod ids;
mod markdown;
mod names;
mod parse;
mod quote;
mod report;
mod sanitize;
mod structure;
mod subject;
mod words;

pub use address::{AddressError, Mailbox};
pub use compose::{Outgoing, OutgoingPart, build, format_date};
pub use decode::decode_text;
pub use fingerprint::fingerprint;
pub use html::to_text as html_to_text;
pub use ids::{bracketed, thread_candidates, usable_message_id};
pub use markdown::{html_to_markdown, html_to_visible_text, text_to_markdown};
pub use names::{clean_filename, header_name_reserved, header_name_valid, header_value_valid};
pub use parse::{Disposition, Parsed, Part, parse, part_bytes, part_charset, preview};
pub use quote::{Quoted, forward_html, forward_text, new_text, reply_html, reply_text};
pub use report::{Action, DeliveryStatus, Feedback, FeedbackKind, RecipientStatus, Report, report};
pub use sanitize::sanitize_html;
pub use subject::{clean_subject, forward_subject, reply_subject};
