//! Directories made, names moved and removed, modes changed.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType, Mode, RenameFlags};
use rustix::io::Errno;

use super::write::{Condition, NEW_DIRECTORY, own};
use super::{Live, info_at};
use crate::files::resolve::Last;
use crate::files::tree::{find, steady};
use crate::files::{Error, Info, Kind, Path};
use crate::tree::beneath::{self, moved};
use crate::tree::spine::Spine;

/// How often a directory is emptied that somebody else keeps filling.
const EMPTIED: u32 = 64;

impl Live {
    /// Makes a directory; with `parents` also those on the way, and one that exists is fine.
    ///
    /// # Errors
    /// `Exists`, `NotFound` without its parent, `NotDirectory`, `Outside`, `Unstable`, `DiskFull`.
    pub fn make_directory(
        &self,
        path: &Path,
        mode: Option<u32>,
        parents: bool,
    ) -> Result<Info, Error> {
        steady(|| {
            let (target, there) = find(self, path, Last::Follow)?;
            match there {
                Some(info) if parents && info.kind == Kind::Directory => return Ok(info),
                Some(_) => return Err(Error::Exists { path: target }),
                None => {}
            }
            if parents {
                self.make_parents(&target)?;
            }
            let (dir, name) = self.parent(&target)?;
            match make(dir.as_fd(), name, &target, mode.unwrap_or(NEW_DIRECTORY)) {
                // Somebody was faster.
                Err(Error::Exists { .. }) if parents => {
                    return Err(Error::Unstable {
                        path: target.clone(),
                    });
                }
                made => made?,
            }
            info_at(dir.as_fd(), name, target.clone())?.ok_or_else(|| Error::Unstable {
                path: target.clone(),
            })
        })
    }

