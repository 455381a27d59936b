//! The caller's organization.

use podmail_api_types::organizations::{Organization, OrganizationLabs};
use podmail_app::Result;

use crate::describe::doc;
use crate::error::Code;
use crate::request::{Reply, Request};
use crate::route::{Needs, Route};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/v0/organizations", Needs::OrganizationKey, get)
            .describe(doc("organizations.get", "Get the organization of the key").answers::<Organization>()),
        Route::get("/v0/organizations/labs", Needs::OrganizationKey, labs).describe(
            doc("organizations.get_labs", "Tell whether the organization is in Labs")
                .about("Labs has the features that are still previews.")
                .answers::<OrganizationLabs>(),
        ),
        Route::post("/v0/organizations/labs", Needs::UnrestrictedOrganizationKey, join_labs).describe(
            doc("organizations.join_labs", "Join Labs")
                .about("For the whole organization. A second time changes nothing; only the operator can undo it.")
                .answers::<OrganizationLabs>()
                .fails(&[Code::ValidationError, Code::Forbidden, Code::Conflict]),
        ),
    ]
}

async fn get(request: Request) -> Result<Reply> {
    Reply::json(&request.app.organization(request.caller()?).await?)
}

async fn labs(request: Request) -> Result<Reply> {
    Reply::json(&request.app.labs(request.caller()?).await?)
}

async fn join_labs(request: Request) -> Result<Reply> {
    Reply::json(&request.app.join_labs(request.caller()?).await?)
}
