//! The entries of a tree manifest: length-prefixed protobuf, depth first, names sorted in each directory. Fields are
//! only ever added.

use prost::Message;

use super::beneath::Xattrs;
use super::content::Content;
use crate::manifest::{self, WireSegment};

/// Longest path from the root that a manifest may hold.
pub(crate) const PATH_BYTES: usize = 32 << 10;
/// Longest path that is captured: twice what a program can name. A walk holds the paths of all directories above it, so
/// this bounds what a tree that is made only of depth takes of the host's memory.
pub(super) const CAPTURED_PATH_BYTES: usize = 8 << 10;

/// A point in time as file systems keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// One file, directory or link of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// From the root, without a slash at either end; empty for the root itself.
    pub path: Vec<u8>,
    /// Permission, set-id and sticky bits. This and the next fields mean nothing for a hard link.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Stamp,
    /// Sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub node: Node,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    Directory,
    File {
        content: Content,
        /// Later entries are hard links to this one.
        linked: bool,
    },
    Symlink {
        target: Vec<u8>,
    },
    Fifo,
    /// Another name of an earlier file, symlink or FIFO: its path.
    HardLink {
        of: Vec<u8>,
    },
}

#[derive(Clone, PartialEq, Message)]
struct Wire {
    #[prost(bytes = "vec", tag = "1")]
    path: Vec<u8>,
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(uint32, tag = "3")]
    mode: u32,
    #[prost(uint32, tag = "4")]
    uid: u32,
    #[prost(uint32, tag = "5")]
    gid: u32,
    #[prost(sint64, tag = "6")]
    mtime_seconds: i64,
    #[prost(uint32, tag = "7")]
    mtime_nanoseconds: u32,
    #[prost(message, repeated, tag = "8")]
    xattrs: Vec<WireXattr>,
    /// Of a symlink: its text; of a hard link: the path it is a name of.
    #[prost(bytes = "vec", tag = "9")]
    target: Vec<u8>,
    #[prost(message, optional, tag = "10")]
    content: Option<WireContent>,
    #[prost(bool, tag = "11")]
    linked: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct WireXattr {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct WireContent {
    #[prost(message, repeated, tag = "1")]
    segments: Vec<WireSegment>,
    #[prost(bytes = "vec", tag = "2")]
    digest: Vec<u8>,
}

const DIRECTORY: u32 = 1;
const FILE: u32 = 2;
const SYMLINK: u32 = 3;
const FIFO: u32 = 4;
const HARD_LINK: u32 = 5;

impl Stamp {
    pub(crate) fn new(seconds: impl TryInto<i64>, nanoseconds: impl TryInto<u32>) -> Self {
        Self {
            seconds: seconds.try_into().unwrap_or(0),
            nanoseconds: nanoseconds.try_into().unwrap_or(0),
        }
    }

    /// Nanoseconds since the epoch.
    pub(crate) fn nanos(self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanoseconds)
    }
}

impl Entry {
    /// The wire form with its length.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (kind, target, content, linked) = match &self.node {
            Node::Directory => (DIRECTORY, Vec::new(), None, false),
            Node::File { content, linked } => (FILE, Vec::new(), Some(content.into()), *linked),
            Node::Symlink { target } => (SYMLINK, target.clone(), None, false),
            Node::Fifo => (FIFO, Vec::new(), None, false),
            Node::HardLink { of } => (HARD_LINK, of.clone(), None, false),
        };
        Wire {
            path: self.path.clone(),
            kind,
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            mtime_seconds: self.mtime.seconds,
            mtime_nanoseconds: self.mtime.nanoseconds,
            xattrs: encode_xattrs(&self.xattrs),
            target,
            content,
            linked,
        }
        .encode_length_delimited_to_vec()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let wire = Wire::decode(bytes).map_err(|_| "an entry does not decode")?;
        let node = match wire.kind {
            DIRECTORY => Node::Directory,
            FILE => Node::File {
                content: wire.content.unwrap_or_default().decode()?,
                linked: wire.linked,
            },
            SYMLINK => Node::Symlink {
                target: wire.target,
            },
            FIFO => Node::Fifo,
            HARD_LINK if is_path(&wire.target) && !wire.target.is_empty() => {
                Node::HardLink { of: wire.target }
            }
            HARD_LINK => return Err("a hard link points out of the tree"),
            _ => return Err("an entry is of an unknown kind"),
        };
        if !is_path(&wire.path) {
            return Err("a path leads out of the tree");
        }
        if wire.mode > 0o7777 || wire.mtime_nanoseconds > 999_999_999 {
            return Err("an entry's mode or time is out of range");
        }
        Ok(Self {
            path: wire.path,
            mode: wire.mode,
            uid: wire.uid,
            gid: wire.gid,
            mtime: Stamp {
                seconds: wire.mtime_seconds,
                nanoseconds: wire.mtime_nanoseconds,
            },
            xattrs: decode_xattrs(wire.xattrs),
            node,
        })
    }
}

/// Whether bytes are a path that stays beneath the root, or empty.
fn is_path(path: &[u8]) -> bool {
    path.is_empty()
        || (path.len() <= PATH_BYTES
            && !path.contains(&0)
            && path
                .split(|byte| *byte == b'/')
                .all(|name| !name.is_empty() && name != b"." && name != b".." && name.len() <= 255))
}

impl From<&Content> for WireContent {
    fn from(content: &Content) -> Self {
        Self {
            segments: content.segments.iter().map(WireSegment::from).collect(),
            digest: content.digest.map(Vec::from).unwrap_or_default(),
        }
    }
}

impl WireContent {
    pub(crate) fn decode(self) -> Result<Content, &'static str> {
        let segments = self
            .segments
            .iter()
            .map(WireSegment::decode)
            .collect::<Result<Vec<_>, _>>()?;
        manifest::total(&segments).ok_or("a file is longer than files can be")?;
        let digest = if self.digest.is_empty() {
            None
        } else {
            Some(
                self.digest
                    .try_into()
                    .map_err(|_| "a digest has another length")?,
            )
        };
        Ok(Content { segments, digest })
    }
}

pub(crate) fn encode_xattrs(xattrs: &Xattrs) -> Vec<WireXattr> {
    xattrs
        .iter()
        .map(|(name, value)| WireXattr {
            name: name.clone(),
            value: value.clone(),
        })
        .collect()
}

pub(crate) fn decode_xattrs(xattrs: Vec<WireXattr>) -> Xattrs {
    xattrs
        .into_iter()
        .map(|xattr| (xattr.name, xattr.value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_out_are_refused() {
        for path in ["..", "a/..", "/a", "a/", "a//b", ".", "a/./b", "a\0b"] {
            assert!(!is_path(path.as_bytes()), "{path}");
        }
        assert!(is_path(b"a/..b/.c/\xff"));
        let long = [b'a'; 256];
        assert!(!is_path(&long));
    }
}
