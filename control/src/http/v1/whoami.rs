//! `GET /whoami`.

use axum::Json;
use helmr_api::http::scope::{Credential, Environment, Organization, Project, WhoAmI};

use crate::http::caller::Caller;
use crate::http::refusals::Refusals;

/// Says whose key this is and where its requests go.
#[utoipa::path(get, path = "/api/v1/whoami", operation_id = "who_am_i", tag = "scope",
    responses((status = OK, body = WhoAmI), Refusals))]
pub(crate) async fn who_am_i(caller: Caller) -> Json<WhoAmI> {
    let row = &caller.environment.row;
    Json(WhoAmI {
        organization: Organization {
            id: row.scope.organization,
            slug: row.organization_slug.clone(),
            name: row.organization_name.clone(),
        },
        project: Project {
            id: row.scope.project,
            slug: row.project_slug.clone(),
            name: row.project_name.clone(),
        },
        environment: Environment {
            id: row.scope.environment,
            project_id: row.scope.project,
            slug: row.slug.clone(),
            name: row.name.clone(),
        },
        credential: Credential {
            kind: "api_key".to_owned(),
            id: caller.key_id.to_string(),
            name: caller.key_name,
        },
    })
}
