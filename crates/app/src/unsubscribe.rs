//! List-Unsubscribe of our own (RFC 2369, RFC 8058): two headers on mail to one recipient, where the operator switched
//! them on, and what follows when the recipient uses them.
//!
//! The link holds all that is needed, signed: it works as long as the organization is there, whatever became of message
//! and inbox. Looking at a link changes nothing: scanners fetch links.

use podmail_domain::{DomainName, MessageKey, OrganizationId, PodId};
use podmail_mime::Mailbox;
use podmail_store::{Inbox, Scope, SendingDomain, Suppression};

use crate::reports::address::{Purpose, ReportAddress, base36, number};
use crate::{App, Error, Result};

/// What tokens of these links begin with.
const KIND: &str = "unsubscribe";
/// Setting of the installation: whether mail from the shared domain gets the headers.
const SHARED_SWITCH: &str = "unsubscribe_links";
/// Its value when it does.
const ON: &str = "on";
/// The header that names the ways to unsubscribe.
const HEADER: &str = "List-Unsubscribe";
/// The header that says that a POST suffices (RFC 8058 §3.1).
const POST_HEADER: &str = "List-Unsubscribe-Post";
/// Its value, and what the body of the POST says.
const ONE_CLICK: &str = "One-Click";
/// Bytes of the header's value up to which it fits a line (RFC 5322 §2.1.1).
const HEADER_BYTES: usize = 900;

/// What a link is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    organization: OrganizationId,
    pod: PodId,
    /// Who would get no further mail.
    pub address: String,
}

impl App {
    /// The headers of a mail to `recipients` from `inbox`, none where they are not wanted. `own`: names of the headers
    /// that the sender gave. `sending`: the registered domain that covers the inbox.
    pub(crate) async fn unsubscribe_headers(
        &self,
        scope: &Scope,
        inbox: &Inbox,
        sending: Option<&SendingDomain>,
        message: MessageKey,
        recipients: &[&Mailbox],
        own: &[(String, String)],
    ) -> Result<Vec<(String, String)>> {
        let has = |name: &str| own.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
        // With several recipients nobody can tell who asks: all of them get the same bytes.
        let [recipient] = recipients else { return Ok(Vec::new()) };
        if has(HEADER) || has(POST_HEADER) {
            return Ok(Vec::new());
        }
        let wanted = match sending {
            Some(domain) => domain.unsubscribe_links,
            None => self.store().installation_value(SHARED_SWITCH).await?.is_some_and(|value| value == ON),
        };
        if !wanted {
            return Ok(Vec::new());
        }
        let subject = format!(
            "{KIND}.{}.{}.{}",
            base36(scope.organization().uuid()),
            base36(scope.pod_or_default().uuid()),
            recipient.address
        );
        let token = self.token_of(&subject).await?;
        let link = format!("<{}/u/{token}>", self.settings().public_url.trim_end_matches('/'));
        let local = ReportAddress { purpose: Purpose::Unsubscribe, inbox: inbox.inbox_key, message };
        let host = self.report_host(inbox.governing_domain.as_deref());
        let both = format!("{link}, <mailto:{local}@{host}>");
        let value = if both.len() <= HEADER_BYTES { both } else { link };
        Ok(vec![(HEADER.to_owned(), value), (POST_HEADER.to_owned(), format!("{HEADER}={ONE_CLICK}"))])
    }

    /// What a link is about.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is none of ours.
    pub async fn subscription(&self, token: &str) -> Result<Subscription> {
        let subject = self.subject_of(token).await?.unwrap_or_default();
        let mut parts = subject.splitn(4, '.');
        let (Some(KIND), Some(organization), Some(pod), Some(address)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Error::NotFound("Unsubscribe link"));
        };
        let (Some(organization), Some(pod)) = (number(organization), number(pod)) else {
            return Err(Error::NotFound("Unsubscribe link"));
        };
        Ok(Subscription {
            organization: OrganizationId::from_uuid(organization),
            pod: PodId::from_uuid(pod),
            address: address.to_owned(),
        })
    }

    /// Keeps the tenant from mailing the address again. Doing it again changes nothing, and where the tenant is gone
    /// there is nothing to do.
    pub async fn unsubscribe(&self, subscription: &Subscription) -> Result<()> {
        let Subscription { organization, pod, address } = subscription;
        let Some(scope) = self.store().organization_scope(*organization).await? else { return Ok(()) };
        let Some(scope) = self.store().pod_scope(&scope, &pod.to_string()).await? else { return Ok(()) };
        let whole = self.settings().suppress_in_organization;
        let cause = Suppression::Unsubscribe;
        self.store().suppress(&scope, address.clone(), cause, whole, self.now()).await?;
        tracing::info!(organization.id = %organization, "unsubscribed by link");
        Ok(())
    }

    /// Switches the headers on or off for a customer's domain or the shared one: the operator's way. Returns the domain.
    ///
    /// # Errors
    /// [`Error::NotFound`] when no organization has it.
    pub async fn operator_set_unsubscribe(&self, domain: &str, on: bool) -> Result<DomainName> {
        let name = DomainName::parse(domain).ok_or(Error::NotFound("Domain"))?;
        if name.as_str() == self.settings().domain {
            let value = if on { ON } else { "off" };
            self.store().set_installation_value(SHARED_SWITCH, value).await?;
        } else if !self.store().set_unsubscribe_links(&name, on).await? {
            return Err(Error::NotFound("Domain"));
        }
        Ok(name)
    }
}

/// Whether the body of a POST asks for it (RFC 8058 §3.1): a form, in either encoding, with `List-Unsubscribe=One-Click`.
/// What else it has does not matter.
pub fn is_one_click(content_type: &str, body: &[u8]) -> bool {
    if !content_type.trim_start().to_ascii_lowercase().starts_with("multipart/form-data") {
        return url::form_urlencoded::parse(body).any(|(name, value)| {
            name.eq_ignore_ascii_case(HEADER) && value.trim().eq_ignore_ascii_case(ONE_CLICK)
        });
    }
    // Field and value as every client writes them; nothing else in a form looks like it.
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    let Some((_, rest)) = text.split_once("name=\"list-unsubscribe\"") else { return false };
    let Some((_, value)) = rest.split_once("\n\r\n").or_else(|| rest.split_once("\n\n")) else {
        return false;
    };
    value.lines().next().is_some_and(|value| value.trim() == "one-click")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_form_with_the_right_field_is_a_click() {
        let form = "application/x-www-form-urlencoded";
        let part = |name: &str, value: &str| {
            format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n--b--\r\n")
        };
        for (kind, body, want) in [
            (form, "List-Unsubscribe=One-Click".to_owned(), true),
            ("", "List-Unsubscribe=One-Click".to_owned(), true),
            (form, "a=b&List-Unsubscribe=One-Click".to_owned(), true),
            (form, "List%2DUnsubscribe=One%2DClick%0D%0A".to_owned(), true),
            (form, "List-Unsubscribe=Two-Clicks".to_owned(), false),
            (form, "One-Click".to_owned(), false),
            (form, String::new(), false),
            ("multipart/form-data; boundary=b", part("List-Unsubscribe", "One-Click"), true),
            ("Multipart/Form-Data; boundary=b", part("List-Unsubscribe", "no"), false),
            ("multipart/form-data; boundary=b", part("other", "One-Click"), false),
            ("multipart/form-data; boundary=b", "List-Unsubscribe=One-Click".to_owned(), false),
        ] {
            assert_eq!(is_one_click(kind, body.as_bytes()), want, "{kind} {body}");
        }
    }
}
