//! The rules of a sandbox, and what it is where it says nothing.

use helmr_api::error::Code;
use helmr_api::http::deployments::{Index, IndexedImage, IndexedSandbox};
use helmr_domain::ResourceName;

use super::project::{Place, is_variable};
use crate::ApiError;

/// The base image of a task without a sandbox.
pub(super) const DEFAULT_IMAGE: &str = "node:24-bookworm-slim";
pub(super) const DEFAULT_MOUNT_PATH: &str = "/workspace";
pub(super) const DEFAULT_CPU_MILLIS: u32 = 1_000;
pub(super) const DEFAULT_MEMORY_BYTES: u64 = 1 << 30;
pub(super) const DEFAULT_DISK_BYTES: u64 = 10 << 30;
pub(super) const DEFAULT_PROCESSES: u32 = 1_024;

const CPU_MILLIS: std::ops::RangeInclusive<u32> = 100..=256_000;
const MEMORY_BYTES: std::ops::RangeInclusive<u64> = 64 << 20..=1 << 42;
const DISK_BYTES: std::ops::RangeInclusive<u64> = 64 << 20..=1 << 46;
const PROCESSES: std::ops::RangeInclusive<u32> = 16..=1 << 20;

/// Directories that a machine needs for itself: a workspace mounted there would hide them.
const RESERVED: [&str; 12] = [
    "bin", "boot", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "tmp", "usr",
];

/// A sandbox's own place is not indexed: the first task that uses it stands for it.
pub(super) fn place<'a>(index: &'a Index, sandbox: &IndexedSandbox) -> Place<'a> {
    index
        .tasks
        .iter()
        .find(|task| task.sandbox_id.as_ref() == Some(&sandbox.id))
        .map_or(Place::of(None, None), |task| {
            Place::of(Some(&task.file), Some(&task.export))
        })
}

/// Checks one sandbox.
///
/// # Errors
/// The first broken rule, naming file and export.
pub(super) fn check(sandbox: &IndexedSandbox, here: Place<'_>) -> Result<(), ApiError> {
    let id = &sandbox.id;
    let refuse = |code, why: String| Err(here.refuse(code, format!("the sandbox `{id}` {why}")));
    id.parse::<ResourceName>()
        .map_err(|error| here.refuse(Code::InvalidId, format!("the sandbox id {error}")))?;
    let Some(image) = sandbox
        .image
        .as_ref()
        .filter(|image| !image.from.trim().is_empty())
    else {
        return refuse(
            Code::DeploymentInvalid,
            "has no image: give it one with image(id).from(name)".to_owned(),
        );
    };
    let steps = unbuilt(image);
    if !steps.is_empty() {
        return refuse(
            Code::ImageStepsUnsupported,
            format!(
                "has an image with steps ({}), which this version does not build; \
                 import a finished image and use it with from(…)",
                steps.join(", ")
            ),
        );
    }
    if let Some(name) = image.env.keys().find(|name| !is_variable(name)) {
        return refuse(
            Code::DeploymentInvalid,
            format!("sets a variable `{name}`, which is not a valid name"),
        );
    }
    if image.env.values().any(|value| value.contains('\0')) {
        return refuse(
            Code::DeploymentInvalid,
            "sets a variable to a value with a NUL".to_owned(),
        );
    }
    if let Some(path) = &sandbox.workspace_path
        && let Err(why) = check_mount_path(path)
    {
        return refuse(
            Code::DeploymentInvalid,
            format!("has the workspace path `{path}`, which {why}"),
        );
    }
    check_resources(sandbox).or_else(|why| refuse(Code::DeploymentInvalid, why))
}

/// The kinds of step in an image that need a build. The bundler's own list is not relied on.
fn unbuilt(image: &IndexedImage) -> Vec<String> {
    let mut kinds: Vec<String> = image
        .steps
        .iter()
        .map(|step| step["op"].as_str().unwrap_or("unknown").to_owned())
        .filter(|op| !["workdir", "env", "user"].contains(&op.as_str()))
        .chain(image.steps_unsupported.iter().cloned())
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

fn check_mount_path(path: &str) -> Result<(), &'static str> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err("is not absolute");
    };
    if path.len() > 255 || path.contains('\0') {
        return Err("is too long or has a NUL");
    }
    if rest
        .split('/')
        .any(|part| part.is_empty() || part == "." || part == "..")
    {
        return Err("is not in its plain form (no `.`, `..`, `//` or `/` at the end)");
    }
    let mut parts = rest.split('/');
    match (parts.next(), parts.next()) {
        (Some(first), None) if RESERVED.contains(&first) => Err("belongs to the system"),
        (Some("proc" | "sys" | "dev" | "run"), _) => Err("belongs to the system"),
        _ => Ok(()),
    }
}

fn check_resources(sandbox: &IndexedSandbox) -> Result<(), String> {
    let asked = &sandbox.resources;
    if asked
        .cpu_millis
        .is_some_and(|cpu| !CPU_MILLIS.contains(&cpu))
    {
        return Err("asks for cpu outside 0.1 to 256".to_owned());
    }
    if asked
        .memory_bytes
        .is_some_and(|bytes| !MEMORY_BYTES.contains(&bytes))
    {
        return Err("asks for memory outside 64Mi to 4Ti".to_owned());
    }
    if asked
        .disk_bytes
        .is_some_and(|bytes| !DISK_BYTES.contains(&bytes))
    {
        return Err("asks for disk outside 64Mi to 64Ti".to_owned());
    }
    if asked
        .processes
        .is_some_and(|count| !PROCESSES.contains(&count))
    {
        return Err("asks for processes outside 16 to 1048576".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use serde_json::{Value, json};

    use super::*;

    fn check_one(more: &Value, expected: Option<Code>) {
        let mut sandbox = json!({"id": "s", "image": {"from": "node:24"}});
        for (name, value) in more.as_object().unwrap() {
            sandbox[name] = value.clone();
        }
        let sandbox = serde_json::from_value(sandbox).unwrap();
        let here = Place::of(Some("s.ts"), Some("sb"));
        let refused = check(&sandbox, here).err();
        assert_eq!(
            refused.as_ref().map(ApiError::code),
            expected,
            "{more} {refused:?}"
        );
        if let Some(error) = refused {
            assert!(error.message().starts_with("s.ts, export sb: "), "{error}");
        }
    }

    #[test]
    fn sandboxes_keep_to_their_rules() {
        let invalid = Some(Code::DeploymentInvalid);
        check_one(&json!({}), None);
        check_one(&json!({"workspace_path": "/home/agent/work"}), None);
        check_one(
            &json!({"image": {"from": "n", "steps": [{"op": "env", "variables": {}}]}}),
            None,
        );
        check_one(&json!({"image": null}), invalid);
        check_one(&json!({"id": "a b"}), Some(Code::InvalidId));
        check_one(&json!({"image": {"from": " "}}), invalid);
        check_one(
            &json!({"image": {"from": "n", "steps": [{"op": "run", "argv": ["ls"]}]}}),
            Some(Code::ImageStepsUnsupported),
        );
        check_one(
            &json!({"image": {"from": "n", "env": {"A=B": ""}}}),
            invalid,
        );
        for path in ["workspace", "/", "/etc", "/run/x", "/a/../b", "/a/", "//a"] {
            check_one(&json!({"workspace_path": path}), invalid);
        }
        check_one(&json!({"resources": {"cpu_millis": 1}}), invalid);
        check_one(&json!({"resources": {"memory_bytes": 1}}), invalid);
        check_one(&json!({"resources": {"processes": 1}}), invalid);
    }
}
