//! The listener for mail from the internet (MX): SMTP with STARTTLS, no authentication, no decisions.
//!
//! One task accepts connections and starts a session for each: `server` (limits, shutdown), `connection`
//! (bytes: reading, batched writing, timeouts, TLS) and `session` (commands: what may come when, replies).
//! Whether a recipient exists and what becomes of a message is decided behind [`MailSink`], which the
//! application implements. A `250` after the message is sent only when the sink says that it is stored.
//!
//! Invariants: every count, size and time that a client controls has a bound in [`Config`] or a constant
//! beside its use; a message ends at CR LF `.` CR LF and nowhere else; what a client sent in plain text
//! behind `STARTTLS` is thrown away (RFC 3207 §5).
//!
//! Deliberately absent: `AUTH` (submission is a different service), `Received` headers and the count of
//! them, and any look into messages.

mod app_sink;
mod config;
mod connection;
mod counters;
mod limits;
mod server;
mod session;
mod sink;

pub use config::Config;
pub use counters::Counters;
pub use server::{Server, Tls};
pub use sink::{DeliverAnswer, Envelope, MailSink, RecipientAnswer};
