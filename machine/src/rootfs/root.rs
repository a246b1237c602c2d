//! The directory in which a root file system is put together. Every path is resolved by the kernel as if that
//! directory were the root, so that links of the image lead nowhere else.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path as FsPath, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::Error;
use super::name::Path;

const IN_ROOT: ResolveFlags = ResolveFlags::IN_ROOT
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);
/// The kernel may ask to resolve again when something is renamed meanwhile.
const TRIES: u32 = 16;
/// Longest real path of a directory: links can nest deeper than names do.
const REAL_PATH_BYTES: usize = 3000;
const REAL_DEPTH: usize = 400;

/// Extended attributes: names and values.
pub(super) type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// Owner, mode and attributes of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) xattrs: Xattrs,
}

pub(super) struct Root {
    dir: OwnedFd,
}

impl Root {
    /// Makes an empty root directory.
    pub(super) fn create(path: &FsPath) -> Result<Self, Error> {
        std::fs::create_dir(path).map_err(Error::io("make directory", path))?;
        let dir =
            rustix::fs::open(path, directory(), Mode::empty()).map_err(Error::os("open", path))?;
        rustix::fs::fchmod(&dir, mode(0o755)).map_err(Error::os("change the mode of", path))?;
        Ok(Self { dir })
    }

    pub(super) fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Opens the directory with these names, making what is missing of it.
    pub(super) fn open_or_make(&self, names: &[&[u8]], path: &[u8]) -> Result<OwnedFd, Error> {
        match self.open(names) {
            Err(Errno::NOENT) => {}
            opened => return opened.map_err(refused("open the directory of", path)),
        }
        let mut at = self
            .open(&[])
            .map_err(refused("open the directory of", path))?;
        for count in 1..=names.len() {
            at = match self.open(&names[..count]) {
                Err(Errno::NOENT) => self.make_dir(at.as_fd(), names[count - 1], path)?,
                opened => opened.map_err(refused("open the directory of", path))?,
            };
        }
        Ok(at)
    }

    /// Opens a directory that must be there.
    pub(super) fn open(&self, names: &[&[u8]]) -> Result<OwnedFd, Errno> {
        let path = if names.is_empty() {
            b".".to_vec()
        } else {
            names.join(&b'/')
        };
        // The last name may be a link too: the kernel follows it inside the root.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut tries = 0;
        loop {
            match rustix::fs::openat2(&self.dir, path.as_slice(), flags, Mode::empty(), IN_ROOT) {
                Err(Errno::AGAIN) if tries < TRIES => tries += 1,
                opened => return opened,
            }
        }
    }

    /// Makes a directory (0755, ours) and opens it.
    pub(super) fn make_dir(
        &self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
    ) -> Result<OwnedFd, Error> {
        let real = std::fs::read_link(by_descriptor(dir))
            .map_err(Error::io("look up", by_descriptor(dir)))?;
        let bytes = std::os::unix::ffi::OsStrExt::as_bytes(real.as_os_str());
        if bytes.len() > REAL_PATH_BYTES
            || bytes.iter().filter(|byte| **byte == b'/').count() > REAL_DEPTH
        {
            return Err(Error::refused(path, "it is nested too deeply"));
        }
        rustix::fs::mkdirat(dir, name, mode(0o755)).map_err(refused("make", path))?;
        let made = open_child(dir, name).map_err(refused("open", path))?;
        rustix::fs::fchmod(&made, mode(0o755)).map_err(refused("change the mode of", path))?;
        Ok(made)
    }

    /// Links `name` in `dir` to the file that the archive calls `target`.
    pub(super) fn link(
        &self,
        target: &[u8],
        dir: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
    ) -> Result<(), Error> {
        // Some writers give link targets as absolute paths inside the image.
        let relative = target.strip_prefix(b"/").unwrap_or(target);
        let target = Path::new(relative)?;
        let Some((from, from_name)) = target.split() else {
            return Err(Error::refused(path, "it is a link to the root"));
        };
        let missing = |errno| match errno {
            Errno::NOENT => Error::refused(path, "it is a link to a file that does not exist"),
            errno => refused("link", path)(errno),
        };
        let from = self.open(from).map_err(missing)?;
        rustix::fs::linkat(&from, from_name, dir, name, AtFlags::empty()).map_err(missing)
    }
}

