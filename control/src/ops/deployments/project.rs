//! The rules of a task project's index. Pure: says what is wrong and where in the source it is.

use std::collections::HashMap;

use helmr_api::error::Code;
use helmr_api::http::deployments::{Index, IndexedSecret, IndexedStream, IndexedTask};
use helmr_api::http::streams::Direction;
use helmr_domain::{QueueName, ResourceName, StreamName};
use serde_json::{Value, json};

use super::sandbox;
use crate::ApiError;
use crate::schema::Schema;

/// Tasks, sandboxes or streams of one project.
const MOST: usize = 1_000;
const MAX_DURATION_SECONDS: std::ops::RangeInclusive<u64> = 5..=86_400;

/// Where something is in the project's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) file: &'a str,
    pub(super) export: &'a str,
}

impl<'a> Place<'a> {
    pub(super) fn of(file: Option<&'a str>, export: Option<&'a str>) -> Self {
        Self {
            file: file.unwrap_or("(not exported)"),
            export: export.unwrap_or("(not exported)"),
        }
    }

    /// Refuses with `message`, naming file and export.
    pub(super) fn refuse(self, code: Code, message: impl std::fmt::Display) -> ApiError {
        let Self { file, export } = self;
        ApiError::new(code, format!("{file}, export {export}: {message}"))
            .with_details(json!({ "file": file, "export": export }))
    }
}

/// Checks everything about an index that needs no look-up.
///
/// # Errors
/// The first broken rule, naming file and export.
pub(super) fn check(index: &Index) -> Result<(), ApiError> {
    for (what, count) in [
        ("tasks", index.tasks.len()),
        ("sandboxes", index.sandboxes.len()),
        ("streams", index.streams.len()),
    ] {
        if count > MOST {
            return Err(ApiError::new(
                Code::DeploymentInvalid,
                format!("the project has {count} {what}, {MOST} at most"),
            ));
        }
    }
    if index.tasks.is_empty() {
        return Err(ApiError::new(
            Code::DeploymentInvalid,
            "the project exports no task",
        ));
    }
    no_duplicates(
        "task",
        index
            .tasks
            .iter()
            .map(|task| (task.id.as_str(), place(task))),
    )?;
    no_duplicates(
        "sandbox",
        index
            .sandboxes
            .iter()
            .map(|sandbox| (sandbox.id.as_str(), sandbox::place(index, sandbox))),
    )?;
    for sandbox in &index.sandboxes {
        sandbox::check(sandbox, sandbox::place(index, sandbox))?;
    }
    for task in &index.tasks {
        check_task(index, task)?;
    }
    check_streams(index)
}

fn place(task: &IndexedTask) -> Place<'_> {
    Place {
        file: &task.file,
        export: &task.export,
    }
}

fn no_duplicates<'a>(
    what: &str,
    all: impl Iterator<Item = (&'a str, Place<'a>)>,
) -> Result<(), ApiError> {
    let mut seen: HashMap<&str, Place<'_>> = HashMap::new();
    for (id, place) in all {
        if let Some(first) = seen.insert(id, place) {
            let message = format!(
                "the {what} id `{id}` is taken by {}, export {}",
                first.file, first.export
            );
            return Err(place
                .refuse(Code::DuplicateId, message)
                .with_details(json!({
                    "id": id,
                    "file": place.file,
                    "export": place.export,
                    "first": { "file": first.file, "export": first.export },
                })));
        }
    }
    Ok(())
}

fn check_task(index: &Index, task: &IndexedTask) -> Result<(), ApiError> {
    let here = place(task);
    task.id
        .parse::<ResourceName>()
        .map_err(|error| here.refuse(Code::InvalidId, format!("the task id {error}")))?;
    let module = &task.module;
    if module.is_empty()
        || module.starts_with('/')
        || module
            .split('/')
            .any(|part| part.is_empty() || part == ".." || part == ".")
    {
        return Err(here.refuse(
            Code::DeploymentInvalid,
            format!("the entry module `{module}` is not a path inside the bundle"),
        ));
    }
    if let Some(id) = &task.sandbox_id
        && !index.sandboxes.iter().any(|sandbox| sandbox.id == *id)
    {
        return Err(here.refuse(
            Code::DeploymentInvalid,
            format!("the project has no sandbox `{id}`"),
        ));
    }
    if let Some(seconds) = task.max_duration_seconds
        && !MAX_DURATION_SECONDS.contains(&seconds)
    {
        return Err(here.refuse(
            Code::MaxDurationOutOfRange,
            format!("maxDuration is {seconds} s, it must be between 5 and 86400"),
        ));
    }
    if let Some(queue) = &task.queue {
        queue
            .name
            .parse::<QueueName>()
            .map_err(|error| here.refuse(Code::InvalidId, format!("the queue name {error}")))?;
        if queue.concurrency_limit == Some(0) {
            return Err(here.refuse(
                Code::DeploymentInvalid,
                "the queue's concurrency limit is 0, so nothing would ever run",
            ));
        }
    }
    check_retry(task, here)?;
    for secret in &task.secrets {
        check_secret(secret, here)?;
    }
    if let Some(schema) = &task.payload_schema {
        check_schema(schema, here, "the payload schema")?;
    }
    Ok(())
}

