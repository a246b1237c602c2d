//! Workspace trees: a directory captured as a manifest, and a manifest made a directory again.
//!
//! Kept: names as bytes, regular files with their holes, directories, symlinks, FIFOs, hard links, owners, modes,
//! modification times, `user.*` attributes and, where this process is root, `security.capability`. Left out: sockets
//! and device nodes, which a host must not make for a sandbox.
//!
//! Who wrote the tree is hostile and may still be writing: every path is resolved beneath the root without following
//! links (`openat2`), nothing but regular files and directories is ever opened, and what changes its kind between two
//! looks is looked at again.

pub(crate) mod archive;
mod assemble;
pub(crate) mod beneath;
pub(crate) mod capture;
pub(crate) mod content;
mod diff;
pub(crate) mod entries;
pub(crate) mod entry;
mod index;
mod restore;
pub(crate) mod spine;

pub use archive::{ArchiveLimits, Imported, export, import};
pub use beneath::open_root;
pub use capture::{Captured, capture};
pub use content::Content;
pub use diff::{Body, Change, Changes, Differs, Side, diff, order};
pub use entries::{Entries, read, read_file};
pub use entry::{Entry, Node, Stamp};
pub use index::Index;
pub use restore::{empty, materialize, restore};
