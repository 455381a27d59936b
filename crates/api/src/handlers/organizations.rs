//! The caller's organization.

use podmail_app::Result;

use crate::request::{Reply, Request};
use crate::route::{Needs, Route};

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::get("/v0/organizations", Needs::OrganizationKey, get).types("", "Organization")]
}

async fn get(request: Request) -> Result<Reply> {
    Reply::json(&request.app.organization(request.caller()?).await?)
}
