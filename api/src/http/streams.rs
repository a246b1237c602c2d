//! Session streams and their records.

use helmr_domain::{RecordId, RunId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::value::Time;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Input,
    Output,
}

/// A lane of a session, declared by its task or used already.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Stream {
    pub name: String,
    pub direction: Direction,
    /// How many records it holds: the sequence of the last one.
    pub records: u64,
    pub last_record_at: Option<Time>,
    /// Of an input stream: how many of them the task has not read.
    #[serde(default)]
    pub unread: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Record {
    #[schema(value_type = String)]
    pub id: RecordId,
    /// From 1, without gaps. Give it as `cursor` or `Last-Event-ID` for what follows.
    pub sequence: u64,
    pub data: Value,
    pub correlation_id: Option<String>,
    pub content_type: String,
    pub created_at: Time,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SendInput {
    /// At most 1 MiB.
    pub data: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The same key on the same stream again is answered with the first record; another stream has keys of its own.
    /// `Idempotency-Key` is for the request, and holds for the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RecordAnswer {
    pub record: Record,
    /// The run that the record started, if the session was idle. A repeated record names it again.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub started_run_id: Option<RunId>,
}

/// Which records.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListRecords {
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// After this sequence.
    pub cursor: Option<String>,
    /// Only records of this correlation id.
    pub correlation_id: Option<String>,
}

/// A record among those of all streams of its session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TranscriptRecord {
    /// From 1, without gaps, over all streams. Give it as `cursor` or `Last-Event-ID` for what follows.
    pub position: u64,
    pub direction: Direction,
    pub stream: String,
    /// The run that was active: the one that wrote an output.
    #[schema(value_type = Option<String>)]
    pub run_id: Option<RunId>,
    #[serde(flatten)]
    pub record: Record,
}

/// Which records of a session.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListTranscript {
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// After this position.
    pub cursor: Option<String>,
    /// Only input, or only output.
    #[param(value_type = Option<Direction>)]
    pub direction: Option<Direction>,
    /// Only records of streams of this name.
    pub stream: Option<String>,
    /// Only records of this correlation id.
    pub correlation_id: Option<String>,
}
