//! What can go wrong, in the product's words. Edges translate: `api` to status and code, `smtp-in` to replies.

use podmail_domain::Permission;

/// One violated field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Where: member names and array positions, outermost first; empty for the request as a whole.
    pub path: Vec<PathItem>,
    /// What kind of violation.
    pub code: IssueCode,
    /// Text for people.
    pub message: String,
}

/// A step of an [`Issue`]'s path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathItem {
    /// A member of an object.
    Name(String),
    /// A position in an array.
    Index(usize),
}

impl From<&str> for PathItem {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}
impl From<String> for PathItem {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}
impl From<usize> for PathItem {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// The kinds of violations with their extra members (conventions, "Errors").
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssueCode {
    /// Another JSON type than expected.
    InvalidType { expected: &'static str, received: Option<&'static str> },
    /// Below the minimum.
    TooSmall { origin: &'static str, minimum: i64, inclusive: bool },
    /// Above the maximum.
    TooBig { origin: &'static str, maximum: i64, inclusive: bool },
    /// Not one of these values.
    InvalidValue { values: Vec<String> },
    /// Does not have the named format.
    InvalidFormat { format: &'static str },
    /// Members that this object does not have.
    UnrecognizedKeys { keys: Vec<String> },
    /// Anything else; the message says what.
    Custom,
}

impl Issue {
    /// An issue that only its message explains.
    pub fn custom(path: impl IntoIterator<Item = PathItem>, message: impl Into<String>) -> Self {
        Self { path: path.into_iter().collect(), code: IssueCode::Custom, message: message.into() }
    }
    /// A value of a wrong format.
    pub fn format(
        path: impl IntoIterator<Item = PathItem>,
        format: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            path: path.into_iter().collect(),
            code: IssueCode::InvalidFormat { format },
            message: message.into(),
        }
    }
    /// A string or array that is too long.
    pub fn too_big(path: impl IntoIterator<Item = PathItem>, origin: &'static str, maximum: usize) -> Self {
        Self {
            path: path.into_iter().collect(),
            code: IssueCode::TooBig {
                origin,
                maximum: i64::try_from(maximum).unwrap_or(i64::MAX),
                inclusive: true,
            },
            message: format!("Too big: expected {origin} to have at most {maximum}"),
        }
    }
    /// A string or array that is too short.
    pub fn too_small(path: impl IntoIterator<Item = PathItem>, origin: &'static str, minimum: usize) -> Self {
        Self {
            path: path.into_iter().collect(),
            code: IssueCode::TooSmall {
                origin,
                minimum: i64::try_from(minimum).unwrap_or(i64::MAX),
                inclusive: true,
            },
            message: format!("Too small: expected {origin} to have at least {minimum}"),
        }
    }
}

/// Why a credential was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unauthorized {
    /// No header, another scheme, an empty key or white space in it; the text says which.
    MissingAuthorization(&'static str),
    /// A session token where an API key is needed.
    InvalidTokenType,
    /// Unknown or deleted.
    UnknownApiKey,
    /// Past its `expires_at`.
    ApiKeyExpired,
}

/// Why something is refused, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// For people.
    pub message: String,
    /// One sentence or two.
    pub fix: &'static str,
}

/// The product's errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Absent, out of scope or hidden: the same answer for all. Holds the resource's name, for example `Inbox`.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// Fields that do not fit; all of them at once.
    #[error("{}", .0.first().map_or("Invalid request", |issue| issue.message.as_str()))]
    Invalid(Vec<Issue>),
    /// The credential does not open anything.
    #[error("unauthorized")]
    Unauthorized(Unauthorized),
    /// The key lacks a flag. Holds the flag's name (also `organization_read`, which is no member of the object).
    #[error("Forbidden")]
    MissingPermission(&'static str),
    /// Keys of this scope never have the permission, whatever their flags. Holds its name (also `organization_read`),
    /// and the keys that can have it, such as `a key of the organization`.
    #[error("Forbidden")]
    KeyTooNarrow { permission: &'static str, needs: &'static str },
    /// The key lacks the flag that an event type asks for.
    #[error("{} is forbidden", .0.as_str())]
    SubscriptionForbidden(Permission),
    /// The key's scope cannot do this at all.
    #[error("Forbidden")]
    ScopeForbidden,
    /// A download link that was not signed here, or has ended.
    #[error("Forbidden")]
    BadLink,
    /// The operator has switched it off for the whole installation. Holds its name.
    #[error("{0} is not offered here")]
    NotOffered(&'static str),
    /// Grants beyond the caller's own; names them (or says "expires_at").
    #[error("Forbidden")]
    PermissionEscalation { extra: Vec<String> },
    /// The key that the call is about holds what the calling one does not: these flags, or no limits at all when there
    /// are none.
    #[error("Forbidden")]
    WeakerKey { lacks: Vec<String> },
    /// Only an unrestricted key may do this.
    #[error("Forbidden")]
    UnrestrictedKeyRequired,
    /// The caller's own organization already holds it.
    #[error("{resource} already exists")]
    AlreadyExists { resource: &'static str, suggestions: Vec<String>, fix: Option<String> },
    /// Another organization holds the name.
    #[error("{resource} is taken")]
    ResourceTaken { resource: &'static str },
    /// A quota is used up.
    #[error("{resource} limit exceeded")]
    LimitExceeded { resource: &'static str, limit: u64 },
    /// The domain exists but is not verified.
    #[error("Domain not verified: {domain}")]
    DomainNotVerified { domain: String },
    /// Nothing was sent.
    #[error("{message}")]
    MessageRejected { message: String, fix: Option<String> },
    /// Sending from a paused inbox.
    #[error("Inbox is paused")]
    InboxPaused,
    /// An idempotency clash or a send in progress.
    #[error("{0}")]
    Conflict(String),
    /// The state that the resource is in leaves no room for it.
    #[error("{}", .0.message)]
    WrongState(Explained),
    /// A concurrent change won.
    #[error("The resource was changed at the same time")]
    RaceCondition,
    /// Being purged.
    #[error("{0} is being deleted")]
    ResourceDeleting(&'static str),
    /// Dependants exist, or it is read-only; the message says which.
    #[error("{}", .0.message)]
    CannotDelete(Explained),
    /// Well-formed but impossible.
    #[error("{0}")]
    Unprocessable(String),
    /// Try again after so many seconds (at least 1).
    #[error("Too many requests")]
    RateLimited { retry_after_seconds: u64 },
    /// Something this server needs is down.
    #[error("Service unavailable")]
    Unavailable,
    /// A bug or a broken store; details go to the log only.
    #[error("Internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// One violated field.
    pub fn invalid(issue: Issue) -> Self {
        Self::Invalid(vec![issue])
    }
    /// A bug, with what is known of it.
    pub fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(error.into())
    }
}

impl From<podmail_store::Error> for Error {
    fn from(error: podmail_store::Error) -> Self {
        match error {
            podmail_store::Error::Closed | podmail_store::Error::Busy => Self::Unavailable,
            podmail_store::Error::Race => Self::RaceCondition,
            error @ (podmail_store::Error::Database(_)
            | podmail_store::Error::Embedded(_)
            | podmail_store::Error::Record(_)
            | podmail_store::Error::Migration(_)
            | podmail_store::Error::Corrupt(_)
            | podmail_store::Error::Schema(_)) => Self::internal(error),
        }
    }
}

impl From<podmail_blob::Error> for Error {
    fn from(error: podmail_blob::Error) -> Self {
        Self::internal(error)
    }
}

/// Results of the product's operations.
pub type Result<T> = std::result::Result<T, Error>;
