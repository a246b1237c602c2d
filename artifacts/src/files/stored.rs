//! The files of a captured tree, read from its manifest.
//!
//! A manifest is one long list. Reading it once gives its outline: where every so many entries begin, and what has several
//! names. With that a look at one file reads one piece of the list.

use std::collections::HashMap;
use std::sync::Arc;

use super::info::Extra;
use super::tree::{Chunked, Content, ExtraOf, Flow, Found, Tree};
use super::{Error, Info, Path};
use crate::manifest::{Manifest, Segment};
use crate::tree::entries::{Entries, read_at};
use crate::tree::entry::{Entry, Node};
use crate::{Artifacts, KeySet, ManifestId};

/// Entries between two marks.
const APART: u64 = 512;

/// What is where in a manifest.
#[derive(Debug)]
pub struct Outline {
    pub(super) id: ManifestId,
    pub(super) segments: Vec<Segment>,
    /// Every so many entries: path and position.
    marks: Vec<(Path, u64)>,
    /// What has several names, by the first.
    pub(super) linked: HashMap<Path, Linked>,
}

#[derive(Debug)]
pub(super) struct Linked {
    pub(super) entry: Entry,
    /// The later ones.
    pub(super) names: Vec<Path>,
}

impl Outline {
    /// Reads a manifest through once.
    ///
    /// # Errors
    /// `Artifacts`.
    pub fn read(artifacts: &Artifacts, keys: &KeySet, id: ManifestId) -> Result<Self, Error> {
        let segments = Manifest::load(artifacts, keys, id)?.segments;
        let mut entries = crate::tree::read(artifacts, keys, id)?;
        let mut outline = Self {
            id,
            segments,
            marks: Vec::new(),
            linked: HashMap::new(),
        };
        let mut unnamed: HashMap<Path, Entry> = HashMap::new();
        let mut count = 0;
        loop {
            let position = entries.position();
            let Some(entry) = entries.next().transpose()? else {
                return Ok(outline);
            };
            if count % APART == 0 {
                outline.marks.push((Path::of(entry.path.clone()), position));
            }
            count += 1;
            outline.note_links(&mut unnamed, entry);
        }
    }

    fn note_links(&mut self, unnamed: &mut HashMap<Path, Entry>, entry: Entry) {
        let path = Path::of(entry.path.clone());
        match &entry.node {
            // Links and FIFOs do not say whether they have other names; there are few.
            Node::File { linked: true, .. } | Node::Symlink { .. } | Node::Fifo => {
                unnamed.insert(path, entry);
            }
            Node::HardLink { of } => {
                let of = Path::of(of.clone());
                if let Some(entry) = unnamed.remove(&of) {
                    let names = Vec::new();
                    self.linked.insert(of.clone(), Linked { entry, names });
                }
                if let Some(linked) = self.linked.get_mut(&of) {
                    linked.names.push(path);
                }
            }
            Node::File { linked: false, .. } | Node::Directory => {}
        }
    }

    /// Where to begin to read for what is at `path` or behind it.
    fn before(&self, path: &Path) -> u64 {
        let behind = self.marks.partition_point(|(mark, _)| mark <= path);
        behind
            .checked_sub(1)
            .and_then(|at| self.marks.get(at))
            .map_or(0, |(_, position)| *position)
    }

    /// Where to go on behind everything in `dir`.
    fn behind(&self, dir: &Path) -> u64 {
        let behind = self
            .marks
            .partition_point(|(mark, _)| mark <= dir || mark.is_in(dir));
        behind
            .checked_sub(1)
            .and_then(|at| self.marks.get(at))
            .map_or(0, |(_, position)| *position)
    }
}

/// A captured tree.
pub struct Stored {
    pub(super) artifacts: Artifacts,
    pub(super) keys: KeySet,
    pub(super) outline: Arc<Outline>,
    mount: Vec<u8>,
}

impl Stored {
    /// `mount` is where the tree appeared to those who wrote it.
    #[must_use]
    pub fn new(artifacts: &Artifacts, keys: &KeySet, outline: Arc<Outline>, mount: &[u8]) -> Self {
        Self {
            artifacts: artifacts.clone(),
            keys: keys.clone(),
            outline,
            mount: mount.to_vec(),
        }
    }

    fn entries_at(&self, position: u64) -> Entries {
        let (artifacts, keys) = (&self.artifacts, &self.keys);
        read_at(
            artifacts,
            keys,
            self.outline.id,
            &self.outline.segments,
            position,
        )
    }

    /// The entries from some way before `path` on.
    pub(super) fn entries_from(&self, path: &Path) -> Entries {
        self.entries_at(self.outline.before(path))
    }

