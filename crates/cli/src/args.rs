//! The command line: commands and flags as clap sees them, and what they mean to the server crate.
//!
//! Values of flags stay text here: the configuration parses them, so that a flag, a variable and the file
//! take the same words and give the same errors.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use podmail_server::admin::AdminCommand;
use podmail_server::admin::command::{LimitChange, LimitChanges, OrganizationChange};
use podmail_server::config::{AgentArmorMode, Flags, Mode};

use crate::output::Format;

/// Email for AI agents, self-hosted.
#[derive(Debug, Parser)]
#[command(name = "podmail", version, propagate_version = true, subcommand_required = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Reads the command line; wrong usage ends the process with code 2, `--help` and `--version` with 0.
    ///
    /// `--domain` is a setting everywhere but behind `doctor`, where it is the domain to look at. Clap's
    /// global arguments know no exception, so the setting is added to each other command by hand.
    pub(crate) fn from_command_line() -> Self {
        let matches = with_domain(Self::command()).get_matches_from(joined(std::env::args_os()));
        let mut cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        let mut level = Some(&matches);
        while let Some(matches) = level {
            if let Ok(Some(domain)) = matches.try_get_one::<String>("domain") {
                cli.settings.domain = Some(domain.clone());
            }
            level = matches.subcommand().map(|(_, matches)| matches);
        }
        cli
    }
}

/// Joins `--allow-private-egress true` to one argument: alone, the flag must not swallow a command behind it.
fn joined(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    for argument in arguments {
        match joined.last_mut() {
            Some(flag) if flag == "--allow-private-egress" && (argument == "true" || argument == "false") => {
                flag.push("=");
                flag.push(argument);
            }
            _ => joined.push(argument),
        }
    }
    joined
}

/// Adds the flag `--domain` to a command and those below it, except `doctor`.
fn with_domain(command: clap::Command) -> clap::Command {
    if command.get_name() == "doctor" {
        return command;
    }
    let domain = Arg::new("domain")
        .long("domain")
        .value_name("DOMAIN")
        .help_heading(SETTINGS_HEADING)
        .help("The shared domain that new inboxes get");
    command.arg(domain).mut_subcommands(with_domain)
}

const SETTINGS_HEADING: &str = "Settings (also as PODMAIL_… variables and in the file)";

