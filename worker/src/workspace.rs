//! The files of a workspace on this host: made from a manifest, captured as one.
//!
//! `state.json` says what `tree/` is known to hold. It is written before anything touches the tree, so that after a kill
//! a tree that may be torn or run on is never taken for a version.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use helmr_api::worker::CapturedVersion;
use helmr_artifacts::tree::{self, Index};
use helmr_artifacts::{Artifacts, KeySet, ManifestId};
use helmr_domain::VersionId;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::clock;
use crate::directory::{Durability, WorkspaceDir, read_json, remove, write_json};

/// Within this a tree is made or captured, or never: a machine may stand still meanwhile.
const FILES_WITHIN: Duration = Duration::from_secs(600);

/// The files cannot be made or captured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{operation}: not done within {FILES_WITHIN:?}")]
    TooSlow { operation: &'static str },
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
    pub(crate) fn is_disk_full(&self) -> bool {
        match self {
            Self::Artifacts { source, .. } => source.is_disk_full(),
            Self::TooSlow { .. } => false,
            Self::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
        }
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
    artifacts: Artifacts,
    keys: KeySet,
    state: State,
    /// Read from its file when it is first needed: a wake needs none.
    index: Option<Arc<Index>>,
}

impl Workspace {
    /// Opens the workspace's directory, which is made if it is missing.
    pub(crate) fn open(
        directory: WorkspaceDir,
        artifacts: Artifacts,
        keys: KeySet,
    ) -> Result<Self, Error> {
        let tree = directory.tree();
        std::fs::create_dir_all(&tree).map_err(io_error("create", tree))?;
        let mut state: State = read_json(&directory.state())
            .unwrap_or_else(|error| {
                tracing::warn!(%error, "a workspace's state cannot be read; its files are looked at anew");
                None
            })
            .unwrap_or_default();
        let boot = clock::host_boot();
        state.clean &= state.boot == boot;
        state.boot = boot;
        Ok(Self {
            directory,
            artifacts,
            keys,
            state,
            index: None,
        })
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.directory.tree()
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
                    tree::restore(artifacts, &keys, id, &root, known().as_deref())
                })
                .await?;
            self.keep(index);
        }
        self.note_base(Some(base), true)
    }

    /// Empties the tree, to be filled by other means and then captured.
    pub(crate) fn clear(&mut self) -> Result<(), Error> {
        self.note_base(None, false)?;
        let tree = self.tree();
        remove(&tree)
            .and_then(|()| std::fs::create_dir(&tree))
            .map_err(io_error("empty", tree))
    }

    /// Notes that something may run on the tree from now on.
    pub(crate) fn unsettle(&mut self) -> Result<(), Error> {
        self.note_base(self.state.base.clone(), false)
    }

    /// Notes that the tree is what was captured last and that nothing runs on it any more.
    pub(crate) fn settle(&mut self, version: &CapturedVersion) {
        self.mark_base(Base::of(version), true);
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
                tree::capture(artifacts, &keys, &root, previous().as_deref())
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
        timeout(FILES_WITHIN, self.artifacts.run(work))
            .await
            .map_err(|_| Error::TooSlow { operation })?
            .map_err(artifacts_error(operation))
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
