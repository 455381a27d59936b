//! Attachments of sent, received and forwarded mail. Numbers name the checks of the specification.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::BoxFuture;
use http::Method;
use podmail_app::texts::{Extractor, TextFile};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::mailbox::{DESK, InProcess, Mailbox, paths, segment};

const A: &str = "<a@x.test>";
/// A mail with text, HTML, an inline picture, a document and a forwarded message.
const MIXED: &str = "Message-ID: <a@x.test>
Subject: Files
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=m

--m
Content-Type: multipart/related; boundary=r

--r
Content-Type: text/html

<p>Hi <img src=\"cid:logo@x\"></p>
--r
Content-Type: image/png; name=logo.png
Content-Disposition: inline
Content-ID: <logo@x>
Content-Transfer-Encoding: base64

aGVsbG8=
--r--
--m
Content-Type: APPLICATION/PDF
Content-Disposition: attachment; filename*=UTF-8''R%C3%A9sum%C3%A9.pdf

%PDF
--m
Content-Type: message/rfc822

Subject: Inner
From: inner@x.test
Content-Type: text/plain

inner words
--m--";

fn file(path: &str, id: &Value) -> String {
    format!("{path}/attachments/{}", id.as_str().unwrap())
}

#[tokio::test]
async fn a_sent_file_is_described_and_served_by_a_link() {
    for desk in Mailbox::each().await {
        // attachments.md check 1
        let body =
            json!({ "to": "a@x.test", "attachments": [{ "content": "aGVsbG8=", "filename": "a.txt" }] });
        let message = desk.send(&body).await;
        let id = message["attachments"][0]["attachment_id"].clone();
        let want = json!({ "attachment_id": id, "size": 5, "filename": "a.txt", "content_type": "text/plain",
        "content_disposition": "attachment" });
        assert_eq!(message["attachments"], json!([want]));
        // attachments.md check 2
        let path = format!("/messages/{}", segment(message["message_id"].as_str().unwrap()));
        let mut got = desk.get(&file(&path, &id)).await;
        let url = got["download_url"].clone();
        let members = got.as_object_mut().unwrap();
        members.remove("download_url");
        assert_eq!(members.remove("expires_at").unwrap(), "2026-03-01T10:00:00.000Z");
        assert_eq!(got, want);
        // "Every call makes new URLs", within one second too.
        assert_ne!(desk.get(&file(&path, &id)).await["download_url"], url);
        let answer = desk.download(&url).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "hello"));
        for (name, value) in [
            ("content-type", "text/plain"),
            ("content-disposition", "attachment; filename=\"a.txt\""),
            ("content-security-policy", "sandbox; default-src 'none'"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(answer.headers[name], value, "{name}");
        }
        // attachments.md check 3
        let mut forged: Vec<char> = url.as_str().unwrap().chars().collect();
        let at = forged.len() - 5;
        forged[at] = if forged[at] == 'A' { 'B' } else { 'A' };
        let forged: String = forged.into_iter().collect();
        let bad = desk.download(&json!(forged)).await;
        desk.world.clock.advance(Duration::from_secs(3600));
        for answer in [bad, desk.download(&url).await] {
            assert_eq!((answer.status, answer.code()), (403, "forbidden"));
            let fix = answer.body["fix"].as_str().unwrap();
            assert!(fix.contains("get a fresh one"), "{fix}");
        }
        // attachments.md check 19
        let url = desk.get(&file(&path, &id)).await["download_url"].clone();
        assert_eq!(desk.download(&url).await.status, 200);
        assert_eq!(desk.call(Method::DELETE, &path, &Value::Null).await.status, 204);
        assert_eq!(desk.download(&url).await.status, 404);
    }
}

#[tokio::test]
async fn members_of_a_file_have_to_be_texts() {
    for desk in Mailbox::each().await {
        for name in ["content", "url", "filename", "content_type", "content_disposition", "content_id"] {
            let mut bad = json!({ "content": "eA==" });
            bad[name] = json!(5);
            let body =
                json!({ "to": "a@x.test", "attachments": [{ "content": "eA==", "filename": null }, bad] });
            for path in ["/messages/send", "/drafts"] {
                let answer = desk.post(path, &body).await;
                assert_eq!(answer.status, 400, "{path} {name}: {}", answer.text);
                let issue = &answer.body["errors"][0];
                assert_eq!(issue["code"], "invalid_type", "{path}: {issue}");
                assert_eq!(issue["path"], json!(["attachments", 1, name]), "{path}");
                assert_eq!((&issue["expected"], &issue["received"]), (&json!("string"), &json!("number")));
            }
        }
    }
}

