//! The worker protocol: JSON bodies between a worker and the control plane.
//!
//! Up, the worker posts under `/worker/v1`. Down, the control plane calls the worker over the connection that the worker
//! opened. Everything the control plane pushes is a snapshot (an [`Assignment`]): losing, doubling or reordering one
//! does no harm. Everything the worker posts carries the epoch of its lease and may be posted again.

pub mod files;

use std::collections::BTreeMap;

use helmr_domain::{
    CheckpointId, DeploymentId, MaterializationId, ProcessId, RunId, SessionId, VersionId, WaitId,
    WorkerId, WorkspaceId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The protocol version that this build speaks. A deployment names the one it requires.
pub const PROTOCOL: u32 = 1;

/// `Upgrade` token of `GET /worker/v1/connect`.
pub const UPGRADE: &str = "helmr-worker/1";

/// `POST /worker/v1/register`, authorised by a group's enrolment token or, again, by the worker's own credential.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Register {
    /// Set when the worker was registered before.
    pub worker_id: Option<WorkerId>,
    pub name: String,
    pub capacity: Capacity,
    pub labels: Vec<String>,
    pub drivers: Vec<DriverReport>,
    /// Protocol versions, the active one first.
    pub protocols: Vec<u32>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Registered {
    pub worker_id: WorkerId,
    /// Secret; absent when the worker already has one.
    pub credential: Option<String>,
    pub heartbeat_interval_ms: u64,
    pub lease_ttl_ms: u64,
    pub worker_lost_after_ms: u64,
    /// Base64 of the installation's key, for base images and runtimes. Secret.
    pub installation_key: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    pub cpu_millis: u64,
    pub memory_mib: u64,
    pub disk_mib: u64,
    pub slots: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverReport {
    /// `gvisor`, `microvm` or `scripted`.
    pub name: String,
    /// Names the exact runtime that makes and reads checkpoints.
    pub identity: String,
    pub memory_checkpoint: bool,
    pub hardware_isolation: bool,
    pub network_policy: bool,
    pub hard_disk_limit: bool,
}

/// `POST /worker/v1/heartbeat`: renews leases and tells what is free.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Heartbeat {
    pub free: Capacity,
    pub leases: Vec<HeldLease>,
    /// The worker takes no new machines and is parking those it has.
    pub draining: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLease {
    pub workspace_id: WorkspaceId,
    pub epoch: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HeartbeatAnswer {
    pub renewed: Vec<HeldLease>,
    /// Not this worker's any more: their machines must end without another write.
    pub lost: Vec<WorkspaceId>,
}

/// Everything a worker must know of one leased workspace. Pushed whole whenever something in it changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Assignment {
    pub workspace_id: WorkspaceId,
    /// Grows with every change; a lower or equal one is old news.
    pub revision: u64,
    pub epoch: u64,
    pub machine: MachineAssignment,
    pub runs: Vec<RunAssignment>,
    #[serde(default)]
    pub execs: Vec<ExecAssignment>,
    /// Versions that people asked for: the files are captured once for all of them, and told with these ids.
    #[serde(default)]
    pub captures: Vec<VersionId>,
    /// Copies of the machine to make, each once.
    #[serde(default)]
    pub forks: Vec<ForkOrder>,
    /// Base64 of the environment's data key, with which everything that leaves the worker is sealed. Secret.
    pub data_key: String,
    /// After how long without runs and activity the machine stops.
    pub auto_stop_after_ms: u64,
    /// How long from when this was written the machine stays live although nothing in it runs.
    #[serde(default)]
    pub keep_ms: u64,
    pub want: Want,
    /// It was told to end: nothing that lives in it is kept.
    #[serde(default)]
    pub ending: bool,
}

/// What the control plane wants of a leased machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    /// Live, with the runs given; the worker parks and stops it by its own rules.
    Live,
    /// Stopped as soon as no run is left: its room is needed elsewhere.
    Stop,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MachineAssignment {
    pub materialization_id: MaterializationId,
    pub driver: String,
    /// `sha256:…` of the EROFS root image.
    pub image_digest: String,
    /// Where the image's bytes are: a blob under the installation key.
    pub image_manifest: String,
    pub mount_path: String,
    pub cpu_millis: u32,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
    pub processes: u32,
    /// `NAME=value` from image and sandbox.
    pub env: Vec<String>,
    /// Of the image; empty: root.
    pub user: String,
    pub origin: Origin,
    /// Of a machine that is a copy: what runs are called inside, and which run is meant; null: nobody's any more.
    #[serde(default)]
    pub names: BTreeMap<String, Option<RunId>>,
}

/// A copy of a live machine: memory and files as they stand, as a parked machine of another workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkOrder {
    pub workspace_id: WorkspaceId,
    pub materialization_id: MaterializationId,
    pub checkpoint_id: CheckpointId,
}

/// `…/forked`: a copy's memory and files are durable, and the machine stands still until this is answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Forked {
    pub workspace_id: WorkspaceId,
    #[serde(rename = "copy_id")]
    pub materialization_id: MaterializationId,
    pub checkpoint_id: CheckpointId,
    pub checkpoint_size_bytes: u64,
    pub runtime_identity: String,
    pub version: CapturedVersion,
    pub timings_ms: Timings,
}

