//! Tests of the server's parts that need a runtime, files and sockets.

mod admin_socket;
mod workspace;
