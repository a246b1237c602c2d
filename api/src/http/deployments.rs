//! Deployments, and the index of a task project that one is made from.

use std::collections::BTreeMap;

use helmr_domain::DeploymentId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::streams::Direction;
use super::value::Time;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Deployment {
    #[schema(value_type = String, example = "dep_01k2m3n4p5q6r7s8t9v0w1x2y3")]
    pub id: DeploymentId,
    /// `YYYYMMDD.N`, counted in its environment.
    pub version: String,
    pub status: DeploymentStatus,
    /// Whether starts use it now.
    pub current: bool,
    pub content_hash: String,
    pub bundle_sha256: String,
    /// Task ids.
    pub tasks: Vec<String>,
    pub sandboxes: Vec<String>,
    pub provenance: Value,
    pub worker_protocol: u32,
    pub created_at: Time,
    pub promoted_at: Option<Time>,
    pub error: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentStatus {
    Queued,
    Building,
    Deployed,
    Failed,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeploymentAnswer {
    pub deployment: Deployment,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateDeployment {
    pub index: Index,
    /// Hex SHA-256 of the bundle archive (a tar), uploaded before.
    pub bundle_sha256: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub provenance: Map<String, Value>,
    /// Starts use it at once. True unless told.
    #[serde(default = "yes")]
    pub promote: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromoteDeployment {}

/// What the bundler found in a task project: its own document, taken as it is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// `project` of the configuration file: a project's slug or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    pub tasks: Vec<IndexedTask>,
    #[serde(default)]
    pub sandboxes: Vec<IndexedSandbox>,
    #[serde(default)]
    pub streams: Vec<IndexedStream>,
    #[serde(default)]
    pub bundle: IndexedBundle,
}

/// What is in the bundle archive.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexedBundle {
    #[serde(default)]
    pub files: Vec<IndexedFile>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexedFile {
    pub path: String,
    pub sha256: String,
    pub size: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexedTask {
    pub id: String,
    /// Bundled module, a path in the bundle.
    pub module: String,
    /// Export of the module.
    pub export: String,
    /// Source file, relative to the project, for messages.
    pub file: String,
    /// Names of the streams that the task's modules declare.
    #[serde(default)]
    pub streams: Vec<String>,
    /// Id of an indexed sandbox; null: the default one.
    #[serde(default)]
    pub sandbox_id: Option<String>,
    #[serde(default)]
    pub max_duration_seconds: Option<u64>,
    #[serde(default)]
    pub queue: Option<IndexedQueue>,
    /// How long a run may be queued, in milliseconds.
    #[serde(default)]
    pub ttl: Option<u64>,
    #[serde(default)]
    pub retry: Option<IndexedRetry>,
    #[serde(default)]
    pub secrets: Vec<IndexedSecret>,
    /// JSON Schema 2020-12; null where the task takes no payload.
    #[serde(default)]
    pub payload_schema: Option<Value>,
    #[serde(default)]
    pub schedule: Option<IndexedSchedule>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexedQueue {
    pub name: String,
    #[serde(default)]
    pub concurrency_limit: Option<u32>,
    #[serde(default)]
    pub concurrency_key: Option<String>,
    #[serde(default)]
    pub priority: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexedRetry {
    /// 1 to 10.
    pub max_attempts: u32,
    #[serde(default)]
    pub backoff: Option<IndexedBackoff>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexedBackoff {
    #[serde(default)]
    pub min_ms: Option<u64>,
    #[serde(default)]
    pub max_ms: Option<u64>,
    #[serde(default)]
    pub factor: Option<f64>,
    #[serde(default)]
    pub jitter: Option<bool>,
}

/// When a scheduled task starts by itself.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexedSchedule {
    pub cron: String,
    pub timezone: String,
    pub overlap: String,
    pub catch_up: String,
}

/// A secret and where the task wants it: exactly one of `env`, `file` and `dir`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexedSecret {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir: Option<String>,
    /// Of the file, for example 384 (octal 600).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexedSandbox {
    pub id: String,
    #[serde(default)]
    pub image: Option<IndexedImage>,
    /// `/workspace` unless told.
    #[serde(default)]
    pub workspace_path: Option<String>,
    #[serde(default)]
    pub resources: IndexedResources,
    /// `{"internet": true | false | {"allow": […], "deny": […]}}`.
    #[serde(default)]
    pub network: Option<Value>,
    #[serde(default)]
    pub pinned: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexedResources {
    #[serde(default)]
    pub cpu_millis: Option<u32>,
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    #[serde(default)]
    pub disk_bytes: Option<u64>,
    #[serde(default)]
    pub processes: Option<u32>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexedImage {
    #[serde(default)]
    pub id: Option<String>,
    /// The argument of `from(…)`.
    #[serde(default)]
    pub from: String,
    /// All steps, in order.
    #[serde(default)]
    pub steps: Vec<Value>,
    /// Kinds of step that need a build. This server refuses images that have any.
    #[serde(default)]
    pub steps_unsupported: Vec<String>,
    #[serde(default)]
    pub workdir: Option<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub user: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IndexedStream {
    pub name: String,
    pub direction: Direction,
    #[serde(default)]
    pub file: Option<String>,
    #[serde(default)]
    pub export: Option<String>,
    #[serde(default)]
    pub module: Option<String>,
    /// The tasks that declare it.
    #[serde(default)]
    pub tasks: Vec<String>,
    /// JSON Schema 2020-12 of a record's data.
    #[serde(default)]
    pub schema: Option<Value>,
}
