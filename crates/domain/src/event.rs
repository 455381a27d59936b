//! The event catalogue: every name that a subscription may hold, whether this server emits it yet or not.

use crate::Permission;

macro_rules! events {
    ($($name:ident = $text:literal),* $(,)?) => {
        /// What happened.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum EventType { $(#[doc = concat!("`", $text, "`")] $name),* }
        impl EventType {
            /// The whole catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
            /// The name on the wire.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$name => $text),* } }
            /// The type of that name.
            pub fn parse(text: &str) -> Option<Self> { match text { $($text => Some(Self::$name),)* _ => None } }
        }
    };
}

events! {
    MessageReceived = "message.received",
    MessageReceivedSpam = "message.received.spam",
    MessageReceivedBlocked = "message.received.blocked",
    MessageReceivedUnauthenticated = "message.received.unauthenticated",
    MessageSent = "message.sent",
    MessageDelivered = "message.delivered",
    MessageBounced = "message.bounced",
    MessageComplained = "message.complained",
    MessageRejected = "message.rejected",
    MessageOpened = "message.opened",
    MessageSecurityCompleted = "message.security.completed",
    MessageSecurityReview = "message.security.review",
    MessageSecurityOverride = "message.security.override",
    DomainVerified = "domain.verified",
    CalendarEventCreated = "calendar.event.created",
    CalendarEventUpdated = "calendar.event.updated",
    CalendarEventDeleted = "calendar.event.deleted",
    CalendarEventResponded = "calendar.event.responded",
    CalendarEventStarting = "calendar.event.starting",
    CalendarEventEnding = "calendar.event.ending",
}

impl EventType {
    /// What a key must hold to subscribe, besides the permission of the route.
    pub const fn permission(self) -> Option<Permission> {
        match self {
            Self::MessageReceivedSpam => Some(Permission::LabelSpamRead),
            Self::MessageReceivedBlocked => Some(Permission::LabelBlockedRead),
            Self::MessageReceivedUnauthenticated => Some(Permission::LabelUnauthenticatedRead),
            Self::CalendarEventCreated
            | Self::CalendarEventUpdated
            | Self::CalendarEventDeleted
            | Self::CalendarEventResponded
            | Self::CalendarEventStarting
            | Self::CalendarEventEnding => Some(Permission::CalendarEventRead),
            Self::MessageReceived
            | Self::MessageSent
            | Self::MessageDelivered
            | Self::MessageBounced
            | Self::MessageComplained
            | Self::MessageRejected
            | Self::MessageOpened
            | Self::MessageSecurityCompleted
            | Self::MessageSecurityReview
            | Self::MessageSecurityOverride
            | Self::DomainVerified => None,
        }
    }

    /// The event of an inbound message with these labels: an owner's block rule is the strongest signal, then spam.
    pub fn received(labels: &[String]) -> Self {
        let has = |label: &str| labels.iter().any(|l| l == label);
        if has("blocked") {
            Self::MessageReceivedBlocked
        } else if has("spam") {
            Self::MessageReceivedSpam
        } else if has("unauthenticated") {
            Self::MessageReceivedUnauthenticated
        } else {
            Self::MessageReceived
        }
    }
}
