//! The vocabulary of background work: tasks that end with the server, and when to try again.
//!
//! [`Tasks`] is the only place that spawns; [`RetrySchedule`] and [`Backoff`] turn a number of failures
//! into a delay; [`Outcome`] is what a job handler returns. Nothing here knows a clock or a generator of
//! random numbers: callers pass both in, so the same inputs give the same delays.

mod outcome;
mod retry;
mod tasks;

pub use outcome::Outcome;
pub use retry::{AfterLast, Backoff, RetrySchedule};
pub use tasks::{Stopped, Tasks};
