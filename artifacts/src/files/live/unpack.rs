//! An archive into a directory: each file gathers without a turn and takes its place in one.

use std::io::{Read, Write as _};
use std::os::fd::AsFd as _;

use rustix::fs::{AtFlags, Timespec, Timestamps, UTIME_OMIT, XattrFlags};
use rustix::io::Errno;

use super::write::{Condition, Put, beside};
use super::{Live, info_at};
use crate::files::resolve::Last;
use crate::files::tree::{find, steady};
use crate::files::unpack::{Dress, Unpack, reading};
use crate::files::{Error, Kind, Path};
use crate::tree::beneath;

const COPY_BYTES: usize = 64 << 10;

/// Performs a change when it is the caller's turn.
pub type InTurn<'a> = dyn FnMut(&mut dyn FnMut() -> Result<(), Error>) -> Result<(), Error> + 'a;

/// Unpacks into a directory.
pub struct Unpacking<'a, 't> {
    live: &'a Live,
    in_turn: &'a mut InTurn<'t>,
    buffer: Vec<u8>,
}

impl<'a, 't> Unpacking<'a, 't> {
    pub fn new(live: &'a Live, in_turn: &'a mut InTurn<'t>) -> Self {
        Self {
            live,
            in_turn,
            buffer: vec![0; COPY_BYTES],
        }
    }

    /// Makes the directory that is unpacked into, unless it exists.
    ///
    /// # Errors
    /// As [`Live::make_directory`].
    pub fn begin(&mut self, dir: &Path) -> Result<(), Error> {
        let live = self.live;
        (self.in_turn)(&mut || live.make_directory(dir, None, true).map(drop))
    }

    /// Makes all of it durable.
    ///
    /// # Errors
    /// `DiskFull`, `Artifacts`.
    pub fn finish(self) -> Result<(), Error> {
        rustix::fs::syncfs(&self.live.root).map_err(Error::os("sync", &Path::root()))
    }
}

impl Unpack for Unpacking<'_, '_> {
    fn directory(&mut self, path: &Path, dress: &Dress) -> Result<(), Error> {
        let live = self.live;
        (self.in_turn)(&mut || live.make_directory(path, Some(dress.mode), true).map(drop))
    }

    fn file(&mut self, path: &Path, dress: &Dress, content: &mut dyn Read) -> Result<(), Error> {
        let live = self.live;
        let mut staged = live.stage()?;
        loop {
            match content.read(&mut self.buffer).map_err(reading)? {
                0 => break,
                count => staged
                    .write_all(&self.buffer[..count])
                    .map_err(Error::io("write", path))?,
            }
        }
        staged.finish_unsynced()?;
        for (name, value) in &dress.xattrs {
            match rustix::fs::fsetxattr(staged.file(), name.as_slice(), value, XattrFlags::empty())
            {
                // A file system without attributes keeps none.
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(error) => return Err(Error::os("set the attributes of", path)(error)),
            }
        }
        let times = Timestamps {
            last_access: Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            },
            last_modification: Timespec {
                tv_sec: dress.modified.seconds,
                tv_nsec: dress.modified.nanoseconds.into(),
            },
        };
        rustix::fs::futimens(staged.file(), &times).map_err(Error::os("set the time of", path))?;
        let put = Put {
            mode: Some(dress.mode),
            parents: true,
            replaces_links: true,
            condition: Condition::None,
        };
        (self.in_turn)(&mut || live.put(path, &staged, &put).map(drop))
    }

    fn symlink(&mut self, path: &Path, target: &[u8]) -> Result<(), Error> {
        let live = self.live;
        (self.in_turn)(&mut || {
            live.place(path, |dir, name| {
                rustix::fs::symlinkat(target, dir, name)?;
                let of = beneath::look_at(dir)?;
                rustix::fs::chownat(
                    dir,
                    name,
                    Some(rustix::fs::Uid::from_raw(of.uid)),
                    Some(rustix::fs::Gid::from_raw(of.gid)),
                    AtFlags::SYMLINK_NOFOLLOW,
                )
            })
        })
    }

    fn link(&mut self, path: &Path, of: &Path) -> Result<(), Error> {
        let live = self.live;
        (self.in_turn)(&mut || {
            let (target, there) = find(live, of, Last::Keep)?;
            if there.is_none_or(|info| info.kind != Kind::File) {
                return Err(Error::Archive {
                    reason: format!("`{path}` is a link to `{of}`, which is no file"),
                });
            }
            if target == *path {
                return Ok(());
            }
            let (from, from_name) = live.parent(&target)?;
            live.place(path, |dir, name| {
                rustix::fs::linkat(&from, from_name, dir, name, AtFlags::empty())
            })
        })
    }
}

impl Live {
    /// Puts something in its place by `make`, which makes it under a name that nobody has.
    fn place(
        &self,
        path: &Path,
        make: impl Fn(std::os::fd::BorrowedFd<'_>, &[u8]) -> Result<(), Errno>,
    ) -> Result<(), Error> {
        steady(|| {
            let (target, there) = find(self, path, Last::Keep)?;
            if target.is_root()
                || there
                    .as_ref()
                    .is_some_and(|info| info.kind == Kind::Directory)
            {
                return Err(Error::IsDirectory { path: target });
            }
            self.make_parents(&target)?;
            let (dir, name) = self.parent(&target)?;
            let dir = dir.as_fd();
            if there.is_none() {
                return make(dir, name).map_err(|error| match error {
                    Errno::EXIST => Error::Unstable {
                        path: target.clone(),
                    },
                    error => Error::os("make", &target)(error),
                });
            }
            let beside =
                beside(dir, &|name: &[u8]| make(dir, name)).map_err(Error::os("make", &target))?;
            rustix::fs::renameat(dir, beside.as_str(), dir, name).map_err(|error| {
                rustix::fs::unlinkat(dir, beside.as_str(), AtFlags::empty()).ok();
                Error::os("replace", &target)(error)
            })?;
            // Two names of one file are not renamed over each other.
            if info_at(dir, beside.as_bytes(), target.clone())?.is_some() {
                rustix::fs::unlinkat(dir, beside.as_str(), AtFlags::empty())
                    .map_err(Error::os("replace", &target))?;
            }
            Ok(())
        })
    }
}
