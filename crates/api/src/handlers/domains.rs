//! Domains.

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_DISPOSITION;
use podmail_api_types::domains::{Domain, DomainItem, SetupLink};
use podmail_app::domains::{CreateDomain, UpdateDomain};
use podmail_app::{Error, Result};
use podmail_domain::Permission;

use crate::describe::{ClientId, body_type, doc};
use crate::error::Code;
use crate::fields::Text;
use crate::paging::Rules;
use crate::request::{Reply, Request};
use crate::route::Route;

/// The settings that a change may name.
const SETTINGS: [&str; 4] = ["feedback_enabled", "inbound_enabled", "subdomains_enabled", "tracking_enabled"];

pub(crate) fn routes() -> Vec<Route> {
    let collection = [
        Route::get("/v0/domains", Permission::DomainRead, list)
            .describe(doc("domains.list", "List domains").pages::<DomainItem>("domains").ascending()),
        Route::post("/v0/domains", Permission::DomainCreate, create).describe(
            doc("domains.create", "Register a domain")
                .about("Publish the `records` of the answer, then call verify.")
                .body::<NewDomain>()
                .answers::<Domain>()
                .fails(&[Code::AlreadyExists, Code::ResourceTaken, Code::LimitExceeded, Code::Unprocessable]),
        ),
    ];
    let one = [
        Route::get("/v0/domains/{domain_id}", Permission::DomainRead, get)
            .describe(doc("domains.get", "Get a domain with its records").answers::<Domain>()),
        Route::patch("/v0/domains/{domain_id}", Permission::DomainUpdate, update).describe(
            doc("domains.update", "Change a domain")
                .about("Members that are left out stay. At least one is needed.")
                .body::<DomainChange>()
                .not_null(&SETTINGS)
                .answers::<Domain>(),
        ),
        Route::delete("/v0/domains/{domain_id}", Permission::DomainDelete, delete).describe(
            doc("domains.delete", "Delete a domain")
                .about("Its inboxes send and receive no longer; what is in them stays readable."),
        ),
    ];
    let verify =
        Route::post("/v0/domains/{domain_id}/verify", Permission::DomainUpdate, verify)
            .describe(doc("domains.verify", "Check the records of a domain now")
                .about("At most once in 10 seconds; the domain is also checked by itself. The outcome is in `status`.")
                .fails(&[Code::Unprocessable]));
    let zone_file = Route::get("/v0/domains/{domain_id}/zone-file", Permission::DomainRead, zone_file)
        .describe(
            doc("domains.get_zone_file", "Get the records of a domain as a zone file").bytes("text/plain"),
        );
    let setup_link = Route::get("/v0/domains/{domain_id}/setup-link", Permission::DomainRead, setup_link)
        .describe(
            doc("domains.get_setup_link", "Get a link that publishes the records of a domain")
                .about(
                    "Where `supported` is false the records are entered by hand. Not for a verified domain.",
                )
                .answers::<SetupLink>()
                .fails(&[Code::Conflict, Code::Unprocessable]),
        );
    let below_pods = collection
        .iter()
        .map(|route| route.at("/v0/pods/{pod_id}/domains"))
        .chain(one.iter().map(|route| route.at("/v0/pods/{pod_id}/domains/{domain_id}")))
        .chain([
            verify.at("/v0/pods/{pod_id}/domains/{domain_id}/verify"),
            zone_file.at("/v0/pods/{pod_id}/domains/{domain_id}/zone-file"),
        ])
        .collect::<Vec<_>>();
    collection.into_iter().chain(one).chain([verify, zone_file, setup_link]).chain(below_pods).collect()
}

body_type! {
    /// A new domain.
    #[schemars(extend("examples" = [{ "domain": "agents.example.com" }]))]
    NewDomain {
        /// Its name, such as `agents.example.com`.
        #[schemars(length(min = 1, max = 253))]
        domain: String,
        /// Bounce and complaint reports are also stored as messages.
        feedback_enabled: Option<bool>,
        /// Mail to the domain is received.
        inbound_enabled: Option<bool>,
        /// Inboxes may lie below the domain.
        subdomains_enabled: Option<bool>,
        /// Opens may be tracked.
        tracking_enabled: Option<bool>,
        /// Accept a domain whose mail another provider receives now.
        allow_conflicting_provider: Option<bool>,
        /// Your own name for it: a second create with it answers the existing domain.
        client_id: Option<ClientId>,
    }
}

