//! Execs and PTYs: checked and sealed on their way in, opened on their way to a worker or a reader.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helmr_api::error::Code;
use helmr_api::http::execs::{CreateExec, WriteStdin};
use helmr_api::http::runs::Encoding;
use helmr_api::worker as wire;
use helmr_domain::exec::State;
use helmr_domain::{ExecId, ProcessId, Refusal, WorkspaceId};
use helmr_store::Hint;
use helmr_store::execs::{
    self, AppendOutput, Create, Exec, Fenced, Piece, Place, Stream, WriteInput,
};
use helmr_store::idempotency::{Idempotency, Kept, Render};

use super::bounds;
use crate::http::idempotency::Request;
use crate::news::Topic;
use crate::state::Environment;
use crate::{ApiError, Control};

/// Of one piece: a row of the store.
const PIECE: usize = 64 << 10;
/// How long a write waits for its process to take what was written before.
const ROOM_WITHIN: Duration = Duration::from_secs(20);
const STDIN_BYTES: usize = 1 << 20;
/// What a worker is given in one answer.
const INPUT_BYTES: usize = 256 << 10;

/// What is sealed for an exec: it opens only there.
fn context<'a>(exec: &'a str, what: &'a str) -> [&'a [u8]; 3] {
    [b"exec", exec.as_bytes(), what.as_bytes()]
}

pub(super) fn seal(
    environment: &Environment,
    exec: ProcessId,
    what: &str,
    bytes: &[u8],
) -> Result<Vec<u8>, ApiError> {
    environment
        .keys
        .seal_value(&context(&exec.to_string(), what), bytes)
        .map_err(|error| ApiError::internal(&error))
}

fn open(
    environment: &Environment,
    exec: ProcessId,
    what: &str,
    sealed: &[u8],
) -> Result<Vec<u8>, ApiError> {
    environment
        .keys
        .open_value(&context(&exec.to_string(), what), sealed)
        .map(|bytes| bytes.to_vec())
        .map_err(|error| ApiError::internal(&error))
}

/// Seals the variables that a process is given.
pub(super) fn seal_env(
    environment: &Environment,
    process: ProcessId,
    env: &BTreeMap<String, String>,
) -> Result<Option<Vec<u8>>, ApiError> {
    if env.is_empty() {
        return Ok(None);
    }
    let pairs: Vec<String> = env
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let text = serde_json::to_vec(&pairs).map_err(|error| ApiError::internal(&error))?;
    seal(environment, process, "env", &text).map(Some)
}

/// Makes an exec, or gives the answer that was kept of the same request.
///
/// # Errors
/// `workspace_not_found`, `workspace_not_active`, `limit_exceeded`.
pub(crate) async fn create(
    control: &Control,
    environment: &Environment,
    workspace: WorkspaceId,
    body: CreateExec,
    request: Option<Request>,
    render: Render<Exec>,
) -> Result<Kept<Exec>, ApiError> {
    bounds::exec(&body)?;
    let at = control.moment()?;
    let id = ProcessId::from(at.ids().make(ExecId::new));
    let sealed_env = seal_env(environment, id, &body.env)?;
    let input = Create {
        at,
        id,
        scope: environment.row.scope,
        workspace,
        command: body.command,
        cwd: body.cwd,
        user: body.user,
        env_names: body.env.into_keys().collect(),
        sealed_env,
        detached: body.detached,
        timeout: body.timeout.map(|span| span.0),
        stdin_closed: !body.stdin,
        pty: None,
        idempotency: request.map(|request| Idempotency {
            key: request.key,
            request_hash: request.hash,
            sealed: None,
            answer: render,
        }),
    };
    Ok(execs::create(&control.store, input).await?)
}

/// Writes a piece of an exec's input.
///
/// # Errors
/// `exec_not_found`, `exec_input_closed`, `exec_input_full`, `exec_input_out_of_step`, `limit_exceeded`.
pub(crate) async fn write(
    control: &Control,
    environment: &Environment,
    exec: ExecId,
    body: WriteStdin,
) -> Result<Exec, ApiError> {
    let bytes = read_input(body.data, body.encoding)?;
    let place = Place::At(body.offset);
    Ok(give(control, environment, exec.into(), place, &bytes, body.close).await?)
}

/// Reads the bytes of a write.
///
/// # Errors
/// `invalid_body`, `limit_exceeded`.
pub(super) fn read_input(data: String, encoding: Encoding) -> Result<Vec<u8>, ApiError> {
    let bytes = match encoding {
        Encoding::Utf8 => data.into_bytes(),
        Encoding::Base64 => STANDARD
            .decode(&data)
            .map_err(|_| ApiError::new(Code::InvalidBody, "data: not base64"))?,
    };
    if bytes.len() > STDIN_BYTES {
        return Err(bounds::too_large(Code::LimitExceeded, "data", STDIN_BYTES));
    }
    Ok(bytes)
}

