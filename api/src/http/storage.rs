//! The artifact store and what is kept in it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::value::{Span, Time, changed};

/// What the installation's artifact store takes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Storage {
    /// Null before the first one.
    pub last_sweep: Option<Sweep>,
}

/// A round of garbage collection, with what it found and did.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Sweep {
    pub started_at: Time,
    pub finished_at: Option<Time>,
    /// Why it ended early. It took nothing then that anything names.
    pub failure: Option<String>,
    /// What was in the store when it had ended.
    pub kept: Figure,
    /// Of that, what nothing names and is too young to be taken.
    pub young: Figure,
    /// Set aside: it is removed by a round a day later, unless something needs it by then.
    pub aside: Figure,
    /// Put back, because something needed it.
    pub restored: Figure,
    pub removed: Figure,
}

/// How many objects, and what they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Figure {
    pub objects: u64,
    pub bytes: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StorageAnswer {
    pub storage: Storage,
}

/// Which versions of its workspaces' files an environment keeps.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct Retention {
    /// The last ones of each workspace.
    pub keep_last: u32,
    /// Everything that is younger.
    #[schema(value_type = String, example = "30d")]
    pub keep_for: Span,
}

/// Changes which versions an environment keeps. What is absent stays as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateRetention {
    /// 1 to 1,000,000. Null: 100, as is usual.
    #[serde(default, with = "changed", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>)]
    pub keep_last: Option<Option<u32>>,
    /// An hour to ten years. Null: 30 days, as is usual.
    #[serde(default, with = "changed", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Span>)]
    pub keep_for: Option<Option<Span>>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RetentionAnswer {
    pub retention: Retention,
}
