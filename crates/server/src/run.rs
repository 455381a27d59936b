//! The life of a server process: prepare, serve until told to stop, drain.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use podmail_app::App;
use podmail_bus::Topic;
use podmail_jobs::{Stopped, Tasks};
use podmail_smtp_in as smtp_in;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::admin::{handler, socket};
use crate::config::{Config, Database, Listener, Mode, Outbound};
use crate::listening::Listening;
use crate::lock::DataLock;
use crate::metrics::Metrics;
use crate::{banner, installation, logging, tls};

/// How long tasks have to end after `SIGTERM` before they are aborted.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// How long the writer has to end once nobody can write any more.
const CLOSE_MAX: Duration = Duration::from_secs(10);
/// How often times of use of keys are written.
const FLUSH: Duration = Duration::from_secs(20);
/// Pause between two looks at scheduled drafts at least: clocks tick in steps.
const DRAFT_PAUSE_MIN: Duration = Duration::from_millis(20);
/// How often claims from before the clock was set back, and drafts sent long ago, are looked for.
const DRAFT_TIDY: Duration = Duration::from_secs(30);
/// File in the data folder that holds a generated first key.
const BOOTSTRAP_KEY: &str = "bootstrap-key";

/// Serves until `SIGTERM` or `SIGINT`, then drains.
///
/// # Errors
///
/// Whatever keeps the server from starting, with what to do about it; or an essential task that panicked.
pub async fn run(config: Config) -> anyhow::Result<()> {
    logging::init(&config.log)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let config = Arc::new(config);
    let mut lock = DataLock::acquire(&config.data_dir)?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    // The writer outlives everything that writes, so it runs apart.
    let (tasks, writers) = (Tasks::new(), Tasks::new());
    let tls = tls::start(&config, &tasks)?;

    let mut listening = Listening::default();
    let http = bind("http", &config.http, &mut listening).await?;
    let smtp = bind("smtp", &config.smtp, &mut listening).await?;
    let public_url = config.public_url(listening.get("http"), None);
    let app = installation::open(&config, &public_url, &writers).await?;
    let first_key = bootstrap(&app, &config).await?;
    let metrics = Arc::new(Metrics::default());
    work(&app, &config, &tasks, &metrics)?;
    if let Some(listener) = smtp {
        let smtp_config = smtp_config(&config);
        let (sink, counters, token) = (Arc::new(app.clone()), metrics.smtp.clone(), tasks.token());
        tasks
            .spawn_essential("smtp", smtp_in::Server::run(listener, sink, smtp_config, tls, counters, token));
    }
    if let Some(listener) = http {
        let (source, own) = (metrics.clone(), app.clone());
        let api = podmail_api::Api::new(
            app.clone(),
            Arc::new(move || source.render(own.authentication_counters(), own.objects_removed())),
        );
        tasks.spawn_essential("http", podmail_api::serve(listener, api, tasks.token()));
    }
    if matches!(config.database, Database::Sqlite(_)) {
        let (app, config) = (app.clone(), config.clone());
        socket::serve(&config.data_dir.clone(), &tasks, move |command| {
            let (app, config) = (app.clone(), config.clone());
            async move { handler::handle(&app, &config, command).await }
        })
        .context("cannot open the socket for the operator's commands")?;
    }

    lock.record(&listening)?;
    listening.write_file(&config.data_dir)?;
    banner::show(&config, &public_url, first_key.as_deref())?;
    listening.announce(&mut std::io::stdout())?;

    let (token, writer_token) = (tasks.token(), writers.token());
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
        _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
        () = token.cancelled() => {}
        () = writer_token.cancelled() => {}
    }
    let stopped = tasks.shutdown(DRAIN_MAX).await;
    let finished = app.finish_detached(CLOSE_MAX).await;
    if let Err(error) = app.flush_used_keys().await {
        tracing::warn!(error = %error, "times of use of keys could not be written");
    }
    drop(app);
    let closed = writers.shutdown(CLOSE_MAX).await;
    match [tasks.panicked(), writers.panicked()].concat().as_slice() {
        [] => {}
        names => anyhow::bail!("stopped because of a panic in {}", names.join(", ")),
    }
    if [stopped, finished, closed].iter().all(|part| *part == Stopped::Clean) {
        tracing::info!("stopped");
    }
    Ok(())
}

async fn bind(
    name: &'static str,
    listener: &Listener,
    listening: &mut Listening,
) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = listener.address() else { return Ok(None) };
    let bound = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; choose another address with `--{name}`"))?;
    listening.add(name, bound.local_addr()?);
    Ok(Some(bound))
}

/// Makes the first organization of a fresh installation; the key of it when it was made here.
async fn bootstrap(app: &App, config: &Config) -> anyhow::Result<Option<String>> {
    let explicit = config.bootstrap_key.as_ref().map(|key| key.expose().to_owned());
    let given = explicit.is_some();
    let made = app.bootstrap(explicit).await.context("cannot make the first organization")?;
    if let Some(key) = &made
        && !given
    {
        write_secret(&config.data_dir.join(BOOTSTRAP_KEY), key)
            .context("cannot write the first key into the data folder")?;
    }
    Ok(made.filter(|_| !given))
}

