//! The layers, their errors, and the documents.

use std::net::SocketAddr;
use std::path::Path;

use super::settings::{SETTINGS, find};
use super::value::Value;
use super::*;

fn load(mode: Mode, file: &str, env: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("podmail.toml");
    std::fs::write(&path, file).unwrap();
    let mut given = Flags::new();
    for (name, value) in flags {
        given.set(name, Some(*value));
    }
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(mode, &given, env, Some(&path))
        .map_err(|error| error.to_string().replace(&path.display().to_string(), "podmail.toml"))
}

#[test]
fn each_layer_replaces_the_one_before() {
    let file = "domain = \"file.example\"";
    let (env, flag) = (("PODMAIL_DOMAIN", "env.example"), ("domain", "flag.example"));
    for (file, env, flags, want) in [
        ("", vec![], vec![], "podmail.localhost"),
        (file, vec![], vec![], "file.example"),
        (file, vec![env], vec![], "env.example"),
        (file, vec![env], vec![flag], "flag.example"),
        (file, vec![("PODMAIL_DOMAIN", "")], vec![], "file.example"),
    ] {
        assert_eq!(load(Mode::Serve, file, &env, &flags).unwrap().domain, want);
    }
}

#[test]
fn defaults_follow_the_mode() {
    let (dev, serve) = (Config::defaults(Mode::Dev), Config::defaults(Mode::Serve));
    assert_eq!((&dev.outbound, &serve.outbound), (&Outbound::Capture, &Outbound::Mx));
    assert_eq!((dev.allow_private_egress, serve.allow_private_egress), (true, false));
    assert_eq!((dev.log.format, serve.log.format), (LogFormat::Text, LogFormat::Json));
    assert_eq!((dev.limits.requests_per_second, serve.limits.requests_per_second), (0, 1000));
    assert_eq!(dev.inbound.authentication, InboundAuthentication::Off);
    assert_eq!(serve.inbound.authentication, InboundAuthentication::Standard);
    assert_eq!((dev.onboarding.sign_up, serve.onboarding.sign_up), (SignUp::Open, SignUp::Closed));
}

#[test]
fn derived_settings_follow_the_domain_and_the_data_folder() {
    let config = load(Mode::Serve, "domain = \"mail.example\"\ndata_dir = \"/d\"", &[], &[]).unwrap();
    assert_eq!(config.hostname, "mx.mail.example");
    assert_eq!(config.records.spf_name, "spf.mail.example");
    assert_eq!(config.records.feedback_host, "mx.mail.example");
    assert_eq!(config.records.tracking_host, "link.mail.example");
    assert_eq!(config.records.dmarc_mailbox, "dmarc@mail.example");
    assert_eq!(config.database, Database::Sqlite("/d/podmail.db".into()));
    assert_eq!(config.blobs, Blobs::Folder("/d/objects".into()));

    let config = load(Mode::Serve, "hostname = \"in.example\"", &[], &[]).unwrap();
    assert_eq!(config.records.feedback_host, "in.example");
}

#[test]
fn links_carry_the_port_that_was_bound() {
    let config = Config::defaults(Mode::Dev);
    let bound = |text: &str| Some(text.parse::<SocketAddr>().unwrap());
    assert_eq!(config.public_url(bound("127.0.0.1:4711"), None), "http://127.0.0.1:4711");
    assert_eq!(config.public_url(bound("0.0.0.0:80"), None), "http://127.0.0.1:80");
    assert_eq!(config.public_url(None, bound("[::1]:443")), "https://[::1]:443");
    assert_eq!(config.docs_url("http://127.0.0.1:1"), "http://127.0.0.1:1/docs");
    let config = load(Mode::Dev, "public_url = \"https://mail.example/\"", &[], &[]).unwrap();
    assert_eq!(config.public_url(bound("127.0.0.1:1"), None), "https://mail.example");
}