#[tokio::test]
async fn a_file_that_does_not_fit_is_named_and_nothing_is_sent() {
    for desk in Mailbox::each().await {
        // attachments.md check 4, 5
        for (attachment, want) in [
            (json!({ "content": "aGVsbG8=", "url": "https://x.test/a" }), json!([["attachments", 0]])),
            (json!({ "filename": "a" }), json!([["attachments", 0]])),
            (json!({ "content": "not base64!" }), json!([["attachments", 0, "content"]])),
            (json!({ "url": "a.txt" }), json!([["attachments", 0, "url"]])),
            (
                json!({ "content": "", "content_disposition": "both", "content_type": "x" }),
                json!([["attachments", 0, "content_disposition"], ["attachments", 0, "content_type"]]),
            ),
        ] {
            let answer =
                desk.post("/messages/send", &json!({ "to": "a@x.test", "attachments": [attachment] })).await;
            assert_eq!(paths(&answer), want, "{attachment}");
        }
        let many = vec![json!({ "content": "" }); 101];
        let answer = desk.post("/messages/send", &json!({ "to": "a@x.test", "attachments": many })).await;
        assert_eq!(paths(&answer), json!([["attachments"]]));
        // attachments.md check 21, conventions 32
        let body = json!({ "to": "a@x.test", "attachments": [{ "content": "A".repeat(7_000_000) }] });
        let answer = desk.post("/messages/send", &body).await;
        assert_eq!((answer.status, answer.code()), (413, "payload_too_large"));
        assert!(desk.list("").await.is_empty());
    }
}

#[tokio::test]
async fn inline_files_have_one_pair_of_brackets_and_names_no_separators() {
    for desk in Mailbox::each().await {
        // attachments.md check 6, 7
        for given in ["logo", "<logo>"] {
            let body = json!({ "to": "a@x.test", "html": "<img src=\"cid:logo\">",
            "attachments": [{ "content": "aGVsbG8=", "content_type": "image/png", "content_id": given }] });
            let message = desk.send(&body).await;
            let shown = &message["attachments"][0];
            assert_eq!(
                (&shown["content_id"], &shown["content_disposition"]),
                (&json!("logo"), &json!("inline"))
            );
            assert!(shown.get("filename").is_none());
            let raw = desk.raw(message["message_id"].as_str().unwrap()).await;
            assert!(
                raw.contains("Content-ID: <logo>\n") && raw.contains("Content-Disposition: inline"),
                "{raw}"
            );
        }
        // attachments.md check 20
        let body =
            json!({ "to": "a@x.test", "attachments": [{ "content": "", "filename": "../../x\u{0}.txt" }] });
        let message = desk.send(&body).await;
        assert_eq!(message["attachments"][0]["filename"], ".._.._x_.txt");
        assert_eq!(message["attachments"][0]["size"], 0);
    }
}

#[tokio::test]
async fn received_files_are_found_through_message_and_thread_and_nowhere_else() {
    for desk in Mailbox::each().await {
        desk.raw_mail(&[DESK], &format!("From: Ada <ada@x.test>\nTo: desk@mail.test\n{MIXED}\n")).await;
        desk.mail("Message-ID: <b@x.test>", "x").await;
        // attachments.md check 11, 12, 13
        let message = desk.message(A).await;
        let all = message["attachments"].as_array().unwrap();
        let shown: Vec<Value> = all
            .iter()
            .map(|file| {
                json!([
                    file["filename"],
                    file["content_type"],
                    file["content_disposition"],
                    file["content_id"]
                ])
            })
            .collect();
        assert_eq!(
            json!(shown),
            json!([
                ["logo.png", "image/png", "inline", "logo@x"],
                ["Résumé.pdf", "application/pdf", "attachment", null],
                ["Inner.eml", "message/rfc822", "attachment", null]
            ])
        );
        assert_eq!((&all[0]["size"], &all[1]["size"]), (&json!(5), &json!(4)));
        assert!(message["html"].as_str().unwrap().contains("cid:logo@x"), "{}", message["html"]);
        assert!(message.get("text").is_none());
        // attachments.md check 14, 15
        let id = &all[0]["attachment_id"];
        let thread = message["thread_id"].as_str().unwrap();
        let pod = desk.organization.pod_or_default();
        let direct = format!("/v0/inboxes/{DESK}/messages/{}", segment(A));
        for path in [
            direct,
            format!("/v0/threads/{thread}"),
            format!("/v0/pods/{pod}/threads/{thread}"),
            format!("/v0/inboxes/{DESK}/threads/{thread}"),
        ] {
            let got = desk.world.get(&file(&path, id), &desk.key).await;
            assert_eq!(got.status, 200, "{path}: {}", got.text);
            assert_eq!((&got.body["attachment_id"], &got.body["size"]), (id, &json!(5)));
            assert_eq!(desk.download(&got.body["download_url"]).await.text, "hello");
        }
        let foreign = format!("/v0/inboxes/{DESK}/messages/{}", segment("<b@x.test>"));
        assert_eq!(desk.world.get(&file(&foreign, id), &desk.key).await.status, 404);
    }
}

