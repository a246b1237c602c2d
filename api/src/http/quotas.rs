//! Quotas: what an environment may hold.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::value::changed;

/// A quota, and how much of it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quota {
    /// Null: as much as comes.
    pub limit: Option<u64>,
    pub used: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quotas {
    /// Workspaces that are not deleted.
    pub workspaces: Quota,
    /// Bytes that the versions of workspaces added, each to the one before it.
    pub version_bytes: Quota,
    /// Machines that are not parked.
    pub machines: Quota,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QuotasAnswer {
    pub quotas: Quotas,
}

/// Changes quotas. What is absent stays as it is; null takes a limit away.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateQuotas {
    #[serde(default, with = "changed", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub workspaces: Option<Option<u64>>,
    #[serde(default, with = "changed", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub version_bytes: Option<Option<u64>>,
    #[serde(default, with = "changed", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub machines: Option<Option<u64>>,
}
