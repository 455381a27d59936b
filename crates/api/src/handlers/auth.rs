//! Who the credential is.

use podmail_app::Result;

use crate::request::{Reply, Request};
use crate::route::{Needs, Route};

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::get("/v0/auth/me", Needs::AnyKey, me).types("", "Identity")]
}

async fn me(request: Request) -> Result<Reply> {
    Reply::json(&request.app.identity(request.caller()?))
}
