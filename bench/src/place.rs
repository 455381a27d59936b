//! Where a benchmark keeps its installation on each engine: in folders and a database that stay, or in such that go
//! with it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};

use crate::server::{self, Database, Engine, Options, Profile};

/// Which engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engines {
    /// The embedded one.
    Sqlite,
    /// A server.
    Postgres,
    /// One after the other.
    Both,
}

/// What the command line says about it.
#[derive(Debug, Clone, Args)]
pub struct Places {
    /// The server program; built in release when not given.
    #[arg(long)]
    pub binary: Option<PathBuf>,
    /// Which engines.
    #[arg(long, value_enum, default_value_t = Engines::Sqlite)]
    pub engine: Engines,
    /// The PostgreSQL server.
    #[arg(long)]
    pub postgres: Option<String>,
    /// With --data-dir, the database on it that is used, made when missing and kept.
    #[arg(long, default_value = "podmail_bench")]
    pub database: String,
    /// A folder that is kept, with one data folder per engine in it; without it, a temporary one.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
}

/// One engine's.
#[derive(Debug)]
pub struct Place {
    /// How to start a server there.
    pub options: Options,
    temporary: Option<(tempfile::TempDir, Option<Database>)>,
}

impl Places {
    /// The engines, in order.
    pub fn engines(&self) -> &'static [Engines] {
        match self.engine {
            Engines::Sqlite => &[Engines::Sqlite],
            Engines::Postgres => &[Engines::Postgres],
            Engines::Both => &[Engines::Sqlite, Engines::Postgres],
        }
    }

    /// The server program.
    pub fn program(&self) -> Result<PathBuf> {
        self.binary.clone().map_or_else(|| server::build(Profile::Release), Ok)
    }

    /// The place of an engine.
    pub async fn open(&self, engine: Engines, binary: &Path) -> Result<Place> {
        let (root, temporary) = match &self.data_dir {
            Some(folder) => (folder.clone(), None),
            None => {
                let folder = tempfile::tempdir()?;
                (folder.path().to_owned(), Some(folder))
            }
        };
        if engine != Engines::Postgres {
            let options = Options::new(binary, &root.join("sqlite"), Engine::Sqlite);
            return Ok(Place { options, temporary: temporary.map(|folder| (folder, None)) });
        }
        let server = self.postgres.as_ref().context("--postgres URL is needed")?;
        let (database, kept) = match temporary {
            None => (Database::open(server, &self.database).await?, None),
            Some(folder) => (Database::create(server).await?, Some(folder)),
        };
        let options = Options::new(binary, &root.join("postgres"), Engine::Postgres(database.url.clone()));
        Ok(Place { options, temporary: kept.map(|folder| (folder, Some(database))) })
    }
}

impl Place {
    /// Removes what was not meant to stay.
    pub async fn close(self) -> Result<()> {
        match self.temporary {
            Some((_folder, Some(database))) => database.remove().await,
            Some((_, None)) | None => Ok(()),
        }
    }
}
