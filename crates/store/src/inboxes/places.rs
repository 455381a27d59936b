//! Where an inbox may lie: the organization's registered domains, and the subdomains of pods below the shared domain.

use podmail_domain::source::{hex, random};
use podmail_domain::{DomainName, InboxId, OrganizationId, PodId};

use crate::db::{Query, args};
use crate::scope::{Scope, id};
use crate::writer::Tx;
use crate::{Result, Store};

/// Characters of a pod's label before the number that tells equal ones apart.
const LABEL_CHARS: usize = 40;
/// Labels tried with a number before one of random characters is taken.
const LABEL_TRIES: u32 = 200;
/// Labels that mean a service to somebody, so that no pod gets them.
const SERVICE_NAMES: &[&str] = &[
    "abuse",
    "admin",
    "api",
    "app",
    "autoconfig",
    "autodiscover",
    "bounce",
    "bounces",
    "cdn",
    "console",
    "dashboard",
    "dkim",
    "dmarc",
    "dns",
    "docs",
    "feedback",
    "ftp",
    "help",
    "imap",
    "link",
    "links",
    "login",
    "mail",
    "mta-sts",
    "mx",
    "ns",
    "ns1",
    "ns2",
    "pop",
    "pop3",
    "relay",
    "smtp",
    "spf",
    "static",
    "status",
    "submission",
    "webmail",
    "www",
    "ws",
];

/// A registered domain that is an address's own or lies above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoverningDomain {
    /// Its name.
    pub domain: String,
    /// The pod it is bound to; `None` serves all.
    pub pod_id: Option<PodId>,
    /// Was verified, and nothing that sending needs was withdrawn since.
    pub verified: bool,
    /// Is verified with all it has now been asked for.
    pub complete: bool,
    /// Inboxes may lie on names below it.
    pub subdomains_enabled: bool,
    /// `link.<domain>` is a tracking host.
    pub tracking_enabled: bool,
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct DomainRow {
    domain: String,
    pod_id: Option<String>,
    verified: i64,
    complete: i64,
    subdomains_enabled: i64,
    tracking_enabled: i64,
}

impl Store {
    /// The organization's registered domains among a name and the names above it, nearest first.
    pub async fn governing_domains(&self, scope: &Scope, name: &DomainName) -> Result<Vec<GoverningDomain>> {
        let mut names = vec![name.as_str().to_owned()];
        names.extend(name.parents());
        let mut query = Query::new(
            "SELECT d.domain, d.pod_id, d.subdomains_enabled, d.tracking_enabled, \
             CAST(CASE WHEN d.sending = 1 OR d.status = 'VERIFIED' THEN 1 ELSE 0 END AS BIGINT) AS verified, \
             CAST(CASE WHEN d.status = 'VERIFIED' THEN 1 ELSE 0 END AS BIGINT) AS complete \
             FROM domains d WHERE d.organization_id = $1",
            args![scope.organization()],
        );
        query.and(
            &format!("d.domain IN ({})", vec!["?"; names.len()].join(",")),
            names.into_iter().map(Into::into).collect(),
        );
        let mut conn = self.reader().await?;
        let rows: Vec<DomainRow> = query.all(&mut conn).await?;
        let mut found = rows
            .into_iter()
            .map(|row| {
                Ok(GoverningDomain {
                    domain: row.domain,
                    pod_id: row.pod_id.as_deref().map(|pod| id(pod, PodId::parse)).transpose()?,
                    verified: row.verified != 0,
                    complete: row.complete != 0,
                    subdomains_enabled: row.subdomains_enabled != 0,
                    tracking_enabled: row.tracking_enabled != 0,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        found.sort_by_key(|found| std::cmp::Reverse(found.domain.len()));
        Ok(found)
    }

    /// The label of the subdomain of the scope's pod, once it has one.
    pub async fn pod_subdomain(&self, scope: &Scope) -> Result<Option<String>> {
        let row: Option<(Option<String>,)> = self
            .reader()
            .await?
            .one(
                "SELECT subdomain FROM pods WHERE organization_id = $1 AND pod_id = $2",
                args![scope.organization(), scope.pod_or_default()],
            )
            .await?;
        Ok(row.and_then(|(label,)| label))
    }

    /// Those of the addresses that nobody holds, in the same order.
    pub async fn free_addresses(&self, addresses: Vec<InboxId>) -> Result<Vec<InboxId>> {
        if addresses.is_empty() {
            return Ok(addresses);
        }
        let mut query = Query::new("SELECT address FROM address_directory WHERE address IN (", Vec::new());
        query.push(
            &format!("{})", vec!["?"; addresses.len()].join(",")),
            addresses.iter().map(Into::into).collect(),
        );
        let mut conn = self.reader().await?;
        let held: Vec<(String,)> = query.all(&mut conn).await?;
        let free = |address: &InboxId| !held.iter().any(|(held,)| held == address.as_str());
        Ok(addresses.into_iter().filter(free).collect())
    }
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct PodRow {
    name: String,
    client_id: Option<String>,
}

/// Fixes the label of a pod that has none yet; the pod's row is locked by the caller.
pub(super) async fn fix_label(tx: &mut Tx, organization: OrganizationId, pod: PodId) -> Result<String> {
    let row: Option<PodRow> = tx
        .one(
            "SELECT name, client_id FROM pods WHERE organization_id = $1 AND pod_id = $2",
            args![organization, pod],
        )
        .await?;
    let base = row.map(|row| label(row.client_id.as_deref().unwrap_or(&row.name))).unwrap_or_default();
    let usable = !base.is_empty() && !SERVICE_NAMES.contains(&base.as_str());
    for n in 1_u32.. {
        let label = match n {
            1 if usable => base.clone(),
            n if usable && n <= LABEL_TRIES => format!("{base}-{n}"),
            _ => format!("pod-{}", hex(&random::<4>(&*tx.ids))),
        };
        let taken = tx
            .run(
                "INSERT INTO subdomain_directory (label, organization_id, pod_id) VALUES ($1,$2,$3) \
                 ON CONFLICT (label) DO NOTHING",
                args![label.as_str(), organization, pod],
            )
            .await?;
        if taken > 0 {
            tx.run(
                "UPDATE pods SET subdomain = $3 WHERE organization_id = $1 AND pod_id = $2",
                args![organization, pod, label.as_str()],
            )
            .await?;
            return Ok(label);
        }
        if n >= 2 * LABEL_TRIES {
            break;
        }
    }
    Err(crate::Error::Race)
}

/// The label that a pod's name or `client_id` gives: its runs of `a-z 0-9` joined by `-`, cut to [`LABEL_CHARS`].
fn label(name: &str) -> String {
    let lower = name.to_lowercase();
    let parts = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let joined = parts.collect::<Vec<_>>().join("-");
    let cut: String = joined.chars().take(LABEL_CHARS).collect();
    cut.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_made_of_the_letters_and_digits_of_a_name() {
        for (name, want) in [
            ("tenant-globex", "tenant-globex"),
            ("  Globex & Söhne GmbH! ", "globex-s-hne-gmbh"),
            ("~.__", ""),
            ("日本", ""),
            ("A--B", "a-b"),
            (&"x".repeat(60), &"x".repeat(40)),
            (&format!("{}-yyy", "x".repeat(39)), &"x".repeat(39)),
        ] {
            assert_eq!(label(name), want, "{name}");
        }
    }
}
