//! The operations behind the handlers: each one thing a person, a task or a worker can ask for, whoever asks and however.

pub(crate) mod assignments;
pub(crate) mod bounds;
pub(crate) mod calls;
pub(crate) mod deployments;
pub(crate) mod execs;
pub(crate) mod files;
pub(crate) mod forks;
pub(crate) mod images;
pub(crate) mod logs;
pub(crate) mod mismatch;
pub(crate) mod ptys;
pub(crate) mod public_tokens;
pub(crate) mod runs;
pub(crate) mod secrets;
pub(crate) mod sessions;
pub(crate) mod storage;
pub(crate) mod streams;
pub(crate) mod tokens;
pub(crate) mod uploads;
pub(crate) mod versions;
pub(crate) mod workspaces;
