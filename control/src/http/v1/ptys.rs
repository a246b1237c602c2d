//! `/workspaces/{id}/ptys` and `/ptys`.

pub(crate) mod attach;
pub(crate) mod create;
pub(crate) mod input;
pub(crate) mod output;
pub(crate) mod read;
pub(crate) mod resize;
pub(crate) mod view;
