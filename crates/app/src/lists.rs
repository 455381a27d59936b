//! Allow and block lists: who may be mailed, and whose mail is shown.

use podmail_api_types::lists as wire;
use podmail_domain::list::{ListDirection, ListEntry, ListLevel, ListMatch, ListVerdict, judge};
use podmail_mime::{Mailbox, Parsed};
use podmail_store::{Cursor, ListEntryDeleted, ListName, Page, Scope, StoredListEntry};

use crate::error::Explained;
use crate::{App, Caller, Error, Result};

impl App {
    /// Adds an entry to the list of the caller's level; one that is there stays as it is.
    pub async fn create_list_entry(
        &self,
        caller: &Caller,
        list: ListName,
        entry: ListEntry,
        reason: Option<String>,
    ) -> Result<wire::ListEntry> {
        let made = self.store().create_list_entry(&caller.scope, list, entry, reason, self.now()).await?;
        let gone = if caller.scope.inbox().is_some() { "Inbox" } else { "Pod" };
        Ok(shown(made.ok_or(Error::NotFound(gone))?))
    }

    /// An entry of the list of the caller's level.
    pub async fn list_entry(
        &self,
        caller: &Caller,
        list: ListName,
        entry: &ListEntry,
    ) -> Result<wire::ListEntry> {
        let found = self.store().list_entry(&caller.scope, list, entry).await?;
        found.map(shown).ok_or(Error::NotFound("List entry"))
    }

    /// A page of the list of the caller's level.
    pub async fn list_entries(
        &self,
        caller: &Caller,
        list: ListName,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<wire::ListEntry>> {
        Ok(self.store().list_entries(&caller.scope, list, after, limit).await?.map(shown))
    }

    /// Removes an entry of the list of the caller's level.
    pub async fn delete_list_entry(&self, caller: &Caller, list: ListName, entry: ListEntry) -> Result<()> {
        match self.store().delete_list_entry(&caller.scope, list, entry).await? {
            ListEntryDeleted::Done => Ok(()),
            ListEntryDeleted::Absent => Err(Error::NotFound("List entry")),
            ListEntryDeleted::ReadOnly => Err(Error::CannotDelete(Explained {
                message: "The entry is read-only: ask the operator of this server (`podmail list remove`)"
                    .to_owned(),
                fix: "A complaint or an unsubscription made the entry: only the operator of this server removes it, \
                      with `podmail list remove`.",
            })),
        }
    }

    /// Removes an address from the block lists of sending, read-only entries too. Without an organization it has to be the
    /// only one. Returns what was removed.
    pub async fn operator_remove_blocks(
        &self,
        organization: Option<&str>,
        pod: Option<&str>,
        address: &str,
    ) -> Result<Vec<StoredListEntry>> {
        let scope = self.operator_scope(organization, pod).await?;
        let entry = ListEntry::parse(address).ok_or(Error::NotFound("List entry"))?;
        let removed = self.store().remove_block_entries(&scope, entry).await?;
        if removed.is_empty() {
            return Err(Error::NotFound("List entry"));
        }
        Ok(removed)
    }

    /// Whether the inbox may mail all of these; names everybody whom it may not, with the reason and the way out.
    pub(crate) async fn may_mail(
        &self,
        scope: &Scope,
        recipients: impl Iterator<Item = &Mailbox>,
    ) -> Result<()> {
        let addresses: Vec<ListEntry> =
            recipients.map(|mailbox| ListEntry::of_address(&mailbox.address)).collect();
        let lists = self.store().list_matches(scope, ListDirection::Send, &addresses).await?;
        let (mut offenders, mut fixes) = (Vec::new(), Vec::new());
        for address in &addresses {
            let (why, fix) = match judge(address, &lists.found, lists.allow) {
                ListVerdict::Allowed => continue,
                ListVerdict::Blocked(entry) => {
                    (entry.reason.clone().unwrap_or_else(|| "blocked".to_owned()), lift(scope, entry))
                }
                ListVerdict::NotAllowed(level) => (
                    "not in allow list".to_owned(),
                    format!("Allow {address}: POST {}/send/allow", lists_of(scope, level)),
                ),
            };
            let offender = format!("{address} ({why})");
            if !offenders.contains(&offender) {
                offenders.push(offender);
            }
            if !fixes.contains(&fix) {
                fixes.push(fix);
            }
        }
        if offenders.is_empty() {
            return Ok(());
        }
        Err(Error::MessageRejected {
            message: format!("Message rejected: Recipient(s) blocked: {}", offenders.join(", ")),
            fix: Some(fixes.join("; ")),
        })
    }

    /// Whether the lists of an inbox keep a mail from being shown. An answer to what the inbox sent is asked after on
    /// the reply lists alone, anything else on the receive lists.
    pub(crate) async fn is_blocked(&self, scope: &Scope, parsed: &Parsed) -> Result<bool> {
        let answered: Vec<String> =
            parsed.in_reply_to.iter().take(1).map(|id| crate::receive::name_of(id)).collect();
        let direction = if self.store().sent_by_inbox(scope, &answered).await? {
            ListDirection::Reply
        } else {
            ListDirection::Receive
        };
        let sender = parsed.from.as_ref().map(|from| ListEntry::of_address(&from.address));
        let lists = self.store().list_matches(scope, direction, sender.as_slice()).await?;
        Ok(match &sender {
            Some(sender) => judge(sender, &lists.found, lists.allow) != ListVerdict::Allowed,
            // Nobody can be on an allow list without a name.
            None => lists.allow.is_some(),
        })
    }
}

/// What stands for itself in a segment of a path: an address is readable in it.
const SEGMENT: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'@').remove(b'.').remove(b'-').remove(b'_');

/// Where the lists of a level are, as seen from an inbox.
fn lists_of(scope: &Scope, level: ListLevel) -> String {
    match (level, scope.inbox()) {
        (ListLevel::Inbox, Some(inbox)) => format!("/v0/inboxes/{}/lists", inbox.id),
        (ListLevel::Pod, _) => format!("/v0/pods/{}/lists", scope.pod_or_default()),
        (ListLevel::Organization, _) | (ListLevel::Inbox, None) => "/v0/lists".to_owned(),
    }
}

fn lift(scope: &Scope, entry: &ListMatch) -> String {
    let ListMatch { entry: name, read_only, level, .. } = entry;
    if *read_only {
        return format!("The block of {name} is read-only: ask the operator of this server");
    }
    let segment = percent_encoding::utf8_percent_encode(name.as_str(), SEGMENT);
    format!("Remove the block of {name}: DELETE {}/send/block/{segment}", lists_of(scope, *level))
}

fn shown(entry: StoredListEntry) -> wire::ListEntry {
    wire::ListEntry {
        entry_type: if entry.entry.is_email() { "email" } else { "domain" },
        entry: entry.entry.to_string(),
        organization_id: entry.organization_id,
        pod_id: entry.pod_id,
        inbox_id: entry.inbox_id,
        direction: entry.direction.as_str(),
        list_type: entry.list_type.as_str(),
        reason: entry.reason,
        read_only: entry.read_only.then_some(true),
        created_at: entry.created_at,
    }
}
