//! `/tokens/callback/{secret}`: for webhook senders, which bring a body of their own and no header of ours.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::{Form, Json, RequestExt as _};
use bytes::Bytes;
use helmr_api::error::Code;
use helmr_api::http::tokens::CallbackTaken;
use helmr_store::tokens;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::{Map, Value};

use crate::credential::{self, Kind};
use crate::http::body;
use crate::http::parameters::Path;
use crate::http::refusals::Refusals;
use crate::ops::bounds;
use crate::{ApiError, Control, ops, refusal};

const BODY_BYTES: usize = 4 << 20;
const ARRIVES_WITHIN: Duration = Duration::from_secs(60);
const FORM_TYPE: &str = "application/x-www-form-urlencoded";
const FORM: &[u8] = FORM_TYPE.as_bytes();

/// Shows nothing and changes nothing: links are fetched by previews and scanners, and a token is completed by `POST` alone.
#[utoipa::path(get, path = "/api/v1/tokens/callback/{secret}", operation_id = "look_at_callback", tag = "tokens",
    params(("secret" = String, Path)), security(()), responses((status = NO_CONTENT)))]
pub(crate) async fn look_at_callback(_: Path<String>) -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Completes the token of a callback URL. The body, JSON or a form, is the data; without one it is null.
#[utoipa::path(post, path = "/api/v1/tokens/callback/{secret}", operation_id = "complete_by_callback", tag = "tokens",
    params(("secret" = String, Path)), security(()),
    request_body(content((serde_json::Value = "application/json"), (String = "application/x-www-form-urlencoded"))),
    responses((status = OK, body = CallbackTaken), Refusals))]
pub(crate) async fn complete_by_callback(
    State(control): State<Control>,
    Path(secret): Path<String>,
    request: Request,
) -> Result<Json<CallbackTaken>, ApiError> {
    if !credential::is_well_formed(Kind::Callback, &secret) {
        return Err(refusal::not_found("token"));
    }
    let hash = credential::hash(&control.installation.keys, Kind::Callback, &secret);
    let token = tokens::find_by_callback_hash(&control.store, hash)
        .await?
        .ok_or_else(|| refusal::not_found("token"))?;
    let data = data(request).await?;
    let completion = ops::tokens::complete(&control, token.scope, token.id, &data, None).await?;
    Ok(Json(CallbackTaken {
        ok: true,
        already_completed: completion.already_completed,
    }))
}

async fn data(request: Request) -> Result<Value, ApiError> {
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .map(|value| value.as_bytes().to_ascii_lowercase())
        .unwrap_or_default();
    let bytes = read(request.into_body()).await?;
    if bytes.trim_ascii().is_empty() {
        return Ok(Value::Null);
    }
    if content_type.starts_with(FORM) {
        return form(bytes).await;
    }
    if !content_type.is_empty() && !body::is_json(&content_type) {
        return Err(ApiError::new(
            Code::InvalidContentType,
            "send JSON or a form, or nothing",
        ));
    }
    body::parse(&bytes)
}

async fn read(body: Body) -> Result<Bytes, ApiError> {
    let collect = Limited::new(body, BODY_BYTES).collect();
    match tokio::time::timeout(ARRIVES_WITHIN, collect).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(bounds::too_large(
            Code::BodyTooLarge,
            "the body",
            BODY_BYTES,
        )),
        Ok(Err(_)) | Err(_) => Err(ApiError::new(
            Code::InvalidBody,
            "the body ended before it was complete",
        )),
    }
}

/// A form is an object of texts; a name that repeats is a list.
async fn form(bytes: Bytes) -> Result<Value, ApiError> {
    let mut request = Request::new(Body::from(bytes));
    *request.method_mut() = Method::POST;
    request
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(FORM_TYPE));
    // Its size was looked at already.
    DefaultBodyLimit::disable().apply(&mut request);
    let extracted = request.extract::<Form<Vec<(String, String)>>, _>().await;
    let Ok(Form(pairs)) = extracted else {
        return Err(ApiError::new(Code::InvalidBody, "the form cannot be read"));
    };
    let mut fields = Map::new();
    for (name, text) in pairs {
        let text = Value::String(text);
        match fields.get_mut(&name) {
            None => {
                fields.insert(name, text);
            }
            Some(Value::Array(list)) => list.push(text),
            Some(first) => *first = Value::Array(vec![first.take(), text]),
        }
    }
    Ok(Value::Object(fields))
}
