//! What the previous capture stored, by content.

use std::collections::{HashMap, HashSet};

use super::super::content::Content;
use super::super::index::Index;
use crate::chunk::ChunkName;
use crate::manifest::Source;

/// Made when the first file must be read.
pub(super) struct Stored {
    pub(super) by_digest: HashMap<[u8; 32], Content>,
    pub(super) chunks: HashSet<ChunkName>,
}

impl Stored {
    pub(super) fn of(previous: Option<&Index>) -> Self {
        let mut stored = Self {
            by_digest: HashMap::new(),
            chunks: HashSet::new(),
        };
        for content in previous.into_iter().flat_map(Index::contents) {
            if let Some(digest) = content.digest {
                // Of several places the first by name, so that equal captures choose alike.
                let place = stored
                    .by_digest
                    .entry(digest)
                    .or_insert_with(|| content.clone());
                if content.place() < place.place() {
                    *place = content.clone();
                }
            }
            for segment in &content.segments {
                if let Source::Chunk { chunk, .. } = segment.source {
                    stored.chunks.insert(chunk.name);
                }
            }
        }
        stored
    }
}
