//! Inboxes: making them, changing them, deleting them. `place` decides where a new one may lie, `fields` what its
//! members may hold, `purge` removes what deleted ones leave behind.

mod fields;
mod place;
mod purge;
#[cfg(test)]
mod tests;
mod words;

use podmail_api_types::inboxes as wire;
use podmail_domain::source::random;
use podmail_domain::{InboxId, PodId};
use podmail_store::{
    Cursor, Inbox, InboxChange, InboxChanged, InboxCreated, InboxPlace, Metadata, MetadataChange, NewInbox,
    Order, Page, SubdomainUse,
};

use crate::{App, Caller, Error, Issue, PodSubdomains, Result};

pub use fields::{display_name, metadata_change, new_metadata, username};

/// Random names tried before giving up: with 10 million of them the second one is rarely needed.
const RANDOM_TRIES: usize = 20;
/// Free names that a refusal proposes.
const SUGGESTIONS: usize = 3;
/// Names looked up to find them.
const SUGGESTION_CANDIDATES: usize = 12;
/// Letters of the asked name that a suggestion keeps, so that its four digits still fit.
const SUGGESTION_CHARS: usize = podmail_domain::limits::USERNAME_BYTES - 4;

/// An inbox to make; what the members may hold is checked already (see [`username`] and its neighbours).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CreateInbox {
    /// Local part; a random one when absent.
    pub username: Option<String>,
    /// The shared domain when absent.
    pub domain: Option<String>,
    /// Cleaned.
    pub display_name: Option<String>,
    /// Makes the create repeatable.
    pub client_id: Option<String>,
    /// Starts paused.
    pub paused: bool,
    /// Not empty.
    pub metadata: Option<Metadata>,
}

/// A change of an inbox; `None` leaves a member as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpdateInbox {
    /// Cleaned; `Some(None)` clears it.
    pub display_name: Option<Option<String>>,
    /// Pauses or resumes.
    pub paused: Option<bool>,
    /// Merged into what is stored, or clears it.
    pub metadata: Option<MetadataChange>,
}

impl App {
    /// What a `client_id` made, if it was used: a repeated create gets it whatever else it says.
    pub async fn inbox_of_client_id(&self, caller: &Caller, client_id: &str) -> Result<Option<wire::Inbox>> {
        match self.store().inbox_of_client_id(&caller.scope, client_id).await? {
            None => Ok(None),
            Some(InboxCreated::Existing(inbox)) => Ok(Some(shown(*inbox))),
            Some(_) => Err(elsewhere()),
        }
    }

    /// Makes an inbox in the caller's pod, or in the default one. With a `client_id` that was used before: returns
    /// what it made then.
    pub async fn create_inbox(&self, caller: &Caller, input: CreateInbox) -> Result<wire::Inbox> {
        if let Some(client_id) = &input.client_id
            && let Some(known) = self.inbox_of_client_id(caller, client_id).await?
        {
            return Ok(known);
        }
        let location = self.locate(&caller.scope, input.domain.as_deref()).await?;
        for _ in 0..RANDOM_TRIES {
            let username = match &input.username {
                Some(username) => username.clone(),
                None => self.random_username(),
            };
            if location.reserves(&username) {
                if input.username.is_none() {
                    continue;
                }
                return Err(Error::ResourceTaken { resource: "Inbox" });
            }
            let place = self.place(caller, &input, &location, &username)?;
            let new = NewInbox {
                scope: caller.scope.clone(),
                place,
                display_name: input.display_name.clone(),
                client_id: input.client_id.clone(),
                paused: input.paused,
                metadata: input.metadata.clone(),
                now: self.now(),
            };
            match self.store().create_inbox(new).await? {
                InboxCreated::Created(inbox) | InboxCreated::Existing(inbox) => return Ok(shown(*inbox)),
                InboxCreated::ClientIdElsewhere => return Err(elsewhere()),
                InboxCreated::LimitReached(limit) => {
                    return Err(Error::LimitExceeded { resource: "inbox", limit });
                }
                InboxCreated::PodGone => return Err(Error::NotFound("Pod")),
                InboxCreated::OwnConflict { .. } | InboxCreated::ForeignConflict
                    if input.username.is_none() => {}
                InboxCreated::OwnConflict { pod, inbox_id } => {
                    return Err(self.own_conflict(caller, pod, &username, &inbox_id).await?);
                }
                InboxCreated::ForeignConflict => return Err(Error::ResourceTaken { resource: "Inbox" }),
            }
        }
        Err(Error::Unavailable)
    }

    /// The caller's inbox.
    pub async fn inbox(&self, caller: &Caller) -> Result<wire::Inbox> {
        self.store().inbox(&caller.scope).await?.map(shown).ok_or(Error::NotFound("Inbox"))
    }

