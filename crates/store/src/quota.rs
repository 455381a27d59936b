//! The daily sending quota of an organization: every recipient counts.

use podmail_domain::Timestamp;

use crate::db::args;
use crate::scope::Scope;
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
            sent: crate::messages::unsigned(sent),
            limit: crate::messages::unsigned(limit),
            oldest: oldest.map(Timestamp::from_micros),
        }))
    }
}