#[test]
fn sections_and_lists_read_from_file_and_environment() {
    let file = "[webhooks]\nretry_delays = [\"1s\", \"2m\"]\nlimit = 7\n[proxies]\nhttp = [\"10.0.0.0/8\"]\n\
                [domains]\ncheck_interval = \"off\"\n[inbound]\nmax_recipients = 5";
    let config = load(Mode::Serve, file, &[], &[]).unwrap();
    assert_eq!(config.webhooks.retry_delays, [1, 120].map(Duration::from_secs));
    assert_eq!(config.webhooks.limit, 7);
    assert_eq!(config.proxies.http, ["10.0.0.0/8".parse::<IpNet>().unwrap()]);
    assert_eq!(config.domains.check_interval, None);
    assert_eq!(config.inbound.max_recipients, 5);

    let env = [
        ("PODMAIL_WEBHOOKS_RETRY_DELAYS", "1s, 2m"),
        ("PODMAIL_PROXIES_SMTP", "192.0.2.1,10.0.0.0/8"),
        ("PODMAIL_DNS", "127.0.0.1:5300"),
        ("PODMAIL_DELIVERY_MX_PORT", "2525"),
    ];
    let config = load(Mode::Serve, "", &env, &[]).unwrap();
    assert_eq!(config.webhooks.retry_delays, [1, 120].map(Duration::from_secs));
    assert_eq!(config.proxies.smtp.len(), 2);
    assert_eq!(config.dns, ["127.0.0.1:5300".parse::<SocketAddr>().unwrap()]);
    assert_eq!(config.delivery.mx_port, 2525);
}

#[test]
fn errors_name_the_setting_its_source_and_the_cure() {
    for (file, env, flags, want) in [
        (
            "datadir = \"x\"",
            vec![],
            vec![],
            "datadir (podmail.toml line 1) is no setting; did you mean data_dir?",
        ),
        (
            "\n[webhooks]\nlimits = 1",
            vec![],
            vec![],
            "webhooks.limits (podmail.toml line 3) is no setting; did you mean webhooks.limit?",
        ),
        (
            "mx_port = 1",
            vec![],
            vec![],
            "mx_port (podmail.toml line 1) is no setting; did you mean delivery.mx_port?",
        ),
        (
            "nonsense_of_all_kinds = 1",
            vec![],
            vec![],
            "nonsense_of_all_kinds (podmail.toml line 1) is no setting; docs/configuration.md lists them all",
        ),
        (
            "http = 8080",
            vec![],
            vec![],
            "http (podmail.toml line 1) `8080` is not HOST:PORT; write for example `127.0.0.1:8080`, `[::]:25`, or `off`",
        ),
        (
            "",
            vec![("PODMAIL_WORK_LEASE", "60")],
            vec![],
            "work.lease (variable PODMAIL_WORK_LEASE) `60` is not a duration; write a number and a unit, for example `5s`, `30m`, `2h` or `5d`",
        ),
        (
            "",
            vec![],
            vec![("smtp", "25")],
            "smtp (flag --smtp) `25` is not HOST:PORT; write for example `127.0.0.1:8080`, `[::]:25`, or `off`",
        ),
        (
            "domain = [\"a\"]",
            vec![],
            vec![],
            "domain (podmail.toml line 1) is an array; write a single value",
        ),
        (
            "[log]\nformat = \"xml\"",
            vec![],
            vec![],
            "log.format (podmail.toml line 2) `xml` is not one of `text`, `json`",
        ),
        (
            "[tls]\nkey = \"k.pem\"",
            vec![],
            vec![],
            "tls.certificate (not set) is missing although tls.key is set; set both or neither",
        ),
        ("= 1", vec![], vec![], "podmail.toml line 1 is not TOML"),
        ("http = \"off\"\nhttp = \"off\"", vec![], vec![], "podmail.toml line 2 is not TOML"),
    ] {
        let error = load(Mode::Serve, file, &env, &flags).unwrap_err();
        assert!(error.starts_with(want), "{file:?} {env:?} {flags:?}: {error}");
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let error =
        load(Mode::Serve, "http = \"x\"\nunknown_key = 1", &[("PODMAIL_IMAP", "y")], &[]).unwrap_err();
    assert_eq!(error.lines().count(), 3, "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let error =
        Config::load(Mode::Serve, &Flags::new(), std::iter::empty(), Some(Path::new("/no/such.toml")));
    let text = error.unwrap_err().to_string();
    assert_eq!(text, "cannot read the configuration file /no/such.toml; check the path given to --config");
}

#[test]
fn an_unknown_variable_is_a_warning() {
    let env = [("PODMAIL_DATADIR", "x"), ("PODMAIL_SOMETHING_ELSE_ENTIRELY", "x"), ("PATH", "/bin")];
    let config = load(Mode::Serve, "", &env, &[]).unwrap();
    assert_eq!(
        config.warnings,
        [
            "variable PODMAIL_DATADIR is no setting; did you mean PODMAIL_DATA_DIR?",
            "variable PODMAIL_SOMETHING_ELSE_ENTIRELY is no setting"
        ]
    );
}

#[test]
fn a_secret_reads_from_a_file_and_a_later_layer_wins_over_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "from-file\n").unwrap();
    let path = path.to_str().unwrap();
    let key = |config: Result<Config, String>| config.unwrap().bootstrap_key.unwrap().expose().to_owned();

    let file = format!("bootstrap_key_file = \"{path}\"");
    assert_eq!(key(load(Mode::Serve, &file, &[], &[])), "from-file");
    assert_eq!(key(load(Mode::Serve, "", &[("PODMAIL_BOOTSTRAP_KEY_FILE", path)], &[])), "from-file");
    assert_eq!(key(load(Mode::Serve, "", &[], &[("bootstrap_key_file", path)])), "from-file");
    assert_eq!(key(load(Mode::Serve, &file, &[("PODMAIL_BOOTSTRAP_KEY", "direct")], &[])), "direct");

    let both = [("PODMAIL_BOOTSTRAP_KEY", "direct"), ("PODMAIL_BOOTSTRAP_KEY_FILE", path)];
    let error = load(Mode::Serve, "", &both, &[]).unwrap_err();
    assert!(error.contains("is also given by variable PODMAIL_BOOTSTRAP_KEY; keep one"), "{error}");
    let error = load(Mode::Serve, "bootstrap_key_file = \"/no/such\"", &[], &[]).unwrap_err();
    assert!(error.contains("cannot be read from the file /no/such"), "{error}");
    let error = load(Mode::Serve, "domain_file = \"/x\"", &[], &[]).unwrap_err();
    assert!(error.contains("domain_file (podmail.toml line 1) is no setting"), "{error}");
}

