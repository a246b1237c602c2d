//! What differs between two trees: both are read side by side, in the same order, and neither is held in memory.
//!
//! A hard link counts as the file that it is a name of. Times do not count: what was written again as it was has not
//! changed.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::iter::Peekable;

use super::content::Content;
use super::entries::{self, Entries};
use super::entry::{Entry, Node};
use crate::{Artifacts, Error, KeySet, ManifestId};

/// One path that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// From the root; empty for the root itself.
    pub path: Vec<u8>,
    /// `None`: it is not there.
    pub before: Option<Side>,
    pub after: Option<Side>,
}

/// What is at a path on one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub body: Body,
}

/// What kind of thing it is, with what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Directory,
    File(Content),
    Symlink(Vec<u8>),
    Fifo,
}

/// In what the sides of a path differ that is on both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Differs {
    pub kind: bool,
    /// The bytes of a file, or where a symlink leads.
    pub content: bool,
    pub mode: bool,
    pub owner: bool,
    pub attributes: bool,
}

/// The paths that differ, in order.
pub struct Changes {
    before: Tree,
    after: Tree,
    failed: bool,
}

struct Tree {
    source: Option<Source>,
    /// What has other names later on.
    linked: HashMap<Vec<u8>, Side>,
}

struct Source {
    id: ManifestId,
    entries: Peekable<Entries>,
}

impl Side {
    /// Of a file; 0 for everything else.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        match &self.body {
            Body::File(content) => content.size_bytes(),
            Body::Directory | Body::Symlink(_) | Body::Fifo => 0,
        }
    }

    fn differs(&self, other: &Self) -> Differs {
        let (kind, content) = match (&self.body, &other.body) {
            (Body::File(one), Body::File(other)) => (false, !one.same_bytes(other)),
            (Body::Symlink(one), Body::Symlink(other)) => (false, one != other),
            (Body::Directory, Body::Directory) | (Body::Fifo, Body::Fifo) => (false, false),
            _ => (true, false),
        };
        Differs {
            kind,
            content,
            // A symlink has no mode of its own.
            mode: self.mode != other.mode && !matches!(self.body, Body::Symlink(_)),
            owner: (self.uid, self.gid) != (other.uid, other.gid),
            attributes: self.xattrs != other.xattrs,
        }
    }
}

impl Change {
    /// In what the two sides differ; nothing if there is one side alone.
    #[must_use]
    pub fn differs(&self) -> Differs {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => before.differs(after),
            _ => Differs::default(),
        }
    }
}

/// Compares two trees. `None` is an empty one.
///
/// # Errors
/// `NotFound`, `Corrupt`, `Store`.
pub fn diff(
    artifacts: &Artifacts,
    keys: &KeySet,
    before: Option<ManifestId>,
    after: Option<ManifestId>,
) -> Result<Changes, Error> {
    // Equal trees have equal ids.
    let same = before == after;
    let open = |id: Option<ManifestId>| -> Result<Tree, Error> {
        let source = match id.filter(|_| !same) {
            Some(id) => Some(Source {
                id,
                entries: entries::read(artifacts, keys, id)?.peekable(),
            }),
            None => None,
        };
        Ok(Tree {
            source,
            linked: HashMap::new(),
        })
    };
    Ok(Changes {
        before: open(before)?,
        after: open(after)?,
        failed: false,
    })
}

impl Iterator for Changes {
    type Item = Result<Change, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.find_next().transpose()?;
        self.failed = next.is_err();
        Some(next)
    }
}

impl Changes {
    fn find_next(&mut self) -> Result<Option<Change>, Error> {
        loop {
            let order = match (self.before.peek()?, self.after.peek()?) {
                (None, None) => return Ok(None),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(before), Some(after)) => order(before, after),
            };
            let before = if order == Ordering::Greater {
                None
            } else {
                self.before.take()?
            };
            let after = if order == Ordering::Less {
                None
            } else {
                self.after.take()?
            };
            let change = match (before, after) {
                (Some((path, before)), after) => Change {
                    path,
                    before: Some(before),
                    after: after.map(|(_, side)| side),
                },
                (None, Some((path, after))) => Change {
                    path,
                    before: None,
                    after: Some(after),
                },
                (None, None) => return Ok(None),
            };
            let both = change.before.is_some() && change.after.is_some();
            if !both || change.differs() != Differs::default() {
                return Ok(Some(change));
            }
        }
    }
}

impl Tree {
    /// The path of the next entry.
    fn peek(&mut self) -> Result<Option<&[u8]>, Error> {
        let Some(Source { entries, .. }) = &mut self.source else {
            return Ok(None);
        };
        if let Some(Err(_)) = entries.peek() {
            return match entries.next() {
                Some(Err(error)) => Err(error),
                _ => Ok(None),
            };
        }
        Ok(match entries.peek() {
            Some(Ok(entry)) => Some(entry.path.as_slice()),
            Some(Err(_)) | None => None,
        })
    }

    fn take(&mut self) -> Result<Option<(Vec<u8>, Side)>, Error> {
        let Some(Source { id, entries }) = &mut self.source else {
            return Ok(None);
        };
        let id = *id;
        match entries.next() {
            None => Ok(None),
            Some(entry) => self.side(id, entry?).map(Some),
        }
    }

    fn side(&mut self, id: ManifestId, entry: Entry) -> Result<(Vec<u8>, Side), Error> {
        let (body, has_names) = match entry.node {
            Node::Directory => (Body::Directory, false),
            Node::File { content, linked } => (Body::File(content), linked),
            // These do not say whether they have other names.
            Node::Symlink { target } => (Body::Symlink(target), true),
            Node::Fifo => (Body::Fifo, true),
            Node::HardLink { of } => {
                let side =
                    self.linked.get(&of).cloned().ok_or_else(|| {
                        entries::corrupt(id, "a hard link is of no earlier entry")
                    })?;
                return Ok((entry.path, side));
            }
        };
        let side = Side {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            xattrs: entry.xattrs,
            body,
        };
        if has_names {
            self.linked.insert(entry.path.clone(), side.clone());
        }
        Ok((entry.path, side))
    }
}

/// How two paths stand to each other in a tree: name by name.
#[must_use]
pub fn order(one: &[u8], other: &[u8]) -> Ordering {
    // No name holds a zero, so one in the place of a slash sorts a directory's entries right behind it.
    let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    one.iter().map(key).cmp(other.iter().map(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_ordered_name_by_name() {
        let mut paths = ["a/z", "b", "a-b", "a", "", "a/b/c", "a/b", "a.b"];
        paths.sort_by(|one, other| order(one.as_bytes(), other.as_bytes()));
        assert_eq!(paths, ["", "a", "a/b", "a/b/c", "a/z", "a-b", "a.b", "b"]);
    }
}
