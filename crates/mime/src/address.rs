//! One mailbox: how callers write it and how received headers give it.
//!
//! A [`Mailbox`] made by [`Mailbox::parse`] can be written to SMTP and to a header as it is; one that comes from a received
//! mail is only as good as its sender.

use std::fmt;

use mail_parser::{Addr, Address, HeaderValue, parsers::MessageStream};

use crate::words;

/// Longest local part in bytes (RFC 5321 section 4.5.3.1.1).
const MAX_LOCAL: usize = 64;
/// Longest address in bytes (RFC 5321 section 4.5.3.1.3, less the angle brackets).
const MAX_ADDRESS: usize = 254;
/// Longest label of a domain name in bytes (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;
/// What an atom may hold besides letters and digits (RFC 5322 §3.2.3).
const ATOM: &[u8] = b"!#$%&'*+-/=?^_`{|}~";
/// Most mailboxes taken from one header field name; the rest is only in the raw message.
const MAX_MAILBOXES: usize = 2_000;

/// A display name and an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mailbox {
    /// Display name, decoded; never empty.
    pub name: Option<String>,
    /// Address with a lower-case domain; the local part keeps its case.
    pub address: String,
}

/// Why a string is not one mailbox. The text is fit for the caller of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Nothing but white space.
    #[error("the address is empty")]
    Empty,
    /// Line breaks, NUL and the like.
    #[error("the address contains control characters")]
    ControlCharacter,
    /// A comma-separated list or a group.
    #[error("give one address per element; lists and groups are not allowed")]
    NotOne,
    /// No `@` with something on both sides.
    #[error("the address needs the form user@domain")]
    MissingAt,
    /// Angle brackets or quotes that do not match.
    #[error("the address is not of the form `addr` or `Name <addr>`")]
    Malformed,
    /// The local part has characters outside ASCII.
    #[error("the part before @ must be ASCII")]
    NonAsciiLocalPart,
    /// The local part is no dot-atom or quoted string.
    #[error("the part before @ is not valid")]
    LocalPart,
    /// The local part or the whole is too long.
    #[error("the address is too long")]
    TooLong,
    /// The domain is no host name, also after IDNA.
    #[error("the domain is not valid")]
    Domain,
}

impl Mailbox {
    /// Parses one mailbox, `addr` or `Name <addr>`; the name may be a quoted string. One that is not quoted although it
    /// should be (`Smith, John <j@x.test>`) is taken as it is, unless it holds another address: this is how we show mailboxes.
    /// The domain is lower-cased and put in its ASCII form (IDNA).
    ///
    /// # Errors
    /// When `s` is anything else: a list, a group, an address literal, a non-ASCII local part, one that is too long.
    pub fn parse(s: &str) -> Result<Self, AddressError> {
        let s = s.trim();
        if s.is_empty() {
            return Err(AddressError::Empty);
        }
        if s.chars().any(char::is_control) {
            return Err(AddressError::ControlCharacter);
        }
        match split_name(s) {
            Ok(None) => Ok(Self { name: None, address: address(s)? }),
            Ok(Some((name, inner))) => Ok(Self { name, address: address(inner)? }),
            Err(error) => {
                let shown = s.strip_suffix('>').and_then(|rest| rest.rsplit_once('<'));
                let (name, inner) = shown.filter(|(name, _)| !name.contains(['@', '<', '>'])).ok_or(error)?;
                Ok(Self { name: Some(name.trim().to_owned()), address: address(inner.trim())? })
            }
        }
    }

    /// A received mailbox in the form in which it can be mailed: its address checked like that of [`Self::parse`], the
    /// domain in its ASCII form, and a local part in quotes where some systems hand out names that need them (`a..b`).
    ///
    /// # Errors
    /// When nobody can be mailed at the address.
    pub fn sendable(&self) -> Result<Self, AddressError> {
        let (local, domain) = self.address.rsplit_once('@').ok_or(AddressError::MissingAt)?;
        let odd = |b: u8| matches!(b, b'.' | b' ') || b.is_ascii_alphanumeric() || ATOM.contains(&b);
        let quotable = !local.is_empty() && !local_part_valid(local) && local.bytes().all(odd);
        let local = if quotable { format!("\"{local}\"") } else { local.to_owned() };
        Ok(Self { name: self.name.clone(), address: address(&format!("{local}@{}", domain.trim()))? })
    }

