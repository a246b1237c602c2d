//! Streams of a session: records in order, and what the session has read of them.

mod append;
mod declared;
mod position;
mod read;
mod row;
mod transcript;

use helmr_domain::stream::Direction;
use helmr_domain::{Moment, RecordId, RunId, Scope, SessionId, StreamName, Timestamp};
use serde_json::Value;

use crate::idempotency::{Idempotency, Origin};

pub use append::{append_output, send_input};
pub use declared::{Declared, declared};
pub(crate) use position::{consume, give_back, has_unread, next_unread};
pub use read::{StreamPlace, list, list_records, peek};
pub(crate) use row::{is_declared, to_value};
pub use transcript::{ListTranscript, transcript};

#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub id: RecordId,
    pub session_id: SessionId,
    pub direction: Direction,
    pub stream: StreamName,
    /// From 1.
    pub sequence: u64,
    /// From 1, over all streams of the session.
    pub position: u64,
    /// The run that was active.
    pub run_id: Option<RunId>,
    pub data: Value,
    pub correlation_id: Option<String>,
    pub content_type: String,
    /// The run that it started, if the session was idle.
    pub started_run: Option<RunId>,
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

#[derive(Clone)]
pub struct AppendOutput {
    pub at: Moment,
    pub scope: Scope,
    pub session: SessionId,
    pub record: NewRecord,
    pub origin: Origin<Sent>,
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

/// Which unread records.
#[derive(Debug, Clone)]
pub struct Peek {
    pub session: SessionId,
    pub stream: StreamName,
    pub correlation_id: Option<String>,
    pub limit: u32,
}

/// A stream of a session: declared, and maybe with records.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionStream {
    pub direction: Direction,
    pub name: StreamName,
    pub last_sequence: u64,
    pub last_record_at: Option<Timestamp>,
    pub unread: u64,
}
