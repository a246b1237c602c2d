//! `/public-tokens`.

pub(crate) mod create;
pub(crate) mod read;
pub(crate) mod revoke;
pub(crate) mod view;
