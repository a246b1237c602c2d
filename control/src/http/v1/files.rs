//! `/workspaces/{id}/files`.

pub(crate) mod change;
mod headers;
pub(crate) mod read;
pub(crate) mod write;
