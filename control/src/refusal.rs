//! From the store's failures and the domain's refusals to codes and words.

use helmr_api::error::Code;
use helmr_domain::Refusal;
use helmr_store::Error;
use serde_json::json;

use crate::ApiError;

/// Most runs that a refusal names.
const NAMED_RUNS: usize = 100;

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => refusal.into(),
            Error::Stale => Refusal::StaleLease.into(),
            Error::NotFound(object) => not_found(object),
            Error::Conflict(what) => Self::new(Code::InvalidState, format!("the {what} is taken")),
            Error::Unavailable(cause) => Self::unavailable(
                Code::StoreUnavailable,
                "the store cannot be reached; nothing was changed",
                &cause,
            ),
            Error::Database(_)
            | Error::Corrupt { .. }
            | Error::Panicked
            | Error::Blocked
            | Error::Migration { .. } => Self::internal(&error),
        }
    }
}

/// The refusal of a look-up that found nothing in the caller's scope.
pub(crate) fn not_found(object: &'static str) -> ApiError {
    let code = match object {
        "task" => Code::TaskNotFound,
        "sandbox" => Code::SandboxNotFound,
        "deployment" => Code::DeploymentNotFound,
        "session" => Code::SessionNotFound,
        "run" => Code::RunNotFound,
        "token" => Code::TokenNotFound,
        "stream" => Code::StreamNotFound,
        "exec" => Code::ExecNotFound,
        "pty" => Code::PtyNotFound,
        "workspace" => Code::WorkspaceNotFound,
        "version" => Code::VersionNotFound,
        "public access token" => Code::PublicTokenNotFound,
        "blob" => Code::UploadNotFound,
        "image" => Code::ImageNotFound,
        "worker" => Code::WorkerNotFound,
        "wait" => Code::WaitNotFound,
        other => return ApiError::internal_text(format!("a look-up of a {other} found nothing")),
    };
    let named = if object == "pty" { "PTY" } else { object };
    ApiError::new(code, format!("there is no such {named}"))
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let (code, details) = match &refusal {
            Refusal::StaleLease => (Code::StaleLease, None),
            Refusal::TokenExpired => (Code::TokenExpired, None),
            Refusal::TokenCompletionConflict => (Code::TokenCompletionConflict, None),
            Refusal::TokenCancelled => (Code::TokenCancelled, None),
            Refusal::TokenCompleted => (Code::TokenCompleted, None),
            Refusal::SessionFingerprintMismatch => (Code::SessionFingerprintMismatch, None),
            Refusal::SessionRunActive { run_id } => {
                (Code::SessionRunActive, Some(json!({ "run_id": run_id })))
            }
            Refusal::SessionNotOpen => (Code::SessionEnded, None),
            Refusal::ConcurrentWait => (Code::ConcurrentWait, None),
            Refusal::RunStopping => (Code::RunStopping, None),
            Refusal::RunFinished => (Code::RunFinished, None),
            Refusal::RunNotFinished => (Code::RunNotFinished, None),
            Refusal::RunNotInState { .. }
            | Refusal::MachineNotInState { .. }
            | Refusal::WaitOver => (Code::InvalidState, None),
            Refusal::MachineBusy => (Code::MachineBusy, None),
            Refusal::WorkspaceIncompatible { differs } => (
                Code::WorkspaceIncompatible,
                Some(json!({ "differs": differs })),
            ),
            Refusal::WorkspaceNotActive { state } => {
                (Code::WorkspaceNotActive, Some(json!({ "state": state })))
            }
            Refusal::ExecInputOutOfStep { expected } => (
                Code::ExecInputOutOfStep,
                Some(json!({ "expected_offset": expected })),
            ),
            Refusal::ExecInputFull => (Code::ExecInputFull, None),
            Refusal::ExecInputClosed => (Code::ExecInputClosed, None),
            Refusal::PtyEnded => (Code::PtyEnded, None),
            Refusal::WorkspaceBusy { run_ids } => {
                let named: Vec<_> = run_ids.iter().take(NAMED_RUNS).collect();
                let details = json!({ "run_ids": named, "runs": run_ids.len() });
                (Code::WorkspaceBusy, Some(details))
            }
            Refusal::WorkspaceEmpty => (Code::WorkspaceEmpty, None),
            Refusal::WorkspaceNotStopped { state } => {
                (Code::WorkspaceNotStopped, Some(json!({ "state": state })))
            }
            Refusal::ExternalIdTaken { workspace_id } => (
                Code::ExternalIdTaken,
                Some(json!({ "workspace_id": workspace_id })),
            ),
            Refusal::NothingToFork { .. } => (Code::ForkUnavailable, None),
            Refusal::ForkTooLarge { records, limit } => (
                Code::ForkUnavailable,
                Some(json!({ "records": records, "limit": limit })),
            ),
            Refusal::ForkOver => (Code::InvalidState, None),
            Refusal::NoDeployment => (Code::TaskNotFound, None),
            Refusal::DeploymentNotReady => (Code::DeploymentNotReady, None),
            Refusal::SecretMissing { names } => {
                (Code::SecretMissing, Some(json!({ "names": names })))
            }
            Refusal::StreamUnknown { stream } => {
                (Code::StreamNotFound, Some(json!({ "stream": stream })))
            }
            Refusal::RecordKeyReused | Refusal::IdempotencyKeyReused => {
                (Code::IdempotencyKeyReused, None)
            }
            Refusal::MetadataTooLarge { limit_bytes } => (
                Code::MetadataTooLarge,
                Some(json!({ "limit_bytes": limit_bytes })),
            ),
            Refusal::MetadataNotNumber { key } => {
                (Code::MetadataNotNumber, Some(json!({ "key": key })))
            }
            Refusal::QuotaExceeded { quota, limit, used } => (
                Code::QuotaExceeded,
                Some(json!({ "quota": quota.as_str(), "limit": limit, "used": used })),
            ),
            Refusal::PublicTokenSpent => (Code::PublicTokenSpent, None),
            Refusal::LogOverBudget { left } => {
                (Code::InvalidState, Some(json!({ "left_bytes": left })))
            }
            Refusal::LogOutOfStep { expected } => {
                (Code::InvalidState, Some(json!({ "expected": expected })))
            }
        };
        let error = Self::new(code, refusal.to_string());
        match details {
            Some(details) => error.with_details(details),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_inside_says_nothing_of_its_cause() {
        let error = ApiError::from(Error::Corrupt {
            object: "runs",
            column: "state",
        });
        assert_eq!(error.code(), Code::Internal);
        assert!(!error.message().contains("runs") && error.details().is_none());
        assert!(error.cause().is_some_and(|cause| cause.contains("runs")));
    }

    #[test]
    fn a_refusal_keeps_what_a_program_needs() {
        let error = ApiError::from(Error::Refused(Refusal::SecretMissing {
            names: vec!["KEY".to_owned()],
        }));
        assert_eq!(error.code(), Code::SecretMissing);
        assert_eq!(error.details(), Some(&json!({ "names": ["KEY"] })));
    }
}
