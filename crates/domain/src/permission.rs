//! What an API key may do: a whitelist of flags. No object means everything except the opt-in flags.

use std::collections::BTreeMap;

use crate::label::Restricted;

macro_rules! permissions {
    ($($name:ident = $text:literal),* $(,)?) => {
        /// One flag of a key.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Permission { $(#[doc = concat!("`", $text, "`")] $name),* }
        impl Permission {
            /// Every flag that the API knows.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
            /// The flag's name on the wire.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$name => $text),* } }
            /// The flag of that name; `None` for unknown and retired names.
            pub fn parse(text: &str) -> Option<Self> { match text { $($text => Some(Self::$name),)* _ => None } }
        }
    };
}

permissions! {
    InboxRead = "inbox_read", InboxCreate = "inbox_create", InboxUpdate = "inbox_update", InboxDelete = "inbox_delete",
    MessageRead = "message_read", MessageReply = "message_reply", MessageSend = "message_send",
    MessageUpdate = "message_update", MessageDelete = "message_delete", AgentArmorRelease = "agent_armor_release",
    LabelSpamRead = "label_spam_read", LabelBlockedRead = "label_blocked_read",
    LabelUnauthenticatedRead = "label_unauthenticated_read", LabelTrashRead = "label_trash_read",
    DraftRead = "draft_read", DraftCreate = "draft_create", DraftUpdate = "draft_update",
    DraftDelete = "draft_delete", DraftSend = "draft_send",
    WebhookRead = "webhook_read", WebhookCreate = "webhook_create", WebhookUpdate = "webhook_update",
    WebhookDelete = "webhook_delete",
    DomainRead = "domain_read", DomainCreate = "domain_create", DomainUpdate = "domain_update",
    DomainDelete = "domain_delete",
    ListEntryRead = "list_entry_read", ListEntryCreate = "list_entry_create", ListEntryDelete = "list_entry_delete",
    MetricsRead = "metrics_read",
    ApiKeyRead = "api_key_read", ApiKeyCreate = "api_key_create", ApiKeyUpdate = "api_key_update",
    ApiKeyDelete = "api_key_delete",
    AppConnect = "app_connect", AppShareOwner = "app_share_owner", AccountUpdate = "account_update",
    PodRead = "pod_read", PodCreate = "pod_create", PodUpdate = "pod_update", PodDelete = "pod_delete",
    CalendarRead = "calendar_read", CalendarUpdate = "calendar_update",
    CalendarEventRead = "calendar_event_read", CalendarEventCreate = "calendar_event_create",
    CalendarEventUpdate = "calendar_event_update", CalendarEventDelete = "calendar_event_delete",
    FileRead = "file_read", FileCreate = "file_create", FileUpdate = "file_update", FileDelete = "file_delete",
}

impl Permission {
    /// Flags that are never implied, not even for an unrestricted key.
    pub const fn opt_in(self) -> bool {
        matches!(self, Self::AgentArmorRelease | Self::AppConnect | Self::AppShareOwner)
    }
}

/// The flags of a key: `None` is unrestricted; `Some` holds what was stored, `false` members included.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Permissions(pub Option<BTreeMap<String, bool>>);

impl Permissions {
    /// No object: everything except the opt-in flags.
    pub const UNRESTRICTED: Self = Self(None);

    /// Whether there is no object at all.
    pub const fn unrestricted(&self) -> bool {
        self.0.is_none()
    }
    /// Whether the flags allow `permission`. Scope is a separate question.
    pub fn allows(&self, permission: Permission) -> bool {
        match &self.0 {
            None => !permission.opt_in(),
            Some(flags) => flags.get(permission.as_str()).copied().unwrap_or(false),
        }
    }
    /// The flags that are true.
    pub fn granted(&self) -> Vec<Permission> {
        Permission::ALL.iter().copied().filter(|p| self.allows(*p)).collect()
    }
    /// The flags granted here that `other` does not grant, by name.
    pub fn beyond(&self, other: &Self) -> Vec<&'static str> {
        self.granted().into_iter().filter(|p| !other.allows(*p)).map(Permission::as_str).collect()
    }
    /// Which restricted labels these flags let the holder see.
    pub fn readable_labels(&self) -> Restricted {
        [
            (Permission::LabelSpamRead, "spam"),
            (Permission::LabelBlockedRead, "blocked"),
            (Permission::LabelUnauthenticatedRead, "unauthenticated"),
            (Permission::LabelTrashRead, "trash"),
        ]
        .into_iter()
        .filter(|(permission, _)| self.allows(*permission))
        .fold(Restricted::NONE, |seen, (_, label)| seen.with(label))
    }
    /// Stored form: a JSON object, or nothing.
    pub fn to_json(&self) -> Option<String> {
        self.0.as_ref().map(|flags| serde_json::to_string(flags).expect("a map of booleans is JSON"))
    }
    /// Reads the stored form; damaged text grants nothing rather than everything.
    pub fn from_json(text: Option<&str>) -> Self {
        Self(text.map(|text| serde_json::from_str(text).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_object_grants_all_but_the_opt_in_flags() {
        assert!(Permissions::UNRESTRICTED.allows(Permission::MessageSend));
        assert!(!Permissions::UNRESTRICTED.allows(Permission::AgentArmorRelease));
        assert_eq!(Permissions::UNRESTRICTED.readable_labels(), Restricted::ALL);
        let none = Permissions::from_json(Some("{}"));
        assert!(none.granted().is_empty());
        assert_eq!(Permissions::from_json(Some("broken")), none);
    }

    #[test]
    fn grants_beyond_another_key_are_named() {
        let small = Permissions::from_json(Some(r#"{"message_read":true,"message_send":false}"#));
        let large = Permissions::from_json(Some(r#"{"message_read":true,"message_send":true}"#));
        assert_eq!(large.beyond(&small), vec!["message_send"]);
        assert!(small.beyond(&large).is_empty());
    }
}
