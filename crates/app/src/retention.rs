//! The cleaner: removes what is older than anybody needs it, piece by piece.

use std::time::Duration;

use podmail_domain::limits;
use podmail_store::CleanBefore;
use tokio_util::sync::CancellationToken;

use crate::objects::ObjectRounds;
use crate::{App, Result};

/// How often the cleaner looks. Nothing that it removes is urgent.
const REST: Duration = Duration::from_secs(600);
/// Pause between two pieces: whatever else waits to be written comes first.
const BREATH: Duration = Duration::from_millis(20);

impl App {
    /// Removes one piece of what is too old: ends of deliveries (`retention.deliveries`), events
    /// (`retention.events`) that every reader has passed, idempotency records after 24 hours, and messages that wait
    /// for the text of their attachments after seven days. `true` when there may be more.
    pub async fn clean_once(&self) -> Result<bool> {
        let (now, settings) = (self.now(), self.settings());
        let before = CleanBefore {
            deliveries: now.minus(settings.retention_deliveries),
            events: now.minus(settings.retention_events),
            idempotency: now.minus(Duration::from_secs(limits::IDEMPOTENCY_HOURS * 3600)),
            texts: now.minus(crate::texts::WAIT_MAX),
        };
        Ok(self.store().clean_step(before).await?.more())
    }

    /// Cleans until the token is cancelled: rows first, and once a day all objects that nothing refers to.
    pub async fn run_cleaner(&self, token: CancellationToken) {
        let mut rounds = self.object_rounds();
        let cleaning = async {
            loop {
                let pause = match self.clean_step(&mut rounds).await {
                    Ok(true) => BREATH,
                    Ok(false) => REST,
                    Err(error) => {
                        tracing::error!(error = %error, "what is too old could not be removed");
                        REST
                    }
                };
                tokio::time::sleep(pause).await;
            }
        };
        tokio::select! {
            () = token.cancelled() => {}
            () = cleaning => {}
        }
    }

    async fn clean_step(&self, rounds: &mut ObjectRounds) -> Result<bool> {
        Ok(self.clean_once().await? || self.sweep_objects_once(rounds).await?)
    }
}
