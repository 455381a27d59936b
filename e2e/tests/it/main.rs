//! The real binary as a process: killed, traced, stopped and started again.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests may fail loudly")]

mod crash;
mod nodes;
mod restart;
mod syscalls;
mod trace;
