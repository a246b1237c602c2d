//! `/worker/v1`: what workers report and ask for. Worker credentials only.

mod caller;
mod connect;
mod execs;
mod forks;
mod holdings;
mod machines;
mod membership;
mod runs;
mod seeds;

use axum::Router;
use axum::routing::{get, post};

use crate::Control;

/// The routes of the worker protocol.
pub(super) fn router() -> Router<Control> {
    Router::new()
        .route("/worker/v1/register", post(membership::register))
        .route("/worker/v1/heartbeat", post(membership::heartbeat))
        .route("/worker/v1/connect", get(connect::connect))
        .route("/worker/v1/holdings", post(holdings::ask))
        .route(
            "/worker/v1/workspaces/{workspace}/beside",
            post(holdings::beside),
        )
        .route("/worker/v1/machines/{workspace}/live", post(machines::live))
        .route(
            "/worker/v1/machines/{workspace}/parking",
            post(machines::parking),
        )
        .route(
            "/worker/v1/machines/{workspace}/parked",
            post(machines::parked),
        )
        .route(
            "/worker/v1/machines/{workspace}/unparked",
            post(machines::unparked),
        )
        .route(
            "/worker/v1/machines/{workspace}/stopping",
            post(machines::stopping),
        )
        .route(
            "/worker/v1/machines/{workspace}/stopped",
            post(machines::stopped),
        )
        .route(
            "/worker/v1/machines/{workspace}/failed",
            post(machines::failed),
        )
        .route(
            "/worker/v1/machines/{workspace}/version",
            post(machines::version),
        )
        .route(
            "/worker/v1/machines/{workspace}/forked",
            post(forks::forked),
        )
        .route(
            "/worker/v1/machines/{workspace}/fork_failed",
            post(forks::fork_failed),
        )
        .route("/worker/v1/forks/settle", post(forks::settle))
        .route("/worker/v1/runs/{run}/input", post(runs::input))
        .route("/worker/v1/runs/{run}/started", post(runs::started))
        .route("/worker/v1/runs/{run}/calls", post(runs::call))
        .route("/worker/v1/runs/{run}/delivered", post(runs::delivered))
        .route("/worker/v1/runs/{run}/output", post(runs::output))
        .route("/worker/v1/runs/{run}/finished", post(runs::finished))
        .route("/worker/v1/execs/{exec}/started", post(execs::started))
        .route("/worker/v1/execs/{exec}/output", post(execs::output))
        .route("/worker/v1/execs/{exec}/input", post(execs::input))
        .route("/worker/v1/execs/{exec}/taken", post(execs::taken))
        .route("/worker/v1/execs/{exec}/rests", post(execs::rests))
        .route("/worker/v1/execs/{exec}/ended", post(execs::ended))
        .route("/worker/v1/seeds/find", post(seeds::find))
        .route("/worker/v1/seeds/put", post(seeds::put))
}