#[tokio::test]
async fn a_forward_has_the_whole_original_and_its_files() {
    for desk in Mailbox::each().await {
        desk.raw_mail(&[DESK], &format!("From: Ada <ada@x.test>\nTo: desk@mail.test\n{MIXED}\n")).await;
        let path = format!("/messages/{}/forward", segment(A));
        // messages.md check 24
        let refused = desk.post(&path, &json!({ "text": "FYI" })).await;
        assert_eq!(paths(&refused), json!([[]]));
        // messages.md check 23
        let body = json!({ "to": "c@x.test", "text": "FYI", "attachments": [{ "content": "b3du", "filename": "own.txt" }] });
        let forward = desk.made(&path, &body).await;
        let source = desk.message(A).await;
        assert_eq!((&forward["subject"], &forward["to"]), (&json!("Fwd: Files"), &json!(["c@x.test"])));
        assert_eq!(forward["thread_id"], source["thread_id"]);
        let names: Vec<&Value> =
            forward["attachments"].as_array().unwrap().iter().map(|a| &a["filename"]).collect();
        assert_eq!(json!(names), json!(["logo.png", "Résumé.pdf", "Inner.eml", "own.txt"]));
        let text = forward["text"].as_str().unwrap();
        assert!(
            text.starts_with("FYI\n\n---------- Forwarded message ---------\nFrom: Ada <ada@x.test>\n"),
            "{text}"
        );
        // Without a body of the caller the kinds of the source are used.
        let forward = desk.made(&path, &json!({ "to": "c@x.test", "subject": "Mine" })).await;
        assert_eq!(forward["subject"], "Mine");
        assert!(forward.get("text").is_none());
        assert!(forward["html"].as_str().unwrap().contains("cid:logo@x"));
        // A forward hands out the original: reading must be allowed.
        let (_, blind) = desk.world.key(&desk.organization, Some(r#"{"message_send":true}"#), None).await;
        let path = format!("/v0/inboxes/{DESK}{path}");
        let answer = desk.world.call(&Method::POST, &path, Some(&blind), r#"{"to":"c@x.test"}"#).await;
        assert_eq!((answer.status, answer.code()), (403, "missing_permission"));
    }
}

/// Serves these answers by path; what was asked for is kept.
async fn site(
    answers: &'static [(&'static str, &'static str)],
) -> (String, Arc<Mutex<Vec<String>>>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (base, asked) =
        (format!("http://{}", listener.local_addr().unwrap()), Arc::new(Mutex::new(Vec::new())));
    let (seen, mut tasks) = (asked.clone(), JoinSet::new());
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
            let path = String::from_utf8_lossy(&request).split(' ').nth(1).unwrap_or("").to_owned();
            let answer = answers.iter().find(|(own, _)| *own == path).map_or("", |(_, answer)| answer);
            seen.lock().unwrap().push(path);
            drop(stream.write_all(answer.as_bytes()).await);
        }
    });
    (base, asked, tasks)
}

/// A mail with the file at that address.
fn of(url: &str) -> Value {
    json!({ "to": "a@x.test", "attachments": [{ "url": url }] })
}

