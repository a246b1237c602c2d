//! Refusals on the wire: a code, a message for people, details for programs.
//!
//! Every code is listed here once, with its kind; `docs/errors/` has a page for each.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// Stable; see `docs/errors/`.
    pub code: String,
    /// For people; may change.
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<serde_json::Value>,
    /// Names the request in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// The family of a refusal. Decides the HTTP status and a command line's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    InvalidRequest,
    Unauthenticated,
    PermissionDenied,
    NotFound,
    Conflict,
    Gone,
    TooLarge,
    Unprocessable,
    RateLimited,
    Internal,
    Unavailable,
}

impl Kind {
    /// Every kind, in order of status.
    pub const ALL: [Self; 11] = [
        Self::InvalidRequest,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::NotFound,
        Self::Conflict,
        Self::Gone,
        Self::TooLarge,
        Self::Unprocessable,
        Self::RateLimited,
        Self::Internal,
        Self::Unavailable,
    ];

    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::Gone => 410,
            Self::TooLarge => 413,
            Self::Unprocessable => 422,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }

    /// The kind that a status stands for; `None` for a success or a status the API never gives.
    #[must_use]
    pub fn of_status(status: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.status() == status)
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $kind:ident;)*) => {
        /// Why a request was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As it stands on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            #[must_use]
            pub const fn kind(self) -> Kind {
                match self {
                    $(Self::$name => Kind::$kind,)*
                }
            }

            /// `None` for a code of another build.
            #[must_use]
            pub fn from_text(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str() == text)
            }
        }
    };
}

