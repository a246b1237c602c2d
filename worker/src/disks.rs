//! Where the files of workspaces lie: on a disk of the declared size each, or, where this host cannot do that, in a plain
//! directory.
//!
//! A disk stays mounted while its machine lives and for a while after, so that the next start or wake finds it. A start
//! takes a disk that was made ahead, if there is one of its size. Whoever uses a workspace's files holds its place; what
//! nobody holds may be let go or removed at any time.

mod spares;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use helmr_artifacts::tree;
use helmr_domain::WorkspaceId;
use helmr_machine::disk::{Disk, Error};

use crate::directory::{Directory, WorkspaceDir, remove};
use crate::workspace::holds_newer;
use spares::Spares;

/// What the files of a workspace are wanted for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Need {
    /// A machine with fresh memory: what is there may be kept or not, and the disk has the size that is declared.
    Start { disk_bytes: u64 },
    /// A machine that was parked on these files: they stay on the disk that they are on.
    Wake { disk_bytes: u64 },
    /// What is there.
    AsItIs,
}

/// The disks of one worker. Every call blocks.
pub(crate) struct Disks {
    directory: Directory,
    hard_limit: bool,
    places: Mutex<HashMap<WorkspaceId, Use>>,
    left: Condvar,
    spares: Arc<Spares>,
}

/// Who is at a workspace's files.
enum Use {
    Held {
        count: usize,
        working: Arc<Mutex<()>>,
    },
    /// Being let go or removed.
    Tidied,
}

/// A workspace's files, for as long as this lives.
pub(crate) struct Place {
    disks: Arc<Disks>,
    id: WorkspaceId,
    working: Arc<Mutex<()>>,
    ground: Ground,
}

enum Ground {
    Plain(PathBuf),
    Disk(Disk),
}

impl Place {
    pub(crate) fn tree(&self) -> PathBuf {
        match &self.ground {
            Ground::Plain(tree) => tree.clone(),
            Ground::Disk(disk) => disk.tree(),
        }
    }

    /// Where the machine's other changes count towards the same limit.
    pub(crate) fn overlay(&self) -> Option<PathBuf> {
        match &self.ground {
            Ground::Plain(_) => None,
            Ground::Disk(disk) => Some(disk.overlay()),
        }
    }

