//! What the client says, and what it makes of the answers.

use std::net::SocketAddr;
use std::time::Duration;

use podmail_delivery::client::{Limits, Outcome, RecipientResult, Stage, Target, TlsConfigs, TlsMode, send};
use rustls::RootCertStore;
use tokio::net::TcpListener;

use crate::server::{Certificate, Hang, Hear, Message, Say, Step, Tls, start, start_with};

const MESSAGE: &[u8] = b"Subject: x\r\n\r\n.hidden dot\r\nend\r\n";
const SENT: &str = "Subject: x\r\n\r\n..hidden dot\r\nend\r\n.\r\n";

fn target(addresses: &[SocketAddr], tls: TlsMode) -> Target {
    Target {
        addresses: addresses.to_vec(),
        host: "mx.example".to_owned(),
        tls,
        credentials: None,
        helo: "pod.example".to_owned(),
    }
}

fn quick() -> Limits {
    let limit = Duration::from_secs(10);
    Limits {
        connect: limit,
        greeting: limit,
        command: limit,
        data_start: limit,
        data_block: limit,
        data_end: limit,
        total: Duration::from_secs(30),
    }
}

fn configs(roots: RootCertStore) -> TlsConfigs {
    TlsConfigs::new(roots).unwrap()
}

async fn deliver_with(target: &Target, recipients: &[&str], limits: &Limits, tls: &TlsConfigs) -> Outcome {
    let recipients: Vec<String> = recipients.iter().map(|text| (*text).to_owned()).collect();
    send(target, "a@pod.example", &recipients, MESSAGE, limits, tls).await
}

async fn deliver(target: &Target, recipients: &[&str]) -> Outcome {
    deliver_with(target, recipients, &quick(), &configs(RootCertStore::empty())).await
}

fn delivered(reply: &str, id: Option<&str>) -> RecipientResult {
    RecipientResult::Delivered { reply: reply.to_owned(), relay_message_id: id.map(str::to_owned) }
}

fn permanent(code: u16, enhanced: Option<&str>, text: &str, stage: Stage) -> RecipientResult {
    let (enhanced, text) = (enhanced.map(str::to_owned), text.to_owned());
    RecipientResult::Permanent { code, enhanced, text, stage }
}

fn transient(code: Option<u16>, enhanced: Option<&str>, text: &str, stage: Stage) -> RecipientResult {
    let (enhanced, text) = (enhanced.map(str::to_owned), text.to_owned());
    RecipientResult::Transient { code, enhanced, text, stage }
}

fn stage_of_transient(result: &RecipientResult) -> Option<Stage> {
    match result {
        RecipientResult::Transient { stage, .. } => Some(*stage),
        RecipientResult::Delivered { .. } | RecipientResult::Permanent { .. } => None,
    }
}

/// Greeting and EHLO with these further lines.
fn hello(offers: &'static str) -> Vec<Step> {
    vec![Say("220 mx.example ready"), Hear("EHLO pod.example"), Say(offers)]
}

fn script(start: Vec<Step>, rest: Vec<Step>) -> Vec<Step> {
    start.into_iter().chain(rest).collect()
}

/// A transaction for one recipient without extensions, from MAIL to the goodbye.
fn plain_transaction() -> Vec<Step> {
    vec![
        Hear("MAIL FROM:<a@pod.example>"),
        Say("250 Ok"),
        Hear("RCPT TO:<b@x.example>"),
        Say("250 Ok"),
        Hear("DATA"),
        Say("354 Go on"),
        Message(SENT),
        Say("250 2.0.0 Ok: queued as ABCDEF123456"),
        Hear("QUIT"),
        Say("221 Bye"),
    ]
}

const QUEUED: &str = "2.0.0 Ok: queued as ABCDEF123456";

#[tokio::test]
async fn a_message_is_delivered_without_extensions() {
    let (address, task) = start(vec![script(hello("250 mx.example"), plain_transaction())]).await;
    let outcome = deliver(&target(&[address], TlsMode::Opportunistic), &["b@x.example"]).await;
    task.await.unwrap();
    assert_eq!(outcome.recipients, [delivered(QUEUED, Some("ABCDEF123456"))]);
    assert_eq!((outcome.peer, outcome.encrypted), (Some(address), false));
}

