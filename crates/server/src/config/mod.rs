//! Configuration: defaults, then the file, then the environment, then flags.
//!
//! [`Config::load`] is the only reader of configuration, and `settings` holds the one table that names
//! every setting, its default and its meaning; the reference page and the example file are generated from
//! it. What is loaded is checked: the rest of the server never parses a setting again.

mod document;
mod duration;
mod error;
mod settings;
mod sources;
mod types;
mod value;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

pub use document::{example_file, reference_page};
pub use error::{ConfigError, Origin, Problem};
pub use sources::{Flags, process_environment};
pub use types::{
    AgentArmorMode, Blobs, Database, InboundAuthentication, Listener, LogFormat, Mode, Outbound,
    PodSubdomains, Relay, Secret, SignUp, SuppressionScope,
};

/// Everything that an operator can say about the server.
#[derive(Debug, Clone)]
pub struct Config {
    /// What the server is run for.
    pub mode: Mode,
    /// Folder of the SQLite database, local objects, generated keys, the lock and the admin socket.
    pub data_dir: PathBuf,
    /// API, WebSockets, MCP, console, health and metrics.
    pub http: Listener,
    /// The same as `http` over TLS.
    pub https: Listener,
    /// Mail from the internet.
    pub smtp: Listener,
    /// SMTP submission with STARTTLS.
    pub submission: Listener,
    /// SMTP submission over TLS.
    pub submissions: Listener,
    /// IMAP with STARTTLS.
    pub imap: Listener,
    /// IMAP over TLS.
    pub imaps: Listener,
    /// The shared domain that new inboxes get.
    pub domain: String,
    /// SMTP banner and EHLO, and the target of customers' MX records.
    pub hostname: String,
    /// What the operator set as the public address; use [`Config::public_url`].
    pub public_url: Option<Url>,
    /// The database.
    pub database: Database,
    /// Where large message bytes are kept.
    pub blobs: Blobs,
    /// URL of a NATS server for wake-ups between nodes; `None` chooses by the database.
    pub bus_url: Option<Secret>,
    /// How mail leaves.
    pub outbound: Outbound,
    /// Name servers; empty uses those of the system.
    pub dns: Vec<SocketAddr>,
    /// Whether webhooks, attachment URLs and mail exchangers may be at private addresses.
    pub allow_private_egress: bool,
    /// Whether text is taken from attachments.
    pub extract_text: bool,
    /// The first organization's API key, used on the first start only.
    pub bootstrap_key: Option<Secret>,
    /// Settings of section `webhooks`.
    pub webhooks: WebhooksConfig,
    /// Settings of section `delivery`.
    pub delivery: DeliveryConfig,
    /// Settings of section `work`.
    pub work: WorkConfig,
    /// Settings of section `retention`.
    pub retention: RetentionConfig,
    /// Settings of section `records`.
    pub records: RecordsConfig,
    /// Settings of section `domains`.
    pub domains: DomainsConfig,
    /// Settings of section `domain_connect`.
    pub domain_connect: DomainConnectConfig,
    /// Where `docs` links in errors lead, when set; use [`Config::docs_url`].
    pub docs_url: Option<Url>,
    /// Settings of section `onboarding`.
    pub onboarding: OnboardingConfig,
    /// Settings of section `proxies`.
    pub proxies: ProxiesConfig,
    /// At which level automatic block list entries lie.
    pub suppression_scope: SuppressionScope,
    /// Settings of section `log`.
    pub log: LogConfig,
    /// Settings of section `limits`.
    pub limits: LimitsConfig,
    /// Settings of section `inbound`.
    pub inbound: InboundConfig,
    /// When inboxes get their pod's subdomain.
    pub pod_subdomains: PodSubdomains,
    /// Settings of section `labs`.
    pub labs: LabsConfig,
    /// Default of the injection screen for organizations without a setting of their own.
    pub agent_armor: AgentArmorMode,
    /// PEM files of the certificate and its key; both or neither.
    pub tls: Option<TlsConfig>,
    /// Additional trusted roots for outgoing TLS, from `SSL_CERT_FILE`.
    pub ssl_cert_file: Option<PathBuf>,
    /// The `AWS_…` variables, for the S3 client: endpoint, region, credentials.
    pub aws: BTreeMap<String, Secret>,
    /// What the operator should hear about although the server can run, such as unknown variables.
    pub warnings: Vec<String>,
}

/// Deliveries to webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhooksConfig {
    /// Delays after the first attempt, each counted from the failure before; then the delivery failed.
    pub retry_delays: Vec<Duration>,
    /// URL webhooks per organization.
    pub limit: u64,
    /// Only failures for this long disable an endpoint.
    pub disable_after: Duration,
}

