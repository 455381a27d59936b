//! Pods: the tenants of an organization. A pod goes only when no inbox and no domain is left in it; its keys and
//! webhooks go with it.

use podmail_domain::{OrganizationId, PodId, Timestamp};

use crate::db::{Conn, Query, args};
use crate::page::{Cursor, Order, Page};
use crate::scope::{Scope, id};
use crate::writer::Tx;
use crate::{Error, Result, Store, webhooks};

/// How often a create looks again when the pod that held its `client_id` vanished in between.
const CLIENT_ID_ATTEMPTS: usize = 3;

/// A tenant of an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its id; the default pod's equals the organization's.
    pub pod_id: PodId,
    /// For people.
    pub name: String,
    /// The creator's own name for it.
    pub client_id: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its last change.
    pub updated_at: Timestamp,
}

/// Outcome of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodDeleted {
    /// It is gone.
    Done,
    /// There is none in scope.
    Absent,
    /// The default pod stays.
    Default,
    /// Inboxes remain.
    HasInboxes,
    /// Domains remain.
    HasDomains,
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct PodRow {
    pod_id: String,
    name: String,
    client_id: Option<String>,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<PodRow> for Pod {
    type Error = Error;
    fn try_from(row: PodRow) -> Result<Self> {
        Ok(Self {
            pod_id: id(&row.pod_id, PodId::parse)?,
            name: row.name,
            client_id: row.client_id,
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
        })
    }
}

impl Store {
    /// Makes a pod in the scope's organization. With a `client_id` that is known already: the pod of that first
    /// create, as it is now.
    pub async fn create_pod(
        &self,
        scope: &Scope,
        name: String,
        client_id: Option<String>,
        now: Timestamp,
    ) -> Result<Pod> {
        self.write(
            (scope.organization(), name, client_id, now),
            |tx, (organization, name, client_id, now)| {
                Box::pin(create(tx, *organization, name, client_id.as_deref(), *now))
            },
        )
        .await
    }

    /// The pod of the scope's organization that this `client_id` made.
    pub async fn pod_of_client_id(&self, scope: &Scope, client_id: &str) -> Result<Option<Pod>> {
        by_client_id(&mut self.reader().await?, scope.organization(), client_id).await
    }

    /// Pods of the scope, by creation.
    pub async fn pods(
        &self,
        scope: &Scope,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Pod>> {
        let mut query = Query::new(
            "SELECT p.pod_id, p.name, p.client_id, p.created_at, p.updated_at FROM pods p \
             WHERE p.organization_id = $1",
            args![scope.organization()],
        );
        if let Some(pod) = scope.pod() {
            query.and("p.pod_id = ?", args![pod]);
        }
        order.seek(&mut query, "p.created_at", "p.pod_id", after, limit);
        let rows: Vec<PodRow> = query.all(&mut self.reader().await?).await?;
        let pods = rows.into_iter().map(Pod::try_from).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(pods, limit, |pod| Cursor::new(pod.created_at, pod.pod_id)))
    }

    /// The pod of a pod or inbox scope, the default pod of an organization scope.
    pub async fn pod(&self, scope: &Scope) -> Result<Option<Pod>> {
        let row: Option<PodRow> = self
            .reader()
            .await?
            .one(
                "SELECT pod_id, name, client_id, created_at, updated_at FROM pods \
                 WHERE organization_id = $1 AND pod_id = $2",
                args![scope.organization(), scope.pod_or_default()],
            )
            .await?;
        row.map(Pod::try_from).transpose()
    }

    /// Deletes the pod of a pod scope with its keys and webhooks, unless inboxes or domains remain.
    pub async fn delete_pod(&self, scope: &Scope) -> Result<PodDeleted> {
        let Some(pod) = scope.pod() else { return Ok(PodDeleted::Absent) };
        self.write((scope.organization(), pod), |tx, (organization, pod)| {
            Box::pin(delete(tx, *organization, *pod))
        })
        .await
    }
}

/// Takes a pod's row: whatever is put into a pod starts with it, so that nothing is put into one that is being
/// deleted. `false`: the pod is gone.
pub(crate) async fn lock_pod(tx: &mut Tx, organization: OrganizationId, pod: PodId) -> Result<bool> {
    let touched = tx
        .run(
            "UPDATE pods SET updated_at = updated_at WHERE organization_id = $1 AND pod_id = $2",
            args![organization, pod],
        )
        .await?;
    Ok(touched > 0)
}

async fn create(
    tx: &mut Tx,
    organization: OrganizationId,
    name: &str,
    client_id: Option<&str>,
    now: Timestamp,
) -> Result<Pod> {
    let pod_id = PodId::new(&*tx.ids, now);
    if let Some(client_id) = client_id
        && let Some(existing) = claim(tx, organization, client_id, pod_id).await?
    {
        return Ok(existing);
    }
    tx.run(
        "INSERT INTO pods (organization_id, pod_id, name, client_id, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $5)",
        args![organization, pod_id, name, client_id, now],
    )
    .await?;
    Ok(Pod {
        pod_id,
        name: name.to_owned(),
        client_id: client_id.map(str::to_owned),
        created_at: now,
        updated_at: now,
    })
}

/// Claims a `client_id` for a new pod, or returns the pod that has it. A concurrent create of the same value waits
/// here until the first one committed.
async fn claim(
    tx: &mut Tx,
    organization: OrganizationId,
    client_id: &str,
    pod_id: PodId,
) -> Result<Option<Pod>> {
    for _ in 0..CLIENT_ID_ATTEMPTS {
        let claimed = tx
            .run(
                "INSERT INTO client_ids (organization_id, kind, client_id, resource_id) \
                 VALUES ($1, 'pod', $2, $3) ON CONFLICT DO NOTHING",
                args![organization, client_id, pod_id],
            )
            .await?;
        if claimed > 0 {
            return Ok(None);
        }
        if let Some(known) = by_client_id(tx, organization, client_id).await? {
            return Ok(Some(known));
        }
    }
    Err(Error::Race)
}

async fn by_client_id(conn: &mut Conn, organization: OrganizationId, client_id: &str) -> Result<Option<Pod>> {
    let row: Option<PodRow> = conn
        .one(
            "SELECT p.pod_id, p.name, p.client_id, p.created_at, p.updated_at FROM client_ids c \
             JOIN pods p ON p.organization_id = c.organization_id AND p.pod_id = c.resource_id \
             WHERE c.organization_id = $1 AND c.kind = 'pod' AND c.client_id = $2",
            args![organization, client_id],
        )
        .await?;
    row.map(Pod::try_from).transpose()
}

async fn delete(tx: &mut Tx, organization: OrganizationId, pod: PodId) -> Result<PodDeleted> {
    if pod == PodId::default_of(organization) {
        return Ok(PodDeleted::Default);
    }
    if !lock_pod(tx, organization, pod).await? {
        return Ok(PodDeleted::Absent);
    }
    let both = || args![organization, pod];
    // A deleted inbox has no row here any more, even while what it held is still being purged.
    let inboxes =
        tx.count("SELECT COUNT(*) FROM inboxes WHERE organization_id = $1 AND pod_id = $2", both()).await?;
    if inboxes > 0 {
        return Ok(PodDeleted::HasInboxes);
    }
    let domains =
        tx.count("SELECT COUNT(*) FROM domains WHERE organization_id = $1 AND pod_id = $2", both()).await?;
    if domains > 0 {
        return Ok(PodDeleted::HasDomains);
    }
    tx.run(
        "DELETE FROM key_directory WHERE organization_id = $1 AND key_hash IN \
         (SELECT key_hash FROM api_keys WHERE organization_id = $1 AND pod_id = $2)",
        both(),
    )
    .await?;
    tx.run(
        "DELETE FROM client_ids WHERE organization_id = $1 AND kind = 'public_key' AND client_id IN \
         (SELECT client_id FROM api_keys WHERE organization_id = $1 AND pod_id = $2)",
        both(),
    )
    .await?;
    tx.run("DELETE FROM api_keys WHERE organization_id = $1 AND pod_id = $2", both()).await?;
    webhooks::forget_pod(tx, organization, pod).await?;
    tx.run(
        "DELETE FROM client_ids WHERE organization_id = $1 AND kind = 'pod' AND client_id = \
         (SELECT client_id FROM pods WHERE organization_id = $1 AND pod_id = $2)",
        both(),
    )
    .await?;
    tx.run(
        "DELETE FROM subdomain_directory WHERE organization_id = $1 AND label = \
         (SELECT subdomain FROM pods WHERE organization_id = $1 AND pod_id = $2)",
        both(),
    )
    .await?;
    tx.run("DELETE FROM list_entries WHERE organization_id = $1 AND pod_id = $2", both()).await?;
    tx.run("DELETE FROM pods WHERE organization_id = $1 AND pod_id = $2", both()).await?;
    Ok(PodDeleted::Done)
}
