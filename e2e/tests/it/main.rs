//! The whole server from outside: the real binary, killed, stopped, started again, and watched by `strace`.
//!
//! The binary is the one that `PODMAIL_TEST_BINARY` names. Without it cargo is asked for the one of this workspace, which
//! costs little when it is up to date; a stale binary would pass for the code it no longer has.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly on anything unexpected")]

mod crash;
mod restart;
mod syscalls;

use std::path::Path;

use anyhow::Result;
use podmail_bench::server::{Engine, Options, test_binary};

/// A quiet server on SQLite in that folder.
fn options(data_dir: &Path) -> Result<Options> {
    Ok(Options::new(&test_binary()?, data_dir, Engine::Sqlite))
}
