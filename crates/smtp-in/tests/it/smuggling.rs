//! What other servers have taken for the end of a message: each gives exactly one message here.

use crate::harness::Running;

#[tokio::test]
async fn false_ends_give_one_message_and_never_two() {
    let running = Running::plain().await;
    for (end, kept) in [
        (&b"\n.\n"[..], &b"\n.\n"[..]),
        (b"\n.\r\n", b"\n.\r\n"),
        (b"\r.\r", b"\r.\r"),
        (b"\r.\r\n", b"\r.\r\n"),
        (b"\r\n.\n", b"\r\n\n"),
        (b"\r\n.\r", b"\r\n\r"),
        (b"\r\n.\r\r\n", b"\r\n\r\r\n"),
        (b"\r\n\0.\r\n", b"\r\n\0.\r\n"),
        (b"\r\n.\0\r\n", b"\r\n\0\r\n"),
        (b"\n\n.\r\n", b"\n\n.\r\n"),
        (b"\r\r.\r\n", b"\r\r.\r\n"),
        (b"\n\r.\r\n", b"\n\r.\r\n"),
        (b"\r\n. \r\n", b"\r\n \r\n"),
    ] {
        let smuggled =
            b"MAIL FROM:<evil@a.example>\r\nRCPT TO:<desk@podmail.example>\r\nDATA\r\nsmuggled\r\n";
        let shown = String::from_utf8_lossy(end);
        for pipelined in [false, true] {
            let mut client = running.greeted().await;
            client.begin_message().await;
            let content = [b"honest", end, smuggled, b".\r\n"].concat();
            if pipelined {
                client.send(&content).await;
            } else {
                for byte in &content {
                    client.send(&[*byte]).await;
                }
            }
            client.send(b"QUIT\r\n").await;
            assert_eq!(client.rest().await, [250, 221], "{shown:?}");
            let messages = running.sink.take();
            assert_eq!(messages.len(), 1, "{shown:?}");
            assert_eq!(messages[0].0.from.as_deref(), Some("sender@a.example"));
            assert_eq!(messages[0].1.as_ref(), [b"honest", kept, smuggled].concat(), "{shown:?}");
        }
    }
}

#[tokio::test]
async fn a_lone_line_feed_does_not_end_a_command() {
    let running = Running::plain().await;
    let mut client = running.greeted().await;
    client.send(b"MAIL FROM:<a@b.example>\nRCPT TO:<desk@podmail.example>\r\n").await;
    assert_eq!(client.expect(500).await.text(), "5.5.2 Lines end with CR LF");
    client.expect(503).await;
}
