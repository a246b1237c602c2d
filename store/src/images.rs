//! Images: EROFS roots by digest, and the names that point to them.

use helmr_domain::{ImageId, Moment, OrganizationId, Timestamp};
use serde_json::Value;

use crate::{Page, Result, Store};

#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    pub id: ImageId,
    pub organization: OrganizationId,
    /// The names that point to it now.
    pub names: Vec<String>,
    /// `sha256:…` of the EROFS file.
    pub digest: String,
    /// Where its bytes are: a blob under the installation's key.
    pub manifest: String,
    pub size_bytes: u64,
    /// Environment, working directory and user, as the importer found them.
    pub config: Value,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone)]
pub struct Put {
    pub at: Moment,
    pub organization: OrganizationId,
    pub name: String,
    pub digest: String,
    pub manifest: String,
    pub size_bytes: u64,
    pub config: Value,
}

/// Keeps an image and lets `name` point to it. The same digest again is the same image.
///
/// # Errors
/// If the database fails.
pub async fn put(store: &Store, input: Put) -> Result<Image> {
    todo!()
}

/// # Errors
/// If the database fails.
pub async fn find_by_name(
    store: &Store,
    organization: OrganizationId,
    name: &str,
) -> Result<Option<Image>> {
    todo!()
}

/// # Errors
/// If the database fails.
pub async fn find_by_digest(
    store: &Store,
    organization: OrganizationId,
    digest: &str,
) -> Result<Option<Image>> {
    todo!()
}

/// Lists images, newest first.
///
/// # Errors
/// If the database fails.
pub async fn list(
    store: &Store,
    organization: OrganizationId,
    before: Option<ImageId>,
    limit: u32,
) -> Result<Page<Image, ImageId>> {
    todo!()
}
