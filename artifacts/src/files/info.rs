//! What is told of one file.

use super::Path;
use crate::tree::Stamp;
use crate::tree::beneath::{Facts, Xattrs};
use crate::tree::entry::{Entry, Node};
use rustix::fs::FileType;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    Symlink,
    Fifo,
    /// A socket or a device: seen, and left alone.
    Other,
}

/// One file, directory or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    pub path: Path,
    pub kind: Kind,
    /// Of regular files; of links the length of their text.
    pub size_bytes: u64,
    /// Permission, set-id and sticky bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub modified: Stamp,
    /// Of a link.
    pub target: Option<Vec<u8>>,
    /// Changes with every write: see [`is_revision`].
    pub revision: String,
}

impl Info {
    /// `facts` say what is at `path`; `target` is the text of a link.
    pub(super) fn live(path: Path, facts: &Facts, target: Option<Vec<u8>>) -> Self {
        let kind = kind(facts.kind);
        let size_bytes = match kind {
            Kind::File | Kind::Symlink => facts.size,
            Kind::Directory | Kind::Fifo | Kind::Other => 0,
        };
        let mut strict = blake3::Hasher::new();
        strict.update(&facts.ino.to_le_bytes());
        strict.update(&facts.ctime.nanos().to_le_bytes());
        Self {
            path,
            kind,
            size_bytes,
            mode: facts.mode,
            uid: facts.uid,
            gid: facts.gid,
            modified: facts.mtime,
            target,
            revision: revision(kind, size_bytes, facts.mtime, 'l', &strict),
        }
    }

    /// `entry` describes the file itself: of a hard link, the one that it is a name of.
    pub(super) fn stored(path: Path, entry: &Entry) -> Self {
        let mut strict = blake3::Hasher::new();
        let (kind, size_bytes, target) = match &entry.node {
            Node::Directory => (Kind::Directory, 0, None),
            Node::File { content, .. } => {
                strict.update(&content.fingerprint());
                (Kind::File, content.size_bytes(), None)
            }
            Node::Symlink { target } => {
                strict.update(target);
                let target = target.clone();
                (Kind::Symlink, target.len() as u64, Some(target))
            }
            Node::Fifo => (Kind::Fifo, 0, None),
            Node::HardLink { .. } => (Kind::Other, 0, None),
        };
        for number in [entry.mode, entry.uid, entry.gid] {
            strict.update(&number.to_le_bytes());
        }
        Self {
            path,
            kind,
            size_bytes,
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            modified: entry.mtime,
            target,
            revision: revision(kind, size_bytes, entry.mtime, 's', &strict),
        }
    }
}

/// What an archive needs beside [`Info`].
#[derive(Debug, Clone, Default)]
pub(super) struct Extra {
    pub(super) xattrs: Xattrs,
    /// The earlier path of the same file, if this is another name of it.
    pub(super) link_of: Option<Path>,
}

fn kind(of: FileType) -> Kind {
    match of {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        _ => Kind::Other,
    }
}

/// Two halves. The first holds what a capture keeps, so that it is the same in a directory and in the version captured of
/// it. The second holds what no writer can set at will, inode and change time, or what is stored.
fn revision(kind: Kind, size: u64, modified: Stamp, way: char, strict: &blake3::Hasher) -> String {
    let mut kept = blake3::Hasher::new();
    kept.update(&[kind as u8]);
    kept.update(&size.to_le_bytes());
    kept.update(&modified.nanos().to_le_bytes());
    let half = |hasher: &blake3::Hasher| hasher.finalize().to_hex()[..16].to_owned();
    format!("{}{way}{}", half(&kept), half(strict))
}

/// Whether `asked`, which was told of a file earlier, is the file that has the revision `now`. Where both were looked at in
/// the same way both halves count; between a directory and a version, the first.
#[must_use]
pub fn is_revision(asked: &str, now: &str) -> bool {
    let (Some((asked_half, asked_rest)), Some((half, rest))) =
        (asked.split_at_checked(16), now.split_at_checked(16))
    else {
        return false;
    };
    let same_way = asked_rest.as_bytes().first() == rest.as_bytes().first();
    asked_half == half && (!same_way || asked_rest == rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_outlives_a_capture_and_no_write() {
        let (live, other) = ("0123456789abcdefl1111", "0123456789abcdefl2222");
        let stored = "0123456789abcdefs3333";
        assert!(is_revision(live, live) && is_revision(live, stored));
        assert!(!is_revision(live, other));
        assert!(!is_revision(live, "1123456789abcdefs3333"));
        assert!(!is_revision("", live) && !is_revision("ä", live));
    }
}
