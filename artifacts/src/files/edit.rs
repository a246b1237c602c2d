//! A captured tree changed into another: its list of files is copied with the changes in their places, and only bytes that
//! are new are stored.

mod merge;
mod unpack;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use super::live::{Append, Condition, Put};
use super::resolve::{Last, Seen, resolve};
use super::stored::Stored;
use super::tree::Tree as _;
use super::{Error, Info, Path};
use crate::blob;
use crate::chunk::Writer;
use crate::clock::wall_ns;
use crate::cut::{Cutter, is_zero};
use crate::manifest::{self, Segment, Source};
use crate::tree::content::{SMALL, digest};
use crate::tree::entry::{Entry, Node};
use crate::tree::{Content, Stamp};
use crate::{Artifacts, KeySet, ManifestId};

const NEW_FILE: u32 = 0o644;
const NEW_DIRECTORY: u32 = 0o755;
const SET_IDS: u32 = 0o6000;

/// Bytes that are stored, and durable, and not yet of any file.
#[derive(Debug, Clone)]
pub struct Kept {
    content: Content,
}

impl Kept {
    /// Stores what `source` gives. Blocks.
    ///
    /// # Errors
    /// `Stream` if the source fails; `Artifacts`.
    pub fn store(artifacts: &Artifacts, keys: &KeySet, source: impl Read) -> Result<Self, Error> {
        let mut writer = Writer::new(artifacts, keys);
        let content = store(&mut writer, source)?;
        writer.finish()?;
        Ok(Self { content })
    }

    /// Reads them again, for another place.
    #[must_use]
    pub fn read(&self, artifacts: &Artifacts, keys: &KeySet) -> blob::Reader {
        crate::tree::read_file(artifacts, keys, &self.content)
    }
}

/// Stores a file's bytes: a small file as one chunk, a large one cut by content.
fn store(writer: &mut Writer<'_>, mut source: impl Read) -> Result<Content, Error> {
    let mut first = Vec::new();
    (&mut source)
        .take(SMALL + 1)
        .read_to_end(&mut first)
        .map_err(Error::Stream)?;
    if first.len() as u64 <= SMALL {
        return store_small(writer, first);
    }
    let mut segments = Vec::new();
    blob::cut_into(
        &mut Cutter::new(),
        writer,
        first.as_slice().chain(source),
        &mut segments,
    )
    .map_err(|error| match error {
        crate::Error::Stream { source, .. } => Error::Stream(source),
        error => error.into(),
    })?;
    Ok(Content {
        segments,
        digest: None,
    })
}

fn store_small(writer: &mut Writer<'_>, bytes: Vec<u8>) -> Result<Content, Error> {
    let (len, digest) = (bytes.len() as u64, digest(writer.keys(), &bytes));
    if is_zero(&bytes) {
        return Ok(Content::zeros(len, digest));
    }
    let chunk = writer.put(bytes)?;
    let source = Source::Chunk { chunk, offset: 0 };
    Ok(Content {
        segments: vec![Segment { source, len }],
        digest: Some(digest),
    })
}

/// What came of an edit. Its bytes are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edited {
    pub id: ManifestId,
    /// Logical size of all files; a hard link counts once.
    pub size_bytes: u64,
    /// Bytes of file content that were written.
    pub changed_bytes: u64,
}

/// Changes to a captured tree, gathered.
pub struct Edit<'a> {
    base: &'a Stored,
    writer: Writer<'a>,
    /// What is new or other at a path.
    put: BTreeMap<Path, Planned>,
    /// What goes, with all that is in it.
    removed: BTreeSet<Path>,
    moved: Option<(Path, Path)>,
    pack: unpack::Pack,
    now: Stamp,
    changed_bytes: u64,
}

struct Planned {
    entry: Entry,
    /// It is the file that was there, changed; all its names keep it.
    same: bool,
    /// Another name of what is at this path.
    link_of: Option<Path>,
    /// In the open pack, under this number.
    packed: Option<u64>,
}

