//! Workers: registered, connected, found.

use helmr_domain::placement::Capacity;
use helmr_domain::{GroupId, Moment, OrganizationId, Timestamp, WorkerId};
use serde_json::Value;

use crate::{Result, Store};

#[derive(Debug, Clone, PartialEq)]
pub struct Worker {
    pub id: WorkerId,
    pub organization: OrganizationId,
    pub group_id: GroupId,
    pub name: String,
    /// `active`, `draining` or `offline`.
    pub state: String,
    pub connected: bool,
    pub report: Report,
    pub free: Capacity,
    pub last_seen_at: Timestamp,
    pub created_at: Timestamp,
}

/// What a worker says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    pub name: String,
    pub capacity: Capacity,
    pub labels: Vec<String>,
    /// Driver reports as the protocol has them, the preferred one first; each has a `name`.
    pub drivers: Vec<Value>,
    pub protocols: Vec<u32>,
}

#[derive(Debug, Clone)]
pub struct Register {
    pub at: Moment,
    pub auth: Auth,
    pub report: Report,
}

/// By what a worker proves itself.
#[derive(Debug, Clone)]
pub enum Auth {
    /// New, or known by `worker_id` and then given a new credential.
    Enrolment {
        hash: [u8; 32],
        worker_id: Option<WorkerId>,
        /// Of the credential that it is given.
        credential_hash: [u8; 32],
    },
    Credential {
        hash: [u8; 32],
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct Registered {
    pub worker: Worker,
    /// Whether the credential of the input is its credential from now on.
    pub credential_set: bool,
}

/// Registers a worker, or what it says of itself anew. It is active from then on.
///
/// # Errors
/// `NotFound("group")` for an unknown enrolment token, `NotFound("worker")` for an unknown credential.
pub async fn register(store: &Store, input: Register) -> Result<Registered> {
    todo!()
}

/// # Errors
/// If the database fails.
pub async fn find_by_credential(store: &Store, hash: [u8; 32]) -> Result<Option<Worker>> {
    todo!()
}

/// # Errors
/// If the database fails.
pub async fn get(store: &Store, id: WorkerId) -> Result<Option<Worker>> {
    todo!()
}

/// All workers of an organization, newest first.
///
/// # Errors
/// If the database fails.
pub async fn list(store: &Store, organization: OrganizationId) -> Result<Vec<Worker>> {
    todo!()
}

/// The worker can be pushed to: its assignments are marked for pushing, and it may be given machines.
///
/// # Errors
/// `NotFound`.
pub async fn connected(store: &Store, id: WorkerId, at: Moment) -> Result<()> {
    todo!()
}

/// The worker cannot be pushed to.
///
/// # Errors
/// If the database fails.
pub async fn disconnected(store: &Store, id: WorkerId, at: Moment) -> Result<()> {
    todo!()
}
