//! PTYs: terminals in a workspace's machine, as durable handles.

use std::collections::BTreeMap;

use helmr_domain::{PtyId, WorkspaceId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::execs::{ExecInput, ExecOutput, ExecState};
use super::runs::Encoding;
use super::value::Time;
use crate::error::ErrorDetail;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Pty {
    #[schema(value_type = String, example = "pty_01k2m3n4p5q6r7s8t9v0w1x2y3")]
    pub id: PtyId,
    #[schema(value_type = String)]
    pub workspace_id: WorkspaceId,
    /// Null: the user's login shell.
    pub command: Option<Vec<String>>,
    /// Null: where the workspace is mounted.
    pub cwd: Option<String>,
    /// Null: that of the image.
    pub user: Option<String>,
    /// Names of the variables it was given. Their values are never told.
    pub env: Vec<String>,
    pub cols: u16,
    pub rows: u16,
    /// That of its process.
    pub state: ExecState,
    /// Its shell is in the foreground, and nothing was typed or printed for a while: it does not keep its machine.
    pub idle: bool,
    /// It was hung up.
    pub closed: bool,
    pub exit_code: Option<i32>,
    /// Of the signal that ended it.
    pub signal: Option<i32>,
    /// Why it could not be started.
    pub error: Option<String>,
    pub output: ExecOutput,
    pub input: ExecInput,
    /// Behind all that was printed: whoever follows from there gets what is new.
    pub cursor: String,
    pub created_at: Time,
    pub started_at: Option<Time>,
    pub ended_at: Option<Time>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PtyAnswer {
    pub pty: Pty,
}

/// `POST /workspaces/{id}/ptys`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePty {
    /// The program and its arguments, no shell reads them; absent: the user's login shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Relative to where the workspace is mounted, or absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// A name in the image's passwd, or `uid:gid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// 80 unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 500)]
    pub cols: Option<u16>,
    /// 24 unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 500)]
    pub rows: Option<u16>,
}

/// Which part of a list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListPtys {
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    pub cursor: Option<String>,
}

/// `POST /ptys/{id}/input`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteInput {
    /// Of the first byte: `input.end` of the PTY. What was written before may be written again. Absent: behind whatever
    /// was typed, by anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// At most 1 MiB of bytes.
    pub data: String,
    #[serde(default = "utf8")]
    pub encoding: Encoding,
}

const fn utf8() -> Encoding {
    Encoding::Utf8
}

/// `POST /ptys/{id}/resize`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResizePty {
    #[schema(minimum = 1, maximum = 500)]
    pub cols: u16,
    #[schema(minimum = 1, maximum = 500)]
    pub rows: u16,
}

/// `POST /ptys/{id}/close`.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClosePty {}

/// Where an attached viewer begins.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AttachQuery {
    /// Offset of the first byte wanted; absent: the newest 64 KiB, from the beginning of a line.
    pub cursor: Option<String>,
}

/// A text message of the server's to an attached viewer. What the PTY prints comes in binary messages.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Told {
    /// The first message.
    Attached {
        pty: Box<Pty>,
        /// Of the first byte that follows.
        cursor: String,
    },
    /// What follows begins here: what lies before is not kept any more.
    Skipped { cursor: String },
    /// Somebody has set another size.
    Resized { cols: u16, rows: u16 },
    /// What this viewer has typed was taken, one such message for each of its binary messages. `input` is where the
    /// PTY's input ends.
    Accepted { input: u64 },
    /// The PTY has ended, and all that it printed was sent. The connection is closed.
    Ended { pty: Box<Pty> },
    /// Something that this viewer sent was refused. The connection is closed.
    Refused { error: ErrorDetail },
}

/// A text message of an attached viewer's. What it types goes in binary messages, of at most 1 MiB.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Asked {
    /// Sets the size. The same again makes programs draw anew.
    Resize { cols: u16, rows: u16 },
}
