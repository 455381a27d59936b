//! Allow and block lists: entries, and what they say about an address. Pure; the store finds the entries.

use std::fmt;

use crate::{DomainName, EmailAddress};

/// An address or a domain in the form in which lists keep and compare them: lower case, the domain in A-label form, no
/// plus tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListEntry(String);

impl ListEntry {
    /// Reads an address, `Name <address>`, a domain or `@domain`. `None` when it is none of these, as with wildcards.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = match (text.rfind('<'), text.strip_suffix('>')) {
            (Some(at), Some(inner)) => inner.get(at + 1..).unwrap_or_default().trim(),
            _ => text,
        };
        let text = text.strip_prefix('@').unwrap_or(text);
        match text.rsplit_once('@') {
            None => DomainName::parse(text).map(|domain| Self(domain.to_string())),
            Some((local, domain)) => {
                let address = EmailAddress::new(local, DomainName::parse(domain)?.as_str())?;
                if address.local().contains('*') {
                    return None;
                }
                let base = address.without_tag().unwrap_or(address);
                Some(Self(base.as_str().to_lowercase()))
            }
        }
    }
    /// The name under which lists are asked about an address of a mail, however odd: lower case, without quotes around
    /// the local part and without plus tag. What is no valid domain stays as it is, so that nobody slips past a list by
    /// an address that no entry could be made of.
    pub fn of_address(address: &str) -> Self {
        if let Some(entry) = Self::parse(address).filter(Self::is_email) {
            return entry;
        }
        let address = address.trim();
        // An obsolete route before the address names nobody (RFC 5322 §4.4).
        let address =
            address.strip_prefix('@').and_then(|rest| rest.rsplit_once(':')).map_or(address, |(_, to)| to);
        let Some((local, domain)) = address.rsplit_once('@') else { return Self(address.to_lowercase()) };
        let (local, domain) = (local.trim(), domain.trim());
        let unquoted = match local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(inner) => unescaped(inner),
            None => local.to_owned(),
        };
        let base = match unquoted.split_once('+') {
            Some((base, _)) if !base.is_empty() => base,
            _ => unquoted.as_str(),
        };
        let domain = DomainName::parse(domain).map_or_else(|| domain.to_lowercase(), |name| name.to_string());
        Self(format!("{}@{domain}", base.to_lowercase()))
    }
    /// An entry as it was stored.
    pub fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// Whether it is an address and not a domain.
    pub fn is_email(&self) -> bool {
        self.0.contains('@')
    }
    /// The entry for the domain of an address.
    pub fn domain(&self) -> Option<Self> {
        self.0.rsplit_once('@').map(|(_, domain)| Self(domain.to_owned()))
    }
}

/// What is inside of a quoted string (RFC 5322 §3.2.4).
fn unescaped(inner: &str) -> String {
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        text.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    text
}

impl fmt::Display for ListEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }
        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
            /// Its word, as the API has it.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $word,)* } }
            /// Reads the word.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }
        }
    )*};
}

words! {
    /// What a list is about.
    ListDirection {
        /// Recipients of what is sent.
        Send = "send",
        /// Senders of what comes in.
        Receive = "receive",
        /// Senders of what answers a message that was sent.
        Reply = "reply",
    }
    /// What a list does.
    ListType {
        /// Lets through, and by being there keeps others out.
        Allow = "allow",
        /// Keeps out.
        Block = "block",
    }
    /// Whose list it is, narrowest first: the order in which lists are asked.
    ListLevel {
        /// One inbox.
        Inbox = "inbox",
        /// A tenant.
        Pod = "pod",
        /// Everybody in the organization.
        Organization = "organization",
    }
}

/// An entry that may say something about an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListMatch {
    /// Whose.
    pub level: ListLevel,
    /// What it does.
    pub list_type: ListType,
    /// The entry.
    pub entry: ListEntry,
    /// Why it is there.
    pub reason: Option<String>,
    /// Only the operator removes it.
    pub read_only: bool,
    /// Made because of a bounce, a complaint or an unsubscription: asked before everything else.
    pub automatic: bool,
}

/// What the lists say about an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListVerdict<'a> {
    /// Let through.
    Allowed,
    /// Kept out by this entry.
    Blocked(&'a ListMatch),
    /// Kept out because there is an allow list, at this level or a broader one, and it is not on any.
    NotAllowed(ListLevel),
}

