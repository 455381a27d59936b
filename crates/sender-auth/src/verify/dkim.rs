//! DKIM signatures (RFC 6376) and ARC chains (RFC 8617) against keys that have been looked up.
//!
//! `mail-auth` parses, canonicalises and applies the keys. What could not be evaluated (SHA-1, keys below 1024 bits,
//! expired, a body length, no key) is an error, never a failure.

use std::collections::HashMap;

use mail_auth::AuthenticatedMessage;
use mail_auth::arc::ChainValidation;
use mail_auth::common::crypto::{Algorithm, CryptoError, HashAlgorithm};
use mail_auth::common::headers::Header;
use mail_auth::common::parse::TxtRecordParser as _;
use mail_auth::common::verify::{DomainKey, VerifySignature};
use mail_auth::dkim::{Canonicalization, Signature};
use podmail_dns::DnsError;

use super::{ARC_SETS_MAX, SIGNATURES_MAX, SIGNED_FIELDS_MAX, Word, organizational_domain};

/// Shortest RSA key that is accepted, in bits (RFC 8301 §3.2).
const RSA_BITS_MIN: usize = 1024;
/// `t=y` of a key: the domain is testing (RFC 6376 §3.6.1), in the spelling of `mail-auth`.
const FLAG_TESTING: u64 = 0x10;
/// `t=s` of a key: `i=` must be in exactly the domain, in the spelling of `mail-auth`.
const FLAG_MATCH_DOMAIN: u64 = 0x20;

/// Keys by name.
#[derive(Debug, Default)]
pub(crate) struct Keys(HashMap<String, Result<Vec<String>, DnsError>>);

/// What one signature says.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// `d=`, in lower case.
    pub(crate) domain: String,
    pub(crate) word: Word,
}

impl Keys {
    pub(crate) fn insert(&mut self, name: String, answer: Result<Vec<String>, DnsError>) {
        self.0.insert(name, answer);
    }

    fn get(&self, signature: &impl VerifySignature) -> Result<DomainKey, Word> {
        let records = match self.0.get(&key_name(signature)) {
            Some(Ok(records)) => records,
            Some(Err(DnsError::NotFound)) => return Err(Word::PermError),
            Some(Err(DnsError::Temporary(_))) | None => return Err(Word::TempError),
        };
        let key = records.iter().find_map(|record| DomainKey::parse(record.as_bytes()).ok());
        key.filter(|key| key.p.public_key_bits() >= RSA_BITS_MIN).ok_or(Word::PermError)
    }
}

/// Where the key of a signature is published.
pub(crate) fn key_name(signature: &impl VerifySignature) -> String {
    format!("{}._domainkey.{}", signature.selector(), signature.domain()).to_ascii_lowercase()
}

/// The signatures that are evaluated: those whose domain belongs to the sender first.
pub(crate) fn chosen<'m>(message: &'m AuthenticatedMessage<'_>, from: &[String]) -> Vec<&'m Signature> {
    headers_chosen(message, from).into_iter().map(|header| &header.header).collect()
}

fn headers_chosen<'m, 'x>(
    message: &'m AuthenticatedMessage<'x>,
    from: &[String],
) -> Vec<&'m Header<'x, Signature>> {
    let owners: Vec<String> = from.iter().map(|domain| organizational_domain(domain)).collect();
    let is_foreign =
        |header: &&Header<'_, Signature>| !owners.contains(&organizational_domain(&header.header.d));
    let mut headers: Vec<_> = message.dkim_headers.iter().collect();
    headers.sort_by_cached_key(is_foreign);
    headers.truncate(SIGNATURES_MAX);
    headers
}

/// Evaluates every signature of the message.
pub(crate) fn evaluate(
    message: &AuthenticatedMessage<'_>,
    from: &[String],
    keys: &Keys,
    now_unix: u64,
) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = headers_chosen(message, from)
        .into_iter()
        .map(|header| Outcome {
            domain: header.header.d.to_ascii_lowercase(),
            word: signature(message, header, keys, now_unix).map_or_else(|word| word, |()| Word::Pass),
        })
        .collect();
    if message.dkim_headers.len() > SIGNATURES_MAX {
        outcomes.push(Outcome { domain: String::new(), word: Word::TempError });
    }
    if message.has_dkim_errors {
        // Of a signature that cannot be read no domain is known, and a permanent error aligns with nothing.
        outcomes.push(Outcome { domain: String::new(), word: Word::PermError });
    }
    outcomes
}

