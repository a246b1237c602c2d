//! A store whose objects can be made older, and a database that names some of them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use helmr_artifacts::sweep::{Figures, Round, Step};
use helmr_artifacts::{Artifacts, DataKey, KeySet, ManifestId};
use tempfile::TempDir;

pub(crate) const GRACE: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct World {
    pub(crate) artifacts: Artifacts,
    pub(crate) keys: KeySet,
    pub(crate) dir: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::create_dir(dir.path().join("tree")).unwrap();
        Self {
            artifacts: Artifacts::open_local(&dir.path().join("store")).unwrap(),
            keys: KeySet::derive(&DataKey::generate().unwrap()),
            dir,
        }
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    /// Begins a round of a database that names these.
    pub(crate) fn round<'a>(&self, named: impl IntoIterator<Item = &'a ManifestId>) -> Round {
        let mut round = Round::begin(&self.artifacts, GRACE);
        for id in named {
            round.mark(&self.artifacts, &self.keys, *id).unwrap();
        }
        round
    }

    pub(crate) fn sweep<'a>(&self, named: impl IntoIterator<Item = &'a ManifestId>) -> Figures {
        let mut round = self.round(named);
        while round.step().unwrap() == Step::More {}
        round.figures()
    }

    /// Lets time pass: everything in the store was written so much earlier.
    pub(crate) fn age(&self, by: Duration) {
        for path in files(&self.store()) {
            let file = File::open(&path).unwrap();
            let then = file.metadata().unwrap().modified().unwrap() - by;
            file.set_modified(then).unwrap();
        }
        let aside = self.store().join("aside");
        for entry in fs::read_dir(&aside).into_iter().flatten() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let then = name.parse::<u128>().unwrap() - by.as_nanos();
            fs::rename(aside.join(&name), aside.join(format!("{then:020}"))).unwrap();
        }
    }

    /// Every file in the store.
    pub(crate) fn objects(&self) -> Vec<PathBuf> {
        files(&self.store())
    }
}

fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
}

pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}
