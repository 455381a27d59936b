//! Download links: the token in the path is the credential. Always served as an attachment and sandboxed, so that
//! mailed HTML never runs in the API's origin.

use std::ops::Range;

use http::{HeaderName, HeaderValue, StatusCode, header};
use podmail_app::Result;

use crate::describe::doc;
use crate::error::Code;
use crate::request::{Reply, Request};
use crate::route::{Needs, Route};

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::get("/downloads/{token}", Needs::Public, download).describe(
            doc("downloads.get", "Fetch the bytes behind a download link")
                .about(
                    "The link is the credential. Links are in `download_url` of attachments and raw messages and in \
                     `text_url` of attachments. One `Range` is honoured.",
                )
                .bytes("*/*")
                .fails(&[Code::Forbidden])
                .also(&[206, 416]),
        )]
}

async fn download(request: Request) -> Result<Reply> {
    let found = request.app.download(request.param("token")).await?;
    let fallback = || HeaderValue::from_static("application/octet-stream");
    let mut headers: Vec<(HeaderName, HeaderValue)> = vec![
        (header::CONTENT_DISPOSITION, disposition(&found.filename)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'")),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
        (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
    ];
    let (status, body) = match wanted(request.header("range"), found.bytes.len()) {
        Wanted::All => (StatusCode::OK, found.bytes.into()),
        Wanted::Part(range) => {
            headers.push((header::CONTENT_RANGE, content_range(Some(&range), found.bytes.len())));
            (StatusCode::PARTIAL_CONTENT, bytes::Bytes::from(found.bytes).slice(range))
        }
        Wanted::Nothing => {
            headers.push((header::CONTENT_RANGE, content_range(None, found.bytes.len())));
            (StatusCode::RANGE_NOT_SATISFIABLE, bytes::Bytes::new())
        }
    };
    let content_type = HeaderValue::from_str(&found.content_type).unwrap_or_else(|_| fallback());
    Ok(Reply::Bytes { status, content_type, headers, body })
}

/// What of a file a request wants.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Part(Range<usize>),
    Nothing,
}

/// Reads a `Range` header of one range (RFC 9110 §14.2); several ranges and anything odd get the whole file, as the RFC
/// allows.
fn wanted(header: Option<&str>, length: usize) -> Wanted {
    let Some((first, last)) =
        header.and_then(|h| h.trim().strip_prefix("bytes=")).and_then(|r| r.split_once('-'))
    else {
        return Wanted::All;
    };
    let range = match (first.trim().parse::<usize>(), last.trim().parse::<usize>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Ok(first), Err(_)) if last.trim().is_empty() => first..length,
        (Err(_), Ok(suffix)) if first.trim().is_empty() => length.saturating_sub(suffix)..length,
        _ => return Wanted::All,
    };
    if range.start < range.end { Wanted::Part(range) } else { Wanted::Nothing }
}

fn content_range(range: Option<&Range<usize>>, length: usize) -> HeaderValue {
    let text = match range {
        Some(range) => format!("bytes {}-{}/{length}", range.start, range.end - 1),
        None => format!("bytes */{length}"),
    };
    HeaderValue::from_str(&text).expect("digits and signs only")
}

/// `attachment` with the name in ASCII and, when it has other characters, as RFC 8187 §3.2 writes it.
fn disposition(name: &str) -> HeaderValue {
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && !"\"\\".contains(c) || c == ' ' { c } else { '_' })
        .collect();
    let mut value = format!("attachment; filename=\"{plain}\"");
    if plain != name {
        let encoded = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
        value.push_str(&format!("; filename*=UTF-8''{encoded}"));
    }
    HeaderValue::from_str(&value).unwrap_or_else(|_| HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_served_and_anything_odd_gets_the_whole() {
        for (header, want) in [
            (None, Wanted::All),
            (Some("bytes=0-3"), Wanted::Part(0..4)),
            (Some("bytes=8-"), Wanted::Part(8..10)),
            (Some("bytes=-3"), Wanted::Part(7..10)),
            (Some("bytes=-99"), Wanted::Part(0..10)),
            (Some("bytes=5-99"), Wanted::Part(5..10)),
            (Some("bytes=10-"), Wanted::Nothing),
            (Some("bytes=-0"), Wanted::Nothing),
            (Some("bytes=3-1"), Wanted::All),
            (Some("bytes=0-1,4-5"), Wanted::All),
            (Some("lines=1-2"), Wanted::All),
            (Some("bytes=x-"), Wanted::All),
        ] {
            assert_eq!(wanted(header, 10), want, "{header:?}");
        }
        assert_eq!(content_range(Some(&(2..5)), 10), "bytes 2-4/10");
    }

    #[test]
    fn names_are_quoted_and_encoded() {
        assert_eq!(disposition("a b.txt"), "attachment; filename=\"a b.txt\"");
        assert_eq!(
            disposition("é\".txt"),
            "attachment; filename=\"__.txt\"; filename*=UTF-8''%C3%A9%22%2Etxt"
        );
    }
}
