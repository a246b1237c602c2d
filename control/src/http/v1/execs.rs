//! `/workspaces/{id}/execs` and `/execs`.

pub(crate) mod create;
pub(crate) mod output;
pub(crate) mod read;
pub(crate) mod signal;
pub(crate) mod stdin;
pub(crate) mod view;
