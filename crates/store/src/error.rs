//! What the store itself can get wrong. Outcomes that callers decide on (taken names, quotas) are values, not errors.

/// Failures of the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused or broke.
    #[error("database: {0}")]
    Database(#[source] sqlx::Error),
    /// The embedded engine refused or broke.
    #[error("database: {0}")]
    Embedded(#[source] rusqlite::Error),
    /// A row of the embedded engine does not fit the record that this code wants.
    #[error("stored row does not fit: {0}")]
    Record(String),
    /// A migration failed.
    #[error("migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A stored value does not have the form that this code wrote.
    #[error("stored value is damaged: {0}")]
    Corrupt(&'static str),
    /// The schema is too new for this program, or the URL names no database that it knows.
    #[error("{0}")]
    Schema(String),
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
    /// Too much waits already, or the database stayed locked.
    #[error("the store is busy")]
    Busy,
    /// A concurrent change won although the transaction was repeated.
    #[error("a concurrent change won")]
    Race,
}

impl From<sqlx::Error> for Error {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the library adds variants; all others are the same to us"
    )]
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolTimedOut => Self::Busy,
            sqlx::Error::PoolClosed => Self::Closed,
            error => Self::Database(error),
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
        if matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked)) {
            return Self::Busy;
        }
        Self::Embedded(error)
    }
}

impl Error {
    /// Whether repeating the whole transaction may succeed: a deadlock or a serialization failure (PostgreSQL).
    pub(crate) fn is_transient(&self) -> bool {
        let Self::Database(sqlx::Error::Database(error)) = self else { return false };
        matches!(error.code().as_deref(), Some("40001" | "40P01"))
    }
}

/// Results of the store.
pub type Result<T> = std::result::Result<T, Error>;
