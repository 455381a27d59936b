//! Stand-ins for the world around a server, for tests: time and ids that tests fix, databases of their own, a name
//! server on loopback. A dev-dependency only.

mod databases;
mod dns;
mod source;

pub use databases::{Database, databases};
pub use dns::DnsServer;
pub use source::{FakeClock, TestIds};
