//! Uploads: bytes streamed into the chunk store, named by their SHA-256, kept once.

pub(crate) mod channel;

use axum::body::Body;
use helmr_api::error::Code;
use helmr_api::http::uploads::{Upload, UploadKind};
use helmr_artifacts::{KeySet, blob};
use helmr_domain::Scope;
use helmr_store::blobs::{self, Keyed, Put};
use serde_json::json;

use self::channel::Broken;
use super::bounds;
use crate::state::Environment;
use crate::{ApiError, Control};

/// Bundles are code: more than this is a mistake. Images may be large.
const BUNDLE_BYTES: u64 = 1 << 30;
const IMAGE_BYTES: u64 = 64 << 30;
/// Names in one question.
const ASKED: usize = 1_000;

/// Under which key an upload is sealed: images belong to the installation.
fn keyed(kind: UploadKind) -> Keyed {
    match kind {
        UploadKind::Bundle => Keyed::Environment,
        UploadKind::Image => Keyed::Installation,
    }
}

fn keys(control: &Control, environment: &Environment, kind: UploadKind) -> KeySet {
    match kind {
        UploadKind::Bundle => environment.keys.clone(),
        UploadKind::Image => control.installation.keys.clone(),
    }
}

/// Reads a SHA-256 in lower-case hex.
///
/// # Errors
/// `invalid_body`.
pub(crate) fn check_sha256(text: &str) -> Result<(), ApiError> {
    let is_hex = text.len() == 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if is_hex {
        Ok(())
    } else {
        Err(ApiError::new(
            Code::InvalidBody,
            "a SHA-256 is 64 lower-case hex digits",
        ))
    }
}

/// Says which of these uploads are not here.
///
/// # Errors
/// `limit_exceeded`, `invalid_body`.
pub(crate) async fn missing(
    control: &Control,
    scope: Scope,
    kind: UploadKind,
    asked: Vec<String>,
) -> Result<Vec<String>, ApiError> {
    if asked.len() > ASKED {
        return Err(ApiError::new(
            Code::LimitExceeded,
            format!("sha256: has more than {ASKED} entries"),
        )
        .with_details(json!({ "path": "sha256" })));
    }
    let mut missing = Vec::new();
    for sha256 in asked {
        check_sha256(&sha256)?;
        if find(control, scope, kind, &sha256).await?.is_none() {
            missing.push(sha256);
        }
    }
    Ok(missing)
}

/// Finds an upload.
///
/// # Errors
/// Those of the store.
pub(crate) async fn find(
    control: &Control,
    scope: Scope,
    kind: UploadKind,
    sha256: &str,
) -> Result<Option<blobs::Blob>, ApiError> {
    Ok(blobs::find(&control.store, scope, keyed(kind), sha256).await?)
}

/// Takes an upload in. It is durable when this returns. Whole bodies are never in memory.
///
/// # Errors
/// `upload_mismatch`, `upload_too_large`, `invalid_body` for one that was cut short.
pub(crate) async fn receive(
    control: &Control,
    environment: &Environment,
    kind: UploadKind,
    sha256: &str,
    body: Body,
) -> Result<Upload, ApiError> {
    let scope = environment.row.scope;
    let limit = match kind {
        UploadKind::Bundle => BUNDLE_BYTES,
        UploadKind::Image => IMAGE_BYTES,
    };
    let keys = keys(control, environment, kind);
    let (feed, mut reader) = channel::channel(body, limit);
    let write = control.artifacts.run(move |artifacts| {
        let written = blob::write(artifacts, &keys, &mut reader)?;
        Ok::<_, helmr_artifacts::Error>((written, reader.sha256()))
    });
    let (pumped, written) = tokio::join!(feed.pump(), write);
    match pumped {
        Ok(()) => {}
        Err(Broken::TooLarge) => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            return Err(bounds::too_large(Code::UploadTooLarge, "the upload", limit));
        }
        Err(broken @ (Broken::Cut | Broken::Silent)) => {
            return Err(ApiError::new(Code::InvalidBody, broken.to_string()));
        }
    }
    let (written, found) = written.map_err(|error| stored(&error))?;
    if found != sha256 {
        return Err(ApiError::new(
            Code::UploadMismatch,
            "the bytes that arrived have another SHA-256",
        )
        .with_details(json!({ "expected": sha256, "found": found })));
    }
    let put = Put {
        at: control.moment()?,
        scope,
        keyed: keyed(kind),
        sha256: found,
        manifest: written.id.to_string(),
        size_bytes: written.size_bytes,
    };
    let kept = blobs::put(&control.store, put).await?;
    Ok(Upload {
        sha256: kept.sha256,
        size_bytes: kept.size_bytes,
    })
}

fn stored(error: &helmr_artifacts::Error) -> ApiError {
    if error.is_disk_full() {
        ApiError::unavailable(
            Code::StoreUnavailable,
            "the artifact store is full; nothing was changed",
            error,
        )
    } else {
        ApiError::internal(error)
    }
}
