//! The index: what the files of a directory looked like when its manifest was made, so that a capture reads only what
//! changed since.
//!
//! A file is unchanged if inode, change time and size are. That holds only if no write can hide behind the recorded
//! change time, so files that changed too shortly before they were looked at are marked and read again next time.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use prost::Message;

use super::beneath::{Facts, Xattrs};
use super::content::Content;
use super::entry::{Stamp, WireContent, WireXattr, decode_xattrs, encode_xattrs};
use crate::{Error, KeySet, ManifestId};

const MAGIC: &[u8; 8] = b"HLMRIDX1";
/// A change this shortly before a look might be followed by another within the same tick of the clock.
const RACY_NS: i128 = 50_000_000;

/// What the files of one directory looked like. Belongs to that directory alone: a copy of it has other inodes.
#[derive(Debug, Clone)]
pub struct Index {
    tree: ManifestId,
    /// Tells key sets apart: content under other keys is of no use.
    keys: [u8; 8],
    /// When every chunk that it knows was last known to be there, and wanted: nanoseconds since the epoch.
    renewed_at: i128,
    /// By inode.
    files: HashMap<u64, Known>,
}

/// A file that was captured or made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) ctime: Stamp,
    pub(super) racy: bool,
    pub(super) content: Content,
    pub(super) xattrs: Xattrs,
}

/// An index in the making.
pub(super) struct Draft {
    keys: [u8; 8],
    renewed_at: i128,
    files: HashMap<u64, Known>,
}

#[derive(Clone, PartialEq, Message)]
struct Wire {
    #[prost(string, tag = "1")]
    tree: String,
    #[prost(bytes = "vec", tag = "2")]
    keys: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    files: Vec<WireFile>,
    /// Milliseconds since the epoch.
    #[prost(uint64, tag = "4")]
    renewed_at: u64,
}

#[derive(Clone, PartialEq, Message)]
struct WireFile {
    #[prost(uint64, tag = "1")]
    ino: u64,
    #[prost(sint64, tag = "2")]
    ctime_seconds: i64,
    #[prost(uint32, tag = "3")]
    ctime_nanoseconds: u32,
    #[prost(bool, tag = "4")]
    racy: bool,
    #[prost(message, optional, tag = "5")]
    content: Option<WireContent>,
    #[prost(message, repeated, tag = "6")]
    xattrs: Vec<WireXattr>,
}

/// Whether a file that changed at `ctime` may change again unseen after a look at `looked_ns`.
pub(super) fn is_racy(ctime: Stamp, looked_ns: i128) -> bool {
    ctime.nanos() > looked_ns.saturating_sub(RACY_NS)
}

impl Draft {
    pub(super) fn new(keys: &KeySet, renewed_at: i128) -> Self {
        Self {
            keys: fingerprint(keys),
            renewed_at,
            files: HashMap::new(),
        }
    }

    pub(super) fn insert(&mut self, ino: u64, known: Known) {
        self.files.insert(ino, known);
    }

    pub(super) fn get_mut(&mut self, ino: u64) -> Option<&mut Known> {
        self.files.get_mut(&ino)
    }

    /// Marks what changed too shortly before `now_ns`; with the least of all times, everything.
    pub(super) fn mark_racy(&mut self, now_ns: i128) {
        for known in self.files.values_mut() {
            known.racy |= is_racy(known.ctime, now_ns);
        }
    }

    pub(super) fn finish(self, tree: ManifestId) -> Index {
        Index {
            tree,
            keys: self.keys,
            renewed_at: self.renewed_at,
            files: self.files,
        }
    }
}

impl Index {
    /// The tree that the directory held.
    #[must_use]
    pub fn tree(&self) -> ManifestId {
        self.tree
    }

    pub(super) fn renewed_at(&self) -> i128 {
        self.renewed_at
    }

    /// The index as it is when its last capture lies further back.
    #[doc(hidden)]
    #[must_use]
    pub fn aged(mut self, by: std::time::Duration) -> Self {
        self.renewed_at -= i128::try_from(by.as_nanos()).unwrap_or(i128::MAX);
        self
    }

    /// This index, if it was made under `keys`.
    pub(super) fn under(&self, keys: &KeySet) -> Option<&Self> {
        (self.keys == fingerprint(keys)).then_some(self)
    }

