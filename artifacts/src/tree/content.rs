//! How the bytes of files become chunks: small files are packed together, large ones cut by content with their holes
//! left out.
//!
//! A pack ends after a file whose hash says so, so that the same files in the same order give the same packs even
//! when nothing else is known. A chunk per small file would cost a synchronous write each.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsFd;

use rustix::io::Errno;

use super::beneath::{Facts, failed, failed_io};
use crate::chunk::{ChunkName, ChunkRef, Writer};
use crate::cut::{Cutter, is_zero};
use crate::manifest::{self, Segment, Source};
use crate::{Error, KeySet, blob};

/// Files up to this size are packed.
pub(crate) const SMALL: u64 = 64 << 10;
/// A pack ends at this size at the latest.
const PACK_BYTES: usize = 512 << 10;
/// A pack ends after one file in 32.
const PACK_ENDS_BELOW: u8 = 8;

/// Where the bytes of a file are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    pub(crate) segments: Vec<Segment>,
    /// Of small files: a keyed hash of all bytes, as packs differ while contents do not.
    pub(crate) digest: Option<[u8; 32]>,
}

impl Content {
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        manifest::total(&self.segments).unwrap_or(u64::MAX)
    }

    /// Whether both hold the same bytes, as far as can be told without reading them.
    pub(crate) fn same_bytes(&self, other: &Self) -> bool {
        match (self.digest, other.digest) {
            (Some(one), Some(other)) => one == other,
            _ => self.segments == other.segments,
        }
    }

    /// Of a small file: chunk and offset. Orders places, for a choice that is always the same.
    pub(crate) fn place(&self) -> Option<(ChunkName, u32)> {
        match self.segments.first()?.source {
            Source::Chunk { chunk, offset } => Some((chunk.name, offset)),
            Source::Zeros => None,
        }
    }

    /// A large file, or one with holes.
    pub(super) fn of_segments(segments: Vec<Segment>) -> Self {
        Self {
            segments,
            digest: None,
        }
    }

    /// The bytes from `offset` on.
    pub(crate) fn behind(&self, offset: u64) -> Self {
        Self {
            segments: manifest::from_offset(&self.segments, offset),
            digest: None,
        }
    }

    /// Tells contents apart without reading them.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        if let Some(digest) = self.digest {
            return digest;
        }
        let mut hasher = blake3::Hasher::new();
        for segment in &self.segments {
            hasher.update(&segment.len.to_le_bytes());
            if let Source::Chunk { chunk, offset } = segment.source {
                hasher.update(chunk.name.as_bytes());
                hasher.update(&offset.to_le_bytes());
            }
        }
        *hasher.finalize().as_bytes()
    }

    /// A small file whose bytes are all zero, or that has none.
    pub(crate) fn zeros(len: u64, digest: [u8; 32]) -> Self {
        let mut segments = Vec::new();
        manifest::push(
            &mut segments,
            Segment {
                source: Source::Zeros,
                len,
            },
        );
        Self {
            segments,
            digest: Some(digest),
        }
    }
}

/// The bytes of a file as [`Packer::store`] took them.
pub(crate) enum Taken {
    Stored(Content),
    /// In the open pack; its chunk is known when the pack is closed.
    Packed(Slot),
}

/// A place in the open pack.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    offset: u32,
    len: u64,
    pub(crate) digest: [u8; 32],
}

impl Slot {
    pub(crate) fn content(self, pack: ChunkRef) -> Content {
        let source = Source::Chunk {
            chunk: pack,
            offset: self.offset,
        };
        Content {
            segments: vec![Segment {
                source,
                len: self.len,
            }],
            digest: Some(self.digest),
        }
    }

    pub(crate) fn len(self) -> u64 {
        self.len
    }
}

/// Turns files into chunks.
pub(crate) struct Packer {
    cutter: Cutter,
    pack: Vec<u8>,
    /// What the open pack holds: the same bytes are packed once, whoever has them.
    slots: HashMap<[u8; 32], Slot>,
    full: bool,
}

impl Packer {
    pub(crate) fn new() -> Self {
        Self {
            cutter: Cutter::new(),
            pack: Vec::new(),
            slots: HashMap::new(),
            full: false,
        }
    }

