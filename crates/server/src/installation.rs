//! Opens what an installation consists of (database, object store, guard for outgoing connections) and puts the
//! product together. The server and the operator's commands both start here.

use std::sync::Arc;

use anyhow::Context as _;
use podmail_app::domains::DomainConnect;
use podmail_app::{App, InboundAuthentication, Parts, PodSubdomains, Settings};
use podmail_blob::Blobs;
use podmail_bus::{Bus, Nats, Postgres, Timing, Wire};
use podmail_dns::{Resolver, SystemResolver};
use podmail_domain::IdSource;
use podmail_domain::source::{hex, random};
use podmail_egress::{Egress, Policy};
use podmail_jobs::Tasks;
use podmail_store::{Location, Store};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::config::{self, Config, Database};
use crate::system::{SystemClock, SystemIds};

/// Opens the installation; its writer runs on `tasks`. `public_url` is what download links start with.
///
/// # Errors
///
/// What could not be opened, and what to do about it.
pub(crate) async fn open(config: &Config, public_url: &str, tasks: &Tasks) -> anyhow::Result<App> {
    let bus = Bus::default();
    let ids: Arc<dyn IdSource> = Arc::new(SystemIds::new());
    let location = match &config.database {
        Database::Sqlite(path) => Location::Sqlite(path.clone()),
        Database::Postgres(url) => Location::Postgres(url.expose().to_owned()),
    };
    let (store, writer) = Store::open(&location, ids.clone(), podmail_app::on_commit(bus.clone()))
        .await
        .with_context(|| format!("cannot open the database ({location:?}); check `database_url`"))?;
    tasks.spawn_essential("store writer", writer);
    if let Some(wire) = wire(config)? {
        // Beside the writer: what the last changes bring is told to the other nodes before this one is gone.
        let (bus, token, node) = (bus.clone(), tasks.token(), hex(&random::<8>(&*ids)));
        tasks.spawn("bus", async move { bus.link(wire, &node, Timing::default(), token).await });
    }
    let blobs = blobs(config)?;
    let resolver: Arc<dyn Resolver> = Arc::new(
        SystemResolver::new(config.dns.first().copied())
            .context("cannot use the name servers; check `dns`")?,
    );
    let policy = Policy { allow_private: config.allow_private_egress };
    let egress = Egress::new(resolver.clone(), policy).context("cannot set up outgoing connections")?;
    let mut settings = settings(config, public_url);
    settings.domain_connect = domain_connect(config)?.map(Arc::new);
    let clock = Arc::new(SystemClock);
    Ok(App::new(Parts { store, blobs, bus, resolver, egress, clock, ids, settings }))
}

/// What carries news between nodes; a node with an embedded database is alone.
fn wire(config: &Config) -> anyhow::Result<Option<Arc<dyn Wire>>> {
    if let Some(url) = &config.bus_url {
        let known =
            |server: &str| ["nats://", "tls://"].iter().any(|scheme| server.trim().starts_with(scheme));
        anyhow::ensure!(
            url.expose().split(',').all(known),
            "`bus_url` is no `nats://…`; correct it or leave it out"
        );
        return Ok(Some(Arc::new(Nats::new(url.expose()))));
    }
    Ok(match &config.database {
        Database::Sqlite(_) => None,
        Database::Postgres(url) => {
            let wire =
                Postgres::new(url.expose()).context("cannot use `database_url` for news between nodes")?;
            Some(Arc::new(wire))
        }
    })
}

fn blobs(config: &Config) -> anyhow::Result<Blobs> {
    let variables = config.aws.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
    let opened = match &config.blobs {
        config::Blobs::Folder(path) => Blobs::open(None, path, std::iter::empty()),
        config::Blobs::S3 { bucket, prefix } => {
            Blobs::open(Some(&format!("s3://{bucket}/{prefix}")), &config.data_dir, variables)
        }
    };
    opened.context("cannot open the store of large messages; check `blob_url`")
}

/// The operator's template at DNS providers, with its key.
fn domain_connect(config: &Config) -> anyhow::Result<Option<DomainConnect>> {
    let template = &config.domain_connect;
    let (Some(provider), Some(service), Some(path), Some(domain)) =
        (&template.provider_id, &template.service_id, &template.private_key, &template.key_domain)
    else {
        return Ok(None);
    };
    let key = PrivateKeyDer::from_pem_file(path)
        .with_context(|| format!("cannot read {}; check `domain_connect.private_key`", path.display()))?;
    let redirect = template.redirect_url.as_ref().map(ToString::to_string);
    DomainConnect::new(provider, service, domain, key.secret_der(), redirect)
        .map(Some)
        .map_err(|error| anyhow::anyhow!("{error}; check the settings of `domain_connect`"))
}

/// The product's settings out of the operator's.
fn settings(config: &Config, public_url: &str) -> Settings {
    Settings {
        domain: config.domain.clone(),
        hostname: config.hostname.clone(),
        public_url: public_url.to_owned(),
        docs_url: config.docs_url(public_url),
        pod_subdomains: match config.pod_subdomains {
            config::PodSubdomains::Conflict => PodSubdomains::Conflict,
            config::PodSubdomains::Always => PodSubdomains::Always,
            config::PodSubdomains::Off => PodSubdomains::Off,
        },
        labs_available: config.labs.available,
        labs_everyone: config.labs.everyone,
        spf_name: config.records.spf_name.clone(),
        feedback_host: config.records.feedback_host.clone(),
        tracking_host: config.records.tracking_host.clone(),
        dmarc_mailbox: config.records.dmarc_mailbox.clone(),
        domain_check_interval: config.domains.check_interval,
        domain_recheck_interval: config.domains.recheck_interval,
        domain_connect: None,
        webhook_limit: config.webhooks.limit,
        webhook_retry_delays: config.webhooks.retry_delays.clone(),
        webhook_disable_after: config.webhooks.disable_after,
        delivery_retry_delays: config.delivery.retry_delays.clone(),
        delivery_expire_after: config.delivery.expire_after,
        retention_deliveries: config.retention.deliveries,
        retention_events: config.retention.events,
        suppress_in_organization: config.suppression_scope == config::SuppressionScope::Organization,
        work_lease: config.work.lease,
        work_poll_interval: config.work.poll_interval,
        max_request_bytes: config.limits.max_request_bytes,
        max_message_bytes: config.inbound.max_message_bytes,
        inbound_authentication: match config.inbound.authentication {
            config::InboundAuthentication::Standard => InboundAuthentication::Standard,
            config::InboundAuthentication::Strict => InboundAuthentication::Strict,
            config::InboundAuthentication::Label => InboundAuthentication::Label,
            config::InboundAuthentication::Off => InboundAuthentication::Off,
        },
        trusted_arc_sealers: config.inbound.trusted_arc_sealers.clone(),
        allow_private_egress: config.allow_private_egress,
        requests_per_second: config.limits.requests_per_second,
    }
}