/// Outgoing mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryConfig {
    /// Delays between attempts; the last one repeats.
    pub retry_delays: Vec<Duration>,
    /// After this long without success a message bounces.
    pub expire_after: Duration,
    /// Port of mail exchangers; anything but 25 is for tests.
    pub mx_port: u16,
}

/// Leased work in general.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkConfig {
    /// How long work of a killed process stays out of reach.
    pub lease: Duration,
    /// How often a worker looks without being woken.
    pub poll_interval: Duration,
}

/// How long what is over is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionConfig {
    /// Ends of deliveries and the log of their attempts.
    pub deliveries: Duration,
    /// Events that every reader of the log has passed.
    pub events: Duration,
}

/// Values in the DNS records that customers are asked to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordsConfig {
    /// Name that customers' SPF records include.
    pub spf_name: String,
    /// MX target of return-path subdomains.
    pub feedback_host: String,
    /// CNAME target of link-tracking subdomains.
    pub tracking_host: String,
    /// Address that receives DMARC reports.
    pub dmarc_mailbox: String,
}

/// Checks of customers' domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainsConfig {
    /// First interval of the checks of a new domain; `None` leaves them to the verify call.
    pub check_interval: Option<Duration>,
    /// Interval of the checks of a verified domain; `None` makes none.
    pub recheck_interval: Option<Duration>,
}

/// The operator's template at DNS providers; without its four values there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DomainConnectConfig {
    /// The template's `providerId`.
    pub provider_id: Option<String>,
    /// The template's `serviceId`.
    pub service_id: Option<String>,
    /// PEM file of the RSA key that signs links.
    pub private_key: Option<PathBuf>,
    /// Name of the TXT records with its public half.
    pub key_domain: Option<String>,
    /// Where providers send the browser afterwards.
    pub redirect_url: Option<Url>,
}

/// Sign-up and one-time codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnboardingConfig {
    /// Address that mails one-time codes; without it none are mailed.
    pub system_sender: Option<String>,
    /// Who may create an organization through the API.
    pub sign_up: SignUp,
}

/// Proxies in front of the server whose word about the client is taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProxiesConfig {
    /// Networks whose `X-Forwarded-*` headers are believed.
    pub http: Vec<IpNet>,
    /// Networks whose PROXY protocol lines are believed.
    pub smtp: Vec<IpNet>,
}

/// The log on standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// A level, or directives such as `info,podmail_smtp_in=debug`.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// Bounds on callers of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Requests per second and organization, with a burst of twice that; 0 is no limit.
    pub requests_per_second: u32,
    /// Largest body of a request in bytes.
    pub max_request_bytes: usize,
}

/// Mail from the internet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundConfig {
    /// What authentication results do.
    pub authentication: InboundAuthentication,
    /// Domains whose ARC seal is believed.
    pub trusted_arc_sealers: Vec<String>,
    /// Recipients of one message.
    pub max_recipients: usize,
    /// Largest message in bytes, as announced by the SIZE extension.
    pub max_message_bytes: usize,
    /// Open SMTP connections in all.
    pub max_connections: usize,
    /// Open SMTP connections from one address.
    pub max_connections_per_client: usize,
}

/// Features that are still previews.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabsConfig {
    /// Whether organizations may have them.
    pub available: bool,
    /// Whether every organization has them that was not taken out.
    pub everyone: bool,
}

/// The server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM file with the certificate and its chain.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

impl Config {
    /// Composes the configuration and checks it.
    ///
    /// `environment` is every variable of the process (see [`process_environment`]); those that do not
    /// concern the server are ignored. Reads `file` and the files named by settings that end in `_file`.
    ///
    /// # Errors
    ///
    /// Unreadable or malformed file; otherwise all problems with settings at once.
    pub fn load(
        mode: Mode,
        flags: &Flags,
        environment: impl Iterator<Item = (String, String)>,
        file: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        sources::load(mode, flags, environment, file)
    }

    /// The configuration when nothing is set.
    #[must_use]
    pub fn defaults(mode: Mode) -> Self {
        let mut config = Self::blank(mode);
        config.derive(|_| false);
        config
    }

