//! Streams of a session: records in order, and what the session has read of them.

use helmr_domain::stream::Direction;
use helmr_domain::{Moment, RecordId, RunId, Scope, SessionId, StreamName, Timestamp};
use serde_json::Value;

use crate::idempotency::{Idempotency, Kept, Origin};
use crate::{Page, Result, Store};

#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub id: RecordId,
    pub session_id: SessionId,
    pub direction: Direction,
    pub stream: StreamName,
    /// From 1.
    pub sequence: u64,
    pub run_id: Option<RunId>,
    pub data: Value,
    pub correlation_id: Option<String>,
    pub content_type: String,
    pub created_at: Timestamp,
}

/// A record to be.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRecord {
    pub stream: StreamName,
    pub data: Value,
    pub correlation_id: Option<String>,
    pub content_type: String,
    /// The same key in the same stream gives the first record.
    pub idempotency_key: Option<String>,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    pub record: Record,
    /// It was there before, by its key.
    pub existed: bool,
    /// The run that it started, if the session was idle.
    pub started_run: Option<RunId>,
}

#[derive(Clone)]
pub struct SendInput {
    pub at: Moment,
    pub scope: Scope,
    pub session: SessionId,
    pub record: NewRecord,
    /// Spends one use of it, if the record is new.
    pub public_token: Option<helmr_domain::PublicTokenId>,
    pub idempotency: Option<Idempotency<Sent>>,
}

/// Appends to an input stream. A wait that matches has its outcome; an open session without a run starts the next one.
///
/// # Errors
/// `NotFound`; `Refused`: `SessionNotOpen`, `StreamUnknown`, `RecordKeyReused`, `PublicTokenSpent`, `IdempotencyKeyReused`.
pub async fn send_input(store: &Store, input: SendInput) -> Result<Kept<Sent>> {
    todo!()
}

#[derive(Clone)]
pub struct AppendOutput {
    pub at: Moment,
    pub scope: Scope,
    pub session: SessionId,
    pub record: NewRecord,
    pub origin: Origin<Sent>,
}

/// Appends to an output stream.
///
/// # Errors
/// `NotFound`, `Stale`; `Refused`: `SessionNotOpen`, `StreamUnknown`, `RecordKeyReused`.
pub async fn append_output(store: &Store, input: AppendOutput) -> Result<Kept<Sent>> {
    todo!()
}

/// Which records.
#[derive(Debug, Clone)]
pub struct ListRecords {
    pub session: SessionId,
    pub direction: Direction,
    pub stream: StreamName,
    pub correlation_id: Option<String>,
    /// Sequences above it.
    pub after: u64,
    pub limit: u32,
}

/// Lists records, ascending.
///
/// # Errors
/// `NotFound` if there is no such session.
pub async fn list_records(
    store: &Store,
    scope: Scope,
    input: ListRecords,
) -> Result<Page<Record, u64>> {
    todo!()
}

/// Which unread records.
#[derive(Debug, Clone)]
pub struct Peek {
    pub session: SessionId,
    pub stream: StreamName,
    pub correlation_id: Option<String>,
    pub limit: u32,
}

/// Reads unread input without consuming it, ascending.
///
/// # Errors
/// `NotFound` if there is no such session.
pub async fn peek(store: &Store, scope: Scope, input: Peek) -> Result<Vec<Record>> {
    todo!()
}

/// A stream of a session: declared, and maybe with records.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionStream {
    pub direction: Direction,
    pub name: StreamName,
    pub schema: Value,
    pub last_sequence: u64,
    pub unread: u64,
}

/// Lists the streams that a session's deployment declares.
///
/// # Errors
/// `NotFound` if there is no such session.
pub async fn list(store: &Store, scope: Scope, session: SessionId) -> Result<Vec<SessionStream>> {
    todo!()
}

/// One declared stream of a session.
///
/// # Errors
/// `NotFound` if there is no such session.
pub async fn find(
    store: &Store,
    scope: Scope,
    session: SessionId,
    direction: Direction,
    name: &StreamName,
) -> Result<Option<SessionStream>> {
    todo!()
}
