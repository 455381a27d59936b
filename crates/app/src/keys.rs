//! API keys. No key can hand out, or take away, more than it holds itself; an unrestricted key may hand out anything.

mod public;

use std::collections::BTreeMap;

use podmail_api_types::auth::{Identity, ScopeType};
use podmail_api_types::keys as wire;
use podmail_domain::id::new_api_key_secret;
use podmail_domain::{ApiKeyId, Permission, Permissions, Timestamp};
use podmail_store::{ApiKey, ApiKeyChange, Cursor, KeySecret, KeyWritten, NewApiKey, Order, Page, Scope};

pub use podmail_store::{KeyFamily, KeyLevel};
pub use public::{PublicJwk, Registration};

use crate::auth::hash_secret;
use crate::{App, Caller, Error, Result};

/// Name of a key that was given none.
const DEFAULT_NAME: &str = "My API Key";
/// Characters of a secret that are shown to people.
const PREFIX_CHARS: usize = 12;
/// How often a change is decided anew when the target's flags changed meanwhile.
const ATTEMPTS: usize = 3;
/// How the resource is called in "not found".
const RESOURCE: &str = "API key";

/// The `permissions` of a create request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RequestedFlags {
    /// Nothing said: the child gets what the creator has.
    #[default]
    Omitted,
    /// Explicitly `null`: an unrestricted key.
    Unrestricted,
    /// Exactly these; the names are known flags.
    These(BTreeMap<String, bool>),
}

/// A key to be made.
#[derive(Clone, Debug, Default)]
pub struct NewKey {
    /// Already checked.
    pub name: Option<String>,
    /// Its flags.
    pub permissions: RequestedFlags,
    /// In the future.
    pub expires_at: Option<Timestamp>,
}

/// A change of a key; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct KeyChange {
    /// Already checked.
    pub name: Option<String>,
    /// Replaces all flags; [`Permissions::UNRESTRICTED`] removes the object.
    pub permissions: Option<Permissions>,
}

impl App {
    /// Who the caller is, whatever the path says.
    pub fn identity(&self, caller: &Caller) -> Identity {
        let own = &caller.own;
        let organization_id = own.organization();
        let (scope_type, scope_id) = match (own.inbox(), own.pod()) {
            (Some(inbox), _) => (ScopeType::Inbox, inbox.id.to_string()),
            (None, Some(pod)) => (ScopeType::Pod, pod.to_string()),
            (None, None) => (ScopeType::Organization, organization_id.to_string()),
        };
        Identity {
            scope_type,
            scope_id,
            organization_id,
            pod_id: own.pod(),
            inbox_id: own.inbox().map(|inbox| inbox.id.clone()),
            api_key_id: Some(caller.api_key_id),
        }
    }

