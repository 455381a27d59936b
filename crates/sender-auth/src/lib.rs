//! Who a message is from: signs what leaves, checks what arrives.
//!
//! Keys, times and the DNS are passed in. Keys are RSA with 2048 bits, as every verifier understands them.

mod canonical;
mod dkim;
mod verify;

pub use dkim::{DkimKey, Error, SIGNED_HEADERS, Signer, generate_rsa_2048};
pub use verify::{
    ARC_SETS_MAX, Answers, Envelope, FROM_DOMAINS_MAX, HEADER_BYTES_MAX, LOOKUPS_MAX, Policy, Question,
    SIGNATURES_MAX, SIGNED_FIELDS_MAX, TOTAL_TIME, Verdict, Word, organizational_domain,
};