    /// A page of the inboxes in the caller's scope by time of creation.
    pub async fn list_inboxes(
        &self,
        caller: &Caller,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<wire::Inbox>> {
        Ok(self.store().list_inboxes(&caller.scope, order, after, limit).await?.map(shown))
    }

    /// A page of the inboxes in the caller's scope whose address or display name has words that begin like those of
    /// `q`, best first. A page may be empty and yet not be the last.
    pub async fn search_inboxes(
        &self,
        caller: &Caller,
        q: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<wire::Inbox>> {
        Ok(self.store().search_inboxes(&caller.scope, q, after, limit).await?.map(shown))
    }

    /// Changes the caller's inbox.
    pub async fn update_inbox(&self, caller: &Caller, input: UpdateInbox) -> Result<wire::Inbox> {
        let UpdateInbox { display_name, paused, metadata } = input;
        if display_name.is_none() && paused.is_none() && metadata.is_none() {
            let message = "At least one of display_name, status and metadata is required";
            return Err(Error::invalid(Issue::custom([], message)));
        }
        let change = InboxChange { display_name, paused, metadata };
        match self.store().change_inbox(&caller.scope, change, self.now()).await? {
            InboxChanged::Done(inbox) => Ok(shown(*inbox)),
            InboxChanged::Gone => Err(Error::NotFound("Inbox")),
            InboxChanged::TooMuchMetadata => Err(Error::invalid(fields::too_many_members())),
        }
    }

    /// Deletes the caller's inbox with all that it holds.
    pub async fn delete_inbox(&self, caller: &Caller) -> Result<()> {
        if self.store().delete_inbox(&caller.scope, self.now()).await? {
            Ok(())
        } else {
            Err(Error::NotFound("Inbox"))
        }
    }

    fn place(
        &self,
        caller: &Caller,
        input: &CreateInbox,
        location: &place::Location,
        username: &str,
    ) -> Result<InboxPlace> {
        let default_pod = PodId::default_of(caller.scope.organization());
        let subdomain = match self.settings().pod_subdomains {
            PodSubdomains::Off => None,
            PodSubdomains::Always => Some(SubdomainUse::Always),
            // A random name that is taken is replaced by another one, not moved.
            PodSubdomains::Conflict => input.username.as_ref().map(|_| SubdomainUse::OnConflict),
        };
        let shared = self.settings().domain.clone();
        let longest =
            match (subdomain, input.domain.is_none() && caller.scope.pod_or_default() != default_pod) {
                (Some(subdomain), true) => {
                    let username = username.to_owned();
                    return Ok(InboxPlace::Pod { username, shared, subdomain });
                }
                _ => location.domain(),
            };
        let address = podmail_domain::EmailAddress::new(username, longest).ok_or_else(|| {
            Error::invalid(Issue::custom(["username".into()], "User name and domain are too long together"))
        })?;
        let governing_domain = location.governing_domain().map(str::to_owned);
        Ok(InboxPlace::At { inbox_id: InboxId::of(&address), governing_domain })
    }

    /// The organization has the address already: said openly to whoever may see the pod that it lies in.
    async fn own_conflict(
        &self,
        caller: &Caller,
        pod: PodId,
        username: &str,
        inbox_id: &InboxId,
    ) -> Result<Error> {
        if !caller.own.covers(Some(pod), None) {
            return Ok(Error::ResourceTaken { resource: "Inbox" });
        }
        let base: String = username.chars().take(SUGGESTION_CHARS).collect();
        let candidates = (0..SUGGESTION_CANDIDATES).filter_map(|_| {
            let digits = u32::from_be_bytes(random(self.ids())) % 10_000;
            InboxId::parse(&format!("{base}{digits:04}@{}", inbox_id.domain()))
        });
        let mut candidates: Vec<InboxId> = candidates.collect();
        candidates.sort();
        candidates.dedup();
        let free = self.store().free_addresses(candidates).await?;
        let local = |id: &InboxId| id.as_str().split('@').next().unwrap_or_default().to_owned();
        let suggestions = free.iter().take(SUGGESTIONS).map(local).collect();
        let mut fix =
            format!("Fetch the existing inbox with GET /v0/inboxes/{inbox_id}, or choose another username.");
        if pod != PodId::default_of(caller.scope.organization()) {
            fix.push_str(" Pass a client_id to make the call repeatable: it then returns the inbox that it made first.");
        }
        Ok(Error::AlreadyExists { resource: "Inbox", suggestions, fix: Some(fix) })
    }

    /// An adjective, a noun and three digits.
    fn random_username(&self) -> String {
        let [a, b, c] = [(); 3].map(|()| u32::from_be_bytes(random(self.ids())));
        let pick = |words: &[&'static str], n: u32| {
            let at = usize::try_from(n).unwrap_or_default() % words.len().max(1);
            words.get(at).copied().unwrap_or_default()
        };
        format!("{}{}{:03}", pick(words::ADJECTIVES, a), pick(words::NOUNS, b), c % 1000)
    }
}

/// The `client_id` names something that the caller may not see, and is not told of.
fn elsewhere() -> Error {
    Error::AlreadyExists { resource: "Inbox", suggestions: Vec::new(), fix: None }
}

/// An inbox as the API shows it.
fn shown(inbox: Inbox) -> wire::Inbox {
    wire::Inbox {
        organization_id: inbox.organization_id,
        pod_id: inbox.pod_id,
        email: inbox.inbox_id.clone(),
        inbox_id: inbox.inbox_id,
        display_name: inbox.display_name,
        client_id: inbox.client_id,
        status: inbox.paused.then_some(wire::InboxStatus::Paused),
        metadata: inbox.metadata,
        updated_at: inbox.updated_at,
        created_at: inbox.created_at,
    }
}