#[tokio::test]
async fn files_are_fetched_before_a_send_and_only_from_where_the_server_may_go() {
    const SITE: &[(&str, &str)] = &[
        ("/f/r.txt", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"),
        (
            "/moved/o.bin",
            "HTTP/1.1 302 Found\r\nLocation: /f/r.txt\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        ),
        (
            "/named/",
            "HTTP/1.1 200 OK\r\nContent-Disposition: inline; filename*=UTF-8''p%C3%A9le%20m%C3%AAle.csv\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n",
        ),
        (
            "/away",
            "HTTP/1.1 302 Found\r\nLocation: ftp://x.test/a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        ),
        ("/none", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    ];
    let (base, asked, _tasks) = site(SITE).await;
    for desk in Mailbox::each_with(|settings| settings.allow_private_egress = true).await {
        // attachments.md check 8
        let url = format!("{base}/none");
        let answer = desk.post("/messages/send", &of(&url)).await;
        assert_eq!((answer.status, answer.code()), (403, "message_rejected"), "{}", answer.text);
        assert!(answer.body["message"].as_str().unwrap().contains(&url), "{}", answer.text);
        assert!(desk.list("").await.is_empty());
        // attachments.md check 10
        let message = desk.send(&of(&format!("{base}/f/r.txt"))).await;
        let shown = &message["attachments"][0];
        assert_eq!((&shown["filename"], &shown["size"]), (&json!("r.txt"), &json!(5)));
        assert_eq!(shown["content_type"], "text/plain");
        let message = desk.send(&of(&format!("{base}/moved/o.bin"))).await;
        assert_eq!(message["attachments"][0]["filename"], "o.bin");
        // Without a name in the path the answer's disposition has one; every hop is checked.
        let message = desk.send(&of(&format!("{base}/named/"))).await;
        assert_eq!(message["attachments"][0]["filename"], "péle mêle.csv");
        assert_eq!(message["attachments"][0]["content_type"], "text/csv");
        let count = desk.list("").await.len();
        let answer = desk.post("/messages/send", &of(&format!("{base}/away"))).await;
        assert_eq!((answer.status, answer.code()), (403, "message_rejected"), "{}", answer.text);
        assert_eq!(desk.list("").await.len(), count);
    }
    // attachments.md check 9
    let before = asked.lock().unwrap().len();
    for desk in Mailbox::each().await {
        desk.world.dns.set_addresses("inside.test", vec!["127.0.0.1".parse().unwrap()]);
        for url in [
            &format!("{base}/f/r.txt"),
            "http://127.0.0.1/",
            "http://[::1]/",
            "http://169.254.169.254/",
            "http://[::ffff:10.0.0.1]/",
            "http://inside.test/",
            "http://localhost/",
            "http://192.0.2.1:8080/",
            "ftp://x.test/a",
        ] {
            let answer = desk.post("/messages/send", &of(url)).await;
            assert_eq!((answer.status, answer.code()), (403, "message_rejected"), "{url}: {}", answer.text);
        }
        assert!(desk.list("").await.is_empty());
    }
    assert_eq!(asked.lock().unwrap().len(), before, "nobody was asked");
}

fn docx(text: &str) -> String {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("word/document.xml", zip::write::SimpleFileOptions::default()).unwrap();
    let xml = format!("<w:document xmlns:w=\"w\"><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:document>");
    std::io::Write::write_all(&mut zip, xml.as_bytes()).unwrap();
    STANDARD.encode(zip.finish().unwrap().into_inner())
}

#[tokio::test]
async fn the_text_of_a_file_is_offered_until_its_message_goes() {
    for desk in Mailbox::each().await {
        // attachments.md check 16, 18
        let word = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
        let files = json!([
            { "content": docx("Hello"), "content_type": word, "filename": "a.docx" },
            { "content": STANDARD.encode(b"\x89PNG\r\n\x1a\n\0Hello"), "filename": "a.png" },
            { "content": STANDARD.encode("\u{e9}".repeat(300_000)), "filename": "long.txt" },
            { "content": STANDARD.encode("<p>Hi<script>x()</script></p>"), "filename": "a.html" },
            { "content": STANDARD.encode("PK\u{3}\u{4}broken"), "filename": "b.docx" },
            { "content": "", "filename": "empty.txt" },
        ]);
        let message = desk.send(&json!({ "to": "a@x.test", "attachments": files })).await;
        let path = format!("/messages/{}", segment(message["message_id"].as_str().unwrap()));
        let id = |n: usize| &message["attachments"][n]["attachment_id"];
        assert!(desk.get(&file(&path, id(0))).await.get("text_url").is_none(), "too early");
        desk.extract_texts().await;
        let mut texts = Vec::new();
        for n in 0..6 {
            let got = desk.get(&file(&path, id(n))).await;
            texts.push(match got.get("text_url") {
                Some(url) => Some(desk.download(url).await),
                None => None,
            });
        }
        let shown: Vec<Option<&str>> = texts.iter().map(|text| Some(text.as_ref()?.text.trim())).collect();
        let cut = "\u{e9}".repeat(250_000);
        assert_eq!(shown, [Some("Hello"), None, Some(cut.as_str()), Some("Hi"), None, None]);
        let headers = &texts[0].as_ref().unwrap().headers;
        for (name, value) in [
            ("content-type", "text/plain; charset=utf-8"),
            ("content-disposition", "attachment; filename=\"a.docx.txt\""),
            ("content-security-policy", "sandbox; default-src 'none'"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(headers[name], value, "{name}");
        }
        // Through the thread at its three mounts, until the links end or the message goes.
        let thread = message["thread_id"].as_str().unwrap();
        let pod = desk.organization.pod_or_default();
        let mut urls = Vec::new();
        for mount in ["/v0".to_owned(), format!("/v0/pods/{pod}"), format!("/v0/inboxes/{DESK}")] {
            let got = desk.world.get(&file(&format!("{mount}/threads/{thread}"), id(0)), &desk.key).await;
            assert_eq!(desk.download(&got.body["text_url"]).await.text, "Hello\n", "{}", got.text);
            urls.push(got.body["text_url"].clone());
        }
        desk.world.clock.advance(Duration::from_secs(3600));
        assert_eq!(desk.download(&urls[0]).await.status, 403);
        let url = desk.get(&file(&path, id(0))).await["text_url"].clone();
        assert_eq!(desk.call(Method::DELETE, &path, &Value::Null).await.status, 204);
        assert_eq!(desk.download(&url).await.status, 404);
    }
}

#[tokio::test]
async fn received_files_have_texts_too_in_the_encoding_they_name() {
    for desk in Mailbox::each().await {
        let part = "Message-ID: <a@x.test>\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=m\n\n--m\n\
            Content-Type: text/plain; charset=iso-8859-2; name=a.txt\nContent-Transfer-Encoding: base64\n\nsQ==\n--m--";
        desk.raw_mail(&[DESK], &format!("From: Ada <ada@x.test>\nTo: desk@mail.test\n{part}\n")).await;
        desk.extract_texts().await;
        let id = desk.message(A).await["attachments"][0]["attachment_id"].clone();
        let got = desk.get(&file(&format!("/messages/{}", segment(A)), &id)).await;
        assert_eq!(desk.download(&got["text_url"]).await.text, "\u{105}");
        // A message that goes before anybody looked leaves nothing to do.
        desk.raw_mail(
            &[DESK],
            &format!("From: Ada <ada@x.test>\nTo: desk@mail.test\n{}\n", part.replace("<a@", "<b@")),
        )
        .await;
        let path = format!("/messages/{}", segment("<b@x.test>"));
        assert_eq!(desk.call(Method::DELETE, &path, &Value::Null).await.status, 204);
        desk.extract_texts().await;
    }
}

#[tokio::test]
async fn a_large_file_is_sent_and_has_no_text() {
    // attachments.md check 17
    let size = 11 * 1024 * 1024;
    let answer: &'static str =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n{}", "a".repeat(size))
            .leak();
    let answers: &'static [(&'static str, &'static str)] = vec![("/large.txt", answer)].leak();
    let (base, _, _tasks) = site(answers).await;
    for desk in Mailbox::each_with(|settings| settings.allow_private_egress = true).await {
        let url = format!("{base}/large.txt");
        let message = desk.send(&json!({ "to": "a@x.test", "attachments": [{ "url": url }] })).await;
        assert_eq!(message["attachments"][0]["size"], size);
        desk.extract_texts().await;
        let path = format!("/messages/{}", segment(message["message_id"].as_str().unwrap()));
        let got = desk.get(&file(&path, &message["attachments"][0]["attachment_id"])).await;
        assert!(got.get("text_url").is_none() && got["download_url"].is_string(), "{got}");
    }
}

/// Says which files it begins with; slow ones never end while it is to hang.
struct Slow(mpsc::UnboundedSender<String>, bool);

impl Extractor for Slow {
    fn extract(&self, file: TextFile) -> BoxFuture<'_, Option<String>> {
        Box::pin(async move {
            let text = String::from_utf8(file.bytes).unwrap();
            let slow = text == "slow";
            self.0.send(text).unwrap();
            if slow && self.1 { std::future::pending().await } else { None }
        })
    }
}

#[tokio::test]
async fn files_that_take_long_leave_room_for_those_of_other_organizations() {
    for desk in Mailbox::each().await {
        let (calm, _) = desk.world.organization("calm").await;
        desk.world.inbox(&calm, "calm@mail.test").await;
        let mail = |name: &str, n: usize| {
            format!(
                "From: Ada <ada@x.test>\nMessage-ID: <{name}{n}@x.test>\nMIME-Version: 1.0\n\
                 Content-Type: multipart/mixed; boundary=m\n\n--m\nContent-Type: text/plain; name=a.txt\n\
                 Content-Disposition: attachment\nContent-Transfer-Encoding: base64\n\n{}\n--m--\n",
                STANDARD.encode(name)
            )
        };
        for n in 0..5 {
            desk.raw_mail(&[DESK], &mail("slow", n)).await;
        }
        for n in 0..3 {
            desk.raw_mail(&["calm@mail.test"], &mail("calm", n)).await;
        }
        let (sender, mut begun) = mpsc::unbounded_channel();
        let (slow, token) = (Slow(sender.clone(), true), CancellationToken::new());
        let mut order = Vec::new();
        let all = async {
            while order.len() < 5 {
                order.push(begun.recv().await.unwrap());
            }
            token.cancel();
        };
        let both = async { tokio::join!(desk.world.app.run_texts(&slow, token.clone()), all) };
        tokio::time::timeout(Duration::from_secs(15), both).await.expect("nobody waits for the slow ones");
        order.sort();
        assert_eq!(order, ["calm", "calm", "calm", "slow", "slow"]);

        // What was not done when the server stopped is begun again at once, not when a lease is over.
        let next = Slow(sender, false);
        let mut again = Vec::new();
        while desk.world.app.extract_texts_once(&next).await.unwrap() {
            again.push(begun.try_recv().unwrap());
        }
        assert_eq!(again.iter().filter(|name| *name == "slow").count(), 5);
    }
}

#[tokio::test]
async fn mails_with_pictures_and_archives_only_leave_no_work_behind() {
    for desk in Mailbox::each().await {
        let mail = |id: &str, parts: &[(&str, &str)]| {
            let parts: String = parts
                .iter()
                .map(|(kind, name)| {
                    format!(
                        "--m\nContent-Type: {kind}; name={name}\nContent-Disposition: attachment\n\
                         Content-Transfer-Encoding: base64\n\nsQ==\n"
                    )
                })
                .collect();
            format!(
                "From: Ada <ada@x.test>\nTo: desk@mail.test\nMessage-ID: <{id}@x.test>\nMIME-Version: 1.0\n\
                 Content-Type: multipart/mixed; boundary=m\n\n{parts}--m--\n"
            )
        };
        let picture = ("image/png", "a.png");
        let nothing = [
            picture,
            ("application/zip", "a.zip"),
            ("application/octet-stream", "a.tar.gz"),
            ("audio/mpeg", "a.mp3"),
        ];
        desk.raw_mail(&[DESK], &mail("nothing", &nothing)).await;
        let file = json!({ "content": "sQ==", "filename": "a.jpeg", "content_type": "image/jpeg" });
        desk.send(&json!({ "to": "a@x.test", "attachments": [file] })).await;
        desk.send(&json!({ "to": "a@x.test", "text": "No attachment" })).await;
        assert!(!desk.world.app.extract_texts_once(&InProcess).await.unwrap());

        let note = ("application/octet-stream", "notes.md");
        desk.raw_mail(&[DESK], &mail("something", &[picture, note])).await;
        let file = json!({ "content": "sQ==", "filename": "a.txt", "content_type": "text/plain" });
        desk.send(&json!({ "to": "a@x.test", "attachments": [file] })).await;
        for more in [true, true, false] {
            assert_eq!(desk.world.app.extract_texts_once(&InProcess).await.unwrap(), more);
        }
    }
}
