//! The log: one subscriber for the process, on standard error, as text or JSON.
//!
//! Standard output is left to the `ready` line and to what commands print.

use anyhow::Context;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::config::{LogConfig, LogFormat};

/// Installs the log for the whole process.
///
/// # Errors
///
/// When a log has been installed before.
pub fn init(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.level).context("log.level")?;
    let writer = BoxMakeWriter::new(std::io::stderr);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let installed = match config.format {
        LogFormat::Text => builder.with_target(false).with_ansi(false).try_init(),
        LogFormat::Json => {
            builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
        }
    };
    installed.map_err(|error| anyhow::anyhow!("cannot install the log: {error}"))
}

/// Checks a level or a list of directives without installing anything.
pub(crate) fn checked(level: &str) -> Result<String, String> {
    // A bare word that is no level would be taken for a module, and silence everything else.
    let stated = |part: &str| part.contains('=') || part.trim().parse::<LevelFilter>().is_ok();
    match EnvFilter::try_new(level) {
        Ok(_) if !level.is_empty() && level.split(',').all(stated) => Ok(level.to_owned()),
        _ => {
            Err("is not a log level; write `error`, `warn`, `info`, `debug`, `trace`, or directives such as \
                  `info,podmail_smtp_in=debug`"
                .to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_checked() {
        for level in ["info", "debug", "off", "info,podmail_smtp_in=debug"] {
            assert!(checked(level).is_ok(), "{level}");
        }
        for level in ["", "verbose", "info,podmail", "info,podmail=loud", "=="] {
            assert!(checked(level).is_err(), "{level}");
        }
    }
}
