//! Tasks and sandboxes of the promoted deployment.

use helmr_domain::{DeploymentId, TaskRowId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::streams::Direction;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// As the project names it: what `session start` takes.
    pub id: String,
    #[schema(value_type = String)]
    pub row_id: TaskRowId,
    #[schema(value_type = String)]
    pub deployment_id: DeploymentId,
    pub deployment_version: String,
    pub file: String,
    pub export: String,
    pub sandbox: Option<String>,
    pub max_duration_seconds: u64,
    pub secret_names: Vec<String>,
    /// JSON Schema of the payload; null where the task takes none.
    pub payload_schema: Option<Value>,
    /// The streams that it declares, by direction and name.
    #[serde(default)]
    pub streams: Vec<TaskStream>,
}

/// A stream as a task declares it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskStream {
    pub name: String,
    pub direction: Direction,
    /// JSON Schema of a record's data.
    pub schema: Value,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TaskAnswer {
    pub task: Task,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Sandbox {
    pub id: String,
    #[schema(value_type = String)]
    pub deployment_id: DeploymentId,
    /// The base image as the project names it.
    pub image: String,
    /// `sha256:…` of the root filesystem it stood for when deployed.
    pub image_digest: String,
    pub mount_path: String,
    pub cpu_millis: u32,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
    pub processes: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SandboxAnswer {
    pub sandbox: Sandbox,
}
