//! Blobs: byte streams of any length, cut by content, through fixed buffers.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

use tokio::task::JoinHandle;

use crate::chunk::{self, Writer};
use crate::cut::{Cutter, is_zero};
use crate::manifest::{self, Content, Manifest, Segment, Source};
use crate::{Artifacts, Error, KeySet, ManifestId};

/// Chunks that a reader fetches ahead.
const AHEAD: usize = 4;

/// A blob that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub id: ManifestId,
    pub size_bytes: u64,
    /// What the store grew by: 0 if all of it was there.
    pub stored_bytes: u64,
}

/// Stores everything `source` gives. Returns when it is durable.
///
/// # Errors
/// `Stream` if `source` fails; `Store`.
pub fn write(artifacts: &Artifacts, keys: &KeySet, source: impl Read) -> Result<Written, Error> {
    let mut writer = Writer::new(artifacts, keys);
    let mut segments = Vec::new();
    cut_into(&mut Cutter::new(), &mut writer, source, &mut segments)?;
    commit(artifacts, writer, segments, Content::Blob)
}

/// Opens a blob for reading from its start.
///
/// # Errors
/// `NotFound`, `Corrupt`, `Store`.
pub fn read(artifacts: &Artifacts, keys: &KeySet, id: ManifestId) -> Result<Reader, Error> {
    let manifest = Manifest::load(artifacts, keys, id)?;
    if manifest.content != Content::Blob {
        return Err(Error::Corrupt {
            what: "manifest",
            name: id.to_string(),
            reason: "it is not of a blob",
        });
    }
    Ok(Reader::new(artifacts, keys, manifest))
}

/// Copies a blob to `sink`. Returns its size.
///
/// # Errors
/// `NotFound`, `Corrupt`, `Store`; `Stream` if `sink` fails.
pub fn copy_to(
    artifacts: &Artifacts,
    keys: &KeySet,
    id: ManifestId,
    sink: &mut impl Write,
) -> Result<u64, Error> {
    let mut reader = read(artifacts, keys, id)?;
    while let Some(piece) = reader.next_piece()? {
        match piece {
            Piece::Bytes(bytes) => sink.write_all(&bytes),
            Piece::Zeros(len) => io::copy(&mut io::repeat(0).take(len), sink).map(drop),
        }
        .map_err(|source| Error::Stream {
            operation: "write out blob",
            source,
        })?;
    }
    Ok(reader.size)
}

/// Reads a blob's bytes in order, fetching a few chunks ahead. Failures of the store come as [`io::Error`]s that hold
/// an [`Error`].
pub struct Reader {
    artifacts: Artifacts,
    keys: KeySet,
    size: u64,
    segments: std::vec::IntoIter<Segment>,
    ahead: VecDeque<(Segment, Option<Fetch>)>,
    current: io::Cursor<Vec<u8>>,
    zeros: u64,
}

type Fetch = JoinHandle<Result<Vec<u8>, Error>>;

pub(crate) enum Piece {
    Bytes(Vec<u8>),
    Zeros(u64),
}

impl Reader {
    pub(crate) fn new(artifacts: &Artifacts, keys: &KeySet, manifest: Manifest) -> Self {
        Self {
            artifacts: artifacts.clone(),
            keys: keys.clone(),
            size: manifest.size,
            segments: manifest.segments.into_iter(),
            ahead: VecDeque::new(),
            current: io::Cursor::default(),
            zeros: 0,
        }
    }

    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size
    }

    pub(crate) fn next_piece(&mut self) -> Result<Option<Piece>, Error> {
        while self.ahead.len() < AHEAD {
            let Some(segment) = self.segments.next() else {
                break;
            };
            let fetch = match segment.source {
                Source::Zeros => None,
                Source::Chunk { chunk, .. } => {
                    let (artifacts, keys) = (self.artifacts.clone(), self.keys.clone());
                    let fetch = async move { chunk::fetch(&artifacts, &keys, chunk).await };
                    Some(self.artifacts.handle().spawn(fetch))
                }
            };
            self.ahead.push_back((segment, fetch));
        }
        let Some((segment, fetch)) = self.ahead.pop_front() else {
            return Ok(None);
        };
        let (Some(fetch), Source::Chunk { offset, .. }) = (fetch, segment.source) else {
            return Ok(Some(Piece::Zeros(segment.len)));
        };
        let mut bytes = self.artifacts.wait(fetch).map_err(|_| Error::Abandoned)??;
        // In range: the segment was checked against the chunk's length, and the chunk against its name and length.
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        bytes.drain(..start);
        bytes.truncate(usize::try_from(segment.len).unwrap_or(usize::MAX));
        Ok(Some(Piece::Bytes(bytes)))
    }
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            let read = self.current.read(into)?;
            if read > 0 {
                return Ok(read);
            }
            if self.zeros > 0 {
                let count = usize::try_from(self.zeros)
                    .unwrap_or(usize::MAX)
                    .min(into.len());
                into[..count].fill(0);
                self.zeros -= count as u64;
                return Ok(count);
            }
            match self.next_piece().map_err(io::Error::other)? {
                None => return Ok(0),
                Some(Piece::Bytes(bytes)) => self.current = io::Cursor::new(bytes),
                Some(Piece::Zeros(len)) => self.zeros = len,
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        for (_, fetch) in self.ahead.drain(..) {
            if let Some(fetch) = fetch {
                fetch.abort();
            }
        }
    }
}

/// Cuts `source` into chunks and appends where they are. Pieces that are all zero are stored nowhere.
pub(crate) fn cut_into(
    cutter: &mut Cutter,
    writer: &mut Writer<'_>,
    source: impl Read,
    segments: &mut Vec<Segment>,
) -> Result<(), Error> {
    cutter.cut(source, |piece| {
        let len = piece.len() as u64;
        let source = if is_zero(piece) {
            Source::Zeros
        } else {
            Source::Chunk {
                chunk: writer.put(piece.to_vec())?,
                offset: 0,
            }
        };
        manifest::push(segments, Segment { source, len });
        Ok(())
    })
}

/// Waits for the chunks, then writes the manifest over them.
pub(crate) fn commit(
    artifacts: &Artifacts,
    writer: Writer<'_>,
    segments: Vec<Segment>,
    content: Content,
) -> Result<Written, Error> {
    let keys = writer.keys();
    let chunks_stored = writer.finish()?;
    let size = manifest::total(&segments).unwrap_or(u64::MAX);
    let manifest = Manifest {
        content,
        size,
        segments,
    };
    let (id, stored) = manifest.commit(artifacts, keys)?;
    Ok(Written {
        id,
        size_bytes: size,
        stored_bytes: chunks_stored + stored,
    })
}

impl From<io::Error> for Error {
    fn from(source: io::Error) -> Self {
        Self::Stream {
            operation: "read the stream to store",
            source,
        }
    }
}
