//! A workspace's directory, and the same files captured.

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path as OsPath, PathBuf};
use std::sync::Arc;

use helmr_artifacts::files::{
    self, Append, Condition, Edit, Edited, Error, Kept, Live, Outline, Path, Put, Span, Staged,
    Stored, Tree,
};
use helmr_artifacts::tree::{self, Captured};
use helmr_artifacts::{Artifacts, DataKey, KeySet, ManifestId};
use tempfile::TempDir;

pub(crate) const MOUNT: &[u8] = b"/workspace";

pub(crate) struct World {
    pub(crate) artifacts: Artifacts,
    pub(crate) keys: KeySet,
    dir: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        std::fs::create_dir(dir.path().join("tree")).unwrap();
        std::fs::write(dir.path().join("secret"), "outside").unwrap();
        Self {
            artifacts: Artifacts::open_local(&dir.path().join("artifacts")).unwrap(),
            keys: KeySet::derive(&DataKey::generate().unwrap()),
            dir,
        }
    }

    pub(crate) fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    pub(crate) fn outside(&self) -> PathBuf {
        self.dir.path().join("secret")
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.tree().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn live(&self) -> Live {
        Live::open(&self.tree(), MOUNT).unwrap()
    }

    pub(crate) fn capture(&self) -> Captured {
        let root = tree::open_root(&self.tree()).unwrap();
        tree::capture(&self.artifacts, &self.keys, root.as_fd(), None).unwrap()
    }

    pub(crate) fn open(&self, id: ManifestId) -> Stored {
        let outline = Outline::read(&self.artifacts, &self.keys, id).unwrap();
        Stored::new(&self.artifacts, &self.keys, Arc::new(outline), MOUNT)
    }

    pub(crate) fn stored(&self) -> Stored {
        self.open(self.capture().id)
    }

    /// Makes a tree a directory again.
    pub(crate) fn materialize(&self, id: ManifestId) -> TempDir {
        let dir = tempfile::tempdir_in(self.dir.path()).unwrap();
        let root = tree::open_root(dir.path()).unwrap();
        tree::materialize(&self.artifacts, &self.keys, id, root.as_fd()).unwrap();
        dir
    }

    pub(crate) fn staged(&self, bytes: &[u8]) -> Staged {
        let mut staged = self.live().stage().unwrap();
        staged.write_all(bytes).unwrap();
        staged.finish().unwrap();
        staged
    }

    pub(crate) fn kept(&self, bytes: &[u8]) -> Kept {
        Kept::store(&self.artifacts, &self.keys, bytes).unwrap()
    }

    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> Result<files::Info, Error> {
        self.live()
            .put(&path(name), &self.staged(bytes), &Put::default())
    }

    /// Edits what is captured of the directory.
    pub(crate) fn edit(&self, work: impl FnOnce(&mut Edit<'_>)) -> Edited {
        let stored = self.stored();
        let mut edit = Edit::of(&stored);
        work(&mut edit);
        edit.finish().unwrap()
    }
}

pub(crate) fn path(name: &str) -> Path {
    Path::parse(name.as_bytes(), MOUNT).unwrap()
}

pub(crate) fn only_if(revision: &str) -> Condition {
    Condition::Is(revision.to_owned())
}

pub(crate) fn at(offset: u64) -> Append {
    Append {
        offset: Some(offset),
        ..Append::default()
    }
}

pub(crate) fn text(tree: &impl Tree, name: &str) -> Result<String, Error> {
    part(tree, name, Span::All)
}

pub(crate) fn part(tree: &impl Tree, name: &str, span: Span) -> Result<String, Error> {
    let mut opened = files::read(tree, &path(name), span)?;
    let mut bytes = Vec::new();
    (&mut opened.content)
        .take(opened.len)
        .read_to_end(&mut bytes)
        .unwrap();
    Ok(String::from_utf8(bytes).unwrap())
}

/// The names in a directory, page by page.
pub(crate) fn names(tree: &impl Tree, dir: &str, limit: usize) -> Vec<String> {
    let mut names = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = files::list(tree, &path(dir), after.as_deref(), limit).unwrap();
        assert!(page.items.len() <= limit);
        names.extend(page.items.iter().map(|info| info.path.to_string()));
        let Some(next) = page.next else {
            return names;
        };
        after = Some(next.split().unwrap().1.to_vec());
    }
}

/// Everything in a directory: paths, kinds, modes, times, texts and which are one file.
pub(crate) fn snapshot(root: &OsPath) -> Vec<String> {
    use std::os::unix::fs::MetadataExt as _;
    let mut found = Vec::new();
    let mut first = std::collections::HashMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        let mut entries: Vec<_> = std::fs::read_dir(&dir)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        entries.sort();
        for path in entries {
            let meta = path.symlink_metadata().unwrap();
            let name = path.strip_prefix(root).unwrap().to_owned();
            let kind = meta.file_type();
            let inside = if kind.is_symlink() {
                format!("-> {}", path.read_link().unwrap().display())
            } else if kind.is_file() {
                let bytes = std::fs::read(&path).unwrap();
                format!("{} bytes {}", bytes.len(), blake(&bytes))
            } else {
                String::new()
            };
            let of = first
                .entry(meta.ino())
                .or_insert_with(|| name.clone())
                .clone();
            found.push(format!(
                "{} {:o} {}:{} {inside} {}",
                name.display(),
                meta.mode(),
                meta.uid(),
                meta.gid(),
                of.display()
            ));
            if kind.is_dir() {
                waiting.push(path);
            }
        }
    }
    found.sort();
    found
}

fn blake(bytes: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
