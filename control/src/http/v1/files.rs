//! `/workspaces/{id}/files`.

pub(crate) mod archive;
pub(crate) mod change;
pub(crate) mod find;
mod headers;
pub(crate) mod read;
pub(crate) mod write;
