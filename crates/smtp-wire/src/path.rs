//! Reverse and forward paths: what stands between `<` and `>` after `MAIL FROM:` and `RCPT TO:`
//! (RFC 5321 §4.1.2, with the UTF-8 of RFC 6531 §3.3).

use std::borrow::Cow;

/// Longest local part. RFC 5321 §4.5.3.1.1 guarantees 64 bytes; bounce addresses of mailing lists are
/// often longer, and refusing them would lose mail.
pub const LOCAL_PART_MAX_BYTES: usize = 256;
/// Longest domain, RFC 5321 §4.5.3.1.2.
pub const DOMAIN_MAX_BYTES: usize = 255;

/// A parsed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Path<'a> {
    /// `<>`
    Null,
    /// `local@domain`; quotes that are not needed are gone.
    Address(Cow<'a, str>),
    /// A local part alone, which only `postmaster` may be.
    Local(&'a str),
}

/// Parses a path at the front of `input` and returns it with what follows the `>`.
/// `None` means that the syntax is wrong.
pub(crate) fn parse(input: &str) -> Option<(Path<'_>, &str)> {
    let inner = input.strip_prefix('<')?;
    if let Some(rest) = inner.strip_prefix('>') {
        return Some((Path::Null, rest));
    }
    let mailbox = skip_source_route(inner)?;
    let local_len = local_part_len(mailbox)?;
    let (local, rest) = mailbox.split_at_checked(local_len)?;
    if let Some(rest) = rest.strip_prefix('>') {
        return Some((Path::Local(local), rest));
    }
    let after_at = rest.strip_prefix('@')?;
    let (domain, rest) = after_at.split_once('>')?;
    if !is_domain(domain) && !is_address_literal(domain) {
        return None;
    }
    let address_len = local_len + 1 + domain.len();
    let address = match unquoted(local) {
        Some(plain) => Cow::Owned(format!("{plain}@{domain}")),
        None => Cow::Borrowed(mailbox.get(..address_len)?),
    };
    Some((Path::Address(address), rest))
}

/// `@a.example,@b.example:` is obsolete and ignored (RFC 5321 §3.6.1 and appendix C).
fn skip_source_route(inner: &str) -> Option<&str> {
    if !inner.starts_with('@') {
        return Some(inner);
    }
    let (route, mailbox) = inner.split_once(':')?;
    let fine = route.split(',').all(|hop| hop.strip_prefix('@').is_some_and(is_domain));
    fine.then_some(mailbox)
}

/// Length in bytes of the local part at the front of `input`.
fn local_part_len(input: &str) -> Option<usize> {
    let len = if input.starts_with('"') { quoted_len(input)? } else { dot_string_len(input)? };
    (len <= LOCAL_PART_MAX_BYTES).then_some(len)
}

fn dot_string_len(input: &str) -> Option<usize> {
    let len = input.find(|c| !is_atext(c) && c != '.').unwrap_or(input.len());
    let local = input.get(..len)?;
    local.split('.').all(|atom| !atom.is_empty()).then_some(len)
}

fn quoted_len(input: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in input.char_indices().skip(1) {
        match c {
            _ if c.is_control() => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return (at > 1).then_some(at + 1),
            _ => {}
        }
    }
    None
}

/// `"joe"` and `joe` are one mailbox (RFC 5321 §4.1.2): the plain form, if quotes were not needed.
fn unquoted(local: &str) -> Option<String> {
    let inner = local.strip_prefix('"')?.strip_suffix('"')?;
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { chars.next()? } else { c });
    }
    (dot_string_len(&plain) == Some(plain.len())).then_some(plain)
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_utf8_text(c)
}

fn is_utf8_text(c: char) -> bool {
    !c.is_ascii() && !c.is_control() && !c.is_whitespace()
}

/// Names of hosts, underscores included because they occur.
fn is_domain(domain: &str) -> bool {
    domain.len() <= DOMAIN_MAX_BYTES
        && domain.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_' || is_utf8_text(c))
        })
}

/// `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3).
fn is_address_literal(domain: &str) -> bool {
    let Some(inner) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else { return false };
    match inner.split_at_checked(5) {
        Some((tag, v6)) if tag.eq_ignore_ascii_case("IPv6:") => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        _ => inner.parse::<std::net::Ipv4Addr>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_parse_as_the_grammar_says() {
        for (input, want) in [
            ("<>", Some(Path::Null)),
            ("<a@b.example>", Some(Path::Address("a@b.example".into()))),
            ("<a.b+c@b.example>", Some(Path::Address("a.b+c@b.example".into()))),
            ("<@x.example,@y.example:a@b.example>", Some(Path::Address("a@b.example".into()))),
            ("<\"a b\"@b.example>", Some(Path::Address("\"a b\"@b.example".into()))),
            ("<\"a>b\"@b.example>", Some(Path::Address("\"a>b\"@b.example".into()))),
            ("<\"a\\\"@x\"@b.example>", Some(Path::Address("\"a\\\"@x\"@b.example".into()))),
            ("<\"joe\"@b.example>", Some(Path::Address("joe@b.example".into()))),
            ("<\"j\\oe\"@b.example>", Some(Path::Address("joe@b.example".into()))),
            ("<a@[192.0.2.1]>", Some(Path::Address("a@[192.0.2.1]".into()))),
            ("<a@[IPv6:2001:db8::1]>", Some(Path::Address("a@[IPv6:2001:db8::1]".into()))),
            ("<jös@dömäin.example>", Some(Path::Address("jös@dömäin.example".into()))),
            ("<Postmaster>", Some(Path::Local("Postmaster"))),
            ("a@b.example", None),
            ("<a@b.example", None),
            ("<a@@b.example>", None),
            ("<a..b@b.example>", None),
            ("<.a@b.example>", None),
            ("<a@b..example>", None),
            ("<a@-b.example>", None),
            ("<a@>", None),
            ("<@b.example>", None),
            ("<\"\"@b.example>", None),
            ("<a b@b.example>", None),
            ("<a@b.example\u{85}>", None),
            ("<a@[300.0.2.1]>", None),
            ("<a@[IPv6:x]>", None),
        ] {
            assert_eq!(parse(input).map(|(path, _)| path), want, "{input}");
        }
    }

    #[test]
    fn what_follows_the_path_is_returned() {
        assert_eq!(parse("<a@b> SIZE=1").map(|(_, rest)| rest), Some(" SIZE=1"));
    }

    #[test]
    fn long_parts_are_refused() {
        let local = "l".repeat(LOCAL_PART_MAX_BYTES);
        let domain = format!("{}.example", "d".repeat(DOMAIN_MAX_BYTES - 8));
        assert!(parse(&format!("<{local}@{domain}>")).is_some());
        assert!(parse(&format!("<{local}l@{domain}>")).is_none());
        assert!(parse(&format!("<{local}@d{domain}>")).is_none());
    }
}
