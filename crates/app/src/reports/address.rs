//! Addresses of the server itself that name a sent message: where its bounces go, and where its recipient unsubscribes.
//!
//! `bounce-` or `unsubscribe-`, then the keys of inbox and message in 25 digits of base 36 each: 62 octets at most, within
//! the 64 of a local part (RFC 5321 §4.5.3.1.1), and the same in any case. Nothing else authenticates a report: both
//! keys are random (74 bits of a UUID version 7, never less than 32 between two of one millisecond), and who knows them
//! has seen the message's return path, as the servers that it was sent to have.

use std::fmt;

use podmail_domain::{InboxKey, MessageKey};
use uuid::Uuid;

/// Digits of a key: 36^25 is the first power above 2^128.
const DIGITS: usize = 25;
/// The base.
const BASE: u128 = 36;

/// What mail to the address is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// What became of the message.
    Bounce,
    /// No further mail is wanted.
    Unsubscribe,
}

impl Purpose {
    const ALL: [Self; 2] = [Self::Bounce, Self::Unsubscribe];
    const fn prefix(self) -> &'static str {
        match self {
            Self::Bounce => "bounce-",
            Self::Unsubscribe => "unsubscribe-",
        }
    }
}

/// The local part of such an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReportAddress {
    pub(crate) purpose: Purpose,
    pub(crate) inbox: InboxKey,
    pub(crate) message: MessageKey,
}

impl ReportAddress {
    /// Reads a local part in any case.
    pub(crate) fn parse(local: &str) -> Option<Self> {
        let (purpose, keys) = split(local)?;
        let (inbox, message) = keys.split_at_checked(DIGITS)?;
        Some(Self {
            purpose,
            inbox: InboxKey::from_uuid(number(inbox)?),
            message: MessageKey::from_uuid(number(message)?),
        })
    }
}

impl fmt::Display for ReportAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.purpose.prefix())?;
        f.write_str(&base36(self.inbox.uuid()))?;
        f.write_str(&base36(self.message.uuid()))
    }
}

/// Whether a user name looks like such an address, and so cannot be an inbox's.
pub(crate) fn reserves(username: &str) -> bool {
    split(username).is_some()
}

fn split(local: &str) -> Option<(Purpose, &str)> {
    Purpose::ALL.into_iter().find_map(|purpose| {
        let (start, keys) = local.split_at_checked(purpose.prefix().len())?;
        let fits = start.eq_ignore_ascii_case(purpose.prefix())
            && keys.len() == 2 * DIGITS
            && keys.bytes().all(|byte| byte.is_ascii_alphanumeric());
        fits.then_some((purpose, keys))
    })
}

/// A UUID in 25 digits of base 36, lower case.
pub(crate) fn base36(uuid: Uuid) -> String {
    let mut rest = uuid.as_u128();
    let mut digits = [b'0'; DIGITS];
    for place in digits.iter_mut().rev() {
        let digit = u8::try_from(rest % BASE).unwrap_or(0);
        *place = if digit < 10 { b'0' + digit } else { b'a' + (digit - 10) };
        rest /= BASE;
    }
    digits.into_iter().map(char::from).collect()
}

/// The UUID of 25 digits of base 36 in any case.
pub(crate) fn number(text: &str) -> Option<Uuid> {
    if text.len() != DIGITS {
        return None;
    }
    text.chars()
        .try_fold(0_u128, |sum, digit| sum.checked_mul(BASE)?.checked_add(u128::from(digit.to_digit(36)?)))
        .map(Uuid::from_u128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_inbox_and_message_within_the_length_of_a_local_part() {
        for (inbox, message) in [(0, 1), (u128::MAX, 35), (36, u128::MAX), (1 << 127, 1 << 64)] {
            for purpose in Purpose::ALL {
                let address = ReportAddress {
                    purpose,
                    inbox: InboxKey::from_uuid(Uuid::from_u128(inbox)),
                    message: MessageKey::from_uuid(Uuid::from_u128(message)),
                };
                let local = address.to_string();
                assert!(local.len() <= 62 && podmail_domain::address::valid_username(&local), "{local}");
                assert_eq!(ReportAddress::parse(&local), Some(address), "{local}");
                assert_eq!(ReportAddress::parse(&local.to_ascii_uppercase()), Some(address), "{local}");
                assert!(reserves(&local));
            }
        }
    }

    #[test]
    fn anything_else_is_an_ordinary_name() {
        let zeros = "0".repeat(50);
        let too_much = "z".repeat(50);
        for local in [
            "bounce-",
            "bounce-desk",
            &format!("bounce-{zeros}0"),
            &format!("bounces-{zeros}"),
            &format!("bounce-{}-", "0".repeat(49)),
            &format!("bounce-\u{e9}{}", "0".repeat(48)),
            "b\u{e9}",
            "",
        ] {
            assert_eq!(ReportAddress::parse(local), None, "{local}");
            assert!(!reserves(local), "{local}");
        }
        assert_eq!(ReportAddress::parse(&format!("bounce-{too_much}")), None, "more than 128 bits");
        assert!(reserves(&format!("bounce-{too_much}")));
    }
}
