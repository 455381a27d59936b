//! Organizations: one read for callers, everything else for the operator, who needs no key.

use podmail_api_types::keys::CreatedApiKey;
use podmail_api_types::organizations as wire;
use podmail_domain::id::new_api_key_secret;
use podmail_domain::{InboxId, OrganizationId, Permissions, limits};
use podmail_store::{NewOrganization, Scope};

pub use podmail_store::{Limits, Organization, OrganizationChange};

use crate::error::Explained;
use crate::keys::kept;
use crate::{App, Caller, Error, Issue, PathItem, Result};

/// Organizations read at a time for an operator's list.
const LIST_CHUNK: usize = 500;
/// Name of an organization's first key, and of keys that an operator gave none.
const KEY_NAME: &str = "My API Key";
/// Name of the organization that a fresh installation starts with.
const FIRST_NAME: &str = "default";
/// Characters of a key that an operator chose.
const CHOSEN_KEY_CHARS: usize = 256;

impl App {
    /// The caller's organization, for organization keys only. No flag is involved.
    pub async fn organization(&self, caller: &Caller) -> Result<wire::Organization> {
        caller.require_organization_key()?;
        let found = self.store().organization(&caller.own).await?.ok_or(Error::NotFound("Organization"))?;
        Ok(wire::Organization {
            organization_id: found.organization_id,
            inbox_count: found.inbox_count,
            domain_count: found.domain_count,
            inbox_limit: found.limits.inbox_limit,
            domain_limit: found.limits.domain_limit,
            updated_at: found.updated_at,
            created_at: found.created_at,
        })
    }

    /// Whether the caller's organization is in Labs. The edge has seen that the key is one of the organization.
    pub async fn labs(&self, caller: &Caller) -> Result<wire::OrganizationLabs> {
        let found = self.store().organization(&caller.own).await?.ok_or(Error::NotFound("Organization"))?;
        let enabled = self.is_in_labs(&found);
        Ok(wire::OrganizationLabs {
            enabled,
            // By default an organization has been in it as long as it exists.
            enabled_at: enabled.then(|| found.labs_at.unwrap_or(found.created_at)),
            available: self.settings().labs_available,
        })
    }

    /// Joins Labs; a second time changes nothing. The edge has seen that the key is an unrestricted one of the
    /// organization.
    ///
    /// # Errors
    /// [`Error::NotOffered`], and [`Error::WrongState`] when the operator takes the organization out at the same time.
    pub async fn join_labs(&self, caller: &Caller) -> Result<wire::OrganizationLabs> {
        let settings = self.settings();
        if !settings.labs_available {
            return Err(Error::NotOffered("Labs"));
        }
        self.store().join_labs(&caller.own, settings.labs_everyone, self.now()).await?;
        let labs = self.labs(caller).await?;
        if labs.enabled {
            Ok(labs)
        } else {
            Err(Error::WrongState(Explained {
                message: "The organization was taken out of Labs at the same time".to_owned(),
                fix: "Ask the operator of this server for Labs.",
            }))
        }
    }

    /// Whether an organization has the features of Labs.
    pub fn is_in_labs(&self, organization: &Organization) -> bool {
        let settings = self.settings();
        settings.labs_available && organization.labs.unwrap_or(settings.labs_everyone)
    }

    /// Makes an organization with its default pod; returns its id and the secret of its first key.
    pub async fn operator_create_organization(
        &self,
        name: &str,
        limits: Limits,
    ) -> Result<(OrganizationId, String)> {
        let name = checked_name(name)?;
        let secret = new_api_key_secret(self.ids());
        let new = NewOrganization { name, limits, key_name: KEY_NAME.to_owned(), secret: kept(&secret) };
        let (organization, _) = self.store().create_organization(new, self.now()).await?;
        Ok((organization, secret))
    }

    /// Changes an organization given by id or exact name; returns it as it is afterwards.
    pub async fn operator_set_organization(
        &self,
        id_or_name: &str,
        change: OrganizationChange,
    ) -> Result<Organization> {
        let organization = self.resolve(id_or_name).await?;
        if change.labs == Some(true) && !self.settings().labs_available {
            return Err(Error::NotOffered("Labs"));
        }
        self.store().set_organization(organization, change, self.now()).await?;
        self.store().organization_by_id(organization).await?.ok_or(Error::NotFound("Organization"))
    }

    /// All organizations, oldest first.
    pub async fn operator_organizations(&self) -> Result<Vec<Organization>> {
        let mut all = Vec::new();
        loop {
            let after = all.last().map(|last: &Organization| last.organization_id);
            let chunk = self.store().organizations(after, LIST_CHUNK).await?;
            let last = chunk.len() < LIST_CHUNK;
            all.extend(chunk);
            if last {
                return Ok(all);
            }
        }
    }