codes! {
    /// The body is not JSON.
    InvalidJson = "invalid_json", InvalidRequest;
    /// The body is JSON of another shape than the route takes.
    InvalidBody = "invalid_body", InvalidRequest;
    /// The body has a field that the route does not know.
    UnknownField = "unknown_field", InvalidRequest;
    InvalidContentType = "invalid_content_type", InvalidRequest;
    InvalidQuery = "invalid_query", InvalidRequest;
    InvalidPath = "invalid_path", InvalidRequest;
    InvalidCursor = "invalid_cursor", InvalidRequest;
    InvalidHeader = "invalid_header", InvalidRequest;
    /// The range begins behind the end of the file.
    RangeNotSatisfiable = "range_not_satisfiable", InvalidRequest;
    /// A glob or a regular expression that is none.
    PatternInvalid = "pattern_invalid", InvalidRequest;
    ApiVersionUnsupported = "api_version_unsupported", InvalidRequest;
    /// A value breaks a limit that the contract states.
    LimitExceeded = "limit_exceeded", InvalidRequest;
    MaxDurationOutOfRange = "max_duration_out_of_range", InvalidRequest;
    UpgradeRequired = "upgrade_required", InvalidRequest;

    /// No credential was sent.
    Unauthenticated = "unauthenticated", Unauthenticated;
    /// The credential is unknown, revoked or expired.
    InvalidCredential = "invalid_credential", Unauthenticated;

    PermissionDenied = "permission_denied", PermissionDenied;
    /// `project_id` or `environment_id` is not the one the key is bound to.
    ScopeMismatch = "scope_mismatch", PermissionDenied;
    OriginNotAllowed = "origin_not_allowed", PermissionDenied;
    /// The public access token has no uses left.
    PublicTokenSpent = "public_token_spent", PermissionDenied;

    RouteNotFound = "route_not_found", NotFound;
    TaskNotFound = "task_not_found", NotFound;
    SandboxNotFound = "sandbox_not_found", NotFound;
    DeploymentNotFound = "deployment_not_found", NotFound;
    SessionNotFound = "session_not_found", NotFound;
    RunNotFound = "run_not_found", NotFound;
    TokenNotFound = "token_not_found", NotFound;
    StreamNotFound = "stream_not_found", NotFound;
    WorkspaceNotFound = "workspace_not_found", NotFound;
    ExecNotFound = "exec_not_found", NotFound;
    PtyNotFound = "pty_not_found", NotFound;
    VersionNotFound = "version_not_found", NotFound;
    FileNotFound = "file_not_found", NotFound;
    PublicTokenNotFound = "public_token_not_found", NotFound;
    UploadNotFound = "upload_not_found", NotFound;
    WorkerNotFound = "worker_not_found", NotFound;
    WaitNotFound = "wait_not_found", NotFound;

    IdempotencyKeyReused = "idempotency_key_reused", Conflict;
    SessionFingerprintMismatch = "session_fingerprint_mismatch", Conflict;
    SessionRunActive = "session_run_active", Conflict;
    /// The session is closed, cancelled or expired.
    SessionEnded = "session_ended", Conflict;
    RunFinished = "run_finished", Conflict;
    /// The exec has ended, its process reads nothing any more, or its input was closed.
    ExecInputClosed = "exec_input_closed", Conflict;
    /// As much as may wait has yet to be taken.
    ExecInputFull = "exec_input_full", Conflict;
    /// The write begins elsewhere than where the last one ended.
    ExecInputOutOfStep = "exec_input_out_of_step", Conflict;
    /// It takes no more input and no other size.
    PtyEnded = "pty_ended", Conflict;
    /// As much as may wait has yet to be taken.
    PtyInputFull = "pty_input_full", Conflict;
    /// The write begins elsewhere than where the last one ended.
    PtyInputOutOfStep = "pty_input_out_of_step", Conflict;
    RunNotFinished = "run_not_finished", Conflict;
    TokenCompletionConflict = "token_completion_conflict", Conflict;
    /// A completed token cannot be cancelled.
    TokenCompleted = "token_completed", Conflict;
    DeploymentNotReady = "deployment_not_ready", Conflict;
    WorkspaceIncompatible = "workspace_incompatible", Conflict;
    WorkspaceBusy = "workspace_busy", Conflict;
    /// Nothing has run in it, so it has no files yet.
    WorkspaceEmpty = "workspace_empty", Conflict;
    /// It has a machine.
    WorkspaceNotStopped = "workspace_not_stopped", Conflict;
    /// An archive holds more than it may.
    ArchiveTooLarge = "archive_too_large", TooLarge;
    /// An archive is torn, or holds what cannot be part of a version.
    ArchiveInvalid = "archive_invalid", Unprocessable;
    /// Nobody could make the version that was asked for.
    CaptureFailed = "capture_failed", Conflict;
    /// Another workspace has the external id.
    ExternalIdTaken = "external_id_taken", Conflict;
    /// The worker's lease is not the current one: nothing was changed.
    StaleLease = "stale_lease", Conflict;
    /// The machine has work, so it may not park or stop now.
    MachineBusy = "machine_busy", Conflict;
    ConcurrentWait = "concurrent_wait", Conflict;
    /// The run is told to stop: it begins nothing more.
    RunStopping = "run_stopping", Conflict;
    WorkspaceNotActive = "workspace_not_active", Conflict;
    /// The environment holds as much as it may.
    QuotaExceeded = "quota_exceeded", Conflict;
    FileExists = "file_exists", Conflict;
    /// The file is another than the one that the condition names.
    FileChanged = "file_changed", Conflict;
    /// A directory where a file is wanted, or the other way round.
    FileWrongKind = "file_wrong_kind", Conflict;
    DirectoryNotEmpty = "directory_not_empty", Conflict;
    /// A link on the way leads out of the workspace, or in a circle.
    FileLinkOutside = "file_link_outside", Conflict;
    /// Whoever works in the workspace changes the file faster than it can be looked at.
    FileUnstable = "file_unstable", Conflict;
    /// The workspace's disk is full.
    DiskFull = "disk_full", Conflict;
    /// There is no machine that could be forked, or more in it than a fork takes along.
    ForkUnavailable = "fork_unavailable", Conflict;
    /// The state of the object does not allow it.
    InvalidState = "invalid_state", Conflict;

    TokenExpired = "token_expired", Gone;
    TokenCancelled = "token_cancelled", Gone;
    CursorExpired = "cursor_expired", Gone;

    BodyTooLarge = "body_too_large", TooLarge;
    PayloadTooLarge = "payload_too_large", TooLarge;
    RecordTooLarge = "record_too_large", TooLarge;
    MetadataTooLarge = "metadata_too_large", TooLarge;
    OutputTooLarge = "output_too_large", TooLarge;
    UploadTooLarge = "upload_too_large", TooLarge;

    PayloadInvalid = "payload_invalid", Unprocessable;
    PayloadNotAccepted = "payload_not_accepted", Unprocessable;
    /// A stream record does not match the stream's schema.
    RecordInvalid = "record_invalid", Unprocessable;
    SecretMissing = "secret_missing", Unprocessable;
    /// `metadata.increment` on a key that holds something else.
    MetadataNotNumber = "metadata_not_number", Unprocessable;
    DeploymentInvalid = "deployment_invalid", Unprocessable;
    DuplicateId = "duplicate_id", Unprocessable;
    InvalidId = "invalid_id", Unprocessable;
    SchemaInvalid = "schema_invalid", Unprocessable;
    ImageStepsUnsupported = "image_steps_unsupported", Unprocessable;
    ImageNotFound = "image_not_found", Unprocessable;
    ImageInvalid = "image_invalid", Unprocessable;
    UploadMismatch = "upload_mismatch", Unprocessable;
    /// The task asked its runtime for something that this server does not know.
    UnknownOperation = "unknown_operation", Unprocessable;
    ProtocolUnsupported = "protocol_unsupported", Unprocessable;

    Internal = "internal", Internal;

    StoreUnavailable = "store_unavailable", Unavailable;
    /// No connected worker can do it.
    WorkerUnavailable = "worker_unavailable", Unavailable;
    /// A version is still being made.
    CaptureUnfinished = "capture_unfinished", Unavailable;
    /// The workspace's files were on their way to another place: nothing was changed.
    FilesMoving = "files_moving", Unavailable;
    /// Its machine did not become live in time, or could not be made.
    WorkspaceNotLive = "workspace_not_live", Unavailable;
    /// The machine could not be copied.
    ForkFailed = "fork_failed", Unavailable;
    ShuttingDown = "shutting_down", Unavailable;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_and_has_one_name() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        for code in Code::ALL {
            assert_eq!(Code::from_text(code.as_str()), Some(*code));
        }
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_status_names_one_kind() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of_status(kind.status()), Some(kind));
        }
        assert_eq!(Kind::of_status(200), None);
    }
}
