//! Who a message is from: signs what leaves.
//!
//! Pure functions over bytes; keys and times are passed in. Keys are RSA with 2048 bits, as every verifier
//! understands them.

mod canonical;
mod dkim;

pub use dkim::{DkimKey, Error, SIGNED_HEADERS, Signer, generate_rsa_2048};
