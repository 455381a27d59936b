//! The invisible image of tracked mail. Every token gets the same image: whoever tries tokens learns nothing.

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use podmail_app::Result;

use crate::describe::doc;
use crate::request::{Reply, Request};
use crate::route::{Needs, Route};

/// One transparent pixel.
const GIF: &[u8; 43] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::get("/o/{token}", Needs::Public, image).describe(
        doc("opens.image", "Fetch the invisible image of a tracked message")
            .about("The first fetch marks the message as opened. Every token is answered with the same image.")
            .bytes("image/gif"),
    )]
}

async fn image(request: Request) -> Result<Reply> {
    let token = request.param("token");
    // Who asks for the head alone shows nothing to anybody.
    if request.method != Method::HEAD
        && let Err(error) = request.app.note_open(token.strip_suffix(".gif").unwrap_or(token)).await
    {
        // Readers of mail have no use for an error page; the next fetch counts instead.
        tracing::warn!(error = %error, "an open could not be recorded");
    }
    Ok(Reply::Bytes {
        status: StatusCode::OK,
        content_type: HeaderValue::from_static("image/gif"),
        headers: vec![
            (
                header::CACHE_CONTROL,
                HeaderValue::from_static("no-store, no-cache, must-revalidate, private, max-age=0"),
            ),
            (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ],
        body: Bytes::from_static(GIF),
    })
}
