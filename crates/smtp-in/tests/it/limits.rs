//! Bounds, and what is answered at each.

use std::sync::atomic::Ordering;
use std::time::Duration;

use podmail_smtp_in::Config;

use crate::harness::{Running, config};

#[tokio::test]
async fn a_message_too_large_is_refused_and_the_connection_stays() {
    let running = Running::start(Config { max_message_bytes: 1_000, ..config() }, None).await;
    let mut client = running.greeted().await;
    assert_eq!(client.codes("MAIL FROM:<a@b.example> SIZE=1001").await, "552 5.3.4");
    client.begin_message().await;
    let line = "x".repeat(1_000);
    assert_eq!(client.codes(&format!("{line}\r\n.")).await, "552 5.3.4");
    client.begin_message().await;
    let line = "x".repeat(998);
    assert_eq!(client.codes(&format!("{line}\r\n.")).await, "250 2.0.0");
    assert_eq!(running.sink.take().len(), 1);
}

#[tokio::test]
async fn a_message_far_too_large_ends_the_connection() {
    let running = Running::start(Config { max_message_bytes: 1_000, ..config() }, None).await;
    let mut client = running.greeted().await;
    client.begin_message().await;
    client.send("x".repeat(2_001).as_bytes()).await;
    client.expect(552).await;
    assert!(client.rest().await.is_empty());
    assert_eq!(running.sink.take(), []);
}

#[tokio::test]
async fn messages_beyond_the_memory_are_put_off() {
    let running = Running::start(Config { max_buffered_bytes: 1_000, ..config() }, None).await;
    let mut first = running.greeted().await;
    let mut second = running.greeted().await;
    first.begin_message().await;
    first.send("x".repeat(900).as_bytes()).await;
    second.begin_message().await;
    assert_eq!(second.codes(&format!("{}\r\n.", "y".repeat(1_200))).await, "452 4.3.1");
    assert_eq!(first.codes("\r\n.").await, "250 2.0.0");
    second.begin_message().await;
    assert_eq!(second.codes(&format!("{}\r\n.", "y".repeat(900))).await, "250 2.0.0");
    assert_eq!(running.sink.take().len(), 2);
}

#[tokio::test]
async fn too_many_recipients_are_put_off() {
    let running = Running::start(Config { max_recipients: 2, ..config() }, None).await;
    let mut client = running.greeted().await;
    for (line, codes) in [
        ("MAIL FROM:<a@b.example>", "250 2.1.0"),
        ("RCPT TO:<one@podmail.example>", "250 2.1.5"),
        ("RCPT TO:<two@podmail.example>", "250 2.1.5"),
        ("RCPT TO:<three@podmail.example>", "452 4.5.3"),
        ("RCPT TO:<two@podmail.example>", "250 2.1.5"),
        ("DATA", "354"),
        ("body\r\n.", "250 2.0.0"),
    ] {
        assert_eq!(client.codes(line).await, codes, "{line}");
    }
    assert_eq!(running.sink.take()[0].0.recipients, ["one@podmail.example", "two@podmail.example"]);
}

#[tokio::test]
async fn a_command_line_too_long_is_refused_once() {
    let running = Running::plain().await;
    let mut client = running.greeted().await;
    assert_eq!(client.codes(&format!("NOOP {}", "x".repeat(2_041))).await, "250 2.0.0");
    assert_eq!(client.codes(&format!("NOOP {}", "x".repeat(2_042))).await, "500 5.5.2");
    assert_eq!(client.codes(&"x".repeat(100_000)).await, "500 5.5.2");
    assert_eq!(client.codes("NOOP").await, "250 2.0.0");
}

#[tokio::test]
async fn message_lines_may_be_long() {
    let running = Running::plain().await;
    let mut client = running.greeted().await;
    client.begin_message().await;
    assert_eq!(client.codes(&format!("{}\r\n.", "x".repeat(500_000))).await, "250 2.0.0");
    assert_eq!(running.sink.take()[0].1.len(), 500_002);
}

#[tokio::test]
async fn too_many_errors_end_the_connection() {
    let running = Running::start(Config { max_errors: 3, ..config() }, None).await;
    let mut client = running.greeted().await;
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\nAccept: y\r\nNOOP\r\n").await;
    assert_eq!(client.rest().await, [500, 500, 421]);
}

#[tokio::test]
async fn too_many_unknown_recipients_end_the_connection() {
    let running = Running::start(Config { max_unknown_recipients: 2, ..config() }, None).await;
    let mut client = running.greeted().await;
    client.command("MAIL FROM:<a@b.example>", 250).await;
    client.command("RCPT TO:<unknown@podmail.example>", 550).await;
    client.command("RCPT TO:<unknown@podmail.example>", 421).await;
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn too_many_messages_end_the_connection() {
    let running = Running::start(Config { max_messages_per_session: 1, ..config() }, None).await;
    let mut client = running.greeted().await;
    client.begin_message().await;
    client.command("body\r\n.", 250).await;
    client.command("MAIL FROM:<a@b.example>", 421).await;
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn connections_of_one_address_are_limited() {
    let running = Running::start(Config { max_connections_per_ip: 2, ..config() }, None).await;
    let mut first = running.greeted().await;
    let mut second = running.greeted().await;
    let mut third = running.connect().await;
    assert_eq!(third.expect(421).await.text(), "4.7.0 Too many connections from your address");
    assert!(third.rest().await.is_empty());
    assert_eq!(running.counters.connections_refused.load(Ordering::Relaxed), 1);
    first.command("QUIT", 221).await;
    assert!(first.rest().await.is_empty());
    second.command("NOOP", 250).await;
    // The place is free a moment after the connection is closed.
    loop {
        let mut next = running.connect().await;
        if next.reply().await.unwrap().code == 220 {
            break;
        }
    }
}

#[tokio::test]
async fn connections_are_limited_in_total() {
    let running = Running::start(Config { max_connections: 1, ..config() }, None).await;
    let _first = running.greeted().await;
    let mut second = running.connect().await;
    assert_eq!(second.expect(421).await.text(), "4.3.2 Too many connections, try again later");
}

#[tokio::test]
async fn silent_clients_are_told_and_closed() {
    let short = Duration::from_millis(50);
    let running = Running::start(Config { command_timeout: short, ..config() }, None).await;
    let mut client = running.connect().await;
    assert_eq!(client.rest().await, [220, 421]);
    let running = Running::start(Config { data_timeout: short, ..config() }, None).await;
    let mut client = running.greeted().await;
    client.begin_message().await;
    client.send(b"half").await;
    assert_eq!(client.rest().await, [421]);
    let running = Running::start(Config { session_timeout: short, ..config() }, None).await;
    let mut client = running.connect().await;
    assert_eq!(client.rest().await, [220, 421]);
}

const NOISE: &[u8] = b"\r\n\r\n.<>@: EHLOMAILRCPTDATA\0\xff";

#[tokio::test]
async fn noise_is_answered_and_never_delivered() {
    let running = Running::start(Config { max_connections_per_ip: 1_000, ..config() }, None).await;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..200 {
        let mut client = running.connect().await;
        let noise: Vec<u8> = (0..500)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                NOISE[usize::try_from(state >> 33).unwrap() % NOISE.len()]
            })
            .collect();
        client.send(&noise).await;
        tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.unwrap_or_default();
        let codes = client.rest().await;
        assert!(codes.iter().all(|code| matches!(code, 220 | 250 | 421 | 500..=503)), "{codes:?}");
    }
    assert_eq!(running.sink.take(), []);
    let mut client = running.greeted().await;
    client.command("NOOP", 250).await;
}
