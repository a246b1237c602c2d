//! Paths from the root of a workspace: bytes, as the file system has them.

use std::cmp::Ordering;
use std::fmt;

use super::Error;
use crate::tree::entry::PATH_BYTES;

/// Longest name that file systems take.
const NAME_BYTES: usize = 255;

/// A path from the root, in one form only: no slash at either end, no empty name, no `.` and no `..`. Empty for the root.
/// Ordered as trees are: what is in a directory comes right after it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Path(Vec<u8>);

impl Path {
    /// Reads a path. `.` and doubled slashes say nothing and are dropped; an absolute path must lie beneath `mount`, where
    /// the workspace appears in its machine.
    ///
    /// # Errors
    /// `InvalidPath`, also for one with `..`: what that means depends on links.
    pub fn parse(text: &[u8], mount: &[u8]) -> Result<Self, Error> {
        let invalid = |reason| Err(Error::InvalidPath { reason });
        if text.contains(&0) {
            return invalid("holds a zero byte");
        }
        let mut names = names(text).peekable();
        if text.starts_with(b"/") {
            for wanted in self::names(mount) {
                if names.next() != Some(wanted) {
                    return invalid("is absolute and not beneath the workspace's mount path");
                }
            }
        }
        let mut path = Vec::with_capacity(text.len());
        for name in names {
            if name == b".." {
                return invalid("has `..` in it");
            }
            if name.len() > NAME_BYTES {
                return invalid("has a name of more than 255 bytes");
            }
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
        }
        if path.len() > PATH_BYTES {
            return invalid("is longer than 32 KiB");
        }
        Ok(Self(path))
    }

    /// Takes what is a path already, as from a tree.
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Directory and name; `None` for the root.
    #[must_use]
    pub fn split(&self) -> Option<(Self, &[u8])> {
        if self.is_root() {
            return None;
        }
        let (dir, name) = crate::tree::beneath::part(&self.0);
        Some((Self(dir.to_vec()), name))
    }

    /// A name in this directory.
    #[must_use]
    pub fn join(&self, name: &[u8]) -> Self {
        Self(crate::tree::beneath::join(&self.0, name))
    }

    /// Whether it is `dir` or lies in it.
    #[must_use]
    pub fn is_in(&self, dir: &Self) -> bool {
        dir.is_root()
            || self
                .0
                .strip_prefix(dir.0.as_slice())
                .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }

    /// What leads from `dir`, in which it lies, to it.
    pub(super) fn relative_to(&self, dir: &Self) -> &[u8] {
        let skip = if dir.is_root() { 0 } else { dir.0.len() + 1 };
        self.0.get(skip..).unwrap_or_default()
    }
}

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Path {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return out.write_str(".");
        }
        out.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// Compares name by name: a slash comes before everything else.
pub(super) fn compare(one: &[u8], other: &[u8]) -> Ordering {
    let weight = |byte: &u8| {
        if *byte == b'/' {
            0
        } else {
            u16::from(*byte) + 1
        }
    };
    one.iter().map(weight).cmp(other.iter().map(weight))
}

pub(super) fn names(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let parsed = Path::parse(text.as_bytes(), b"/workspace");
        let parsed = parsed.ok().map(Path::into_bytes);
        assert_eq!(
            parsed.as_deref(),
            expected.map(str::as_bytes),
            "path {text:?}"
        );
    }

    #[test]
    fn a_path_has_one_form_and_leads_nowhere_else() {
        check("", Some(""));
        check(".", Some(""));
        check("a//b/./c/", Some("a/b/c"));
        check("..a/b..", Some("..a/b.."));
        check("/workspace", Some(""));
        check("/workspace/a", Some("a"));
        check("/workspace2/a", None);
        check("/etc/passwd", None);
        check("/workspace/../etc", None);
        check("a/../b", None);
        check("..", None);
        check("a\0b", None);
        check(&"n".repeat(256), None);
        check(&format!("{}x", "d/".repeat(20_000)), None);
    }

    #[test]
    fn what_is_in_a_directory_comes_right_after_it() {
        let mut paths: Vec<Path> = ["a-b", "a/z", "b", "a", "a/b/c", "a/b", ""]
            .map(|path| Path::of(path.as_bytes().to_vec()))
            .into();
        paths.sort();
        let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
        assert_eq!(paths, [".", "a", "a/b", "a/b/c", "a/z", "a-b", "b"]);
    }

    #[test]
    fn a_sibling_with_a_longer_name_is_not_inside() {
        let path = |text: &str| Path::of(text.as_bytes().to_vec());
        assert!(path("a/b").is_in(&path("a")) && path("a").is_in(&path("a")));
        assert!(!path("ab").is_in(&path("a")) && path("ab").is_in(&Path::root()));
        assert_eq!(path("a/b/c").relative_to(&path("a")), b"b/c");
    }
}
