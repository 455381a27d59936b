//! Tests of the whole server as its users meet it: the real binary, its sockets, its files. They are in `tests/it`; this
//! library is empty, what they share with the measuring programs is in `podmail-bench`.
