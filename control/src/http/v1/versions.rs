//! What is done with the versions of a workspace's files.

pub(crate) mod archive;
pub(crate) mod capture;
pub(crate) mod diff;
pub(crate) mod read;
pub(crate) mod restore;
