//! Sending drafts: a claim is a lease; the transaction that stores the message takes the draft out if the lease still
//! holds. A claim that ends otherwise is released, one whose holder died runs out.

use podmail_domain::{DraftId, InboxKey, OrganizationId, Timestamp};

use super::{COLUMNS, Draft, DraftContent, DraftRow, DraftState, SendFailure};
use crate::db::{Query, args};
use crate::messages::{json, list};
use crate::scope::{Scope, id};
use crate::writer::Tx;
use crate::{Error, Result, Store};

/// A draft that the holder may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftClaim {
    /// The draft as it was claimed; its `state` is what it goes back to.
    pub draft: Draft,
    /// Proof of the claim.
    pub lease: String,
}

/// Outcome of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DraftClaimed {
    /// It is the caller's until the time that was given.
    Claimed(Box<DraftClaim>),
    /// There is none in scope.
    Absent,
    /// Somebody else is sending it.
    Sending,
}

/// How a claim ends without a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DraftRelease {
    /// As it was before.
    Back,
    /// Still scheduled, but not to be tried before this time.
    Later(Timestamp),
    /// Refused for good, until its author does something about it.
    Failed(SendFailure),
}

impl Store {
    /// Claims a draft of the scope's inbox for sending it until `until`.
    pub async fn claim_draft(
        &self,
        scope: &Scope,
        draft: DraftId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<DraftClaimed> {
        self.write((scope.clone(), draft, now, until), |tx, (scope, draft, now, until)| {
            Box::pin(async move {
                let Some(found) = super::change::locked(tx, scope, *draft, *now).await? else {
                    return Ok(DraftClaimed::Absent);
                };
                if found.state == DraftState::Sending {
                    return Ok(DraftClaimed::Sending);
                }
                let claim = take(tx, found, *until).await?;
                Ok(DraftClaimed::Claimed(Box::new(claim)))
            })
        })
        .await
    }

    /// Claims up to `limit` scheduled drafts whose time has come, for all organizations.
    pub async fn claim_due_drafts(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<DraftClaim>> {
        self.write((now, until, limit), |tx, (now, until, limit)| {
            Box::pin(async move {
                let lock = crate::dialect::skip_locked(tx.engine());
                let text = format!(
                    "SELECT {COLUMNS} FROM drafts d WHERE d.due_at <= $1 AND d.resume = 'scheduled' \
                     AND d.inbox_key NOT IN (SELECT p.inbox_key FROM purges p WHERE p.organization_id = d.organization_id) \
                     ORDER BY d.due_at, d.draft_id LIMIT $2{lock}"
                );
                let due: Vec<DraftRow> = tx.all(&text, args![*now, *limit]).await?;
                let mut claims = Vec::with_capacity(due.len());
                for row in due {
                    let draft = row.read(*now)?;
                    if draft.send_at.is_some_and(|at| at > *now) {
                        // Sent by hand ahead of its time by somebody who died: it waits on.
                        super::change::save(tx, &draft).await?;
                    } else {
                        claims.push(take(tx, draft, *until).await?);
                    }
                }
                Ok(claims)
            })
        })
        .await
    }

    /// When the next scheduled draft is due that [`Store::claim_due_drafts`] would take, if any is.
    pub async fn next_draft_due(&self) -> Result<Option<Timestamp>> {
        let query = Query::new(
            "SELECT d.due_at FROM drafts d WHERE d.due_at IS NOT NULL AND d.resume = 'scheduled' \
             AND d.inbox_key NOT IN (SELECT p.inbox_key FROM purges p WHERE p.organization_id = d.organization_id) \
             ORDER BY d.due_at LIMIT 1",
            Vec::new(),
        );
        let rows: Vec<(i64,)> = query.all(&mut self.reader().await?).await?;
        Ok(rows.first().map(|(due,)| Timestamp::from_micros(*due)))
    }

    /// Ends a claim without a message, unless it is over already.
    pub async fn release_draft(
        &self,
        claim: DraftClaim,
        release: DraftRelease,
        now: Timestamp,
    ) -> Result<()> {
        self.write((claim, release, now), |tx, (claim, release, now)| {
            Box::pin(async move {
                let mut draft = claim.draft.clone();
                let (state, due_at) = match release {
                    DraftRelease::Back => {
                        (draft.resume, draft.send_at.filter(|_| draft.resume == DraftState::Scheduled))
                    }
                    DraftRelease::Later(at) => (draft.resume, Some(*at)),
                    DraftRelease::Failed(failure) => {
                        draft.content.failure = Some(failure.clone());
                        (DraftState::Failed, None)
                    }
                };
                tx.run(
                    "UPDATE drafts SET state = $4, resume = $4, due_at = $5, content = $6, lease = NULL, \
                     updated_at = CASE WHEN $4 = 'failed' THEN $7 ELSE updated_at END \
                     WHERE organization_id = $1 AND draft_id = $2 AND lease = $3",
                    args![
                        draft.organization_id,
                        draft.draft_id,
                        claim.lease.as_str(),
                        state.as_str(),
                        due_at,
                        json(&draft.content),
                        *now
                    ],
                )
                .await?;
                Ok(())
            })
        })
        .await
    }
}

async fn take(tx: &mut Tx, draft: Draft, until: Timestamp) -> Result<DraftClaim> {
    let lease = podmail_domain::source::hex(&podmail_domain::source::random::<16>(&*tx.ids));
    tx.run(
        "UPDATE drafts SET state = 'sending', due_at = $3, lease = $4 WHERE organization_id = $1 AND draft_id = $2",
        args![draft.organization_id, draft.draft_id, until, lease.as_str()],
    )
    .await?;
    Ok(DraftClaim { draft, lease })
}

/// Takes a claimed draft out, within the transaction that stores its message. `false`: the claim is over. What a draft
/// with a `client_id` was stays known for a while.
pub(crate) async fn consume(tx: &mut Tx, claim: &DraftClaim, now: Timestamp) -> Result<bool> {
    let draft = &claim.draft;
    let (organization, id) = (draft.organization_id, draft.draft_id);
    let taken = tx
        .run(
            "DELETE FROM drafts WHERE organization_id = $1 AND draft_id = $2 AND lease = $3",
            args![organization, id, claim.lease.as_str()],
        )
        .await?;
    if taken == 0 {
        return Ok(false);
    }
    tx.run(
        "DELETE FROM draft_attachments WHERE organization_id = $1 AND draft_id = $2",
        args![organization, id],
    )
    .await?;
    if draft.content.client_id.is_some() {
        tx.run(
            "INSERT INTO sent_drafts (organization_id, draft_id, inbox_key, snapshot, sent_at) \
             VALUES ($1,$2,$3,$4,$5)",
            args![organization, id, draft.inbox_key, snapshot(draft), now],
        )
        .await?;
    }
    Ok(true)
}

/// A sent draft as JSON.
#[derive(serde::Serialize, serde::Deserialize)]
struct Snapshot {
    organization_id: OrganizationId,
    pod_id: podmail_domain::PodId,
    inbox_key: InboxKey,
    inbox_id: String,
    draft_id: DraftId,
    state: String,
    send_at: Option<i64>,
    labels: String,
    content: DraftContent,
    text: Option<String>,
    html: Option<String>,
    created_at: i64,
    updated_at: i64,
}

fn snapshot(draft: &Draft) -> String {
    json(&Snapshot {
        organization_id: draft.organization_id,
        pod_id: draft.pod_id,
        inbox_key: draft.inbox_key,
        inbox_id: draft.inbox_id.to_string(),
        draft_id: draft.draft_id,
        state: draft.state.as_str().to_owned(),
        send_at: draft.send_at.map(Timestamp::micros),
        labels: json(&draft.labels),
        content: draft.content.clone(),
        text: draft.text.clone(),
        html: draft.html.clone(),
        created_at: draft.created_at.micros(),
        updated_at: draft.updated_at.micros(),
    })
}

pub(super) fn from_snapshot(text: &str) -> Result<Draft> {
    let kept: Snapshot = serde_json::from_str(text).map_err(|_| Error::Corrupt("a sent draft"))?;
    let state = DraftState::parse(&kept.state)?;
    Ok(Draft {
        organization_id: kept.organization_id,
        pod_id: kept.pod_id,
        inbox_key: kept.inbox_key,
        inbox_id: id(&kept.inbox_id, podmail_domain::InboxId::parse)?,
        draft_id: kept.draft_id,
        state,
        resume: state,
        send_at: kept.send_at.map(Timestamp::from_micros),
        labels: list(&kept.labels)?,
        content: kept.content,
        text: kept.text,
        html: kept.html,
        created_at: Timestamp::from_micros(kept.created_at),
        updated_at: Timestamp::from_micros(kept.updated_at),
    })
}

/// Removes up to `limit` drafts of a deleted inbox; `None`: there are none left.
pub(crate) async fn purge(
    tx: &mut Tx,
    organization: OrganizationId,
    inbox: InboxKey,
    limit: usize,
) -> Result<Option<Vec<String>>> {
    let files: Vec<(String, Option<String>)> = tx
        .all(
            "DELETE FROM draft_attachments WHERE organization_id = $1 AND inbox_key = $2 AND (draft_id, attachment_id) IN \
             (SELECT draft_id, attachment_id FROM draft_attachments WHERE organization_id = $1 AND inbox_key = $2 LIMIT $3) \
             RETURNING draft_id, object",
            args![organization, inbox, limit],
        )
        .await?;
    if !files.is_empty() {
        return Ok(Some(files.into_iter().filter_map(|(_, object)| object).collect()));
    }
    for statement in [
        "DELETE FROM drafts WHERE organization_id = $1 AND inbox_key = $2 AND draft_id IN \
         (SELECT draft_id FROM drafts WHERE organization_id = $1 AND inbox_key = $2 LIMIT $3)",
        "DELETE FROM sent_drafts WHERE organization_id = $1 AND inbox_key = $2 AND draft_id IN \
         (SELECT draft_id FROM sent_drafts WHERE organization_id = $1 AND inbox_key = $2 LIMIT $3)",
    ] {
        if tx.run(statement, args![organization, inbox, limit]).await? > 0 {
            return Ok(Some(Vec::new()));
        }
    }
    Ok(None)
}

/// Whose claim it is, for tests of the store and for logs.
impl DraftClaim {
    /// The inbox that sends.
    pub fn scope(&self) -> Scope {
        self.draft.scope()
    }
}