#[tokio::test]
async fn the_envelope_is_pipelined_and_a_refused_recipient_does_not_stop_the_others() {
    let rest = vec![
        Hear("MAIL FROM:<a@pod.example> SIZE=32"),
        Hear("RCPT TO:<b@x.example>"),
        Hear("RCPT TO:<c@x.example>"),
        Hear("RCPT TO:<d@x.example>"),
        Say("250 2.1.0 Ok\n250 2.1.5 Ok\n550-5.1.1 No such\n550 user here\n451 4.7.1 Greylisted"),
        Hear("DATA"),
        Say("354-Go\n354 on"),
        Message(SENT),
        Say("250 Ok 0102018f-1b2c3d4e-000000"),
        Hear("QUIT"),
        Say("221 Bye"),
    ];
    let offers = "250-mx.example hello\n250-PIPELINING\n250-SIZE 1000\n250 8BITMIME";
    let (address, task) = start(vec![script(hello(offers), rest)]).await;
    let recipients = ["b@x.example", "c@x.example", "d@x.example"];
    let outcome = deliver(&target(&[address], TlsMode::Opportunistic), &recipients).await;
    task.await.unwrap();
    assert_eq!(
        outcome.recipients,
        [
            delivered("Ok 0102018f-1b2c3d4e-000000", Some("0102018f-1b2c3d4e-000000")),
            permanent(550, Some("5.1.1"), "5.1.1 No such user here", Stage::Recipient),
            transient(Some(451), Some("4.7.1"), "4.7.1 Greylisted", Stage::Recipient),
        ]
    );
}

#[tokio::test]
async fn without_any_accepted_recipient_there_is_no_data() {
    let rest = vec![
        Hear("MAIL FROM:<a@pod.example>"),
        Say("250 Ok"),
        Hear("RCPT TO:<b@x.example>"),
        Say("550 no"),
        Hear("QUIT"),
        Say("221 Bye"),
    ];
    let (address, task) = start(vec![script(hello("250 mx.example"), rest)]).await;
    let outcome = deliver(&target(&[address], TlsMode::Opportunistic), &["b@x.example"]).await;
    task.await.unwrap();
    assert_eq!(outcome.recipients, [permanent(550, None, "no", Stage::Recipient)]);
}

#[tokio::test]
async fn a_refused_sender_or_message_concerns_every_recipient() {
    let pipelined = vec![
        Hear("MAIL FROM:<a@pod.example>"),
        Hear("RCPT TO:<b@x.example>"),
        Hear("RCPT TO:<c@x.example>"),
        Say("550 5.7.1 Not you\n503 no\n503 no"),
        Hear("QUIT"),
    ];
    let (address, task) = start(vec![script(hello("250-mx\n250 PIPELINING"), pipelined)]).await;
    let to = ["b@x.example", "c@x.example"];
    let outcome = deliver(&target(&[address], TlsMode::Opportunistic), &to).await;
    task.await.unwrap();
    let want = permanent(550, Some("5.7.1"), "5.7.1 Not you", Stage::Sender);
    assert_eq!(outcome.recipients, [want.clone(), want]);

    for (reply, want) in [
        ("554 5.6.0 spam", permanent(554, Some("5.6.0"), "5.6.0 spam", Stage::Data)),
        ("452 4.3.1 full", transient(Some(452), Some("4.3.1"), "4.3.1 full", Stage::Data)),
    ] {
        let rest = vec![
            Hear("MAIL FROM:<a@pod.example>"),
            Say("250 Ok"),
            Hear("RCPT TO:<b@x.example>"),
            Say("250 Ok"),
            Hear("DATA"),
            Say("354 Go on"),
            Message(SENT),
            Say(reply),
            Hear("QUIT"),
            Say("221 Bye"),
        ];
        let (address, task) = start(vec![script(hello("250 mx"), rest)]).await;
        let outcome = deliver(&target(&[address], TlsMode::Opportunistic), &["b@x.example"]).await;
        task.await.unwrap();
        assert_eq!(outcome.recipients, [want], "{reply}");
    }
}