    /// Keys of the caller's scope: all that it covers on the unprefixed route, exactly one level on nested routes.
    pub async fn list_keys(
        &self,
        caller: &Caller,
        level: KeyLevel,
        family: Option<KeyFamily>,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<wire::Credential>> {
        let page = self.store().keys(&caller.scope, level, family, order, after, limit).await?;
        let items = page.items.into_iter().map(render).collect::<Result<_>>()?;
        Ok(Page { items, next: page.next })
    }

    /// One key of the caller's scope.
    pub async fn key(&self, caller: &Caller, level: KeyLevel, id: &str) -> Result<wire::Credential> {
        render(self.find(caller, level, id).await?)
    }

    /// Makes a key at the level of the caller's scope; its name and times are already checked.
    pub async fn create_key(&self, caller: &Caller, new: NewKey) -> Result<wire::CreatedApiKey> {
        let permissions = granted(caller, new.permissions)?;
        let expires_at = expiry(caller, new.expires_at)?;
        let name = new.name.unwrap_or_else(|| DEFAULT_NAME.to_owned());
        self.issue(&caller.scope, name, permissions, expires_at).await?.ok_or_else(|| gone(&caller.scope))
    }

    /// Renames a key or replaces its flags.
    pub async fn update_key(
        &self,
        caller: &Caller,
        level: KeyLevel,
        id: &str,
        change: KeyChange,
    ) -> Result<wire::Credential> {
        for _ in 0..ATTEMPTS {
            let target = self.find(caller, level, id).await?;
            if let Some(permissions) = &change.permissions {
                may_change(&caller.permissions, &target.permissions, permissions)?;
            }
            let permissions = change.permissions.clone().map(|flags| match target.public {
                Some(_) => public::spelled_out(flags),
                None => flags,
            });
            let change = ApiKeyChange { name: change.name.clone(), permissions };
            match self.store().update_key(&caller.scope, &target, change, self.now()).await? {
                KeyWritten::Done(key) => return render(key),
                KeyWritten::Absent => return Err(Error::NotFound(RESOURCE)),
                KeyWritten::Changed => {}
            }
        }
        Err(Error::RaceCondition)
    }

    /// Deletes a key; it is refused from the next request on. A key may delete itself.
    pub async fn delete_key(&self, caller: &Caller, level: KeyLevel, id: &str) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let target = self.find(caller, level, id).await?;
            if target.api_key_id != caller.api_key_id {
                not_stronger(&caller.permissions, &target.permissions)?;
            }
            match self.store().delete_key(&caller.scope, &target).await? {
                KeyWritten::Done(()) => return Ok(()),
                KeyWritten::Absent => return Err(Error::NotFound(RESOURCE)),
                KeyWritten::Changed => {}
            }
        }
        Err(Error::RaceCondition)
    }

    async fn find(&self, caller: &Caller, level: KeyLevel, id: &str) -> Result<ApiKey> {
        // A public key is also known by its `client_id`, which may have the shape of an id.
        if let Some(id) = ApiKeyId::parse(id)
            && let Some(key) = self.store().key(&caller.scope, level, id).await?
        {
            return Ok(key);
        }
        self.store().key_by_client_id(&caller.scope, level, id).await?.ok_or(Error::NotFound(RESOURCE))
    }

    /// Makes a key and its secret; `None`: the scope's pod or inbox is gone.
    pub(crate) async fn issue(
        &self,
        scope: &Scope,
        name: String,
        permissions: Permissions,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<wire::CreatedApiKey>> {
        let secret = new_api_key_secret(self.ids());
        let new = NewApiKey { name, secret: kept(&secret), permissions, expires_at };
        let key = self.store().create_key(scope, new, self.now()).await?;
        Ok(key.map(|key| created(key, secret)))
    }
}

/// What is stored of a secret. Of one that an operator chose, at most half is shown.
pub(crate) fn kept(secret: &str) -> KeySecret {
    let shown = PREFIX_CHARS.min(secret.chars().count() / 2);
    KeySecret { hash: hash_secret(secret), prefix: secret.chars().take(shown).collect() }
}

/// When a new key ends: never after the key that makes it.
fn expiry(caller: &Caller, wanted: Option<Timestamp>) -> Result<Option<Timestamp>> {
    match (wanted, caller.expires_at) {
        (Some(wanted), Some(own)) if wanted > own => {
            Err(Error::PermissionEscalation { extra: vec!["expires_at".to_owned()] })
        }
        (Some(wanted), _) => Ok(Some(wanted)),
        (None, own) => Ok(own),
    }
}

/// The flags of a new key.
fn granted(caller: &Caller, requested: RequestedFlags) -> Result<Permissions> {
    match requested {
        RequestedFlags::Omitted => Ok(inherited(caller.effective())),
        RequestedFlags::Unrestricted if caller.permissions.unrestricted() => Ok(Permissions::UNRESTRICTED),
        RequestedFlags::Unrestricted => Err(Error::UnrestrictedKeyRequired),
        RequestedFlags::These(flags) => {
            let flags = Permissions(Some(flags));
            within(&caller.permissions, &flags)?;
            Ok(flags)
        }
    }
}

/// What a child receives when nothing was named: everything but the opt-in flags.
fn inherited(Permissions(flags): Permissions) -> Permissions {
    Permissions(flags.map(|mut flags| {
        flags.retain(|name, _| !Permission::parse(name).is_none_or(Permission::opt_in));
        flags
    }))
}

/// Refuses flags that a restricted caller does not hold.
fn within(caller: &Permissions, flags: &Permissions) -> Result<()> {
    let extra = flags.beyond(caller);
    if caller.unrestricted() || extra.is_empty() {
        return Ok(());
    }
    Err(Error::PermissionEscalation { extra: extra.into_iter().map(str::to_owned).collect() })
}

fn may_change(caller: &Permissions, target: &Permissions, new: &Permissions) -> Result<()> {
    if !caller.unrestricted() && (target.unrestricted() || new.unrestricted()) {
        return Err(Error::UnrestrictedKeyRequired);
    }
    within(caller, new)?;
    not_stronger(caller, target)
}