/// One word for all signatures.
pub(crate) fn overall(outcomes: &[Outcome]) -> Word {
    [Word::Pass, Word::Fail, Word::TempError, Word::Neutral, Word::PermError]
        .into_iter()
        .find(|word| outcomes.iter().any(|outcome| outcome.word == *word))
        .unwrap_or(Word::None)
}

fn signature(
    message: &AuthenticatedMessage<'_>,
    header: &Header<'_, Signature>,
    keys: &Keys,
    now_unix: u64,
) -> Result<(), Word> {
    let signature = &header.header;
    is_usable(signature.a, &signature.h, signature.x, now_unix)?;
    if !signature.h.iter().any(|name| name.eq_ignore_ascii_case("from")) {
        return Err(Word::PermError);
    }
    let key = keys.get(signature)?;
    let domain = &signature.d;
    if let Some((_, agent)) = signature.i.rsplit_once('@') {
        let parent = agent.len().checked_sub(domain.len()).and_then(|at| agent.split_at_checked(at));
        let below = |parent: &str| !key.has_flag(FLAG_MATCH_DOMAIN) && parent.ends_with('.');
        match parent {
            Some((parent, own))
                if own.eq_ignore_ascii_case(domain) && (parent.is_empty() || below(parent)) => {}
            Some(_) | None => return Err(Word::PermError),
        }
    }
    // A domain that is testing must not be worse off than without a signature (RFC 6376 §3.6.1).
    let failure = if key.has_flag(FLAG_TESTING) { Word::Neutral } else { Word::Fail };
    if !body_is(message, signature.cb, signature.a, &signature.bh) {
        return Err(failure);
    }
    let unsigned = without_signature(header.value);
    let mut fields = message.signed_headers(&signature.h, header.name, &unsigned);
    match key.p.verify(&mut fields, signature.signature(), signature.ch, signature.a) {
        Ok(()) => Ok(()),
        Err(mail_auth::Error::Crypto(CryptoError::IncompatibleAlgorithms)) => Err(Word::PermError),
        Err(_) => Err(failure),
    }
}

fn is_usable(algorithm: Algorithm, fields: &[String], expires: u64, now_unix: u64) -> Result<(), Word> {
    let is_known = match algorithm {
        Algorithm::RsaSha256 | Algorithm::Ed25519Sha256 => true,
        // RFC 8301 §3.1.
        Algorithm::RsaSha1 => false,
    };
    if is_known && fields.len() <= SIGNED_FIELDS_MAX && (expires == 0 || expires > now_unix) {
        return Ok(());
    }
    Err(Word::PermError)
}

/// Whether the body has this hash. Signatures over a part of the body are not among those parsed.
fn body_is(
    message: &AuthenticatedMessage<'_>,
    form: Canonicalization,
    algorithm: Algorithm,
    hash: &[u8],
) -> bool {
    let wanted = HashAlgorithm::from(algorithm);
    message.body_hashes.iter().any(|(known, kind, length, value)| {
        *known == form && *kind == wanted && *length == 0 && value == hash
    })
}

/// The value of a signature's header as it was signed: with an empty `b=` and without the line end (RFC 6376 §3.7).
fn without_signature(value: &[u8]) -> Vec<u8> {
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    let mut bare = Vec::with_capacity(value.len());
    for (index, tag) in value.split(|byte| *byte == b';').enumerate() {
        if index > 0 {
            bare.push(b';');
        }
        let equals = tag.iter().position(|byte| *byte == b'=');
        match equals.and_then(|at| tag.split_at_checked(at)) {
            Some((name, _)) if name.trim_ascii() == b"b" => {
                bare.extend_from_slice(name);
                bare.push(b'=');
            }
            Some(_) | None => bare.extend_from_slice(tag),
        }
    }
    bare
}

