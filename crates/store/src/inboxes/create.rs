//! Creating an inbox in one transaction: who asked before under this `client_id`, the quota, the address, the row.
//! Creates of one organization follow one another (its row is taken first), so that neither quota nor `client_id` can
//! be passed by asking twice at once.

use std::time::Duration;

use podmail_domain::{InboxId, InboxKey, OrganizationId, PodId, Timestamp, limits};

use super::{Inbox, Metadata, by_key, places};
use crate::db::{Conn, args};
use crate::messages::{json, unsigned};
use crate::scope::{Scope, id};
use crate::writer::Tx;
use crate::{Error, Result, Store};

/// When an inbox lies on its pod's own subdomain of the shared domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubdomainUse {
    /// When another pod or organization holds the address on the shared domain.
    OnConflict,
    /// Always.
    Always,
}

/// Where a new inbox shall lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InboxPlace {
    /// At this address and nowhere else.
    At {
        /// The address.
        inbox_id: InboxId,
        /// The registered domain that covers it; `None` on the shared domain and below it.
        governing_domain: Option<String>,
    },
    /// On the shared domain or on the pod's subdomain of it.
    Pod {
        /// Local part, valid.
        username: String,
        /// The shared domain.
        shared: String,
        /// Which of the two.
        subdomain: SubdomainUse,
    },
}

/// An inbox to make.
#[derive(Clone, Debug)]
pub struct NewInbox {
    /// What the caller covers; the inbox comes into its pod, or the default one.
    pub scope: Scope,
    /// Where.
    pub place: InboxPlace,
    /// Cleaned.
    pub display_name: Option<String>,
    /// Valid.
    pub client_id: Option<String>,
    /// Starts paused.
    pub paused: bool,
    /// Valid, not empty.
    pub metadata: Option<Metadata>,
    /// Now.
    pub now: Timestamp,
}

/// Outcome of a create.
#[derive(Clone, Debug, PartialEq)]
pub enum InboxCreated {
    /// A new inbox.
    Created(Box<Inbox>),
    /// The one that the same `client_id` made before.
    Existing(Box<Inbox>),
    /// The `client_id` names an inbox outside the caller's scope.
    ClientIdElsewhere,
    /// The organization itself holds the address.
    OwnConflict {
        /// In this pod.
        pod: PodId,
        /// The address that is held.
        inbox_id: InboxId,
    },
    /// Another organization holds the address, or held it lately.
    ForeignConflict,
    /// The organization has as many inboxes as it may.
    LimitReached(u64),
    /// The pod is gone.
    PodGone,
}

impl Store {
    /// What this `client_id` made before: `Existing`, `ClientIdElsewhere`, or `None` when it is free.
    pub async fn inbox_of_client_id(&self, scope: &Scope, client_id: &str) -> Result<Option<InboxCreated>> {
        let mut conn = self.reader().await?;
        earlier(&mut conn, scope, client_id).await
    }

    /// Makes an inbox, unless something stands against it.
    pub async fn create_inbox(&self, new: NewInbox) -> Result<InboxCreated> {
        self.write(new, |tx, new| Box::pin(create(tx, new))).await
    }
}

async fn earlier(conn: &mut Conn, scope: &Scope, client_id: &str) -> Result<Option<InboxCreated>> {
    let row: Option<(String,)> = conn
        .one(
            "SELECT resource_id FROM client_ids WHERE organization_id = $1 AND kind = 'inbox' AND client_id = $2",
            args![scope.organization(), client_id],
        )
        .await?;
    let Some((key,)) = row else { return Ok(None) };
    let found = by_key(conn, scope, id(&key, InboxKey::parse)?).await?;
    Ok(Some(found.map_or(InboxCreated::ClientIdElsewhere, |inbox| InboxCreated::Existing(Box::new(inbox)))))
}

async fn create(tx: &mut Tx, new: &NewInbox) -> Result<InboxCreated> {
    let (organization, pod) = (new.scope.organization(), new.scope.pod_or_default());
    let limit: Option<(Option<i64>,)> = tx
        .one(
            "UPDATE organizations SET inbox_limit = inbox_limit WHERE organization_id = $1 RETURNING inbox_limit",
            args![organization],
        )
        .await?;
    if let Some(client_id) = &new.client_id
        && let Some(outcome) = earlier(tx, &new.scope, client_id).await?
    {
        return Ok(outcome);
    }
    if let Some((Some(limit),)) = limit {
        let count =
            tx.count("SELECT COUNT(*) FROM inboxes WHERE organization_id = $1", args![organization]).await?;
        if count >= limit {
            return Ok(InboxCreated::LimitReached(unsigned(limit)));
        }
    }
    // Taking the pod's row keeps the pod while its inbox comes, and its label the only one.
    let row: Option<(Option<String>,)> = tx
        .one(
            "UPDATE pods SET subdomain = subdomain WHERE organization_id = $1 AND pod_id = $2 RETURNING subdomain",
            args![organization, pod],
        )
        .await?;
    let Some((label,)) = row else { return Ok(InboxCreated::PodGone) };
    let key = InboxKey::new(&*tx.ids, new.now);
    match &new.place {
        InboxPlace::At { inbox_id, governing_domain } => match claim(tx, new, key, inbox_id).await? {
            None => insert(tx, new, key, inbox_id, governing_domain.as_deref()).await,
            Some(holder) => Ok(holder.outcome(organization, inbox_id)),
        },
        InboxPlace::Pod { username, shared, subdomain } => {
            create_in_pod(tx, new, key, (username, shared, *subdomain), label).await
        }
    }
}

