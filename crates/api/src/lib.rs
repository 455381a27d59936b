//! The HTTP API. A request walks through `server` (connections) → `dispatch` (credential, limit, scope, permission) →
//! a row of the table in `route` → a handler in `handlers`, which reads `fields`, `query` and `paging` and calls `app`.
//! `error` turns what went wrong into the envelope.

mod body;
mod credential;
mod describe;
mod dispatch;
mod error;
mod fields;
mod handlers;
mod limiter;
mod llms;
mod metrics;
mod numbers;
mod openapi;
mod pages;
mod paging;
mod query;
mod refusal;
mod request;
mod route;
mod server;

pub use dispatch::{Api, MetricsSource, Operation, operations};
pub use route::Needs;
pub use server::serve;