    /// The bare address in lower case, for comparison.
    #[must_use]
    pub fn key(&self) -> String {
        self.address.to_lowercase()
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) if self.address.is_empty() => f.write_str(name),
            Some(name) => write!(f, "{name} <{}>", self.address),
            None => f.write_str(&self.address),
        }
    }
}

/// Splits `Name <addr>`; `None` when there is no angle bracket outside quotes.
fn split_name(s: &str) -> Result<Option<(Option<String>, &str)>, AddressError> {
    let mut name = String::new();
    let mut chars = s.char_indices();
    let mut quoted = false;
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if quoted => name.extend(chars.next().map(|(_, next)| next)),
            '"' => quoted = !quoted,
            '<' if !quoted => {
                let rest = s.get(at + 1..).unwrap_or_default();
                if rest.contains('<') {
                    return Err(AddressError::NotOne);
                }
                let inner = rest.strip_suffix('>').ok_or(AddressError::Malformed)?;
                let name = name.trim();
                return Ok(Some(((!name.is_empty()).then(|| name.to_owned()), inner.trim())));
            }
            ',' | ';' | ':' if !quoted => return Err(AddressError::NotOne),
            '>' if !quoted => return Err(AddressError::Malformed),
            other => name.push(other),
        }
    }
    if quoted { Err(AddressError::Malformed) } else { Ok(None) }
}

fn address(s: &str) -> Result<String, AddressError> {
    let (local, domain) = s.rsplit_once('@').ok_or(AddressError::MissingAt)?;
    if local.is_empty() || domain.is_empty() {
        return Err(AddressError::MissingAt);
    }
    if !local.is_ascii() {
        return Err(AddressError::NonAsciiLocalPart);
    }
    if local.len() > MAX_LOCAL {
        return Err(AddressError::TooLong);
    }
    if !local_part_valid(local) {
        return Err(AddressError::LocalPart);
    }
    let domain = idna::domain_to_ascii(domain).map_err(|_| AddressError::Domain)?;
    if !domain.split('.').all(label_valid) {
        return Err(AddressError::Domain);
    }
    if local.len() + 1 + domain.len() > MAX_ADDRESS {
        return Err(AddressError::TooLong);
    }
    Ok(format!("{local}@{domain}"))
}

/// Dot-atom or quoted string (RFC 5322 section 3.4.1).
fn local_part_valid(local: &str) -> bool {
    if let Some(inner) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        let mut escaped = false;
        for b in inner.bytes() {
            match b {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => return false,
                _ => {}
            }
        }
        return !escaped && !inner.is_empty();
    }
    local
        .split('.')
        .all(|atom| !atom.is_empty() && atom.bytes().all(|b| b.is_ascii_alphanumeric() || ATOM.contains(&b)))
}

