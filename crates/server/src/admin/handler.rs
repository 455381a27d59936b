//! The operator's commands on an open installation: called by the socket of a running server and, without one, by the
//! command's own process.

use podmail_app::domains::DomainReport;
use podmail_app::{App, Error};
use podmail_store::{Limits, Organization, OrganizationChange as StoredChange};

use super::command::{
    AdminCommand, AdminError, AdminOutput, DomainUnsubscribe, DomainView, IssuedKey, KeyCreated, LimitChange,
    ListEntryView, Migrated, OrganizationChange, OrganizationCreated, OrganizationView, RecordView,
};
use super::doctor;
use crate::config::Config;

/// Executes one command.
///
/// # Errors
///
/// In words for the operator.
pub(crate) async fn handle(
    app: &App,
    config: &Config,
    command: AdminCommand,
) -> Result<AdminOutput, AdminError> {
    match command {
        AdminCommand::OrganizationCreate { name, limits } => {
            let limits = Limits {
                inbox_limit: limits.inbox_limit.apply(None),
                domain_limit: limits.domain_limit.apply(None),
                send_per_day: limits.send_per_day.apply(None),
            };
            let (id, key) = app.operator_create_organization(&name, limits).await.map_err(failed)?;
            Ok(AdminOutput::OrganizationCreated(OrganizationCreated {
                organization_id: id.to_string(),
                api_key: IssuedKey(key),
            }))
        }
        AdminCommand::OrganizationSet { organization, change } => {
            let changed = app
                .operator_set_organization(&organization, stored_change(&change)?)
                .await
                .map_err(failed)?;
            Ok(AdminOutput::Organization(view(app, changed)))
        }
        AdminCommand::OrganizationList => {
            let all = app.operator_organizations().await.map_err(failed)?;
            Ok(AdminOutput::Organizations(all.into_iter().map(|one| view(app, one)).collect()))
        }
        AdminCommand::OrganizationShow { organization } => Ok(AdminOutput::Organization(view(
            app,
            app.operator_organization(&organization).await.map_err(failed)?,
        ))),
        AdminCommand::KeyCreate { organization, pod, inbox, name } => {
            let (organization, key) = app
                .operator_create_key(
                    organization.as_deref(),
                    pod.as_deref(),
                    inbox.as_deref(),
                    name.as_deref(),
                )
                .await
                .map_err(failed)?;
            Ok(AdminOutput::KeyCreated(KeyCreated {
                api_key_id: key.api_key_id.to_string(),
                api_key: IssuedKey(key.api_key),
                organization_id: organization.to_string(),
                pod_id: key.pod_id.map(|id| id.to_string()),
                inbox_id: key.inbox_id.map(|id| id.to_string()),
                name: Some(key.name),
            }))
        }
        AdminCommand::DomainVerify { domain, force } => Ok(AdminOutput::Domain(domain_view(
            app.operator_verify_domain(&domain, force).await.map_err(failed)?,
        ))),
        AdminCommand::DomainUnsubscribe { domain, on } => {
            let domain = app.operator_set_unsubscribe(&domain, on).await.map_err(failed)?;
            Ok(AdminOutput::DomainUnsubscribe(DomainUnsubscribe {
                domain: domain.to_string(),
                unsubscribe: on,
            }))
        }
        AdminCommand::ListRemove { address, organization, pod } => {
            let removed = app
                .operator_remove_blocks(organization.as_deref(), pod.as_deref(), &address)
                .await
                .map_err(failed)?;
            let view = |entry: podmail_store::StoredListEntry| ListEntryView {
                entry: entry.entry.to_string(),
                organization_id: entry.organization_id.to_string(),
                pod_id: entry.pod_id.map(|pod| pod.to_string()),
                inbox_id: entry.inbox_id.map(|inbox| inbox.to_string()),
                reason: entry.reason,
            };
            Ok(AdminOutput::ListEntriesRemoved(removed.into_iter().map(view).collect()))
        }
        AdminCommand::Doctor { domain } => {
            Ok(AdminOutput::Doctor(doctor::examine(app, config, domain).await?))
        }
        // Opening the installation has brought the schema up to date already.
        AdminCommand::Migrate => {
            let migrated = app.migrated();
            Ok(AdminOutput::Migrated(Migrated { applied: migrated.applied, version: migrated.version }))
        }
    }
}

fn stored_change(change: &OrganizationChange) -> Result<StoredChange, AdminError> {
    for (given, flag) in [(change.verified, "--verified"), (change.agent_armor.is_some(), "--agent-armor")] {
        if given {
            return Err(AdminError::invalid(format!(
                "{flag} belongs to a part that this version does not have"
            )));
        }
    }
    let set = |limit: LimitChange| match limit {
        LimitChange::Keep => None,
        LimitChange::Lift => Some(None),
        LimitChange::Set(limit) => Some(Some(limit)),
    };
    Ok(StoredChange {
        inbox_limit: set(change.limits.inbox_limit),
        domain_limit: set(change.limits.domain_limit),
        send_per_day: set(change.limits.send_per_day),
        suspended: None,
        labs: change.labs,
    })
}

fn view(app: &App, organization: Organization) -> OrganizationView {
    let labs = app.is_in_labs(&organization);
    OrganizationView {
        organization_id: organization.organization_id.to_string(),
        name: organization.name,
        inbox_count: organization.inbox_count,
        domain_count: organization.domain_count,
        inbox_limit: organization.limits.inbox_limit,
        domain_limit: organization.limits.domain_limit,
        send_per_day: organization.limits.send_per_day,
        labs,
        updated_at: organization.updated_at.to_string(),
        created_at: organization.created_at.to_string(),
    }
}

pub(super) fn domain_view(report: DomainReport) -> DomainView {
    DomainView {
        domain: report.domain.to_string(),
        status: report.status.unwrap_or("SHARED").to_owned(),
        records: records(report),
    }
}

pub(super) fn records(report: DomainReport) -> Vec<RecordView> {
    report
        .records
        .into_iter()
        .map(|report| RecordView {
            kind: report.record.kind.to_owned(),
            name: report.record.name,
            value: match report.record.priority {
                Some(priority) => format!("{priority} {}", report.record.value),
                None => report.record.value,
            },
            status: report.record.status.to_owned(),
            found: report.found.unwrap_or_default(),
        })
        .collect()
}

/// The product's error in words for the operator.
#[expect(clippy::wildcard_enum_match_arm, reason = "every error has words; only three need other treatment")]
pub(super) fn failed(error: Error) -> AdminError {
    match error {
        Error::NotFound(_) => AdminError::not_found(error.to_string()),
        Error::Invalid(issues) => {
            let messages: Vec<String> = issues.into_iter().map(|issue| issue.message).collect();
            AdminError::invalid(messages.join("; "))
        }
        Error::Internal(cause) => AdminError::failed(super::with_causes(&*cause)),
        other => AdminError::failed(other.to_string()),
    }
}
