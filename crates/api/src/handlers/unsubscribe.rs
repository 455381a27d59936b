//! Links of List-Unsubscribe (RFC 8058): the token in the path is the credential. Mail programs post to them without
//! showing anything; people who open one get a page with one button. Looking changes nothing, for scanners look.

use http::{HeaderValue, StatusCode, header};
use podmail_app::unsubscribe::{Subscription, is_one_click};
use podmail_app::{Error, Result};

use crate::describe::{body_type, doc};
use crate::request::{Reply, Request};
use crate::route::{Needs, Route};

body_type! {
    /// What a mail program posts to unsubscribe.
    OneClick {
        /// `One-Click`.
        #[schemars(rename = "List-Unsubscribe", extend("enum" = ["One-Click"]))]
        list_unsubscribe: String,
    }
}

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/u/{token}", Needs::Public, page).describe(
            doc("unsubscribe.page", "Show the page behind an unsubscribe link")
                .about("A page with one button. Fetching it changes nothing.")
                .bytes("text/html"),
        ),
        Route::post("/u/{token}", Needs::Public, click).describe(
            doc("unsubscribe.click", "Unsubscribe the recipient of a message")
                .about(
                    "The link in `List-Unsubscribe` of a sent message is the credential (RFC 8058). Its recipient is kept \
                     from being mailed again by the same tenant; posting again changes nothing.",
                )
                .form::<OneClick>()
                .bytes("text/html"),
        ),
    ]
}

/// What a link is about; people in a browser get a page where it is none.
async fn subscription(request: &Request) -> Result<std::result::Result<Subscription, Reply>> {
    match request.app.subscription(request.param("token")).await {
        Err(Error::NotFound(_)) => Ok(Err(html(
            StatusCode::NOT_FOUND,
            "This link does not work",
            "<p>It may have been cut: open it from the message again, or answer the message and ask to be taken off.</p>",
        ))),
        found => found.map(Ok),
    }
}

async fn page(request: Request) -> Result<Reply> {
    let subscription = match subscription(&request).await? {
        Ok(subscription) => subscription,
        Err(page) => return Ok(page),
    };
    Ok(html(
        StatusCode::OK,
        "Unsubscribe",
        &format!(
            "<p>Stop further mail to <b>{}</b> from this sender?</p>\n\
             <form method=\"post\"><button name=\"List-Unsubscribe\" value=\"One-Click\">Unsubscribe</button></form>",
            escaped(&subscription.address)
        ),
    ))
}

async fn click(request: Request) -> Result<Reply> {
    let subscription = match subscription(&request).await? {
        Ok(subscription) => subscription,
        Err(page) => return Ok(page),
    };
    if !is_one_click(request.header("content-type").unwrap_or_default(), &request.body) {
        return Ok(html(
            StatusCode::BAD_REQUEST,
            "Nothing was changed",
            "<p>Expected a form with <code>List-Unsubscribe=One-Click</code>: open the link and use its button.</p>",
        ));
    }
    request.app.unsubscribe(&subscription).await?;
    Ok(html(
        StatusCode::OK,
        "Unsubscribed",
        &format!("<p><b>{}</b> gets no further mail from this sender.</p>", escaped(&subscription.address)),
    ))
}

/// A page without scripts, that nothing outside of it can frame, see or remember.
fn html(status: StatusCode, title: &str, body: &str) -> Reply {
    let text = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title></head>\n\
         <body><h1>{title}</h1>\n{body}\n</body></html>\n"
    );
    let fixed = HeaderValue::from_static;
    Reply::Bytes {
        status,
        content_type: fixed("text/html; charset=utf-8"),
        headers: vec![
            (
                header::CONTENT_SECURITY_POLICY,
                fixed("default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"),
            ),
            (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
            (header::REFERRER_POLICY, fixed("no-referrer")),
            (header::CACHE_CONTROL, fixed("private, no-store")),
        ],
        body: text.into(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
