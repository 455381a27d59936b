//! The daily sending quota of an organization: every recipient counts.

use podmail_domain::{OrganizationId, Timestamp};

use crate::db::args;
use crate::messages::unsigned;
use crate::scope::Scope;
use crate::writer::Tx;
use crate::{Result, Store};

/// How much of its daily sending quota an organization has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendUsage {
    /// Recipients since the window began.
    pub sent: u64,
    /// Recipients per day.
    pub limit: u64,
    /// The oldest of them: when it leaves the window, a place is free.
    pub oldest: Option<Timestamp>,
}

/// How many more recipients an organization may mail. Takes its row, so that sends of other nodes wait until this one is
/// counted.
pub(crate) async fn left(tx: &mut Tx, organization: OrganizationId, since: Timestamp) -> Result<u64> {
    let limit: Option<(Option<i64>,)> = tx
        .one(
            "UPDATE organizations SET send_per_day = send_per_day WHERE organization_id = $1 RETURNING send_per_day",
            args![organization],
        )
        .await?;
    let Some((Some(limit),)) = limit else { return Ok(u64::MAX) };
    let sent = tx
        .count(
            "SELECT COUNT(*) FROM deliveries WHERE organization_id = $1 AND created_at > $2",
            args![organization, since],
        )
        .await?;
    Ok(unsigned(limit).saturating_sub(unsigned(sent)))
}

impl Store {
    /// Usage since `since`; `None` when the organization has no quota.
    pub async fn send_usage(&self, scope: &Scope, since: Timestamp) -> Result<Option<SendUsage>> {
        let mut conn = self.reader().await?;
        let limit: Option<(Option<i64>,)> = conn
            .one(
                "SELECT send_per_day FROM organizations WHERE organization_id = $1",
                args![scope.organization()],
            )
            .await?;
        let Some((Some(limit),)) = limit else { return Ok(None) };
        let row: Option<(i64, Option<i64>)> = conn
            .one(
                "SELECT COUNT(*), MIN(created_at) FROM deliveries WHERE organization_id = $1 AND created_at > $2",
                args![scope.organization(), since],
            )
            .await?;
        let (sent, oldest) = row.unwrap_or((0, None));
        Ok(Some(SendUsage {
            sent: unsigned(sent),
            limit: unsigned(limit),
            oldest: oldest.map(Timestamp::from_micros),
        }))
    }
}
