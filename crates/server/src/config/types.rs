//! The types of settings: each is parsed once, here, and is valid from then on.
//!
//! `FromStr` takes the text of a file, a variable or a flag; `Display` gives text that parses to the same
//! value. Error texts end in what to write instead.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use percent_encoding::percent_decode_str;
use url::Url;

/// A value that never appears in logs, traces or the output of `podmail config`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one who needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// Where to listen: `off`, or a host (name or address) and a port; port 0 picks a free one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listener {
    /// Not opened.
    Off,
    /// `host:port`, as `TcpListener::bind` takes it.
    On(String),
}

impl Listener {
    /// The `host:port` to bind, or `None` when the listener is off.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        match self {
            Self::Off => None,
            Self::On(address) => Some(address),
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.address().unwrap_or("off"))
    }
}

impl FromStr for Listener {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let fix = || "is not HOST:PORT; write for example `127.0.0.1:8080`, `[::]:25`, or `off`".to_owned();
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::On(address.to_string()));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(fix)?;
        port.parse::<u16>().map_err(|_| fix())?;
        host_name(host).map_err(|_| fix())?;
        Ok(Self::On(text.to_owned()))
    }
}

/// How mail leaves the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outbound {
    /// Kept, never sent, and reported as delivered.
    Capture,
    /// Straight to the mail exchangers of each recipient's domain.
    Mx,
    /// Through one relay.
    Relay(Relay),
}

/// A relay (smarthost): `smtp://` uses STARTTLS when offered, `smtps://` TLS from the first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    /// Name or address; an IPv6 address without brackets.
    pub host: String,
    /// 465 for `smtps`, 587 for `smtp` with credentials, else 25, unless the URL says otherwise.
    pub port: u16,
    /// TLS from the first byte (`smtps://`).
    pub implicit_tls: bool,
    /// User and password for SMTP AUTH, percent-decoded.
    pub credentials: Option<(String, Secret)>,
}

const OUTBOUND_FIX: &str = "is not a route; write `mx`, `capture`, or a relay such as `smtp://user:password@host:587` \
     (percent-encode special characters in the password)";

impl FromStr for Outbound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "capture" => return Ok(Self::Capture),
            "mx" => return Ok(Self::Mx),
            _ => {}
        }
        let fix = || OUTBOUND_FIX.to_owned();
        let url = Url::parse(text).map_err(|_| fix())?;
        let implicit_tls = match url.scheme() {
            "smtp" => false,
            "smtps" => true,
            _ => return Err(fix()),
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(fix());
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(fix)?;
        let decode = |text: &str| percent_decode_str(text).decode_utf8().map(|text| text.into_owned());
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            ("", Some(_)) | (_, None) => return Err(fix()),
            (user, Some(password)) => {
                Some((decode(user).map_err(|_| fix())?, Secret::new(decode(password).map_err(|_| fix())?)))
            }
        };
        let port = url.port().unwrap_or(match (implicit_tls, &credentials) {
            (true, _) => 465,
            (false, Some(_)) => 587,
            (false, None) => 25,
        });
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self::Relay(Relay { host, port, implicit_tls, credentials }))
    }
}

impl Outbound {
    /// The route without its password.
    pub(crate) fn redacted(&self) -> String {
        match self {
            Self::Capture => "capture".to_owned(),
            Self::Mx => "mx".to_owned(),
            Self::Relay(relay) => {
                let scheme = if relay.implicit_tls { "smtps" } else { "smtp" };
                let user = if relay.credentials.is_some() { "(hidden)@" } else { "" };
                let host =
                    if relay.host.contains(':') { format!("[{}]", relay.host) } else { relay.host.clone() };
                format!("{scheme}://{user}{host}:{}", relay.port)
            }
        }
    }
}

/// Which database holds everything but large message bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// A file on this machine, one process at a time.
    Sqlite(PathBuf),
    /// A `postgres://` URL, for any number of nodes.
    Postgres(Secret),
}

impl FromStr for Database {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fix = || {
            "is not a database; write `sqlite:PATH` or `postgres://user:password@host/database`".to_owned()
        };
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() { Err(fix()) } else { Ok(Self::Sqlite(PathBuf::from(path))) };
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            Url::parse(text).map_err(|_| fix())?;
            return Ok(Self::Postgres(Secret::new(text)));
        }
        Err(fix())
    }
}

impl Database {
    /// The URL without its password.
    pub(crate) fn redacted(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Postgres(url) => redacted_url(url.expose()),
        }
    }
}

/// Where message bytes too large for the database are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blobs {
    /// A folder on this machine.
    Folder(PathBuf),
    /// A bucket; the endpoint and the credentials come from [`super::Config::aws`].
    S3 {
        /// Name of the bucket.
        bucket: String,
        /// Prefix of every key, without slashes at its ends; may be empty.
        prefix: String,
    },
}

