//! Workspace trees: a directory captured as a manifest, and a manifest made a directory again.
//!
//! Kept: names as bytes, regular files with their holes, directories, symlinks, FIFOs, hard links, owners, modes,
//! modification times, `user.*` and `security.capability` attributes. Left out: sockets and device nodes, which a
//! sandbox cannot bring to the host and a host must not make for it.

use std::os::fd::AsFd;
use std::path::Path;

use crate::{Artifacts, Error, KeySet, ManifestId};

/// What the files of a directory looked like when a manifest of it was made, so that the next capture reads only what
/// changed since.
#[derive(Debug, Clone, Default)]
pub struct Index {}

/// A captured tree. Its bytes are durable.
#[derive(Debug, Clone)]
pub struct Captured {
    pub id: ManifestId,
    /// Logical size of all files; a hard link counts once.
    pub size_bytes: u64,
    /// Bytes of file content that the previous index did not know.
    pub changed_bytes: u64,
    /// What the store grew by.
    pub stored_bytes: u64,
    pub entries: u64,
    /// Sockets and device nodes, which are not kept.
    pub left_out: u64,
    /// For the next capture of the same directory.
    pub index: Index,
}

impl Index {
    /// Writes the index beside the tree, whole or not at all.
    ///
    /// # Errors
    /// `Io`.
    pub fn save(&self, _path: &Path) -> Result<(), Error> {
        todo!()
    }

    /// Reads an index; `None` if there is none.
    ///
    /// # Errors
    /// `Corrupt` if it is torn: capture without it then, nothing is lost but time.
    pub fn load(_path: &Path) -> Result<Option<Self>, Error> {
        todo!()
    }
}

/// Captures the directory `root`. Pass the index of its last capture or materialization, whose manifest must still
/// exist; `None` reads everything. The caller has paused whatever writes to it.
///
/// # Errors
/// `Io`, `Store`, `Unstable`, `PathTooLong`.
pub fn capture(
    _artifacts: &Artifacts,
    _keys: &KeySet,
    _root: impl AsFd,
    _previous: Option<&Index>,
) -> Result<Captured, Error> {
    todo!()
}

/// Makes the tree `id` in the empty directory `root`. Returns when it is durable.
///
/// # Errors
/// `NotEmpty`, `NotFound`, `Corrupt`, `Store`, `Io`.
pub fn materialize(
    _artifacts: &Artifacts,
    _keys: &KeySet,
    _id: ManifestId,
    _root: impl AsFd,
) -> Result<Index, Error> {
    todo!()
}

/// Puts the directory `root` back to the tree `id`: removes what is not in it and rewrites what differs. What `known`
/// (the last index of this directory) shows to be right already is left untouched. Safe to repeat after a kill.
///
/// # Errors
/// `NotFound`, `Corrupt`, `Store`, `Io`.
pub fn restore(
    _artifacts: &Artifacts,
    _keys: &KeySet,
    _id: ManifestId,
    _root: impl AsFd,
    _known: Option<&Index>,
) -> Result<Index, Error> {
    todo!()
}
