//! An archive into a captured tree. Small files are packed together, as captures do.

use std::io::Read;

use super::{Edit, Planned, file, store};
use crate::cut::is_zero;
use crate::files::resolve::Last;
use crate::files::unpack::{Dress, Unpack, reading};
use crate::files::{Error, Path};
use crate::manifest::{Segment, Source};
use crate::tree::Content;
use crate::tree::content::{SMALL, digest};
use crate::tree::entry::{Entry, Node};

/// Of a pack.
const PACK_BYTES: usize = 512 << 10;

/// Small files that have no chunk yet.
#[derive(Default)]
pub(super) struct Pack {
    bytes: Vec<u8>,
    waiting: Vec<Waiting>,
    last_number: u64,
}

struct Waiting {
    path: Path,
    number: u64,
    offset: u32,
    len: u64,
    digest: [u8; 32],
}

impl Edit<'_> {
    /// Stores the open pack and lets the files in it know.
    pub(super) fn close_pack(&mut self) -> Result<(), Error> {
        if self.pack.bytes.is_empty() {
            return Ok(());
        }
        let chunk = self.writer.put(std::mem::take(&mut self.pack.bytes))?;
        for waiting in std::mem::take(&mut self.pack.waiting) {
            let Some(planned) = self.put.get_mut(&waiting.path) else {
                continue;
            };
            if planned.packed != Some(waiting.number) {
                continue;
            }
            let source = Source::Chunk {
                chunk,
                offset: waiting.offset,
            };
            planned.entry.node = file(Content {
                segments: vec![Segment {
                    source,
                    len: waiting.len,
                }],
                digest: Some(waiting.digest),
            });
        }
        Ok(())
    }

    fn dressed(&mut self, path: &Path, dress: &Dress) -> Result<Entry, Error> {
        self.check_parent(path, true)?;
        let mut entry = self.new_entry(path, dress.mode)?;
        entry.mtime = dress.modified;
        entry.xattrs.clone_from(&dress.xattrs);
        Ok(entry)
    }

    /// Where an archive's file goes: links on the way are followed, one in its place is replaced.
    fn place(&self, path: &Path) -> Result<Path, Error> {
        let (target, there) = self.find(path, Last::Keep)?;
        if target.is_root() || there.is_some_and(|entry| entry.node == Node::Directory) {
            return Err(Error::IsDirectory { path: target });
        }
        Ok(target)
    }
}

impl Unpack for Edit<'_> {
    fn directory(&mut self, path: &Path, dress: &Dress) -> Result<(), Error> {
        self.make_directory(path, Some(dress.mode), true).map(drop)
    }

    fn file(&mut self, path: &Path, dress: &Dress, content: &mut dyn Read) -> Result<(), Error> {
        let target = self.place(path)?;
        let mut entry = self.dressed(&target, dress)?;
        let mut first = Vec::new();
        (&mut *content)
            .take(SMALL + 1)
            .read_to_end(&mut first)
            .map_err(reading)?;
        if first.len() as u64 > SMALL {
            let stored = store(&mut self.writer, first.as_slice().chain(content));
            let content = stored.map_err(|error| match error {
                Error::Stream(cause) => reading(cause),
                error => error,
            })?;
            self.changed_bytes += content.size_bytes();
            entry.node = file(content);
            return self.plan(target, Planned::new(entry)).map(drop);
        }
        let len = first.len() as u64;
        let digest = digest(self.writer.keys(), &first);
        self.changed_bytes += len;
        // Told until its pack is closed: as long as it will be.
        entry.node = file(Content::zeros(len, digest));
        let mut planned = Planned::new(entry);
        if !is_zero(&first) {
            self.pack.last_number += 1;
            planned.packed = Some(self.pack.last_number);
            let offset =
                u32::try_from(self.pack.bytes.len()).map_err(|_| crate::Error::Abandoned)?;
            self.pack.waiting.push(Waiting {
                path: target.clone(),
                number: self.pack.last_number,
                offset,
                len,
                digest,
            });
            self.pack.bytes.append(&mut first);
        }
        self.plan(target, planned)?;
        if self.pack.bytes.len() >= PACK_BYTES {
            self.close_pack()?;
        }
        Ok(())
    }

    fn symlink(&mut self, path: &Path, target: &[u8]) -> Result<(), Error> {
        let place = self.place(path)?;
        self.check_parent(&place, true)?;
        let mut entry = self.new_entry(&place, 0o777)?;
        entry.node = Node::Symlink {
            target: target.to_vec(),
        };
        self.plan(place, Planned::new(entry)).map(drop)
    }

    fn link(&mut self, path: &Path, of: &Path) -> Result<(), Error> {
        let (target, there) = self.find(of, Last::Keep)?;
        let entry = there
            .filter(|entry| matches!(entry.node, Node::File { .. }))
            .ok_or_else(|| Error::Archive {
                reason: format!("`{path}` is a link to `{of}`, which is no file"),
            })?;
        let place = self.place(path)?;
        if place == target {
            return Ok(());
        }
        self.check_parent(&place, true)?;
        // To the first of several names that the archive itself brought.
        let of = match self
            .put
            .get(&target)
            .and_then(|planned| planned.link_of.clone())
        {
            Some(first) => first,
            None => target,
        };
        let mut planned = Planned::new(entry);
        planned.link_of = Some(of);
        self.plan(place, planned).map(drop)
    }
}
