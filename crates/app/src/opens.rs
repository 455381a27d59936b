//! Open tracking: an invisible image in a sent mail whose first fetch marks the mail as opened.
//!
//! The image's address names the message and is signed with the installation's link key, so nobody marks what he has not
//! been sent. It lies on the `link` host of the sending domain, whose owner has to have asked for it.

use podmail_domain::{DomainName, InboxKey, MessageId, OrganizationId};
use podmail_store::{Inbox, Scope};

use crate::domains::records::{Purpose, RecordState, current};
use crate::{App, Error, Result};

/// What tokens of opens begin with, so that none is taken for a download link or the other way round.
const KIND: &str = "open";

impl App {
    /// The host of tracking images for mail of this inbox.
    pub(crate) async fn tracking_host(&self, scope: &Scope, inbox: &Inbox) -> Result<String> {
        let refuse = || {
            Error::Unprocessable(
                "Open tracking needs a sending domain with tracking_enabled and a verified link record"
                    .to_owned(),
            )
        };
        let governing = inbox.governing_domain.as_deref().and_then(DomainName::parse).ok_or_else(refuse)?;
        let whole = self.store().organization_scope(scope.organization()).await?.ok_or_else(refuse)?;
        let domain = self.store().domain(&whole, &governing).await?.ok_or_else(refuse)?;
        let is_there = domain.forced
            || current(&domain, self.settings())
                .iter()
                .any(|record| record.purpose == Purpose::Tracking && record.state == RecordState::Valid);
        if domain.flags.tracking && is_there {
            Ok(format!("link.{}", domain.domain.as_str()))
        } else {
            Err(refuse())
        }
    }

    /// The HTML with an invisible image at its end.
    pub(crate) async fn with_pixel(
        &self,
        html: &str,
        host: &str,
        scope: &Scope,
        inbox: InboxKey,
        message: &MessageId,
    ) -> Result<String> {
        let subject = format!("{KIND}.{}.{inbox}.{message}", scope.organization());
        let token = self.token_of(&subject).await?;
        // Scheme and port are those under which this server is reached.
        let public = &self.settings().public_url;
        let (scheme, rest) = public.split_once("://").unwrap_or(("https", public));
        let authority = rest.split('/').next().unwrap_or_default();
        let port =
            authority.rsplit_once(':').map(|(_, port)| port).filter(|port| port.parse::<u16>().is_ok());
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let image = format!(
            "<img src=\"{scheme}://{host}{port}/o/{token}.gif\" width=\"1\" height=\"1\" alt=\"\" \
             style=\"display:block;width:1px;height:1px;border:0\">"
        );
        let end = html.to_ascii_lowercase().rfind("</body").unwrap_or(html.len());
        let (before, after) = html.split_at_checked(end).unwrap_or((html, ""));
        Ok(format!("{before}{image}{after}"))
    }

    /// Takes note of a fetch of a tracking image. Tokens that are not ours, and messages that are gone, are ignored.
    pub async fn note_open(&self, token: &str) -> Result<()> {
        let Some((scope, message)) = self.opened(token).await? else { return Ok(()) };
        self.store().open_message(&scope, &message, self.now()).await?;
        Ok(())
    }

    async fn opened(&self, token: &str) -> Result<Option<(Scope, MessageId)>> {
        let Some(subject) = self.subject_of(token).await? else { return Ok(None) };
        let mut parts = subject.splitn(4, '.');
        let (Some(KIND), Some(organization), Some(inbox), Some(message)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Ok(None);
        };
        let (Some(organization), Some(inbox)) = (OrganizationId::parse(organization), InboxKey::parse(inbox))
        else {
            return Ok(None);
        };
        let scope = self.store().inbox_scope_by_key(organization, inbox).await?;
        Ok(scope.map(|scope| (scope, MessageId::new(message))))
    }
}
