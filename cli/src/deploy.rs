//! What stands behind `helmr deploy` and uploads: the project, the Node and the bundler that bundle it, and archives.

pub(crate) mod archive;
pub(crate) mod bundler;
pub mod kit;
pub mod node;
pub(crate) mod project;
pub(crate) mod provenance;
pub(crate) mod tree;
