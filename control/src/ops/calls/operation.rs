//! What a task may ask for through its runtime, read and bounded. Task code is hostile: nothing is believed.

use helmr_api::error::Code;
use helmr_api::http::streams::Direction;
use helmr_domain::timer::Clock;
use helmr_domain::{Duration, StreamName, Timestamp, TokenId, limits};
use helmr_store::runs::MetadataOp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::ApiError;
use crate::http::body;
use crate::ops::bounds;
use crate::ops::streams::Given;
use crate::ops::tokens::NewToken;

/// One request of a task.
#[derive(Debug)]
pub(super) enum Operation {
    Wait(Wait),
    /// No more waiting for what a call registered.
    DropWait(u64),
    ChangeMetadata(MetadataOp),
    CreateToken(NewToken),
    Append(Given),
    Read(Read),
}

/// Requests that only read.
#[derive(Debug)]
pub(super) enum Read {
    Token(TokenId),
    Peek(Peek),
    List(List),
    Metadata,
}

#[derive(Debug)]
pub(super) struct Wait {
    pub(super) on: WaitOn,
    pub(super) timeout_at: Option<Timestamp>,
    pub(super) hot_window: Option<Duration>,
    pub(super) blocking: bool,
    /// Keeps the run running until it is dropped.
    pub(super) hold: bool,
}

#[derive(Debug)]
pub(super) enum WaitOn {
    Token(TokenId),
    Stream {
        stream: StreamName,
        correlation_id: Option<String>,
    },
    Timer {
        due_at: Timestamp,
        clock: Clock,
    },
}

#[derive(Debug)]
pub(super) struct Peek {
    pub(super) stream: StreamName,
    pub(super) correlation_id: Option<String>,
    pub(super) limit: u32,
}

