//! Where mail goes: what `--outbound` says.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

use crate::client::TlsMode;

/// Port of relays that take mail from users (RFC 6409).
const SUBMISSION_PORT: u16 = 587;
/// Port of relays that know us by our address.
const SMTP_PORT: u16 = 25;
/// Port of `smtps://` (RFC 8314).
const SUBMISSIONS_PORT: u16 = 465;

/// How mail to other servers leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// It does not: kept, never sent, and reported as delivered.
    Capture,
    /// To the hosts that DNS names for each destination.
    Mx,
    /// All of it to one server.
    Relay(Relay),
}

/// A server that takes mail for everybody. The operator configured it: its address may be private.
#[derive(Clone, PartialEq, Eq)]
pub struct Relay {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How to encrypt.
    pub tls: TlsMode,
    /// User name and password.
    pub credentials: Option<(String, String)>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("credentials", &self.credentials.is_some())
            .finish()
    }
}

/// A route that cannot be read. The text does not repeat what may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("outbound route: expected `mx`, `capture`, `smtp://user:pass@host:port` or `smtps://…`: {0}")]
pub struct RouteError(&'static str);

impl Route {
    /// Reads `mx`, `capture` or the URL of a relay. Without a port it is 587 with credentials, 25 without, 465 for
    /// `smtps`. Reserved characters in user name and password are percent-encoded.
    ///
    /// # Errors
    /// [`RouteError`] with the reason.
    pub fn parse(text: &str) -> Result<Self, RouteError> {
        match text.trim() {
            "mx" => return Ok(Self::Mx),
            "capture" => return Ok(Self::Capture),
            _ => {}
        }
        let url = Url::parse(text.trim()).map_err(|_| RouteError("this is no URL"))?;
        let host =
            url.host_str().filter(|host| !host.is_empty()).ok_or(RouteError("the URL names no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(RouteError("nothing may follow the port"));
        }
        let decode = |text: &str| {
            let text = percent_decode_str(text)
                .decode_utf8()
                .map_err(|_| RouteError("credentials are not UTF-8"))?;
            Ok(text.into_owned())
        };
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (_, None) => return Err(RouteError("a user name without a password")),
            (user, Some(password)) => Some((decode(user)?, decode(password)?)),
        };
        let (tls, port) = match (url.scheme(), &credentials) {
            ("smtps", _) => (TlsMode::Implicit, SUBMISSIONS_PORT),
            ("smtp", Some(_)) => (TlsMode::Required, SUBMISSION_PORT),
            ("smtp", None) => (TlsMode::WhenOffered, SMTP_PORT),
            _ => return Err(RouteError("an unknown scheme")),
        };
        Ok(Self::Relay(Relay { host, port: url.port().unwrap_or(port), tls, credentials }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(host: &str, port: u16, tls: TlsMode, credentials: Option<(&str, &str)>) -> Route {
        let credentials = credentials.map(|(user, password)| (user.to_owned(), password.to_owned()));
        Route::Relay(Relay { host: host.to_owned(), port, tls, credentials })
    }

    #[test]
    fn routes_are_read_from_the_flag() {
        for (text, want) in [
            ("mx", Route::Mx),
            ("capture", Route::Capture),
            ("smtp://relay.example", relay("relay.example", 25, TlsMode::WhenOffered, None)),
            ("smtp://127.0.0.1:2626", relay("127.0.0.1", 2626, TlsMode::WhenOffered, None)),
            ("smtp://[::1]:2626/", relay("::1", 2626, TlsMode::WhenOffered, None)),
            (
                "smtp://AKIA:p%2Fw%40@relay.example",
                relay("relay.example", 587, TlsMode::Required, Some(("AKIA", "p/w@"))),
            ),
            ("smtps://u:p@relay.example", relay("relay.example", 465, TlsMode::Implicit, Some(("u", "p")))),
        ] {
            assert_eq!(Route::parse(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_no_route_is_refused_without_repeating_secrets() {
        for text in
            ["", "direct", "smtp://", "http://relay.example", "smtp://u@relay.example", "smtp://h/path?x"]
        {
            assert!(Route::parse(text).is_err(), "{text}");
        }
        let error = Route::parse("ftp://user:secret@host").expect_err("refused").to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