fn label_valid(label: &str) -> bool {
    (1..=MAX_LABEL).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// The mailboxes of a received header value (`value` ends with a line feed); groups are flattened.
pub(crate) fn received(value: &[u8]) -> Vec<Mailbox> {
    let value = words::normalized(value);
    let HeaderValue::Address(parsed) = MessageStream::new(&value).parse_address() else {
        return Vec::new();
    };
    // The parser takes a quoted local part for a name.
    let quoted_local = value.windows(2).any(|two| two == b"\"@");
    let mailbox = |addr: &Addr<'_>| from_wire(addr, quoted_local);
    match parsed {
        Address::List(list) => list.iter().filter_map(mailbox).take(MAX_MAILBOXES).collect(),
        Address::Group(groups) => {
            groups.iter().flat_map(|group| &group.addresses).filter_map(mailbox).take(MAX_MAILBOXES).collect()
        }
    }
}

fn from_wire(addr: &Addr<'_>, quoted_local: bool) -> Option<Mailbox> {
    let name = addr.name.as_deref().map(clean).filter(|name| !name.is_empty());
    let address = addr.address.as_deref().map(clean).unwrap_or_default();
    // A route (RFC 5322 section 4.4) leads to the address behind it.
    let address = match address.strip_prefix('@').and_then(|rest| rest.rsplit_once(':')) {
        Some((_, target)) if target.contains('@') => target.to_owned(),
        _ => address,
    };
    match (address.rsplit_once('@'), name) {
        (Some(("", domain)), Some(local)) if quoted_local => {
            Some(Mailbox { name: None, address: format!("\"{local}\"@{}", domain.to_lowercase()) })
        }
        (Some((local, domain)), name) => {
            Some(Mailbox { name, address: format!("{local}@{}", domain.to_lowercase()) })
        }
        // Bounces come from a bare `MAILER-DAEMON`.
        (None, Some(word)) if address.is_empty() && !word.contains(char::is_whitespace) => {
            Some(Mailbox { name: None, address: word })
        }
        (None, None) if address.is_empty() => None,
        (None, name) => Some(Mailbox { name, address }),
    }
}

/// Control characters become spaces, so that no display name can fake a line; runs of white space become one.
pub(crate) fn clean(s: &str) -> String {
    let spaced: String = s.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mailbox_is_parsed_in_all_its_spellings() {
        for (input, name, address) in [
            ("a@x.test", None, "a@x.test"),
            (" <A.b@X.Test> ", None, "A.b@x.test"),
            ("Bob <b+c@x.test>", Some("Bob"), "b+c@x.test"),
            ("\"Smith, \\\"J\\\"\" <j@x.test>", Some("Smith, \"J\""), "j@x.test"),
            ("Jörg <j@bücher.test>", Some("Jörg"), "j@xn--bcher-kva.test"),
            ("\"a b\"@x.test", None, "\"a b\"@x.test"),
            ("Smith, John <j@x.test>", Some("Smith, John"), "j@x.test"),
            ("Re: \"it <j@x.test>", Some("Re: \"it"), "j@x.test"),
        ] {
            let got = Mailbox::parse(input).expect(input);
            assert_eq!((got.name.as_deref(), got.address.as_str()), (name, address), "{input}");
        }
    }

    #[test]
    fn anything_but_one_mailbox_is_refused() {
        let long_local = format!("{}@x.test", "a".repeat(65));
        let long = format!("{}@{}.test", "a".repeat(64), "b.".repeat(100));
        for (input, error) in [
            ("  ", AddressError::Empty),
            ("a@x.test\r\nBcc: b@x.test", AddressError::ControlCharacter),
            ("a@x.test, b@x.test", AddressError::NotOne),
            ("a@x.test, Bob <b@x.test>", AddressError::NotOne),
            ("Ann <a@x.test>, Bob <b@x.test>", AddressError::NotOne),
            ("group: a@x.test;", AddressError::NotOne),
            ("nobody", AddressError::MissingAt),
            ("@x.test", AddressError::MissingAt),
            ("jörg@x.test", AddressError::NonAsciiLocalPart),
            ("a b@x.test", AddressError::LocalPart),
            ("a..b@x.test", AddressError::LocalPart),
            ("a@x..test", AddressError::Domain),
            ("a@[127.0.0.1]", AddressError::Domain),
            ("Bob <b@x.test> tail", AddressError::Malformed),
            ("Bob <b@x.test", AddressError::Malformed),
            (long_local.as_str(), AddressError::TooLong),
            (long.as_str(), AddressError::Domain),
        ] {
            assert_eq!(Mailbox::parse(input).expect_err(input), error, "{input}");
        }
    }

    #[test]
    fn a_received_mailbox_is_made_fit_for_sending_or_refused() {
        for (header, want) in [
            ("\"Smith, John\" <j@x.test>", Ok("Smith, John <j@x.test>")),
            ("a..b.@docomo.test", Ok("\"a..b.\"@docomo.test")),
            ("\"a b\"@x.test", Ok("\"a b\"@x.test")),
            ("a@bücher.test", Ok("a@xn--bcher-kva.test")),
            ("jörg@x.test", Err(AddressError::NonAsciiLocalPart)),
            ("MAILER-DAEMON", Err(AddressError::MissingAt)),
            ("x@[192.0.2.1]", Err(AddressError::Domain)),
        ] {
            let got = received(format!("{header}\n").as_bytes());
            assert_eq!(got.len(), 1, "{header}: {got:?}");
            assert_eq!(got[0].sendable().map(|m| m.to_string()), want.map(str::to_owned), "{header}");
        }
    }

    #[test]
    fn display_and_key() {
        let m = Mailbox::parse("Bob <B@X.test>").expect("valid");
        assert_eq!((m.to_string().as_str(), m.key().as_str()), ("Bob <B@x.test>", "b@x.test"));
    }
}
