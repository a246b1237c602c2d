//! Removal of whatever is in the way, however deep: neither descriptors nor paths grow with the depth.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::Errno;

use super::super::beneath::{self, failed};
use super::place::open_for_change;
use crate::Error;

/// Directories held open on the way down. What lies deeper is moved up first.
const DEPTH: usize = 64;

/// Removes everything in the directory `root`, following nothing. Nothing may write to it meanwhile.
///
/// # Errors
/// `Io`.
pub fn empty(root: impl AsFd) -> Result<(), Error> {
    let dir = beneath::open_dir(root.as_fd(), b"").map_err(failed("open", b""))?;
    for name in beneath::names(dir.as_fd()).map_err(failed("list", b""))? {
        remove(dir.as_fd(), &name)?;
    }
    Ok(())
}

/// Removes a name with everything beneath it, following nothing.
pub(super) fn remove(dir: BorrowedFd<'_>, name: &[u8]) -> Result<(), Error> {
    let mut moved = Moved {
        dir,
        names: vec![name.to_vec()],
        numbered: 0,
    };
    while let Some(name) = moved.names.pop() {
        remove_one(&mut moved, &name).map_err(failed("remove", &name))?;
    }
    Ok(())
}

/// What is to be removed from the directory in which everything began.
struct Moved<'a> {
    dir: BorrowedFd<'a>,
    names: Vec<Vec<u8>>,
    numbered: u64,
}

impl Moved<'_> {
    /// Moves `name` of `from` up, under a name that nobody has.
    fn up(&mut self, from: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
        loop {
            let free = format!(".helmr-removed-{}", self.numbered).into_bytes();
            self.numbered += 1;
            match rustix::fs::renameat_with(
                from,
                name,
                self.dir,
                free.as_slice(),
                RenameFlags::NOREPLACE,
            ) {
                Ok(()) => {
                    self.names.push(free);
                    return Ok(());
                }
                Err(Errno::EXIST) => {}
                Err(Errno::NOENT) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// An open directory, and what is left in it.
struct Level {
    dir: OwnedFd,
    names: Vec<Vec<u8>>,
}

fn remove_one(moved: &mut Moved<'_>, name: &[u8]) -> Result<(), Errno> {
    let Some(first) = unlink_or_enter(moved.dir, name)? else {
        return Ok(());
    };
    let mut levels = vec![first];
    while let Some(level) = levels.last_mut() {
        let Some(inner) = level.names.pop() else {
            levels.pop();
            continue;
        };
        let Some(child) = unlink_or_enter(level.dir.as_fd(), &inner)? else {
            continue;
        };
        if levels.len() == DEPTH {
            let level = levels.last().ok_or(Errno::INVAL)?;
            moved.up(level.dir.as_fd(), &inner)?;
            continue;
        }
        // Come back to the directory itself when it is empty.
        if let Some(level) = levels.last_mut() {
            level.names.push(inner);
        }
        levels.push(child);
    }
    match rustix::fs::unlinkat(moved.dir, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes a name, or opens it if it is a directory that is not empty.
fn unlink_or_enter(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Level>, Errno> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(None),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error),
    }
    match rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => return Ok(None),
        Err(Errno::NOTEMPTY | Errno::ACCESS) => {}
        Err(error) => return Err(error),
    }
    let dir = open_for_change(dir, name)?;
    let names = beneath::names(dir.as_fd())?;
    Ok(Some(Level { dir, names }))
}
