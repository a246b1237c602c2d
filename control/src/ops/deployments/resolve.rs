//! From an index to rows: images looked up, defaults filled in, names made typed.

use std::collections::{BTreeMap, HashMap};

use helmr_api::error::Code;
use helmr_api::http::deployments::{
    Index, IndexedImage, IndexedRetry, IndexedSandbox, IndexedTask,
};
use helmr_domain::machine::Spec;
use helmr_domain::run::{Backoff, Retry};
use helmr_domain::stream::Direction;
use helmr_domain::{CanonicalJson, Duration, limits};
use helmr_store::deployments::{NewTask, Sandbox, Stream, TaskQueue};
use helmr_store::images::{self, Image};
use serde_json::{Value, json};

use super::project::Place;
use super::sandbox;
use crate::http::v1::streams::view;
use crate::{ApiError, Control};

/// The sandbox of tasks that name none. No project can have one of that name.
pub(crate) const DEFAULT_SANDBOX: &str = "(default)";

/// What a deployment is made of.
pub(super) struct Resolved {
    pub(super) tasks: Vec<NewTask>,
    pub(super) sandboxes: Vec<Sandbox>,
    pub(super) streams: Vec<Stream>,
}

/// Resolves an index that was checked.
///
/// # Errors
/// `image_not_found`, naming file, export and how to import it.
pub(super) async fn resolve(control: &Control, index: &Index) -> Result<Resolved, ApiError> {
    let mut sandboxes = Vec::new();
    let mut known: HashMap<String, Image> = HashMap::new();
    for indexed in &index.sandboxes {
        let here = sandbox::place(index, indexed);
        let reference = indexed.image.as_ref().map_or("", |image| &image.from);
        let image = find_image(control, &mut known, reference, here).await?;
        sandboxes.push(of_index(indexed, &image)?);
    }
    if let Some(task) = index.tasks.iter().find(|task| task.sandbox_id.is_none()) {
        let here = Place::of(Some(&task.file), Some(&task.export));
        let image = find_image(control, &mut known, sandbox::DEFAULT_IMAGE, here).await?;
        sandboxes.push(default_sandbox(&image)?);
    }
    Ok(Resolved {
        tasks: index
            .tasks
            .iter()
            .map(task)
            .collect::<Result<Vec<_>, _>>()?,
        streams: streams(index)?,
        sandboxes,
    })
}

async fn find_image(
    control: &Control,
    known: &mut HashMap<String, Image>,
    reference: &str,
    here: Place<'_>,
) -> Result<Image, ApiError> {
    if let Some(image) = known.get(reference) {
        return Ok(image.clone());
    }
    let organization = control.installation.organization;
    let found = if reference.starts_with("sha256:") {
        images::find_by_digest(&control.store, organization, reference).await?
    } else {
        images::find_by_name(&control.store, organization, reference).await?
    };
    let image = found.ok_or_else(|| {
        here.refuse(
            Code::ImageNotFound,
            format!(
                "there is no image `{reference}` here; import it with \
                 `helmr image import --name {reference} PATH`"
            ),
        )
        .with_details(json!({
            "image": reference,
            "file": here.file,
            "export": here.export,
        }))
    })?;
    known.insert(reference.to_owned(), image.clone());
    Ok(image)
}

fn of_index(indexed: &IndexedSandbox, image: &Image) -> Result<Sandbox, ApiError> {
    let asked = &indexed.resources;
    let mount_path = indexed
        .workspace_path
        .as_deref()
        .unwrap_or(sandbox::DEFAULT_MOUNT_PATH);
    let layer = indexed.image.as_ref();
    let spec = Spec {
        image_digest: image.digest.clone(),
        image_manifest: image.manifest.clone(),
        mount_path: mount_path.to_owned(),
        cpu_millis: asked.cpu_millis.unwrap_or(sandbox::DEFAULT_CPU_MILLIS),
        memory_bytes: asked.memory_bytes.unwrap_or(sandbox::DEFAULT_MEMORY_BYTES),
        disk_bytes: asked.disk_bytes.unwrap_or(sandbox::DEFAULT_DISK_BYTES),
        processes: asked.processes.unwrap_or(sandbox::DEFAULT_PROCESSES),
        env: environment(image, layer),
        user: user(image, layer),
    };
    finish(&indexed.id, spec, indexed.pinned, json!(indexed))
}

fn default_sandbox(image: &Image) -> Result<Sandbox, ApiError> {
    let spec = Spec {
        image_digest: image.digest.clone(),
        image_manifest: image.manifest.clone(),
        mount_path: sandbox::DEFAULT_MOUNT_PATH.to_owned(),
        cpu_millis: sandbox::DEFAULT_CPU_MILLIS,
        memory_bytes: sandbox::DEFAULT_MEMORY_BYTES,
        disk_bytes: sandbox::DEFAULT_DISK_BYTES,
        processes: sandbox::DEFAULT_PROCESSES,
        env: environment(image, None),
        user: user(image, None),
    };
    let definition = json!({ "image": { "from": sandbox::DEFAULT_IMAGE } });
    finish(DEFAULT_SANDBOX, spec, false, definition)
}

