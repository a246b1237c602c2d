//! Capture: walk, take what the index says is unchanged, store the rest, then write the manifest.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::FileType;
use rustix::io::Errno;

use super::beneath::{self, Facts, Xattrs, failed, join, moved, shown};
use super::content::{Content, Packer, Slot, Taken};
use super::entries::ENTRY_BYTES;
use super::entry::{CAPTURED_PATH_BYTES, Entry, Node};
use super::index::{Draft, Index, Known, is_racy};
use super::spine::Spine;
use crate::blob;
use crate::chunk::{ChunkName, Writer};
use crate::clock::wall_ns;
use crate::cut::Cutter;
use crate::manifest::{self, Content as ManifestContent, Segment, Source};
use crate::{Artifacts, Error, KeySet, ManifestId};

mod stored;
mod sync;

use stored::Stored;
use sync::Sync;

/// Looks at a name that keeps changing its kind, and reads of a file that keeps being written.
const TRIES: u32 = 4;

/// How long chunks that an index knows are taken as wanted: a fraction of what a sweep waits at the least.
const RENEWED_FOR: i128 = 900_000_000_000;

/// Entries that may wait for an open pack.
const PENDING: usize = 4096;

/// A captured tree. Its bytes are durable.
#[derive(Debug, Clone)]
pub struct Captured {
    pub id: ManifestId,
    /// Logical size of all files; a hard link counts once.
    pub size_bytes: u64,
    /// Bytes of file content that the previous index did not know.
    pub changed_bytes: u64,
    /// Bytes of files that were read: those of files that may have changed, whole.
    pub read_bytes: u64,
    /// What the store grew by.
    pub stored_bytes: u64,
    /// The root and everything in it.
    pub entries: u64,
    /// Sockets, device nodes, and what lies deeper than 8 KiB of path, which are not kept.
    pub left_out: u64,
    /// For the next capture of the same directory.
    pub index: Index,
}

/// Captures the directory `root`. Pass the index of its last capture or materialization, whose manifest must still
/// exist; without one everything is read. The caller has paused whatever writes to the tree; if something writes
/// nevertheless, each file is some state of it and is read again next time.
///
/// # Errors
/// `Io`, `Store`, `Unstable`, `FileTooLarge`, `Abandoned`. Nothing is left but chunks that nobody names.
pub fn capture(
    artifacts: &Artifacts,
    keys: &KeySet,
    root: impl AsFd,
    previous: Option<&Index>,
) -> Result<Captured, Error> {
    let root = beneath::open_dir(root.as_fd(), b"").map_err(failed("open", b""))?;
    let previous = previous.and_then(|index| index.under(keys));
    match capture_from(artifacts, keys, root.as_fd(), previous) {
        // What the index knows has been swept since: it is read again.
        Err(Error::NotFound { .. }) if previous.is_some() => {
            capture_from(artifacts, keys, root.as_fd(), None)
        }
        captured => captured,
    }
}

/// # Errors
/// As [`capture`]; `NotFound` if a chunk that the index knows does not exist any more.
fn capture_from(
    artifacts: &Artifacts,
    keys: &KeySet,
    root: BorrowedFd<'_>,
    previous: Option<&Index>,
) -> Result<Captured, Error> {
    let trusted = beneath::keeps_change_times(root).map_err(failed("stat", b""))?;
    let now = wall_ns();
    // Chunks that nobody refers to are kept for a while after they were last wanted, so what is taken from the index
    // unread is wanted again from time to time.
    let renewed_at = previous
        .map(Index::renewed_at)
        .filter(|at| (0..RENEWED_FOR).contains(&(now - at)));
    let mut capture = Capture {
        artifacts,
        trusted,
        previous,
        renewing: renewed_at.is_none(),
        renew: HashSet::new(),
        stored: None,
        writer: Writer::new(artifacts, keys),
        packer: Packer::new(),
        manifest: Cutter::new(),
        segments: Vec::new(),
        pending: Vec::new(),
        linked: HashMap::new(),
        draft: Draft::new(keys, renewed_at.unwrap_or(now)),
        sync: Sync::default(),
        size_bytes: 0,
        changed_bytes: 0,
        read_bytes: 0,
        entries: 0,
        left_out: 0,
    };
    capture.walk(root)?;
    capture.finish()
}

