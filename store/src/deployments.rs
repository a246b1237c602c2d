//! Deployments: immutable snapshots of a task project, and which of them is promoted.

mod row;

use helmr_domain::machine::Spec;
use helmr_domain::run::Retry;
use helmr_domain::stream::Direction;
use helmr_domain::{
    DeploymentId, Duration, Moment, ResourceName, Scope, StreamName, TaskRowId, Timestamp,
};
use serde_json::Value;

use crate::idempotency::{Idempotency, Kept};
use crate::{Page, Result, Store};

#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    pub id: DeploymentId,
    pub scope: Scope,
    /// `YYYYMMDD.N`.
    pub version: String,
    pub status: Status,
    pub content_hash: String,
    /// Hex SHA-256 of the bundle archive.
    pub bundle_sha256: String,
    pub bundle_manifest: String,
    pub bundle_size_bytes: u64,
    pub worker_protocol: u32,
    pub provenance: Value,
    pub failure: Option<String>,
    pub created_at: Timestamp,
    pub deployed_at: Option<Timestamp>,
    /// Whether it is the environment's promoted one.
    pub promoted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Queued,
    Building,
    Deployed,
    Failed,
}

/// A task as its deployment has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    pub id: TaskRowId,
    pub scope: Scope,
    pub deployment_id: DeploymentId,
    pub task_id: ResourceName,
    pub sandbox: String,
    pub module: String,
    pub export: String,
    pub max_duration: Duration,
    pub ttl: Option<Duration>,
    pub queue: Option<String>,
    pub retry: Retry,
    /// Names of the secrets it declares.
    pub secrets: Vec<String>,
    /// JSON Schema; `None`: the task takes no payload.
    pub payload_schema: Option<Value>,
    /// Everything the indexer found, for people.
    pub definition: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Sandbox {
    pub name: String,
    /// What a workspace must match to be attached.
    pub fingerprint: String,
    pub spec: Spec,
    pub definition: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    pub direction: Direction,
    pub name: StreamName,
    pub schema: Value,
}

/// A deployment to make. Ids are made from `at`.
#[derive(Clone)]
pub struct Create {
    pub at: Moment,
    pub scope: Scope,
    pub content_hash: String,
    pub bundle_sha256: String,
    pub bundle_manifest: String,
    pub bundle_size_bytes: u64,
    pub worker_protocol: u32,
    pub provenance: Value,
    /// `id`, `scope` and `deployment_id` of these are set by the store.
    pub tasks: Vec<NewTask>,
    pub sandboxes: Vec<Sandbox>,
    pub streams: Vec<Stream>,
    pub promote: bool,
    pub idempotency: Option<Idempotency<Created>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    pub task_id: ResourceName,
    pub sandbox: String,
    pub module: String,
    pub export: String,
    pub max_duration: Duration,
    pub ttl: Option<Duration>,
    pub queue: Option<String>,
    pub retry: Retry,
    pub secrets: Vec<String>,
    pub payload_schema: Option<Value>,
    pub definition: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Created {
    pub deployment: Deployment,
    /// The same content was deployed before, and that deployment is answered.
    pub reused: bool,
}

/// Makes a deployment out of a bundle that is uploaded, already `deployed`, and promotes it if asked to. The version is
/// the day of `at` in UTC and a number. The same content again is the same deployment.
///
/// # Errors
/// `Refused(IdempotencyKeyReused)`.
pub async fn create(store: &Store, input: Create) -> Result<Kept<Created>> {
    todo!()
}

/// # Errors
/// If the database fails.
pub async fn get(store: &Store, scope: Scope, id: DeploymentId) -> Result<Option<Deployment>> {
    todo!()
}

/// Lists deployments, newest first.
///
/// # Errors
/// If the database fails.
pub async fn list(
    store: &Store,
    scope: Scope,
    before: Option<DeploymentId>,
    limit: u32,
) -> Result<Page<Deployment, DeploymentId>> {
    todo!()
}

/// Makes a deployment the environment's current one. Rolling back is promoting an older one. Promoting the current one
/// again changes nothing.
///
/// # Errors
/// `NotFound`; `Refused(DeploymentNotReady)` unless it is deployed.
pub async fn promote(
    store: &Store,
    scope: Scope,
    id: DeploymentId,
    at: Moment,
) -> Result<Deployment> {
    todo!()
}

/// The promoted deployment of an environment.
///
/// # Errors
/// If the database fails.
pub async fn current(store: &Store, scope: Scope) -> Result<Option<Deployment>> {
    todo!()
}

/// The sandboxes of a deployment, by name.
///
/// # Errors
/// If the database fails.
pub async fn sandboxes(store: &Store, scope: Scope, id: DeploymentId) -> Result<Vec<Sandbox>> {
    todo!()
}

/// The streams of a deployment, by direction and name.
///
/// # Errors
/// If the database fails.
pub async fn streams(store: &Store, scope: Scope, id: DeploymentId) -> Result<Vec<Stream>> {
    todo!()
}
