//! The outlines of captured trees that were looked at last: what is in them is found without reading them through again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use helmr_artifacts::files::{Error, Outline};
use helmr_artifacts::{Artifacts, KeySet, ManifestId};

/// Each holds a path for some hundred files, and the names of hard links.
const KEPT: usize = 32;

/// Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Outlines(Arc<Mutex<Kept>>);

type Kept = VecDeque<(ManifestId, Arc<Outline>)>;

impl Outlines {
    /// Gives a tree's outline, which is read if it is not known. Blocks.
    ///
    /// # Errors
    /// If the tree cannot be read.
    pub(crate) fn get(
        &self,
        artifacts: &Artifacts,
        keys: &KeySet,
        id: ManifestId,
    ) -> Result<Arc<Outline>, Error> {
        if let Some(known) = self.take(id) {
            self.keep(id, Arc::clone(&known));
            return Ok(known);
        }
        let outline = Arc::new(Outline::read(artifacts, keys, id)?);
        self.keep(id, Arc::clone(&outline));
        Ok(outline)
    }

    fn take(&self, id: ManifestId) -> Option<Arc<Outline>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(known, _)| *known == id)?;
        kept.remove(at).map(|(_, outline)| outline)
    }

    fn keep(&self, id: ManifestId, outline: Arc<Outline>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((id, outline));
    }
}
