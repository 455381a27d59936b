//! Migrations of both engines, embedded. Expand, move, contract: an older program must start on a schema one release
//! newer, so unknown migrations are ignored and a minimum version in the schema says when it must refuse.

use std::borrow::Cow;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::SqlSafeStr as _;

use crate::db::{Conn, Db};
use crate::{Error, Result};

struct Step {
    version: i64,
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

const STEPS: &[Step] = &[Step {
    version: 1,
    name: "create platform",
    sqlite: include_str!("../migrations/sqlite/0001_create_platform.sql"),
    postgres: include_str!("../migrations/postgres/0001_create_platform.sql"),
}];

fn migrator(text: impl Fn(&Step) -> &'static str) -> Migrator {
    let migrations = STEPS
        .iter()
        .map(|step| {
            Migration::new(
                step.version,
                Cow::Borrowed(step.name),
                MigrationType::Simple,
                text(step).into_sql_str(),
                false,
            )
        })
        .collect();
    Migrator { migrations: Cow::Owned(migrations), ignore_missing: true, ..Migrator::DEFAULT }
}

/// Brings the schema up to date; refuses a schema that no longer carries this program.
pub(crate) async fn run(db: &Db) -> Result<()> {
    match db {
        Db::Sqlite { writer, .. } => migrator(|step| step.sqlite).run(writer).await?,
        Db::Postgres(pool) => migrator(|step| step.postgres).run(pool).await?,
    }
    let mut conn: Conn = db.writer().await?;
    let minimum = conn.count("SELECT MAX(version) FROM schema_minimum", Vec::new()).await?;
    let newest = STEPS.last().map_or(0, |step| step.version);
    if minimum > newest {
        return Err(Error::Schema(format!(
            "the database needs a newer program: its schema asks for version {minimum}, this one knows {newest}"
        )));
    }
    Ok(())
}
