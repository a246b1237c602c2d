//! Runs: the first line of a task's runtime.

use helmr_api::worker;
use helmr_domain::CanonicalJson;
use helmr_store::worker::RunInput;
use serde_json::{Map, Value, json};

use crate::{ApiError, Control};

/// Of the lines between worker and runtime.
const RUNTIME_PROTOCOL: u32 = 1;
/// Where bundles are in a machine.
const BUNDLES: &str = "/run/helmr/bundles";
/// The runtime's module, in every bundle.
const RUNTIME: &str = "runtime.mjs";

/// Writes the first line of a run's channel.
///
/// # Errors
/// If the store holds a payload that is no JSON.
pub(crate) fn input(control: &Control, input: &RunInput) -> Result<worker::RunInput, ApiError> {
    let RunInput {
        run, session, task, ..
    } = input;
    let number = run.attempt_number.unwrap_or(1);
    let mut session_context = Map::new();
    session_context.insert("id".to_owned(), json!(session.id));
    if let Some(external_id) = &session.external_id {
        session_context.insert("external_id".to_owned(), json!(external_id));
    }
    let mut init = json!({
        "type": "init",
        "protocol": RUNTIME_PROTOCOL,
        "bundle": format!("{BUNDLES}/{}", input.bundle_sha256),
        "entry": { "module": task.module, "export": task.export },
        "has_payload": session.payload.is_some(),
        "context": {
            "run": { "id": run.id, "attempt_number": number, "reason": run.reason },
            "task": { "id": task.task_id },
            "session": session_context,
            "workspace": { "id": run.workspace_id, "path": input.mount_path },
            "deployment": { "id": run.deployment_id, "version": run.deployment_version },
            "attempt": { "number": number },
        },
        "metadata": run.metadata,
        "api_url": control.public_url,
    });
    if let Some(payload) = &session.payload {
        init["payload"] = parse(payload)?;
    }
    Ok(worker::RunInput {
        init,
        argv: vec![RUNTIME.to_owned()],
        env: Vec::new(),
    })
}

/// Reads JSON that the store kept.
///
/// # Errors
/// If it is none.
pub(crate) fn parse(text: &CanonicalJson) -> Result<Value, ApiError> {
    serde_json::from_str(text.as_str()).map_err(|error| ApiError::internal(&error))
}
