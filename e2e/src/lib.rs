//! Nothing: this package holds the tests of the whole server, in `tests/it`, which run the `podmail` binary as a process
//! of its own.
