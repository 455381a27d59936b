//! Migrations of both engines, embedded. Expand, move, contract: an older program must start on a schema one release
//! newer, so unknown migrations are ignored and a minimum version in the schema says when it must refuse.

use std::borrow::Cow;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

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

/// What opening a database did to its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Migrations that were run.
    pub applied: u64,
    /// The newest migration that the schema has.
    pub version: i64,
}

/// Brings the schema up to date; refuses a schema that no longer carries this program.
pub(crate) async fn run(db: &Db) -> Result<Migrated> {
    // Fails on an empty database, which has nothing applied.
    let before = applied(&mut db.writer().await?).await.unwrap_or(0);
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
    let after = applied(&mut conn).await?;
    let version = conn.count("SELECT MAX(version) FROM _sqlx_migrations", Vec::new()).await?;
    Ok(Migrated { applied: u64::try_from(after - before).unwrap_or(0), version })
}

async fn applied(conn: &mut Conn) -> Result<i64> {
    conn.count("SELECT COUNT(*) FROM _sqlx_migrations", Vec::new()).await
}
