//! The worker for scheduled drafts. A due draft is sent once: the claim is a lease, and the transaction that stores the
//! message ends it.

use std::time::Duration;

use futures_util::future::join_all;
use podmail_domain::{Permissions, Timestamp};
use podmail_store::{DraftClaim, DraftRelease, LabelChange, SendFailure};

use crate::{App, Caller, Error, Result};

/// Due drafts that one node claims at once.
const BATCH: usize = 16;
/// How long a draft waits after trouble that is not its own, at most: it is due again within the minute that is promised.
const TROUBLE_PAUSE: Duration = Duration::from_secs(20);

impl App {
    /// Sends drafts whose time has come; how many were tried.
    pub async fn send_due_drafts(&self) -> Result<usize> {
        let now = self.now();
        let claims = self.store().claim_due_drafts(now, now.plus(self.settings().work_lease), BATCH).await?;
        let count = claims.len();
        // Together, so that their commits are one; one that cannot be released runs out.
        for outcome in join_all(claims.into_iter().map(|claim| self.send_due(claim))).await {
            if let Err(error) = outcome {
                tracing::error!(error = %error, "a scheduled draft waits until its lease is over");
            }
        }
        Ok(count)
    }

    /// Frees drafts whose claim is from before the clock was set back, and forgets those sent long ago.
    pub async fn tidy_drafts(&self) -> Result<()> {
        while self.store().tidy_drafts(self.now(), self.settings().work_lease).await? > 0 {}
        Ok(())
    }

    /// How long the worker may pause: until the next draft is due, or `longest`.
    pub async fn until_next_draft(&self, longest: Duration) -> Result<Duration> {
        let due = self.store().next_draft_due().await?;
        Ok(due.map_or(longest, |due: Timestamp| due.since(self.now()).min(longest)))
    }

    async fn send_due(&self, claim: DraftClaim) -> Result<()> {
        let scope = claim.scope();
        let Some(organization) = self.store().organization(&scope).await? else { return Ok(()) };
        let caller = Caller {
            own: scope.clone(),
            scope,
            // Whoever scheduled it was allowed to send, and to read what it quotes.
            permissions: Permissions::UNRESTRICTED,
            api_key_id: podmail_domain::ApiKeyId::new(self.ids(), self.now()),
            expires_at: None,
            suspended: organization.suspended,
        };
        let outcome = self.send_claimed(&caller, &claim, &LabelChange::default(), None).await;
        let draft = claim.draft.draft_id;
        let release = match outcome {
            Ok(_) => {
                tracing::info!(draft.id = %draft, "a scheduled draft was sent");
                return Ok(());
            }
            Err(error) => match refusal(&error) {
                Some(failure) => {
                    tracing::info!(draft.id = %draft, code = failure.code, "a scheduled draft was refused");
                    DraftRelease::Failed(failure)
                }
                None => {
                    tracing::warn!(draft.id = %draft, error = %error, "a scheduled draft waits");
                    DraftRelease::Later(self.now().plus(TROUBLE_PAUSE))
                }
            },
        };
        Ok(self.store().release_draft(claim, release, self.now()).await?)
    }
}

/// Why a draft was refused for good; `None` for trouble that passes.
fn refusal(error: &Error) -> Option<SendFailure> {
    let code = match error {
        Error::MessageRejected { .. } => "message_rejected",
        Error::InboxPaused => "inbox_paused",
        Error::DomainNotVerified { .. } => "domain_not_verified",
        Error::Unprocessable(_) => "unprocessable",
        Error::Invalid(_) => "validation_error",
        Error::NotFound(_) => "not_found",
        Error::Unauthorized(_)
        | Error::MissingPermission(_)
        | Error::KeyTooNarrow { .. }
        | Error::SubscriptionForbidden(_)
        | Error::ScopeForbidden
        | Error::BadLink
        | Error::NotOffered(_)
        | Error::WrongState(_)
        | Error::PermissionEscalation { .. }
        | Error::WeakerKey { .. }
        | Error::UnrestrictedKeyRequired
        | Error::AlreadyExists { .. }
        | Error::ResourceTaken { .. }
        | Error::LimitExceeded { .. }
        | Error::Conflict(_)
        | Error::RaceCondition
        | Error::ResourceDeleting(_)
        | Error::CannotDelete(_)
        | Error::RateLimited { .. }
        | Error::Unavailable
        | Error::Internal(_) => return None,
    };
    Some(SendFailure { code: code.to_owned(), message: error.to_string() })
}
