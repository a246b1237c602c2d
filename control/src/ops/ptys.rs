//! PTYs: made, typed into. Everything else of them is as of an exec.

use helmr_api::error::Code;
use helmr_api::http::ptys::{CreatePty, WriteInput};
use helmr_domain::{ProcessId, PtyId, Refusal, WorkspaceId};
use helmr_store::execs::{self, Create, Exec, Place};
use helmr_store::idempotency::{Idempotency, Kept, Render};
use serde_json::json;

use super::bounds;
use super::execs::{NotGiven, give, read_input, seal_env};
use crate::http::idempotency::Request;
use crate::state::Environment;
use crate::{ApiError, Control};

/// Makes a PTY, or gives the answer that was kept of the same request.
///
/// # Errors
/// `workspace_not_found`, `workspace_not_active`, `limit_exceeded`.
pub(crate) async fn create(
    control: &Control,
    environment: &Environment,
    workspace: WorkspaceId,
    body: CreatePty,
    request: Option<Request>,
    render: Render<Exec>,
) -> Result<Kept<Exec>, ApiError> {
    let size = bounds::pty(&body)?;
    let at = control.moment()?;
    let id = ProcessId::from(at.ids().make(PtyId::new));
    let input = Create {
        at,
        id,
        scope: environment.row.scope,
        workspace,
        command: body.command.unwrap_or_default(),
        cwd: body.cwd,
        user: body.user,
        sealed_env: seal_env(environment, id, &body.env)?,
        env_names: body.env.into_keys().collect(),
        detached: false,
        timeout: None,
        stdin_closed: false,
        pty: Some(size),
        idempotency: request.map(|request| Idempotency {
            key: request.key,
            request_hash: request.hash,
            sealed: None,
            answer: render,
        }),
    };
    Ok(execs::create(&control.store, input).await?)
}

/// Types what a request says.
///
/// # Errors
/// `pty_not_found`, `pty_ended`, `pty_input_full`, `pty_input_out_of_step`, `limit_exceeded`.
pub(crate) async fn write(
    control: &Control,
    environment: &Environment,
    pty: PtyId,
    body: WriteInput,
) -> Result<Exec, ApiError> {
    let bytes = read_input(body.data, body.encoding)?;
    let place = body.offset.map_or(Place::Behind, Place::At);
    type_in(control, environment, pty, place, &bytes).await
}

/// Types, and waits a while for room.
///
/// # Errors
/// `pty_not_found`, `pty_ended`, `pty_input_full`, `pty_input_out_of_step`.
pub(crate) async fn type_in(
    control: &Control,
    environment: &Environment,
    pty: PtyId,
    place: Place,
    bytes: &[u8],
) -> Result<Exec, ApiError> {
    let given = give(control, environment, pty.into(), place, bytes, false).await;
    given.map_err(|error| match error {
        NotGiven::Refused(Refusal::ExecInputOutOfStep { expected }) => ApiError::new(
            Code::PtyInputOutOfStep,
            format!("the PTY's next input is at {expected}"),
        )
        .with_details(json!({ "expected_offset": expected })),
        NotGiven::Refused(Refusal::ExecInputFull) => ApiError::new(
            Code::PtyInputFull,
            "the PTY has not taken enough of its input yet",
        ),
        NotGiven::Refused(Refusal::ExecInputClosed) => Refusal::PtyEnded.into(),
        other => other.into(),
    })
}
