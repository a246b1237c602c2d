//! Who asks, and where they may act.

use helmr_api::error::Code;
use helmr_domain::{ApiKeyId, Scope};
use http::Extensions;
use serde_json::{Value, json};

use crate::ApiError;

/// The bearer of an API key.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) key_id: ApiKeyId,
    pub(crate) key_name: String,
    pub(crate) scope: Scope,
    pub(crate) names: ScopeNames,
}

/// What `project_id` and `environment_id` may say for a scope.
#[derive(Debug, Clone)]
pub(crate) struct ScopeNames {
    pub(crate) project_slug: String,
    pub(crate) environment_slug: String,
}

impl Caller {
    /// Whether a request that names a project or environment names this caller's.
    pub(crate) fn check_scope(
        &self,
        project: Option<&str>,
        environment: Option<&str>,
    ) -> Result<(), ApiError> {
        let own_project =
            |text: &str| text == self.scope.project.to_string() || text == self.names.project_slug;
        let own_environment = |text: &str| {
            text == self.scope.environment.to_string() || text == self.names.environment_slug
        };
        if project.is_some_and(|text| !own_project(text)) {
            return Err(mismatch("project_id"));
        }
        if environment.is_some_and(|text| !own_environment(text)) {
            return Err(mismatch("environment_id"));
        }
        Ok(())
    }
}

fn mismatch(field: &'static str) -> ApiError {
    ApiError::new(
        Code::ScopeMismatch,
        format!("`{field}` is not the one that this API key is bound to"),
    )
    .with_details(json!({ "field": field }))
}

/// Takes `project_id` and `environment_id` out of a body, where every route allows them.
pub(crate) fn check_scope_fields(
    extensions: &Extensions,
    body: &mut Value,
) -> Result<(), ApiError> {
    let Some(fields) = body.as_object_mut() else {
        return Ok(());
    };
    let project = take_text(fields, "project_id")?;
    let environment = take_text(fields, "environment_id")?;
    match extensions.get::<Caller>() {
        Some(caller) => caller.check_scope(project.as_deref(), environment.as_deref()),
        None => Ok(()),
    }
}

fn take_text(
    fields: &mut serde_json::Map<String, Value>,
    name: &'static str,
) -> Result<Option<String>, ApiError> {
    match fields.remove(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(
            ApiError::new(Code::InvalidBody, format!("{name}: expected text"))
                .with_details(json!({ "path": name })),
        ),
    }
}
