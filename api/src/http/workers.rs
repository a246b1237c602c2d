//! Workers.

use helmr_domain::WorkerId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::value::Time;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Worker {
    #[schema(value_type = String)]
    pub id: WorkerId,
    pub name: String,
    pub group: String,
    /// `active`, `draining` or `offline`.
    pub state: String,
    pub connected: bool,
    pub labels: Vec<String>,
    pub drivers: Vec<WorkerDriver>,
    pub protocols: Vec<u32>,
    pub capacity: WorkerCapacity,
    pub free: WorkerCapacity,
    pub last_seen_at: Option<Time>,
    pub created_at: Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkerCapacity {
    pub cpu_millis: u64,
    pub memory_mib: u64,
    pub disk_mib: u64,
    pub slots: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkerDriver {
    pub name: String,
    pub identity: String,
    pub memory_checkpoint: bool,
    pub hardware_isolation: bool,
    pub network_policy: bool,
    pub hard_disk_limit: bool,
}
