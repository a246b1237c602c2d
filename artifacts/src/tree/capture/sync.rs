//! Syncing what is about to be read.

use std::os::fd::AsFd;

use rustix::io::Errno;

use crate::clock::wall_ns;

/// Files synced one by one; after that the whole file system is, once.
const SYNCED_ONE_BY_ONE: u32 = 64;

/// Makes writes through a mapping visible as later changes: once a page is clean, the next store moves the change time.
#[derive(Default)]
pub(super) struct Sync {
    one_by_one: u32,
    /// When the whole file system was synced.
    all_at: Option<i128>,
}

impl Sync {
    /// Syncs `file`. Returns a time before which no store to it can be missed.
    pub(super) fn before_reading(&mut self, file: impl AsFd) -> Result<i128, Errno> {
        if let Some(at) = self.all_at {
            return Ok(at);
        }
        let at = wall_ns();
        if self.one_by_one < SYNCED_ONE_BY_ONE {
            self.one_by_one += 1;
            rustix::fs::fdatasync(file)?;
        } else {
            rustix::fs::syncfs(file)?;
            self.all_at = Some(at);
        }
        Ok(at)
    }
}
