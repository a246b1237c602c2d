//! Everything big, content-addressed: chunks, blobs and workspace trees, sealed before they reach the object store.
//!
//! Knows nothing of runs, workspaces or the database: it is handed keys, directories and readers and gives back ids.
//!
//! Invariants: a manifest is written only after every chunk it names is durable, so a manifest that can be read can be
//! followed; nothing is stored in clear; a byte that was changed at rest is refused as [`Error::Corrupt`], never
//! returned; a tree that is read or written is taken as hostile.
//!
//! Every call here blocks: it reads files and waits for the store. Asynchronous callers go through [`Artifacts::run`],
//! which is bounded; calling the rest from an asynchronous task panics.

mod clock;
mod error;
mod hex;

pub mod keys;
pub mod seal;

mod objects;
mod watch;

pub mod chunk;
mod cut;
mod manifest;

pub mod blob;
pub mod sweep;
pub mod tree;

pub mod files;

pub use chunk::{ChunkName, ChunkRef};
pub use error::Error;
pub use keys::{DataKey, KeySet, RootKey};
pub use manifest::ManifestId;
pub use objects::Artifacts;
