//! The chunks a restore needs for small files, which share them: the last few are kept.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::chunk::{self, ChunkRef};
use crate::{Artifacts, Error, KeySet};

/// Chunks kept: about this many half MiB.
const KEPT: usize = 8;

pub(super) struct Chunks {
    pub(super) artifacts: Artifacts,
    pub(super) keys: KeySet,
    /// The one used longest ago first.
    kept: VecDeque<(ChunkRef, Arc<Vec<u8>>)>,
}

impl Chunks {
    pub(super) fn new(artifacts: &Artifacts, keys: &KeySet) -> Self {
        Self {
            artifacts: artifacts.clone(),
            keys: keys.clone(),
            kept: VecDeque::new(),
        }
    }

    pub(super) fn get(&mut self, chunk: ChunkRef) -> Result<Arc<Vec<u8>>, Error> {
        let at = self.kept.iter().position(|(kept, _)| *kept == chunk);
        let bytes = match at.and_then(|at| self.kept.remove(at)) {
            Some((_, bytes)) => bytes,
            None => Arc::new(chunk::get(&self.artifacts, &self.keys, &chunk)?),
        };
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((chunk, Arc::clone(&bytes)));
        Ok(bytes)
    }
}