#[test]
fn no_output_contains_a_secret() {
    let file = "bootstrap_key = \"hush-1\"\ndatabase_url = \"postgres://user:hush-2@db/x?password=hush-3\"\n\
                outbound = \"smtp://user:hush-4@relay.example\"\nbus_url = \"nats://user:hush-5@bus\"";
    let env = [("AWS_SECRET_ACCESS_KEY", "hush-6")];
    let config = load(Mode::Serve, file, &env, &[]).unwrap();
    let toml = config.effective_toml();
    assert!(!toml.contains("hush"), "{toml}");
    assert!(!format!("{config:?}").contains("hush"));
    assert_eq!(config.aws["AWS_SECRET_ACCESS_KEY"].expose(), "hush-6");
    let error = load(Mode::Serve, "outbound = \"ftp://user:hush@relay\"", &[], &[]).unwrap_err();
    assert!(!error.contains("hush"), "{error}");
}

#[test]
fn relays_are_understood() {
    let relay = |text: &str| match text.parse::<Outbound>() {
        Ok(Outbound::Relay(relay)) => relay,
        other => panic!("{text}: {other:?}"),
    };
    let login = |user: &str, password: &str| Some((user.to_owned(), Secret::new(password)));
    for (text, host, port, implicit_tls, credentials) in [
        ("smtp://relay.example", "relay.example", 25, false, None),
        ("smtp://relay.example:2525", "relay.example", 2525, false, None),
        ("smtp://u:p%40ss@relay.example", "relay.example", 587, false, login("u", "p@ss")),
        ("smtps://me%40x.example:p@relay.example", "relay.example", 465, true, login("me@x.example", "p")),
        ("smtp://[::1]:2525", "::1", 2525, false, None),
    ] {
        let want = Relay { host: host.to_owned(), port, implicit_tls, credentials };
        assert_eq!(relay(text), want, "{text}");
    }
    for text in ["", "smtp", "smtp://", "smtp://u@h", "smtp://:p@h", "smtp://h/path", "http://h", "MX"] {
        assert!(text.parse::<Outbound>().is_err(), "{text}");
    }
}