#[tokio::test]
async fn greetings_refuse_for_now_or_for_good() {
    for (greeting, want) in [
        ("554 no mail from you", permanent(554, None, "no mail from you", Stage::Greeting)),
        ("421 4.3.2 busy", transient(Some(421), Some("4.3.2"), "4.3.2 busy", Stage::Greeting)),
    ] {
        let (address, task) = start(vec![vec![Say(greeting)]]).await;
        let outcome = deliver(&target(&[address], TlsMode::Opportunistic), &["b@x.example"]).await;
        task.await.unwrap();
        assert_eq!(outcome.recipients, [want], "{greeting}");
    }
    let (address, task) = start(vec![vec![Say("HTTP/1.1 400 Bad Request")]]).await;
    let outcome = deliver(&target(&[address], TlsMode::Opportunistic), &["b@x.example"]).await;
    task.await.unwrap();
    assert_eq!(stage_of_transient(&outcome.recipients[0]), Some(Stage::Greeting));
}

#[tokio::test]
async fn the_next_address_is_tried_until_one_takes_the_conversation() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refusing = closed.local_addr().unwrap();
    drop(closed);
    let (unwilling, first) = start(vec![vec![Say("554 no")]]).await;
    let midway = vec![Hear("MAIL FROM:<a@pod.example>"), Say("421 4.3.2 going down")];
    let (leaving, second) = start(vec![script(hello("250 mx"), midway)]).await;
    let (willing, third) = start(vec![script(hello("250 mx"), plain_transaction())]).await;
    let addresses = [refusing, unwilling, leaving, willing];
    let outcome = deliver(&target(&addresses, TlsMode::Opportunistic), &["b@x.example"]).await;
    for task in [first, second, third] {
        task.await.unwrap();
    }
    assert_eq!(outcome.recipients, [delivered(QUEUED, Some("ABCDEF123456"))]);
    assert_eq!(outcome.peer, Some(willing));

    let outcome = deliver(&target(&[refusing], TlsMode::Opportunistic), &["b@x.example"]).await;
    assert_eq!(stage_of_transient(&outcome.recipients[0]), Some(Stage::Connect));
    let outcome = deliver(&target(&[], TlsMode::Opportunistic), &["b@x.example"]).await;
    assert_eq!(stage_of_transient(&outcome.recipients[0]), Some(Stage::Connect));
}

#[tokio::test]
async fn a_421_in_the_middle_leaves_settled_recipients_settled() {
    let rest = vec![
        Hear("MAIL FROM:<a@pod.example>"),
        Hear("RCPT TO:<b@x.example>"),
        Hear("RCPT TO:<c@x.example>"),
        Say("250 Ok\n550 5.1.1 unknown\n421 4.3.2 going down"),
    ];
    let (address, task) = start(vec![script(hello("250-mx\n250 PIPELINING"), rest)]).await;
    let to = ["b@x.example", "c@x.example"];
    let outcome = deliver(&target(&[address], TlsMode::Opportunistic), &to).await;
    task.await.unwrap();
    assert_eq!(
        outcome.recipients,
        [
            permanent(550, Some("5.1.1"), "5.1.1 unknown", Stage::Recipient),
            transient(Some(421), Some("4.3.2"), "4.3.2 going down", Stage::Recipient),
        ]
    );
}

#[tokio::test]
async fn a_connection_lost_after_the_message_is_transient_and_not_tried_elsewhere() {
    let rest = vec![
        Hear("MAIL FROM:<a@pod.example>"),
        Say("250 Ok"),
        Hear("RCPT TO:<b@x.example>"),
        Say("250 Ok"),
        Hear("DATA"),
        Say("354 Go on"),
        Message(SENT),
    ];
    let (address, task) = start(vec![script(hello("250 mx"), rest)]).await;
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = [address, other.local_addr().unwrap()];
    let outcome = deliver(&target(&addresses, TlsMode::Opportunistic), &["b@x.example"]).await;
    task.await.unwrap();
    let want = transient(None, None, "the server closed the connection", Stage::Data);
    assert_eq!(outcome.recipients, [want]);
    assert_eq!(outcome.peer, Some(address));
}

