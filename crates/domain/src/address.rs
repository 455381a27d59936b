//! Email addresses and domain names, parsed once at the edge; afterwards the type says that they are valid.

use std::fmt;

use serde::{Serialize, Serializer};

/// A DNS name: lower case, A-label form, no trailing dot, at least two labels of 1 to 63 characters, 253 in all.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DomainName(String);

impl DomainName {
    /// Reads a name; internationalised names become their ASCII form (RFC 5891). `None` when it cannot be a mail
    /// domain: one label, an IP address, odd characters.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_end_matches('.');
        if text.is_empty() || text.len() > 1000 || text.parse::<std::net::IpAddr>().is_ok() {
            return None;
        }
        let ascii = idna::domain_to_ascii_strict(text).ok()?.to_ascii_lowercase();
        let labels: Vec<&str> = ascii.split('.').collect();
        let fits = |label: &&str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let numeric_top = labels.last().is_some_and(|top| top.bytes().all(|b| b.is_ascii_digit()));
        (labels.len() >= 2 && ascii.len() <= 253 && labels.iter().all(fits) && !numeric_top)
            .then_some(Self(ascii))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether anybody can register names directly below this one (`com`, `co.uk`): such a name is nobody's domain.
    pub fn is_public_suffix(&self) -> bool {
        psl::suffix(self.0.as_bytes())
            .is_some_and(|suffix| suffix.is_known() && suffix.as_bytes() == self.0.as_bytes())
    }

    /// The registrable domain this name belongs to (RFC 7489 §3.2), itself when it is one.
    pub fn organizational(&self) -> Option<Self> {
        psl::domain_str(&self.0).map(|name| Self(name.to_owned()))
    }

    /// Whether this name lies strictly below `parent`.
    pub fn is_below(&self, parent: &str) -> bool {
        self.0.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
    }

    /// The names above this one, nearest first, down to two labels.
    pub fn parents(&self) -> Vec<String> {
        let mut parents = Vec::new();
        let mut rest = self.0.as_str();
        while let Some((_, parent)) = rest.split_once('.') {
            if parent.contains('.') {
                parents.push(parent.to_owned());
            }
            rest = parent;
        }
        parents
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for DomainName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// An address of an inbox or an envelope: `local@domain`, at most 254 characters, the domain in lower-case A-label form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EmailAddress {
    text: String,
    at: usize,
}

impl EmailAddress {
    /// Joins a local part and a domain. The local part must be non-empty printable ASCII without white space or `@`,
    /// at most 64 bytes (RFC 5321 §4.5.3.1.1); quoted local parts are not taken.
    pub fn new(local: &str, domain: &str) -> Option<Self> {
        let fits = (1..=crate::limits::USERNAME_BYTES).contains(&local.len())
            && local.bytes().all(|b| b.is_ascii_graphic() && !br#"@<>()[]:;,\""#.contains(&b));
        (fits && local.len() + domain.len() < 254)
            .then(|| Self { text: format!("{local}@{domain}"), at: local.len() })
    }

    /// Reads `local@domain`. A single-label domain is taken when it is `localhost`-like, because laptops use them.
    pub fn parse(text: &str) -> Option<Self> {
        let (local, domain) = text.rsplit_once('@')?;
        let domain = match DomainName::parse(domain) {
            Some(name) => name.0,
            None => return None,
        };
        Self::new(local, &domain)
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// The part before the `@`.
    pub fn local(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }
    /// The part after the `@`.
    pub fn domain(&self) -> &str {
        self.text.get(self.at + 1..).unwrap_or_default()
    }
    /// The address without its plus tag (`a+b@x` is `a@x`), `None` when it has none.
    pub fn without_tag(&self) -> Option<Self> {
        let (local, _) = self.local().split_once('+')?;
        Self::new(local, self.domain())
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Checks the user name of an inbox, already trimmed and lower-cased: `^[a-z0-9](?:[a-z0-9._+-]{0,62}[a-z0-9_-])?$`
/// without `..`.
pub fn valid_username(name: &str) -> bool {
    let bytes = name.as_bytes();
    let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=crate::limits::USERNAME_BYTES).contains(&bytes.len())
        && bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(|b| edge(b) || (bytes.len() > 1 && b"_-".contains(b)))
        && bytes.iter().all(|b| edge(b) || b"._+-".contains(b))
        && !name.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_names_are_normalized_or_refused() {
        for (input, want) in [
            ("Acme.Example.", Some("acme.example")),
            ("bücher.example", Some("xn--bcher-kva.example")),
            ("localhost", None),
            ("1.2.3.4", None),
            ("a..b", None),
            ("-a.example", None),
            ("a b.example", None),
            ("", None),
        ] {
            assert_eq!(DomainName::parse(input).as_ref().map(DomainName::as_str), want, "{input}");
        }
        assert!(DomainName::parse("co.uk").expect("a name").is_public_suffix());
        assert!(!DomainName::parse("acme.example").expect("a name").is_public_suffix());
        assert_eq!(DomainName::parse("a.b.c.test").expect("a name").parents(), vec!["b.c.test", "c.test"]);
    }

    #[test]
    fn usernames_follow_the_documented_alphabet() {
        for (name, ok) in [
            ("support-agent", true),
            ("a", true),
            ("a+b", true),
            ("a_", true),
            (".a", false),
            ("a.", false),
            ("a..b", false),
            ("a b", false),
            ("é", false),
            ("", false),
        ] {
            assert_eq!(valid_username(name), ok, "{name}");
        }
        assert!(valid_username(&"x".repeat(64)));
        assert!(!valid_username(&"x".repeat(65)));
    }

    #[test]
    fn plus_tags_are_cut_from_the_local_part() {
        let address = EmailAddress::parse("desk+tag@Acme.example").expect("an address");
        assert_eq!(address.as_str(), "desk+tag@acme.example");
        assert_eq!(address.without_tag().expect("tagged").as_str(), "desk@acme.example");
        assert!(EmailAddress::parse("a@b@").is_none());
    }
}
