//! Manifests: what a blob or a tree is made of. Named by a keyed hash of their content, sealed like chunks.

use std::fmt;
use std::str::FromStr;

use prost::Message;

use crate::chunk::{ChunkName, ChunkRef};
use crate::cut::RULES;
use crate::hex::{decode_hex, encode_hex};
use crate::seal::Kind;
use crate::{Artifacts, Error, KeySet};

const VERSION: u32 = 1;

/// Names a manifest: 64 hexadecimal digits. The same content under the same keys has the same id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ManifestId([u8; 32]);

impl ManifestId {
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ManifestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode_hex(&self.0))
    }
}

impl fmt::Debug for ManifestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManifestId({self})")
    }
}

impl FromStr for ManifestId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut bytes = [0; 32];
        decode_hex(text, &mut bytes).ok_or_else(|| Error::NotAnId {
            what: "a manifest id",
            text: text.to_owned(),
        })?;
        Ok(Self(bytes))
    }
}

/// What a manifest describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Blob,
    /// Its bytes are the tree's entries.
    Tree,
}

/// A run of bytes: part of a chunk, or zeros that are stored nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    pub(crate) source: Source,
    pub(crate) len: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    Zeros,
    Chunk { chunk: ChunkRef, offset: u32 },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) content: Content,
    pub(crate) size: u64,
    pub(crate) segments: Vec<Segment>,
}

/// The wire form. Fields are only ever added.
#[derive(Clone, PartialEq, Message)]
struct Wire {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(uint32, tag = "2")]
    content: u32,
    #[prost(string, tag = "3")]
    cut_rules: String,
    #[prost(uint64, tag = "4")]
    size: u64,
    #[prost(message, repeated, tag = "5")]
    segments: Vec<WireSegment>,
}

/// A segment on the wire; no name means zeros.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct WireSegment {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(uint32, tag = "2")]
    chunk_len: u32,
    #[prost(uint32, tag = "3")]
    offset: u32,
    #[prost(uint64, tag = "4")]
    len: u64,
}

impl From<&Segment> for WireSegment {
    fn from(segment: &Segment) -> Self {
        match segment.source {
            Source::Zeros => Self {
                len: segment.len,
                ..Self::default()
            },
            Source::Chunk { chunk, offset } => Self {
                name: chunk.name.as_bytes().to_vec(),
                chunk_len: chunk.len,
                offset,
                len: segment.len,
            },
        }
    }
}

impl WireSegment {
    /// Checked: the segment lies within its chunk.
    pub(crate) fn decode(&self) -> Result<Segment, &'static str> {
        let source = if self.name.is_empty() {
            Source::Zeros
        } else {
            let name = self
                .name
                .as_slice()
                .try_into()
                .map_err(|_| "a chunk name has another length")?;
            let end = u64::from(self.offset).checked_add(self.len);
            if end.is_none_or(|end| end > u64::from(self.chunk_len)) {
                return Err("a segment ends after its chunk");
            }
            Source::Chunk {
                chunk: ChunkRef {
                    name: ChunkName::from_bytes(name),
                    len: self.chunk_len,
                },
                offset: self.offset,
            }
        };
        Ok(Segment {
            source,
            len: self.len,
        })
    }
}

/// The sum of the lengths, if it is one.
pub(crate) fn total(segments: &[Segment]) -> Option<u64> {
    segments
        .iter()
        .try_fold(0u64, |sum, segment| sum.checked_add(segment.len))
}

/// The segments from the byte `offset` on.
pub(crate) fn from_offset(segments: &[Segment], offset: u64) -> Vec<Segment> {
    let mut skip = offset;
    let mut rest = Vec::new();
    for segment in segments {
        let skipped = skip.min(segment.len);
        skip -= skipped;
        if skipped == segment.len {
            continue;
        }
        let source = match segment.source {
            Source::Zeros => Source::Zeros,
            Source::Chunk { chunk, offset } => Source::Chunk {
                chunk,
                // In range: a segment lies within its chunk.
                offset: offset.saturating_add(u32::try_from(skipped).unwrap_or(u32::MAX)),
            },
        };
        rest.push(Segment {
            source,
            len: segment.len - skipped,
        });
    }
    rest
}

/// Appends a segment, joining runs of zeros.
pub(crate) fn push(segments: &mut Vec<Segment>, segment: Segment) {
    match segments.last_mut() {
        Some(last) if last.source == Source::Zeros && segment.source == Source::Zeros => {
            last.len += segment.len
        }
        _ if segment.len == 0 => {}
        _ => segments.push(segment),
    }
}

impl Manifest {
    /// Writes the manifest. Call it only when every chunk it names is durable.
    pub(crate) fn commit(
        &self,
        artifacts: &Artifacts,
        keys: &KeySet,
    ) -> Result<(ManifestId, u64), Error> {
        let wire = Wire {
            version: VERSION,
            content: match self.content {
                Content::Blob => 1,
                Content::Tree => 2,
            },
            cut_rules: RULES.to_owned(),
            size: self.size,
            segments: self.segments.iter().map(WireSegment::from).collect(),
        };
        let plain = wire.encode_to_vec();
        let id = ManifestId(keys.manifest_name(&plain));
        let stored = artifacts.wait(artifacts.put(keys, Kind::Manifest, id.0, plain))?;
        Ok((id, stored))
    }

    /// Reads a manifest, checked against its id.
    pub(crate) fn load(
        artifacts: &Artifacts,
        keys: &KeySet,
        id: ManifestId,
    ) -> Result<Self, Error> {
        let plain = artifacts.wait(artifacts.get(keys, Kind::Manifest, id.0))?;
        let refused = |reason| Error::Corrupt {
            what: Kind::Manifest.noun(),
            name: id.to_string(),
            reason,
        };
        if keys.manifest_name(&plain) != id.0 {
            return Err(refused("its content is not what its id says"));
        }
        let wire = Wire::decode(plain.as_slice()).map_err(|_| refused("it does not decode"))?;
        if wire.version != VERSION {
            return Err(refused("a later version wrote it"));
        }
        let content = match wire.content {
            1 => Content::Blob,
            2 => Content::Tree,
            _ => return Err(refused("it is of an unknown kind")),
        };
        let segments = wire
            .segments
            .iter()
            .map(WireSegment::decode)
            .collect::<Result<Vec<_>, _>>()
            .map_err(refused)?;
        if total(&segments) != Some(wire.size) {
            return Err(refused("its segments do not add up to its size"));
        }
        Ok(Self {
            content,
            size: wire.size,
            segments,
        })
    }
}
