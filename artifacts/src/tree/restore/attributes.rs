//! Owner, mode, extended attributes and times of something that was placed.
//!
//! Order matters: changing the owner clears set-id bits and capabilities, and everything moves the change time.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Gid, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;

use super::super::beneath::{self, Facts, Xattrs, failed};
use super::super::entry::{Entry, Stamp};
use super::mode;
use crate::Error;

/// Makes the attributes of an open file or directory what the entry says. Returns whether anything had to change.
pub(super) fn apply(file: BorrowedFd<'_>, entry: &Entry, path: &[u8]) -> Result<bool, Error> {
    let facts = beneath::look_at(file).map_err(failed("stat", path))?;
    let owned = (facts.uid, facts.gid) == (entry.uid, entry.gid);
    if !owned {
        let (owner, group) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        rustix::fs::fchown(file, Some(owner), Some(group))
            .map_err(failed("change the owner of", path))?;
    }
    let xattrs = beneath::xattrs(file).map_err(failed("read attributes of", path))?;
    let wanted: Xattrs = entry
        .xattrs
        .iter()
        .filter(|(name, _)| beneath::is_kept(name))
        .cloned()
        .collect();
    if owned && facts.mode == entry.mode && xattrs == wanted && facts.mtime == entry.mtime {
        return Ok(false);
    }
    if xattrs != wanted {
        // Whoever is not root needs to write to the file to change these; set-id bits wait until they are right.
        rustix::fs::fchmod(file, mode(entry.mode & 0o777 | 0o600))
            .map_err(failed("change the mode of", path))?;
        set_xattrs(file, &xattrs, &wanted).map_err(failed("set attributes of", path))?;
    }
    rustix::fs::fchmod(file, mode(entry.mode)).map_err(failed("change the mode of", path))?;
    rustix::fs::futimens(file, &times(entry.mtime)).map_err(failed("set the time of", path))?;
    Ok(true)
}

/// Whether `facts` are already what the entry says, attributes aside.
pub(super) fn are_right(facts: &Facts, entry: &Entry) -> bool {
    (facts.uid, facts.gid, facts.mode, facts.mtime)
        == (entry.uid, entry.gid, entry.mode, entry.mtime)
}

/// Owner and time of a symlink, which has no mode of its own.
pub(super) fn apply_to_link(dir: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> Result<(), Errno> {
    own(dir, name, entry)?;
    rustix::fs::utimensat(dir, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
}

/// Owner, mode and time of a FIFO, which is never opened.
pub(super) fn apply_to_fifo(dir: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> Result<(), Errno> {
    own(dir, name, entry)?;
    let handle = beneath::open_path(dir, name)?;
    rustix::fs::chmod(beneath::by_descriptor(&handle), mode(entry.mode))?;
    rustix::fs::utimensat(dir, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
}

fn own(dir: BorrowedFd<'_>, name: &[u8], entry: &Entry) -> Result<(), Errno> {
    let facts = beneath::look(dir, name)?;
    if (facts.uid, facts.gid) == (entry.uid, entry.gid) {
        return Ok(());
    }
    let (owner, group) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    rustix::fs::chownat(
        dir,
        name,
        Some(owner),
        Some(group),
        AtFlags::SYMLINK_NOFOLLOW,
    )
}

fn set_xattrs(file: BorrowedFd<'_>, found: &Xattrs, wanted: &Xattrs) -> Result<(), Errno> {
    for (name, _) in found {
        if !wanted.iter().any(|(kept, _)| kept == name) {
            rustix::fs::fremovexattr(file, name.as_slice())?;
        }
    }
    for pair in wanted {
        if !found.contains(pair) {
            rustix::fs::fsetxattr(file, pair.0.as_slice(), &pair.1, XattrFlags::empty())?;
        }
    }
    Ok(())
}

fn times(mtime: Stamp) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: mtime.seconds,
            tv_nsec: mtime.nanoseconds.into(),
        },
    }
}