#[tokio::test]
async fn helo_is_used_where_ehlo_is_unknown() {
    let start_steps = vec![
        Say("220-mx.example\n220 ready"),
        Hear("EHLO pod.example"),
        Say("502 what?"),
        Hear("HELO pod.example"),
        Say("250 hello"),
    ];
    let (address, task) = start(vec![script(start_steps, plain_transaction())]).await;
    let outcome = deliver(&target(&[address], TlsMode::Opportunistic), &["b@x.example"]).await;
    task.await.unwrap();
    assert_eq!(outcome.recipients, [delivered(QUEUED, Some("ABCDEF123456"))]);
}

fn starttls(rest: Vec<Step>) -> Vec<Step> {
    let offer = vec![Hear("STARTTLS"), Say("220 go"), Tls];
    script(hello("250-mx\n250 STARTTLS"), script(offer, rest))
}

fn encrypted_transaction() -> Vec<Step> {
    script(vec![Hear("EHLO pod.example"), Say("250 mx")], plain_transaction())
}

#[tokio::test]
async fn opportunistic_tls_takes_any_certificate() {
    for mode in [TlsMode::Opportunistic, TlsMode::WhenOffered] {
        let (address, task) = start(vec![starttls(encrypted_transaction())]).await;
        let outcome = deliver(&target(&[address], mode), &["b@x.example"]).await;
        task.await.unwrap();
        assert_eq!(outcome.recipients, [delivered(QUEUED, Some("ABCDEF123456"))]);
        assert!(outcome.encrypted);
    }
}

#[tokio::test]
async fn opportunistic_tls_falls_back_to_plaintext_on_a_fresh_connection() {
    let broken = script(hello("250-mx\n250 STARTTLS"), vec![Hear("STARTTLS"), Say("220 go"), Say("garbage")]);
    let again = script(hello("250-mx\n250 STARTTLS"), plain_transaction());
    let (address, task) = start(vec![broken, again]).await;
    let outcome = deliver(&target(&[address], TlsMode::Opportunistic), &["b@x.example"]).await;
    task.await.unwrap();
    assert_eq!(outcome.recipients, [delivered(QUEUED, Some("ABCDEF123456"))]);
    assert!(!outcome.encrypted);

    let refused = vec![Hear("STARTTLS"), Say("454 4.7.0 not now")];
    let rest = script(refused, plain_transaction());
    let (address, task) = start(vec![script(hello("250-mx\n250 STARTTLS"), rest)]).await;
    let outcome = deliver(&target(&[address], TlsMode::Opportunistic), &["b@x.example"]).await;
    task.await.unwrap();
    assert_eq!(outcome.recipients, [delivered(QUEUED, Some("ABCDEF123456"))]);
}

#[tokio::test]
async fn required_tls_needs_an_offer_and_a_trusted_certificate_for_the_name() {
    let certificate = Certificate::new();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der.clone()).unwrap();
    let trusting = configs(roots);

    let (address, task) = start_with(vec![starttls(encrypted_transaction())], &certificate).await;
    let relay = target(&[address], TlsMode::Required);
    let outcome = deliver_with(&relay, &["b@x.example"], &quick(), &trusting).await;
    task.await.unwrap();
    assert_eq!(outcome.recipients, [delivered(QUEUED, Some("ABCDEF123456"))]);
    assert!(outcome.encrypted);

    let implicit = script(vec![Tls], script(hello("250 mx"), plain_transaction()));
    let (address, task) = start_with(vec![implicit], &certificate).await;
    let relay = target(&[address], TlsMode::Implicit);
    let outcome = deliver_with(&relay, &["b@x.example"], &quick(), &trusting).await;
    task.await.unwrap();
    assert_eq!(outcome.recipients, [delivered(QUEUED, Some("ABCDEF123456"))]);

    let (address, task) = start_with(vec![starttls(vec![])], &certificate).await;
    let mut relay = target(&[address], TlsMode::Required);
    relay.host = "other.example".to_owned();
    let outcome = deliver_with(&relay, &["b@x.example"], &quick(), &trusting).await;
    task.await.unwrap();
    assert_eq!(stage_of_transient(&outcome.recipients[0]), Some(Stage::Tls));

    for scripts in [starttls(vec![]), hello("250 mx"), script(vec![Tls], vec![])] {
        let implicit = matches!(scripts.first(), Some(Tls));
        let (address, task) = start_with(vec![scripts], &certificate).await;
        let mode = if implicit { TlsMode::Implicit } else { TlsMode::Required };
        let outcome = deliver(&target(&[address], mode), &["b@x.example"]).await;
        task.await.unwrap();
        assert_eq!(stage_of_transient(&outcome.recipients[0]), Some(Stage::Tls), "{mode:?}");
    }
}

