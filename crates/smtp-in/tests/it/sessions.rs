//! What may be said when, and what comes of it.

use std::sync::atomic::Ordering;

use podmail_smtp_in::Config;

use crate::harness::{Running, config};

const WHOLE: &[u8] = b"EHLO client.example\r\nMAIL FROM:<sender@a.example> SIZE=20 BODY=8BITMIME\r\n\
    RCPT TO:<desk@podmail.example>\r\nRCPT TO:<unknown@podmail.example>\r\nRCPT TO:<Postmaster>\r\n\
    RCPT TO:<desk@podmail.example>\r\nDATA\r\nSubject: x\r\n\r\n..dot\r\n.\r\n\
    MAIL FROM:<>\r\nRCPT TO:<@relay.example:desk@podmail.example>\r\nDATA\r\nbounce\r\n.\r\nQUIT\r\n";
const WHOLE_CODES: [u16; 14] = [220, 250, 250, 250, 550, 250, 250, 354, 250, 250, 250, 354, 250, 221];

fn assert_whole(running: &Running) {
    let messages = running.sink.take();
    let [(first, first_raw), (second, second_raw)] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!(first.from.as_deref(), Some("sender@a.example"));
    assert_eq!(first.recipients, ["desk@podmail.example", "postmaster@mx.podmail.example"]);
    assert_eq!((first.helo.as_str(), first.tls, first.smtputf8), ("client.example", false, false));
    assert_eq!(first_raw.as_ref(), b"Subject: x\r\n\r\n.dot\r\n");
    assert_eq!((second.from.as_deref(), second_raw.as_ref()), (None, &b"bounce\r\n"[..]));
    assert_eq!(second.recipients, ["desk@podmail.example"]);
}

#[tokio::test]
async fn a_message_comes_in_step_by_step() {
    let running = Running::plain().await;
    let mut client = running.connect().await;
    assert_eq!(client.expect(220).await.text(), "mx.podmail.example ESMTP");
    let offers = client.command("EHLO client.example", 250).await;
    assert_eq!(
        offers.lines,
        ["mx.podmail.example", "SIZE 31457280", "PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
    );
    client.begin_message().await;
    client.send(b"Subject: x\r\n\r\nbody\r\n.\r\n").await;
    assert_eq!(client.expect(250).await.text(), "2.0.0 Ok");
    client.command("QUIT", 221).await;
    assert!(client.rest().await.is_empty());
    let messages = running.sink.take();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].1.as_ref(), b"Subject: x\r\n\r\nbody\r\n");
    assert_eq!(messages[0].0.remote.ip(), running.address.ip());
    assert_eq!(running.counters.messages_accepted.load(Ordering::Relaxed), 1);
    assert_eq!(running.counters.message_bytes.load(Ordering::Relaxed), 20);
}

#[tokio::test]
async fn a_session_may_come_in_one_write() {
    let running = Running::plain().await;
    let mut client = running.connect().await;
    client.send(WHOLE).await;
    assert_eq!(client.rest().await, WHOLE_CODES);
    assert_whole(&running);
}

#[tokio::test]
async fn a_session_may_come_byte_by_byte() {
    let running = Running::plain().await;
    let mut client = running.connect().await;
    for byte in WHOLE {
        client.send(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.rest().await, WHOLE_CODES);
    assert_whole(&running);
}

#[tokio::test]
async fn a_session_may_be_split_at_every_byte() {
    let running = Running::start(Config { max_connections_per_ip: 1_000, ..config() }, None).await;
    for at in 0..=WHOLE.len() {
        let mut client = running.connect().await;
        client.send(&WHOLE[..at]).await;
        client.expect(220).await;
        client.send(&WHOLE[at..]).await;
        assert_eq!(client.rest().await, WHOLE_CODES[1..], "split at {at}");
        assert_whole(&running);
    }
}

#[tokio::test]
async fn commands_out_of_order_are_refused() {
    let running = Running::plain().await;
    let mut client = running.connect().await;
    client.expect(220).await;
    for (line, codes) in [
        ("MAIL FROM:<a@b.example>", "503 5.5.1"),
        ("RCPT TO:<a@b.example>", "503 5.5.1"),
        ("DATA", "503 5.5.1"),
        ("HELO client.example", "250"),
        ("RCPT TO:<a@b.example>", "503 5.5.1"),
        ("MAIL FROM:<a@b.example>", "250 2.1.0"),
        ("MAIL FROM:<a@b.example>", "503 5.5.1"),
        ("DATA", "503 5.5.1"),
        ("RCPT TO:<unknown@podmail.example>", "550 5.1.1"),
        ("RCPT TO:<busy@podmail.example>", "451 4.3.0"),
        ("DATA", "554 5.5.1"),
        ("RCPT TO:<desk@podmail.example>", "250 2.1.5"),
        ("RSET", "250 2.0.0"),
        ("DATA", "503 5.5.1"),
        ("MAIL FROM:<a@b.example>", "250 2.1.0"),
        ("EHLO client.example", "250"),
        ("RCPT TO:<desk@podmail.example>", "503 5.5.1"),
        ("STARTTLS", "503 5.5.1"),
        ("AUTH PLAIN AAAA", "502 5.5.1"),
        ("NOOP x", "250 2.0.0"),
        ("VRFY desk", "252 2.5.0"),
        ("HELP", "214 2.0.0"),
        ("WHAT", "500 5.5.2"),
        ("EHLO", "501 5.5.4"),
    ] {
        assert_eq!(client.codes(line).await, codes, "{line}");
    }
    assert_eq!(running.sink.take(), []);
}

#[tokio::test]
async fn addresses_in_utf8_need_smtputf8() {
    let running = Running::plain().await;
    let mut client = running.greeted().await;
    for (line, codes) in [
        ("MAIL FROM:<jös@a.example>", "553 5.6.7"),
        ("MAIL FROM:<a@a.example>", "250 2.1.0"),
        ("RCPT TO:<dösk@podmail.example>", "553 5.6.7"),
        ("RSET", "250 2.0.0"),
        ("MAIL FROM:<jös@a.example> SMTPUTF8", "250 2.1.0"),
        ("RCPT TO:<dösk@podmail.example>", "250 2.1.5"),
        ("DATA", "354"),
        (".", "250 2.0.0"),
    ] {
        assert_eq!(client.codes(line).await, codes, "{line}");
    }
    let messages = running.sink.take();
    assert_eq!(messages[0].0.recipients, ["dösk@podmail.example"]);
    assert!(messages[0].0.smtputf8 && messages[0].1.is_empty());
}

#[tokio::test]
async fn the_sink_decides_about_the_message() {
    let running = Running::plain().await;
    let mut client = running.greeted().await;
    for (sender, codes) in [("loop", "554 5.4.6"), ("full", "451 4.3.0"), ("fine", "250 2.0.0")] {
        client.command(&format!("MAIL FROM:<{sender}@a.example>"), 250).await;
        client.command("RCPT TO:<desk@podmail.example>", 250).await;
        client.command("DATA", 354).await;
        assert_eq!(client.codes("body\r\n.").await, codes, "{sender}");
    }
    assert_eq!(running.sink.take().len(), 1);
    assert_eq!(running.counters.messages_refused.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_message_that_breaks_off_is_not_delivered() {
    let running = Running::plain().await;
    let mut client = running.greeted().await;
    client.begin_message().await;
    client.send(b"half\r\n.").await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.unwrap();
    assert!(client.rest().await.is_empty());
    assert_eq!(running.sink.take(), []);
}
