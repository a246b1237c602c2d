//! What lies under a path: which kind of filesystem, and how much room.

use std::path::{Path, PathBuf};

/// A filesystem, as far as data is to lie on it.
#[derive(Debug, Clone)]
pub(crate) struct Filesystem {
    /// The nearest folder above the path that exists.
    pub(crate) at: PathBuf,
    pub(crate) kind: Kind,
    pub(crate) free_bytes: u64,
    pub(crate) total_bytes: u64,
}

/// Whether a filesystem keeps what the store relies on: locks, and writes that are durable when they say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Local,
    /// Gone at the next boot.
    Memory,
    /// On another machine: locks and durability are only promised.
    Network(&'static str),
}

/// Looks at the filesystem of a path that may not exist yet.
pub(crate) fn of(path: &Path) -> std::io::Result<Filesystem> {
    let path = std::path::absolute(path)?;
    let at = path
        .ancestors()
        .find(|folder| folder.exists())
        .unwrap_or(Path::new("/"));
    let facts = rustix::fs::statfs(at)?;
    let room = rustix::fs::statvfs(at)?;
    Ok(Filesystem {
        at: at.to_owned(),
        // The magic numbers have 32 bits, whatever the field has.
        kind: kind(u64::try_from(facts.f_type).unwrap_or(0) & 0xffff_ffff),
        free_bytes: room.f_bavail.saturating_mul(room.f_frsize),
        total_bytes: room.f_blocks.saturating_mul(room.f_frsize),
    })
}

/// Numbers of linux/magic.h and of the network filesystems' own sources.
fn kind(magic: u64) -> Kind {
    match magic {
        0x6969 => Kind::Network("NFS"),
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => Kind::Network("SMB"),
        0x0102_1997 => Kind::Network("9p"),
        0x00c3_6400 => Kind::Network("Ceph"),
        0x5346_414f | 0x6b41_4653 => Kind::Network("AFS"),
        0x0bd0_0bd0 => Kind::Network("Lustre"),
        0x0102_1994 | 0x8584_58f6 => Kind::Memory,
        _ => Kind::Local,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_path_that_is_not_there_yet_lies_where_its_parent_does() {
        let folder = tempfile::tempdir().unwrap();
        let found = of(&folder.path().join("a/b/c")).unwrap();
        assert_eq!(found.at, folder.path());
        assert!(found.free_bytes > 0);
    }

    #[test]
    fn network_filesystems_are_known_by_their_numbers() {
        assert_eq!(kind(0x6969), Kind::Network("NFS"));
        assert_eq!(kind(0xef53), Kind::Local);
        assert_eq!(kind(0x0102_1994), Kind::Memory);
    }
}
