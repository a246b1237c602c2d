//! `/workspaces`.

pub(crate) mod create;
pub(crate) mod end;
pub(crate) mod fork;
pub(crate) mod materialize;
pub(crate) mod read;
pub(crate) mod recover;
pub(crate) mod update;
pub(crate) mod view;
