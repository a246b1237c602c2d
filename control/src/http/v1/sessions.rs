//! `/sessions`.

pub(crate) mod end;
pub(crate) mod read;
pub(crate) mod start;
pub(crate) mod view;