/// `…/fork_failed`: there is no copy, and nothing of it is left.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ForkFailed {
    pub workspace_id: WorkspaceId,
    pub message: String,
}

/// `POST /worker/v1/forks/settle`: whether a copy that was found was committed. If it was not, it never will be.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct SettleFork {
    pub materialization_id: MaterializationId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkSettled {
    pub made: bool,
}

/// What a machine comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    /// A new workspace: what the image holds at the mount path.
    Seed,
    /// The files of a version, memory anew.
    Version {
        version_id: VersionId,
        manifest: String,
    },
    /// A parked machine: its memory, on the files as they were captured with it.
    Checkpoint {
        checkpoint_id: CheckpointId,
        version_id: VersionId,
        manifest: String,
    },
}

/// A run that belongs in the machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunAssignment {
    pub run_id: RunId,
    pub session_id: SessionId,
    pub attempt_number: u32,
    pub deployment_id: DeploymentId,
    /// Hex SHA-256 of the bundle archive.
    pub bundle_sha256: String,
    /// Where the archive's bytes are: a blob under the environment's key.
    pub bundle_manifest: String,
    /// Whether task code was already started, as far as the control plane knows.
    pub started: bool,
    /// How long a wait stays hot before its machine parks, unless the wait says otherwise.
    pub hot_window_ms: u64,
    /// The run must end: its signal aborts at once, and after the grace its processes are killed.
    pub stop: Option<StopOrder>,
    /// Decided and not yet delivered.
    pub outcomes: Vec<DecidedOutcome>,
    /// The blocking wait the run is in, if any: with it and without an outcome the run is idle.
    pub waiting: Option<PendingWait>,
}

/// An exec, or a PTY, that belongs in the machine.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecAssignment {
    pub exec_id: ProcessId,
    /// None at all: a login shell, with a terminal.
    pub command: Vec<String>,
    /// `None`: where the workspace is mounted.
    pub cwd: Option<String>,
    /// `None`: that of the image.
    pub user: Option<String>,
    /// `NAME=value`. Secret.
    pub env: Vec<String>,
    /// Whether its process runs, as far as the control plane knows.
    pub started: bool,
    /// Those it is to be sent, in order; the first few may have been sent before.
    pub signals: Vec<i32>,
    /// Bytes of input that there are, and whether more can come.
    pub stdin_end: u64,
    pub stdin_closed: bool,
    /// Of a PTY.
    #[serde(default)]
    pub terminal: Option<TerminalAssignment>,
}

/// A PTY's terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalAssignment {
    pub cols: u16,
    pub rows: u16,
    /// How many times a size was set; the machine is told of each once.
    pub resizes: u64,
    /// How long nothing is typed or printed before it is idle.
    pub idle_after_ms: u64,
}