async fn create_in_pod(
    tx: &mut Tx,
    new: &NewInbox,
    key: InboxKey,
    (username, shared, subdomain): (&str, &str, SubdomainUse),
    label: Option<String>,
) -> Result<InboxCreated> {
    let (organization, pod) = (new.scope.organization(), new.scope.pod_or_default());
    let address =
        |domain: &str| InboxId::parse(&format!("{username}@{domain}")).ok_or(Error::Corrupt("an address"));
    let on_shared = address(shared)?;
    let own_names = [
        Some(on_shared.clone()),
        label.as_ref().map(|label| address(&format!("{label}.{shared}"))).transpose()?,
    ];
    // One user name, one inbox in the pod, on whichever of its two domains the first one lies.
    for inbox_id in own_names.into_iter().flatten() {
        if holder(tx, &inbox_id).await?.is_some_and(|found| found.is_inbox_of(organization, pod)) {
            return Ok(InboxCreated::OwnConflict { pod, inbox_id });
        }
    }
    if subdomain == SubdomainUse::OnConflict && claim(tx, new, key, &on_shared).await?.is_none() {
        return insert(tx, new, key, &on_shared, None).await;
    }
    let label = match label {
        Some(label) => label,
        None => places::fix_label(tx, organization, pod).await?,
    };
    let inbox_id = address(&format!("{label}.{shared}"))?;
    match claim(tx, new, key, &inbox_id).await? {
        None => insert(tx, new, key, &inbox_id, None).await,
        Some(holder) => Ok(holder.outcome(organization, &inbox_id)),
    }
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct HolderRow {
    organization_id: String,
    pod_id: String,
    inbox_key: Option<String>,
}

/// Who has an address.
struct Holder {
    organization: OrganizationId,
    pod: PodId,
    /// Not merely held back for its former owner.
    live: bool,
}

impl Holder {
    fn is_inbox_of(&self, organization: OrganizationId, pod: PodId) -> bool {
        self.live && self.organization == organization && self.pod == pod
    }
    fn outcome(&self, asking: OrganizationId, inbox_id: &InboxId) -> InboxCreated {
        if self.organization == asking {
            InboxCreated::OwnConflict { pod: self.pod, inbox_id: inbox_id.clone() }
        } else {
            InboxCreated::ForeignConflict
        }
    }
}

async fn holder(tx: &mut Tx, address: &InboxId) -> Result<Option<Holder>> {
    let row: Option<HolderRow> = tx
        .one(
            "SELECT organization_id, pod_id, inbox_key FROM address_directory WHERE address = $1",
            args![address],
        )
        .await?;
    row.map(|row| {
        Ok(Holder {
            organization: id(&row.organization_id, OrganizationId::parse)?,
            pod: id(&row.pod_id, PodId::parse)?,
            live: row.inbox_key.is_some(),
        })
    })
    .transpose()
}

/// Takes an address that is free, was this organization's last, or has been free for long. Otherwise says who has it.
async fn claim(tx: &mut Tx, new: &NewInbox, key: InboxKey, address: &InboxId) -> Result<Option<Holder>> {
    let hold = Duration::from_secs(limits::ADDRESS_HOLD_DAYS * 24 * 3600);
    let taken = tx
        .run(
            "INSERT INTO address_directory (address, organization_id, pod_id, inbox_key) VALUES ($1,$2,$3,$4) \
             ON CONFLICT (address) DO UPDATE SET organization_id = excluded.organization_id, \
             pod_id = excluded.pod_id, inbox_key = excluded.inbox_key, released_at = NULL \
             WHERE address_directory.inbox_key IS NULL \
             AND (address_directory.organization_id = excluded.organization_id \
             OR address_directory.released_at <= $5)",
            args![
                address,
                new.scope.organization(),
                new.scope.pod_or_default(),
                key,
                new.now.minus(hold)
            ],
        )
        .await?;
    if taken > 0 {
        return Ok(None);
    }
    // Gone between the two statements: whoever had it, this caller may simply ask again.
    holder(tx, address).await?.ok_or(Error::Race).map(Some)
}

async fn insert(
    tx: &mut Tx,
    new: &NewInbox,
    inbox_key: InboxKey,
    inbox_id: &InboxId,
    governing_domain: Option<&str>,
) -> Result<InboxCreated> {
    let inbox = Inbox {
        organization_id: new.scope.organization(),
        pod_id: new.scope.pod_or_default(),
        inbox_key,
        inbox_id: inbox_id.clone(),
        governing_domain: governing_domain.map(str::to_owned),
        display_name: new.display_name.clone(),
        client_id: new.client_id.clone(),
        paused: new.paused,
        metadata: new.metadata.clone(),
        created_at: new.now,
        updated_at: new.now,
    };
    tx.run(
        "INSERT INTO inboxes (organization_id, inbox_key, pod_id, inbox_id, governing_domain, display_name, \
         client_id, paused, metadata, label_seq, created_at, updated_at) \
         VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,0,$10,$11)",
        args![
            inbox.organization_id,
            inbox_key,
            inbox.pod_id,
            inbox_id,
            governing_domain,
            inbox.display_name.clone(),
            inbox.client_id.clone(),
            inbox.paused,
            inbox.metadata.as_ref().map(json),
            inbox.created_at,
            inbox.updated_at
        ],
    )
    .await?;
    if let Some(client_id) = &new.client_id {
        tx.run(
            "INSERT INTO client_ids (organization_id, kind, client_id, resource_id) VALUES ($1,'inbox',$2,$3)",
            args![inbox.organization_id, client_id.as_str(), inbox_key],
        )
        .await?;
    }
    Ok(InboxCreated::Created(Box::new(inbox)))
}
