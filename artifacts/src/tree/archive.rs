//! Trees as tar archives, both ways, as streams: nothing but a line for each path is held in memory.
//!
//! Written in the POSIX (pax) form, which GNU tar, bsdtar and Python read: long and odd names, fractions of seconds,
//! large numbers and `SCHILY.xattr.*` in extension headers, files with holes as `GNU.sparse` 1.0. Read in that form and
//! in the GNU and older ones.
//!
//! An archive that is read is hostile: names are checked before anything is made of them, nothing is followed, what it
//! may hold is bounded by the caller, and what its headers may hold in memory by [`read`].

mod member;
mod read;
mod write;

pub(crate) use member::{About, Member};
pub use read::{ArchiveLimits, Imported, import};
pub use write::export;

/// An attribute's name behind this is kept.
const XATTR: &[u8] = b"SCHILY.xattr.";
/// Names of attributes without a value, with zeros between them: the parser refuses records without one.
const EMPTY_XATTRS: &[u8] = b"HELMR.xattr.empty";
pub(crate) const BLOCK: usize = 512;

/// How many bytes fill the last block.
pub(crate) fn padding(len: u64) -> usize {
    let over = usize::try_from(len % BLOCK as u64).unwrap_or(0);
    (BLOCK - over) % BLOCK
}
