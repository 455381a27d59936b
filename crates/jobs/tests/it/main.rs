//! Tests of the tasks, which need a runtime.

mod tasks;
