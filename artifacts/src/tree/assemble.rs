//! A tree made from parts that come in any order. Contents go to the store as they come; what is held in memory is a
//! line for each path, and their number is bounded.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::ops::Range;

use super::beneath::{Xattrs, join, part, shown};
use super::capture::store_piece;
use super::content::{Content, Packer, Slot, Taken};
use super::entries::ENTRY_BYTES;
use super::entry::{Entry, Node, PATH_BYTES, Stamp};
use crate::blob;
use crate::chunk::Writer;
use crate::cut::Cutter;
use crate::manifest::{self, Content as ManifestContent, Segment, Source};
use crate::{Artifacts, Error, KeySet, ManifestId};

/// A tree that was put together. Its bytes are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Assembled {
    pub(super) id: ManifestId,
    pub(super) size_bytes: u64,
    pub(super) stored_bytes: u64,
    /// The root and everything in it.
    pub(super) entries: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mtime: Stamp,
    /// Sorted by name.
    pub(super) xattrs: Xattrs,
}

impl Attributes {
    /// Of a directory that nobody described.
    fn unsaid() -> Self {
        Self {
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: Stamp::default(),
            xattrs: Vec::new(),
        }
    }
}

pub(super) struct Assembly<'a> {
    writer: Writer<'a>,
    packer: Packer,
    cutter: Cutter,
    inodes: Vec<Inode>,
    /// By path with zeros for slashes, which is the order of a tree.
    places: BTreeMap<Vec<u8>, usize>,
    /// Files whose bytes are in the open pack.
    packed: Vec<(usize, Slot)>,
    most_entries: u64,
}

struct Inode {
    attributes: Attributes,
    node: Node,
    names: u32,
}

impl<'a> Assembly<'a> {
    /// Begins with an empty root.
    pub(super) fn new(artifacts: &'a Artifacts, keys: &'a KeySet, most_entries: u64) -> Self {
        let mut assembly = Self {
            writer: Writer::new(artifacts, keys),
            packer: Packer::new(),
            cutter: Cutter::new(),
            inodes: Vec::new(),
            places: BTreeMap::new(),
            packed: Vec::new(),
            most_entries,
        };
        let root = assembly.inode(Attributes::unsaid(), Node::Directory);
        assembly.places.insert(Vec::new(), root);
        assembly
    }

    /// Puts anything but a file at a path. What was there is replaced, but for a directory with something in it.
    pub(super) fn put(
        &mut self,
        path: &[u8],
        attributes: Attributes,
        node: Node,
    ) -> Result<(), Error> {
        if node == Node::Directory
            && let Some(there) = self.at(path)
            && self.inodes[there].node == Node::Directory
        {
            self.inodes[there].attributes = attributes;
            return Ok(());
        }
        let inode = self.inode(attributes, node);
        self.place(path, inode)
    }

    /// Puts a file at a path, with everything that `source` gives.
    pub(super) fn file(
        &mut self,
        path: &[u8],
        attributes: Attributes,
        source: impl Read,
    ) -> Result<(), Error> {
        if self.packer.is_full() {
            self.close_pack()?;
        }
        let taken = self.packer.store_read(&mut self.writer, source)?;
        let (content, slot) = match taken {
            Taken::Stored(content) => (content, None),
            Taken::Packed(slot) => (Content::default(), Some(slot)),
        };
        let node = Node::File {
            content,
            linked: false,
        };
        let inode = self.inode(attributes, node);
        self.packed.extend(slot.map(|slot| (inode, slot)));
        self.place(path, inode)
    }

    /// Puts a file of `size` bytes at a path, of which `source` gives those in `data`, one range after the other.
    pub(super) fn sparse_file(
        &mut self,
        path: &[u8],
        attributes: Attributes,
        (size, data): (u64, &[Range<u64>]),
        mut source: impl Read,
    ) -> Result<(), Error> {
        let mut segments = Vec::new();
        let mut at = 0;
        let hole = |len| Segment {
            source: Source::Zeros,
            len,
        };
        for range in data {
            manifest::push(&mut segments, hole(range.start.saturating_sub(at)));
            let piece = source.by_ref().take(range.end - range.start);
            blob::cut_into(&mut self.cutter, &mut self.writer, piece, &mut segments)?;
            at = range.end;
        }
        manifest::push(&mut segments, hole(size.saturating_sub(at)));
        if manifest::total(&segments) != Some(size) {
            return Err(refused(path, "it ends before its data does"));
        }
        let content = Content::of_segments(segments);
        let node = Node::File {
            content,
            linked: false,
        };
        let inode = self.inode(attributes, node);
        self.place(path, inode)
    }

    /// Gives a file, symlink or FIFO that came before another name.
    pub(super) fn link(&mut self, path: &[u8], of: &[u8]) -> Result<(), Error> {
        let inode = self
            .at(of)
            .ok_or_else(|| refused(path, "it is a hard link to nothing that came before it"))?;
        if self.inodes[inode].node == Node::Directory {
            return Err(refused(path, "it is a hard link to a directory"));
        }
        if path == of {
            return Ok(());
        }
        self.place(path, inode)
    }

    fn inode(&mut self, attributes: Attributes, node: Node) -> usize {
        self.inodes.push(Inode {
            attributes,
            node,
            names: 0,
        });
        self.inodes.len() - 1
    }

