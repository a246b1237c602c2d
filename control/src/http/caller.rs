//! Who asks, and where they may act: the bearer of an API key, or of a public access token.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use helmr_api::error::Code;
use helmr_domain::{ApiKeyId, PublicTokenId, Scope, TokenId};
use helmr_store::public_tokens::{Grant, PublicToken};
use helmr_store::{keys, public_tokens, setup};
use http::header::{AUTHORIZATION, ORIGIN};
use http::request::Parts;
use http::{Extensions, HeaderMap};
use serde_json::{Map, Value, json};

use super::parameters;
use crate::credential::{self, Kind};
use crate::state::Environment;
use crate::{ApiError, Control};

/// May do everything in its environment.
const ALL_SCOPES: &str = "*";

/// The bearer of an API key.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) key_id: ApiKeyId,
    pub(crate) key_name: String,
    pub(crate) environment: Environment,
}

/// Whoever may use a token or stream route.
pub(crate) enum Access {
    Key(Caller),
    Public(Arc<PublicToken>),
}

impl Caller {
    pub(crate) fn scope(&self) -> Scope {
        self.environment.row.scope
    }

    /// Whether a path names this caller's environment.
    ///
    /// # Errors
    /// `scope_mismatch`.
    pub(crate) fn check_environment(&self, named: &str) -> Result<(), ApiError> {
        self.check_scope(None, Some(named))
    }

    /// Whether a request that names a project or environment names this caller's.
    fn check_scope(
        &self,
        project: Option<&str>,
        environment: Option<&str>,
    ) -> Result<(), ApiError> {
        let row = &self.environment.row;
        if project
            .is_some_and(|text| text != row.project_slug && text != row.scope.project.to_string())
        {
            return Err(mismatch("project_id"));
        }
        if environment
            .is_some_and(|text| text != row.slug && text != row.scope.environment.to_string())
        {
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

impl FromRequestParts<Control> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, ApiError> {
        let bearer = bearer(&parts.headers)?;
        if credential::kind_of(&bearer) != Some(Kind::ApiKey) {
            return Err(invalid("this route takes an API key (`hlmr_sk_…`)"));
        }
        let caller = authenticate(parts, control, &bearer).await?;
        // For the body, which may name the scope too.
        parts.extensions.insert(caller.clone());
        Ok(caller)
    }
}

impl FromRequestParts<Control> for Access {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, ApiError> {
        let bearer = bearer(&parts.headers)?;
        match credential::kind_of(&bearer) {
            Some(Kind::PublicToken) => {
                let token = find_public(control, &bearer).await?;
                check_origin(&token, &parts.headers)?;
                Ok(Self::Public(Arc::new(token)))
            }
            Some(Kind::ApiKey | Kind::Worker | Kind::Enrolment | Kind::Callback) | None => {
                Caller::from_request_parts(parts, control)
                    .await
                    .map(Self::Key)
            }
        }
    }
}

impl Access {
    pub(crate) fn scope(&self) -> Scope {
        match self {
            Self::Key(caller) => caller.scope(),
            Self::Public(token) => token.scope,
        }
    }

    /// The public access token whose use the operation spends.
    pub(crate) fn public_token(&self) -> Option<PublicTokenId> {
        match self {
            Self::Key(_) => None,
            Self::Public(token) => Some(token.id),
        }
    }

    /// Allows what has to do with one token.
    ///
    /// # Errors
    /// `permission_denied` for a public access token of something else.
    pub(crate) fn allow_token(&self, id: TokenId) -> Result<(), ApiError> {
        match self {
            Self::Key(_) => Ok(()),
            Self::Public(token) => match &token.grant {
                Grant::CompleteToken(granted) if *granted == id => Ok(()),
                Grant::CompleteToken(_) | Grant::Stream { .. } => Err(denied()),
            },
        }
    }
}

/// The refusal of a public access token on something else than its own.
pub(crate) fn denied() -> ApiError {
    ApiError::new(
        Code::PermissionDenied,
        "this public access token is for something else",
    )
}

/// Reads `Authorization: Bearer …`.
///
/// # Errors
/// `unauthenticated` if there is none.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<String, ApiError> {
    let value = headers.get(AUTHORIZATION).ok_or_else(|| {
        ApiError::new(
            Code::Unauthenticated,
            "send `Authorization: Bearer` and an API key",
        )
    })?;
    value
        .to_str()
        .ok()
        .and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then(|| token.trim().to_owned())
        })
        .ok_or_else(|| invalid("the `Authorization` header is not a bearer credential"))
}

pub(crate) fn invalid(message: &str) -> ApiError {
    ApiError::new(Code::InvalidCredential, message)
}

async fn authenticate(parts: &Parts, control: &Control, bearer: &str) -> Result<Caller, ApiError> {
    let hash = credential::hash(&control.installation.keys, Kind::ApiKey, bearer);
    let key = keys::find_api_key(&control.store, hash)
        .await?
        .ok_or_else(|| invalid("the API key is not known here"))?;
    if key.revoked_at.is_some() {
        return Err(invalid("the API key is revoked"));
    }
    let now = control.now();
    if key.expires_at.is_some_and(|at| now >= at) {
        return Err(invalid("the API key has expired"));
    }
    if !key.scopes.iter().any(|scope| scope == ALL_SCOPES) {
        return Err(ApiError::new(
            Code::PermissionDenied,
            "the API key's scopes do not allow this",
        ));
    }
    let asked = parameters::scope(parts)?;
    let environment = match key.bound {
        Some((_, environment)) => control.environment(environment).await?,
        None => chosen_environment(control, &asked).await?,
    };
    let caller = Caller {
        key_id: key.id,
        key_name: key.name,
        environment,
    };
    caller.check_scope(asked.project_id.as_deref(), asked.environment_id.as_deref())?;
    if control.is_touch_due(caller.key_id) {
        keys::touch(&control.store, caller.key_id, control.moment()?).await?;
    }
    Ok(caller)
}

