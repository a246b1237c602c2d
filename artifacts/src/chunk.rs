//! Chunks: at most 16 MiB of bytes under a keyed BLAKE3 name. Storing the same bytes twice stores them once.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use tokio::task::JoinSet;

use crate::hex::{decode_hex, encode_hex};
use crate::seal::Kind;
use crate::{Artifacts, Error, KeySet};

/// Chunks that one writer has under way: bounds memory, and lets their `fsync`s share a commit of the journal.
const UNDER_WAY: usize = 12;

/// The keyed hash of a chunk's bytes. Says nothing of them to whoever lacks the key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkName([u8; 32]);

/// A chunk and its length in bytes, before compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkRef {
    pub name: ChunkName,
    pub len: u32,
}

impl ChunkName {
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ChunkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode_hex(&self.0))
    }
}

impl fmt::Debug for ChunkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkName({self})")
    }
}

impl FromStr for ChunkName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut bytes = [0; 32];
        decode_hex(text, &mut bytes).ok_or_else(|| Error::NotAnId {
            what: "a chunk name",
            text: text.to_owned(),
        })?;
        Ok(Self(bytes))
    }
}

/// Stores `bytes` and returns when they are durable.
///
/// # Errors
/// `Store`; `Corrupt` if there are more than 16 MiB.
pub fn put(artifacts: &Artifacts, keys: &KeySet, bytes: Vec<u8>) -> Result<ChunkRef, Error> {
    let reference = name(keys, &bytes)?;
    artifacts.wait(artifacts.put(keys, Kind::Chunk, reference.name.0, bytes))?;
    Ok(reference)
}

/// Reads a chunk, checked against its name.
///
/// # Errors
/// `NotFound`, `Corrupt`, `Store`.
pub fn get(artifacts: &Artifacts, keys: &KeySet, chunk: &ChunkRef) -> Result<Vec<u8>, Error> {
    artifacts.wait(fetch(artifacts, keys, *chunk))
}

pub(crate) async fn fetch(
    artifacts: &Artifacts,
    keys: &KeySet,
    chunk: ChunkRef,
) -> Result<Vec<u8>, Error> {
    let plain = artifacts.get(keys, Kind::Chunk, chunk.name.0).await?;
    // The seal proves that a holder of the key wrote it, the name that it is this content.
    let found = name(keys, &plain)?;
    if found != chunk {
        return Err(Error::Corrupt {
            what: Kind::Chunk.noun(),
            name: chunk.name.to_string(),
            reason: "its content is not what its name says",
        });
    }
    Ok(plain)
}

fn name(keys: &KeySet, plain: &[u8]) -> Result<ChunkRef, Error> {
    let name = ChunkName(keys.chunk_name(plain));
    let len = u32::try_from(plain.len()).map_err(|_| Error::Corrupt {
        what: Kind::Chunk.noun(),
        name: name.to_string(),
        reason: "it is over the size limit",
    })?;
    Ok(ChunkRef { name, len })
}

/// Stores many chunks, several at a time. Nothing counts as stored before [`Writer::finish`] returned.
pub(crate) struct Writer<'a> {
    artifacts: &'a Artifacts,
    keys: &'a KeySet,
    seen: HashSet<ChunkName>,
    under_way: JoinSet<Result<u64, Error>>,
    stored_bytes: u64,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(artifacts: &'a Artifacts, keys: &'a KeySet) -> Self {
        Self {
            artifacts,
            keys,
            seen: HashSet::new(),
            under_way: JoinSet::new(),
            stored_bytes: 0,
        }
    }

    pub(crate) fn keys(&self) -> &'a KeySet {
        self.keys
    }

    /// Begins to store `plain`. Waits while too many are under way; reports the failure of an earlier one.
    pub(crate) fn put(&mut self, plain: Vec<u8>) -> Result<ChunkRef, Error> {
        self.artifacts.watch().step()?;
        let reference = name(self.keys, &plain)?;
        if !self.seen.insert(reference.name) {
            return Ok(reference);
        }
        while self.under_way.len() >= UNDER_WAY {
            self.collect_one()?;
        }
        let (artifacts, keys) = (self.artifacts.clone(), self.keys.clone());
        self.under_way.spawn_on(
            async move {
                artifacts
                    .put(&keys, Kind::Chunk, reference.name.0, plain)
                    .await
            },
            self.artifacts.handle(),
        );
        Ok(reference)
    }

    /// Wants a chunk that was stored before.
    ///
    /// # Errors
    /// `NotFound` if it does not exist any more; `Store`.
    pub(crate) fn renew(&mut self, chunk: ChunkName) -> Result<(), Error> {
        if !self.seen.insert(chunk) {
            return Ok(());
        }
        if self.artifacts.renew(Kind::Chunk, &chunk.0)? {
            return Ok(());
        }
        Err(Error::NotFound {
            what: Kind::Chunk.noun(),
            name: chunk.to_string(),
        })
    }

    /// Waits until everything is durable. Returns the bytes that were new to the store, as stored.
    pub(crate) fn finish(mut self) -> Result<u64, Error> {
        while !self.under_way.is_empty() {
            self.collect_one()?;
        }
        Ok(self.stored_bytes)
    }

    fn collect_one(&mut self) -> Result<(), Error> {
        if let Some(done) = self.artifacts.wait(self.under_way.join_next()) {
            self.stored_bytes += done.map_err(|_| Error::Abandoned)??;
        }
        Ok(())
    }
}
