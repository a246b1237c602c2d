//! Materialize and restore: a manifest is followed entry by entry beside what the directory holds, both in the same
//! order, so that neither is held in memory.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

use super::beneath::{self, failed, part};
use super::entries::{self, Entries, corrupt};
use super::entry::{Entry, Node};
use super::index::{Draft, Index};
use super::spine::{Level, Spine};
use crate::clock::wall_ns;
use crate::watch::Watch;
use crate::{Artifacts, Error, KeySet, ManifestId};

mod attributes;
mod chunks;
mod place;
mod remove;

use chunks::Chunks;
use place::{Place, Placed};
use remove::remove;

pub use remove::empty;

/// Files synced one by one; more, and the whole file system is, once.
const SYNCED_ONE_BY_ONE: usize = 32;

/// Makes the tree `id` in the empty directory `root`. Returns when it is durable. After a failure or a kill the
/// directory holds a part of the tree: [`restore`] completes it.
///
/// # Errors
/// `NotEmpty`, `NotFound`, `Corrupt`, `Store`, `Io`.
pub fn materialize(
    artifacts: &Artifacts,
    keys: &KeySet,
    id: ManifestId,
    root: impl AsFd,
) -> Result<Index, Error> {
    let dir = beneath::open_dir(root.as_fd(), b"").map_err(failed("open", b""))?;
    let names = beneath::names(dir.as_fd()).map_err(failed("list", b""))?;
    if !names.is_empty() {
        let path =
            std::fs::read_link(beneath::by_descriptor(&dir)).unwrap_or_else(|_| PathBuf::from("."));
        return Err(Error::NotEmpty { path });
    }
    follow(artifacts, keys, id, dir, None)
}

/// Puts the directory `root` back to the tree `id`: removes what is not in it and rewrites what differs. What `known`
/// (the last index of this directory) or a look at a small file shows to be right already stays as it is. Nothing may
/// write to the directory meanwhile. Safe to repeat after a failure or a kill.
///
/// # Errors
/// `NotFound`, `Corrupt`, `Store`, `Io`.
pub fn restore(
    artifacts: &Artifacts,
    keys: &KeySet,
    id: ManifestId,
    root: impl AsFd,
    known: Option<&Index>,
) -> Result<Index, Error> {
    let dir = beneath::open_dir(root.as_fd(), b"").map_err(failed("open", b""))?;
    follow(artifacts, keys, id, dir, known)
}

fn follow(
    artifacts: &Artifacts,
    keys: &KeySet,
    id: ManifestId,
    root: OwnedFd,
    known: Option<&Index>,
) -> Result<Index, Error> {
    let mut restore = Restore {
        id,
        watch: artifacts.watch(),
        spine: Spine::new(root.as_fd()),
        place: Place {
            keys,
            known: known.and_then(|index| index.under(keys)),
            chunks: Chunks::new(artifacts, keys),
        },
        // The tree may be old, and what is there already was not read.
        draft: Draft::new(keys, 0),
        taken: HashSet::new(),
        linked: HashMap::new(),
        unsynced: Unsynced::Few(Vec::new()),
    };
    restore.entries(entries::read(artifacts, keys, id)?)?;
    restore.finish(root.as_fd())
}

struct Restore<'r, 'a> {
    id: ManifestId,
    watch: &'a Watch,
    spine: Spine<'r, Existing>,
    place: Place<'a>,
    draft: Draft,
    /// Inodes that an entry stands on, so that no second entry that is not its hard link does.
    taken: HashSet<u64>,
    /// Inode of each path that later entries are hard links to.
    linked: HashMap<Vec<u8>, u64>,
    unsynced: Unsynced,
}

/// A directory that is being filled.
struct Existing {
    entry: Entry,
    /// Names that were there and have not come up, in descending order.
    names: Vec<Vec<u8>>,
}

enum Unsynced {
    Few(Vec<OwnedFd>),
    Many,
}

impl Unsynced {
    fn push(&mut self, file: OwnedFd) {
        match self {
            Self::Few(files) if files.len() < SYNCED_ONE_BY_ONE => files.push(file),
            Self::Few(_) => *self = Self::Many,
            Self::Many => {}
        }
    }
}

impl Restore<'_, '_> {
    fn entries(&mut self, entries: Entries) -> Result<(), Error> {
        for entry in entries {
            self.watch.entry()?;
            let entry = entry?;
            if entry.path.is_empty() {
                self.enter_root(entry)?;
                continue;
            }
            let (parent, _) = part(&entry.path);
            while self.spine.top().is_some_and(|level| level.path != parent) {
                self.leave()?;
            }
            self.entry(entry)?;
        }
        while self.spine.top().is_some() {
            self.leave()?;
        }
        Ok(())
    }

    fn enter_root(&mut self, entry: Entry) -> Result<(), Error> {
        if entry.node != Node::Directory {
            return Err(corrupt(self.id, "its root is not a directory"));
        }
        let dir = beneath::open_dir(self.spine.root(), b"").map_err(failed("open", b""))?;
        self.enter(entry, dir)
    }

    fn enter(&mut self, entry: Entry, dir: OwnedFd) -> Result<(), Error> {
        let mut names = beneath::names(dir.as_fd()).map_err(failed("list", &entry.path))?;
        names.reverse();
        self.spine
            .push(entry.path.clone(), dir, Existing { entry, names });
        Ok(())
    }

