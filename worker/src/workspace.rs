//! The files of a workspace on this host: made from a manifest, captured as one.
//!
//! `state.json` says what the tree is known to hold. It is written before anything touches the tree, so that after a kill
//! a tree that may be torn or run on is never taken for a version.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use helmr_api::fault;
use helmr_api::worker::{CapturedVersion, FilesCaptured};
use helmr_artifacts::tree::{self, Index};
use helmr_artifacts::{Artifacts, KeySet, ManifestId};
use helmr_domain::{VersionId, WorkspaceId};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::clock;
use crate::directory::{Durability, WorkspaceDir, read_json, write_json};
use crate::disks::{Disks, Need, Place};

/// Within this a tree is made or captured, or never: a machine may stand still meanwhile.
const FILES_WITHIN: Duration = Duration::from_secs(600);

/// The files cannot be made or captured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{operation}: not done within {FILES_WITHIN:?}")]
    TooSlow { operation: &'static str },
    #[error("the workspace's files do not fit on its disk of {} MiB: its sandbox must declare a larger one", limit_bytes >> 20)]
    TooLarge { limit_bytes: u64 },
    /// Nothing that a workspace could help.
    #[error("{operation}: the worker's own disk is full")]
    HostFull {
        operation: &'static str,
        #[source]
        source: Box<helmr_artifacts::Error>,
    },
    #[error(transparent)]
    Disk(#[from] helmr_machine::disk::Error),
    #[error("{operation}")]
    Artifacts {
        operation: &'static str,
        #[source]
        source: Box<helmr_artifacts::Error>,
    },
    #[error("{operation} {path}")]
    Io {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Whether there is no such directory.
    pub(crate) fn is_not_found(&self) -> bool {
        let source = match self {
            Self::Artifacts { source, .. } => match &**source {
                helmr_artifacts::Error::Io { source, .. } => source,
                _ => return false,
            },
            Self::TooSlow { .. }
            | Self::TooLarge { .. }
            | Self::HostFull { .. }
            | Self::Disk(_) => return false,
            Self::Io { source, .. } => source,
        };
        source.kind() == io::ErrorKind::NotFound
    }

    /// Whether the workspace's own disk has no room for its files.
    pub(crate) fn is_disk_full(&self) -> bool {
        matches!(self, Self::TooLarge { .. })
    }
}

/// What the tree is known to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// Of the host. A power cut may undo the last writes here and keep younger ones in the tree, so nothing is known of
    /// a tree that an earlier boot left.
    boot: String,
    /// The last version that the tree was made from or captured as.
    base: Option<Base>,
    /// Nothing has run on the tree since: it *is* the base.
    clean: bool,
    /// Files were written from outside while the machine was parked: the tree is to be captured before a restore.
    #[serde(default)]
    edited: bool,
    /// It is known not to be newer than its base, though an earlier boot may have left it torn.
    #[serde(skip)]
    torn: bool,
}

/// Whether a workspace's files may be newer than every version that is known of.
pub(crate) fn holds_newer(directory: &WorkspaceDir) -> bool {
    match read_json::<State>(&directory.state()) {
        // One without a base was being made when it was left.
        Ok(Some(state)) => state.base.is_some() && (!state.clean || state.edited),
        Ok(None) => false,
        Err(_) => true,
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Base {
    manifest: String,
    /// Absent for what an image holds: no version yet.
    version_id: Option<VersionId>,
}

impl Base {
    fn of(version: &CapturedVersion) -> Self {
        Self {
            manifest: version.manifest.clone(),
            version_id: Some(version.version_id),
        }
    }
}

/// One workspace's files. Used by the one task that holds the workspace.
pub(crate) struct Workspace {
    directory: WorkspaceDir,
    place: Arc<Place>,
    artifacts: Artifacts,
    keys: KeySet,
    state: State,
    /// Read from its file when it is first needed: a wake needs none.
    index: Option<Arc<Index>>,
}

impl Workspace {
    /// Reads what is known of the files at `place`.
    pub(crate) fn open(
        directory: WorkspaceDir,
        place: Place,
        artifacts: Artifacts,
        keys: KeySet,
    ) -> Self {
        let mut state: State = read_json(&directory.state())
            .unwrap_or_else(|error| {
                tracing::warn!(%error, "a workspace's state cannot be read; its files are looked at anew");
                None
            })
            .unwrap_or_default();
        let boot = clock::host_boot();
        state.torn = state.clean && state.boot != boot;
        state.clean &= !state.torn;
        state.boot = boot;
        Self {
            directory,
            place: Arc::new(place),
            artifacts,
            keys,
            state,
            index: None,
        }
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.place.tree()
    }

    /// See [`Place::overlay`].
    pub(crate) fn overlay(&self) -> Option<PathBuf> {
        self.place.overlay()
    }

    /// Whether the tree may be newer than every version that is known of.
    pub(crate) fn holds_newer(&self) -> bool {
        self.state.base.is_some() && (!(self.state.clean || self.state.torn) || self.state.edited)
    }

    /// The version that the tree was made from or captured as last.
    pub(crate) fn base_version(&self) -> Option<VersionId> {
        self.state.base.as_ref().and_then(|base| base.version_id)
    }

    /// Whether the tree holds exactly the last version.
    pub(crate) fn is_clean(&self) -> bool {
        self.state.clean && !self.state.edited
    }

    /// Whether files were written from outside since the machine parked.
    pub(crate) fn is_edited(&self) -> bool {
        self.state.edited
    }

    /// Makes the tree hold `manifest` and nothing else, whatever it held before.
    pub(crate) async fn put_back(
        &mut self,
        manifest: &str,
        version_id: Option<VersionId>,
    ) -> Result<(), Error> {
        let base = Base {
            manifest: manifest.to_owned(),
            version_id,
        };
        if !(self.is_clean() && self.holds(manifest)) {
            let id: ManifestId = manifest
                .parse()
                .map_err(artifacts_error("read the manifest id"))?;
            self.note_base(None, false)?;
            let known = self.known_index();
            let (root, keys) = (self.tree(), self.keys.clone());
            let index = self
                .work("make the workspace's files", move |artifacts| {
                    let root = tree::open_root(&root)?;
                    let artifacts =
                        artifacts.at_entries(|| fault::point("worker.files.put_back_entry"));
                    tree::restore(&artifacts, &keys, id, &root, known().as_deref())
                })
                .await?;
            self.keep(index);
        }
        self.note_base(Some(base), true)
    }

    /// Empties the tree, to be filled by other means and then captured.
    pub(crate) async fn clear(&mut self) -> Result<(), Error> {
        self.note_base(None, false)?;
        let root = self.tree();
        self.work("empty the workspace's directory", move |_| {
            tree::empty(tree::open_root(&root)?)
        })
        .await
    }

    /// Notes that something may run on the tree from now on.
    pub(crate) fn unsettle(&mut self) -> Result<(), Error> {
        self.note_base(self.state.base.clone(), false)
    }

    /// Notes that the tree is what was captured last and that nothing runs on it any more.
    pub(crate) fn settle(&mut self, version: &CapturedVersion) {
        self.mark_base(Base::of(version), true);
    }

    /// Whether captured files are what the tree was made from; then it is known to hold that.
    pub(crate) fn settle_if_unchanged(&mut self, captured: &CapturedVersion) -> bool {
        let base = self.state.base.clone();
        let Some(base) = base.filter(|base| base.manifest == captured.manifest) else {
            return false;
        };
        self.mark_base(base, true);
        true
    }

    /// Notes that the control plane has a version, which the next capture is compared with.
    pub(crate) fn committed(&mut self, version: &CapturedVersion) {
        self.mark_base(Base::of(version), self.state.clean);
    }

    /// Whether a captured version is the one that the control plane already has.
    pub(crate) fn is_known(&self, version: &CapturedVersion) -> bool {
        self.state
            .base
            .as_ref()
            .is_some_and(|base| base.version_id == Some(version.version_id))
    }

    /// Captures the tree. Whatever writes to it is paused. Gives the last version again if nothing changed since.
    pub(crate) async fn capture(&mut self) -> Result<CapturedVersion, Error> {
        let previous = self.known_index();
        let (root, keys) = (self.tree(), self.keys.clone());
        let captured = self
            .work("capture the workspace's files", move |artifacts| {
                let root = tree::open_root(&root)?;
                let artifacts = artifacts.at_entries(|| fault::point("worker.files.capture_entry"));
                tree::capture(&artifacts, &keys, &root, previous().as_deref())
            })
            .await?;
        self.keep(captured.index);
        let manifest = captured.id.to_string();
        let known = self
            .state
            .base
            .as_ref()
            .filter(|base| base.manifest == manifest)
            .and_then(|base| base.version_id);
        let version_id = known.unwrap_or_else(|| VersionId::new(clock::now(), clock::random()));
        Ok(CapturedVersion {
            version_id,
            manifest,
            size_bytes: captured.size_bytes,
            changed_bytes: if known.is_some() {
                0
            } else {
                captured.changed_bytes
            },
        })
    }

    /// Captures a tree that was just made by other means, which is no version yet. Gives manifest and size.
    pub(crate) async fn capture_seed(&mut self) -> Result<(String, u64), Error> {
        let captured = self.capture().await?;
        let base = Base {
            manifest: captured.manifest.clone(),
            version_id: None,
        };
        self.note_base(Some(base), true)?;
        Ok((captured.manifest, captured.size_bytes))
    }

    /// Writes the index of the last capture beside the tree. What is lost without it is time.
    pub(crate) fn save_index(&self) {
        let Some(index) = self.index.clone() else {
            return;
        };
        let path = self.directory.index();
        // Not awaited: nothing depends on it, and a wake must not wait for it.
        drop(tokio::task::spawn_blocking(move || {
            if let Err(error) = index.save(&path) {
                tracing::debug!(%error, "a tree's index was not kept");
            }
        }));
    }

    async fn work<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Artifacts) -> Result<T, helmr_artifacts::Error> + Send + 'static,
    ) -> Result<T, Error> {
        // Held until the work has ended, also when nobody waits for it any more: the next one begins after it.
        let place = Arc::clone(&self.place);
        let work = self.artifacts.run(move |artifacts| {
            let _working = place.work();
            work(artifacts)
        });
        timeout(FILES_WITHIN, work)
            .await
            .map_err(|_| Error::TooSlow { operation })?
            .map_err(|error| self.explained(operation, error))
    }

    /// Tells whose disk is full, if one is.
    fn explained(&self, operation: &'static str, error: helmr_artifacts::Error) -> Error {
        let own = matches!(error, helmr_artifacts::Error::Io { .. });
        match self.place.limit_bytes() {
            _ if !error.is_disk_full() => artifacts_error(operation)(error),
            Some(limit_bytes) if own => Error::TooLarge { limit_bytes },
            _ => Error::HostFull {
                operation,
                source: Box::new(error),
            },
        }
    }

    /// Gives the index when it is called, which may have to read it and so belongs in a blocking place.
    fn known_index(&self) -> impl FnOnce() -> Option<Arc<Index>> + Send + 'static {
        let (kept, path) = (self.index.clone(), self.directory.index());
        move || {
            kept.or_else(|| {
                Index::load(&path)
                    .unwrap_or_else(|error| {
                        tracing::debug!(%error, "a tree's index cannot be read; everything is");
                        None
                    })
                    .map(Arc::new)
            })
        }
    }

    fn holds(&self, manifest: &str) -> bool {
        self.state
            .base
            .as_ref()
            .is_some_and(|base| base.manifest == manifest)
    }

    fn keep(&mut self, index: Index) {
        self.index = Some(Arc::new(index));
    }

    /// Notes what is so already. Without the note the tree is looked at anew, which costs no more than time.
    fn mark_base(&mut self, base: Base, clean: bool) {
        if let Err(error) = self.note_base(Some(base), clean) {
            tracing::warn!(%error, "a workspace's state was not written");
        }
    }

    fn note_base(&mut self, base: Option<Base>, clean: bool) -> Result<(), Error> {
        self.note(State {
            boot: self.state.boot.clone(),
            base,
            clean,
            edited: false,
            torn: false,
        })
    }

    fn note(&mut self, state: State) -> Result<(), Error> {
        if self.state == state {
            return Ok(());
        }
        let path = self.directory.state();
        write_json(&path, &state, Durability::Process).map_err(io_error("write", path))?;
        self.state = state;
        Ok(())
    }
}