impl std::fmt::Debug for ExecAssignment {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("ExecAssignment")
            .field("exec_id", &self.exec_id)
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopOrder {
    /// `cancelled`, `max_duration`, `session_cancelled` or `session_expired`.
    pub reason: String,
    pub message: String,
    /// How long after the assignment was written the processes are killed.
    pub kill_in_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecidedOutcome {
    pub wait_id: WaitId,
    pub call_no: u64,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingWait {
    pub wait_id: WaitId,
    pub call_no: u64,
    pub hot_window_ms: u64,
    /// How long the run had been idle when the assignment was written.
    pub idle_for_ms: u64,
}

/// How a wait ends, in the form the task sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outcome {
    Ok { ok: True, data: Value },
    Err { ok: False, error: OutcomeError },
}

impl Outcome {
    #[must_use]
    pub fn ok(data: Value) -> Self {
        Self::Ok { ok: True, data }
    }

    #[must_use]
    pub fn err(code: &str, message: String) -> Self {
        Self::Err {
            ok: False,
            error: OutcomeError {
                code: code.to_owned(),
                message,
            },
        }
    }
}

/// The JSON literal `true`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "bool", into = "bool")]
pub struct True;

/// The JSON literal `false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "bool", into = "bool")]
pub struct False;

impl From<True> for bool {
    fn from(_: True) -> Self {
        true
    }
}

impl From<False> for bool {
    fn from(_: False) -> Self {
        false
    }
}

impl TryFrom<bool> for True {
    type Error = &'static str;

    fn try_from(value: bool) -> Result<Self, Self::Error> {
        if value {
            Ok(Self)
        } else {
            Err("expected true")
        }
    }
}

impl TryFrom<bool> for False {
    type Error = &'static str;

    fn try_from(value: bool) -> Result<Self, Self::Error> {
        if value {
            Err("expected false")
        } else {
            Ok(Self)
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeError {
    /// `timeout`, `cancelled`, `expired`, `forked`.
    pub code: String,
    pub message: String,
}

/// The body of every report on a machine: `POST /worker/v1/machines/{workspace_id}/…`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MachineReport<T> {
    pub epoch: u64,
    pub materialization_id: MaterializationId,
    #[serde(flatten)]
    pub report: T,
}

/// `…/live`: started or restored. `…/parking`: about to be paused (refused with `machine_busy` while an outcome is
/// undelivered or a run is not waiting; a worker that drains parks from `live` then). `…/unparked`: live again after a
/// park that was given up or failed. `…/stopping`: about to end for lack of work (refused with `machine_busy` while it
/// has a run).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Nothing {}

/// `…/parked`: the checkpoint and the files are durable; the machine is about to be killed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Parked {
    pub checkpoint_id: CheckpointId,
    pub checkpoint_size_bytes: u64,
    pub runtime_identity: String,
    pub version: CapturedVersion,
    /// A drain's park: runs that were running stay so, their placement `moving`, and are woken unasked.
    pub draining: bool,
    /// How the time went, for people: milliseconds by step.
    pub timings_ms: Timings,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Timings {
    pub pause: u64,
    pub capture: u64,
    pub checkpoint: u64,
}

/// `…/stopped` and `…/version`: the files as captured; absent if nothing changed since the last version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Files {
    pub version: Option<CapturedVersion>,
    /// Of `…/version`: the requests for which the files were captured.
    #[serde(default)]
    pub asked: Vec<VersionId>,
}

/// `POST /v1/workspaces/{workspace_id}/capture`, of the control plane to a worker: stores the files as they are on its
/// disk now, and makes no version of them. A machine in which they are at work goes on meanwhile.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CaptureFiles {
    /// As in an assignment. Secret.
    pub data_key: String,
}

/// Answer of `…/capture`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FilesCaptured {
    pub manifest: String,
    pub size_bytes: u64,
    pub changed_bytes: u64,
    /// Whether they were written to from outside while the machine was parked.
    pub edited: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedVersion {
    /// Made by the worker, so that a repeated report is the same version.
    pub version_id: VersionId,
    pub manifest: String,
    pub size_bytes: u64,
    pub changed_bytes: u64,
}

/// `…/failed`: the machine could not be made or is gone, and nothing of it is left on the worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MachineFailed {
    /// `image_failed`, `sandbox_failed`, `out_of_memory`, `disk_full`, `restore_failed` or `machine_died`.
    pub kind: String,
    pub message: String,
    pub version: Option<CapturedVersion>,
    /// A parked checkpoint is still usable and a later wake may try again.
    pub checkpoint_kept: bool,
}

/// The body of every report on a run: `POST /worker/v1/runs/{run_id}/…`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunReport<T> {
    pub workspace_id: WorkspaceId,
    pub epoch: u64,
    pub attempt_number: u32,
    #[serde(flatten)]
    pub report: T,
}

/// The body of every report on an exec: `POST /worker/v1/execs/{exec_id}/…`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExecReport<T> {
    pub workspace_id: WorkspaceId,
    pub epoch: u64,
    #[serde(flatten)]
    pub report: T,
}

/// `…/output`: what the process printed, in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExecOutput {
    pub segments: Vec<OutputSegment>,
}

/// `…/input`: asks for input from an offset on.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct WantInput {
    pub offset: u64,
}

/// Answer of `…/input`: what follows the offset, or nothing if there is no more yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExecInput {
    /// Base64, at most 256 KiB of bytes.
    pub data: String,
    /// Nothing comes behind it.
    pub end: bool,
}

/// `…/taken`: how much of its input the process has taken.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct InputTaken {
    pub offset: u64,
    /// Nobody reads it any more.
    pub closed: bool,
}