impl Planned {
    fn new(entry: Entry) -> Self {
        Self {
            entry,
            same: false,
            link_of: None,
            packed: None,
        }
    }
}

impl<'a> Edit<'a> {
    #[must_use]
    pub fn of(base: &'a Stored) -> Self {
        let nanos = wall_ns();
        Self {
            base,
            writer: Writer::new(&base.artifacts, &base.keys),
            put: BTreeMap::new(),
            removed: BTreeSet::new(),
            moved: None,
            pack: unpack::Pack::default(),
            now: Stamp::new(nanos / 1_000_000_000, nanos % 1_000_000_000),
            changed_bytes: 0,
        }
    }

    /// Writes a file, as [`super::Live::put`] does.
    ///
    /// # Errors
    /// As there.
    pub fn put(&mut self, path: &Path, kept: &Kept, put: &Put) -> Result<Info, Error> {
        let (target, there) = self.find(path, Last::Follow)?;
        let found = there.as_ref().map(|entry| self.info(&target, entry));
        put.condition.check(path, found.as_ref())?;
        check_file(&target, there.as_ref())?;
        self.check_parent(&target, put.parents)?;
        let mut entry = match there {
            // As a write by anybody but root would.
            Some(entry) => Entry {
                mode: entry.mode & !SET_IDS,
                ..entry
            },
            None => self.new_entry(&target, NEW_FILE)?,
        };
        if let Some(mode) = put.mode {
            entry.mode = mode & 0o7777;
        }
        entry.xattrs.retain(|(name, _)| name.starts_with(b"user."));
        entry.mtime = self.now;
        entry.node = file(kept.content.clone());
        self.changed_bytes += kept.content.size_bytes();
        self.plan(target, Planned::new(entry))
    }

    /// Adds bytes at a file's end, as [`super::Live::append`] does.
    ///
    /// # Errors
    /// As there.
    pub fn append(&mut self, path: &Path, kept: &Kept, append: &Append) -> Result<Info, Error> {
        let (target, there) = self.find(path, Last::Follow)?;
        let found = there.as_ref().map(|entry| self.info(&target, entry));
        append.condition.check(path, found.as_ref())?;
        check_file(&target, there.as_ref())?;
        let size = found.as_ref().map_or(0, |info| info.size_bytes);
        if append.offset.is_some_and(|offset| offset != size) {
            return Err(Error::Changed {
                path: path.clone(),
                revision: found.map(|info| info.revision),
            });
        }
        let Some(mut entry) = there else {
            let put = Put {
                parents: append.parents,
                ..Put::default()
            };
            return self.put(&target, kept, &put);
        };
        let Node::File { content, .. } = &entry.node else {
            return Err(Error::NotRegular { path: target });
        };
        let content = self.joined(content, &kept.content)?;
        self.changed_bytes += kept.content.size_bytes();
        entry.mtime = self.now;
        entry.node = file(content);
        self.change(target, entry)
    }

    /// Makes a directory, as [`super::Live::make_directory`] does.
    ///
    /// # Errors
    /// As there.
    pub fn make_directory(
        &mut self,
        path: &Path,
        mode: Option<u32>,
        parents: bool,
    ) -> Result<Info, Error> {
        let (target, there) = self.find(path, Last::Follow)?;
        match there {
            Some(entry) if parents && entry.node == Node::Directory => {
                return Ok(self.info(&target, &entry));
            }
            Some(_) => return Err(Error::Exists { path: target }),
            None => {}
        }
        self.check_parent(&target, parents)?;
        let mut entry = self.new_entry(&target, mode.unwrap_or(NEW_DIRECTORY) & 0o7777)?;
        entry.node = Node::Directory;
        self.plan(target, Planned::new(entry))
    }