/// Stores a workspace's files as they lie on this host now, beside whoever holds the workspace: nothing of what is noted
/// of them changes, and a machine that works on them goes on.
pub(crate) async fn store_as_is(
    disks: &Arc<Disks>,
    id: WorkspaceId,
    directory: WorkspaceDir,
    artifacts: &Artifacts,
    keys: KeySet,
) -> Result<FilesCaptured, Error> {
    let operation = "store the workspace's files";
    if !directory.path.exists() {
        return Err(io_error(operation, directory.path)(
            io::ErrorKind::NotFound.into(),
        ));
    }
    let state: State = read_json(&directory.state())
        .ok()
        .flatten()
        .unwrap_or_default();
    let disks = Arc::clone(disks);
    let place = tokio::task::spawn_blocking(move || disks.place(id, Need::AsItIs))
        .await
        .map_err(|error| io_error(operation, directory.path.clone())(io::Error::other(error)))??;
    let work = artifacts.run(move |artifacts| {
        let known = Index::load(&directory.index()).unwrap_or(None);
        let root = tree::open_root(&place.tree())?;
        tree::capture(artifacts, &keys, &root, known.as_ref())
    });
    let captured = timeout(FILES_WITHIN, work)
        .await
        .map_err(|_| Error::TooSlow { operation })?
        .map_err(artifacts_error(operation))?;
    Ok(FilesCaptured {
        manifest: captured.id.to_string(),
        size_bytes: captured.size_bytes,
        changed_bytes: captured.changed_bytes,
        edited: state.edited,
    })
}

/// Notes that files are about to be written while the machine is parked, so that they are captured before it goes on.
pub(crate) fn note_edit(directory: &WorkspaceDir) -> Result<(), Error> {
    let path = directory.state();
    let mut state: State = read_json(&path)
        .unwrap_or_else(|error| {
            tracing::warn!(%error, "a workspace's state cannot be read; its files are looked at anew");
            None
        })
        .unwrap_or_default();
    if state.edited {
        return Ok(());
    }
    state.edited = true;
    write_json(&path, &state, Durability::Process).map_err(io_error("write", path))
}

fn io_error(operation: &'static str, path: PathBuf) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io {
        operation,
        path,
        source,
    }
}

fn artifacts_error(operation: &'static str) -> impl FnOnce(helmr_artifacts::Error) -> Error {
    move |source| Error::Artifacts {
        operation,
        source: Box::new(source),
    }
}
