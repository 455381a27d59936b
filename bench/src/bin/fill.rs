//! Fills an installation that stays, for `api` and for whoever wants to look at a large one.

use anyhow::Result;
use clap::Parser;
use podmail_bench::fill::{self, Plan};
use podmail_bench::place::Places;
use podmail_bench::process;
use podmail_bench::report::say;

/// Fills an installation. A run that was stopped goes on where it was.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    plan: Plan,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    anyhow::ensure!(
        arguments.places.data_dir.is_some(),
        "--data-dir is needed: where the installation stays"
    );
    let binary = arguments.places.program()?;
    for &engine in arguments.places.engines() {
        let place = arguments.places.open(engine, &binary).await?;
        fill::run(arguments.plan, &place.options).await?;
        let bytes = process::folder_bytes(&place.options.data_dir);
        say(&format!("{}: {} MB", place.options.data_dir.display(), bytes / 1_000_000));
        place.close().await?;
    }
    Ok(())
}
