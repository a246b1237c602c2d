//! The public API, a folder per resource.

pub(crate) mod deployments;
pub(crate) mod events;
pub(crate) mod execs;
pub(crate) mod files;
pub(crate) mod images;
pub(crate) mod ptys;
pub(crate) mod public_tokens;
pub(crate) mod quotas;
pub(crate) mod runs;
pub(crate) mod sandboxes;
pub(crate) mod sessions;
pub(crate) mod storage;
pub(crate) mod streams;
pub(crate) mod tasks;
pub(crate) mod tokens;
pub(crate) mod uploads;
pub(crate) mod versions;
pub(crate) mod whoami;
pub(crate) mod workers;
pub(crate) mod workspaces;