    /// The entry at `path` as it stands in the list.
    pub(super) fn raw(&self, path: &Path) -> Result<Option<Entry>, Error> {
        for entry in self.entries_at(self.outline.before(path)) {
            let entry = entry?;
            match super::path::compare(&entry.path, path.as_bytes()) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Ok(Some(entry)),
                std::cmp::Ordering::Greater => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The entry that describes the file at `path`, which may stand under another of its names.
    pub(super) fn entry(&self, path: &Path) -> Result<Option<Entry>, Error> {
        Ok(self.raw(path)?.map(|entry| self.described(entry)))
    }

    fn described(&self, entry: Entry) -> Entry {
        let Node::HardLink { of } = &entry.node else {
            return entry;
        };
        match self.outline.linked.get(&Path::of(of.clone())) {
            Some(linked) => linked.entry.clone(),
            None => entry,
        }
    }

    fn content(&self, entry: &Entry) -> Option<Content> {
        let Node::File { content, .. } = &entry.node else {
            return None;
        };
        Some(Content::Stored(Box::new(Chunked {
            artifacts: self.artifacts.clone(),
            keys: self.keys.clone(),
            content: content.clone(),
            reader: None,
        })))
    }

    /// # Errors
    /// `NotFound`, `NotDirectory`.
    fn check_directory(&self, dir: &Path) -> Result<(), Error> {
        match self.raw(dir)?.map(|entry| entry.node) {
            Some(Node::Directory) => Ok(()),
            Some(_) => Err(Error::NotDirectory { path: dir.clone() }),
            None => Err(Error::NotFound { path: dir.clone() }),
        }
    }
}

impl Tree for Stored {
    fn mount(&self) -> &[u8] {
        &self.mount
    }

    fn look(&self, path: &Path) -> Result<Option<Info>, Error> {
        let entry = self.entry(path)?;
        Ok(entry.map(|entry| Info::stored(path.clone(), &entry)))
    }

    fn children(&self, dir: &Path, after: Option<&[u8]>, limit: usize) -> Result<Vec<Info>, Error> {
        self.check_directory(dir)?;
        let mut found: Vec<Info> = Vec::new();
        let mut position = match after {
            Some(after) => self.outline.behind(&dir.join(after)),
            None => self.outline.before(dir),
        };
        'jumped: loop {
            let mut entries = self.entries_at(position);
            while let Some(entry) = entries.next().transpose()? {
                let path = Path::of(entry.path.clone());
                if !path.is_in(dir) {
                    if path > *dir {
                        return Ok(found);
                    }
                    continue;
                }
                let name = path.relative_to(dir);
                let seen = found.last().map(|last| last.path.relative_to(dir));
                let behind = seen.or(after);
                if name.is_empty() || name.contains(&b'/') || behind.is_some_and(|one| name <= one)
                {
                    continue;
                }
                let is_dir = entry.node == Node::Directory;
                found.push(Info::stored(path.clone(), &self.described(entry)));
                if found.len() >= limit {
                    return Ok(found);
                }
                // What is in it need not be read.
                if is_dir && self.outline.behind(&path) > entries.position() {
                    position = self.outline.behind(&path);
                    continue 'jumped;
                }
            }
            return Ok(found);
        }
    }

    fn walk(
        &self,
        dir: &Path,
        after: Option<&Path>,
        visit: &mut dyn FnMut(&mut dyn Found) -> Result<Flow, Error>,
    ) -> Result<(), Error> {
        self.check_directory(dir)?;
        let from = after.filter(|after| *after > dir).unwrap_or(dir);
        let mut linked = HashMap::new();
        for entry in self.entries_at(self.outline.before(from)) {
            let entry = entry?;
            let path = Path::of(entry.path.clone());
            if path <= *from {
                continue;
            }
            if !path.is_in(dir) {
                return Ok(());
            }
            let inode = match &entry.node {
                Node::HardLink { of } => Some(Path::of(of.clone())),
                _ if self.outline.linked.contains_key(&path) => Some(path.clone()),
                _ => None,
            };
            let entry = self.described(entry);
            let mut found = Seen {
                info: Info::stored(path, &entry),
                stored: self,
                entry,
                inode,
                linked: &mut linked,
            };
            if visit(&mut found)? == Flow::Stop {
                return Ok(());
            }
        }
        Ok(())
    }

    fn open(&self, path: &Path) -> Result<(Info, Content), Error> {
        let owned = path.clone();
        let Some(entry) = self.entry(path)? else {
            return Err(Error::NotFound { path: owned });
        };
        match self.content(&entry) {
            Some(content) => Ok((Info::stored(owned, &entry), content)),
            None if entry.node == Node::Directory => Err(Error::IsDirectory { path: owned }),
            None => Err(Error::NotRegular { path: owned }),
        }
    }
}

struct Seen<'a> {
    stored: &'a Stored,
    info: Info,
    entry: Entry,
    /// What names of one file have in common.
    inode: Option<Path>,
    linked: &'a mut HashMap<Path, Path>,
}

impl Found for Seen<'_> {
    fn info(&self) -> &Info {
        &self.info
    }

    fn extra(&mut self) -> Result<ExtraOf, Error> {
        let mut link_of = None;
        if let Some(inode) = &self.inode {
            link_of = self.linked.get(inode).cloned();
            if link_of.is_none() {
                self.linked.insert(inode.clone(), self.info.path.clone());
            }
        }
        Ok(ExtraOf(Extra {
            xattrs: self.entry.xattrs.clone(),
            link_of,
        }))
    }

    fn open(&mut self) -> Result<Option<Content>, Error> {
        Ok(self.stored.content(&self.entry))
    }
}
