//! What neither a client nor a due time brings about: claims from before the clock was set back end, and drafts that
//! were sent long ago are forgotten.

use std::time::Duration;

use podmail_domain::{DraftId, OrganizationId, Timestamp, limits};

use super::work::from_snapshot;
use crate::db::args;
use crate::scope::id;
use crate::{Result, Store};

/// Rows of each kind that one call takes on.
const ROWS: usize = 200;

impl Store {
    /// Ends claims and pauses that last longer than any made now would, and forgets drafts sent more than
    /// [`limits::SENT_DRAFT_DAYS`] ago. `lease` is how long a claim lasts; twice that is still taken for another
    /// node's claim by a clock that is ahead. How much was done; call again unless it is 0.
    pub async fn tidy_drafts(&self, now: Timestamp, lease: Duration) -> Result<usize> {
        let (beyond, forgotten) = (
            now.plus(lease.saturating_mul(2)),
            now.minus(Duration::from_secs(limits::SENT_DRAFT_DAYS * 24 * 3600)),
        );
        let mut reader = self.reader().await?;
        let lost: Vec<(String, String)> = reader
            .all(
                "SELECT organization_id, draft_id FROM drafts WHERE due_at > $1 \
                 AND (state = 'sending' OR due_at > send_at) LIMIT $2",
                args![beyond, ROWS],
            )
            .await?;
        let old: Vec<(String, String, String)> = reader
            .all(
                "SELECT organization_id, draft_id, snapshot FROM sent_drafts WHERE sent_at <= $1 LIMIT $2",
                args![forgotten, ROWS],
            )
            .await?;
        drop(reader);
        let count = lost.len() + old.len();
        if count == 0 {
            return Ok(0);
        }
        self.writer
            .write_later((lost, old, beyond), |tx, (lost, old, beyond)| {
                Box::pin(async move {
                    for (organization, draft) in lost {
                        tx.run(
                            "UPDATE drafts SET state = resume, lease = NULL, \
                             due_at = CASE WHEN resume = 'scheduled' THEN send_at ELSE NULL END \
                             WHERE organization_id = $1 AND draft_id = $2 AND due_at > $3",
                            args![organization.as_str(), draft.as_str(), *beyond],
                        )
                        .await?;
                        tx.news.drafts = true;
                    }
                    for (organization, draft, snapshot) in old {
                        let organization = id(organization, OrganizationId::parse)?;
                        let draft = id(draft, DraftId::parse)?;
                        if let Some(client_id) = from_snapshot(snapshot)?.content.client_id {
                            tx.run(
                                "DELETE FROM client_ids WHERE organization_id = $1 AND kind = 'draft' \
                                 AND client_id = $2 AND resource_id = $3",
                                args![organization, client_id, draft],
                            )
                            .await?;
                        }
                        tx.run(
                            "DELETE FROM sent_drafts WHERE organization_id = $1 AND draft_id = $2",
                            args![organization, draft],
                        )
                        .await?;
                    }
                    Ok(())
                })
            })
            .await?;
        Ok(count)
    }
}