#[tokio::test]
async fn bytes_sent_ahead_of_tls_are_not_taken_for_an_answer() {
    let rest = vec![Hear("STARTTLS"), Say("220 go\n250 injected"), Hang];
    let (address, task) = start(vec![script(hello("250-mx\n250 STARTTLS"), rest)]).await;
    let outcome = deliver(&target(&[address], TlsMode::WhenOffered), &["b@x.example"]).await;
    task.await.unwrap();
    assert_eq!(stage_of_transient(&outcome.recipients[0]), Some(Stage::Tls));
}

#[tokio::test]
async fn credentials_are_given_by_plain_or_login_and_never_in_the_clear_to_strangers() {
    let credentials = Some(("user".to_owned(), "pass".to_owned()));
    let plain = vec![Hear("AUTH PLAIN AHVzZXIAcGFzcw=="), Say("235 2.7.0 Ok")];
    let login = vec![
        Hear("AUTH LOGIN"),
        Say("334 VXNlcm5hbWU6"),
        Hear("dXNlcg=="),
        Say("334 UGFzc3dvcmQ6"),
        Hear("cGFzcw=="),
        Say("235 Ok"),
    ];
    for (offers, steps) in [("250-mx\n250 AUTH LOGIN PLAIN", plain), ("250-mx\n250 AUTH LOGIN", login)] {
        let (address, task) = start(vec![script(hello(offers), script(steps, plain_transaction()))]).await;
        let relay = Target { credentials: credentials.clone(), ..target(&[address], TlsMode::WhenOffered) };
        let outcome = deliver(&relay, &["b@x.example"]).await;
        task.await.unwrap();
        assert_eq!(outcome.recipients, [delivered(QUEUED, Some("ABCDEF123456"))]);
        assert!(!format!("{relay:?}").contains("pass"));
    }

    let wrong = vec![Hear("AUTH PLAIN AHVzZXIAcGFzcw=="), Say("535 5.7.8 wrong")];
    let (address, task) = start(vec![script(hello("250-mx\n250 AUTH PLAIN"), wrong)]).await;
    let relay = Target { credentials: credentials.clone(), ..target(&[address], TlsMode::WhenOffered) };
    let outcome = deliver(&relay, &["b@x.example"]).await;
    task.await.unwrap();
    let want = transient(Some(535), Some("5.7.8"), "5.7.8 wrong", Stage::Authentication);
    assert_eq!(outcome.recipients, [want]);

    let (address, task) = start(vec![hello("250-mx\n250 AUTH PLAIN")]).await;
    let relay = Target { credentials, ..target(&[address], TlsMode::Opportunistic) };
    let outcome = deliver(&relay, &["b@x.example"]).await;
    task.await.unwrap();
    assert_eq!(stage_of_transient(&outcome.recipients[0]), Some(Stage::Authentication));
}