    /// An organization given by id or exact name.
    pub async fn operator_organization(&self, id_or_name: &str) -> Result<Organization> {
        let organization = self.resolve(id_or_name).await?;
        self.store().organization_by_id(organization).await?.ok_or(Error::NotFound("Organization"))
    }

    /// Makes an unrestricted key of an organization, of a pod (by id or `client_id`) or of an inbox (by address). The
    /// organization may be left out while there is only one; the answer says which it is.
    pub async fn operator_create_key(
        &self,
        organization: Option<&str>,
        pod: Option<&str>,
        inbox: Option<&str>,
        name: Option<&str>,
    ) -> Result<(OrganizationId, CreatedApiKey)> {
        let name = checked_name(name.unwrap_or(KEY_NAME))?;
        let mut scope = self.operator_scope(organization, pod).await?;
        let organization = scope.organization();
        if let Some(inbox) = inbox {
            let inbox = InboxId::parse(inbox).ok_or(Error::NotFound("Inbox"))?;
            scope = self.store().inbox_scope(&scope, &inbox).await?.ok_or(Error::NotFound("Inbox"))?;
        }
        let key =
            self.issue(&scope, name, Permissions::UNRESTRICTED, None).await?.ok_or(Error::RaceCondition)?;
        Ok((organization, key))
    }

    /// An organization (it may be left out while there is only one) or one of its pods.
    pub(crate) async fn operator_scope(
        &self,
        organization: Option<&str>,
        pod: Option<&str>,
    ) -> Result<Scope> {
        let organization = match organization {
            Some(id_or_name) => self.resolve(id_or_name).await?,
            None => self.only_organization().await?,
        };
        let scope =
            self.store().organization_scope(organization).await?.ok_or(Error::NotFound("Organization"))?;
        match pod {
            Some(pod) => self.store().pod_scope(&scope, pod).await?.ok_or(Error::NotFound("Pod")),
            None => Ok(scope),
        }
    }

    /// On an installation without any organization: makes the first one and returns the secret of its key, `explicit`
    /// or a generated one. Otherwise `None`.
    pub async fn bootstrap(&self, explicit: Option<String>) -> Result<Option<String>> {
        let secret = match explicit {
            Some(secret) => checked_secret(secret)?,
            None => new_api_key_secret(self.ids()),
        };
        let new = NewOrganization {
            name: FIRST_NAME.to_owned(),
            limits: Limits::default(),
            key_name: KEY_NAME.to_owned(),
            secret: kept(&secret),
        };
        let made = self.store().create_first_organization(new, self.now()).await?;
        Ok(made.map(|_| secret))
    }

    /// An id, or a name that only one organization has.
    async fn resolve(&self, id_or_name: &str) -> Result<OrganizationId> {
        if let Some(organization) = OrganizationId::parse(id_or_name)
            && self.store().organization_scope(organization).await?.is_some()
        {
            return Ok(organization);
        }
        match self.store().organizations_named(id_or_name).await?.as_slice() {
            [] => Err(Error::NotFound("Organization")),
            [one] => Ok(*one),
            several => Err(ambiguous(&format!("Several organizations are named {id_or_name}"), several)),
        }
    }

    async fn only_organization(&self) -> Result<OrganizationId> {
        let all = self.operator_organizations().await?;
        let ids: Vec<OrganizationId> = all.into_iter().map(|found| found.organization_id).collect();
        match ids.as_slice() {
            [] => Err(Error::NotFound("Organization")),
            [one] => Ok(*one),
            several => Err(ambiguous("There are several organizations", several)),
        }
    }
}

fn ambiguous(what: &str, ids: &[OrganizationId]) -> Error {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    Error::Conflict(format!("{what}; name one by its id: {}", ids.join(", ")))
}

fn checked_name(name: &str) -> Result<String> {
    let name = name.trim();
    let path = || [PathItem::from("name")];
    if name.is_empty() {
        return Err(Error::invalid(Issue::too_small(path(), "string", 1)));
    }
    if name.chars().count() > limits::NAME_CHARS {
        return Err(Error::invalid(Issue::too_big(path(), "string", limits::NAME_CHARS)));
    }
    if name.chars().any(char::is_control) {
        return Err(Error::invalid(Issue::custom(path(), "A name must not hold control characters")));
    }
    Ok(name.to_owned())
}

/// A key that could never be presented must not become the only one: `Authorization` takes no white space, and three
/// parts between dots would be taken for a session token.
fn checked_secret(secret: String) -> Result<String> {
    let fits = !secret.is_empty()
        && secret.len() <= CHOSEN_KEY_CHARS
        && secret.bytes().all(|b| b.is_ascii_graphic())
        && secret.bytes().filter(|b| *b == b'.').count() != 2;
    if fits {
        return Ok(secret);
    }
    let text =
        "A key is 1 to 256 printable ASCII characters without white space, and not three parts between dots";
    Err(Error::invalid(Issue::custom([PathItem::from("bootstrap_key")], text)))
}
