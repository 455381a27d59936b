//! Settings of the installation itself: signing keys and secrets that it makes once and keeps, and switches of the operator.
//! Several nodes may start at once, so of what is made the first writer wins and everybody uses what is stored.

use crate::db::args;
use crate::{Error, Result, Store};

impl Store {
    /// The stored value of this name.
    pub async fn installation_value(&self, name: &str) -> Result<Option<String>> {
        let row: Option<(String,)> =
            self.reader().await?.one("SELECT value FROM installation WHERE name = $1", args![name]).await?;
        Ok(row.map(|(value,)| value))
    }

    /// Stores `candidate` unless there is a value already; returns the one that is stored afterwards.
    pub async fn installation_value_or_insert(&self, name: &str, candidate: &str) -> Result<String> {
        if let Some(value) = self.installation_value(name).await? {
            return Ok(value);
        }
        self.write((name.to_owned(), candidate.to_owned()), |tx, (name, candidate)| {
            Box::pin(async move {
                tx.run(
                    "INSERT INTO installation (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                    args![name.as_str(), candidate.as_str()],
                )
                .await?;
                let row: Option<(String,)> =
                    tx.one("SELECT value FROM installation WHERE name = $1", args![name.as_str()]).await?;
                row.map(|(value,)| value).ok_or(Error::Race)
            })
        })
        .await
    }

    /// Stores a value, whatever was there.
    pub async fn set_installation_value(&self, name: &str, value: &str) -> Result<()> {
        self.write((name.to_owned(), value.to_owned()), |tx, (name, value)| {
            Box::pin(async move {
                tx.run(
                    "INSERT INTO installation (name, value) VALUES ($1, $2) \
                     ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                    args![name.as_str(), value.as_str()],
                )
                .await?;
                Ok(())
            })
        })
        .await
    }
}
