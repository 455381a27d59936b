//! What the measuring programs in `src/bin` and the whole-server tests share: a server as its own process, load over
//! SMTP and HTTP, a webhook sink, tables and figures.
//!
//! Figures are printed and written as JSON; nothing here passes or fails by time. The crash test ([`crash`]) does fail:
//! it counts what a killed server lost.

pub mod crash;
pub mod fill;
pub mod http;
pub mod load;
pub mod machine;
pub mod mail;
pub mod place;
pub mod process;
pub mod random;
pub mod reads;
pub mod report;
pub mod server;
pub mod sink;
pub mod smtp;
pub mod world;