/// Declares the flags of settings: the field's name is the setting's.
macro_rules! settings {
    ($($(#[doc = $doc:literal])* $(#[arg($($arg:tt)*)])? $name:ident: $value:literal,)+) => {
        /// Flags that every command takes, because every command has to find the installation.
        #[derive(Debug, Args)]
        #[command(next_help_heading = SETTINGS_HEADING)]
        pub(crate) struct Settings {
            /// Configuration file (TOML)
            #[arg(long, global = true, value_name = "FILE")]
            pub(crate) config: Option<PathBuf>,
            /// Not global to clap, see [`Cli::from_command_line`].
            #[arg(skip)]
            domain: Option<String>,
            $($(#[doc = $doc])* #[arg(long, global = true, value_name = $value $(, $($arg)*)?)] $name: Option<String>,)+
        }

        impl Settings {
            /// The flags that were given, for the configuration.
            pub(crate) fn flags(&self) -> Flags {
                let mut flags = Flags::new();
                flags.set("domain", self.domain.as_deref());
                $(flags.set(stringify!($name), self.$name.as_deref());)+
                flags
            }
        }
    };
}

settings! {
    /// Folder of the SQLite database, local objects and generated keys
    data_dir: "FOLDER",
    /// API, WebSockets, console, health and metrics; `off` closes a listener
    http: "HOST:PORT",
    /// The same as --http over TLS
    https: "HOST:PORT",
    /// Mail from the internet (MX)
    smtp: "HOST:PORT",
    /// SMTP submission with STARTTLS
    submission: "HOST:PORT",
    /// SMTP submission with implicit TLS
    submissions: "HOST:PORT",
    /// IMAP with STARTTLS
    imap: "HOST:PORT",
    /// IMAP with implicit TLS
    imaps: "HOST:PORT",
    /// SMTP banner and EHLO, and what customers' MX records point to
    hostname: "HOST",
    /// What download links and the console use
    public_url: "URL",
    /// `sqlite:PATH` or `postgres://…`
    database_url: "URL",
    /// File with the database URL
    database_url_file: "FILE",
    /// `file:///…` or `s3://bucket/prefix`
    blob_url: "URL",
    /// `nats://…`
    bus_url: "URL",
    /// File with the bus URL
    bus_url_file: "FILE",
    /// `mx`, `smtp://user:pass@host:port` (relay) or `capture`
    outbound: "ROUTE",
    /// File with the route
    outbound_file: "FILE",
    /// Name servers to ask instead of the system's
    dns: "ADDRESS",
    /// Webhooks, attachment URLs and MX hosts may be at private addresses
    #[arg(num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    allow_private_egress: "BOOL",
    /// The first organization's API key, set on the first start only
    bootstrap_key: "KEY",
    /// File with the first organization's API key
    bootstrap_key_file: "FILE",
}

/// What to do.
#[derive(Debug)]
pub(crate) enum Command {
    Dev,
    Serve,
    Config { mode: Mode },
    ExtractText,
    Admin(Request),
}

/// A command for an installation.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) command: AdminCommand,
    pub(crate) json: Format,
}

#[derive(Debug, Subcommand)]
enum Commands {
    /// Try it on this machine: embedded, loopback, captures outbound mail, prints a key
    Dev,
    /// Run in production; migrates by itself
    Serve,
    /// Bring the database's schema up to date
    Migrate,
    /// Look for what is wrong; findings give exit code 1, each with its cure
    Doctor {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        /// The only domain to look at (the installation's own --domain goes before `doctor`)
        #[arg(long = "domain", value_name = "DOMAIN")]
        only: Option<String>,
    },
    /// Print the configuration in effect, secrets hidden
    Config {
        /// Whose defaults apply: dev or serve
        #[arg(long, default_value = "serve")]
        mode: Mode,
    },
    /// Take the text out of a file on standard input; the server calls this in a process of its own
    #[command(hide = true)]
    ExtractText,
    /// Organizations
    #[command(subcommand)]
    Org(Org),
    /// API keys
    #[command(subcommand)]
    Key(Key),
    /// Allow and block lists
    #[command(subcommand)]
    List(List),
    /// Domains that mail is sent from
    #[command(subcommand)]
    Domain(Domain),
}

#[derive(Debug, Subcommand)]
enum Org {
    /// Create an organization and its first key
    Create {
        name: String,
        #[command(flatten)]
        limits: Limits,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Change an organization
    Set {
        #[arg(value_name = "ID|NAME")]
        organization: String,
        #[command(flatten)]
        limits: Limits,
        /// Mark as verified (not built yet, has no effect)
        #[arg(long)]
        verified: bool,
        /// Labs, which has the features that are still previews
        #[arg(long, value_name = "on|off", value_parser = on_off)]
        labs: Option<bool>,
        /// Injection screen: off, monitor or hold (not built yet, has no effect)
        #[arg(long, value_name = "MODE")]
        agent_armor: Option<AgentArmorMode>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// List all organizations
    List {
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Show one organization
    Show {
        #[arg(value_name = "ID|NAME")]
        organization: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Key {
    /// Create a key with every permission of its scope
    Create {
        /// Organization; not needed while there is only one
        #[arg(long, value_name = "ID|NAME")]
        organization: Option<String>,
        /// Restrict the key to this pod
        #[arg(long, value_name = "ID", conflicts_with = "inbox")]
        pod: Option<String>,
        /// Restrict the key to this inbox
        #[arg(long, value_name = "ADDRESS")]
        inbox: Option<String>,
        /// Name of the key
        #[arg(long)]
        name: Option<String>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum List {
    /// Let an address be mailed again: removes it from the block lists of sending, read-only entries too
    Remove {
        address: String,
        /// Organization; not needed while there is only one
        #[arg(long, value_name = "ID|NAME")]
        organization: Option<String>,
        /// Only the lists of this pod and its inboxes
        #[arg(long, value_name = "ID")]
        pod: Option<String>,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Domain {
    /// Offer one-click unsubscription in mail from a domain that goes to one recipient
    Unsubscribe {
        #[arg(value_name = "DOMAIN")]
        sending_domain: String,
        #[arg(value_name = "on|off", value_parser = on_off, action = clap::ArgAction::Set)]
        switch: bool,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Check a domain's records now
    Verify {
        #[arg(value_name = "DOMAIN")]
        customer_domain: String,
        /// Trust the operator instead of DNS
        #[arg(long)]
        force: bool,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct Limits {
    /// Inboxes in the organization, or `none`
    #[arg(long, value_name = "N")]
    inbox_limit: Option<LimitChange>,
    /// Domains in the organization, or `none`
    #[arg(long, value_name = "N")]
    domain_limit: Option<LimitChange>,
    /// Recipients mailed within 24 hours, or `none`
    #[arg(long, value_name = "N")]
    send_per_day: Option<LimitChange>,
}

impl From<Limits> for LimitChanges {
    fn from(limits: Limits) -> Self {
        Self {
            inbox_limit: limits.inbox_limit.unwrap_or_default(),
            domain_limit: limits.domain_limit.unwrap_or_default(),
            send_per_day: limits.send_per_day.unwrap_or_default(),
        }
    }
}

impl From<Commands> for Command {
    fn from(command: Commands) -> Self {
        let (command, json) = match command {
            Commands::Dev => return Self::Dev,
            Commands::Serve => return Self::Serve,
            Commands::ExtractText => return Self::ExtractText,
            Commands::Config { mode } => return Self::Config { mode },
            Commands::Migrate => (AdminCommand::Migrate, false),
            Commands::Doctor { only, json } => (AdminCommand::Doctor { domain: only }, json),
            Commands::Org(Org::Create { name, limits, json }) => {
                (AdminCommand::OrganizationCreate { name, limits: limits.into() }, json)
            }
            Commands::Org(Org::Set { organization, limits, verified, labs, agent_armor, json }) => {
                let change = OrganizationChange { limits: limits.into(), verified, labs, agent_armor };
                (AdminCommand::OrganizationSet { organization, change }, json)
            }
            Commands::Org(Org::List { json }) => (AdminCommand::OrganizationList, json),
            Commands::Org(Org::Show { organization, json }) => {
                (AdminCommand::OrganizationShow { organization }, json)
            }
            Commands::Key(Key::Create { organization, pod, inbox, name, json }) => {
                (AdminCommand::KeyCreate { organization, pod, inbox, name }, json)
            }
            Commands::List(List::Remove { address, organization, pod, json }) => {
                (AdminCommand::ListRemove { address, organization, pod }, json)
            }
            Commands::Domain(Domain::Unsubscribe { sending_domain, switch, json }) => {
                (AdminCommand::DomainUnsubscribe { domain: sending_domain, on: switch }, json)
            }
            Commands::Domain(Domain::Verify { customer_domain, force, json }) => {
                (AdminCommand::DomainVerify { domain: customer_domain, force }, json)
            }
        };
        Self::Admin(Request { command, json: if json { Format::Json } else { Format::Text } })
    }
}

// clap derives parsing for the shape of the command line; the rest of the program sees what it means.
impl FromArgMatches for Command {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        Commands::from_arg_matches(matches).map(Self::from)
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for Command {
    fn augment_subcommands(command: clap::Command) -> clap::Command {
        Commands::augment_subcommands(command)
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        Commands::augment_subcommands_for_update(command)
    }

    fn has_subcommand(name: &str) -> bool {
        Commands::has_subcommand(name)
    }
}

fn on_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("write `on` or `off`".to_owned()),
    }
}
