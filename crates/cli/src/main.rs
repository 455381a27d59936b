//! The `podmail` binary: reads the command line, calls the server crate, prints what comes back.
//!
//! Nothing else in the workspace prints. Exit codes: 0 done, 1 failed or findings, 2 wrong usage.

mod args;
mod output;

use std::process::ExitCode;

use anyhow::Context;
use podmail_server::admin::{self, AdminCommand};
use podmail_server::config::{Mode, process_environment};
use podmail_server::{Config, run};

use crate::args::{Cli, Command, Request};

fn main() -> ExitCode {
    match execute(Cli::from_command_line()) {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            ExitCode::from(1)
        }
    }
}

fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { settings, command } = cli;
    let load = |mode| {
        Config::load(mode, &settings.flags(), process_environment(), settings.config.as_deref())
            .context("the configuration cannot be used")
    };
    match command {
        Command::Dev => serve(load(Mode::Dev)?),
        Command::Serve => serve(load(Mode::Serve)?),
        Command::Config { mode } => {
            let config = load(mode)?;
            output::warnings(&config.warnings);
            output::text(&config.effective_toml())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::ExtractText => {
            podmail_server::texts::child()?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Admin(Request { command, json }) => administer(load(Mode::Serve)?, command, json),
    }
}

fn serve(config: Config) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(run(config))?;
    Ok(ExitCode::SUCCESS)
}

fn administer(config: Config, command: AdminCommand, json: output::Format) -> anyhow::Result<ExitCode> {
    output::warnings(&config.warnings);
    let result = runtime()?.block_on(admin::execute(config, command))?;
    output::result(&result, json)?;
    Ok(if output::has_findings(&result) { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")
}