/// Asks the lists about one address. `found` may hold entries for other addresses too; `allow` is the narrowest level
/// with any allow entry of the direction.
pub fn judge<'a>(address: &ListEntry, found: &'a [ListMatch], allow: Option<ListLevel>) -> ListVerdict<'a> {
    let domain = address.domain();
    let suppressed =
        found.iter().find(|m| m.automatic && m.list_type == ListType::Block && m.entry == *address);
    if let Some(entry) = suppressed {
        return ListVerdict::Blocked(entry);
    }
    for level in ListLevel::ALL {
        for wanted in [Some(address), domain.as_ref()].into_iter().flatten() {
            let at = |list_type| {
                found.iter().find(|m| m.level == *level && m.entry == *wanted && m.list_type == list_type)
            };
            if let Some(entry) = at(ListType::Block) {
                return ListVerdict::Blocked(entry);
            }
            if at(ListType::Allow).is_some() {
                return ListVerdict::Allowed;
            }
        }
    }
    allow.map_or(ListVerdict::Allowed, ListVerdict::NotAllowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_brought_into_one_form() {
        for (input, want) in [
            ("Bob+News@Example.COM", Some("bob@example.com")),
            (" Bob <Bob@x.test> ", Some("bob@x.test")),
            ("@Example.com", Some("example.com")),
            ("Bücher.example", Some("xn--bcher-kva.example")),
            ("a@bücher.example", Some("a@xn--bcher-kva.example")),
            ("*.example.com", None),
            ("*@example.com", None),
            ("", None),
            ("com", None),
            ("a b@x.test", None),
        ] {
            assert_eq!(ListEntry::parse(input).as_ref().map(ListEntry::as_str), want, "{input:?}");
        }
        assert!(ListEntry::parse("a@x.test").is_some_and(|entry| entry.is_email()));
        for (address, want) in [
            ("Bob+News@Example.COM", "bob@example.com"),
            ("\"B\\ob+x\"@x.test", "bob@x.test"),
            ("x @ x.test", "x@x.test"),
            ("jörg@bücher.test", "jörg@xn--bcher-kva.test"),
            ("x@a_b.test", "x@a_b.test"),
            ("x@[192.0.2.1]", "x@[192.0.2.1]"),
            ("@relay.test:q@x.test", "q@x.test"),
            ("MAILER-DAEMON", "mailer-daemon"),
        ] {
            assert_eq!(ListEntry::of_address(address).as_str(), want, "{address}");
        }
    }

    #[test]
    fn the_narrowest_level_decides_and_an_address_goes_before_its_domain() {
        use ListLevel::{Inbox, Organization, Pod};
        use ListType::{Allow, Block};
        let entry = |level, list_type, text: &str| ListMatch {
            level,
            list_type,
            entry: ListEntry::stored(text),
            reason: None,
            read_only: false,
            automatic: false,
        };
        let automatic = |level, text: &str| ListMatch { automatic: true, ..entry(level, Block, text) };
        let (bob, host) = ("bob@x.test", "x.test");
        for (found, allow, want) in [
            (vec![], None, "allowed"),
            (vec![], Some(Pod), "not allowed"),
            (vec![entry(Organization, Block, host)], None, "blocked"),
            // labels-and-lists.md checks 20, 21, 22
            (vec![entry(Organization, Block, host), entry(Inbox, Allow, bob)], Some(Inbox), "allowed"),
            (vec![entry(Inbox, Block, host), entry(Inbox, Allow, bob)], Some(Inbox), "allowed"),
            (vec![entry(Inbox, Allow, bob), entry(Inbox, Block, bob)], Some(Inbox), "blocked"),
            (vec![entry(Inbox, Allow, host), entry(Inbox, Block, bob)], Some(Inbox), "blocked"),
            (vec![entry(Pod, Allow, host), entry(Organization, Block, bob)], Some(Pod), "allowed"),
            (vec![automatic(Organization, bob), entry(Inbox, Allow, bob)], Some(Inbox), "blocked"),
            (vec![entry(Inbox, Block, "amy@x.test")], None, "allowed"),
            // check 27: a domain covers itself, not what lies below it
            (vec![entry(Inbox, Block, "test")], None, "allowed"),
        ] {
            let verdict = match judge(&ListEntry::stored(bob), &found, allow) {
                ListVerdict::Allowed => "allowed",
                ListVerdict::Blocked(_) => "blocked",
                ListVerdict::NotAllowed(_) => "not allowed",
            };
            assert_eq!(verdict, want, "{found:?}");
        }
    }
}
