//! A place to import into, and a look at what came out.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use helmr_machine::rootfs::{self, Error, Imported, Limits};
use tempfile::TempDir;

use crate::bundle::Image;

pub(crate) struct Workshop {
    pub(crate) dir: TempDir,
    pub(crate) limits: Limits,
}

/// What a file is, in words that are easy to compare.
pub(crate) type Listing = BTreeMap<String, String>;

impl Workshop {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            limits: Limits::default(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.path("root.erofs")
    }

    pub(crate) fn import(&self, source: &Path) -> Result<Imported, Error> {
        let imported = rootfs::import(source, &self.path("work"), &self.out(), &self.limits);
        // Whatever came of it, nothing stays behind.
        let left: Vec<_> = std::fs::read_dir(self.path("work"))
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(left.is_empty(), "{left:?}");
        for suffix in ["root.erofs.partial", "root.erofs.partial.log"] {
            assert!(!self.path(suffix).exists(), "{suffix}");
        }
        imported
    }

    pub(crate) fn import_bytes(&self, bytes: &[u8]) -> Result<Imported, Error> {
        let source = self.path("source");
        std::fs::write(&source, bytes).unwrap();
        self.import(&source)
    }

    /// Imports an image of these layers and lists what is in it.
    pub(crate) fn flatten(&self, layers: &[Vec<u8>]) -> Result<Listing, Error> {
        self.import_bytes(&Image::of(layers).tar())?;
        Ok(self.listing())
    }

    /// Extracts the whole image that was imported last.
    pub(crate) fn listing(&self) -> Listing {
        let into = self.path("extracted");
        if into.exists() {
            std::fs::remove_dir_all(&into).unwrap();
        }
        std::fs::create_dir(&into).unwrap();
        rootfs::extract_subtree(&self.out(), "/", &into)
            .unwrap()
            .unwrap();
        list(&into)
    }
}

/// Describes every file beneath a directory.
pub(crate) fn list(root: &Path) -> Listing {
    let mut listing = Listing::new();
    let mut inodes = BTreeMap::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        let mut names: Vec<_> = std::fs::read_dir(root.join(&dir))
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        names.sort();
        for name in names {
            let relative = dir.join(name);
            let path = root.join(&relative);
            let metadata = std::fs::symlink_metadata(&path).unwrap();
            let kind = metadata.file_type();
            let what = if kind.is_dir() {
                dirs.push(relative.clone());
                "dir".to_owned()
            } else if kind.is_symlink() {
                format!("-> {}", std::fs::read_link(&path).unwrap().display())
            } else if kind.is_fifo() {
                "fifo".to_owned()
            } else if kind.is_file() {
                let bytes = std::fs::read(&path).unwrap();
                if bytes.len() < 100 {
                    format!("{:?}", String::from_utf8_lossy(&bytes))
                } else {
                    format!("{} bytes {}", bytes.len(), crate::bundle::hex(&bytes))
                }
            } else {
                "other".to_owned()
            };
            let mode = if kind.is_symlink() {
                String::new()
            } else {
                format!(" {:o}", metadata.mode() & 0o7777)
            };
            let mut words = format!("{what}{mode} {}:{}", metadata.uid(), metadata.gid());
            if metadata.nlink() > 1 && !kind.is_dir() {
                // By the first name: extraction orders may differ, sorted names do not.
                let group = inodes.entry(metadata.ino()).or_insert_with(Vec::new);
                group.push(relative.clone());
            }
            for (name, value) in xattrs(&path, kind.is_symlink()) {
                words.push_str(&format!(" {name}={value:?}"));
            }
            listing.insert(shown(&relative), words);
        }
    }
    for mut group in inodes.into_values() {
        group.sort();
        for path in &group {
            if let Some(words) = listing.get_mut(&shown(path)) {
                words.push_str(&format!(" links {}", group.len()));
            }
        }
    }
    listing
}

fn shown(path: &Path) -> String {
    path.as_os_str().as_bytes().escape_ascii().to_string()
}

fn xattrs(path: &Path, is_link: bool) -> Vec<(String, Vec<u8>)> {
    if is_link {
        return Vec::new();
    }
    let mut names = vec![0; 1 << 16];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let mut found: Vec<_> = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 1 << 16];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            (
                String::from_utf8_lossy(name).into_owned(),
                value[..length].to_vec(),
            )
        })
        .collect();
    found.sort();
    found
}

/// The names of a listing.
pub(crate) fn names(listing: &Listing) -> Vec<&str> {
    listing.keys().map(String::as_str).collect()
}
