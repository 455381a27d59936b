//! The caller's organization.

use podmail_api_types::organizations::Organization;
use podmail_app::Result;

use crate::describe::doc;
use crate::request::{Reply, Request};
use crate::route::{Needs, Route};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v0/organizations", Needs::OrganizationKey, get)
            .describe(doc("organizations.get", "Get the organization of the key").answers::<Organization>()),
    ]
}

async fn get(request: Request) -> Result<Reply> {
    Reply::json(&request.app.organization(request.caller()?).await?)
}
