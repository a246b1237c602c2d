//! Seeds: what an image holds at a mount path, captured once.

use axum::Json as Answer;
use axum::extract::State;
use helmr_api::worker::{FindSeed, PutSeed, Seed};
use helmr_store::worker;

use super::caller::WorkerCaller;
use crate::http::body::Json;
use crate::{ApiError, Control};

pub(super) async fn find(
    State(control): State<Control>,
    caller: WorkerCaller,
    body: Json<FindSeed>,
) -> Result<Answer<Seed>, ApiError> {
    let of = body.value;
    let fence = caller.fence(of.workspace_id, of.epoch);
    let manifest =
        worker::find_seed(&control.store, fence, &of.image_digest, &of.mount_path).await?;
    Ok(Answer(Seed { manifest }))
}

pub(super) async fn put(
    State(control): State<Control>,
    caller: WorkerCaller,
    body: Json<PutSeed>,
) -> Result<Answer<Seed>, ApiError> {
    let PutSeed {
        of,
        manifest,
        size_bytes,
    } = body.value;
    let input = worker::PutSeed {
        at: control.moment()?,
        fence: caller.fence(of.workspace_id, of.epoch),
        image_digest: of.image_digest,
        mount_path: of.mount_path,
        manifest,
        size_bytes,
    };
    let kept = worker::put_seed(&control.store, input).await?;
    Ok(Answer(Seed {
        manifest: Some(kept),
    }))
}
