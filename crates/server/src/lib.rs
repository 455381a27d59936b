//! The composition root: configuration, start-up, administration and shutdown of one server.
//!
//! The binary (`podmail-cli`) calls [`run`] and [`admin::execute`]; everything else here is what these two
//! are made of. Nothing below this crate reads configuration, files of configuration or the environment.

pub mod admin;
mod banner;
pub mod config;
mod installation;
pub mod listening;
pub mod lock;
pub mod logging;
mod metrics;
mod run;
pub mod system;
pub mod texts;
pub mod tls;

pub use config::Config;
pub use run::run;