    /// Makes the directories that are missing on the way to `path`, which has no links.
    pub(super) fn make_parents(&self, path: &Path) -> Result<(), Error> {
        let mut missing = Vec::new();
        let mut at = path.split().map(|(parent, _)| parent);
        while let Some(dir) = at.take().filter(|dir| !dir.is_root()) {
            match self.facts(&dir)? {
                Some(facts) if facts.kind == FileType::Directory => break,
                Some(_) => return Err(Error::NotDirectory { path: dir }),
                None => {
                    at = dir.split().map(|(parent, _)| parent);
                    missing.push(dir);
                }
            }
        }
        for dir in missing.into_iter().rev() {
            let (parent, name) = self.parent(&dir)?;
            match make(parent.as_fd(), name, &dir, NEW_DIRECTORY) {
                Ok(()) | Err(Error::Exists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Moves what is at `from` to `to`; a link is moved itself. What is at `to` is replaced only with `overwrite`, and then
    /// as `rename` does.
    ///
    /// # Errors
    /// `NotFound`, `Exists`, `IsDirectory`, `NotDirectory`, `NotEmpty`, `InvalidPath` for a directory into itself,
    /// `Outside`, `Unstable`.
    pub fn rename(&self, from: &Path, to: &Path, overwrite: bool) -> Result<Info, Error> {
        let refused = |reason| Err(Error::InvalidPath { reason });
        steady(|| {
            let (source, there) = find(self, from, Last::Keep)?;
            let (target, _) = find(self, to, Last::Keep)?;
            if there.is_none() {
                return Err(Error::NotFound { path: from.clone() });
            }
            if source.is_root() || target.is_root() {
                return refused("is the workspace itself, which stays where it is");
            }
            if target != source && target.is_in(&source) {
                return refused("lies in the directory that is moved");
            }
            let (from_dir, from_name) = self.parent(&source)?;
            let (to_dir, to_name) = self.parent(&target)?;
            let flags = if overwrite {
                RenameFlags::empty()
            } else {
                RenameFlags::NOREPLACE
            };
            rustix::fs::renameat_with(&from_dir, from_name, &to_dir, to_name, flags).map_err(
                |error| match error {
                    Errno::NOENT => Error::Unstable {
                        path: source.clone(),
                    },
                    error => Error::os("move", &target)(error),
                },
            )?;
            info_at(to_dir.as_fd(), to_name, target.clone())?.ok_or_else(|| Error::Unstable {
                path: target.clone(),
            })
        })
    }

    /// Removes what is at `path`; a link is removed itself. A directory must be empty unless `recursive`.
    ///
    /// # Errors
    /// `NotFound`, `NotEmpty`, `Changed`, `InvalidPath` for the root, `Outside`; `Unstable` if a directory is filled faster
    /// than it is emptied.
    pub fn remove(&self, path: &Path, recursive: bool, condition: &Condition) -> Result<(), Error> {
        steady(|| {
            let (target, there) = find(self, path, Last::Keep)?;
            let Some(info) = there else {
                return Err(Error::NotFound { path: path.clone() });
            };
            condition.check(path, Some(&info))?;
            if target.is_root() {
                return Err(Error::InvalidPath {
                    reason: "is the workspace itself, which stays",
                });
            }
            let (dir, name) = self.parent(&target)?;
            match unlink(dir.as_fd(), name) {
                Ok(()) => return Ok(()),
                Err(Errno::NOTEMPTY) if recursive => {}
                Err(error) => return Err(Error::os("remove", &target)(error)),
            }
            self.empty(&target)?;
            match unlink(dir.as_fd(), name) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(Errno::NOTEMPTY) => Err(Error::Unstable { path: target }),
                Err(error) => Err(Error::os("remove", &target)(error)),
            }
        })
    }

    /// Removes everything in a directory.
    fn empty(&self, path: &Path) -> Result<(), Error> {
        let root = self.root();
        let top = self.dir(path)?;
        let mut spine = Spine::new(root);
        let names = beneath::names(top.as_fd()).map_err(Error::os("list", path))?;
        spine.push(path.as_bytes().to_vec(), top, Inner::of(names));
        while let Some(level) = spine.top() {
            let Some(name) = level.state.names.pop() else {
                spine.pop();
                continue;
            };
            let path = Path::of(beneath::join(&level.path, &name));
            let dir = match level.dir(root) {
                Ok(dir) => dir,
                Err(error) if moved(error) => {
                    spine.pop();
                    continue;
                }
                Err(error) => return Err(Error::os("open", &path)(error)),
            };
            match unlink(dir, &name) {
                Ok(()) | Err(Errno::NOENT) => continue,
                Err(Errno::NOTEMPTY) => {}
                Err(error) => return Err(Error::os("remove", &path)(error)),
            }
            let child = match beneath::open_dir(dir, &name) {
                Ok(child) => child,
                // Something else by now: it is removed on the next look.
                Err(error) if moved(error) => {
                    level.state.again(name, &path)?;
                    continue;
                }
                Err(error) => return Err(Error::os("open", &path)(error)),
            };
            let names = beneath::names(child.as_fd()).map_err(Error::os("list", &path))?;
            level.state.again(name, &path)?;
            spine.push(path.into_bytes(), child, Inner::of(names));
        }
        Ok(())
    }

    /// Sets the mode of what is at `path`, links followed.
    ///
    /// # Errors
    /// `NotFound`, `NotDirectory`, `Changed`, `Outside`, `Unstable`.
    pub fn set_mode(&self, path: &Path, mode: u32, condition: &Condition) -> Result<Info, Error> {
        steady(|| {
            let (target, there) = find(self, path, Last::Follow)?;
            if there.is_none() {
                return Err(Error::NotFound { path: path.clone() });
            }
            condition.check(path, there.as_ref())?;
            let handle = if target.is_root() {
                beneath::open_dir(self.root(), b"")
            } else {
                let (dir, name) = self.parent(&target)?;
                beneath::open_path(dir.as_fd(), name)
            }
            .map_err(Error::os("open", &target))?;
            let facts = beneath::look_at(&handle).map_err(Error::os("stat", &target))?;
            if facts.kind == FileType::Symlink {
                return Err(Error::Unstable { path: target });
            }
            rustix::fs::chmod(
                beneath::by_descriptor(&handle),
                Mode::from_raw_mode(mode & 0o7777),
            )
            .map_err(Error::os("change the mode of", &target))?;
            let facts = beneath::look_at(&handle).map_err(Error::os("stat", &target))?;
            Ok(Info::live(target, &facts, None))
        })
    }
}

/// What is left to remove in a directory.
struct Inner {
    names: Vec<Vec<u8>>,
    /// The name that was come back to last, and how often.
    again: (Vec<u8>, u32),
}

impl Inner {
    fn of(names: Vec<Vec<u8>>) -> Self {
        Self {
            names,
            again: (Vec::new(), 0),
        }
    }

    /// Comes back to a name, once what is in it should be gone; so often and not more.
    fn again(&mut self, name: Vec<u8>, path: &Path) -> Result<(), Error> {
        if self.again.0 == name {
            self.again.1 += 1;
        } else {
            self.again = (name.clone(), 1);
        }
        if self.again.1 > EMPTIED {
            return Err(Error::Unstable { path: path.clone() });
        }
        self.names.push(name);
        Ok(())
    }
}

/// Makes a directory that belongs to whom its parent does.
pub(super) fn make(dir: BorrowedFd<'_>, name: &[u8], path: &Path, mode: u32) -> Result<(), Error> {
    let parent = beneath::look_at(dir).map_err(Error::os("stat", path))?;
    rustix::fs::mkdirat(dir, name, Mode::RWXU).map_err(Error::os("make directory", path))?;
    let made = beneath::open_dir(dir, name).map_err(Error::os("open", path))?;
    own(&made, parent.uid, parent.gid, path)?;
    rustix::fs::fchmod(&made, Mode::from_raw_mode(mode & 0o7777))
        .map_err(Error::os("change the mode of", path))
}

/// Removes a name, of an empty directory too.
fn unlink(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR),
        done => done,
    }
}