body_type! {
    /// A change of a domain.
    #[schemars(extend("examples" = [{ "subdomains_enabled": true }]))]
    DomainChange {
        /// Bounce and complaint reports are also stored as messages.
        feedback_enabled: Option<bool>,
        /// Mail to the domain is received.
        inbound_enabled: Option<bool>,
        /// Inboxes may lie below the domain.
        subdomains_enabled: Option<bool>,
        /// Opens may be tracked.
        tracking_enabled: Option<bool>,
    }
}

async fn list(request: Request) -> Result<Reply> {
    let paging = request.query().page(Rules::LIST)?;
    let page =
        request.app.domains(request.caller()?, paging.order, paging.after.as_ref(), paging.limit).await?;
    paging.reply("domains", page, |domain| domain)
}

async fn create(request: Request) -> Result<Reply> {
    let caller = request.caller()?;
    let mut fields = request.fields()?;
    let name = fields.required_string("domain", Text::any());
    // An absent name, or one that is no string, has its issue already.
    let named = fields.raw("domain").is_some_and(serde_json::Value::is_string);
    let domain = named.then(|| request.app.new_domain_name(&name)).and_then(|checked| match checked {
        Ok(domain) => Some(domain),
        Err(issue) => {
            fields.issue(issue);
            None
        }
    });
    let [feedback_enabled, inbound_enabled, subdomains_enabled, tracking_enabled] =
        SETTINGS.map(|name| fields.boolean(name));
    let allow_conflicting_provider = fields.boolean("allow_conflicting_provider").unwrap_or(false);
    let client_id = fields.client_id();
    fields.finish()?;
    let create = CreateDomain {
        domain: domain.ok_or_else(|| Error::internal("a body without violations has a domain"))?,
        feedback_enabled,
        inbound_enabled,
        subdomains_enabled,
        tracking_enabled,
        allow_conflicting_provider,
        client_id,
    };
    Reply::json(&request.app.create_domain(caller, create).await?)
}

async fn get(request: Request) -> Result<Reply> {
    Reply::json(&request.app.domain(request.caller()?, request.param("domain_id")).await?)
}

async fn update(request: Request) -> Result<Reply> {
    let (caller, domain_id) = (request.caller()?, request.param("domain_id"));
    request.app.domain(caller, domain_id).await?;
    let mut fields = request.fields()?;
    fields.need_any(&SETTINGS);
    for name in SETTINGS {
        fields.not_null(name, "boolean");
    }
    let [feedback_enabled, inbound_enabled, subdomains_enabled, tracking_enabled] =
        SETTINGS.map(|name| fields.boolean(name));
    fields.finish()?;
    let update = UpdateDomain { feedback_enabled, inbound_enabled, subdomains_enabled, tracking_enabled };
    Reply::json(&request.app.update_domain(caller, domain_id, update).await?)
}

async fn delete(request: Request) -> Result<Reply> {
    request.app.delete_domain(request.caller()?, request.param("domain_id")).await?;
    Ok(Reply::Empty)
}

async fn verify(request: Request) -> Result<Reply> {
    request.app.verify_domain(request.caller()?, request.param("domain_id")).await?;
    Ok(Reply::Empty)
}

async fn setup_link(request: Request) -> Result<Reply> {
    Reply::json(&request.app.domain_setup_link(request.caller()?, request.param("domain_id")).await?)
}

/// Bytes whatever the client accepts: the CLI asks for JSON.
async fn zone_file(request: Request) -> Result<Reply> {
    let (name, text) = request.app.domain_zone_file(request.caller()?, request.param("domain_id")).await?;
    let disposition =
        HeaderValue::try_from(format!("attachment; filename=\"{name}.zone\"")).map_err(Error::internal)?;
    Ok(Reply::Bytes {
        status: http::StatusCode::OK,
        content_type: HeaderValue::from_static("text/plain"),
        headers: vec![(CONTENT_DISPOSITION, disposition)],
        body: Bytes::from(text),
    })
}