fn finish(name: &str, spec: Spec, pinned: bool, definition: Value) -> Result<Sandbox, ApiError> {
    // A newer image of the same sandbox stays compatible, unless it is pinned.
    let shape = json!({
        "sandbox": name,
        "mount_path": spec.mount_path,
        "user": spec.user,
        "image": pinned.then_some(&spec.image_digest),
    });
    Ok(Sandbox {
        name: name.to_owned(),
        fingerprint: canonical(&shape)?,
        spec,
        definition,
    })
}

/// Variables of the image, overridden by the sandbox's own.
fn environment(image: &Image, layer: Option<&IndexedImage>) -> Vec<String> {
    let mut variables: BTreeMap<&str, &str> = image.config["env"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter_map(|entry| entry.split_once('='))
        .collect();
    if let Some(layer) = layer {
        variables.extend(
            layer
                .env
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
    }
    variables
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

fn user(image: &Image, layer: Option<&IndexedImage>) -> String {
    layer
        .and_then(|layer| layer.user.clone())
        .unwrap_or_else(|| image.config["user"].as_str().unwrap_or_default().to_owned())
}

fn task(indexed: &IndexedTask) -> Result<NewTask, ApiError> {
    let seconds = |seconds: u64| Duration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    let millis = |millis: u64| Duration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX));
    Ok(NewTask {
        task_id: indexed.id.parse().map_err(broken)?,
        sandbox: indexed
            .sandbox_id
            .clone()
            .unwrap_or_else(|| DEFAULT_SANDBOX.to_owned()),
        module: indexed.module.clone(),
        export: indexed.export.clone(),
        max_duration: indexed
            .max_duration_seconds
            .map_or(limits::MAX_DURATION, seconds),
        ttl: indexed.ttl.map(millis),
        queue: indexed.queue.as_ref().map(|queue| TaskQueue {
            name: queue.name.clone(),
            concurrency_limit: queue.concurrency_limit,
            concurrency_key: queue.concurrency_key.clone().filter(|key| !key.is_empty()),
            priority: queue.priority,
        }),
        retry: indexed.retry.as_ref().map_or_else(Retry::default, retry),
        secrets: indexed
            .secrets
            .iter()
            .map(|secret| secret.name.clone())
            .collect(),
        payload_schema: indexed.payload_schema.clone(),
        definition: json!(indexed),
    })
}

fn retry(indexed: &IndexedRetry) -> Retry {
    let mut backoff = Backoff::default();
    if let Some(asked) = &indexed.backoff {
        let millis = |millis: u64| Duration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX));
        backoff.min = asked.min_ms.map_or(backoff.min, millis);
        backoff.max = asked.max_ms.map_or(backoff.max, millis);
        if let Some(factor) = asked.factor {
            backoff.factor_percent = percent(factor);
        }
        backoff.jitter = asked.jitter.unwrap_or(false);
    }
    Retry {
        max_attempts: indexed.max_attempts,
        backoff,
    }
}

/// Hundredths of a factor between 1 and 100, without a cast that could truncate.
fn percent(factor: f64) -> u32 {
    format!("{:.0}", factor * 100.0).parse().unwrap_or(200)
}

/// A row for each task that declares a stream: its name may mean another thing to the next task.
fn streams(index: &Index) -> Result<Vec<Stream>, ApiError> {
    let mut rows: BTreeMap<(&str, bool, &str), Stream> = BTreeMap::new();
    for stream in &index.streams {
        let direction = view::direction(stream.direction);
        for task in &stream.tasks {
            // One that is declared twice alike is one stream; declared otherwise, it was refused.
            rows.insert(
                (task, direction == Direction::Output, &stream.name),
                Stream {
                    task_id: task.parse().map_err(broken)?,
                    direction,
                    name: stream.name.parse().map_err(broken)?,
                    schema: stream.schema.clone().unwrap_or_else(|| json!({})),
                },
            );
        }
    }
    Ok(rows.into_values().collect())
}

/// Names everything that a deployment's behaviour depends on.
pub(super) fn content_hash(
    index: &Index,
    bundle_sha256: &str,
    resolved: &Resolved,
) -> Result<String, ApiError> {
    let images: Vec<_> = resolved
        .sandboxes
        .iter()
        .map(|sandbox| (&sandbox.name, &sandbox.spec.image_digest))
        .collect();
    let content = json!({
        "bundle": bundle_sha256,
        "tasks": index.tasks,
        "sandboxes": index.sandboxes,
        "streams": index.streams,
        "images": images,
    });
    let text = canonical(&content)?;
    Ok(format!("blake3:{}", blake3::hash(text.as_bytes()).to_hex()))
}

fn canonical(value: &Value) -> Result<String, ApiError> {
    CanonicalJson::try_from(value)
        .map(CanonicalJson::into_string)
        .map_err(|error| ApiError::internal(&error))
}

/// A name that was checked does not parse.
fn broken(error: helmr_domain::NameError) -> ApiError {
    ApiError::internal(&error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_become_hundredths() {
        assert_eq!([1.0, 1.5, 2.0, 100.0].map(percent), [100, 150, 200, 10_000]);
    }
}