#[test]
fn stores_and_databases_are_understood() {
    for (text, want) in [
        ("sqlite:/x/y.db", Database::Sqlite("/x/y.db".into())),
        ("sqlite:///x/y.db", Database::Sqlite("/x/y.db".into())),
        ("sqlite:y.db", Database::Sqlite("y.db".into())),
        ("postgres://u@h/d", Database::Postgres(Secret::new("postgres://u@h/d"))),
        ("postgres:///d?host=/run/x", Database::Postgres(Secret::new("postgres:///d?host=/run/x"))),
    ] {
        assert_eq!(text.parse::<Database>(), Ok(want), "{text}");
    }
    let bucket = Blobs::S3 { bucket: "b".to_owned(), prefix: "p/q".to_owned() };
    assert_eq!("s3://b/p/q/".parse(), Ok(bucket));
    assert_eq!("file:///var/x".parse(), Ok(Blobs::Folder("/var/x".into())));
    assert!("mysql://h".parse::<Database>().is_err());
    assert!("s3://".parse::<Blobs>().is_err());
}

#[test]
fn every_stated_default_is_the_default() {
    for setting in SETTINGS {
        let literal = setting.default.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
        let Some(literal) = literal.filter(|literal| !literal.contains(['<', '`'])) else { continue };
        let mut config = Config::defaults(Mode::Serve);
        let shown = (setting.show)(&config);
        (setting.apply)(&mut config, &Value::Text(literal.to_owned())).unwrap();
        assert_eq!((setting.show)(&config), shown, "{}", setting.name);
    }
}

#[test]
fn the_example_file_loads_with_every_line_in_effect() {
    let uncommented: String = example_file()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let config = load(Mode::Serve, &uncommented, &[], &[]).unwrap();
    assert_eq!(config.hostname, "mx.mail.example.com");
    assert_eq!(uncommented.matches(" = ").count(), SETTINGS.len());
}

#[test]
fn the_configuration_in_effect_loads_as_itself() {
    for mode in [Mode::Dev, Mode::Serve] {
        let config =
            load(mode, "domain = \"mail.example\"\n[proxies]\nhttp = [\"10.0.0.0/8\"]", &[], &[]).unwrap();
        let printed = config.effective_toml();
        let again = load(mode, &printed, &[], &[]).unwrap();
        assert_eq!(again.effective_toml(), printed);
        assert_eq!(again.proxies, config.proxies);
    }
}

#[test]
fn the_documents_are_up_to_date() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    for (name, want) in [("configuration.md", reference_page()), ("podmail.example.toml", example_file())] {
        let found = std::fs::read_to_string(docs.join(name)).unwrap_or_default();
        assert!(
            found == want,
            "docs/{name} lags behind the settings; run `cargo run -p podmail-server --example generate_docs`"
        );
    }
}

#[test]
fn the_names_that_operators_rely_on_exist() {
    for (name, flag, variable) in [
        ("data_dir", Some("--data-dir"), "PODMAIL_DATA_DIR"),
        ("allow_private_egress", Some("--allow-private-egress"), "PODMAIL_ALLOW_PRIVATE_EGRESS"),
        ("webhooks.retry_delays", None, "PODMAIL_WEBHOOKS_RETRY_DELAYS"),
        ("limits.requests_per_second", None, "PODMAIL_LIMITS_REQUESTS_PER_SECOND"),
    ] {
        let setting = find(name).unwrap();
        assert_eq!(setting.flag().as_deref(), flag, "{name}");
        assert_eq!(setting.variable(), variable, "{name}");
    }
}