#[derive(Debug)]
pub(super) struct List {
    pub(super) direction: Direction,
    pub(super) stream: StreamName,
    pub(super) correlation_id: Option<String>,
    pub(super) after: u64,
    pub(super) limit: u32,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum WaitArgs {
    Token {
        token_id: TokenId,
        #[serde(flatten)]
        how: How,
    },
    Stream {
        stream: StreamName,
        #[serde(default)]
        correlation_id: Option<String>,
        #[serde(flatten)]
        how: How,
    },
    Timer {
        #[serde(default)]
        due_at_ms: Option<i64>,
        #[serde(default)]
        duration_ms: Option<u64>,
        #[serde(flatten)]
        how: How,
    },
}

#[derive(Deserialize)]
struct How {
    #[serde(default)]
    timeout_ms: Option<u64>,
    #[serde(default)]
    idle_timeout_ms: Option<u64>,
    #[serde(default = "yes")]
    blocking: bool,
    #[serde(default)]
    hold: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct DropArgs {
    call_no: u64,
}

#[derive(Deserialize)]
struct TokenArgs {
    #[serde(default)]
    timeout_ms: Option<u64>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    metadata: Map<String, Value>,
    #[serde(default)]
    allowed_origins: Vec<String>,
}

#[derive(Deserialize)]
struct GetTokenArgs {
    token_id: TokenId,
}

#[derive(Deserialize)]
struct AppendArgs {
    stream: StreamName,
    data: Value,
    #[serde(default)]
    correlation_id: Option<String>,
    #[serde(default)]
    idempotency_key: Option<String>,
}

#[derive(Deserialize)]
struct PeekArgs {
    stream: StreamName,
    #[serde(default)]
    correlation_id: Option<String>,
    #[serde(default)]
    limit: Option<u32>,
}

#[derive(Deserialize)]
struct ListArgs {
    direction: Direction,
    stream: StreamName,
    #[serde(default)]
    correlation_id: Option<String>,
    #[serde(default)]
    after: Option<u64>,
    #[serde(default)]
    limit: Option<u32>,
}

#[derive(Deserialize)]
struct SetArgs {
    key: String,
    value: Value,
}

#[derive(Deserialize)]
struct PatchArgs {
    patch: Map<String, Value>,
}

#[derive(Deserialize)]
struct IncrementArgs {
    key: String,
    by: f64,
}

/// Reads `op` with `args`. `now` turns spans into deadlines.
///
/// # Errors
/// `unknown_operation`, or what is wrong with the arguments.
pub(super) fn read(op: &str, args: &Value, now: Timestamp) -> Result<Operation, ApiError> {
    match op {
        "wait" => read_wait(body::read(args)?, now).map(Operation::Wait),
        "wait.drop" => {
            let DropArgs { call_no } = body::read(args)?;
            Ok(Operation::DropWait(call_no))
        }
        "metadata.set" => {
            let SetArgs { key, value } = body::read(args)?;
            Ok(Operation::ChangeMetadata(MetadataOp::Set { key, value }))
        }
        "metadata.patch" => {
            let PatchArgs { patch } = body::read(args)?;
            let patch = Value::Object(patch);
            Ok(Operation::ChangeMetadata(MetadataOp::Patch(patch)))
        }
        "metadata.increment" => {
            let IncrementArgs { key, by } = body::read(args)?;
            Ok(Operation::ChangeMetadata(MetadataOp::Increment { key, by }))
        }
        "token.create" => {
            let args: TokenArgs = body::read(args)?;
            let timeout = args.timeout_ms.map(millis);
            NewToken::checked(timeout, args.tags, args.metadata, args.allowed_origins)
                .map(Operation::CreateToken)
        }
        "stream.append" => {
            let args: AppendArgs = body::read(args)?;
            bounds::record(&args.data)?;
            Ok(Operation::Append(Given {
                stream: args.stream,
                data: args.data,
                correlation_id: args.correlation_id,
                idempotency_key: args.idempotency_key,
            }))
        }
        _ => read_only(op, args).map(Operation::Read),
    }
}

fn read_only(op: &str, args: &Value) -> Result<Read, ApiError> {
    match op {
        "token.get" => {
            let GetTokenArgs { token_id } = body::read(args)?;
            Ok(Read::Token(token_id))
        }
        "stream.peek" => {
            let args: PeekArgs = body::read(args)?;
            bounds::correlation_id(args.correlation_id.as_deref())?;
            Ok(Read::Peek(Peek {
                stream: args.stream,
                correlation_id: args.correlation_id,
                limit: bounds::limit(args.limit)?,
            }))
        }
        "stream.list" => {
            let args: ListArgs = body::read(args)?;
            bounds::correlation_id(args.correlation_id.as_deref())?;
            Ok(Read::List(List {
                direction: args.direction,
                stream: args.stream,
                correlation_id: args.correlation_id,
                after: args.after.unwrap_or(0),
                limit: bounds::limit(args.limit)?,
            }))
        }
        "metadata.get" => Ok(Read::Metadata),
        other => {
            let name: String = other.chars().take(64).collect();
            Err(ApiError::new(
                Code::UnknownOperation,
                format!("this server knows no operation `{name}`"),
            )
            .with_details(json!({ "op": name })))
        }
    }
}

fn read_wait(args: WaitArgs, now: Timestamp) -> Result<Wait, ApiError> {
    let (on, how) = match args {
        WaitArgs::Token { token_id, how } => (WaitOn::Token(token_id), how),
        WaitArgs::Stream {
            stream,
            correlation_id,
            how,
        } => {
            bounds::correlation_id(correlation_id.as_deref())?;
            let on = WaitOn::Stream {
                stream,
                correlation_id,
            };
            (on, how)
        }
        WaitArgs::Timer {
            due_at_ms,
            duration_ms,
            how,
        } => {
            let on = match (due_at_ms, duration_ms) {
                (Some(at), None) => WaitOn::Timer {
                    due_at: Timestamp::from_micros(at.saturating_mul(1_000)),
                    clock: Clock::Wall,
                },
                (None, Some(span)) => WaitOn::Timer {
                    due_at: now.after(millis(span)),
                    clock: Clock::Steady,
                },
                (Some(_), Some(_)) | (None, None) => {
                    return Err(ApiError::new(
                        Code::InvalidBody,
                        "a timer has either due_at_ms or duration_ms",
                    ));
                }
            };
            (on, how)
        }
    };
    let hot_window = how
        .idle_timeout_ms
        .map(|span| millis(span).min(limits::HOT_WINDOW_LONGEST));
    Ok(Wait {
        on,
        timeout_at: how.timeout_ms.map(|span| now.after(millis(span))),
        hot_window,
        blocking: how.blocking,
        hold: how.hold,
    })
}

fn millis(span: u64) -> Duration {
    Duration::from_millis(i64::try_from(span).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000);

    fn check_refused(op: &str, args: &Value, code: Code) {
        let error = read(op, args, NOW).err();
        assert_eq!(
            error.as_ref().map(ApiError::code),
            Some(code),
            "{op} {args}"
        );
    }

    #[test]
    fn waits_have_deadlines_in_time_not_in_spans() {
        let args = json!({"kind": "timer", "duration_ms": 2_000, "timeout_ms": 500});
        let Operation::Wait(wait) = read("wait", &args, NOW).unwrap() else {
            panic!("not a wait");
        };
        let WaitOn::Timer {
            due_at,
            clock: Clock::Steady,
        } = wait.on
        else {
            panic!("not a timer");
        };
        assert_eq!(due_at.as_micros(), 3_000_000);
        assert_eq!(wait.timeout_at.map(Timestamp::as_micros), Some(1_500_000));
        assert!(wait.blocking && wait.hot_window.is_none());
    }

    #[test]
    fn a_hot_window_is_bounded() {
        let args = json!({"kind": "stream", "stream": "in", "idle_timeout_ms": 86_400_000});
        let Operation::Wait(wait) = read("wait", &args, NOW).unwrap() else {
            panic!("not a wait");
        };
        assert_eq!(wait.hot_window, Some(limits::HOT_WINDOW_LONGEST));
    }

    #[test]
    fn nonsense_is_refused_with_a_code() {
        check_refused("fs.read", &json!({}), Code::UnknownOperation);
        check_refused("wait", &json!({"kind": "timer"}), Code::InvalidBody);
        check_refused(
            "wait",
            &json!({"kind": "token", "token_id": "x"}),
            Code::InvalidBody,
        );
        check_refused("wait", &json!(null), Code::InvalidBody);
        check_refused(
            "stream.append",
            &json!({"stream": "a b", "data": 1}),
            Code::InvalidBody,
        );
        check_refused(
            "stream.peek",
            &json!({"stream": "a", "limit": 0}),
            Code::LimitExceeded,
        );
        let long = "x".repeat(2 << 20);
        check_refused(
            "stream.append",
            &json!({"stream": "a", "data": long}),
            Code::RecordTooLarge,
        );
        check_refused(
            "token.create",
            &json!({"tags": vec!["t"; 11]}),
            Code::LimitExceeded,
        );
    }
}
