//! What to do about a failure, where that can be said without knowing more.

use helmr_api::client::Error;
use helmr_api::error::Code;

/// Advice for a failed request, the most likely help first.
pub(crate) fn of(error: &Error) -> Vec<String> {
    let mut hints = Vec::new();
    if let Some(hint) = main(error) {
        hints.push(hint.to_owned());
    }
    if let Error::Refused { detail, .. } = error
        && let Some(id) = &detail.request_id
        && error.code() == Some("internal")
    {
        hints.push(format!("the server's log has more, under request {id}"));
    }
    hints
}

fn main(error: &Error) -> Option<&'static str> {
    match error {
        Error::Unreachable { .. } => Some("is the server running? `helmr up` starts one here"),
        Error::PlainHttp { .. } => {
            Some("use https, or set HELMR_ALLOW_PLAIN_HTTP=1 on a network you trust")
        }
        Error::InvalidUrl { .. } => Some("write it like http://127.0.0.1:4356"),
        Error::InvalidKey => Some("keys begin with hlmr_sk_; look for a stray quote or line end"),
        Error::Foreign { .. } | Error::Unreadable { .. } => Some(
            "is the address right, and is the server of this version? `helmr whoami` tells which is used",
        ),
        Error::Interrupted { .. } | Error::Closed { .. } => {
            Some("the server may have stopped; look before repeating what changes something")
        }
        Error::TimedOut { .. } => Some(
            "the server is busy or the network slow; look before repeating what changes something",
        ),
        Error::Refused { detail, .. } => of_code(Code::from_text(&detail.code)?),
        Error::Setup(_) | Error::Unwritable(_) | Error::BrokenStream { .. } => None,
    }
}

/// Advice for the codes where a person can do something that the message does not say.
fn of_code(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::Unauthenticated | Code::InvalidCredential => {
            "`helmr whoami` tells which profile or variable the key comes from"
        }
        Code::ScopeMismatch => {
            "leave --project and --environment out: the key is bound to one environment"
        }
        Code::ApiVersionUnsupported => "use the command line of the server's version",
        Code::TaskNotFound => "`helmr task list` shows the tasks of the promoted deployment",
        Code::SandboxNotFound => {
            "`helmr sandbox list` shows the sandboxes of the promoted deployment"
        }
        Code::DeploymentNotFound => {
            "`helmr deployment list` shows what was deployed; `helmr deploy` deploys"
        }
        Code::SessionNotFound => "`helmr session list` shows the sessions",
        Code::WorkspaceNotFound => "`helmr workspace list` shows the workspaces",
        Code::VersionNotFound => "`helmr workspace versions` shows the versions",
        Code::WorkspaceBusy => "wait for its runs, or add --force to cancel them",
        Code::RunNotFound => "`helmr run list` shows the runs",
        Code::TokenNotFound => "`helmr token list` shows the tokens",
        Code::PublicTokenNotFound => "`helmr public-token list` shows the public access tokens",
        Code::StreamNotFound => "`helmr session get` shows the session's streams",
        Code::SessionFingerprintMismatch => {
            "an open session has this external id with another task, workspace or payload: close it, or use another id"
        }
        Code::SessionRunActive => "wait for its run, or use `helmr session cancel`",
        Code::SessionEnded => "start a new one with `helmr session start`",
        Code::TokenCompletionConflict => "`helmr token get` shows what it was completed with",
        Code::PayloadInvalid => "`helmr task get` shows the payload's schema",
        Code::PayloadNotAccepted => "leave --payload out: the task declares none",
        Code::SecretMissing => {
            "this server cannot hold secrets yet: a task that declares one cannot start"
        }
        Code::ImageNotFound => {
            "`helmr image list` shows what is there; `helmr image import --name NAME SOURCE` adds one"
        }
        Code::ImageStepsUnsupported => {
            "build the image elsewhere and import it with `helmr image import`"
        }
        Code::WorkerUnavailable => {
            "`helmr worker list` shows the workers; `helmr doctor` tells what one lacks"
        }
        Code::DeploymentNotReady => "`helmr deployment get` shows how far it is",
        _ => return None,
    })
}
