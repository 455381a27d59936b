//! One newtype per entity, in the form that the API gives it. A function that wants a [`ThreadId`] cannot be handed
//! an [`AttachmentId`]. Text of the wrong shape parses to `None`: on the wire that is "not found", never a 400.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use crate::source::{IdSource, hex, random};
use crate::{EmailAddress, Timestamp};

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A new, time-ordered id.
            pub fn new(ids: &dyn IdSource, now: Timestamp) -> Self { Self(ids.uuid7(now)) }
            /// Reads the canonical form: lower or upper case, with hyphens.
            pub fn parse(text: &str) -> Option<Self> {
                (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten().map(Self)
            }
            /// The UUID itself.
            pub const fn uuid(self) -> Uuid { self.0 }
            /// Wraps a UUID.
            pub const fn from_uuid(uuid: Uuid) -> Self { Self(uuid) }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(&self.0, f) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { fmt::Display::fmt(&self.0, f) }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.collect_str(&self.0) }
        }
        impl JsonSchema for $name {
            fn inline_schema() -> bool { true }
            fn schema_name() -> std::borrow::Cow<'static, str> { stringify!($name).into() }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": "uuid" })
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                Self::parse(&text).ok_or_else(|| serde::de::Error::custom(concat!("not a ", stringify!($name))))
            }
        }
    )*};
}

uuid_ids! {
    /// A customer of the installation: the outermost wall.
    OrganizationId;
    /// A tenant of an organization. The default pod's id equals its organization's.
    PodId;
    /// A conversation within one inbox.
    ThreadId;
    /// An unsent message.
    DraftId;
    /// An attachment of a message or a draft.
    AttachmentId;
    /// An API key (not its secret).
    ApiKeyId;
    /// Which incarnation of an address an inbox is: a deleted and re-created inbox has the same [`InboxId`] and
    /// another key, so old messages can never reappear. Internal.
    InboxKey;
    /// A stored message; orders messages by storage time. Internal: the API names messages by [`MessageId`].
    MessageKey;
    /// Outbound mail to one recipient. Internal.
    DeliveryId;
}

impl PodId {
    /// The default pod of an organization.
    pub const fn default_of(organization: OrganizationId) -> Self {
        Self(organization.0)
    }
}

macro_rules! prefixed_ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
        pub struct $name(String);

        impl $name {
            /// A new, time-ordered id.
            pub fn new(ids: &dyn IdSource, now: Timestamp) -> Self {
                Self(format!(concat!($prefix, "{}"), ids.uuid7(now).simple()))
            }
            /// Reads an id; `None` when it has not the prefix and a sane length.
            pub fn parse(text: &str) -> Option<Self> {
                let rest = text.strip_prefix($prefix)?;
                (!rest.is_empty() && rest.len() <= 64 && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
                    .then(|| Self(text.to_owned()))
            }
            /// The id as text.
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl JsonSchema for $name {
            fn inline_schema() -> bool { true }
            fn schema_name() -> std::borrow::Cow<'static, str> { stringify!($name).into() }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": concat!("^", $prefix) })
            }
        }
    )*};
}

prefixed_ids! {
    /// A webhook endpoint.
    WebhookId = "ep_";
    /// One occurrence of an event, the same on every channel.
    EventId = "evt_";
    /// One event on its way to one webhook; the `svix-id` of every attempt.
    WebhookDeliveryId = "msg_";
}

/// An inbox as the API names it: its email address in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct InboxId(String);

impl InboxId {
    /// The inbox at `address`.
    pub fn of(address: &EmailAddress) -> Self {
        Self(address.as_str().to_ascii_lowercase())
    }
    /// Reads an inbox id in any ASCII case; `None` when it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() <= 320 && text.contains('@')).then(|| Self(text.to_ascii_lowercase()))
    }
    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The part after the `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl fmt::Display for InboxId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An RFC 5322 Message-ID including `<` and `>`. Unique within an inbox only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct MessageId(String);

impl MessageId {
    /// Wraps an id, adding the angle brackets when they are missing: copying an id out of a mail viewer often loses
    /// them and there is no ambiguity.
    pub fn new(text: &str) -> Self {
        let text = text.trim();
        match (text.starts_with('<'), text.ends_with('>')) {
            (true, true) => Self(text.to_owned()),
            (false, false) => Self(format!("<{text}>")),
            (true, false) => Self(format!("{text}>")),
            (false, true) => Self(format!("<{text}")),
        }
    }
    /// A new id `<{uuid}@{domain}>`.
    pub fn mint(ids: &dyn IdSource, now: Timestamp, domain: &str) -> Self {
        Self(format!("<{}@{domain}>", ids.uuid7(now)))
    }
    /// The id with its brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A new API key secret: `am_us_` and 64 hexadecimal digits. Never `am_eu_`: the TypeScript SDK would then leave for
/// the European host of the hosted product.
pub fn new_api_key_secret(ids: &dyn IdSource) -> String {
    format!("am_us_{}", hex(&random::<32>(ids)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_the_wrong_shape_do_not_parse() {
        assert!(PodId::parse("nope").is_none());
        assert!(PodId::parse("0192f3c17e5a7c3d9b0e4a1f6d2c8b71").is_none(), "hyphens are part of the form");
        assert_eq!(
            PodId::parse("0192F3C1-7E5A-7C3D-9B0E-4A1F6D2C8B71").map(|id| id.to_string()).as_deref(),
            Some("0192f3c1-7e5a-7c3d-9b0e-4a1f6d2c8b71")
        );
        assert!(WebhookId::parse("evt_1").is_none());
        assert!(WebhookId::parse("ep_a/b").is_none());
        assert!(InboxId::parse("plain").is_none());
        assert_eq!(InboxId::parse("A@B.test").map(|id| id.to_string()).as_deref(), Some("a@b.test"));
    }

    #[test]
    fn message_ids_gain_missing_brackets() {
        for text in ["<a@x>", "a@x", "<a@x", "a@x>"] {
            assert_eq!(MessageId::new(text).as_str(), "<a@x>", "{text}");
        }
    }
}
