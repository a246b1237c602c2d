//! Writing: bytes gather in a file without a name and get one when they are whole.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::{Live, info_at};
use crate::cut::is_zero;
use crate::files::resolve::Last;
use crate::files::tree::{find, steady};
use crate::files::{Error, Info, Kind, Path, is_revision};
use crate::tree::beneath::{self, Facts};

/// Zeros of this length and alignment stay holes.
const HOLE_BYTES: usize = 4096;
const COPY_BYTES: usize = 256 << 10;
/// Of a file that replaces none, and of a directory.
const NEW_FILE: u32 = 0o644;
pub(super) const NEW_DIRECTORY: u32 = 0o755;
const SET_IDS: u32 = 0o6000;
/// How often a name is tried that somebody else takes at the same time.
const TRIES: u32 = 8;

/// What must be so before anything is changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Condition {
    #[default]
    None,
    /// Nothing is there.
    Absent,
    /// What is there has this revision.
    Is(String),
}

impl Condition {
    pub(crate) fn check(&self, path: &Path, found: Option<&Info>) -> Result<(), Error> {
        let holds = match (self, found) {
            (Self::None, _) | (Self::Absent, None) => true,
            (Self::Is(asked), Some(info)) => is_revision(asked, &info.revision),
            (Self::Absent, Some(_)) | (Self::Is(_), None) => false,
        };
        if holds {
            return Ok(());
        }
        Err(Error::Changed {
            path: path.clone(),
            revision: found.map(|info| info.revision.clone()),
        })
    }
}

/// How a file is written.
#[derive(Debug, Clone, Default)]
pub struct Put {
    /// `None`: that of the file it replaces.
    pub mode: Option<u32>,
    /// Makes the directories that are missing on the way.
    pub parents: bool,
    /// A link in the last place is replaced itself, and so is a FIFO.
    pub replaces_links: bool,
    pub condition: Condition,
}

/// How bytes are added at a file's end.
#[derive(Debug, Clone, Default)]
pub struct Append {
    /// The size that the file must have.
    pub offset: Option<u64>,
    pub parents: bool,
    pub condition: Condition,
}

/// Bytes on their way to be a file. Dropped without a name, they are gone.
pub struct Staged {
    file: File,
    at: u64,
}

impl Staged {
    /// Ends the bytes and makes them durable.
    ///
    /// # Errors
    /// `DiskFull`, `Artifacts`.
    pub fn finish(&mut self) -> Result<(), Error> {
        let failed = || Error::io("write", &Path::root());
        self.file.set_len(self.at).map_err(failed())?;
        self.file.sync_data().map_err(failed())
    }