    fn entry(&mut self, entry: Entry) -> Result<(), Error> {
        let root = self.spine.root();
        let Some(level) = self.spine.top() else {
            return Err(corrupt(self.id, "an entry has no directory"));
        };
        let (_, name) = part(&entry.path);
        let mut exists = false;
        while let Some(there) = level.state.names.pop_if(|there| there.as_slice() <= name) {
            if there.as_slice() == name {
                exists = true;
            } else {
                remove_from(level, root, &there)?;
            }
        }
        let dir = level
            .dir(root)
            .map_err(failed("open", part(&entry.path).0))?;
        let facts = match exists.then(|| beneath::look(dir, name)) {
            None | Some(Err(Errno::NOENT)) => None,
            Some(found) => Some(found.map_err(failed("stat", &entry.path))?),
        };
        let wanted = match &entry.node {
            Node::Directory => FileType::Directory,
            Node::File { .. } => FileType::RegularFile,
            Node::Symlink { .. } => FileType::Symlink,
            Node::Fifo => FileType::Fifo,
            Node::HardLink { of } => {
                let Some(ino) = self.linked.get(of).copied() else {
                    return Err(corrupt(self.id, "a hard link is of no earlier entry"));
                };
                return self.hard_link(&entry, facts, ino);
            }
        };
        // Whatever else is in the way goes; so does an inode that another entry stands on already.
        let facts = match facts {
            Some(facts) if facts.kind == wanted && !self.taken.contains(&facts.ino) => Some(facts),
            Some(_) => {
                remove_from(level, root, name)?;
                None
            }
            None => None,
        };
        let dir = level
            .dir(root)
            .map_err(failed("open", part(&entry.path).0))?;
        if entry.node == Node::Directory {
            let child = place::directory(dir, name, &entry.path, facts)?;
            return self.enter(entry, child);
        }
        let placed = self.place.put(dir, name, &entry, facts)?;
        self.placed(&entry, placed);
        Ok(())
    }

    fn placed(&mut self, entry: &Entry, placed: Placed) {
        self.taken.insert(placed.ino);
        match &entry.node {
            Node::File { linked: false, .. } | Node::Directory | Node::HardLink { .. } => {}
            // Symlinks and FIFOs do not say whether they have other names.
            Node::File { linked: true, .. } | Node::Symlink { .. } | Node::Fifo => {
                self.linked.insert(entry.path.clone(), placed.ino);
            }
        }
        if let Some(known) = placed.known {
            self.draft.insert(placed.ino, known);
        }
        if let Some(file) = placed.written {
            self.unsynced.push(file);
        }
    }

    fn hard_link(
        &mut self,
        entry: &Entry,
        facts: Option<beneath::Facts>,
        ino: u64,
    ) -> Result<(), Error> {
        let Node::HardLink { of } = &entry.node else {
            return Ok(());
        };
        if facts.is_some_and(|facts| facts.ino == ino) {
            return Ok(());
        }
        let root = self.spine.root();
        let Some(level) = self.spine.top() else {
            return Ok(());
        };
        let (_, name) = part(&entry.path);
        if facts.is_some() {
            remove_from(level, root, name)?;
        }
        let (from_path, from_name) = part(of);
        let from = beneath::open_dir(root, from_path).map_err(failed("open", from_path))?;
        let dir = level
            .dir(root)
            .map_err(failed("open", part(&entry.path).0))?;
        rustix::fs::linkat(&from, from_name, dir, name, AtFlags::empty())
            .map_err(failed("link", &entry.path))?;
        let linked = beneath::look(dir, name).map_err(failed("stat", &entry.path))?;
        if linked.ino != ino {
            return Err(Error::Unstable {
                path: beneath::shown(&entry.path),
            });
        }
        // Linking is a change to the inode.
        if let Some(known) = self.draft.get_mut(ino) {
            known.ctime = linked.ctime;
        }
        Ok(())
    }

    /// Ends the deepest directory: what the tree does not have goes, and then its own attributes are right.
    fn leave(&mut self) -> Result<(), Error> {
        let root = self.spine.root();
        let Some(mut level) = self.spine.pop() else {
            return Ok(());
        };
        for name in std::mem::take(&mut level.state.names) {
            remove_from(&mut level, root, &name)?;
        }
        let (path, dir, state) = level.into_parts(root)?;
        if attributes::apply(dir.as_fd(), &state.entry, &path)? {
            self.unsynced.push(dir);
        }
        Ok(())
    }

    fn finish(mut self, root: BorrowedFd<'_>) -> Result<Index, Error> {
        match self.unsynced {
            Unsynced::Few(files) => {
                for file in files {
                    rustix::fs::fsync(file).map_err(failed("sync", b""))?;
                }
            }
            Unsynced::Many => rustix::fs::syncfs(root).map_err(failed("sync", b""))?,
        }
        let trusted = beneath::keeps_change_times(root).map_err(failed("stat", b""))?;
        self.draft
            .mark_racy(if trusted { wall_ns() } else { i128::MIN });
        Ok(self.draft.finish(self.id))
    }
}

fn remove_from(
    level: &mut Level<Existing>,
    root: BorrowedFd<'_>,
    name: &[u8],
) -> Result<(), Error> {
    let dir = level.dir(root).map_err(failed("open", name))?;
    remove(dir, name)
}

/// Mode bits as the kernel takes them.
fn mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits & 0o7777)
}