    /// The address under which users reach the server, without a slash at its end: the setting, or what
    /// follows from the addresses that were bound (an unspecified one counts as loopback).
    #[must_use]
    pub fn public_url(&self, http: Option<SocketAddr>, https: Option<SocketAddr>) -> String {
        if let Some(url) = &self.public_url {
            return types::trimmed(url).to_owned();
        }
        let (scheme, address) = match (http, https) {
            (Some(address), _) => ("http", address),
            (None, Some(address)) => ("https", address),
            (None, None) => return format!("http://{}", self.domain),
        };
        let mut address = address;
        if address.ip().is_unspecified() {
            address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        format!("{scheme}://{address}")
    }

    /// Where `docs` links in errors lead, without a slash at its end.
    #[must_use]
    pub fn docs_url(&self, public_url: &str) -> String {
        match &self.docs_url {
            Some(url) => types::trimmed(url).to_owned(),
            None => format!("{public_url}/docs"),
        }
    }

    /// The configuration in effect as TOML, secrets hidden; what `podmail config` prints.
    #[must_use]
    pub fn effective_toml(&self) -> String {
        document::effective(self)
    }

    /// Every default that does not follow from another setting.
    fn blank(mode: Mode) -> Self {
        let dev = mode == Mode::Dev;
        let seconds =
            |list: &[u64]| list.iter().map(|seconds| Duration::from_secs(*seconds)).collect::<Vec<_>>();
        let loopback = |port: u16| Listener::On(format!("127.0.0.1:{port}"));
        Self {
            mode,
            data_dir: PathBuf::from("./podmail-data"),
            http: loopback(8080),
            https: Listener::Off,
            smtp: loopback(2525),
            submission: loopback(2587),
            submissions: loopback(2465),
            imap: loopback(2143),
            imaps: loopback(2993),
            domain: "podmail.localhost".to_owned(),
            hostname: String::new(),
            public_url: None,
            database: Database::Sqlite(PathBuf::new()),
            blobs: Blobs::Folder(PathBuf::new()),
            bus_url: None,
            outbound: if dev { Outbound::Capture } else { Outbound::Mx },
            dns: Vec::new(),
            allow_private_egress: dev,
            extract_text: true,
            bootstrap_key: None,
            webhooks: WebhooksConfig {
                retry_delays: seconds(&[5, 300, 1_800, 7_200, 18_000, 36_000, 36_000]),
                limit: 10_000,
                disable_after: Duration::from_secs(120 * 3_600),
            },
            delivery: DeliveryConfig {
                retry_delays: seconds(&[60, 300, 900, 1_800, 3_600, 7_200, 14_400]),
                expire_after: Duration::from_secs(5 * 86_400),
                mx_port: 25,
            },
            work: WorkConfig { lease: Duration::from_secs(60), poll_interval: Duration::from_secs(1) },
            retention: RetentionConfig {
                deliveries: Duration::from_secs(90 * 86_400),
                events: Duration::from_secs(90 * 86_400),
            },
            records: RecordsConfig {
                spf_name: String::new(),
                feedback_host: String::new(),
                tracking_host: String::new(),
                dmarc_mailbox: String::new(),
            },
            domains: DomainsConfig {
                check_interval: Some(Duration::from_secs(60)),
                recheck_interval: Some(Duration::from_secs(86_400)),
            },
            domain_connect: DomainConnectConfig::default(),
            docs_url: None,
            onboarding: OnboardingConfig {
                system_sender: None,
                sign_up: if dev { SignUp::Open } else { SignUp::Closed },
            },
            proxies: ProxiesConfig::default(),
            suppression_scope: SuppressionScope::Pod,
            log: LogConfig {
                level: "info".to_owned(),
                format: if dev { LogFormat::Text } else { LogFormat::Json },
            },
            limits: LimitsConfig {
                requests_per_second: if dev { 0 } else { 1_000 },
                max_request_bytes: 6 * 1024 * 1024,
            },
            inbound: InboundConfig {
                authentication: if dev {
                    InboundAuthentication::Off
                } else {
                    InboundAuthentication::Standard
                },
                trusted_arc_sealers: Vec::new(),
                max_recipients: 100,
                max_message_bytes: 30 * 1024 * 1024,
                max_connections: 1_000,
                max_connections_per_client: 100,
            },
            pod_subdomains: PodSubdomains::Conflict,
            labs: LabsConfig { available: true, everyone: false },
            agent_armor: AgentArmorMode::Off,
            tls: None,
            ssl_cert_file: None,
            aws: BTreeMap::new(),
            warnings: Vec::new(),
        }
    }

    /// Fills what follows from other settings, except for what `is_set` says was set.
    fn derive(&mut self, is_set: impl Fn(&str) -> bool) {
        if !is_set("hostname") {
            self.hostname = format!("mx.{}", self.domain);
        }
        if !is_set("database_url") {
            self.database = Database::Sqlite(self.data_dir.join("podmail.db"));
        }
        if !is_set("blob_url") {
            self.blobs = Blobs::Folder(self.data_dir.join("objects"));
        }
        let records = &mut self.records;
        if !is_set("records.spf_name") {
            records.spf_name = format!("spf.{}", self.domain);
        }
        if !is_set("records.feedback_host") {
            records.feedback_host.clone_from(&self.hostname);
        }
        if !is_set("records.tracking_host") {
            records.tracking_host = format!("link.{}", self.domain);
        }
        if !is_set("records.dmarc_mailbox") {
            records.dmarc_mailbox = format!("dmarc@{}", self.domain);
        }
    }
}

#[cfg(test)]
mod tests;
