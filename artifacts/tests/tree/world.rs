//! A store, keys, and a directory to capture.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use helmr_artifacts::tree::{self, Captured, Index};
use helmr_artifacts::{Artifacts, DataKey, Error, KeySet, ManifestId};
use tempfile::TempDir;

pub(crate) struct World {
    pub(crate) artifacts: Artifacts,
    pub(crate) keys: KeySet,
    dir: TempDir,
    made: std::sync::atomic::AtomicU32,
}

impl World {
    /// Not in `/tmp`, which may be a tmpfs: its change times are not trusted, so captures there cost more.
    pub(crate) fn new() -> Self {
        Self::on(Path::new(env!("CARGO_TARGET_TMPDIR")))
    }

    /// A world on another file system than the build's.
    pub(crate) fn on(parent: &Path) -> Self {
        let dir = tempfile::tempdir_in(parent).unwrap();
        std::fs::create_dir(dir.path().join("tree")).unwrap();
        Self {
            artifacts: Artifacts::open_local(&dir.path().join("artifacts")).unwrap(),
            keys: KeySet::derive(&DataKey::generate().unwrap()),
            dir,
            made: std::sync::atomic::AtomicU32::new(0),
        }
    }

    /// The directory that is captured.
    pub(crate) fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.dir.path().join("artifacts")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.tree().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn capture(&self, previous: Option<&Index>) -> Captured {
        self.try_capture(previous).unwrap()
    }

    pub(crate) fn try_capture(&self, previous: Option<&Index>) -> Result<Captured, Error> {
        tree::capture(&self.artifacts, &self.keys, open(&self.tree()), previous)
    }

    /// Captures until the last changes are old enough to be told from later ones by their time.
    pub(crate) fn settled(&self) -> Index {
        let begun = Instant::now();
        let mut index = self.capture(None).index;
        loop {
            let late_enough = begun.elapsed() > Duration::from_millis(80);
            index = self.capture(Some(&index)).index;
            if late_enough {
                return index;
            }
        }
    }

    /// Materializes into a new directory.
    pub(crate) fn materialize(&self, id: ManifestId) -> (PathBuf, Index) {
        let (path, index) = self.try_materialize(id);
        (path, index.unwrap())
    }

    pub(crate) fn try_materialize(&self, id: ManifestId) -> (PathBuf, Result<Index, Error>) {
        let number = self.made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = self.dir.path().join(format!("made-{number}"));
        std::fs::create_dir(&path).unwrap();
        let index = tree::materialize(&self.artifacts, &self.keys, id, open(&path));
        (path, index)
    }

    /// Files in the store beneath `folder`.
    pub(crate) fn objects(&self, folder: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut dirs = vec![self.store().join(folder)];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path)
                } else {
                    found.push(path)
                }
            }
        }
        found.sort();
        found
    }
}

pub(crate) fn open(path: &Path) -> OwnedFd {
    tree::open_root(path).unwrap()
}

/// Deterministic bytes that do not compress.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}
