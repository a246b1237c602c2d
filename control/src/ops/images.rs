//! Images: an uploaded archive that a worker turns into a root filesystem.

use std::time::Duration;

use helmr_api::error::{Code, ErrorBody};
use helmr_api::http::images::ImportImage;
use helmr_api::http::uploads::UploadKind;
use helmr_api::worker;
use helmr_domain::WorkerId;
use helmr_store::images::{self, Image, Put};
use http::Method;
use serde_json::json;

use super::uploads;
use crate::hub::Error;
use crate::state::Environment;
use crate::{ApiError, Control};

/// An import may unpack gigabytes.
const DEADLINE: Duration = Duration::from_secs(30 * 60);
const NAME_CHARACTERS: usize = 255;

/// Imports an archive under a name.
///
/// # Errors
/// `upload_not_found`, `image_invalid`, `worker_unavailable`.
pub(crate) async fn import(
    control: &Control,
    environment: &Environment,
    body: ImportImage,
) -> Result<Image, ApiError> {
    check_name(&body.name)?;
    uploads::check_sha256(&body.upload_sha256)?;
    let scope = environment.row.scope;
    let archive = uploads::find(control, scope, UploadKind::Image, &body.upload_sha256)
        .await?
        .ok_or_else(|| {
            ApiError::new(Code::UploadNotFound, "the archive was not uploaded")
                .with_details(json!({ "sha256": body.upload_sha256 }))
        })?;
    let imported = ask_a_worker(
        control,
        &worker::ImportImage {
            archive_manifest: archive.manifest,
        },
    )
    .await?;
    let put = Put {
        at: control.moment()?,
        organization: control.installation.organization,
        name: body.name,
        digest: imported.digest,
        manifest: imported.manifest,
        size_bytes: imported.size_bytes,
        config: json!({
            "env": imported.env,
            "workdir": imported.workdir,
            "user": imported.user,
        }),
    };
    Ok(images::put(&control.store, put).await?)
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let fits = !name.is_empty()
        && name.len() <= NAME_CHARACTERS
        && !name.starts_with("sha256:")
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-/:@".contains(&byte));
    if fits {
        Ok(())
    } else {
        Err(ApiError::new(
            Code::InvalidBody,
            "name: write it like node:24-bookworm-slim or registry.example.com/team/base:1",
        )
        .with_details(json!({ "path": "name" })))
    }
}

async fn ask_a_worker(
    control: &Control,
    request: &worker::ImportImage,
) -> Result<worker::ImportedImage, ApiError> {
    let Some(chosen) = control.hub.connected().into_iter().min() else {
        return Err(ApiError::new(
            Code::WorkerUnavailable,
            "no worker is connected that could import the image",
        ));
    };
    control
        .hub
        .call(chosen, Method::POST, "/v1/images/import", request, DEADLINE)
        .await
        .map_err(|error| refused(chosen, error))
}

fn refused(worker: WorkerId, error: Error) -> ApiError {
    if let Error::Refused { status, body } = &error {
        let said = serde_json::from_slice::<ErrorBody>(body).ok();
        // The archive's fault, told by the worker in words for people.
        if status.is_client_error()
            && let Some(ErrorBody { error: detail }) = said
        {
            return ApiError::new(Code::ImageInvalid, detail.message);
        }
    }
    tracing::warn!("worker.id" = %worker, "a worker did not import an image");
    ApiError::unavailable(
        Code::WorkerUnavailable,
        "the worker could not import the image; its log says why",
        &error,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_names_look_like_references() {
        for good in ["node:24-bookworm-slim", "ghcr.io/a/b@v1", "tiny"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "sha256:00", "/a", "a b", "\u{e9}", &"a".repeat(256)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