/// Whether the newest ARC seal is by one of these domains, and the chain short enough to be looked at.
pub(crate) fn sealed_by(message: &AuthenticatedMessage<'_>, trusted: &[String]) -> bool {
    let newest = message.as_headers.iter().max_by_key(|header| header.header.i);
    message.as_headers.len() <= ARC_SETS_MAX
        && newest
            .is_some_and(|newest| trusted.iter().any(|domain| domain.eq_ignore_ascii_case(&newest.header.d)))
}

/// Where the keys of the ARC chain are published: every seal's and the newest message signature's.
pub(crate) fn arc_keys(message: &AuthenticatedMessage<'_>) -> Vec<String> {
    let seals = message.as_headers.iter().map(|header| key_name(&header.header));
    let newest = message.ams_headers.iter().max_by_key(|header| header.header.i);
    seals.chain(newest.map(|header| key_name(&header.header))).collect()
}

/// Whether the ARC chain is complete and every seal, and the newest message signature, is right (RFC 8617 §5.2).
pub(crate) fn arc_passes(message: &AuthenticatedMessage<'_>, keys: &Keys, now_unix: u64) -> bool {
    arc_chain(message, keys, now_unix).is_some()
}

fn arc_chain(message: &AuthenticatedMessage<'_>, keys: &Keys, now_unix: u64) -> Option<()> {
    let (seals, signatures, results) = (&message.as_headers, &message.ams_headers, &message.aar_headers);
    let sets = seals.len();
    if message.has_arc_errors
        || sets == 0
        || sets > ARC_SETS_MAX
        || signatures.len() != sets
        || results.len() != sets
    {
        return None;
    }
    for (index, ((seal, signature), results)) in seals.iter().zip(signatures).zip(results).enumerate() {
        let instance = u32::try_from(index + 1).ok()?;
        let validation = if index == 0 { ChainValidation::None } else { ChainValidation::Pass };
        let numbers = [seal.header.i, signature.header.i, results.header.i];
        if numbers != [instance; 3] || seal.header.cv != validation {
            return None;
        }
    }
    let newest = signatures.last()?;
    let signature = &newest.header;
    is_usable(signature.a, &signature.h, signature.x, now_unix).ok()?;
    if !body_is(message, signature.cb, signature.a, &signature.bh) {
        return None;
    }
    let unsigned = without_signature(newest.value);
    let mut fields = message.signed_headers(&signature.h, newest.name, &unsigned);
    keys.get(signature).ok()?.p.verify(&mut fields, &signature.b, signature.ch, signature.a).ok()?;
    drop(fields);
    for (index, seal) in seals.iter().enumerate() {
        is_usable(seal.header.a, &[], 0, now_unix).ok()?;
        let unsigned = without_signature(seal.value);
        let mut fields = Vec::with_capacity(3 * (index + 1));
        for (set, other) in seals.iter().enumerate().take(index + 1) {
            fields.push((results.get(set)?.name, results.get(set)?.value));
            fields.push((signatures.get(set)?.name, signatures.get(set)?.value));
            fields.push((other.name, if set == index { unsigned.as_slice() } else { other.value }));
        }
        let key = keys.get(&seal.header).ok()?;
        key.p
            .verify(&mut fields.into_iter(), &seal.header.b, Canonicalization::Relaxed, seal.header.a)
            .ok()?;
    }
    Some(())
}

/// Whether the newest sealer reports that DMARC passed, for this domain when it names one.
pub(crate) fn arc_reports_pass(message: &AuthenticatedMessage<'_>, domain: &str) -> bool {
    let Some(newest) = message.aar_headers.iter().max_by_key(|header| header.header.i) else { return false };
    let text = String::from_utf8_lossy(newest.value).to_ascii_lowercase();
    text.split(';').any(|part| {
        let mut words =
            part.split(|symbol: char| symbol.is_ascii_whitespace() || matches!(symbol, '(' | ')'));
        let mut words = words.by_ref().filter(|word| !word.is_empty());
        words.next() == Some("dmarc=pass")
            && words.filter_map(|word| word.strip_prefix("header.from=")).all(|named| named == domain)
    })
}
