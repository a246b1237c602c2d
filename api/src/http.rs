//! The public API's bodies, a file per noun.
//!
//! Requests refuse fields they do not know. Everything is `snake_case`; ids are text; times are RFC 3339.

pub mod deployments;
pub mod events;
pub mod execs;
pub mod files;
pub mod images;
pub mod page;
pub mod ptys;
pub mod public_tokens;
pub mod quotas;
pub mod runs;
pub mod scope;
pub mod sessions;
pub mod storage;
pub mod streams;
pub mod tasks;
pub mod tokens;
pub mod uploads;
pub mod value;
pub mod versions;
pub mod workers;
pub mod workspaces;

/// The version of the public API that this build speaks: a date.
pub const API_VERSION: &str = "2026-06-15";

/// The request and answer header that carries [`API_VERSION`].
pub const API_VERSION_HEADER: &str = "helmr-api-version";

/// Names the client and its version, for the log.
pub const CLIENT_HEADER: &str = "helmr-client";

pub const IDEMPOTENCY_KEY_HEADER: &str = "idempotency-key";

/// On an answer that was given before.
pub const IDEMPOTENCY_REPLAYED_HEADER: &str = "idempotency-replayed";
