//! `/deployments`.

pub(crate) mod create;
pub(crate) mod promote;
pub(crate) mod read;
pub(crate) mod view;
