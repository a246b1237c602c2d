//! Where a thing belongs.

use crate::{EnvironmentId, OrganizationId, ProjectId};

/// The organization, project and environment that own an object. First argument of every look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Scope {
    pub organization: OrganizationId,
    pub project: ProjectId,
    pub environment: EnvironmentId,
}
