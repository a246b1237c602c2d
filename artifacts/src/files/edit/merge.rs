//! The list of files written anew: the old one, what moved, and what is new, in one order.

use std::collections::HashMap;
use std::iter::Peekable;

use super::{Edit, Edited};
use crate::chunk::Writer;
use crate::cut::Cutter;
use crate::files::stored::Stored;
use crate::files::{Error, Path};
use crate::manifest::{Content as ManifestContent, Segment};
use crate::tree::Stamp;
use crate::tree::capture::store_piece;
use crate::tree::entries::ENTRY_BYTES;
use crate::tree::entry::{Entry, Node};
use crate::{blob, tree};

/// A file with several names, after the edit.
struct Group {
    entry: Entry,
    /// In order: the first one carries the file.
    names: Vec<Path>,
}

/// Groups, and which one a path is of.
#[derive(Default)]
struct Groups {
    all: Vec<Group>,
    by_path: HashMap<Path, usize>,
}

type Stream<'s> = Box<dyn Iterator<Item = Result<(Path, Entry), Error>> + 's>;

impl Edit<'_> {
    /// Writes the new tree. Returns when it is durable.
    ///
    /// # Errors
    /// `Artifacts`.
    pub fn finish(mut self) -> Result<Edited, Error> {
        self.close_pack()?;
        let groups = self.groups()?;
        let Self {
            base,
            writer,
            put,
            removed,
            moved,
            changed_bytes,
            ..
        } = self;
        let gone = |path: &Path| {
            removed.iter().any(|gone| path.is_in(gone))
                || moved.as_ref().is_some_and(|(from, _)| path.is_in(from))
        };
        let old = entries(base, None).filter(|item| !matches!(item, Ok((path, _)) if gone(path)));
        let moving: Stream<'_> = match &moved {
            Some((from, to)) => Box::new(
                entries(base, Some(from))
                    .map(move |item| item.map(|(path, entry)| (renamed(&path, from, to), entry))),
            ),
            None => Box::new(std::iter::empty()),
        };
        let new = put
            .into_iter()
            .map(|(path, planned)| Ok::<_, Error>((path, planned.entry)));
        let merged = Merged {
            // The later stream has the last word.
            streams: [
                (Box::new(old) as Stream<'_>).peekable(),
                moving.peekable(),
                (Box::new(new) as Stream<'_>).peekable(),
            ],
        };
        let mut out = Out {
            writer,
            cutter: Cutter::new(),
            segments: Vec::new(),
            size_bytes: 0,
        };
        for item in merged {
            let (path, entry) = item?;
            out.write(groups.entry(path, entry))?;
        }
        let (id, size_bytes) = out.finish(base)?;
        Ok(Edited {
            id,
            size_bytes,
            changed_bytes,
        })
    }

    /// What has several names once the edit is done.
    fn groups(&self) -> Result<Groups, Error> {
        let mut groups = Groups::default();
        for (first, linked) in &self.base.outline.linked {
            let names = std::iter::once(first).chain(&linked.names);
            let names = names.filter_map(|name| self.name_after(name)).collect();
            let entry = match self.put.get(first) {
                Some(planned) if planned.same => planned.entry.clone(),
                Some(_) | None => linked.entry.clone(),
            };
            groups.add(entry, names);
        }
        for (path, planned) in &self.put {
            if let Some(of) = &planned.link_of {
                self.link(&mut groups, path, of)?;
            }
        }
        for group in &mut groups.all {
            group.names.sort();
            group.names.dedup();
        }
        Ok(groups)
    }

    /// Joins a new name to the file that is at `of`.
    fn link(&self, groups: &mut Groups, path: &Path, of: &Path) -> Result<(), Error> {
        if let Some(group) = groups.by_path.get(of).copied() {
            groups.by_path.insert(path.clone(), group);
            if let Some(group) = groups.all.get_mut(group) {
                group.names.push(path.clone());
            }
            return Ok(());
        }
        if let Some(entry) = self.look(of)? {
            groups.add(entry, vec![of.clone(), path.clone()]);
        }
        Ok(())
    }

    /// What an old name is called after the edit; `None` if it is gone or another file's.
    fn name_after(&self, name: &Path) -> Option<Path> {
        let replaced = |path: &Path| self.put.get(path).is_some_and(|planned| !planned.same);
        if let Some((from, to)) = &self.moved
            && name.is_in(from)
        {
            return Some(renamed(name, from, to));
        }
        let gone = self.removed.iter().any(|gone| name.is_in(gone));
        (!gone && !replaced(name)).then(|| name.clone())
    }
}

