//! DKIM (RFC 6376): keys and signatures of outgoing mail, RSA-SHA256 in relaxed form.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::canonical::{Field, relaxed_body, relaxed_field, split};

/// The headers that a signature covers, those present of them, every instance of each.
pub const SIGNED_HEADERS: [&str; 14] = [
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Reply-To",
    "In-Reply-To",
    "References",
    // Both have to be covered for a click to count (RFC 8058 section 4).
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
];

/// Most header fields of a message that are looked at.
const FIELDS_MAX: usize = 2_000;
/// Most header fields that one signature covers.
const SIGNED_FIELDS_MAX: usize = 100;
/// Column at which the signature's own header is folded.
const FOLD_COLUMNS: usize = 72;

/// Why there is no key or signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No key could be made.
    #[error("making an RSA key failed")]
    Generate,
    /// The bytes are no RSA private key in PKCS#8 form.
    #[error("not an RSA private key in PKCS#8 form")]
    Key,
    /// The domain or selector would not fit into a header.
    #[error("the domain or selector of a signature is not a domain name")]
    Name,
    /// The message has no From header, which every signature must cover (RFC 6376, section 5.4).
    #[error("the message has no From header")]
    NoFrom,
    /// The message has more header fields than a signature covers.
    #[error("the message has too many header fields to sign")]
    TooManyFields,
    /// The key refused to sign.
    #[error("signing failed")]
    Sign,
}

/// A new key of a domain.
#[derive(Clone, PartialEq, Eq)]
pub struct DkimKey {
    /// The private key, PKCS#8 in DER. Secret.
    pub private_pkcs8: Vec<u8>,
    /// The public key, SubjectPublicKeyInfo in DER as base64: what stands behind `p=` in DNS.
    pub public_base64: String,
}

impl DkimKey {
    /// The value of the TXT record at `<selector>._domainkey.<domain>` (RFC 6376, section 3.6.1).
    #[must_use]
    pub fn record(&self) -> String {
        format!("v=DKIM1; k=rsa; p={}", self.public_base64)
    }
}

impl fmt::Debug for DkimKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DkimKey").field("public_base64", &self.public_base64).finish_non_exhaustive()
    }
}

/// Makes a key of 2048 bits. Takes some tenths of a second of computing: keep it off the reactor.
///
/// # Errors
/// [`Error::Generate`], which means that the system has no randomness.
pub fn generate_rsa_2048() -> Result<DkimKey, Error> {
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| Error::Generate)?;
    let private: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| Error::Generate)?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| Error::Generate)?;
    Ok(DkimKey { private_pkcs8: private.as_ref().to_vec(), public_base64: STANDARD.encode(public.as_ref()) })
}

/// Signs for one domain with one key; made once and then shared.
pub struct Signer {
    domain: String,
    selector: String,
    key: KeyPair,
    random: SystemRandom,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("domain", &self.domain)
            .field("selector", &self.selector)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// A signer for `d=domain` and `s=selector` with a private key in PKCS#8 form.
    ///
    /// # Errors
    /// [`Error::Key`] and [`Error::Name`].
    pub fn new(domain: &str, selector: &str, private_pkcs8: &[u8]) -> Result<Self, Error> {
        let plain = |name: &str| {
            !name.is_empty()
                && name.len() <= 253
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        };
        if !plain(domain) || !plain(selector) {
            return Err(Error::Name);
        }
        let key = KeyPair::from_pkcs8(private_pkcs8).map_err(|_| Error::Key)?;
        Ok(Self {
            domain: domain.to_owned(),
            selector: selector.to_owned(),
            key,
            random: SystemRandom::new(),
        })
    }

    /// The `DKIM-Signature` header of a message, with its CR LF, to be put in front of it. `now_unix` is the
    /// time of signing in seconds (`t=`).
    ///
    /// All of the body and the headers of [`SIGNED_HEADERS`] are covered, `From` once more than it occurs so
    /// that none can be added. About a millisecond of computing.
    ///
    /// # Errors
    /// [`Error::NoFrom`], [`Error::TooManyFields`], [`Error::Sign`].
    pub fn sign(&self, raw: &[u8], now_unix: u64) -> Result<String, Error> {
        let (fields, body) = split(raw, FIELDS_MAX);
        let mut hash = Context::new(&SHA256);
        relaxed_body(body, |piece| hash.update(piece));
        let body_hash = STANDARD.encode(hash.finish());

        let mut names: Vec<&str> = Vec::new();
        let mut signed = Vec::new();
        for name in SIGNED_HEADERS {
            // Instances of one name are taken from the bottom up (section 5.4.2).
            for field in fields.iter().rev() {
                if field.name.eq_ignore_ascii_case(name.as_bytes()) {
                    names.push(name);
                    relaxed_field(*field, &mut signed);
                    signed.extend_from_slice(b"\r\n");
                }
            }
        }
        if names.first() != Some(&"From") {
            return Err(Error::NoFrom);
        }
        if names.len() > SIGNED_FIELDS_MAX {
            return Err(Error::TooManyFields);
        }
        names.insert(0, "From");

        let mut value = format!(
            " v=1; a=rsa-sha256; c=relaxed/relaxed; d={};\r\n\ts={}; t={now_unix};\r\n\th=",
            self.domain, self.selector
        );
        fold_names(&names, &mut value);
        value.push_str(";\r\n\tbh=");
        value.push_str(&body_hash);
        value.push_str(";\r\n\tb=");
        relaxed_field(Field { name: b"DKIM-Signature", value: value.as_bytes() }, &mut signed);

        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &self.random, &signed, &mut signature).map_err(|_| Error::Sign)?;
        let mut header = format!("DKIM-Signature:{value}");
        for (index, symbol) in STANDARD.encode(signature).chars().enumerate() {
            if index % FOLD_COLUMNS == 0 && index > 0 {
                header.push_str("\r\n\t");
            }
            header.push(symbol);
        }
        header.push_str("\r\n");
        Ok(header)
    }
}

/// Appends the names joined by colons, folded behind colons.
fn fold_names(names: &[&str], out: &mut String) {
    let mut column = 0;
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            out.push(':');
            if column + name.len() > FOLD_COLUMNS {
                out.push_str("\r\n\t");
                column = 0;
            }
        }
        out.push_str(name);
        column += name.len() + 1;
    }
}