    /// As [`Self::finish`], for one of many that are made durable together.
    pub(crate) fn finish_unsynced(&mut self) -> Result<(), Error> {
        self.file
            .set_len(self.at)
            .map_err(Error::io("write", &Path::root()))
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }
}

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let aligned = usize::try_from(self.at % HOLE_BYTES as u64).unwrap_or(0);
        let count = bytes.len().min(if aligned == 0 {
            HOLE_BYTES.max(bytes.len() / HOLE_BYTES * HOLE_BYTES)
        } else {
            HOLE_BYTES - aligned
        });
        let bytes = &bytes[..count];
        if aligned == 0 && count >= HOLE_BYTES {
            let mut at = self.at;
            for piece in bytes.chunks(HOLE_BYTES) {
                if !is_zero(piece) {
                    self.file.write_all_at(piece, at)?;
                }
                at += piece.len() as u64;
            }
        } else {
            self.file.write_all_at(bytes, self.at)?;
        }
        self.at += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Live {
    /// Makes a file without a name, beneath the root: what is written counts on the workspace's disk.
    ///
    /// # Errors
    /// `DiskFull`, `Artifacts`.
    pub fn stage(&self) -> Result<Staged, Error> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.root, ".", flags, Mode::RUSR | Mode::WUSR)
            .map_err(Error::os("make a file in", &Path::root()))?;
        Ok(Staged {
            file: file.into(),
            at: 0,
        })
    }

    /// Gives finished bytes the name `path`: in the place of what is there, all at once, with its owner and mode.
    /// Other names of a file that is replaced keep what they had.
    ///
    /// # Errors
    /// `NotFound` without its directory, `NotDirectory`, `IsDirectory`, `NotRegular`, `Changed`, `Outside`, `Unstable`,
    /// `DiskFull`.
    pub fn put(&self, path: &Path, staged: &Staged, put: &Put) -> Result<Info, Error> {
        steady(|| {
            let last = if put.replaces_links {
                Last::Keep
            } else {
                Last::Follow
            };
            let (target, there) = find(self, path, last)?;
            put.condition.check(path, there.as_ref())?;
            let kind = there.as_ref().map(|info| info.kind);
            if !(put.replaces_links && matches!(kind, Some(Kind::Symlink | Kind::Fifo))) {
                self.check_writable(&target, kind)?;
            }
            if put.parents && there.is_none() {
                self.make_parents(&target)?;
            }
            let (dir, name) = self.parent(&target)?;
            self.dress(dir.as_fd(), name, &target, staged, put)?;
            self.name(dir.as_fd(), name, &target, staged, &put.condition)?;
            info_at(dir.as_fd(), name, target.clone())?.ok_or_else(|| Error::Unstable {
                path: target.clone(),
            })
        })
    }

    /// Adds finished bytes at the end of the file at `path`, which is made if it is missing.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn append(&self, path: &Path, staged: &Staged, append: &Append) -> Result<Info, Error> {
        steady(|| {
            let (target, there) = find(self, path, Last::Follow)?;
            append.condition.check(path, there.as_ref())?;
            self.check_writable(&target, there.as_ref().map(|info| info.kind))?;
            let size = there.as_ref().map_or(0, |info| info.size_bytes);
            if append.offset.is_some_and(|offset| offset != size) {
                let revision = there.as_ref().map(|info| info.revision.clone());
                return Err(Error::Changed {
                    path: path.clone(),
                    revision,
                });
            }
            if there.is_none() {
                let put = Put {
                    mode: None,
                    parents: append.parents,
                    replaces_links: false,
                    condition: Condition::Absent,
                };
                return match self.put(&target, staged, &put) {
                    // Made by somebody else meanwhile.
                    Err(Error::Changed { .. }) => Err(Error::Unstable { path: path.clone() }),
                    other => other,
                };
            }
            let (dir, name) = self.parent(&target)?;
            let handle =
                beneath::open_path(dir.as_fd(), name).map_err(Error::os("open", &target))?;
            let facts = beneath::look_at(&handle).map_err(Error::os("stat", &target))?;
            if facts.kind != FileType::RegularFile {
                return Err(Error::Unstable { path: target });
            }
            let flags = OFlags::WRONLY
                | OFlags::APPEND
                | OFlags::NONBLOCK
                | OFlags::NOCTTY
                | OFlags::CLOEXEC;
            let file = rustix::fs::open(beneath::by_descriptor(&handle), flags, Mode::empty())
                .map_err(Error::os("open", &target))?;
            copy(staged, &mut File::from(file)).map_err(Error::io("append to", &target))?;
            let facts = beneath::look_at(&handle).map_err(Error::os("stat", &target))?;
            Ok(Info::live(target, &facts, None))
        })
    }

    fn check_writable(&self, path: &Path, there: Option<Kind>) -> Result<(), Error> {
        let path = path.clone();
        match there {
            _ if path.is_root() => Err(Error::IsDirectory { path }),
            None | Some(Kind::File) => Ok(()),
            Some(Kind::Directory) => Err(Error::IsDirectory { path }),
            Some(Kind::Symlink) => Err(Error::Unstable { path }),
            Some(Kind::Fifo | Kind::Other) => Err(Error::NotRegular { path }),
        }
    }

    /// Gives the bytes owner, mode and attributes of the file that they replace, or of a new one in its directory.
    fn dress(
        &self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &Path,
        staged: &Staged,
        put: &Put,
    ) -> Result<(), Error> {
        let replaced: Option<OwnedFd> = match beneath::open_file(dir, name) {
            Ok(found) => found,
            // A link or a FIFO that is replaced itself gives nothing on.
            Err(Errno::NOENT | Errno::LOOP) => None,
            Err(error) => return Err(Error::os("open", path)(error)),
        };
        let of: Facts = match &replaced {
            Some(file) => beneath::look_at(file),
            None => beneath::look_at(dir),
        }
        .map_err(Error::os("stat", path))?;
        let mode = match (put.mode, &replaced) {
            (Some(mode), _) => mode,
            // As a write by anybody but root would.
            (None, Some(_)) => of.mode & !SET_IDS,
            (None, None) => NEW_FILE,
        };
        if let Some(file) = replaced.as_ref().filter(|_| !put.replaces_links) {
            for (name, value) in
                beneath::xattrs(file).map_err(Error::os("read the attributes of", path))?
            {
                if name.starts_with(b"user.") {
                    rustix::fs::fsetxattr(
                        staged.file(),
                        name.as_slice(),
                        &value,
                        XattrFlags::empty(),
                    )
                    .map_err(Error::os("set the attributes of", path))?;
                }
            }
        }
        own(staged.file(), of.uid, of.gid, path)?;
        rustix::fs::fchmod(staged.file(), Mode::from_raw_mode(mode & 0o7777))
            .map_err(Error::os("change the mode of", path))
    }

    /// Puts the bytes under a name. A kill between the two steps of a replacement leaves a whole file under a name that
    /// nobody asked for, and the old one in its place.
    pub(super) fn name(
        &self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &Path,
        staged: &Staged,
        condition: &Condition,
    ) -> Result<(), Error> {
        let source = beneath::by_descriptor(staged.file());
        let link = |to: &[u8]| {
            rustix::fs::linkat(rustix::fs::CWD, &source, dir, to, AtFlags::SYMLINK_FOLLOW)
        };
        match link(name) {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST) if *condition == Condition::Absent => {
                let revision = info_at(dir, name, path.clone())?.map(|info| info.revision);
                return Err(Error::Changed {
                    path: path.clone(),
                    revision,
                });
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(Error::os("write", path)(error)),
        }
        let beside = beside(dir, &link).map_err(Error::os("write", path))?;
        rustix::fs::renameat(dir, beside.as_str(), dir, name).map_err(|error| {
            // What failed is told; that the name is left over too is not.
            rustix::fs::unlinkat(dir, beside.as_str(), AtFlags::empty()).ok();
            Error::os("write", path)(error)
        })
    }
}

