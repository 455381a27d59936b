//! Where time, ids and randomness come from. They are passed in everywhere, so that tests fix them.

use std::fmt::Debug;

use uuid::Uuid;

use crate::Timestamp;

/// The time of day.
pub trait Clock: Send + Sync + Debug {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Ids and randomness. Implementations must be unpredictable outside of tests: keys and secrets come from here.
pub trait IdSource: Send + Sync + Debug {
    /// A new UUID version 7 for `now`; strictly increasing within one process.
    fn uuid7(&self, now: Timestamp) -> Uuid;

    /// Fills `bytes` with randomness fit for secrets.
    fn fill(&self, bytes: &mut [u8]);
}

/// `N` bytes of randomness.
pub fn random<const N: usize>(ids: &dyn IdSource) -> [u8; N] {
    let mut bytes = [0; N];
    ids.fill(&mut bytes);
    bytes
}

/// Lower-case hexadecimal text of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}