    fn at(&self, path: &[u8]) -> Option<usize> {
        self.places.get(&key(path)).copied()
    }

    fn place(&mut self, path: &[u8], inode: usize) -> Result<(), Error> {
        if path.len() > PATH_BYTES {
            return Err(refused(path, "its path is longer than 32 KiB"));
        }
        if path.is_empty() {
            return Err(refused(path, "the root is a directory"));
        }
        self.make_parents(path)?;
        if let Some(there) = self.at(path)
            && self.inodes[there].node == Node::Directory
        {
            let mut beneath = key(path);
            beneath.push(0);
            let next = self.places.range(beneath.clone()..).next();
            if next.is_some_and(|(next, _)| next.starts_with(&beneath)) {
                return Err(refused(path, "it replaces a directory that is not empty"));
            }
        }
        self.insert(path, inode)
    }

    fn insert(&mut self, path: &[u8], inode: usize) -> Result<(), Error> {
        if let Some(before) = self.places.insert(key(path), inode) {
            self.inodes[before].names = self.inodes[before].names.saturating_sub(1);
        }
        self.inodes[inode].names += 1;
        if self.places.len() as u64 > self.most_entries {
            return Err(Error::OverLimit {
                limit: self.most_entries,
                unit: "files",
            });
        }
        Ok(())
    }

    fn make_parents(&mut self, path: &[u8]) -> Result<(), Error> {
        let (parent, _) = part(path);
        if let Some(there) = self.at(parent) {
            return match self.inodes[there].node {
                Node::Directory => Ok(()),
                _ => Err(refused(
                    path,
                    "it is beneath something that is no directory",
                )),
            };
        }
        let mut made = Vec::new();
        for name in parent.split(|byte| *byte == b'/') {
            made = join(&made, name);
            match self.at(&made) {
                Some(there) if self.inodes[there].node == Node::Directory => {}
                Some(_) => {
                    return Err(refused(
                        path,
                        "it is beneath something that is no directory",
                    ));
                }
                None => {
                    let inode = self.inode(Attributes::unsaid(), Node::Directory);
                    self.insert(&made, inode)?;
                }
            }
        }
        Ok(())
    }

    fn close_pack(&mut self) -> Result<(), Error> {
        let pack = self.packer.close(&mut self.writer)?;
        for (inode, slot) in self.packed.drain(..) {
            if let (Node::File { content, .. }, Some(pack)) = (&mut self.inodes[inode].node, pack) {
                *content = slot.content(pack);
            }
        }
        Ok(())
    }

    /// Stores the tree. Returns when it is durable.
    pub(super) fn finish(mut self, artifacts: &Artifacts) -> Result<Assembled, Error> {
        self.close_pack()?;
        let Self {
            mut writer,
            inodes,
            places,
            ..
        } = self;
        let entries = places.len() as u64;
        let mut manifest = Cutter::new();
        let mut segments = Vec::new();
        let mut firsts: HashMap<usize, Vec<u8>> = HashMap::new();
        let mut size_bytes = 0_u64;
        for (key, at) in places {
            let path = path_of(key);
            let inode = &inodes[at];
            let entry = entry(path, inode, firsts.get(&at));
            if inode.names > 1 && !firsts.contains_key(&at) {
                firsts.insert(at, entry.path.clone());
            }
            if let Node::File { content, .. } = &entry.node {
                size_bytes = size_bytes.saturating_add(content.size_bytes());
            }
            let encoded = entry.encode();
            if encoded.len() as u64 > ENTRY_BYTES {
                return Err(Error::FileTooLarge {
                    path: shown(&entry.path),
                });
            }
            manifest.feed(&encoded, |piece| {
                store_piece(&mut writer, &mut segments, piece)
            })?;
        }
        manifest.finish(|piece| store_piece(&mut writer, &mut segments, piece))?;
        let written = blob::commit(artifacts, writer, segments, ManifestContent::Tree)?;
        Ok(Assembled {
            id: written.id,
            size_bytes,
            stored_bytes: written.stored_bytes,
            entries,
        })
    }
}

/// The entry of one name. `first` is an earlier name of the same inode.
fn entry(path: Vec<u8>, inode: &Inode, first: Option<&Vec<u8>>) -> Entry {
    if let Some(first) = first {
        return Entry {
            path,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: Stamp::default(),
            xattrs: Vec::new(),
            node: Node::HardLink { of: first.clone() },
        };
    }
    let mut node = inode.node.clone();
    if let Node::File { linked, .. } = &mut node {
        *linked = inode.names > 1;
    }
    Entry {
        path,
        mode: inode.attributes.mode,
        uid: inode.attributes.uid,
        gid: inode.attributes.gid,
        mtime: inode.attributes.mtime,
        xattrs: inode.attributes.xattrs.clone(),
        node,
    }
}

fn key(path: &[u8]) -> Vec<u8> {
    path.iter()
        .map(|byte| if *byte == b'/' { 0 } else { *byte })
        .collect()
}

fn path_of(mut key: Vec<u8>) -> Vec<u8> {
    for byte in &mut key {
        if *byte == 0 {
            *byte = b'/';
        }
    }
    key
}

pub(super) fn refused(path: &[u8], reason: &'static str) -> Error {
    Error::Refused {
        path: shown(path),
        reason,
    }
}