    /// Reads `file`, which `facts` describe. `known` is asked for small files whose bytes are stored already.
    pub(crate) fn store(
        &mut self,
        writer: &mut Writer<'_>,
        (file, path): (&mut File, &[u8]),
        facts: &Facts,
        known: impl FnOnce(&[u8; 32]) -> Option<Content>,
    ) -> Result<Taken, Error> {
        if facts.size > SMALL {
            return self
                .store_large(writer, (file, path), facts)
                .map(Taken::Stored);
        }
        let mut bytes = Vec::new();
        file.take(facts.size)
            .read_to_end(&mut bytes)
            .map_err(failed_io("read", path))?;
        self.store_small(writer, bytes, known)
    }

    /// Reads everything that `source` gives.
    pub(super) fn store_read(
        &mut self,
        writer: &mut Writer<'_>,
        mut source: impl Read,
    ) -> Result<Taken, Error> {
        let mut head = Vec::new();
        source.by_ref().take(SMALL + 1).read_to_end(&mut head)?;
        if head.len() as u64 <= SMALL {
            return self.store_small(writer, head, |_| None);
        }
        let mut segments = Vec::new();
        let whole = head.as_slice().chain(source);
        blob::cut_into(&mut self.cutter, writer, whole, &mut segments)?;
        Ok(Taken::Stored(Content::of_segments(segments)))
    }

    fn store_small(
        &mut self,
        writer: &Writer<'_>,
        mut bytes: Vec<u8>,
        known: impl FnOnce(&[u8; 32]) -> Option<Content>,
    ) -> Result<Taken, Error> {
        let (len, digest) = (bytes.len() as u64, digest(writer.keys(), &bytes));
        if is_zero(&bytes) {
            return Ok(Taken::Stored(Content::zeros(len, digest)));
        }
        if let Some(content) = known(&digest) {
            return Ok(Taken::Stored(content));
        }
        if let Some(slot) = self.slots.get(&digest) {
            return Ok(Taken::Packed(*slot));
        }
        let offset = u32::try_from(self.pack.len()).map_err(|_| Error::Abandoned)?;
        self.pack.append(&mut bytes);
        self.full = self.pack.len() >= PACK_BYTES || digest[0] < PACK_ENDS_BELOW;
        let slot = Slot {
            offset,
            len,
            digest,
        };
        self.slots.insert(digest, slot);
        Ok(Taken::Packed(slot))
    }

    /// Whether the pack should be closed before the next file.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Stores the open pack; `None` if it is empty.
    pub(crate) fn close(&mut self, writer: &mut Writer<'_>) -> Result<Option<ChunkRef>, Error> {
        self.full = false;
        self.slots.clear();
        if self.pack.is_empty() {
            return Ok(None);
        }
        writer.put(std::mem::take(&mut self.pack)).map(Some)
    }

    fn store_large(
        &mut self,
        writer: &mut Writer<'_>,
        (file, path): (&mut File, &[u8]),
        facts: &Facts,
    ) -> Result<Content, Error> {
        let mut segments = Vec::new();
        let mut at = 0;
        while at < facts.size {
            let data = if facts.blocks.saturating_mul(512) < facts.size {
                data_from(&*file, at, facts.size).map_err(failed("look for holes in", path))?
            } else {
                at..facts.size
            };
            let hole = Segment {
                source: Source::Zeros,
                len: data.start - at,
            };
            manifest::push(&mut segments, hole);
            file.seek(SeekFrom::Start(data.start))
                .map_err(failed_io("seek in", path))?;
            let len = data.end - data.start;
            blob::cut_into(
                &mut self.cutter,
                writer,
                file.by_ref().take(len),
                &mut segments,
            )
            .map_err(|error| match error {
                Error::Stream { source, .. } => failed_io("read", path)(source),
                other => other,
            })?;
            at = data.end;
        }
        Ok(Content::of_segments(segments))
    }
}

/// The keyed hash by which small files are compared.
pub(crate) fn digest(keys: &KeySet, bytes: &[u8]) -> [u8; 32] {
    keys.chunk_name(bytes)
}

/// The next run of data at or after `at`; an empty one at the end if only a hole is left.
fn data_from(file: impl AsFd, at: u64, size: u64) -> Result<std::ops::Range<u64>, Errno> {
    let start = match rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(at)) {
        Ok(start) => start.min(size),
        Err(Errno::NXIO) => return Ok(size..size),
        // A file system that cannot tell has no holes.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(at..size),
        Err(error) => return Err(error),
    };
    let end = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(start)).unwrap_or(size);
    Ok(start..end.clamp(start, size))
}
