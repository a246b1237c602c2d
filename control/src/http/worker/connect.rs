//! `GET /worker/v1/connect`: the connection that the worker opens and the control plane speaks on.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use helmr_api::error::Code;
use helmr_api::worker::UPGRADE;
use helmr_domain::WorkerId;
use helmr_store::worker;
use http::header::{CONNECTION, UPGRADE as UPGRADE_HEADER};
use http::{HeaderValue, StatusCode};
use hyper::upgrade::Upgraded;

use super::caller::WorkerCaller;
use crate::{ApiError, Control};

/// Turns the request's connection around. From then on the control plane sends requests on it.
pub(super) async fn connect(
    State(control): State<Control>,
    caller: WorkerCaller,
    request: Request,
) -> Result<Response, ApiError> {
    let asked = request.headers().get(UPGRADE_HEADER);
    if asked.is_none_or(|asked| asked.as_bytes() != UPGRADE.as_bytes()) {
        return Err(ApiError::new(
            Code::UpgradeRequired,
            format!("ask for `Upgrade: {UPGRADE}`"),
        ));
    }
    if control.ending.is_cancelled() {
        return Err(ApiError::new(Code::ShuttingDown, "the server is ending"));
    }
    let worker = caller.id;
    let upgrade = hyper::upgrade::on(request);
    let tasks = control.tasks.clone();
    tasks.spawn(async move {
        let upgraded = match upgrade.await {
            Ok(upgraded) => upgraded,
            Err(error) => {
                tracing::warn!("worker.id" = %worker, %error, "a worker's connection was not turned around");
                return;
            }
        };
        serve(&control, worker, upgraded).await;
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response
        .headers_mut()
        .insert(UPGRADE_HEADER, HeaderValue::from_static(UPGRADE));
    Ok(response)
}

/// Speaks to the worker until its connection ends. What it was not told meanwhile is marked for it first.
async fn serve(control: &Control, worker: WorkerId, upgraded: Upgraded) {
    let connection = match control.hub.open(worker, upgraded).await {
        Ok(connection) => connection,
        Err(error) => {
            tracing::warn!("worker.id" = %worker, cause = ?error, "a worker's connection failed");
            return;
        }
    };
    if let Err(error) = note(control, worker, true).await {
        // Dropping the connection lets the worker come again.
        tracing::error!("worker.id" = %worker, cause = error.cause(), "a worker's connection is not noted");
        control.hub.close(&connection);
        return;
    }
    tracing::info!("worker.id" = %worker, "worker connected");
    tokio::select! {
        () = connection.ended() => {}
        () = control.ending.cancelled() => {}
    }
    tracing::info!("worker.id" = %worker, "worker disconnected");
    // A newer connection of the same worker is not this one's to take back.
    if control.hub.close(&connection)
        && let Err(error) = note(control, worker, false).await
    {
        tracing::error!("worker.id" = %worker, cause = error.cause(), "a worker's end is not noted");
    }
}

async fn note(control: &Control, worker: WorkerId, connected: bool) -> Result<(), ApiError> {
    let at = control.moment()?;
    if connected {
        worker::connected(&control.store, worker, at).await?;
    } else {
        worker::disconnected(&control.store, worker, at).await?;
    }
    Ok(())
}
