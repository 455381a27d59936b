//! The table of all settings: the one place that knows their names, defaults and meanings.
//!
//! A setting without a dot in its name is a top-level key of the file and a flag; every setting is also an
//! environment variable. [`super::document`] turns the table into documents, [`super::sources`] fills a
//! [`Config`] through it.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use super::types::{Secret, host_name, name_server, network, redacted_url, trimmed, web_url};
use super::value::Value;
use super::{Config, TlsConfig, duration};

/// One setting.
pub(crate) struct Setting {
    /// Its name in the file, sections separated by a dot: `webhooks.limit`.
    pub(crate) name: &'static str,
    /// Its default in words and Markdown.
    pub(crate) default: &'static str,
    /// A value in TOML for the example file.
    pub(crate) example: &'static str,
    /// What it means, one or more sentences of Markdown without a full stop at the end.
    pub(crate) meaning: &'static str,
    /// Puts a value into the configuration, or says why it does not fit.
    pub(crate) apply: fn(&mut Config, &Value) -> Result<(), String>,
    /// The value in effect.
    pub(crate) show: fn(&Config) -> Shown,
}

/// A value for people; secrets are already hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    Text(String),
    Number(u64),
    Boolean(bool),
    List(Vec<String>),
    /// Nothing is set; the default in words says what happens.
    Unset,
}

impl Setting {
    /// The environment variable.
    pub(crate) fn variable(&self) -> String {
        format!("PODMAIL_{}", self.name.to_ascii_uppercase().replace('.', "_"))
    }

    /// The flag with its dashes; settings in sections have none.
    pub(crate) fn flag(&self) -> Option<String> {
        (!self.name.contains('.')).then(|| format!("--{}", self.name.replace('_', "-")))
    }

    /// Whether the value is, or may contain, a secret; then a twin that ends in `_file` exists.
    pub(crate) fn is_secret(&self) -> bool {
        matches!(self.name, "bootstrap_key" | "database_url" | "bus_url" | "outbound")
    }
}

/// The setting of this name.
pub(crate) fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

fn text(value: &impl Display) -> Shown {
    Shown::Text(value.to_string())
}

fn time(value: Duration) -> Shown {
    Shown::Text(duration::format(value))
}

fn time_or_off(value: Option<Duration>) -> Shown {
    value.map_or_else(|| Shown::Text("off".to_owned()), time)
}

fn list<T>(values: &[T], show: impl Fn(&T) -> String) -> Shown {
    if values.is_empty() { Shown::Unset } else { Shown::List(values.iter().map(show).collect()) }
}

fn size(value: usize) -> Shown {
    Shown::Number(u64::try_from(value).unwrap_or(u64::MAX))
}

fn path(value: &Value) -> Result<PathBuf, String> {
    match value.text()? {
        "" => Err("is empty; write a path".to_owned()),
        path => Ok(PathBuf::from(path)),
    }
}

fn mailbox(value: &Value) -> Result<String, String> {
    let fix = || "is not an address; write for example `agent@example.com`".to_owned();
    let (local, domain) = value.text()?.rsplit_once('@').ok_or_else(fix)?;
    // RFC 5321 §4.5.3.1.1 bounds the local part at 64 octets; quoted forms have no use here.
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'@' | b'"' | b'<' | b'>' | b',');
    if local.is_empty() || local.len() > 64 || !local.bytes().all(plain) {
        return Err(fix());
    }
    Ok(format!("{local}@{}", host_name(domain).map_err(|_| fix())?))
}

fn secret(value: &Value) -> Result<Secret, String> {
    match value.text()? {
        "" => Err("is empty".to_owned()),
        text => Ok(Secret::new(text)),
    }
}

fn host(value: &Value) -> Result<String, String> {
    host_name(value.text()?)
}

/// An id in a template of Domain Connect.
fn word(value: &Value) -> Result<String, String> {
    let text = value.text()?;
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if fits {
        Ok(text.to_owned())
    } else {
        Err("is no id: letters, digits, `.`, `_` and `-`, at most 64".to_owned())
    }
}

fn unless_unset(value: Option<&impl Display>) -> Shown {
    value.map_or(Shown::Unset, |value| text(value))
}

/// Fills one half of the certificate's pair; [`super::sources`] checks that both are there.
fn tls(config: &mut Config) -> &mut TlsConfig {
    config.tls.get_or_insert_with(|| TlsConfig { certificate: PathBuf::new(), key: PathBuf::new() })
}

fn tls_path(path: Option<&PathBuf>) -> Shown {
    path.map_or(Shown::Unset, |path| Shown::Text(path.display().to_string()))
}

