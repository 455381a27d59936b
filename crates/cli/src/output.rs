//! What people and programs see: aligned text, or JSON with the API's field names.

#![expect(clippy::print_stderr, reason = "this is the module that prints")]

use std::io::Write;

use anyhow::Context;
use podmail_server::admin::AdminOutput;
use podmail_server::admin::command::{OrganizationView, RecordView, Severity};

/// How to print a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs: one object, or an array for lists.
    Json,
}

/// Prints an error with its causes.
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("podmail: {}", error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": "));
}

/// Prints what the operator should know although the command goes on.
pub(crate) fn warnings(warnings: &[String]) {
    for warning in warnings {
        eprintln!("podmail: warning: {warning}");
    }
}

/// Prints text that ends its own lines.
pub(crate) fn text(text: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).context("cannot write to standard output")
}

/// Prints what a command gave back.
pub(crate) fn result(result: &AdminOutput, format: Format) -> anyhow::Result<()> {
    let printed = match format {
        Format::Json => format!("{}\n", json(result)?),
        Format::Text => people(result),
    };
    text(&printed)
}

/// Whether a command that worked still has bad news.
pub(crate) fn has_findings(result: &AdminOutput) -> bool {
    matches!(result, AdminOutput::Doctor(report) if !report.findings.is_empty())
}

fn json(result: &AdminOutput) -> serde_json::Result<String> {
    match result {
        AdminOutput::OrganizationCreated(value) => serde_json::to_string(value),
        AdminOutput::Organization(value) => serde_json::to_string(value),
        AdminOutput::Organizations(value) => serde_json::to_string(value),
        AdminOutput::KeyCreated(value) => serde_json::to_string(value),
        AdminOutput::Domain(value) => serde_json::to_string(value),
        AdminOutput::DomainUnsubscribe(value) => serde_json::to_string(value),
        AdminOutput::ListEntriesRemoved(value) => serde_json::to_string(value),
        AdminOutput::Doctor(value) => serde_json::to_string(value),
        AdminOutput::Migrated(value) => serde_json::to_string(value),
    }
}

fn people(result: &AdminOutput) -> String {
    match result {
        AdminOutput::OrganizationCreated(made) => pairs(&[
            ("organization", &made.organization_id),
            ("API key", &made.api_key.0),
            ("", "Keep the key: it is not shown again."),
        ]),
        AdminOutput::Organization(organization) => {
            let [id, name, inboxes, domains, send] = organization_cells(organization);
            pairs(&[
                ("organization", &id),
                ("name", &name),
                ("inboxes", &inboxes),
                ("domains", &domains),
                ("recipients a day", &send),
                ("labs", if organization.labs { "on" } else { "off" }),
                ("created", &organization.created_at),
                ("updated", &organization.updated_at),
            ])
        }
        AdminOutput::Organizations(list) => {
            let header = ["ORGANIZATION", "NAME", "INBOXES", "DOMAINS", "A DAY"].map(str::to_owned);
            table(std::iter::once(header).chain(list.iter().map(organization_cells)))
        }
        AdminOutput::KeyCreated(key) => pairs(&[
            ("key id", &key.api_key_id),
            ("API key", &key.api_key.0),
            ("organization", &key.organization_id),
            ("pod", key.pod_id.as_deref().unwrap_or("all")),
            ("inbox", key.inbox_id.as_deref().unwrap_or("all")),
            ("name", key.name.as_deref().unwrap_or("none")),
            ("", "Keep the key: it is not shown again."),
        ]),
        AdminOutput::ListEntriesRemoved(removed) => {
            let header = ["REMOVED", "LIST OF", "REASON"].map(str::to_owned);
            table(std::iter::once(header).chain(removed.iter().map(|entry| {
                let owner =
                    entry.inbox_id.as_ref().or(entry.pod_id.as_ref()).unwrap_or(&entry.organization_id);
                [entry.entry.clone(), owner.clone(), entry.reason.clone().unwrap_or_default()]
            })))
        }
        AdminOutput::Domain(domain) => {
            format!(
                "{}{}",
                pairs(&[("domain", &domain.domain), ("status", &domain.status)]),
                records(&domain.records)
            )
        }
        AdminOutput::DomainUnsubscribe(domain) => pairs(&[
            ("domain", &domain.domain),
            ("unsubscribe", if domain.unsubscribe { "on" } else { "off" }),
        ]),
        AdminOutput::Doctor(report) => {
            let mut text = String::new();
            for finding in &report.findings {
                let severity = match finding.severity {
                    Severity::Error => "error",
                    Severity::Warning => "warning",
                };
                text +=
                    &format!("{severity} {}: {}\n  cure: {}\n", finding.check, finding.message, finding.cure);
            }
            if report.findings.is_empty() {
                text += "No findings.\n";
            }
            text + &records(&report.records)
        }
        AdminOutput::Migrated(done) => {
            format!("{} migrations applied; the schema is at version {}.\n", done.applied, done.version)
        }
    }
}

/// Count and limit in one cell: `3 of 10`, `3`.
fn organization_cells(organization: &OrganizationView) -> [String; 5] {
    let of = |count: u64, limit: Option<u64>| match limit {
        Some(limit) => format!("{count} of {limit}"),
        None => count.to_string(),
    };
    [
        organization.organization_id.clone(),
        printable(&organization.name),
        of(organization.inbox_count, organization.inbox_limit),
        of(organization.domain_count, organization.domain_limit),
        organization.send_per_day.map_or_else(|| "no limit".to_owned(), |limit| limit.to_string()),
    ]
}

fn records(records: &[RecordView]) -> String {
    let header = ["TYPE", "NAME", "VALUE", "STATUS", "FOUND"].map(str::to_owned);
    let rows = records.iter().map(|record| {
        let found = record.found.iter().map(|found| printable(found)).collect::<Vec<_>>().join(" | ");
        [record.kind.clone(), record.name.clone(), record.value.clone(), record.status.clone(), found]
    });
    if records.is_empty() {
        String::new()
    } else {
        format!("\n{}", table(std::iter::once(header).chain(rows)))
    }
}

/// Lines of a name and a value, values aligned.
fn pairs(pairs: &[(&str, &str)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    pairs.iter().map(|(name, value)| format!("{name:width$}  {}\n", printable(value))).collect()
}

/// Rows with aligned columns and no white space at the ends of lines.
fn table<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = rows.collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let line: String = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  ")).collect();
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Names and DNS answers are strangers' text: control characters must not reach a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}
