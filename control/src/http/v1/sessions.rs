//! `/sessions`.

pub(crate) mod end;
pub(crate) mod events;
pub(crate) mod read;
pub(crate) mod start;
pub(crate) mod transcript;
pub(crate) mod update;
pub(crate) mod view;
