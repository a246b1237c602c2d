//! Disks made ahead, mounted and empty: taking one is a rename.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use helmr_machine::disk::{Disk, Error, SMALLEST_BYTES};

use super::io;

/// Sizes of which one is kept ready. Most installations use one or two.
const SIZES: usize = 4;

pub(super) struct Spares {
    directory: PathBuf,
    kept: Mutex<Kept>,
    made: Condvar,
}

#[derive(Default)]
struct Kept {
    /// By size; `None` while one is being made.
    ready: BTreeMap<u64, Option<Disk>>,
    retired: bool,
}

impl Spares {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            kept: Mutex::default(),
            made: Condvar::new(),
        }
    }

    /// Removes what an earlier worker left.
    pub(super) fn clear(&self) {
        for entry in fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten()
        {
            if let Err(error) = Disk::at(entry.path()).remove() {
                tracing::warn!(%error, "a disk that was made ahead could not be removed");
            }
        }
    }

    /// Puts a disk of `bytes` in the place of `disk`, which is not there. False if none is ready.
    pub(super) fn take(&self, bytes: u64, disk: &Disk) -> Result<bool, Error> {
        let found = {
            let mut kept = self.kept();
            match kept.ready.get_mut(&bytes).map(Option::take) {
                Some(Some(spare)) => {
                    kept.ready.remove(&bytes);
                    spare
                }
                // None, or one that is being made: that one is for the next.
                Some(None) | None => return Ok(false),
            }
        };
        if !found.is_mounted() {
            found.remove()?;
            return Ok(false);
        }
        if let Some(parent) = disk.directory().parent() {
            fs::create_dir_all(parent).map_err(io("create", parent))?;
        }
        fs::rename(found.directory(), disk.directory()).map_err(io("rename", disk.directory()))?;
        Ok(true)
    }

    /// Makes one of `bytes` beside everything else, unless one is there or being made.
    pub(super) fn make_ahead(this: &Arc<Self>, bytes: u64) {
        {
            let mut kept = this.kept();
            if kept.retired || kept.ready.len() >= SIZES || kept.ready.contains_key(&bytes) {
                return;
            }
            kept.ready.insert(bytes, None);
        }
        let spares = Arc::clone(this);
        // Not awaited: without one the next start makes its own.
        drop(tokio::task::spawn_blocking(move || spares.make(bytes)));
    }

    fn make(&self, bytes: u64) {
        let directory = self
            .directory
            .join(format!("{bytes}-{}", crate::images::unique()));
        let disk = Disk::at(directory);
        let made = disk
            .create(bytes.max(SMALLEST_BYTES))
            .and_then(|()| disk.mount())
            // The first commit of its journal is the longest.
            .and_then(|()| disk.sync());
        let wanted = !self.kept().retired;
        let done = match made {
            Ok(()) if wanted => Ok(Some(disk)),
            made => disk.remove().and(made).map(|()| None),
        };
        let mut kept = self.kept();
        match done {
            Ok(Some(disk)) => {
                kept.ready.insert(bytes, Some(disk));
            }
            Ok(None) => {
                kept.ready.remove(&bytes);
            }
            Err(error) => {
                kept.ready.remove(&bytes);
                tracing::warn!(%error, "no disk could be made ahead");
            }
        }
        drop(kept);
        self.made.notify_all();
    }

    /// Removes those that are ready, and lets none come after.
    pub(super) fn retire(&self) {
        let ready = {
            let mut kept = self.kept();
            kept.retired = true;
            while kept.ready.values().any(Option::is_none) {
                kept = self.made.wait(kept).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::take(&mut kept.ready)
        };
        for disk in ready.into_values().flatten() {
            if let Err(error) = disk.remove() {
                tracing::warn!(%error, "a disk that was made ahead could not be removed");
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
