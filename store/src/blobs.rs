//! Uploaded bytes by their SHA-256, so that nothing is uploaded twice.

use helmr_domain::{BlobId, EnvironmentId, Moment, Scope, Timestamp};

use crate::{Result, Store};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    pub id: BlobId,
    /// Lower-case hex.
    pub sha256: String,
    pub manifest: String,
    pub size_bytes: u64,
    pub created_at: Timestamp,
}

/// Under which key the bytes are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyed {
    Environment,
    Installation,
}

#[derive(Debug, Clone)]
pub struct Put {
    pub at: Moment,
    pub scope: Scope,
    pub keyed: Keyed,
    pub sha256: String,
    pub manifest: String,
    pub size_bytes: u64,
}

/// Keeps a blob. The first one put is kept and answered.
///
/// # Errors
/// If the database fails.
pub async fn put(store: &Store, input: Put) -> Result<Blob> {
    todo!()
}

/// # Errors
/// If the database fails.
pub async fn find(store: &Store, scope: Scope, keyed: Keyed, sha256: &str) -> Result<Option<Blob>> {
    todo!()
}
