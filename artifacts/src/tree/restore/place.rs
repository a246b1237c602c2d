//! Puts one file, symlink, FIFO or directory in its place, unless what is there is right already.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::super::beneath::{self, Facts, failed, failed_io};
use super::super::content::{self, Content, SMALL};
use super::super::entries;
use super::super::entry::{Entry, Node};
use super::super::index::{Index, Known};
use super::{attributes, chunks::Chunks};
use crate::blob::Piece;
use crate::cut::is_zero;
use crate::manifest::{Segment, Source};
use crate::{Error, KeySet};

/// Zeros of this length and alignment are not written: they stay holes.
const HOLE_BYTES: usize = 4096;

pub(super) struct Place<'a> {
    pub(super) keys: &'a KeySet,
    pub(super) known: Option<&'a Index>,
    pub(super) chunks: Chunks,
}

/// What stands in its place now.
pub(super) struct Placed {
    pub(super) ino: u64,
    /// Of regular files, for the index.
    pub(super) known: Option<Known>,
    /// A file that must be synced.
    pub(super) written: Option<OwnedFd>,
}

impl Place<'_> {
    /// Places anything but a directory or a hard link. `facts` tell of what is there, which is of the right kind.
    pub(super) fn put(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
        facts: Option<Facts>,
    ) -> Result<Placed, Error> {
        match &entry.node {
            Node::File { content, .. } => self.file(dir, name, entry, content, facts),
            Node::Symlink { target } => {
                let right = facts.is_some_and(|facts| {
                    attributes::are_right(
                        &Facts {
                            mode: entry.mode,
                            ..facts
                        },
                        entry,
                    ) && beneath::read_link(dir, name).is_ok_and(|found| found == *target)
                });
                if !right {
                    clear(dir, name, facts).map_err(failed("remove", &entry.path))?;
                    rustix::fs::symlinkat(target.as_slice(), dir, name)
                        .map_err(failed("link", &entry.path))?;
                    attributes::apply_to_link(dir, name, entry)
                        .map_err(failed("set attributes of", &entry.path))?;
                }
                inode(dir, name, entry)
            }
            Node::Fifo => {
                if !facts.is_some_and(|facts| attributes::are_right(&facts, entry)) {
                    clear(dir, name, facts).map_err(failed("remove", &entry.path))?;
                    rustix::fs::mkfifoat(dir, name, Mode::RUSR | Mode::WUSR)
                        .map_err(failed("make", &entry.path))?;
                    attributes::apply_to_fifo(dir, name, entry)
                        .map_err(failed("set attributes of", &entry.path))?;
                }
                inode(dir, name, entry)
            }
            Node::Directory | Node::HardLink { .. } => inode(dir, name, entry),
        }
    }

    fn file(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
        content: &Content,
        facts: Option<Facts>,
    ) -> Result<Placed, Error> {
        if let Some(facts) = facts {
            if self.is_known_right(&facts, entry, content) {
                return Ok(Placed {
                    ino: facts.ino,
                    known: Some(known(&facts, entry, content)),
                    written: None,
                });
            }
            if let Some(file) = self.open_if_same(dir, name, entry, content, &facts)? {
                let changed = attributes::apply(file.as_fd(), entry, &entry.path)?;
                return finished(file, changed, entry, content);
            }
            clear(dir, name, Some(facts)).map_err(failed("remove", &entry.path))?;
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(failed("make", &entry.path))?;
        let file = File::from(file);
        self.write(&file, content, &entry.path)?;
        attributes::apply(file.as_fd(), entry, &entry.path)?;
        finished(file, true, entry, content)
    }

    fn is_known_right(&self, facts: &Facts, entry: &Entry, content: &Content) -> bool {
        let known = self.known.and_then(|index| index.unchanged(facts));
        known.is_some_and(|known| known.content.same_bytes(content) && known.xattrs == entry.xattrs)
            && attributes::are_right(facts, entry)
    }

    /// Opens a file whose bytes are right already: as the index knows, or, of a small one, as they show.
    fn open_if_same(
        &self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        entry: &Entry,
        content: &Content,
        facts: &Facts,
    ) -> Result<Option<File>, Error> {
        if facts.size != content.size_bytes() {
            return Ok(None);
        }
        let known = self.known.and_then(|index| index.unchanged(facts));
        let known = known.is_some_and(|known| known.content.same_bytes(content));
        if !known && content.digest.is_none() {
            return Ok(None);
        }
        let opened = beneath::open_file(dir, name).map_err(failed("open", &entry.path))?;
        let Some(file) = opened else { return Ok(None) };
        let file = File::from(file);
        if known {
            return Ok(Some(file));
        }
        let mut bytes = Vec::new();
        (&file)
            .take(SMALL + 1)
            .read_to_end(&mut bytes)
            .map_err(failed_io("read", &entry.path))?;
        Ok((content.digest == Some(content::digest(self.keys, &bytes))).then_some(file))
    }

    fn write(&mut self, file: &File, content: &Content, path: &[u8]) -> Result<(), Error> {
        match content.segments.as_slice() {
            [
                Segment {
                    source: Source::Chunk { chunk, offset },
                    len,
                },
            ] if content.digest.is_some() => {
                let bytes = self.chunks.get(*chunk)?;
                // In range: a segment lies within its chunk, and the chunk is as long as it says.
                let rest = usize::try_from(*offset)
                    .ok()
                    .and_then(|start| bytes.get(start..))
                    .unwrap_or_default();
                let count = usize::try_from(*len).unwrap_or(usize::MAX).min(rest.len());
                write_sparse(file, 0, &rest[..count]).map_err(failed_io("write", path))?;
            }
            _ => self.write_large(file, content, path)?,
        }
        file.set_len(content.size_bytes())
            .map_err(failed_io("set the length of", path))
    }

    fn write_large(&self, file: &File, content: &Content, path: &[u8]) -> Result<(), Error> {
        let mut reader = entries::read_file(&self.chunks.artifacts, &self.chunks.keys, content);
        let mut at = 0;
        while let Some(piece) = reader.next_piece()? {
            match piece {
                Piece::Zeros(len) => at += len,
                Piece::Bytes(bytes) => {
                    write_sparse(file, at, &bytes).map_err(failed_io("write", path))?;
                    at += bytes.len() as u64;
                }
            }
        }
        Ok(())
    }
}

