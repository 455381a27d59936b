//! The worker that removes what deleted inboxes held.

use std::time::Duration;

use podmail_bus::Topic;
use tokio_util::sync::CancellationToken;

use crate::{App, Result};

/// Rows that one step removes at most: small enough that arriving mail does not notice.
const STEP_ROWS: usize = 200;
/// How often the worker looks without being woken, and how long it rests after a failure.
const REST: Duration = Duration::from_secs(60);

impl App {
    /// Removes one piece of one deleted inbox; `true` when there may be more.
    pub async fn purge_once(&self) -> Result<bool> {
        let step = self.store().purge_step(STEP_ROWS).await?;
        for name in step.objects {
            // Nothing names the object any more: one that stays behind costs space, nothing else.
            if let Err(error) = self.blobs().delete(&name).await {
                tracing::warn!(error = %error, "An object of a deleted inbox could not be removed");
            }
        }
        Ok(step.more)
    }

    /// Purges whatever is deleted until the token is cancelled.
    pub async fn run_purges(&self, token: CancellationToken) {
        while !token.is_cancelled() {
            match self.purge_once().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::error!(error = %error, "Purging a deleted inbox failed"),
            }
            tokio::select! {
                () = token.cancelled() => {}
                () = self.bus().wait(Topic::Purges, REST) => {}
            }
        }
    }
}
