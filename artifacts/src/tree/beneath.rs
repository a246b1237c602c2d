//! Looks at a hostile tree: every step stays beneath the root, follows no link and opens no device, FIFO or socket.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::entry::Stamp;
use crate::Error;

/// The kernel takes paths below 4096 bytes; longer ones are resolved piece by piece.
const PIECE_BYTES: usize = 3500;

const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// What `lstat` says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) kind: FileType,
    /// Permission, set-id and sticky bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Stamp,
    pub(crate) ctime: Stamp,
    pub(crate) ino: u64,
    pub(crate) links: u64,
    pub(crate) size: u64,
    /// 512-byte units.
    pub(crate) blocks: u64,
}

/// Extended attributes, in the order of their names.
pub(crate) type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// Opens the root of a tree for [`super::capture`] and its like. The directory itself must not be a link.
///
/// # Errors
/// `Io`.
pub fn open_root(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(Error::os("open directory", path))
}

/// Whether the change times of this file system can be trusted after a sync: a store through a mapping then moves them.
/// tmpfs, for one, never writes pages back and so never learns of such stores. What is not known to be good is not.
pub(crate) fn keeps_change_times(root: impl AsFd) -> Result<bool, Errno> {
    const EXT4: u64 = 0xef53;
    const XFS: u64 = 0x5846_5342;
    const BTRFS: u64 = 0x9123_683e;
    const F2FS: u64 = 0xf2f5_2010;
    // As good as what is beneath it, which is one of the others wherever data outlives a boot.
    const OVERLAY: u64 = 0x794c_7630;
    let kind = u64::try_from(rustix::fs::fstatfs(root)?.f_type).unwrap_or(0);
    Ok([EXT4, XFS, BTRFS, F2FS, OVERLAY].contains(&kind))
}

/// Opens a directory by its path from the root; the root's own path is empty.
pub(crate) fn open_dir(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags =
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let mut rest = path;
    let mut at: Option<OwnedFd> = None;
    loop {
        let (piece, after) = split(rest);
        let from = at.as_ref().map_or(root, AsFd::as_fd);
        let piece = if piece.is_empty() { b"." } else { piece };
        let next = rustix::fs::openat2(from, piece, flags, Mode::empty(), BENEATH)?;
        if after.is_empty() {
            return Ok(next);
        }
        at = Some(next);
        rest = after;
    }
}

/// Splits a long path at a slash that keeps the first part short enough for one call.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    if path.len() <= PIECE_BYTES {
        return (path, &[]);
    }
    match path[..PIECE_BYTES].iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        // A single name is at most 255 bytes, so this path cannot exist; the kernel says so.
        None => (path, &[]),
    }
}

/// The names in a directory, sorted.
pub(crate) fn names(dir: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

pub(crate) fn look(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Facts, Errno> {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| facts(&stat))
}

pub(crate) fn look_at(file: impl AsFd) -> Result<Facts, Errno> {
    rustix::fs::fstat(file).map(|stat| facts(&stat))
}

fn facts(stat: &Stat) -> Facts {
    Facts {
        kind: FileType::from_raw_mode(stat.st_mode),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: Stamp::new(stat.st_mtime, stat.st_mtime_nsec),
        ctime: Stamp::new(stat.st_ctime, stat.st_ctime_nsec),
        ino: stat.st_ino,
        links: stat.st_nlink,
        size: u64::try_from(stat.st_size).unwrap_or(0),
        blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
    }
}

/// Opens a regular file for reading; `None` if it is something else by now. The file is first opened as a bare path,
/// so that a FIFO or device put in its place is never really opened.
pub(crate) fn open_file(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = rustix::fs::openat2(dir, name, flags, Mode::empty(), BENEATH)?;
    if look_at(&handle)?.kind != FileType::RegularFile {
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::open(by_descriptor(&handle), flags, Mode::empty()).map(Some)
}

/// A bare path handle on whatever is there, links themselves included.
pub(crate) fn open_path(dir: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat2(dir, name, flags, Mode::empty(), BENEATH)
}

/// A path that names exactly the file behind a descriptor.
pub(crate) fn by_descriptor(handle: impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd()))
}

pub(crate) fn read_link(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<u8>, Errno> {
    rustix::fs::readlinkat(dir, name, Vec::new()).map(std::ffi::CString::into_bytes)
}

/// The attributes that are kept, of an open file or directory.
pub(crate) fn xattrs(file: impl AsFd) -> Result<Xattrs, Errno> {
    let file = file.as_fd();
    let listed = match grown(|buffer| rustix::fs::flistxattr(file, buffer)) {
        Ok(listed) => listed,
        // A file system without attributes has none.
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for name in listed.split(|byte| *byte == 0).filter(|name| is_kept(name)) {
        match grown(|buffer| rustix::fs::fgetxattr(file, name, buffer)) {
            Ok(value) => found.push((name.to_vec(), value)),
            // Removed meanwhile.
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Whether an attribute belongs to a tree. Capabilities are root's to read and give.
pub(crate) fn is_kept(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || (name == b"security.capability" && rustix::process::geteuid().is_root())
}

/// Calls `read` with a buffer that is long enough; the kernel's own limit is 64 KiB.
fn grown(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 512];
    loop {
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < 1 << 17 => buffer.resize(buffer.len() * 4, 0),
            Err(error) => return Err(error),
        }
    }
}

/// Whether an error says that the tree changed between two looks.
pub(crate) fn moved(error: Errno) -> bool {
    matches!(
        error,
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE | Errno::NXIO
    )
}

/// A path of the tree, for messages.
pub(crate) fn shown(path: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    if path.is_empty() {
        return PathBuf::from(".");
    }
    PathBuf::from(std::ffi::OsString::from_vec(path.to_vec()))
}

/// Joins a directory's path and a name in it.
pub(crate) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() {
        return name.to_vec();
    }
    let mut path = Vec::with_capacity(dir.len() + 1 + name.len());
    path.extend_from_slice(dir);
    path.push(b'/');
    path.extend_from_slice(name);
    path
}

/// The other way: directory and name.
pub(crate) fn part(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

pub(crate) fn failed(operation: &'static str, path: &[u8]) -> impl FnOnce(Errno) -> Error {
    Error::os(operation, shown(path))
}

pub(crate) fn failed_io(operation: &'static str, path: &[u8]) -> impl FnOnce(io::Error) -> Error {
    Error::io(operation, shown(path))
}
