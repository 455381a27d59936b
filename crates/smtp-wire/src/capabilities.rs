//! What a server offers in its answer to `EHLO` (RFC 5321 §4.1.1.1).

use crate::Reply;

/// Most mechanisms of `AUTH` that are kept.
const AUTH_MECHANISMS_MAX: usize = 32;

/// The extensions that a client of ours can use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one keyword, there or not")]
pub struct Capabilities {
    /// `SIZE` is offered: `MAIL` may carry `SIZE=`.
    pub size: bool,
    /// Most bytes of a message; `None` when the server does not say (or says 0, RFC 1870 §3).
    pub size_max: Option<u64>,
    /// `PIPELINING` (RFC 2920)
    pub pipelining: bool,
    /// `8BITMIME` (RFC 6152)
    pub eight_bit_mime: bool,
    /// `SMTPUTF8` (RFC 6531)
    pub smtputf8: bool,
    /// `ENHANCEDSTATUSCODES` (RFC 2034)
    pub enhanced_status_codes: bool,
    /// `STARTTLS` (RFC 3207)
    pub starttls: bool,
    /// `CHUNKING` (RFC 3030)
    pub chunking: bool,
    /// `DSN` (RFC 3461)
    pub dsn: bool,
    /// `REQUIRETLS` (RFC 8689)
    pub require_tls: bool,
    /// Mechanisms of `AUTH` (RFC 4954) in upper case; `AUTH=…`, an old mistake, counts too.
    pub auth: Vec<String>,
}

impl Capabilities {
    /// Reads a positive reply to `EHLO`. Its first line is the server's name, the others are keywords;
    /// unknown ones are skipped. For a reply to `HELO` use the default: nothing offered.
    #[must_use]
    pub fn parse(reply: &Reply) -> Self {
        let mut found = Self::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split([' ', '=', '\t']).filter(|word| !word.is_empty());
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "SIZE" => {
                    found.size = true;
                    found.size_max = words.next().and_then(|word| word.parse().ok()).filter(|&max| max > 0);
                }
                "PIPELINING" => found.pipelining = true,
                "8BITMIME" => found.eight_bit_mime = true,
                "SMTPUTF8" => found.smtputf8 = true,
                "ENHANCEDSTATUSCODES" => found.enhanced_status_codes = true,
                "STARTTLS" => found.starttls = true,
                "CHUNKING" => found.chunking = true,
                "DSN" => found.dsn = true,
                "REQUIRETLS" => found.require_tls = true,
                "AUTH" => {
                    for mechanism in words.map(str::to_ascii_uppercase) {
                        if found.auth.len() < AUTH_MECHANISMS_MAX && !found.auth.contains(&mechanism) {
                            found.auth.push(mechanism);
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }
}