    /// Moves what is at `from`, as [`super::Live::rename`] does. Nothing else may be in the edit.
    ///
    /// # Errors
    /// As there.
    pub fn rename(&mut self, from: &Path, to: &Path, overwrite: bool) -> Result<Info, Error> {
        let refused = |reason| Err(Error::InvalidPath { reason });
        let (source, there) = self.find(from, Last::Keep)?;
        let (target, replaced) = self.find(to, Last::Keep)?;
        let Some(entry) = there else {
            return Err(Error::NotFound { path: from.clone() });
        };
        if source.is_root() || target.is_root() {
            return refused("is the workspace itself, which stays where it is");
        }
        if target == source {
            return if overwrite {
                Ok(self.info(&target, &entry))
            } else {
                Err(Error::Exists { path: target })
            };
        }
        if target.is_in(&source) {
            return refused("lies in the directory that is moved");
        }
        self.check_parent(&target, false)?;
        if let Some(replaced) = replaced {
            if !overwrite {
                return Err(Error::Exists { path: target });
            }
            let directories = (
                entry.node == Node::Directory,
                replaced.node == Node::Directory,
            );
            match directories {
                (true, false) => return Err(Error::NotDirectory { path: target }),
                (false, true) => return Err(Error::IsDirectory { path: target }),
                (true, true) if !self.base.children(&target, None, 1)?.is_empty() => {
                    return Err(Error::NotEmpty { path: target });
                }
                (true, true) | (false, false) => {
                    self.removed.insert(target.clone());
                }
            }
        }
        self.touch_parent(&source)?;
        self.touch_parent(&target)?;
        self.moved = Some((source, target.clone()));
        Ok(self.info(&target, &entry))
    }

    /// Removes what is at `path`, as [`super::Live::remove`] does.
    ///
    /// # Errors
    /// As there.
    pub fn remove(
        &mut self,
        path: &Path,
        recursive: bool,
        condition: &Condition,
    ) -> Result<(), Error> {
        let (target, there) = self.find(path, Last::Keep)?;
        let Some(entry) = there else {
            return Err(Error::NotFound { path: path.clone() });
        };
        condition.check(path, Some(&self.info(&target, &entry)))?;
        if target.is_root() {
            return Err(Error::InvalidPath {
                reason: "is the workspace itself, which stays",
            });
        }
        let filled =
            entry.node == Node::Directory && !self.base.children(&target, None, 1)?.is_empty();
        if filled && !recursive {
            return Err(Error::NotEmpty { path: target });
        }
        self.touch_parent(&target)?;
        self.removed.insert(target);
        Ok(())
    }

    /// Sets a mode, as [`super::Live::set_mode`] does.
    ///
    /// # Errors
    /// As there.
    pub fn set_mode(
        &mut self,
        path: &Path,
        mode: u32,
        condition: &Condition,
    ) -> Result<Info, Error> {
        let (target, there) = self.find(path, Last::Follow)?;
        let Some(mut entry) = there else {
            return Err(Error::NotFound { path: path.clone() });
        };
        condition.check(path, Some(&self.info(&target, &entry)))?;
        entry.mode = mode & 0o7777;
        self.change(target, entry)
    }

    /// What is at `path` with the edit done, links followed as `last` says. Of a hard link, the file.
    fn find(&self, path: &Path, last: Last) -> Result<(Path, Option<Entry>), Error> {
        let resolved = resolve(path, self.base.mount(), last, |step| {
            Ok(match self.look(step)?.map(|entry| entry.node) {
                None => Seen::Absent,
                Some(Node::Symlink { target }) => Seen::Link(target),
                Some(Node::Directory) => Seen::Directory,
                Some(_) => Seen::Other,
            })
        })?;
        let entry = self.look(&resolved)?;
        Ok((resolved, entry))
    }

    fn look(&self, path: &Path) -> Result<Option<Entry>, Error> {
        if let Some(planned) = self.put.get(path) {
            return match &planned.link_of {
                Some(of) => self.look(of),
                None => Ok(Some(planned.entry.clone())),
            };
        }
        if self.removed.iter().any(|gone| path.is_in(gone)) {
            return Ok(None);
        }
        self.base.entry(path)
    }

    fn info(&self, path: &Path, entry: &Entry) -> Info {
        Info::stored(path.clone(), entry)
    }