/// A weak key must not cut off stronger ones.
fn not_stronger(caller: &Permissions, target: &Permissions) -> Result<()> {
    if caller.unrestricted() {
        return Ok(());
    }
    if target.unrestricted() {
        return Err(Error::WeakerKey { lacks: Vec::new() });
    }
    let lacks = target.beyond(caller);
    if lacks.is_empty() {
        return Ok(());
    }
    Err(Error::WeakerKey { lacks: lacks.into_iter().map(str::to_owned).collect() })
}

fn gone(scope: &Scope) -> Error {
    Error::NotFound(if scope.inbox().is_some() { "Inbox" } else { "Pod" })
}

fn render(mut key: ApiKey) -> Result<wire::Credential> {
    if let Some(public) = key.public.take() {
        return public::render(key, public).map(wire::Credential::PublicKey);
    }
    Ok(wire::Credential::Bearer(wire::ApiKey {
        r#type: wire::ApiKeyType::Bearer,
        api_key_id: key.api_key_id,
        prefix: key.prefix,
        name: key.name,
        pod_id: key.pod_id,
        inbox_id: key.inbox.map(|inbox| inbox.id),
        permissions: key.permissions.0,
        used_at: key.used_at,
        expires_at: key.expires_at,
        created_at: key.created_at,
        updated_at: key.updated_at,
    }))
}

fn created(key: ApiKey, secret: String) -> wire::CreatedApiKey {
    wire::CreatedApiKey {
        api_key_id: key.api_key_id,
        api_key: secret,
        prefix: key.prefix,
        name: key.name,
        pod_id: key.pod_id,
        inbox_id: key.inbox.map(|inbox| inbox.id),
        permissions: key.permissions.0,
        expires_at: key.expires_at,
        created_at: key.created_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(names: &[&str]) -> Permissions {
        Permissions(Some(names.iter().map(|name| ((*name).to_owned(), true)).collect()))
    }

    fn text(result: Result<()>) -> String {
        match result {
            Ok(()) => "ok".to_owned(),
            Err(Error::PermissionEscalation { extra }) => format!("escalation {}", extra.join(",")),
            Err(Error::WeakerKey { lacks }) => format!("weaker {}", lacks.join(",")),
            Err(Error::UnrestrictedKeyRequired) => "unrestricted".to_owned(),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_of_a_key_change_only_within_the_callers_own() {
        let all = Permissions::UNRESTRICTED;
        let (read, both, armor) =
            (flags(&["inbox_read"]), flags(&["inbox_read", "message_send"]), flags(&["agent_armor_release"]));
        for (caller, target, new, want) in [
            (&all, &read, &both, "ok"),
            (&all, &all, &read, "ok"),
            (&all, &read, &all, "ok"),
            (&all, &read, &armor, "ok"),
            (&both, &read, &both, "ok"),
            (&read, &read, &both, "escalation message_send"),
            (&read, &both, &read, "weaker message_send"),
            (&read, &read, &all, "unrestricted"),
            (&read, &all, &read, "unrestricted"),
        ] {
            assert_eq!(text(may_change(caller, target, new)), want, "{caller:?} {target:?} {new:?}");
        }
    }

    #[test]
    fn a_weaker_key_cannot_delete_a_stronger_one() {
        let all = Permissions::UNRESTRICTED;
        let (read, both) = (flags(&["inbox_read"]), flags(&["inbox_read", "message_send"]));
        assert_eq!(text(not_stronger(&all, &all)), "ok");
        assert_eq!(text(not_stronger(&both, &read)), "ok");
        assert_eq!(text(not_stronger(&read, &both)), "weaker message_send");
        assert_eq!(text(not_stronger(&read, &all)), "weaker ");
        let every: Vec<&str> = Permission::ALL.iter().map(|flag| flag.as_str()).collect();
        assert_eq!(text(not_stronger(&flags(&every), &all)), "weaker ");
    }

    #[test]
    fn opt_in_flags_are_not_inherited() {
        assert_eq!(inherited(flags(&["inbox_read", "app_connect"])), flags(&["inbox_read"]));
        assert_eq!(inherited(Permissions::UNRESTRICTED), Permissions::UNRESTRICTED);
    }

    #[test]
    fn a_chosen_secret_is_shown_by_half_at_most() {
        assert_eq!(kept("short-key").prefix, "shor");
        assert_eq!(kept(&format!("am_us_{}", "a".repeat(64))).prefix, "am_us_aaaaaa");
    }
}