impl FromStr for Blobs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fix = || "is not a store; write `file:///absolute/folder` or `s3://bucket/prefix`".to_owned();
        // `file:folder` is relative to the working directory, which URLs cannot say.
        if let Some(path) =
            text.strip_prefix("file:").filter(|path| !path.is_empty() && !path.starts_with('/'))
        {
            return Ok(Self::Folder(PathBuf::from(path)));
        }
        let url = Url::parse(text).map_err(|_| fix())?;
        match url.scheme() {
            "file" => Ok(Self::Folder(url.to_file_path().map_err(|()| fix())?)),
            "s3" => {
                let bucket = url.host_str().filter(|host| !host.is_empty()).ok_or_else(fix)?.to_owned();
                Ok(Self::S3 { bucket, prefix: url.path().trim_matches('/').to_owned() })
            }
            _ => Err(fix()),
        }
    }
}

impl fmt::Display for Blobs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => match Url::from_directory_path(path) {
                Ok(url) => formatter.write_str(url.as_str()),
                Err(()) => write!(formatter, "file:{}", path.display()),
            },
            Self::S3 { bucket, prefix } => write!(formatter, "s3://{bucket}/{prefix}"),
        }
    }
}

/// A mail domain or host name, checked, in lower case and ASCII (A-labels).
pub(crate) fn host_name(text: &str) -> Result<String, String> {
    let fix = || "is not a host name; write for example `mail.example.com`".to_owned();
    match url::Host::parse(text) {
        // RFC 1035 §2.3.4: 255 octets on the wire are 253 characters; labels have at most 63.
        Ok(url::Host::Domain(name))
            if name.len() <= 253
                && name.split('.').all(|label| {
                    (1..=63).contains(&label.len())
                        && label
                            .bytes()
                            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
                }) =>
        {
            Ok(name)
        }
        Ok(url::Host::Ipv4(address)) => Ok(address.to_string()),
        _ => Err(fix()),
    }
}

/// An `http` or `https` URL without query, ending without a slash when printed by [`trimmed`].
pub(crate) fn web_url(text: &str) -> Result<Url, String> {
    let fix = || "is not a web address; write for example `https://mail.example.com`".to_owned();
    let url = Url::parse(text).map_err(|_| fix())?;
    let plain = matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
    if plain && url.username().is_empty() && url.password().is_none() { Ok(url) } else { Err(fix()) }
}

/// A URL's text without a slash at its end, so that paths can be appended.
pub(crate) fn trimmed(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

/// One network; a bare address is the network of itself.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
        format!("holds `{text}`, which is not a network; write for example `10.0.0.0/8` or `192.0.2.7`")
    })
}

/// One name server; the port is 53 unless given.
pub(crate) fn name_server(text: &str) -> Result<SocketAddr, String> {
    text.parse::<SocketAddr>()
        .or_else(|_| text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53)))
        .map_err(|_| {
            format!(
                "holds `{text}`, which is not an address; write for example `192.0.2.53` or `127.0.0.1:5300`"
            )
        })
}

/// A URL with its password replaced; the whole text when it is not a URL is hidden.
pub(crate) fn redacted_url(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return "(hidden)".to_owned() };
    let hidden = url.password().is_none() || url.set_password(Some("hidden")).is_ok();
    // Passwords also fit into the query of PostgreSQL's URLs.
    if url.query().is_some() {
        url.set_query(Some("hidden"));
    }
    if hidden { url.to_string() } else { "(hidden)".to_owned() }
}

/// Declares an enum whose values are words, with `FromStr` and `Display`.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("is not one of {}", [$(concat!("`", $word, "`")),+].join(", "))),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(match self { $(Self::$variant => $word,)+ })
            }
        }
    };
}

words! {
    /// What the server is run for; several defaults depend on it.
    Mode {
        /// On a laptop: captures outbound mail, allows private addresses, prints a key.
        Dev = "dev",
        /// In production.
        Serve = "serve",
    }
}

words! {
    /// How log lines look.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

words! {
    /// What SPF, DKIM and DMARC results do to arriving mail.
    InboundAuthentication {
        /// As the domains' DMARC policies ask.
        Standard = "standard",
        /// Any explicit failure refuses, also when DMARC passes.
        Strict = "strict",
        /// Nothing is refused; what `standard` refuses is labelled `unauthenticated`.
        Label = "label",
        /// Nothing is looked up, refused or labelled.
        Off = "off",
    }
}

words! {
    /// At which level automatic entries of the send block list lie.
    SuppressionScope {
        /// At the level of the sending inbox's pod.
        Pod = "pod",
        /// At the level of the organization.
        Organization = "organization",
    }
}

words! {
    /// When an inbox gets its pod's subdomain below the shared domain.
    PodSubdomains {
        /// When its address would be taken otherwise.
        Conflict = "conflict",
        /// Always, outside of the default pod.
        Always = "always",
        /// Never.
        Off = "off",
    }
}

words! {
    /// Who may create an organization through the API.
    SignUp {
        /// Anyone who reaches the server.
        Open = "open",
        /// Only the operator.
        Closed = "closed",
    }
}

words! {
    /// What suspicious instructions to agents in arriving mail cause.
    AgentArmorMode {
        /// Nothing is looked at.
        Off = "off",
        /// They are recorded.
        Monitor = "monitor",
        /// The message is held.
        Hold = "hold",
    }
}