fn check_retry(task: &IndexedTask, here: Place<'_>) -> Result<(), ApiError> {
    let Some(retry) = &task.retry else {
        return Ok(());
    };
    if !(1..=10).contains(&retry.max_attempts) {
        return Err(here.refuse(
            Code::DeploymentInvalid,
            format!(
                "retry.maxAttempts is {}, it must be between 1 and 10",
                retry.max_attempts
            ),
        ));
    }
    let Some(backoff) = &retry.backoff else {
        return Ok(());
    };
    if let (Some(min), Some(max)) = (backoff.min_ms, backoff.max_ms)
        && min > max
    {
        return Err(here.refuse(Code::DeploymentInvalid, "retry.backoff.min is over its max"));
    }
    if backoff
        .factor
        .is_some_and(|factor| !(1.0..=100.0).contains(&factor))
    {
        return Err(here.refuse(
            Code::DeploymentInvalid,
            "retry.backoff.factor must be between 1 and 100",
        ));
    }
    Ok(())
}

fn check_secret(secret: &IndexedSecret, here: Place<'_>) -> Result<(), ApiError> {
    secret
        .name
        .parse::<ResourceName>()
        .map_err(|error| here.refuse(Code::InvalidId, format!("the secret {error}")))?;
    let name = &secret.name;
    let refuse = |why: &str| {
        Err(here.refuse(
            Code::DeploymentInvalid,
            format!("the secret `{name}` {why}"),
        ))
    };
    match (&secret.env, &secret.file, &secret.dir) {
        (Some(variable), None, None) => {
            if !is_variable(variable) {
                return refuse("is placed in a variable whose name is not valid");
            }
        }
        (None, Some(path), None) | (None, None, Some(path)) => {
            if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
                return refuse("is placed at a path that is not absolute");
            }
        }
        _ => return refuse("needs exactly one placement: env, file or dir"),
    }
    if secret
        .mode
        .is_some_and(|mode| secret.file.is_none() || mode > 0o777)
    {
        return refuse("has a mode, which only a file can have, of at most 0777");
    }
    Ok(())
}

/// Whether `name` can be the name of an environment variable.
pub(super) fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 256
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Tasks of different modules may declare streams of one name with different schemas; one task may not.
fn check_streams(index: &Index) -> Result<(), ApiError> {
    let mut seen: HashMap<(&str, bool, &str), &IndexedStream> = HashMap::new();
    for stream in &index.streams {
        let here = Place::of(stream.file.as_deref(), stream.export.as_deref());
        let name = &stream.name;
        name.parse::<StreamName>()
            .map_err(|error| here.refuse(Code::InvalidId, format!("the stream {error}")))?;
        if let Some(schema) = &stream.schema {
            check_schema(schema, here, "the stream's schema")?;
        }
        for task in &stream.tasks {
            if !index.tasks.iter().any(|known| known.id == *task) {
                return Err(here.refuse(
                    Code::DeploymentInvalid,
                    format!(
                        "the stream `{name}` is said to be of the task `{task}`, which is not there"
                    ),
                ));
            }
            let key = (
                name.as_str(),
                stream.direction == Direction::Input,
                task.as_str(),
            );
            if let Some(first) = seen.insert(key, stream)
                && first.schema != stream.schema
            {
                return Err(here.refuse(
                    Code::DuplicateId,
                    format!(
                        "the task `{task}` declares the stream `{name}` with another schema in {}",
                        first.file.as_deref().unwrap_or("another module")
                    ),
                ));
            }
        }
    }
    Ok(())
}

