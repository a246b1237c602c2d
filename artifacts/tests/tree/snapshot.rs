//! Everything that two equal trees have in common, read by plain means and independently of the code under test.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

#[derive(Debug, PartialEq, Eq, Clone)]
pub(crate) struct Seen {
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, i64),
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) what: What,
}

#[derive(Debug, PartialEq, Eq, Clone)]
pub(crate) enum What {
    Directory,
    File {
        hash: blake3::Hash,
        size: u64,
    },
    Symlink(PathBuf),
    Fifo,
    /// Another name of the file first seen under this path.
    Link(PathBuf),
    Other,
}

/// Reads a tree; paths are relative.
pub(crate) fn of(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut seen = BTreeMap::new();
    let mut inodes = HashMap::new();
    // Sorted by the path as a list of names, which is the order of a depth-first walk.
    let mut paths = vec![PathBuf::new()];
    while let Some(relative) = paths.pop() {
        let path = root.join(&relative);
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        let kind = metadata.file_type();
        let what = if kind.is_dir() {
            let mut names: Vec<OsString> = std::fs::read_dir(&path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            names.sort();
            paths.extend(names.into_iter().rev().map(|name| relative.join(name)));
            What::Directory
        } else if let Some(first) = inodes.get(&metadata.ino()) {
            What::Link(PathBuf::clone(first))
        } else if kind.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            What::File {
                hash: blake3::hash(&bytes),
                size: metadata.len(),
            }
        } else if kind.is_symlink() {
            What::Symlink(std::fs::read_link(&path).unwrap())
        } else if kind.is_fifo() {
            What::Fifo
        } else {
            What::Other
        };
        if !kind.is_dir() {
            inodes
                .entry(metadata.ino())
                .or_insert_with(|| relative.clone());
        }
        let entry = Seen {
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            xattrs: if kind.is_dir() || kind.is_file() {
                xattrs(&path)
            } else {
                Vec::new()
            },
            what,
        };
        seen.insert(relative, entry);
    }
    seen
}

fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; 1 << 16];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let mut found: Vec<_> = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 1 << 16];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            (name.to_vec(), value[..length].to_vec())
        })
        .collect();
    found.sort();
    found
}

pub(crate) fn assert_same(one: &Path, other: &Path) {
    let (one, other) = (of(one), of(other));
    for (path, seen) in &one {
        assert_eq!(Some(seen), other.get(path), "{}", path.display());
    }
    for path in other.keys() {
        assert!(
            one.contains_key(path),
            "{} should not be there",
            path.display()
        );
    }
}

/// A name that is not UTF-8.
pub(crate) fn raw_name(bytes: &[u8]) -> OsString {
    let name = OsString::from_vec(bytes.to_vec());
    assert_eq!(name.as_bytes(), bytes);
    name
}
