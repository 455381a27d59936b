//! The end of the server.

use std::time::Duration;

use podmail_smtp_in::Config;
use tokio::net::TcpStream;

use crate::harness::{Running, config};

#[tokio::test]
async fn idle_clients_are_told_and_messages_on_their_way_finish() {
    let running = Running::plain().await;
    let mut idle = running.greeted().await;
    let mut busy = running.greeted().await;
    busy.begin_message().await;
    busy.send(b"half ").await;
    running.shutdown.cancel();
    idle.expect(421).await;
    assert!(idle.rest().await.is_empty());
    busy.send(b"whole\r\n.\r\n").await;
    assert_eq!(busy.rest().await, [250, 421]);
    assert_eq!(running.sink.take()[0].1.as_ref(), b"half whole\r\n");
    let address = running.address;
    running.ended().await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_message_that_takes_too_long_does_not_hold_up_the_shutdown() {
    let running =
        Running::start(Config { shutdown_timeout: Duration::from_millis(50), ..config() }, None).await;
    let mut busy = running.greeted().await;
    busy.begin_message().await;
    running.shutdown.cancel();
    assert!(busy.rest().await.is_empty());
    assert_eq!(running.sink.take(), []);
    running.ended().await;
}
