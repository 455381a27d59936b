//! The SMTP client against servers on loopback that follow a script.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "helpers of tests; a panic is a failed test"
)]

mod client;
mod server;