/// Links a file under a name that nobody has.
pub(super) fn beside(
    dir: BorrowedFd<'_>,
    link: &impl Fn(&[u8]) -> Result<(), Errno>,
) -> Result<String, Errno> {
    let seed = beneath::look_at(dir)?.ino;
    for number in 0..TRIES {
        let name = format!(
            ".helmr-{:016x}",
            low_bits(crate::clock::wall_ns()) ^ seed.rotate_left(32) ^ u64::from(number)
        );
        match link(name.as_bytes()) {
            Err(Errno::EXIST) => {}
            done => return done.map(|()| name),
        }
    }
    Err(Errno::EXIST)
}

fn low_bits(number: i128) -> u64 {
    u64::try_from(number & i128::from(u64::MAX)).unwrap_or(0)
}

/// Gives a file to an owner, where this process may.
pub(super) fn own(file: impl AsFd, uid: u32, gid: u32, path: &Path) -> Result<(), Error> {
    let facts = beneath::look_at(&file).map_err(Error::os("stat", path))?;
    if (facts.uid, facts.gid) == (uid, gid) {
        return Ok(());
    }
    let (owner, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::fs::fchown(file, Some(owner), Some(group))
        .map_err(Error::os("change the owner of", path))
}

fn copy(staged: &Staged, into: &mut File) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut at = 0;
    loop {
        match staged.file().read_at(&mut buffer, at)? {
            0 => return into.sync_data(),
            count => {
                into.write_all(&buffer[..count])?;
                at += count as u64;
            }
        }
    }
}
