//! The files of a directory that others may be changing.
//!
//! Every step opens beneath the root with no link followed, so that a name swapped for a link meanwhile is an error that
//! is tried again and not a way out. What is opened is looked at by its descriptor first.

mod change;
mod unpack;
mod walk;
mod write;

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Dir, FileType};
use rustix::io::Errno;

use super::tree::{Content, Flow, Found, Tree};
use super::{Error, Info, Path};
use crate::tree::beneath::{self, Facts};

pub use unpack::{InTurn, Unpacking};
pub use write::{Append, Condition, Put, Staged};

/// A directory with a workspace's files.
pub struct Live {
    root: OwnedFd,
    mount: Vec<u8>,
}

impl Live {
    /// Opens the directory at `root`, which appears at `mount` to those who work in it.
    ///
    /// # Errors
    /// `Artifacts` if it cannot be opened.
    pub fn open(root: &std::path::Path, mount: &[u8]) -> Result<Self, Error> {
        Ok(Self {
            root: beneath::open_root(root)?,
            mount: mount.to_vec(),
        })
    }

    fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    fn dir(&self, path: &Path) -> Result<OwnedFd, Error> {
        beneath::open_dir(self.root(), path.as_bytes()).map_err(Error::os("open", path))
    }

    /// The directory that a path is in, and the name there.
    fn parent<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p [u8]), Error> {
        let (parent, name) = beneath::part(path.as_bytes());
        let dir = self.dir(&Path::of(parent.to_vec()))?;
        Ok((dir, name))
    }

    fn facts(&self, path: &Path) -> Result<Option<Facts>, Error> {
        if path.is_root() {
            return beneath::look_at(&self.root)
                .map(Some)
                .map_err(Error::os("stat", path));
        }
        let (dir, name) = match self.parent(path) {
            Ok(parent) => parent,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        match beneath::look(dir.as_fd(), name) {
            Ok(facts) => Ok(Some(facts)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(Error::os("stat", path)(error)),
        }
    }
}

/// What is at a name; `None` if it is gone.
fn info_at(dir: BorrowedFd<'_>, name: &[u8], path: Path) -> Result<Option<Info>, Error> {
    let facts = match beneath::look(dir, name) {
        Ok(facts) => facts,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(Error::os("stat", &path)(error)),
    };
    info_of(dir, name, path, &facts)
}

fn info_of(
    dir: BorrowedFd<'_>,
    name: &[u8],
    path: Path,
    facts: &Facts,
) -> Result<Option<Info>, Error> {
    let mut target = None;
    if facts.kind == FileType::Symlink {
        target = match beneath::read_link(dir, name) {
            Ok(target) => Some(target),
            // Replaced since.
            Err(Errno::INVAL) => return Err(Error::Unstable { path }),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(Error::os("read the link", &path)(error)),
        };
    }
    Ok(Some(Info::live(path, facts, target)))
}

impl Tree for Live {
    fn mount(&self) -> &[u8] {
        &self.mount
    }

    fn look(&self, path: &Path) -> Result<Option<Info>, Error> {
        if path.is_root() {
            let facts = beneath::look_at(&self.root).map_err(Error::os("stat", path))?;
            return Ok(Some(Info::live(path.clone(), &facts, None)));
        }
        match self.parent(path) {
            Ok((dir, name)) => info_at(dir.as_fd(), name, path.clone()),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn children(&self, dir: &Path, after: Option<&[u8]>, limit: usize) -> Result<Vec<Info>, Error> {
        let opened = self.dir(dir)?;
        // The first ones by name, however many there are.
        let mut first = BTreeSet::new();
        let failed = || Error::os("list", dir);
        for entry in Dir::read_from(&opened).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." || after.is_some_and(|after| name <= after) {
                continue;
            }
            let full = first.len() >= limit;
            if full
                && first
                    .last()
                    .is_some_and(|last: &Vec<u8>| name >= last.as_slice())
            {
                continue;
            }
            first.insert(name.to_vec());
            if full {
                first.pop_last();
            }
        }
        let mut found = Vec::with_capacity(first.len());
        for name in first {
            found.extend(info_at(opened.as_fd(), &name, dir.join(&name))?);
        }
        Ok(found)
    }

    fn walk(
        &self,
        dir: &Path,
        after: Option<&Path>,
        visit: &mut dyn FnMut(&mut dyn Found) -> Result<Flow, Error>,
    ) -> Result<(), Error> {
        walk::walk(self, dir, after, visit)
    }

    fn open(&self, path: &Path) -> Result<(Info, Content), Error> {
        if path.is_root() {
            return Err(Error::IsDirectory { path: path.clone() });
        }
        let (dir, name) = self.parent(path)?;
        match beneath::open_file(dir.as_fd(), name) {
            Ok(Some(file)) => {
                let facts = beneath::look_at(&file).map_err(Error::os("stat", path))?;
                let info = Info::live(path.clone(), &facts, None);
                Ok((info, Content::Live(File::from(file))))
            }
            Ok(None) => Err(self.not_a_file(path)),
            Err(error) => Err(Error::os("open", path)(error)),
        }
    }
}

impl Live {
    /// Says what is where a regular file was wanted.
    fn not_a_file(&self, path: &Path) -> Error {
        let path = path.clone();
        match self.facts(&path) {
            Ok(Some(facts)) => match facts.kind {
                FileType::Directory => Error::IsDirectory { path },
                FileType::RegularFile | FileType::Symlink => Error::Unstable { path },
                _ => Error::NotRegular { path },
            },
            Ok(None) => Error::NotFound { path },
            Err(error) => error,
        }
    }
}