    /// What is known of the file that `facts` describe, if it cannot have changed.
    pub(super) fn unchanged(&self, facts: &Facts) -> Option<&Known> {
        self.files.get(&facts.ino).filter(|known| {
            !known.racy && known.ctime == facts.ctime && known.content.size_bytes() == facts.size
        })
    }

    /// Where the bytes of an inode were, though they may have changed since.
    pub(super) fn last_content(&self, ino: u64) -> Option<&Content> {
        self.files.get(&ino).map(|known| &known.content)
    }

    pub(super) fn contents(&self) -> impl Iterator<Item = &Content> {
        self.files.values().map(|known| &known.content)
    }

    /// Writes the index to a file, whole or not at all.
    ///
    /// # Errors
    /// `Io`.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let wire = Wire {
            tree: self.tree.to_string(),
            keys: self.keys.to_vec(),
            renewed_at: u64::try_from(self.renewed_at / 1_000_000).unwrap_or(0),
            files: self
                .files
                .iter()
                .map(|(ino, known)| known.to_wire(*ino))
                .collect(),
        };
        let mut bytes = MAGIC.to_vec();
        wire.encode_raw(&mut bytes);
        let sum = blake3::hash(&bytes);
        bytes.extend_from_slice(sum.as_bytes());

        let mut staged = path.as_os_str().to_owned();
        staged.push(".new");
        // Not synced: a torn index is recognised by its sum, and one that is lost costs no more than time.
        File::create(&staged)
            .and_then(|mut file| file.write_all(&bytes))
            .and_then(|()| fs::rename(&staged, path))
            .map_err(Error::io("write tree index", path))
    }

    /// Reads an index from a file; `None` if there is none.
    ///
    /// # Errors
    /// `Corrupt` if it is torn or of another version: capture without it then, nothing is lost but time. `Io`.
    pub fn load(path: &Path) -> Result<Option<Self>, Error> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read tree index", path)(error)),
        };
        Self::decode(&bytes)
            .map(Some)
            .ok_or_else(|| Error::Corrupt {
                what: "tree index",
                name: path.display().to_string(),
                reason: "it is torn or of another version",
            })
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (summed, sum) = bytes.split_last_chunk::<32>()?;
        if blake3::hash(summed) != *sum {
            return None;
        }
        let wire = Wire::decode(summed.strip_prefix(MAGIC)?).ok()?;
        let mut files = HashMap::with_capacity(wire.files.len());
        for file in wire.files {
            files.insert(file.ino, Known::from_wire(file)?);
        }
        Some(Self {
            tree: wire.tree.parse().ok()?,
            keys: wire.keys.try_into().ok()?,
            renewed_at: i128::from(wire.renewed_at) * 1_000_000,
            files,
        })
    }
}

impl Known {
    fn to_wire(&self, ino: u64) -> WireFile {
        WireFile {
            ino,
            ctime_seconds: self.ctime.seconds,
            ctime_nanoseconds: self.ctime.nanoseconds,
            racy: self.racy,
            content: Some((&self.content).into()),
            xattrs: encode_xattrs(&self.xattrs),
        }
    }

    fn from_wire(wire: WireFile) -> Option<Self> {
        Some(Self {
            ctime: Stamp {
                seconds: wire.ctime_seconds,
                nanoseconds: wire.ctime_nanoseconds,
            },
            racy: wire.racy,
            content: wire.content.unwrap_or_default().decode().ok()?,
            xattrs: decode_xattrs(wire.xattrs),
        })
    }
}

fn fingerprint(keys: &KeySet) -> [u8; 8] {
    let hash = keys.keyed_hash("tree index", &[]);
    let mut fingerprint = [0; 8];
    fingerprint.copy_from_slice(&hash[..8]);
    fingerprint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_just_before_the_look_or_after_it_is_racy() {
        let check = |seconds, nanoseconds, racy| {
            let ctime = Stamp {
                seconds,
                nanoseconds,
            };
            assert_eq!(is_racy(ctime, 100_000_000_000), racy, "{ctime:?}");
        };
        check(99, 949_999_999, false);
        check(99, 950_000_001, true);
        check(100, 0, true);
        check(101, 0, true);
        check(-1, 0, false);
    }
}
