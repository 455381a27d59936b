//! Download links: the token in the path is the credential. Always served as an attachment and sandboxed, so that
//! mailed HTML never runs in the API's origin.

use http::{HeaderName, HeaderValue, header};
use podmail_app::Result;

use crate::request::{Reply, Request};
use crate::route::{Needs, Route};

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::get("/downloads/{token}", Needs::Public, download)]
}

async fn download(request: Request) -> Result<Reply> {
    let found = request.app.download(request.param("token")).await?;
    let fallback = || HeaderValue::from_static("application/octet-stream");
    let headers: Vec<(HeaderName, HeaderValue)> = vec![
        (header::CONTENT_DISPOSITION, disposition(&found.filename)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'")),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
        (header::ACCEPT_RANGES, HeaderValue::from_static("bytes")),
    ];
    Ok(Reply::Bytes {
        content_type: HeaderValue::from_str(&found.content_type).unwrap_or_else(|_| fallback()),
        headers,
        body: found.bytes.into(),
    })
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
    fn names_are_quoted_and_encoded() {
        assert_eq!(disposition("a b.txt"), "attachment; filename=\"a b.txt\"");
        assert_eq!(
            disposition("é\".txt"),
            "attachment; filename=\"__.txt\"; filename*=UTF-8''%C3%A9%22%2Etxt"
        );
    }
}
