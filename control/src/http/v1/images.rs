//! `/images`: base images by name.

use axum::Json as Answer;
use axum::extract::State;
use axum::response::Response;
use helmr_api::http::images::{Image, ImageAnswer, ImportImage};
use helmr_api::http::page::{Page, PageQuery};
use helmr_domain::ImageId;
use helmr_store::{idempotency as kept, images};
use serde_json::json;

use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::idempotency::{self, IdempotencyKey};
use crate::http::parameters::Query;
use crate::http::refusals::Refusals;
use crate::{ApiError, Control, ops};

fn view(row: &images::Image, name: &str) -> Image {
    Image {
        id: row.id,
        name: name.to_owned(),
        digest: row.digest.clone(),
        size_bytes: row.size_bytes,
        created_at: row.created_at.into(),
    }
}

/// Lists images, newest first: one that has several names is there under each.
#[utoipa::path(get, path = "/api/v1/images", operation_id = "list_images", tag = "images",
    params(PageQuery), responses((status = OK, body = Page<Image>), Refusals))]
pub(crate) async fn list_images(
    State(control): State<Control>,
    _: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Answer<Page<Image>>, ApiError> {
    let before: Option<ImageId> = cursor::read(query.cursor.as_deref())?;
    let limit = cursor::limit(query.limit)?;
    let organization = control.installation.organization;
    let page = images::list(&control.store, organization, before, limit).await?;
    let items = page
        .items
        .iter()
        .flat_map(|row| row.names.iter().map(|name| view(row, name)))
        .collect();
    Ok(Answer(Page {
        items,
        next_cursor: page.next.map(|next| cursor::opaque(&next.to_string())),
    }))
}

/// Imports an uploaded archive: a worker makes a root filesystem of it. May take minutes.
#[utoipa::path(post, path = "/api/v1/images", operation_id = "import_image", tag = "images",
    request_body = ImportImage, params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = CREATED, body = ImageAnswer), Refusals))]
pub(crate) async fn import_image(
    State(control): State<Control>,
    caller: Caller,
    key: IdempotencyKey,
    body: Json<ImportImage>,
) -> Result<Response, ApiError> {
    let scope = caller.scope();
    let request = key.of("import_image", &body.sent)?;
    if let Some(request) = &request {
        let at = control.moment()?;
        let found = kept::find(&control.store, scope, at, &request.key, request.hash).await?;
        if let Some(found) = found {
            return Ok(idempotency::replayed(found.answer));
        }
    }
    let name = body.value.name.clone();
    let image = ops::images::import(&control, &caller.environment, body.value).await?;
    let answer = json!(ImageAnswer {
        image: view(&image, &name),
    });
    if let Some(request) = request {
        // An import that is repeated gives the same image: the answer may be kept after it.
        let save = kept::Save {
            at: control.moment()?,
            scope,
            key: request.key,
            request_hash: request.hash,
            answer: answer.clone(),
            sealed: None,
        };
        kept::save(&control.store, save).await?;
    }
    Ok(idempotency::created(&answer))
}