#[tokio::test]
async fn size_and_characters_are_declared_and_impossible_ones_refused_here() {
    let rest = vec![
        Hear("MAIL FROM:<> SIZE=5 BODY=8BITMIME"),
        Say("250 Ok"),
        Hear("RCPT TO:<b@x.example>"),
        Say("250 Ok"),
        Hear("DATA"),
        Say("354 Go on"),
        Message("\u{fc}\r\nx\r\n.\r\n"),
        Say("250 Ok"),
        Hear("QUIT"),
        Say("221 Bye"),
    ];
    let offers = "250-mx\n250-SIZE\n250 8BITMIME";
    let (address, task) = start(vec![script(hello(offers), rest)]).await;
    let relay = target(&[address], TlsMode::Opportunistic);
    let to = ["b@x.example", "not an address", "\u{fc}@x.example"].map(str::to_owned);
    let tls = configs(RootCertStore::empty());
    let outcome = send(&relay, "", &to, "\u{fc}\r\nx".as_bytes(), &quick(), &tls).await;
    task.await.unwrap();
    assert_eq!(
        outcome.recipients,
        [
            delivered("Ok", None),
            permanent(501, Some("5.1.3"), "the recipient is not a valid address", Stage::Recipient),
            permanent(
                550,
                Some("5.6.7"),
                "the server takes no internationalized recipient",
                Stage::Recipient
            ),
        ]
    );

    let (address, task) = start(vec![script(hello("250-mx\n250 SIZE 10"), vec![Hear("QUIT")])]).await;
    let outcome = deliver(&target(&[address], TlsMode::Opportunistic), &["b@x.example"]).await;
    task.await.unwrap();
    let text = "the message of 32 bytes exceeds the server's limit of 10";
    assert_eq!(outcome.recipients, [permanent(552, Some("5.3.4"), text, Stage::Sender)]);
}

#[tokio::test]
async fn silence_ends_in_a_timeout_at_each_stage() {
    let to_data = vec![
        Hear("MAIL FROM:<a@pod.example>"),
        Say("250 Ok"),
        Hear("RCPT TO:<b@x.example>"),
        Say("250 Ok"),
        Hear("DATA"),
        Say("354 Go on"),
        Message(SENT),
        Hang,
    ];
    let short = Duration::from_millis(200);
    let base = quick();
    let table = [
        (vec![Hang], Limits { greeting: short, ..base }, Stage::Greeting),
        (vec![Say("220 mx"), Hang], Limits { command: short, ..base }, Stage::Hello),
        (vec![Say("220 mx"), Hang], Limits { total: short, ..base }, Stage::Hello),
        (script(hello("250 mx"), to_data), Limits { data_end: short, ..base }, Stage::Data),
    ];
    let tls = configs(RootCertStore::empty());
    for (steps, limits, stage) in table {
        let (address, task) = start(vec![steps]).await;
        let relay = target(&[address], TlsMode::Opportunistic);
        let outcome = deliver_with(&relay, &["b@x.example"], &limits, &tls).await;
        task.await.unwrap();
        assert_eq!(outcome.recipients, [transient(None, None, "timed out", stage)]);
    }
}

#[tokio::test]
async fn a_large_message_arrives_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let line = format!(".{}\r\n", "x".repeat(200));
    let message = line.repeat(10_000);
    let task = tokio::spawn(async move {
        use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        write.write_all(b"220 mx\r\n").await.unwrap();
        let (mut content, mut data) = (String::new(), false);
        while let Some(line) = lines.next_line().await.unwrap() {
            let reply: &[u8] = match line.as_str() {
                "." => b"250 Ok\r\n",
                "DATA" => b"354 Go on\r\n",
                "QUIT" => return content,
                _ if data => {
                    content.push_str(line.strip_prefix('.').unwrap_or(&line));
                    content.push_str("\r\n");
                    continue;
                }
                _ => b"250 Ok\r\n",
            };
            data = line == "DATA";
            write.write_all(reply).await.unwrap();
        }
        content
    });
    let relay = target(&[address], TlsMode::Opportunistic);
    let tls = configs(RootCertStore::empty());
    let to = ["b@x.example".to_owned()];
    let outcome = send(&relay, "a@pod.example", &to, message.as_bytes(), &quick(), &tls).await;
    assert_eq!(outcome.recipients, [delivered("Ok", None)]);
    assert!(task.await.unwrap() == message);
}