    /// Something new at `path`; its directory has changed with it.
    fn plan(&mut self, path: Path, planned: Planned) -> Result<Info, Error> {
        let info = self.info(&path, &planned.entry);
        self.touch_parent(&path)?;
        self.put.insert(path, planned);
        Ok(info)
    }

    /// What is at `path`, changed under all its names.
    fn change(&mut self, path: Path, entry: Entry) -> Result<Info, Error> {
        let info = self.info(&path, &entry);
        let first = match self.base.raw(&path)?.map(|raw| raw.node) {
            Some(Node::HardLink { of }) if !self.put.contains_key(&path) => Path::of(of),
            _ => path,
        };
        let planned = Planned {
            same: true,
            ..Planned::new(entry)
        };
        self.put.insert(first, planned);
        Ok(info)
    }

    fn touch_parent(&mut self, path: &Path) -> Result<(), Error> {
        let Some((parent, _)) = path.split() else {
            return Ok(());
        };
        if let Some(planned) = self.put.get_mut(&parent) {
            planned.entry.mtime = self.now;
            return Ok(());
        }
        if let Some(mut entry) = self.base.entry(&parent)? {
            entry.mtime = self.now;
            let planned = Planned {
                same: true,
                ..Planned::new(entry)
            };
            self.put.insert(parent, planned);
        }
        Ok(())
    }

    /// Whether the directory that `path` is to be in exists; makes it if it may.
    fn check_parent(&mut self, path: &Path, make: bool) -> Result<(), Error> {
        let mut missing = Vec::new();
        let mut at = path.split().map(|(parent, _)| parent);
        while let Some(dir) = at.take() {
            match self.look(&dir)?.map(|entry| entry.node) {
                Some(Node::Directory) => break,
                Some(_) => return Err(Error::NotDirectory { path: dir }),
                None if make => {
                    at = dir.split().map(|(parent, _)| parent);
                    missing.push(dir);
                }
                None => return Err(Error::NotFound { path: dir }),
            }
        }
        for dir in missing.into_iter().rev() {
            let mut entry = self.new_entry(&dir, NEW_DIRECTORY)?;
            entry.node = Node::Directory;
            self.plan(dir, Planned::new(entry))?;
        }
        Ok(())
    }

    /// An entry that belongs to whom its directory does.
    fn new_entry(&self, path: &Path, mode: u32) -> Result<Entry, Error> {
        let parent = path.split().map(|(parent, _)| parent).unwrap_or_default();
        let of = self
            .look(&parent)?
            .ok_or_else(|| Error::NotFound { path: path.clone() })?;
        Ok(Entry {
            path: path.as_bytes().to_vec(),
            mode,
            uid: of.uid,
            gid: of.gid,
            mtime: self.now,
            xattrs: Vec::new(),
            node: Node::Fifo,
        })
    }

    /// The bytes of one content and then those of another.
    fn joined(&mut self, one: &Content, other: &Content) -> Result<Content, Error> {
        if one.size_bytes() + other.size_bytes() <= SMALL {
            let mut bytes = Vec::new();
            for content in [one, other] {
                crate::tree::read_file(&self.base.artifacts, &self.base.keys, content)
                    .read_to_end(&mut bytes)
                    .map_err(Error::Stream)?;
            }
            return store_small(&mut self.writer, bytes);
        }
        let mut segments = Vec::new();
        for segment in one.segments.iter().chain(&other.segments) {
            manifest::push(&mut segments, *segment);
        }
        Ok(Content {
            segments,
            digest: None,
        })
    }
}

fn file(content: Content) -> Node {
    Node::File {
        content,
        linked: false,
    }
}

fn check_file(path: &Path, there: Option<&Entry>) -> Result<(), Error> {
    let path = path.clone();
    match there.map(|entry| &entry.node) {
        _ if path.is_root() => Err(Error::IsDirectory { path }),
        None | Some(Node::File { .. }) => Ok(()),
        Some(Node::Directory) => Err(Error::IsDirectory { path }),
        Some(Node::Symlink { .. } | Node::Fifo | Node::HardLink { .. }) => {
            Err(Error::NotRegular { path })
        }
    }
}
