//! What a store of large messages promises, in a folder and on S3 (`PODMAIL_TEST_S3`, the address of a stand-in).

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail loudly")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use bytes::Bytes;
use podmail_blob::Blobs;

/// Larger than one part of a body that any client or server sends at once.
const LARGE: usize = 5 * 1024 * 1024;

struct Place {
    blobs: Blobs,
    /// The same place, opened by another node.
    other: Blobs,
    _folder: tempfile::TempDir,
}

fn address() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "how the test script tells of its server")]
    std::env::var("PODMAIL_TEST_S3").ok()
}

fn variables(endpoint: &str) -> impl Iterator<Item = (String, String)> {
    [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "podmail"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into_iter()
}

/// Makes a bucket; the stand-in asks for no signature.
fn make_bucket(endpoint: &str, name: &str) {
    let host = endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "PUT /{name} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// The name of a folder, as a bucket's name takes it.
fn hexadecimal(folder: &Path) -> String {
    let name = folder.file_name().unwrap().to_string_lossy();
    name.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn places(bucket: &str) -> Vec<Place> {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}/objects", folder.path().display());
    let open = || Blobs::open(Some(&url), Path::new("/nowhere"), std::iter::empty()).unwrap();
    let unique = hexadecimal(folder.path());
    let mut places = vec![Place { blobs: open(), other: open(), _folder: folder }];
    if let Some(endpoint) = address() {
        // A stand-in outlives a test that runs twice.
        let bucket = format!("{bucket}-{unique}");
        make_bucket(&endpoint, &bucket);
        let url = format!("s3://{bucket}/some/prefix");
        let open = || Blobs::open(Some(&url), Path::new("/nowhere"), variables(&endpoint)).unwrap();
        places.push(Place { blobs: open(), other: open(), _folder: tempfile::tempdir().unwrap() });
    }
    places
}

#[tokio::test]
async fn an_object_is_there_for_every_node_once_it_is_put_and_gone_after_deletion() {
    for place in places("podmail-objects") {
        let large = Bytes::from(vec![7; LARGE]);
        for (name, bytes) in
            [("a/b", Bytes::from_static(b"hello")), ("a/large", large), ("empty", Bytes::new())]
        {
            assert_eq!(place.other.get(name).await.unwrap(), None, "{name}");
            place.blobs.put(name, bytes.clone()).await.unwrap();
            assert_eq!(place.other.get(name).await.unwrap(), Some(bytes), "{name}");
            place.blobs.delete(name).await.unwrap();
            assert_eq!(place.other.get(name).await.unwrap(), None, "{name}");
            place.blobs.delete(name).await.expect("deleting again is no error");
        }
    }
}

#[tokio::test]
async fn an_object_that_is_put_again_has_the_new_bytes() {
    for place in places("podmail-again") {
        for bytes in [&b"one"[..], b"two, longer"] {
            place.blobs.put("x", Bytes::copy_from_slice(bytes)).await.unwrap();
            assert_eq!(place.blobs.get("x").await.unwrap().as_deref(), Some(bytes));
        }
    }
}

#[tokio::test]
async fn a_probe_leaves_nothing_behind_and_a_missing_bucket_fails_it() {
    for place in places("podmail-probe") {
        place.blobs.probe().await.unwrap();
        assert_eq!(place.blobs.get("podmail-probe").await.unwrap(), None);
    }
    let Some(endpoint) = address() else { return };
    let missing =
        Blobs::open(Some("s3://no-such-bucket"), Path::new("/nowhere"), variables(&endpoint)).unwrap();
    let error = missing.probe().await.expect_err("there is no bucket");
    assert!(error.to_string().contains("NoSuchBucket"), "{error}");
}

#[tokio::test]
async fn a_listing_shows_every_object_below_the_prefix_once_piece_by_piece() {
    for place in places("podmail-listing") {
        assert_eq!(place.blobs.list().next(10).await.unwrap(), []);
        let mut want: Vec<String> = (0..25).map(|n| format!("o{}/n{n}.eml.zst", n % 3)).collect();
        want.push("top".to_owned());
        for name in &want {
            place.blobs.put(name, Bytes::from_static(b"x")).await.unwrap();
        }
        let (mut listing, mut found) = (place.other.list(), Vec::new());
        loop {
            let piece = listing.next(4).await.unwrap();
            assert!(piece.len() <= 4);
            if piece.is_empty() {
                break;
            }
            found.extend(piece);
        }
        assert_eq!(listing.next(4).await.unwrap(), [], "it stays at its end");
        let written: Vec<i64> = found.iter().map(|object| object.modified_micros).collect();
        let (first, last) = (written.iter().min().unwrap(), written.iter().max().unwrap());
        assert!(*first > 1_700_000_000_000_000 && last - first < 600_000_000, "{first} {last}");
        let mut names: Vec<String> = found.into_iter().map(|object| object.name).collect();
        names.sort();
        want.sort();
        assert_eq!(names, want);
    }
}