/// What is at a name, not following links.
pub(super) fn look(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Option<FileType>, Errno> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn inode(dir: BorrowedFd<'_>) -> Result<u64, Errno> {
    rustix::fs::fstat(dir).map(|stat| stat.st_ino)
}

/// Opens a directory by its name in another, not following links.
pub(super) fn open_child(dir: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(dir, name, directory(), Mode::empty())
}

pub(super) fn names(dir: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

/// Removes a name with everything beneath it. Depth is bounded by [`REAL_DEPTH`].
pub(super) fn remove(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(Errno::NOENT) => return Ok(()),
        removed => return removed,
    }
    let child = open_child(dir, name)?;
    for inner in names(child.as_fd())? {
        remove(child.as_fd(), &inner)?;
    }
    drop(child);
    rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)
}

/// Gives an open file or directory its owner, mode and attributes; attributes it had go.
pub(super) fn dress(
    file: BorrowedFd<'_>,
    attributes: &Attributes,
    path: &[u8],
) -> Result<(), Error> {
    // A change of owner clears set-id bits and capabilities, so it comes first.
    own(
        path,
        |owner, group| rustix::fs::fchown(file, owner, group),
        attributes,
    )?;
    let mut listed = vec![0; 64 << 10];
    let length = match rustix::fs::flistxattr(file, &mut listed[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        length => length.map_err(refused("read attributes of", path))?,
    };
    for name in listed[..length]
        .split(|byte| *byte == 0)
        .filter(|name| is_kept(name))
    {
        rustix::fs::fremovexattr(file, name).map_err(refused("remove an attribute of", path))?;
    }
    for (name, value) in attributes.xattrs.iter().filter(|(name, _)| is_kept(name)) {
        rustix::fs::fsetxattr(file, name.as_slice(), value, XattrFlags::empty())
            .map_err(refused("set an attribute of", path))?;
    }
    rustix::fs::fchmod(file, mode(attributes.mode)).map_err(refused("change the mode of", path))
}

/// The same for what is never opened: a symlink (which has no mode) or a FIFO.
pub(super) fn dress_unopened(
    dir: BorrowedFd<'_>,
    name: &[u8],
    attributes: &Attributes,
    path: &[u8],
) -> Result<(), Error> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    own(
        path,
        |owner, group| rustix::fs::chownat(dir, name, owner, group, flags),
        attributes,
    )?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle =
        rustix::fs::openat(dir, name, flags, Mode::empty()).map_err(refused("open", path))?;
    let stat = rustix::fs::fstat(&handle).map_err(refused("stat", path))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Fifo {
        rustix::fs::chmod(by_descriptor(&handle), mode(attributes.mode))
            .map_err(refused("change the mode of", path))?;
    }
    Ok(())
}

fn own(
    path: &[u8],
    change: impl FnOnce(Option<Uid>, Option<Gid>) -> Result<(), Errno>,
    attributes: &Attributes,
) -> Result<(), Error> {
    change(
        Some(Uid::from_raw(attributes.uid)),
        Some(Gid::from_raw(attributes.gid)),
    )
    .map_err(refused("change the owner of", path))
}

/// Attributes that mean something in a machine. Labels of the host that built the image do not.
fn is_kept(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name == b"security.capability"
}

/// Turns a refusal of the kernel into one of the entry where it is the entry's fault.
pub(super) fn refused(operation: &'static str, path: &[u8]) -> impl FnOnce(Errno) -> Error {
    let path = path.to_vec();
    move |errno| match errno {
        Errno::LOOP => Error::refused(&path, "the links on its way lead in a circle"),
        Errno::NOTDIR | Errno::EXIST => {
            Error::refused(&path, "a file is in the way of its directory")
        }
        Errno::NAMETOOLONG => Error::refused(&path, "its name is too long"),
        Errno::PERM | Errno::INVAL if !rustix::process::geteuid().is_root() => Error::Privilege {
            operation,
            name: String::from_utf8_lossy(&path).into_owned(),
        },
        errno => Error::os(
            operation,
            PathBuf::from(String::from_utf8_lossy(&path).into_owned()),
        )(errno),
    }
}

pub(super) fn by_descriptor(file: impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))
}

pub(super) fn mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits & 0o7777)
}

fn directory() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}