/// Gives a process a piece of input, and waits a while for room.
///
/// # Errors
/// A refusal of the store's, which is worded for execs.
pub(super) async fn give(
    control: &Control,
    environment: &Environment,
    process: ProcessId,
    place: Place,
    bytes: &[u8],
    close: bool,
) -> Result<Exec, NotGiven> {
    let input = WriteInput {
        at: control.moment().map_err(ApiError::from)?,
        scope: environment.row.scope,
        exec: process,
        place,
        size_bytes: bytes.len() as u64,
        sealed: seal(environment, process, "stdin", bytes)?,
        close,
    };
    let until = tokio::time::Instant::now() + ROOM_WITHIN;
    // Before the first try, so that nothing falls between try and wait.
    let subscription = control
        .news
        .subscribe(vec![Topic::Of(Hint::Process(process))]);
    loop {
        match execs::write_input(&control.store, input.clone()).await {
            Err(helmr_store::Error::Refused(Refusal::ExecInputFull))
                if tokio::time::timeout_at(until, subscription.news())
                    .await
                    .is_ok() => {}
            Err(helmr_store::Error::Refused(refusal)) => return Err(NotGiven::Refused(refusal)),
            Err(other) => return Err(NotGiven::Failed(other.into())),
            Ok(exec) => return Ok(exec),
        }
    }
}

/// Why input was not taken.
pub(super) enum NotGiven {
    Refused(Refusal),
    Failed(ApiError),
}

impl From<ApiError> for NotGiven {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

impl From<NotGiven> for ApiError {
    fn from(error: NotGiven) -> Self {
        match error {
            NotGiven::Refused(refusal) => refusal.into(),
            NotGiven::Failed(error) => error,
        }
    }
}

/// Opens a piece of output.
///
/// # Errors
/// If it was sealed for something else or changed.
pub(crate) fn open_output(
    environment: &Environment,
    process: ProcessId,
    stream: Stream,
    piece: &Piece,
) -> Result<Vec<u8>, ApiError> {
    open(environment, process, stream.as_str(), &piece.sealed)
}

/// Writes an exec for its worker.
///
/// # Errors
/// If what it was given cannot be opened.
pub(crate) fn assign(
    environment: &Environment,
    exec: Exec,
    pty_idle_after_ms: u64,
) -> Result<wire::ExecAssignment, ApiError> {
    let env = match &exec.sealed_env {
        Some(sealed) => {
            let text = open(environment, exec.id, "env", sealed)?;
            serde_json::from_slice(&text).map_err(|error| ApiError::internal(&error))?
        }
        None => Vec::new(),
    };
    Ok(wire::ExecAssignment {
        exec_id: exec.id,
        started: matches!(exec.state, State::Running { .. }),
        command: exec.command,
        cwd: exec.cwd,
        user: exec.user,
        env,
        signals: exec.signals,
        stdin_end: exec.stdin.end,
        stdin_closed: exec.stdin.closed,
        terminal: exec.pty.map(|pty| wire::TerminalAssignment {
            cols: pty.size.cols(),
            rows: pty.size.rows(),
            resizes: pty.resizes,
            idle_after_ms: pty_idle_after_ms,
        }),
    })
}

/// Keeps what an exec printed. What was received before changes nothing.
///
/// # Errors
/// `stale_lease`; `invalid_state` for output that leaves a gap.
pub(crate) async fn receive(
    control: &Control,
    fence: Fenced,
    output: wire::ExecOutput,
) -> Result<(), ApiError> {
    let (environment, exec) = execs::place_of(&control.store, fence).await?;
    let environment = control.environment(environment).await?;
    let mut pieces = Vec::new();
    for segment in output.segments {
        let stream = Stream::read(&segment.stream)
            .ok_or_else(|| ApiError::new(Code::InvalidBody, "stream is stdout or stderr"))?;
        let bytes = STANDARD
            .decode(&segment.data)
            .map_err(|_| ApiError::new(Code::InvalidBody, "data is base64"))?;
        // A repeat may overlap what is there.
        let there = exec.window(stream).end;
        let known = there.saturating_sub(segment.offset);
        let fresh = usize::try_from(known)
            .ok()
            .and_then(|known| bytes.get(known..))
            .unwrap_or_default();
        let mut offset = segment.offset.max(there.min(segment.offset + known));
        for part in fresh.chunks(PIECE) {
            let piece = Piece {
                offset,
                size_bytes: part.len() as u64,
                sealed: seal(&environment, fence.exec, stream.as_str(), part)?,
            };
            offset += piece.size_bytes;
            pieces.push((stream, piece));
        }
    }
    let input = AppendOutput { fence, pieces };
    Ok(execs::append_output(&control.store, input).await?)
}

/// What of an exec's input lies behind `offset`.
///
/// # Errors
/// `stale_lease`.
pub(crate) async fn input(
    control: &Control,
    fence: Fenced,
    offset: u64,
) -> Result<wire::ExecInput, ApiError> {
    let found = execs::read_input(&control.store, fence, offset).await?;
    let scope = found.exec.scope;
    let environment = control.environment(scope.environment).await?;
    let mut bytes = Vec::new();
    let mut at = offset;
    for piece in &found.pieces {
        if bytes.len() >= INPUT_BYTES {
            break;
        }
        let opened = open(&environment, fence.exec, "stdin", &piece.sealed)?;
        let known = usize::try_from(at.saturating_sub(piece.offset)).unwrap_or(usize::MAX);
        bytes.extend_from_slice(opened.get(known..).unwrap_or_default());
        at = piece.offset + piece.size_bytes;
    }
    bytes.truncate(INPUT_BYTES);
    let reached = offset + bytes.len() as u64;
    Ok(wire::ExecInput {
        data: STANDARD.encode(&bytes),
        end: found.ends_at(reached),
    })
}