impl Groups {
    fn add(&mut self, entry: Entry, names: Vec<Path>) {
        let index = self.all.len();
        for name in &names {
            self.by_path.insert(name.clone(), index);
        }
        self.all.push(Group { entry, names });
    }

    /// The entry to write at `path`, where `entry` was found.
    fn entry(&self, path: Path, entry: Entry) -> Entry {
        let group = self
            .by_path
            .get(&path)
            .and_then(|index| self.all.get(*index));
        let path = path.into_bytes();
        let Some(group) = group else {
            return Entry { path, ..entry };
        };
        let first = group.names.first().map(Path::as_bytes).unwrap_or_default();
        if path == first {
            let mut entry = Entry {
                path,
                ..group.entry.clone()
            };
            if let Node::File { linked, .. } = &mut entry.node {
                *linked = group.names.len() > 1;
            }
            return entry;
        }
        Entry {
            path,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: Stamp::default(),
            xattrs: Vec::new(),
            node: Node::HardLink { of: first.to_vec() },
        }
    }
}

/// The entries of a tree, or of one directory or file in it, with their paths.
fn entries<'s>(base: &'s Stored, only: Option<&'s Path>) -> Stream<'s> {
    let found = base.entries_from(only.unwrap_or(&Path::root()));
    let paired = found.map(|entry| -> Result<(Path, Entry), Error> {
        let entry = entry?;
        Ok((Path::of(entry.path.clone()), entry))
    });
    match only {
        None => Box::new(paired),
        Some(only) => Box::new(
            paired
                .skip_while(move |item| matches!(item, Ok((path, _)) if path < only))
                .take_while(move |item| !matches!(item, Ok((path, _)) if !path.is_in(only))),
        ),
    }
}

fn renamed(path: &Path, from: &Path, to: &Path) -> Path {
    if path == from {
        return to.clone();
    }
    to.join(path.relative_to(from))
}

/// Streams of entries, each in order, as one.
struct Merged<'s> {
    streams: [Peekable<Stream<'s>>; 3],
}

impl Iterator for Merged<'_> {
    type Item = Result<(Path, Entry), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut least: Option<Path> = None;
        for stream in &mut self.streams {
            match stream.peek() {
                None => {}
                Some(Err(_)) => return stream.next(),
                Some(Ok((path, _))) if least.as_ref().is_none_or(|least| path < least) => {
                    least = Some(path.clone());
                }
                Some(Ok(_)) => {}
            }
        }
        let least = least?;
        let mut last = None;
        for stream in &mut self.streams {
            if let Some(item) =
                stream.next_if(|item| matches!(item, Ok((path, _)) if *path == least))
            {
                last = Some(item);
            }
        }
        last
    }
}

struct Out<'w> {
    writer: Writer<'w>,
    cutter: Cutter,
    segments: Vec<Segment>,
    size_bytes: u64,
}

impl Out<'_> {
    fn write(&mut self, entry: Entry) -> Result<(), Error> {
        if let Node::File { content, .. } = &entry.node {
            self.size_bytes += content.size_bytes();
        }
        let encoded = entry.encode();
        if encoded.len() as u64 > ENTRY_BYTES {
            let path = tree::beneath::shown(&entry.path);
            return Err(crate::Error::FileTooLarge { path }.into());
        }
        let (writer, segments) = (&mut self.writer, &mut self.segments);
        self.cutter
            .feed(&encoded, |piece| store_piece(writer, segments, piece))?;
        Ok(())
    }

    fn finish(mut self, base: &Stored) -> Result<(crate::ManifestId, u64), Error> {
        let (writer, segments) = (&mut self.writer, &mut self.segments);
        self.cutter
            .finish(|piece| store_piece(writer, segments, piece))?;
        let written = blob::commit(
            &base.artifacts,
            self.writer,
            self.segments,
            ManifestContent::Tree,
        )?;
        Ok((written.id, self.size_bytes))
    }
}
