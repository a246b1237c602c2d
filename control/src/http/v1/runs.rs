//! `/runs`.

pub(crate) mod cancel;
pub(crate) mod events;
pub(crate) mod logs;
pub(crate) mod read;
pub(crate) mod retry;
pub(crate) mod view;