/// `…/rests`: the terminal of a PTY has become idle, or is so no longer.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct TerminalRests {
    pub idle: bool,
}

/// `…/ended`: the process is gone, and everything that it printed was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecEnded {
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    /// Why it could not be started.
    pub error: Option<String>,
}

/// Answer of `…/input`: the first line of the runtime's channel, whole.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunInput {
    pub init: Value,
    /// The Node arguments after `node`, relative to the bundle directory, for example `["runtime.mjs"]`.
    pub argv: Vec<String>,
    /// Secret environment, placed only in this run's process. `NAME=value`.
    pub env: Vec<String>,
}

/// `…/calls`: the task asks for something. Repeating a call gives the first answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    pub call_no: u64,
    pub op: String,
    pub args: Value,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CallAnswer {
    Answered {
        answer: Value,
    },
    /// A refusal for the task, not a failure of the worker.
    Refused {
        code: String,
        message: String,
        details: Option<Value>,
    },
    /// A wait: its outcome comes with an assignment.
    Waiting {
        wait_id: WaitId,
        hot_window_ms: u64,
        blocking: bool,
    },
}

/// `…/delivered`: the guest has the outcome.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Delivered {
    pub wait_id: WaitId,
}

/// `…/output`: what the process printed and logged, in order. Repeated bytes and entries are recognised by offset and index.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Output {
    pub segments: Vec<OutputSegment>,
    pub entries: Vec<LogEntry>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OutputSegment {
    /// `stdout` or `stderr`.
    pub stream: String,
    pub offset: u64,
    /// Base64.
    pub data: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogEntry {
    /// Grows with the entries of this attempt, with gaps; an entry at or below the highest one stored is a repetition.
    pub index: u64,
    pub level: String,
    pub message: String,
    pub fields: Option<Value>,
    pub at_us: i64,
}

/// `…/finished`: the task's end. The first one told counts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Finish {
    #[serde(flatten)]
    pub finished: Finished,
    /// Calls whose outcome reached the process and was not taken by the task: records in them stay unread.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untaken: Vec<u64>,
}

/// How a task ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Finished {
    Succeeded {
        output: Option<Value>,
    },
    Failed {
        kind: String,
        name: Option<String>,
        message: String,
        stack: Option<String>,
        exit_code: Option<i32>,
    },
    /// Ended after a stop order.
    Stopped {
        exit_code: Option<i32>,
    },
}

/// `POST /worker/v1/seeds/find`: what an image holds at a mount path, captured once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FindSeed {
    pub workspace_id: WorkspaceId,
    pub epoch: u64,
    pub image_digest: String,
    pub mount_path: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seed {
    pub manifest: Option<String>,
}

/// `POST /worker/v1/seeds/put`. The first one put is kept and answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PutSeed {
    #[serde(flatten)]
    pub of: FindSeed,
    pub manifest: String,
    pub size_bytes: u64,
}

/// `POST /worker/v1/holdings`: asks what of that which lies on the worker and is used by nothing there may go.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Holdings {
    /// At most 200.
    pub workspaces: Vec<HeldFiles>,
    /// At most 200: machines of which something is left.
    pub machines: Vec<MaterializationId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldFiles {
    pub workspace_id: WorkspaceId,
    /// They may be newer than every version that the worker knows of.
    pub newer: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct HoldingsAnswer {
    /// Workspaces that are over.
    pub deleted: Vec<WorkspaceId>,
    /// Machines that are over.
    pub over: Vec<MaterializationId>,
    /// Files of machines that were lost with this worker, to be kept as versions beside.
    pub keep_beside: Vec<KeepBeside>,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct KeepBeside {
    pub workspace_id: WorkspaceId,
    /// Base64 of the environment's data key. Secret.
    pub data_key: String,
}

impl std::fmt::Debug for KeepBeside {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("KeepBeside")
            .field("workspace_id", &self.workspace_id)
            .finish_non_exhaustive()
    }
}

/// `POST /worker/v1/workspaces/{workspace_id}/beside`: files of a machine that was lost with this worker, captured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Beside {
    /// The version that they were made from.
    pub parent: Option<VersionId>,
    pub version: CapturedVersion,
}

/// `POST /v1/images/import` on the worker: turn an uploaded archive into a root image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportImage {
    /// The archive: a blob under the installation key.
    pub archive_manifest: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportedImage {
    /// `sha256:…` of the EROFS file.
    pub digest: String,
    /// The EROFS file: a blob under the installation key.
    pub manifest: String,
    pub size_bytes: u64,
    pub env: Vec<String>,
    pub workdir: String,
    pub user: String,
}
