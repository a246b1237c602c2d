//! Limits and defaults of the product, each given once.

use crate::Duration;

pub const TOKEN_TIMEOUT: Duration = Duration::from_secs(7 * 86_400);
pub const HOT_WINDOW: Duration = Duration::from_secs(2);
pub const HOT_WINDOW_LONGEST: Duration = Duration::from_secs(600);
pub const MAX_DURATION: Duration = Duration::from_secs(900);
pub const MAX_DURATION_SHORTEST: Duration = Duration::from_secs(5);
pub const MAX_DURATION_LONGEST: Duration = Duration::from_secs(86_400);
/// Of each output stream of an exec, the newest.
pub const EXEC_WINDOW_BYTES: u64 = 64 * 1024 * 1024;
/// Of an exec's input, what has yet to be taken.
pub const EXEC_INPUT_BYTES: u64 = 4 * 1024 * 1024;
/// Nothing was typed or printed in a PTY for so long: it is idle, if its shell is in the foreground.
pub const PTY_IDLE_AFTER: Duration = Duration::from_secs(60);
/// Between the abort of a task's signal and the kill of its processes.
pub const STOP_GRACE: Duration = Duration::from_secs(10);
/// How long after the kill was due a worker may take to tell of it, before the run ends without its word.
pub const STOP_REPORT_SLACK: Duration = Duration::from_secs(5);
/// How long a parked run may take to wake for its grace.
pub const STOP_WAKE_LIMIT: Duration = Duration::from_secs(60);
pub const AUTO_STOP_AFTER: Duration = Duration::from_secs(300);
/// The longest a workspace may ask for instead.
pub const AUTO_STOP_LONGEST: Duration = Duration::from_secs(30 * 86_400);
/// Of each workspace, unless its environment says otherwise: everything that is younger than this, and the last few.
pub const KEEP_VERSIONS_FOR: Duration = Duration::from_secs(30 * 86_400);
pub const KEEP_LAST_VERSIONS: u32 = 100;
/// Records of all its sessions that a live fork takes along.
pub const FORK_RECORDS: u64 = 50_000;
pub const WORKER_LOST_AFTER: Duration = Duration::from_secs(120);
/// CPU is a quota: a worker takes this many times what it has.
pub const CPU_OVERCOMMIT: u64 = 8;
/// A worker whose disk has less free is given no new machines.
pub const DISK_RESERVE_MIB: u64 = 1024;
/// Dispatches of a run whose machine dies before task code starts, before that is taken for the sandbox's fault.
pub const DISPATCHES_BEFORE_START: u32 = 5;
/// Restores of one checkpoint that fail, before it is taken for unusable.
pub const RESTORES: u32 = 5;
/// Bytes of stdout, stderr and log entries that are kept of a run, together.
pub const LOG_KEPT_BYTES: u64 = 64 * 1024 * 1024;
/// What each log entry counts beside its text.
pub const LOG_ENTRY_BYTES: u64 = 100;
pub const RUN_METADATA_BYTES: usize = 256 * 1024;
/// Of data that an event repeats; more is left out.
pub const EVENT_DATA_BYTES: usize = 64 * 1024;
/// Of the whole metadata in an event that tells of a change to it; more is left out.
pub const EVENT_METADATA_BYTES: usize = 16 * 1024;
pub const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(30 * 86_400);
pub const IDEMPOTENCY_SECRETS_KEPT: Duration = Duration::from_secs(86_400);