    /// Waits until no other work on these files is under way, and keeps the next one waiting.
    pub(crate) fn work(&self) -> MutexGuard<'_, ()> {
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The size of the disk, if the files are on one.
    pub(crate) fn limit_bytes(&self) -> Option<u64> {
        match &self.ground {
            Ground::Plain(_) => None,
            Ground::Disk(disk) => disk.size_bytes().ok().flatten(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.disks.let_go(self.id);
    }
}

impl Disks {
    /// Removes the disks that an earlier worker made ahead.
    pub(crate) fn open(directory: Directory, hard_limit: bool) -> Arc<Self> {
        let spares = Arc::new(Spares::new(directory.disks()));
        spares.clear();
        Arc::new(Self {
            directory,
            hard_limit,
            places: Mutex::default(),
            left: Condvar::new(),
            spares,
        })
    }

    /// Finds or makes the place of a workspace's files.
    ///
    /// # Errors
    /// If it cannot be made or mounted.
    pub(crate) fn place(self: &Arc<Self>, id: WorkspaceId, need: Need) -> Result<Place, Error> {
        // Held from here on, so that an error lets it go.
        let mut place = Place {
            working: self.hold(id),
            disks: Arc::clone(self),
            id,
            ground: Ground::Plain(PathBuf::new()),
        };
        let directory = self.directory.workspace(id);
        let working = Arc::clone(&place.working);
        // What an earlier holder began may still be at the files.
        let _working = working.lock().unwrap_or_else(PoisonError::into_inner);
        place.ground = self.ground(&directory, need)?;
        Ok(place)
    }

    fn ground(&self, directory: &WorkspaceDir, need: Need) -> Result<Ground, Error> {
        let disk = Disk::at(directory.disk());
        let size = disk.size_bytes()?;
        if let Some(size) = size
            && self.is_right(need, size, directory)
        {
            match disk.mount() {
                Ok(()) => return Ok(Ground::Disk(disk)),
                Err(error) if !self.may_be_replaced(need, &error) => return Err(error),
                Err(error) => {
                    tracing::error!(disk = %disk.directory().display(), %error, "a disk cannot be mounted; its files are made anew");
                }
            }
        }
        let plain = directory.plain_tree();
        // A machine that an earlier worker left may still be on a plain directory.
        let kept = matches!(need, Need::AsItIs) && size.is_none();
        if !self.hard_limit || kept {
            if disk.directory().exists() {
                forget(directory)?;
                disk.remove()?;
            }
            std::fs::create_dir_all(&plain).map_err(io("create", &plain))?;
            return Ok(Ground::Plain(plain));
        }
        // What was known is forgotten first: a kill in between leaves files of which nothing is known.
        forget(directory)?;
        disk.remove()?;
        remove_tree(&plain)?;
        let bytes = match need {
            Need::Start { disk_bytes } | Need::Wake { disk_bytes } => disk_bytes,
            Need::AsItIs => size.unwrap_or_default(),
        };
        if !self.spares.take(bytes, &disk)? {
            disk.create(bytes)?;
            disk.mount()?;
        }
        Spares::make_ahead(&self.spares, bytes);
        Ok(Ground::Disk(disk))
    }

    /// Whether a disk of `size` serves. A changed size comes with the next start, which has the files anew; only files
    /// that are nowhere else yet are not given up for it.
    fn is_right(&self, need: Need, size: u64, directory: &WorkspaceDir) -> bool {
        match need {
            Need::Start { disk_bytes } => {
                self.hard_limit
                    && (size == disk_bytes.max(helmr_machine::disk::SMALLEST_BYTES)
                        || holds_newer(directory))
            }
            Need::Wake { .. } | Need::AsItIs => true,
        }
    }

    /// Whether a start or wake can do without a disk that is damaged: its version is elsewhere.
    fn may_be_replaced(&self, need: Need, error: &Error) -> bool {
        let damaged = !error.is_disk_full() && !matches!(error, Error::NoLoopDevice { .. });
        damaged && self.hard_limit && !matches!(need, Need::AsItIs)
    }

    /// Whether a workspace's disk is mounted, or its directory a plain one that needs no mount.
    pub(crate) fn is_mounted(&self, id: WorkspaceId) -> bool {
        Disk::at(self.directory.workspace(id).disk()).is_mounted()
    }

    /// What the files of a workspace take of the host's disk, as far as that can be told at once.
    pub(crate) fn allocated_bytes(&self, id: WorkspaceId) -> u64 {
        Disk::at(self.directory.workspace(id).disk()).allocated_bytes()
    }

    /// Lets a mounted disk go, and the host have what is free on it. False if somebody uses it.
    pub(crate) fn put_away(&self, id: WorkspaceId) -> Result<bool, Error> {
        self.tidy(id, |directory| {
            let disk = Disk::at(directory.disk());
            if !disk.is_mounted() {
                return Ok(());
            }
            if let Err(error) = disk.trim() {
                tracing::debug!(%error, "a disk was not trimmed");
            }
            disk.unmount()
        })
    }

    /// Removes everything of a workspace. False if somebody uses it.
    pub(crate) fn remove(&self, id: WorkspaceId) -> Result<bool, Error> {
        self.tidy(id, |directory| {
            forget(directory)?;
            Disk::at(directory.disk()).remove()?;
            remove_tree(&directory.plain_tree())?;
            remove(&directory.path).map_err(io("remove", &directory.path))
        })
    }

    /// Lets every disk go that is not used, and makes no more ahead. Called at the end.
    pub(crate) fn retire(&self) {
        self.spares.retire();
        let workspaces = self.directory.workspaces();
        for id in crate::directory::entries::<WorkspaceId>(&workspaces).unwrap_or_default() {
            let done = self.tidy(id, |directory| Disk::at(directory.disk()).unmount());
            if let Err(error) = done {
                tracing::warn!(workspace.id = %id, %error, "a workspace's disk stays mounted");
            }
        }
    }

    fn tidy(
        &self,
        id: WorkspaceId,
        work: impl FnOnce(&WorkspaceDir) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        {
            let mut places = self.places();
            if places.contains_key(&id) {
                return Ok(false);
            }
            drop(places.insert(id, Use::Tidied));
        }
        let done = work(&self.directory.workspace(id));
        self.places().remove(&id);
        self.left.notify_all();
        done.map(|()| true)
    }

    fn hold(&self, id: WorkspaceId) -> Arc<Mutex<()>> {
        let mut places = self.places();
        loop {
            match places.get_mut(&id) {
                None => {
                    let working = Arc::default();
                    let held = Use::Held {
                        count: 1,
                        working: Arc::clone(&working),
                    };
                    drop(places.insert(id, held));
                    return working;
                }
                Some(Use::Held { count, working }) => {
                    *count += 1;
                    return Arc::clone(working);
                }
                Some(Use::Tidied) => {
                    places = self
                        .left
                        .wait(places)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn let_go(&self, id: WorkspaceId) {
        let mut places = self.places();
        match places.get_mut(&id) {
            Some(Use::Held { count, .. }) if *count > 1 => *count -= 1,
            Some(Use::Held { .. }) => drop(places.remove(&id)),
            Some(Use::Tidied) | None => {}
        }
    }

    fn places(&self) -> MutexGuard<'_, HashMap<WorkspaceId, Use>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets what is known of a workspace's files.
fn forget(directory: &WorkspaceDir) -> Result<(), Error> {
    for path in [directory.state(), directory.index()] {
        remove(&path).map_err(io("remove", &path))?;
    }
    Ok(())
}

/// Removes a tree that a machine has written, whatever it is like. Nothing there is fine.
fn remove_tree(path: &std::path::Path) -> Result<(), Error> {
    if !path.exists() {
        return Ok(());
    }
    tree::open_root(path)
        .and_then(tree::empty)
        .map_err(std::io::Error::other)
        .and_then(|()| std::fs::remove_dir(path))
        .map_err(io("remove", path))
}

fn io(operation: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io {
        operation,
        path,
        source,
    }
}
