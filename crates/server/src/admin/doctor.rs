//! `podmail doctor`: looks at what an installation needs and names the cure of everything that is not as it should be.

use std::path::Path;

use podmail_app::App;

use super::command::{AdminError, Finding, Report, Severity};
use super::handler::{failed, records};
use crate::config::{Blobs, Config, Listener, Mode, Outbound, PodSubdomains};

/// Examines the installation, or one domain of it.
pub(super) async fn examine(
    app: &App,
    config: &Config,
    domain: Option<String>,
) -> Result<Report, AdminError> {
    let mut report = Report::default();
    if let Some(domain) = domain {
        examine_domain(app, &domain, &mut report).await?;
        return Ok(report);
    }
    folder(&config.data_dir, &mut report);
    if let Err(error) = app.ready().await {
        report.findings.push(Finding {
            severity: Severity::Error,
            check: "database".to_owned(),
            message: failed(error).message,
            cure: "Start the database, or correct `database_url`".to_owned(),
        });
    }
    blobs(app, config, &mut report).await;
    ports(config, &mut report);
    certificate(config, &mut report);
    if config.outbound == Outbound::Capture && config.mode == Mode::Serve {
        report.findings.push(Finding {
            severity: Severity::Warning,
            check: "outbound".to_owned(),
            message: "Outbound mail is captured and never sent".to_owned(),
            cure: "Set `outbound` to `mx` or to a relay".to_owned(),
        });
    }
    // Names below .localhost never reach the DNS: a laptop's installation has no records to look for.
    let local = config.domain == "localhost" || config.domain.ends_with(".localhost");
    if !local {
        examine_domain(app, &config.domain, &mut report).await?;
        if config.pod_subdomains == PodSubdomains::Off {
            report.records.retain(|record| !record.name.starts_with("*."));
        }
    }
    Ok(report)
}

async fn examine_domain(app: &App, domain: &str, report: &mut Report) -> Result<(), AdminError> {
    let found = app.domain_report(domain).await.map_err(failed)?;
    report.records = records(found);
    for record in &report.records {
        if record.status != "VALID" {
            let found = if record.found.is_empty() { "nothing".to_owned() } else { record.found.join(", ") };
            report.findings.push(Finding {
                severity: Severity::Error,
                check: format!("dns {} {}", record.kind, record.name),
                message: format!("{}: found {found}", record.status),
                cure: format!("Publish {} {} {}", record.name, record.kind, record.value),
            });
        }
    }
    Ok(())
}

fn folder(folder: &Path, report: &mut Report) {
    let probe = folder.join(".doctor");
    let tried = std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe));
    if let Err(error) = tried {
        report.findings.push(Finding {
            severity: Severity::Error,
            check: "folder".to_owned(),
            message: format!("{} cannot be written to: {error}", folder.display()),
            cure: "Give the server's user write access, or choose another `data_dir`".to_owned(),
        });
    }
}

/// Whether large messages can be stored, read and removed.
async fn blobs(app: &App, config: &Config, report: &mut Report) {
    let Err(error) = app.probe_blobs().await else { return };
    let cure = match &config.blobs {
        Blobs::Folder(path) => format!("Give the server's user write access to {}", path.display()),
        Blobs::S3 { bucket, .. } => format!(
            "Create the bucket `{bucket}`, allow putting, getting and deleting objects in it, and check the AWS_… \
             variables (endpoint, region, credentials), or correct `blob_url`"
        ),
    };
    report.findings.push(Finding {
        severity: Severity::Error,
        check: "blobs".to_owned(),
        message: format!("Large messages cannot be stored: {}", failed(error).message),
        cure,
    });
}

/// Ports that somebody else holds. A running server of this installation holds its own.
fn ports(config: &Config, report: &mut Report) {
    let own = std::fs::read_to_string(config.data_dir.join("listening.json")).unwrap_or_default();
    for (name, listener) in [("http", &config.http), ("smtp", &config.smtp)] {
        let Listener::On(address) = listener else { continue };
        if own.contains(address.as_str()) {
            continue;
        }
        if let Err(error) = std::net::TcpListener::bind(address.as_str()) {
            report.findings.push(Finding {
                severity: Severity::Error,
                check: format!("port {name}"),
                message: format!("{address}: {error}"),
                cure: format!("Stop what listens there, or choose another address with `--{name}`"),
            });
        }
    }
}

fn certificate(config: &Config, report: &mut Report) {
    if config.tls.is_none() && config.mode == Mode::Serve {
        report.findings.push(Finding {
            severity: Severity::Warning,
            check: "certificate".to_owned(),
            message: "No certificate: STARTTLS is not offered and no TLS listener opens".to_owned(),
            cure: "Set `tls.certificate` and `tls.key` to PEM files".to_owned(),
        });
    }
}