fn write_sparse(file: &File, mut at: u64, bytes: &[u8]) -> std::io::Result<()> {
    let mut start = 0;
    let mut pieces = bytes.chunks(HOLE_BYTES).peekable();
    let mut end = 0;
    while let Some(piece) = pieces.next() {
        end += piece.len();
        let hole = piece.len() == HOLE_BYTES && is_zero(piece);
        if hole || pieces.peek().is_none() {
            let data = &bytes[start..if hole { end - piece.len() } else { end }];
            file.write_all_at(data, at)?;
            at += (end - start) as u64;
            start = end;
        }
    }
    Ok(())
}

/// Makes or opens a directory, so that its owner (we, for now) may fill it.
pub(super) fn directory(
    dir: BorrowedFd<'_>,
    name: &[u8],
    path: &[u8],
    facts: Option<Facts>,
) -> Result<OwnedFd, Error> {
    if facts.is_none() {
        rustix::fs::mkdirat(dir, name, Mode::RWXU).map_err(failed("make directory", path))?;
    }
    open_for_change(dir, name).map_err(failed("open", path))
}

/// Opens a directory whose mode may keep even its owner out.
pub(super) fn open_for_change(dir: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let opened = beneath::open_dir(dir, name);
    let shut = match &opened {
        Ok(child) => beneath::look_at(child)?.mode & 0o700 != 0o700,
        Err(Errno::ACCESS) => true,
        Err(_) => false,
    };
    if !shut || rustix::process::geteuid().is_root() {
        return opened;
    }
    let handle = beneath::open_path(dir, name)?;
    rustix::fs::chmod(beneath::by_descriptor(&handle), Mode::RWXU)?;
    beneath::open_dir(dir, name)
}

fn clear(dir: BorrowedFd<'_>, name: &[u8], facts: Option<Facts>) -> Result<(), Errno> {
    match facts.map(|_| rustix::fs::unlinkat(dir, name, AtFlags::empty())) {
        None | Some(Ok(()) | Err(Errno::NOENT)) => Ok(()),
        Some(Err(error)) => Err(error),
    }
}

fn inode(dir: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> Result<Placed, Error> {
    let facts = beneath::look(dir, name).map_err(failed("stat", &entry.path))?;
    Ok(Placed {
        ino: facts.ino,
        known: None,
        written: None,
    })
}

fn finished(file: File, written: bool, entry: &Entry, content: &Content) -> Result<Placed, Error> {
    let facts = beneath::look_at(&file).map_err(failed("stat", &entry.path))?;
    Ok(Placed {
        ino: facts.ino,
        known: Some(known(&facts, entry, content)),
        written: written.then(|| file.into()),
    })
}

fn known(facts: &Facts, entry: &Entry, content: &Content) -> Known {
    Known {
        ctime: facts.ctime,
        racy: false,
        content: content.clone(),
        xattrs: entry.xattrs.clone(),
    }
}
