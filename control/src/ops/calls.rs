//! What a task asks its runtime for, answered. A repeated call changes nothing: the store knows each call by its number.

mod operation;

use helmr_api::error::Code;
use helmr_api::fault;
use helmr_api::worker::{Call, CallAnswer};
use helmr_store::runs::{self, ChangeMetadata, MetadataOp};
use helmr_store::streams::{self, ListRecords, Peek};
use helmr_store::tokens;
use helmr_store::worker::{self, DropWait, RegisterWait, RunFence, WaitFor};
use serde_json::{Value, json};

use self::operation::{Operation, Read, WaitOn};
use super::streams::Given;
use crate::http::v1;
use crate::{ApiError, Control, ops};

/// Answers `call` of the run under `fence`. What the task did wrong is an answer too.
///
/// # Errors
/// Only those that are the worker's business: `stale_lease`, and failures of the server.
pub(crate) async fn answer(
    control: &Control,
    fence: RunFence,
    call: Call,
) -> Result<CallAnswer, ApiError> {
    match dispatch(control, fence, call).await {
        Ok(answer) => Ok(answer),
        Err(error) if is_for_task(error.code()) => Ok(CallAnswer::Refused {
            code: error.code().as_str().to_owned(),
            message: error.message().to_owned(),
            details: error.details().cloned(),
        }),
        Err(error) => Err(error),
    }
}

/// Whether a refusal says something about what the task asked, rather than about lease or server.
fn is_for_task(code: Code) -> bool {
    use helmr_api::error::Kind;
    match code.kind() {
        Kind::InvalidRequest
        | Kind::NotFound
        | Kind::Conflict
        | Kind::Gone
        | Kind::TooLarge
        | Kind::Unprocessable => code != Code::StaleLease,
        Kind::Unauthenticated
        | Kind::PermissionDenied
        | Kind::RateLimited
        | Kind::Internal
        | Kind::Unavailable => false,
    }
}

async fn dispatch(control: &Control, fence: RunFence, call: Call) -> Result<CallAnswer, ApiError> {
    let number = call.call_no;
    let answer = match operation::read(&call.op, &call.args, control.now())? {
        Operation::Wait(wait) => return register(control, fence, number, wait).await,
        Operation::DropWait(dropped) => drop_wait(control, fence, number, dropped).await?,
        Operation::ChangeMetadata(op) => change(control, fence, number, op).await?,
        Operation::CreateToken(new) => {
            let place = control.place_of(fence).await?;
            let environment = control.environment(place.environment).await?;
            ops::tokens::create_for_task(control, &environment, new, fence, number).await?
        }
        Operation::Append(given) => append(control, fence, number, given).await?,
        Operation::Read(read) => look(control, fence, read).await?,
    };
    Ok(CallAnswer::Answered { answer })
}

async fn append(
    control: &Control,
    fence: RunFence,
    number: u64,
    given: Given,
) -> Result<Value, ApiError> {
    let place = control.place_of(fence).await?;
    let scope = control.environment(place.environment).await?.row.scope;
    ops::streams::append(control, scope, place.session, given, fence, number).await
}

async fn look(control: &Control, fence: RunFence, read: Read) -> Result<Value, ApiError> {
    // Proves the lease, which nothing else here does.
    let input = worker::run_input(&control.store, fence).await?;
    let (scope, session) = (input.run.scope, input.run.session_id);
    Ok(match read {
        Read::Token(id) => {
            let token = tokens::get(&control.store, scope, id)
                .await?
                .ok_or_else(|| crate::refusal::not_found("token"))?;
            json!(v1::tokens::view::token(&token))
        }
        Read::Peek(peek) => {
            let peek = Peek {
                session,
                stream: peek.stream,
                correlation_id: peek.correlation_id,
                limit: peek.limit,
            };
            let records = streams::peek(&control.store, scope, peek).await?;
            let items: Vec<_> = records.iter().map(v1::streams::view::record).collect();
            json!({ "items": items })
        }
        Read::List(list) => {
            let list = ListRecords {
                session,
                direction: v1::streams::view::direction(list.direction),
                stream: list.stream,
                correlation_id: list.correlation_id,
                after: list.after,
                limit: list.limit,
            };
            let page = streams::list_records(&control.store, scope, list).await?;
            json!(v1::streams::view::page(&page))
        }
        Read::Metadata => input.run.metadata,
    })
}

async fn change(
    control: &Control,
    fence: RunFence,
    number: u64,
    op: MetadataOp,
) -> Result<Value, ApiError> {
    let input = ChangeMetadata {
        at: control.moment()?,
        fence,
        call_no: number,
        op,
    };
    Ok(runs::change_metadata(&control.store, input).await?)
}

async fn drop_wait(
    control: &Control,
    fence: RunFence,
    number: u64,
    dropped: u64,
) -> Result<Value, ApiError> {
    let input = DropWait {
        at: control.moment()?,
        fence,
        call_no: number,
        dropped,
    };
    let dropped = worker::drop_wait(&control.store, input).await?;
    Ok(json!({ "dropped": dropped }))
}

async fn register(
    control: &Control,
    fence: RunFence,
    number: u64,
    wait: operation::Wait,
) -> Result<CallAnswer, ApiError> {
    let input = RegisterWait {
        at: control.moment()?,
        fence,
        call_no: number,
        wait_for: match wait.on {
            WaitOn::Token(id) => WaitFor::Token(id),
            WaitOn::Stream {
                stream,
                correlation_id,
            } => WaitFor::Stream {
                stream,
                correlation_id,
            },
            WaitOn::Timer { due_at, clock } => WaitFor::Timer { due_at, clock },
        },
        timeout_at: wait.timeout_at,
        hot_window: wait.hot_window,
        blocking: wait.blocking,
        hold: wait.hold,
    };
    fault::point("control.register_wait.before_commit");
    let registered = worker::register_wait(&control.store, input).await?;
    fault::point("control.register_wait.after_commit");
    Ok(CallAnswer::Waiting {
        wait_id: registered.wait_id,
        hot_window_ms: u64::try_from(registered.hot_window.as_millis()).unwrap_or(0),
        blocking: registered.blocking,
    })
}
