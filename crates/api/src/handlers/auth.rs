//! Who the credential is.

use podmail_api_types::auth::Identity;
use podmail_app::Result;

use crate::describe::doc;
use crate::request::{Reply, Request};
use crate::route::{Needs, Route};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v0/auth/me", Needs::AnyKey, me)
            .describe(doc("auth.me", "Who the key is").answers::<Identity>()),
    ]
}

async fn me(request: Request) -> Result<Reply> {
    Reply::json(&request.app.identity(request.caller()?))
}
