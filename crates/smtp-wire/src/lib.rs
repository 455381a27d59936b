//! SMTP on the wire, for both directions, without sockets, clocks or locks.
//!
//! A server uses [`LineSplitter`] and [`Command`] for what clients say, [`DataReader`] for the message
//! after `DATA`, and [`write_reply`] for its answers. A client uses [`ReplyParser`], [`Capabilities`],
//! [`DotStuffer`] and the `write_*` functions of [`client`]. `smtp-in` and `delivery` add the I/O.
//!
//! Invariants: nothing here panics on any input, everything incremental gives the same result however
//! the input is split, and every buffer has a bound that a constant names.
//!
//! **Line ends.** Only CR LF ends a line (RFC 5321 §2.3.8). A lone CR or LF in a message is content: it
//! is kept on the way in, never ends the message, and is written as CR LF on the way out, so that no two
//! servers can disagree about where a message ends ("SMTP smuggling").

mod capabilities;
pub mod client;
mod command;
mod data;
mod line;
mod path;
mod reply;
mod stuff;

pub use capabilities::Capabilities;
pub use command::{Body, Command, CommandError, MailFrom, RcptTo};
pub use data::{DataProgress, DataReader};
pub use line::{COMMAND_LINE_MAX_BYTES, LineError, LineSplitter, Split};
pub use path::{DOMAIN_MAX_BYTES, LOCAL_PART_MAX_BYTES};
pub use reply::{
    EnhancedCode, REPLY_LINE_MAX_BYTES, REPLY_LINES_MAX, Reply, ReplyError, ReplyParser, write_lines,
    write_reply,
};
pub use stuff::{DotStuffer, normalize_line_ends};