struct Capture<'a> {
    artifacts: &'a Artifacts,
    /// Whether an unchanged change time says that nothing changed; else everything is read each time.
    trusted: bool,
    previous: Option<&'a Index>,
    /// Whether chunks that are taken from the index are to be wanted again, and which.
    renewing: bool,
    renew: HashSet<ChunkName>,
    /// What the previous index knows by content; made when the first file must be read.
    stored: Option<Stored>,
    writer: Writer<'a>,
    packer: Packer,
    manifest: Cutter,
    segments: Vec<Segment>,
    /// Entries in order, from the first whose bytes are in the open pack.
    pending: Vec<Pending>,
    /// First path of each inode with several names.
    linked: HashMap<u64, Vec<u8>>,
    draft: Draft,
    sync: Sync,
    size_bytes: u64,
    changed_bytes: u64,
    read_bytes: u64,
    entries: u64,
    left_out: u64,
}

struct Pending {
    entry: Entry,
    /// Set while the content is in the open pack.
    slot: Option<Slot>,
    /// Set for regular files: inode and what the index will know.
    known: Option<(u64, Known)>,
}

/// A file as it was read.
struct FileRead {
    facts: Facts,
    taken: Taken,
    xattrs: Xattrs,
    racy: bool,
}

impl Capture<'_> {
    fn walk(&mut self, root: BorrowedFd<'_>) -> Result<(), Error> {
        let mut spine = Spine::new(root);
        let top = beneath::open_dir(root, b"").map_err(failed("open", b""))?;
        let names = self.enter(top.as_fd(), Vec::new())?;
        spine.push(Vec::new(), top, names.into_iter());
        while let Some(level) = spine.top() {
            let Some(name) = level.state.next() else {
                spine.pop();
                continue;
            };
            let path = join(&level.path, &name);
            self.artifacts.watch().entry()?;
            if path.len() > CAPTURED_PATH_BYTES {
                // No program reaches it by its path, and to fail here would keep everything else from being captured.
                self.left_out += 1;
                continue;
            }
            let dir = match level.dir(root) {
                Ok(dir) => dir,
                // The directory was moved away while its children were walked: the rest of it is gone.
                Err(error) if moved(error) => {
                    spine.pop();
                    continue;
                }
                Err(error) => return Err(failed("open", &level.path)(error)),
            };
            if let Some(child) = self.visit(dir, &name, &path)? {
                let names = self.enter(child.as_fd(), path.clone())?;
                spine.push(path, child, names.into_iter());
            }
        }
        Ok(())
    }

    /// Takes a directory's own entry. Returns the names in it.
    fn enter(&mut self, dir: BorrowedFd<'_>, path: Vec<u8>) -> Result<Vec<Vec<u8>>, Error> {
        let facts = beneath::look_at(dir).map_err(failed("stat", &path))?;
        let xattrs = beneath::xattrs(dir).map_err(failed("read attributes of", &path))?;
        let names = beneath::names(dir).map_err(failed("list", &path))?;
        self.push(Pending::of(entry(path, &facts, xattrs, Node::Directory)))?;
        Ok(names)
    }

    /// Takes one name. Returns the directory to descend into if it is one.
    fn visit(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
    ) -> Result<Option<std::os::fd::OwnedFd>, Error> {
        for _ in 0..TRIES {
            let facts = match beneath::look(dir, name) {
                Ok(facts) => facts,
                Err(Errno::NOENT) => return Ok(None),
                Err(error) => return Err(failed("stat", path)(error)),
            };
            let taken = match facts.kind {
                FileType::Directory => match beneath::open_dir(dir, name) {
                    Ok(child) => return Ok(Some(child)),
                    Err(error) => Err(error),
                },
                FileType::RegularFile => self.visit_file(dir, name, path, facts)?,
                FileType::Symlink => self.visit_symlink(dir, name, path, facts)?,
                FileType::Fifo => self.visit_fifo(path, facts)?,
                _ => {
                    self.left_out += 1;
                    Ok(())
                }
            };
            match taken {
                Ok(()) => return Ok(None),
                Err(error) if moved(error) || error == Errno::INVAL => {}
                Err(error) => return Err(failed("open", path)(error)),
            }
        }
        Err(Error::Unstable { path: shown(path) })
    }

    fn visit_symlink(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        facts: Facts,
    ) -> Visit {
        let target = match beneath::read_link(dir, name) {
            Ok(target) => target,
            // INVAL: not a link any more.
            Err(error) => return Ok(Err(error)),
        };
        let node = self
            .first_name(path, &facts)
            .unwrap_or(Node::Symlink { target });
        self.push(Pending::of(entry(path.to_vec(), &facts, Vec::new(), node)))
            .map(Ok)
    }

    fn visit_fifo(&mut self, path: &[u8], facts: Facts) -> Visit {
        let node = self.first_name(path, &facts).unwrap_or(Node::Fifo);
        self.push(Pending::of(entry(path.to_vec(), &facts, Vec::new(), node)))
            .map(Ok)
    }

    fn visit_file(&mut self, dir: BorrowedFd<'_>, name: &[u8], path: &[u8], facts: Facts) -> Visit {
        if let Some(link) = self.linked_to(&facts) {
            return self
                .push(Pending::of(entry(path.to_vec(), &facts, Vec::new(), link)))
                .map(Ok);
        }
        if let Some(known) = self.previous.and_then(|index| index.unchanged(&facts)) {
            let known = known.clone();
            self.reuse(&known.content);
            return self.push_file(path, &facts, None, known).map(Ok);
        }
        let mut file = match beneath::open_file(dir, name) {
            Ok(Some(file)) => File::from(file),
            Ok(None) => return Ok(Err(Errno::NXIO)),
            Err(error) => return Ok(Err(error)),
        };
        let FileRead {
            facts,
            taken,
            xattrs,
            racy,
        } = self.read(&mut file, path)?;
        // Another file may have been put under the name since the first look, one that was taken already.
        if let Some(link) = self.linked_to(&facts) {
            return self
                .push(Pending::of(entry(path.to_vec(), &facts, Vec::new(), link)))
                .map(Ok);
        }
        let (content, slot) = match taken {
            Taken::Stored(content) => {
                self.reuse(&content);
                (content, None)
            }
            Taken::Packed(slot) => (Content::default(), Some(slot)),
        };
        self.count_changed(&content, slot);
        let known = Known {
            ctime: facts.ctime,
            racy,
            content,
            xattrs,
        };
        self.push_file(path, &facts, slot, known).map(Ok)
    }

    /// Reads a file until it stayed the same over the read, or else marks it.
    fn read(&mut self, file: &mut File, path: &[u8]) -> Result<FileRead, Error> {
        let mut tries = 1;
        loop {
            let synced_at = self
                .sync
                .before_reading(&*file)
                .map_err(failed("sync", path))?;
            let facts = beneath::look_at(&*file).map_err(failed("stat", path))?;
            std::io::Seek::rewind(file).map_err(beneath::failed_io("seek in", path))?;
            let stored = self.stored.get_or_insert_with(|| Stored::of(self.previous));
            let previous = self.previous;
            let known = |digest: &[u8; 32]| {
                // The file's own place first: unchanged trees must give the same manifest.
                let own = previous.and_then(|index| index.last_content(facts.ino));
                own.filter(|own| own.digest.as_ref() == Some(digest))
                    .or_else(|| stored.by_digest.get(digest))
                    .cloned()
            };
            let taken = self
                .packer
                .store(&mut self.writer, (&mut *file, path), &facts, known)?;
            self.read_bytes += facts.size.min(facts.blocks.saturating_mul(512));
            let xattrs = beneath::xattrs(&*file).map_err(failed("read attributes of", path))?;
            let after = beneath::look_at(&*file).map_err(failed("stat", path))?;
            let steady = after.ctime == facts.ctime && after.size == facts.size;
            if steady || tries == TRIES {
                let racy = !steady || !self.trusted || is_racy(facts.ctime, synced_at);
                return Ok(FileRead {
                    facts,
                    taken,
                    xattrs,
                    racy,
                });
            }
            tries += 1;
        }
    }

    /// For an inode with several names: the entry of this name if it is not the first.
    fn linked_to(&self, facts: &Facts) -> Option<Node> {
        let of = self.linked.get(&facts.ino).filter(|_| facts.links > 1)?;
        Some(Node::HardLink { of: of.clone() })
    }

    /// Like [`Self::linked_to`], and remembers the first name.
    fn first_name(&mut self, path: &[u8], facts: &Facts) -> Option<Node> {
        let link = self.linked_to(facts);
        if link.is_none() && facts.links > 1 {
            self.linked.insert(facts.ino, path.to_vec());
        }
        link
    }

    /// Notes chunks that this capture may not have stored itself.
    fn reuse(&mut self, content: &Content) {
        if !self.renewing {
            return;
        }
        for segment in &content.segments {
            if let Source::Chunk { chunk, .. } = segment.source {
                self.renew.insert(chunk.name);
            }
        }
    }

    fn count_changed(&mut self, content: &Content, slot: Option<Slot>) {
        let Some(stored) = &self.stored else { return };
        if let Some(slot) = slot {
            self.changed_bytes += slot.len();
            return;
        }
        if content.digest.is_some() {
            return;
        }
        for segment in &content.segments {
            match segment.source {
                Source::Chunk { chunk, .. } if !stored.chunks.contains(&chunk.name) => {
                    self.changed_bytes += segment.len;
                }
                Source::Chunk { .. } | Source::Zeros => {}
            }
        }
    }

    fn push_file(
        &mut self,
        path: &[u8],
        facts: &Facts,
        slot: Option<Slot>,
        known: Known,
    ) -> Result<(), Error> {
        let linked = facts.links > 1;
        if linked {
            self.linked.insert(facts.ino, path.to_vec());
        }
        self.size_bytes += slot.map_or_else(|| known.content.size_bytes(), Slot::len);
        let node = Node::File {
            content: Content::default(),
            linked,
        };
        self.push(Pending {
            entry: entry(path.to_vec(), facts, known.xattrs.clone(), node),
            slot,
            known: Some((facts.ino, known)),
        })
    }

    fn push(&mut self, pending: Pending) -> Result<(), Error> {
        self.entries += 1;
        if self.pending.is_empty() && pending.slot.is_none() {
            return self.emit(pending);
        }
        self.pending.push(pending);
        if self.packer.is_full() || self.pending.len() >= PENDING {
            self.close_pack()?;
        }
        Ok(())
    }

    /// Stores the open pack and lets the entries go that waited for it.
    fn close_pack(&mut self) -> Result<(), Error> {
        let pack = self.packer.close(&mut self.writer)?;
        for mut pending in std::mem::take(&mut self.pending) {
            if let (Some(slot), Some(pack), Some((_, known))) =
                (pending.slot.take(), pack, &mut pending.known)
            {
                known.content = slot.content(pack);
                // A second file with the same bytes need not be stored again.
                if let Some(stored) = &mut self.stored {
                    stored
                        .by_digest
                        .entry(slot.digest)
                        .or_insert_with(|| known.content.clone());
                }
            }
            self.emit(pending)?;
        }
        Ok(())
    }

    fn emit(&mut self, mut pending: Pending) -> Result<(), Error> {
        if let (Some((ino, known)), Node::File { content, .. }) =
            (pending.known, &mut pending.entry.node)
        {
            *content = known.content.clone();
            self.draft.insert(ino, known);
        }
        let encoded = pending.entry.encode();
        if encoded.len() as u64 > ENTRY_BYTES {
            return Err(Error::FileTooLarge {
                path: shown(&pending.entry.path),
            });
        }
        let (writer, segments) = (&mut self.writer, &mut self.segments);
        self.manifest
            .feed(&encoded, |piece| store_piece(writer, segments, piece))
    }

    fn finish(mut self) -> Result<Captured, Error> {
        self.close_pack()?;
        for chunk in std::mem::take(&mut self.renew) {
            self.writer.renew(chunk)?;
        }
        let (writer, segments) = (&mut self.writer, &mut self.segments);
        self.manifest
            .finish(|piece| store_piece(writer, segments, piece))?;
        let written = blob::commit(
            self.artifacts,
            self.writer,
            self.segments,
            ManifestContent::Tree,
        )?;
        Ok(Captured {
            id: written.id,
            size_bytes: self.size_bytes,
            changed_bytes: self.changed_bytes,
            read_bytes: self.read_bytes,
            stored_bytes: written.stored_bytes,
            entries: self.entries,
            left_out: self.left_out,
            index: self.draft.finish(written.id),
        })
    }
}

/// What came of a visit: an inner error means that the name is something else by now.
type Visit = Result<Result<(), Errno>, Error>;

pub(crate) fn store_piece(
    writer: &mut Writer<'_>,
    segments: &mut Vec<Segment>,
    piece: &[u8],
) -> Result<(), Error> {
    let chunk = writer.put(piece.to_vec())?;
    let source = Source::Chunk { chunk, offset: 0 };
    manifest::push(
        segments,
        Segment {
            source,
            len: piece.len() as u64,
        },
    );
    Ok(())
}

fn entry(path: Vec<u8>, facts: &Facts, xattrs: Xattrs, node: Node) -> Entry {
    if let Node::HardLink { .. } = node {
        // Its inode is described once, under its first name.
        return Entry {
            path,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: super::Stamp::default(),
            xattrs: Vec::new(),
            node,
        };
    }
    Entry {
        path,
        mode: facts.mode,
        uid: facts.uid,
        gid: facts.gid,
        mtime: facts.mtime,
        xattrs,
        node,
    }
}

impl Pending {
    fn of(entry: Entry) -> Self {
        Self {
            entry,
            slot: None,
            known: None,
        }
    }
}
