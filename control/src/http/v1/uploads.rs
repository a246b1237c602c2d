//! `/uploads`: bytes on their way in.

use axum::Json as Answer;
use axum::body::Body;
use axum::extract::State;
use helmr_api::error::Code;
use helmr_api::http::uploads::{MissingUploads, MissingUploadsAnswer, UploadAnswer, UploadQuery};

use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::ops::uploads;
use crate::{ApiError, Control};

/// Asks which uploads the server does not have.
#[utoipa::path(post, path = "/api/v1/uploads/missing", operation_id = "find_missing_uploads", tag = "uploads",
    request_body = MissingUploads, responses((status = OK, body = MissingUploadsAnswer), Refusals))]
pub(crate) async fn find_missing_uploads(
    State(control): State<Control>,
    caller: Caller,
    body: Json<MissingUploads>,
) -> Result<Answer<MissingUploadsAnswer>, ApiError> {
    let MissingUploads { sha256, kind } = body.value;
    let missing = uploads::missing(&control, caller.scope(), kind, sha256).await?;
    Ok(Answer(MissingUploadsAnswer { missing }))
}

/// Uploads bytes under their SHA-256: up to 1 GiB for a bundle, 64 GiB for an image. Sending them again changes nothing.
#[utoipa::path(put, path = "/api/v1/uploads/{sha256}", operation_id = "upload", tag = "uploads",
    params(("sha256" = String, Path), UploadQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = OK, body = UploadAnswer), Refusals))]
pub(crate) async fn upload(
    State(control): State<Control>,
    caller: Caller,
    Path(sha256): Path<String>,
    Query(query): Query<UploadQuery>,
    body: Body,
) -> Result<Answer<UploadAnswer>, ApiError> {
    uploads::check_sha256(&sha256)
        .map_err(|error| ApiError::new(Code::InvalidPath, error.message()))?;
    let kind = query.kind.unwrap_or_default();
    let upload = uploads::receive(&control, &caller.environment, kind, &sha256, body).await?;
    Ok(Answer(UploadAnswer { upload }))
}