fn write_secret(path: &Path, secret: &str) -> std::io::Result<()> {
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    writeln!(file, "{secret}")?;
    file.sync_all()
}

fn smtp_config(config: &Config) -> smtp_in::Config {
    smtp_in::Config {
        hostname: config.hostname.clone(),
        max_message_bytes: config.inbound.max_message_bytes,
        max_recipients: config.inbound.max_recipients,
        max_connections: config.inbound.max_connections,
        max_connections_per_ip: config.inbound.max_connections_per_client,
        ..smtp_in::Config::default()
    }
}

/// Starts everything that works without being asked.
fn work(app: &App, config: &Config, tasks: &Tasks, metrics: &Metrics) -> anyhow::Result<()> {
    podmail_webhooks::run(app.clone(), tasks);
    let mut delivery = podmail_delivery::Config::new(route(&config.outbound), &config.hostname);
    delivery.mx_port = config.delivery.mx_port;
    let counters =
        podmail_delivery::run(app.clone(), delivery, tasks).context("cannot start outbound delivery")?;
    metrics.delivery.get_or_init(|| counters);
    if config.extract_text {
        crate::texts::run(app, tasks);
    }
    let (purges, token) = (app.clone(), tasks.token());
    tasks.spawn("purges", async move { purges.run_purges(token).await });
    let (cleaner, token) = (app.clone(), tasks.token());
    tasks.spawn("cleaner", async move { cleaner.run_cleaner(token).await });
    let (domains, token) = (app.clone(), tasks.token());
    tasks.spawn("domain checks", async move {
        while !token.is_cancelled() {
            match domains.check_domains_once().await {
                Ok(0) => {}
                Ok(_) => continue,
                Err(error) => tracing::error!(error = %error, "domains could not be checked"),
            }
            let pause = domains.settings().work_poll_interval;
            tokio::select! {
                () = token.cancelled() => {}
                () = domains.bus().wait(Topic::Domains, pause) => {}
            }
        }
    });
    let (drafts, token) = (app.clone(), tasks.token());
    tasks.spawn("scheduled drafts", async move {
        let mut tidied: Option<tokio::time::Instant> = None;
        while !token.is_cancelled() {
            if tidied.is_none_or(|at| at.elapsed() >= DRAFT_TIDY) {
                tidied = Some(tokio::time::Instant::now());
                if let Err(error) = drafts.tidy_drafts().await {
                    tracing::warn!(error = %error, "drafts could not be tidied");
                }
            }
            match drafts.send_due_drafts().await {
                Ok(0) => {}
                Ok(_) => continue,
                Err(error) => tracing::error!(error = %error, "scheduled drafts could not be sent"),
            }
            let longest = drafts.settings().work_poll_interval;
            // Whatever keeps the next time from being read keeps the drafts from being sent.
            let pause = drafts.until_next_draft(longest).await.unwrap_or(longest).max(DRAFT_PAUSE_MIN);
            tokio::select! {
                () = token.cancelled() => {}
                () = drafts.bus().wait(Topic::Drafts, pause) => {}
            }
        }
    });
    let (search, token) = (app.clone(), tasks.token());
    tasks.spawn("search index", async move { search.run_indexer(token).await });
    let (keys, token) = (app.clone(), tasks.token());
    tasks.spawn("used keys", async move {
        while !token.is_cancelled() {
            tokio::select! {
                () = token.cancelled() => {}
                () = tokio::time::sleep(FLUSH) => {}
            }
            if let Err(error) = keys.flush_used_keys().await {
                tracing::warn!(error = %error, "times of use of keys could not be written");
            }
        }
    });
    Ok(())
}

fn route(outbound: &Outbound) -> podmail_delivery::Route {
    use podmail_delivery::client::TlsMode;
    match outbound {
        Outbound::Capture => podmail_delivery::Route::Capture,
        Outbound::Mx => podmail_delivery::Route::Mx,
        Outbound::Relay(relay) => podmail_delivery::Route::Relay(podmail_delivery::Relay {
            host: relay.host.clone(),
            port: relay.port,
            tls: match (relay.implicit_tls, &relay.credentials) {
                (true, _) => TlsMode::Implicit,
                (false, Some(_)) => TlsMode::Required,
                (false, None) => TlsMode::WhenOffered,
            },
            credentials: relay
                .credentials
                .as_ref()
                .map(|(user, password)| (user.clone(), password.expose().to_owned())),
        }),
    }
}

/// What the first organization's key is called in the banner when it was made by an earlier start.
pub(crate) fn bootstrap_key_path(config: &Config) -> Option<std::path::PathBuf> {
    let path = config.data_dir.join(BOOTSTRAP_KEY);
    (config.mode == Mode::Dev && path.exists()).then_some(path)
}
