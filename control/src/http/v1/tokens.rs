//! `/tokens`.

pub(crate) mod callback;
pub(crate) mod cancel;
pub(crate) mod complete;
pub(crate) mod create;
pub(crate) mod read;
pub(crate) mod view;
