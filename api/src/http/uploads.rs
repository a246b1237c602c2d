//! Bytes on their way in: bundles and image archives, named by their SHA-256.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What an upload is for: decides the key that seals it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UploadKind {
    /// A task project's bundle.
    #[default]
    Bundle,
    /// An image archive.
    Image,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UploadQuery {
    /// `bundle` unless told.
    #[param(value_type = Option<UploadKind>)]
    pub kind: Option<UploadKind>,
}

/// Asks which uploads the server does not have.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MissingUploads {
    /// Hex SHA-256, at most 1,000.
    pub sha256: Vec<String>,
    #[serde(default)]
    pub kind: UploadKind,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MissingUploadsAnswer {
    pub missing: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Upload {
    pub sha256: String,
    pub size_bytes: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UploadAnswer {
    pub upload: Upload,
}
