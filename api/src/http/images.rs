//! Base images that sandboxes are made from.

use helmr_domain::ImageId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::value::Time;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Image {
    #[schema(value_type = String)]
    pub id: ImageId,
    /// What `from(…)` says.
    pub name: String,
    /// `sha256:…` of the root filesystem.
    pub digest: String,
    pub size_bytes: u64,
    pub created_at: Time,
}

/// Imports an archive that was uploaded before: an OCI layout or docker-archive or root directory, as a tar.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportImage {
    #[schema(example = "node:24-bookworm-slim")]
    pub name: String,
    /// Hex SHA-256 of the archive, uploaded with `kind=image`.
    pub upload_sha256: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ImageAnswer {
    pub image: Image,
}