/// An organization-wide key names its scope in each request.
async fn chosen_environment(
    control: &Control,
    asked: &parameters::ScopeQuery,
) -> Result<Environment, ApiError> {
    let (Some(project), Some(environment)) = (&asked.project_id, &asked.environment_id) else {
        return Err(ApiError::new(
            Code::InvalidQuery,
            "an organization-wide API key needs `project_id` and `environment_id`",
        ));
    };
    let organization = control.installation.organization;
    let found = setup::find_environment(&control.store, organization, project, environment)
        .await?
        .ok_or_else(|| ApiError::new(Code::ScopeMismatch, "there is no such environment"))?;
    control.environment(found.scope.environment).await
}

async fn find_public(control: &Control, bearer: &str) -> Result<PublicToken, ApiError> {
    let hash = credential::hash(&control.installation.keys, Kind::PublicToken, bearer);
    let token = public_tokens::find(&control.store, hash)
        .await?
        .ok_or_else(|| invalid("the public access token is not known here"))?;
    check_valid(control, &token)?;
    Ok(token)
}

fn check_valid(control: &Control, token: &PublicToken) -> Result<(), ApiError> {
    if token.revoked_at.is_some() {
        return Err(invalid("the public access token is revoked"));
    }
    let now = control.now();
    if token.expires_at.is_some_and(|at| now >= at) {
        return Err(invalid("the public access token has expired"));
    }
    Ok(())
}

/// Looks again whether a public access token holds, for whoever goes on by it.
///
/// # Errors
/// `invalid_credential` once it is revoked or has expired.
pub(crate) async fn check_still_valid(
    control: &Control,
    token: &PublicToken,
) -> Result<(), ApiError> {
    let now = public_tokens::get(&control.store, token.scope, token.id).await?;
    check_valid(control, now.as_ref().unwrap_or(token))
}

fn check_origin(token: &PublicToken, headers: &HeaderMap) -> Result<(), ApiError> {
    let origin = headers.get(ORIGIN).map(http::HeaderValue::as_bytes);
    let allowed = token.allowed_origins.is_empty()
        || origin.is_some_and(|origin| {
            token
                .allowed_origins
                .iter()
                .any(|allowed| allowed.as_bytes() == origin)
        });
    if allowed {
        Ok(())
    } else {
        Err(ApiError::new(
            Code::OriginNotAllowed,
            "the public access token is not for this origin",
        ))
    }
}

/// Takes `project_id` and `environment_id` out of a body, where every route allows them.
pub(crate) fn check_scope_fields(
    extensions: &Extensions,
    body: &mut Value,
) -> Result<(), ApiError> {
    let Some(fields) = body.as_object_mut() else {
        return Ok(());
    };
    // Only where a caller has a scope: elsewhere the names mean nothing and are refused as unknown.
    let Some(caller) = extensions.get::<Caller>() else {
        return Ok(());
    };
    let project = take_text(fields, "project_id")?;
    let environment = take_text(fields, "environment_id")?;
    caller.check_scope(project.as_deref(), environment.as_deref())
}

fn take_text(
    fields: &mut Map<String, Value>,
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

#[cfg(test)]
pub(crate) mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use helmr_domain::{EnvironmentId, OrganizationId, ProjectId, Timestamp};
    use http::HeaderValue;

    use super::*;

    /// A public access token for `grant`.
    pub(crate) fn public(grant: Grant, allowed_origins: &[&str]) -> Access {
        let at = Timestamp::from_micros(0);
        Access::Public(Arc::new(PublicToken {
            id: PublicTokenId::new(at, [0; 10]),
            scope: Scope {
                organization: OrganizationId::new(at, [0; 10]),
                project: ProjectId::new(at, [0; 10]),
                environment: EnvironmentId::new(at, [0; 10]),
            },
            grant,
            allowed_origins: allowed_origins
                .iter()
                .map(|origin| (*origin).to_owned())
                .collect(),
            expires_at: None,
            max_uses: None,
            uses: 0,
            revoked_at: None,
            created_at: at,
        }))
    }

    fn check(allowed: &[&str], origin: Option<&'static str>, expected: bool) {
        let token = TokenId::new(Timestamp::from_micros(0), [1; 10]);
        let Access::Public(token) = public(Grant::CompleteToken(token), allowed) else {
            unreachable!("it was just made");
        };
        let mut headers = HeaderMap::new();
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        let checked = check_origin(&token, &headers);
        assert_eq!(checked.is_ok(), expected, "{allowed:?} {origin:?}");
        if let Err(error) = checked {
            assert_eq!(error.code(), Code::OriginNotAllowed);
        }
    }

    #[test]
    fn a_list_of_origins_admits_those_alone() {
        let app = "https://app.example.com";
        check(&[], None, true);
        check(&[], Some("https://elsewhere.example"), true);
        check(&[app], Some(app), true);
        check(&[app], Some("https://app.example.com.evil.example"), false);
        check(&[app], None, false);
    }

    #[test]
    fn only_a_bearer_is_a_credential() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            bearer(&headers)
        };
        assert_eq!(with("bearer abc").unwrap(), "abc");
        assert_eq!(
            with("Basic abc").unwrap_err().code(),
            Code::InvalidCredential
        );
        let none = bearer(&HeaderMap::new()).unwrap_err();
        assert_eq!(none.code(), Code::Unauthenticated);
    }
}
