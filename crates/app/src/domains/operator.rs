//! What whoever runs the installation does with domains: look, check now, or vouch.

use podmail_api_types::domains::VerificationRecord;
use podmail_domain::DomainName;
use podmail_store::{Domain, DomainFlags, NextCheck};
use serde::Serialize;

use super::check::{Found, judge, look};
use super::records::{self, Purpose, Record, Wanted};
use super::{ATTEMPTS, decide, not_found};
use crate::App;
use crate::error::{Error, Result};

/// A record that is wanted, and what the DNS has at its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordReport {
    /// What is wanted, and what was found to be of it.
    #[serde(flatten)]
    pub record: VerificationRecord,
    /// Values of that type at that name; absent when no answer was obtained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Vec<String>>,
}

/// A domain as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DomainReport {
    /// The name.
    pub domain: DomainName,
    /// Stored status; absent for the installation's shared domain, which is never verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<&'static str>,
    /// Its reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether the status rests on the operator's word.
    pub forced: bool,
    /// Wanted and found.
    pub records: Vec<RecordReport>,
}

fn report(records: &[Record], found: Vec<Found>) -> Vec<RecordReport> {
    let mut reports: Vec<RecordReport> = Vec::with_capacity(records.len());
    for (record, found) in records.iter().zip(found) {
        let state = judge(record, &found).unwrap_or(record.state);
        let values = found.values.map(|mut values| {
            values.extend(found.inherited);
            values
        });
        reports.push(RecordReport { record: Record { state, ..record.clone() }.to_api(), found: values });
    }
    reports
}

impl App {
    async fn named_domain(&self, name: &str) -> Result<Domain> {
        let name = DomainName::parse(name).ok_or_else(not_found)?;
        self.store().domain_by_name(&name).await?.ok_or_else(not_found)
    }

    fn domain_report_of(&self, domain: &Domain, found: Option<Vec<Found>>) -> DomainReport {
        let records = records::current(domain, self.settings());
        let records = match found {
            Some(found) => report(&records, found),
            None => {
                records.iter().map(|record| RecordReport { record: record.to_api(), found: None }).collect()
            }
        };
        DomainReport {
            domain: domain.domain.clone(),
            status: Some(domain.status.as_str()),
            reason: domain.reason.clone(),
            forced: domain.forced,
            records,
        }
    }

    /// Checks a domain now and stores the result; with `force` makes it verified without asking the DNS.
    ///
    /// # Errors
    /// [`Error::NotFound`] when no organization has it.
    pub async fn operator_verify_domain(&self, name: &str, force: bool) -> Result<DomainReport> {
        for _ in 0..ATTEMPTS {
            let domain = self.named_domain(name).await?;
            if !force {
                match self.check_domain(&domain, NextCheck::Set).await? {
                    Some(found) => {
                        return Ok(self.domain_report_of(&self.named_domain(name).await?, Some(found)));
                    }
                    None => continue,
                }
            }
            let next = decide::after_force(&domain, self.settings(), self.now());
            if self.write_domain(&domain, &next, NextCheck::Set).await? {
                return Ok(self.domain_report_of(&next, None));
            }
        }
        Err(Error::RaceCondition)
    }

    /// Wanted and found records of a customer's domain or of the shared one; changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] when no organization has it.
    pub async fn domain_report(&self, name: &str) -> Result<DomainReport> {
        let settings = self.settings();
        let shared = DomainName::parse(name).filter(|name| name.as_str() == settings.domain);
        let Some(shared) = shared else {
            let domain = self.named_domain(name).await?;
            let found = look(self.resolver(), &domain.domain, &records::current(&domain, settings)).await;
            return Ok(self.domain_report_of(&domain, Some(found)));
        };
        let key = self.shared_signer_key().await?;
        let wanted = Wanted {
            domain: shared.as_str(),
            flags: DomainFlags { feedback: true, inbound: true, subdomains: true, tracking: false },
            selector: &key.selector,
            public_key: &key.public_base64,
        };
        // Its return path is the domain itself: the MX record of its inboxes takes the bounces too.
        let mut records = records::wanted(wanted, settings);
        records.retain(|record| record.purpose != Purpose::ReturnPath);
        for record in records.iter_mut().filter(|record| record.purpose == Purpose::Spf) {
            record.name = self.report_host(None);
        }
        let found = look(self.resolver(), &shared, &records).await;
        Ok(DomainReport {
            domain: shared,
            status: None,
            reason: None,
            forced: false,
            records: report(&records, found),
        })
    }
}