fn check_schema(schema: &Value, here: Place<'_>, what: &str) -> Result<(), ApiError> {
    Schema::compile(schema)
        .map(drop)
        .map_err(|error| here.refuse(Code::SchemaInvalid, format!("{what}: {error}")))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn index(tasks: &Value, more: &Value) -> Index {
        let mut index = json!({ "tasks": tasks });
        for (name, value) in more.as_object().unwrap() {
            index[name] = value.clone();
        }
        serde_json::from_value(index).unwrap()
    }

    fn task(id: &str, more: &Value) -> Value {
        let mut task = json!({
            "id": id, "file": format!("tasks/{id}.ts"), "export": "it",
            "module": "tasks/it.mjs",
        });
        for (name, value) in more.as_object().unwrap() {
            task[name] = value.clone();
        }
        task
    }

    fn check_refused(tasks: &Value, more: &Value, code: Code, words: &[&str]) {
        let error = check(&index(tasks, more)).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        for word in words {
            assert!(error.message().contains(word), "{error} lacks {word}");
        }
    }

    #[test]
    fn a_plain_project_passes() {
        let tasks = json!([task(
            "release",
            &json!({
                "payload_schema": {"type": "object"}, "max_duration_seconds": 5,
                "secrets": [{"name": "KEY", "env": "KEY"}, {"name": "k", "file": "/run/k", "mode": 256}],
            })
        )]);
        let more = json!({
            "sandboxes": [{"id": "s", "image": {"from": "node:24"}}],
            "streams": [{"name": "in", "direction": "input"}, {"name": "in", "direction": "output"}],
        });
        assert!(check(&index(&tasks, &more)).is_ok());
    }

    #[test]
    fn duplicate_ids_name_both_places() {
        let mut second = task("a", &json!({}));
        second["file"] = json!("tasks/b.ts");
        let tasks = json!([task("a", &json!({})), second]);
        check_refused(
            &tasks,
            &json!({}),
            Code::DuplicateId,
            &["tasks/b.ts", "tasks/a.ts"],
        );
        let sandbox = json!({"id": "s", "image": {"from": "n"}});
        let more = json!({"sandboxes": [sandbox, sandbox]});
        let tasks = json!([task("a", &json!({"sandbox_id": "s"}))]);
        check_refused(&tasks, &more, Code::DuplicateId, &["tasks/a.ts"]);
    }

    #[test]
    fn broken_tasks_name_file_and_export() {
        for (more, code) in [
            (json!({"id": "-bad"}), Code::InvalidId),
            (json!({"sandbox_id": "none"}), Code::DeploymentInvalid),
            (
                json!({"max_duration_seconds": 4}),
                Code::MaxDurationOutOfRange,
            ),
            (json!({"queue": {"name": "a b"}}), Code::InvalidId),
            (
                json!({"retry": {"max_attempts": 11}}),
                Code::DeploymentInvalid,
            ),
            (json!({"secrets": [{"name": "K"}]}), Code::DeploymentInvalid),
            (
                json!({"secrets": [{"name": "K", "env": "K", "dir": "/k"}]}),
                Code::DeploymentInvalid,
            ),
            (
                json!({"secrets": [{"name": "K", "env": "1K"}]}),
                Code::DeploymentInvalid,
            ),
            (json!({"payload_schema": {"type": 7}}), Code::SchemaInvalid),
            (json!({"module": "../x.mjs"}), Code::DeploymentInvalid),
        ] {
            let tasks = json!([task("release", &more)]);
            check_refused(&tasks, &json!({}), code, &["tasks/release.ts", "export it"]);
        }
        check_refused(
            &json!([]),
            &json!({}),
            Code::DeploymentInvalid,
            &["no task"],
        );
    }

    #[test]
    fn a_stream_means_one_thing_to_a_task() {
        let tasks = json!([task("a", &json!({}))]);
        let stream = |schema: &Value| {
            json!({
                "name": "m", "direction": "input", "file": "m.ts", "schema": schema, "tasks": ["a"],
            })
        };
        let same = json!({"streams": [stream(&json!({})), stream(&json!({}))]});
        assert!(check(&index(&tasks, &same)).is_ok());
        let other = json!({"streams": [stream(&json!({})), stream(&json!({"type": "string"}))]});
        check_refused(&tasks, &other, Code::DuplicateId, &["m.ts"]);
        let mut lost = stream(&json!({}));
        lost["tasks"] = json!(["b"]);
        let lost = json!({ "streams": [lost] });
        check_refused(&tasks, &lost, Code::DeploymentInvalid, &["m.ts", "`b`"]);
    }
}