/// Shortest interval of anything that repeats, so that a slip of the pen does not spin.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
/// Quotas and the memory of idempotency keys reach back a day.
const RETENTION_MIN: Duration = Duration::from_secs(2 * 86_400);

/// Rows of the table; `$apply` and `$show` are what differs between settings.
macro_rules! settings {
    ($({ $name:literal, $default:literal, $example:literal, $meaning:literal,
         |$config:ident, $value:ident| $apply:expr, |$shown:ident| $show:expr }),+ $(,)?) => {
        /// Every setting, sections together, in the order of the documents.
        pub(crate) static SETTINGS: &[Setting] = &[$(Setting {
            name: $name,
            default: $default,
            example: $example,
            meaning: $meaning,
            apply: |$config, $value| { $apply; Ok(()) },
            show: |$shown| $show,
        }),+];
    };
}

settings! {
    { "data_dir", "`./podmail-data`", "\"/var/lib/podmail\"",
      "Folder of the SQLite database, local objects and generated keys; one process uses it at a time",
      |c, v| c.data_dir = path(v)?, |c| text(&c.data_dir.display()) },
    { "http", "`127.0.0.1:8080`", "\"0.0.0.0:8080\"",
      "API, links in mail, `/docs`, `/healthz`, `/readyz` and `/metrics`",
      |c, v| c.http = v.parse()?, |c| text(&c.http) },
    { "https", "`off`", "\"0.0.0.0:443\"", "The same as `http` over TLS; not built yet, has no effect",
      |c, v| c.https = v.parse()?, |c| text(&c.https) },
    { "smtp", "`127.0.0.1:2525`", "\"0.0.0.0:25\"", "Mail from the internet (MX)",
      |c, v| c.smtp = v.parse()?, |c| text(&c.smtp) },
    { "submission", "`127.0.0.1:2587`", "\"0.0.0.0:587\"", "SMTP submission with STARTTLS; not built yet, has no effect",
      |c, v| c.submission = v.parse()?, |c| text(&c.submission) },
    { "submissions", "`127.0.0.1:2465`", "\"0.0.0.0:465\"", "SMTP submission with implicit TLS; not built yet, has no effect",
      |c, v| c.submissions = v.parse()?, |c| text(&c.submissions) },
    { "imap", "`127.0.0.1:2143`", "\"0.0.0.0:143\"", "IMAP with STARTTLS; not built yet, has no effect",
      |c, v| c.imap = v.parse()?, |c| text(&c.imap) },
    { "imaps", "`127.0.0.1:2993`", "\"0.0.0.0:993\"", "IMAP with implicit TLS; not built yet, has no effect",
      |c, v| c.imaps = v.parse()?, |c| text(&c.imaps) },
    { "domain", "`podmail.localhost`", "\"mail.example.com\"", "The shared domain that new inboxes get",
      |c, v| c.domain = host(v)?, |c| text(&c.domain) },
    { "hostname", "`mx.<domain>`", "\"mx.mail.example.com\"",
      "SMTP banner and EHLO, and what customers' MX records point to",
      |c, v| c.hostname = host(v)?, |c| text(&c.hostname) },
    { "public_url", "from `http`, with the port that was bound", "\"https://mail.example.com\"",
      "Where links to this server lead: downloads, unsubscribing, documentation",
      |c, v| c.public_url = Some(web_url(v.text()?)?),
      |c| c.public_url.as_ref().map_or(Shown::Unset, |url| Shown::Text(trimmed(url).to_owned())) },
    { "database_url", "SQLite in the data folder", "\"postgres://podmail:password@db.example.com/podmail\"",
      "`sqlite:PATH` or `postgres://…`",
      |c, v| c.database = v.parse()?, |c| Shown::Text(c.database.redacted()) },
    { "blob_url", "the data folder", "\"s3://bucket/prefix\"",
      "`file:///…` or `s3://bucket/prefix` (endpoint and credentials from the usual AWS variables)",
      |c, v| c.blobs = v.parse()?, |c| text(&c.blobs) },
    { "bus_url", "in-process; `LISTEN/NOTIFY` on PostgreSQL", "\"nats://nats.example.com:4222\"",
      "NATS server that carries wake-ups between nodes; `tls://…` over TLS",
      |c, v| c.bus_url = Some(secret(v)?),
      |c| c.bus_url.as_ref().map_or(Shown::Unset, |url| Shown::Text(redacted_url(url.expose()))) },
    { "outbound", "`capture` in `dev`, `mx` in `serve`", "\"smtp://user:password@relay.example.com:587\"",
      "`mx` (straight to each recipient's host), `smtp://user:pass@host:port` (a relay), `capture` (kept, never sent, reported as delivered)",
      |c, v| c.outbound = v.parse()?, |c| Shown::Text(c.outbound.redacted()) },
    { "dns", "system resolver", "[\"192.0.2.53\"]", "Name servers to ask instead; `127.0.0.1:5300` for tests",
      |c, v| c.dns = v.list(name_server)?, |c| list(&c.dns, ToString::to_string) },
    { "allow_private_egress", "`true` in `dev`, `false` in `serve`", "false",
      "Whether webhooks, attachment URLs (any port) and MX hosts may be at private addresses",
      |c, v| c.allow_private_egress = v.boolean()?, |c| Shown::Boolean(c.allow_private_egress) },
    { "bootstrap_key", "generated, printed once and written to `DATA_DIR/bootstrap-key` (mode 0600)",
      "\"pm_…\"", "The first organization's API key; it is set on the first start only",
      |c, v| c.bootstrap_key = Some(secret(v)?),
      |c| c.bootstrap_key.as_ref().map_or(Shown::Unset, |_| Shown::Text("(hidden)".to_owned())) },

    { "webhooks.retry_delays", "`5s,5m,30m,2h,5h,10h,10h`",
      "[\"5s\", \"5m\", \"30m\", \"2h\", \"5h\", \"10h\", \"10h\"]",
      "Delays after the first attempt, each counted from the failure before",
      |c, v| c.webhooks.retry_delays = v.durations()?,
      |c| list(&c.webhooks.retry_delays, |delay| duration::format(*delay)) },
    { "webhooks.limit", "`10000`", "10000", "URL webhooks per organization",
      |c, v| c.webhooks.limit = v.number(0, 1_000_000)?, |c| Shown::Number(c.webhooks.limit) },
    { "webhooks.disable_after", "`120h`", "\"120h\"", "Only failures for this long disable an endpoint",
      |c, v| c.webhooks.disable_after = v.duration(Duration::ZERO)?, |c| time(c.webhooks.disable_after) },

    { "delivery.retry_delays", "`1m,5m,15m,30m,1h,2h,4h`",
      "[\"1m\", \"5m\", \"15m\", \"30m\", \"1h\", \"2h\", \"4h\"]",
      "Delays between attempts at outbound mail; the last one repeats",
      |c, v| c.delivery.retry_delays = v.durations()?,
      |c| list(&c.delivery.retry_delays, |delay| duration::format(*delay)) },
    { "delivery.expire_after", "`5d`", "\"5d\"",
      "Outbound mail that is not delivered by then bounces (`message.bounced`); mail submitted over SMTP also gets a notification into the sending inbox",
      |c, v| c.delivery.expire_after = v.duration(Duration::ZERO)?, |c| time(c.delivery.expire_after) },
    { "delivery.mx_port", "`25`", "25", "Port of mail exchangers; for tests",
      |c, v| c.delivery.mx_port = v.number(1, u16::MAX)?, |c| Shown::Number(c.delivery.mx_port.into()) },

    { "work.lease", "`60s`", "\"60s\"", "How long work of a killed process stays out of reach",
      |c, v| c.work.lease = v.duration(Duration::from_millis(100))?, |c| time(c.work.lease) },
    { "work.poll_interval", "`1s`", "\"1s\"", "How often a worker looks without being woken",
      |c, v| c.work.poll_interval = v.duration(INTERVAL_MIN)?, |c| time(c.work.poll_interval) },

    { "retention.deliveries", "`90d`", "\"30d\"",
      "How long the end of each delivery and its attempts are kept, two days at least",
      |c, v| c.retention.deliveries = v.duration(RETENTION_MIN)?, |c| time(c.retention.deliveries) },
    { "retention.events", "`90d`", "\"30d\"",
      "How long events are kept that every reader of the log has passed, two days at least; figures over a time \
       (bounces, usage) reach back as far",
      |c, v| c.retention.events = v.duration(RETENTION_MIN)?, |c| time(c.retention.events) },

    { "records.spf_name", "`spf.<domain>`", "\"spf.mail.example.com\"", "Name that customers' SPF records include",
      |c, v| c.records.spf_name = host(v)?, |c| text(&c.records.spf_name) },
    { "records.feedback_host", "`<hostname>`", "\"mx.mail.example.com\"",
      "Host that customers' return-path records point to",
      |c, v| c.records.feedback_host = host(v)?, |c| text(&c.records.feedback_host) },
    { "records.tracking_host", "`link.<domain>`", "\"link.mail.example.com\"",
      "Host that customers' link records point to",
      |c, v| c.records.tracking_host = host(v)?, |c| text(&c.records.tracking_host) },
    { "records.dmarc_mailbox", "`dmarc@<domain>`", "\"dmarc@mail.example.com\"",
      "Address in customers' DMARC records that receives reports",
      |c, v| c.records.dmarc_mailbox = mailbox(v)?, |c| text(&c.records.dmarc_mailbox) },

    { "domains.check_interval", "`1m`", "\"1m\"",
      "First interval of the checks of a new domain; the intervals grow, and `off` leaves checks to the verify call",
      |c, v| c.domains.check_interval = v.duration_or_off(INTERVAL_MIN)?,
      |c| time_or_off(c.domains.check_interval) },
    { "domains.recheck_interval", "`24h`", "\"24h\"", "Interval of the checks of a verified domain, or `off`",
      |c, v| c.domains.recheck_interval = v.duration_or_off(INTERVAL_MIN)?,
      |c| time_or_off(c.domains.recheck_interval) },

    { "domain_connect.provider_id", "none", "\"mail.example.com\"",
      "`providerId` of your Domain Connect template; with the next three settings customers can publish records at once",
      |c, v| c.domain_connect.provider_id = Some(word(v)?), |c| unless_unset(c.domain_connect.provider_id.as_ref()) },
    { "domain_connect.service_id", "none", "\"inboxes\"", "`serviceId` of the template",
      |c, v| c.domain_connect.service_id = Some(word(v)?), |c| unless_unset(c.domain_connect.service_id.as_ref()) },
    { "domain_connect.private_key", "none", "\"/etc/podmail/domain-connect.pem\"",
      "PEM file with the RSA private key that signs links",
      |c, v| c.domain_connect.private_key = Some(path(v)?), |c| tls_path(c.domain_connect.private_key.as_ref()) },
    { "domain_connect.key_domain", "none", "\"_dck1.mail.example.com\"",
      "Name of the TXT records with the public key: one label below the template's `syncPubKeyDomain`",
      |c, v| c.domain_connect.key_domain = Some(host(v)?), |c| unless_unset(c.domain_connect.key_domain.as_ref()) },
    { "domain_connect.redirect_url", "none", "\"https://console.example.com/domains\"",
      "Where the DNS provider sends the browser afterwards, with `state`; without it the browser stays there",
      |c, v| c.domain_connect.redirect_url = Some(web_url(v.text()?)?),
      |c| unless_unset(c.domain_connect.redirect_url.as_ref()) },

    { "docs.url", "`<public-url>/docs`", "\"https://mail.example.com/docs\"", "Where `docs` links in errors lead",
      |c, v| c.docs_url = Some(web_url(v.text()?)?),
      |c| c.docs_url.as_ref().map_or(Shown::Unset, |url| Shown::Text(trimmed(url).to_owned())) },

    { "onboarding.system_sender", "none", "\"hello@mail.example.com\"", "Reserved for the address that mails one-time codes; not built yet, has no effect",
      |c, v| c.onboarding.system_sender = Some(mailbox(v)?),
      |c| c.onboarding.system_sender.as_ref().map_or(Shown::Unset, text) },
    { "onboarding.sign_up", "`open` in `dev`, else `closed`", "\"closed\"",
      "Reserved for who may create an organization through the API: `open` (anyone), `closed` (only the operator); not built yet, has no effect",
      |c, v| c.onboarding.sign_up = v.parse()?, |c| text(&c.onboarding.sign_up) },

    { "proxies.http", "none", "[\"10.0.0.0/8\"]", "Reserved for networks whose `X-Forwarded-*` headers are believed; not built yet, has no effect",
      |c, v| c.proxies.http = v.list(network)?, |c| list(&c.proxies.http, ToString::to_string) },
    { "proxies.smtp", "none", "[\"10.0.0.0/8\"]", "Reserved for networks whose PROXY protocol lines are believed; not built yet, has no effect",
      |c, v| c.proxies.smtp = v.list(network)?, |c| list(&c.proxies.smtp, ToString::to_string) },

    { "suppression.scope", "`pod`", "\"pod\"",
      "Level of automatic block list entries: `pod` (of the sending inbox) or `organization`",
      |c, v| c.suppression_scope = v.parse()?, |c| text(&c.suppression_scope) },

    { "log.level", "`info`", "\"info\"",
      "`error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,podmail_smtp_in=debug`",
      |c, v| c.log.level = crate::logging::checked(v.text()?)?, |c| text(&c.log.level) },
    { "log.format", "`text` in `dev`, `json` in `serve`", "\"json\"",
      "`text` for people, `json` with one object a line; the log goes to standard error",
      |c, v| c.log.format = v.parse()?, |c| text(&c.log.format) },

    { "limits.requests_per_second", "`1000` per organization, burst twice that; `0`, off, in `dev`", "1000",
      "API requests beyond it get 429",
      |c, v| c.limits.requests_per_second = v.number(0, 1_000_000)?,
      |c| Shown::Number(c.limits.requests_per_second.into()) },
    { "limits.max_request_bytes", "`6291456`", "6291456", "Largest body of an API request in bytes (6 MiB)",
      |c, v| c.limits.max_request_bytes = v.number(1_024, 1 << 30)?, |c| size(c.limits.max_request_bytes) },

    { "inbound.authentication", "`standard`; `off` in `dev`", "\"standard\"",
      "What SPF, DKIM and DMARC do to arriving mail: `standard` (what the domains' policies ask), `strict` (any explicit failure refuses), `label` (nothing is refused), `off`",
      |c, v| c.inbound.authentication = v.parse()?, |c| text(&c.inbound.authentication) },
    { "inbound.trusted_arc_sealers", "none", "[\"lists.example.org\"]", "Domains whose ARC seal is believed",
      |c, v| c.inbound.trusted_arc_sealers = v.list(host_name)?,
      |c| list(&c.inbound.trusted_arc_sealers, Clone::clone) },
    { "inbound.max_recipients", "`100`", "100", "Recipients of one message from the internet",
      |c, v| c.inbound.max_recipients = v.number(1, 10_000)?, |c| size(c.inbound.max_recipients) },
    { "inbound.max_message_bytes", "`31457280`", "31457280",
      "Largest message from the internet in bytes (30 MiB), announced by the SIZE extension",
      |c, v| c.inbound.max_message_bytes = v.number(65_536, 1 << 30)?, |c| size(c.inbound.max_message_bytes) },
    { "inbound.max_connections", "`1000`", "1000", "Open SMTP connections in all; further ones get 421",
      |c, v| c.inbound.max_connections = v.number(1, 1_000_000)?, |c| size(c.inbound.max_connections) },
    { "inbound.max_connections_per_client", "`100`", "100",
      "Open SMTP connections from one address; further ones get 421",
      |c, v| c.inbound.max_connections_per_client = v.number(1, 1_000_000)?,
      |c| size(c.inbound.max_connections_per_client) },

    { "attachments.extract_text", "`true`", "true",
      "Whether the plain text of attachments is taken out (`text_url`), in processes of its own; while it is `false`, messages wait for it, seven days at most",
      |c, v| c.extract_text = v.boolean()?, |c| Shown::Boolean(c.extract_text) },

    { "tenancy.pod_subdomains", "`conflict`", "\"conflict\"",
      "When an inbox gets its pod's subdomain of the shared domain: `conflict` (its address is taken), `always`, `off`",
      |c, v| c.pod_subdomains = v.parse()?, |c| text(&c.pod_subdomains) },

    { "labs.available", "`true`", "false",
      "Whether organizations may join Labs, which has the features that are still previews; nobody is in it otherwise",
      |c, v| c.labs.available = v.boolean()?, |c| Shown::Boolean(c.labs.available) },
    { "labs.everyone", "`false`", "true",
      "Whether organizations are in Labs without joining; `podmail org set … --labs off` takes one out",
      |c, v| c.labs.everyone = v.boolean()?, |c| Shown::Boolean(c.labs.everyone) },

    { "agent_armor.mode", "`off`", "\"off\"",
      "Reserved for `off`, `monitor`, `hold`, the default for organizations without a setting of their own; not built yet, has no effect",
      |c, v| c.agent_armor = v.parse()?, |c| text(&c.agent_armor) },

    { "tls.certificate", "self-signed in `dev`, none in `serve`", "\"/etc/podmail/certificate.pem\"",
      "PEM file with the certificate and its chain, read again on `SIGHUP`; without one `serve` offers no STARTTLS and opens no TLS listener",
      |c, v| tls(c).certificate = path(v)?, |c| tls_path(c.tls.as_ref().map(|tls| &tls.certificate)) },
    { "tls.key", "self-signed in `dev`, none in `serve`", "\"/etc/podmail/key.pem\"",
      "PEM file with the certificate's private key, read again on `SIGHUP`",
      |c, v| tls(c).key = path(v)?, |c| tls_path(c.tls.as_ref().map(|tls| &tls.key)) },
}
