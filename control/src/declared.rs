//! What sessions' tasks declare, compiled and kept: none of it ever changes, since a session is pinned to its deployment.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use helmr_domain::stream::Direction;
use helmr_domain::{Scope, SessionId, StreamName, TaskRowId};
use helmr_store::streams;

use crate::schema::Schema;
use crate::{ApiError, Control};

/// Sessions whose tasks are remembered, and streams whose schemas are.
const KEPT: usize = 8_192;

/// A declared stream. `None`: it takes everything.
pub(crate) type Stream = Option<Arc<Schema>>;

type StreamKey = (TaskRowId, Direction, StreamName);

#[derive(Debug, Default)]
pub(crate) struct Declared {
    tasks: Mutex<HashMap<SessionId, (Scope, TaskRowId)>>,
    streams: Mutex<HashMap<StreamKey, Stream>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn keep<K: Eq + Hash, V>(mutex: &Mutex<HashMap<K, V>>, key: K, value: V) {
    let mut kept = lock(mutex);
    if kept.len() >= KEPT {
        kept.clear();
    }
    kept.insert(key, value);
}

impl Declared {
    /// The stream of that name that the session's task declares, if it declares one.
    ///
    /// # Errors
    /// `session_not_found`.
    pub(crate) async fn find(
        &self,
        control: &Control,
        scope: Scope,
        session: SessionId,
        direction: Direction,
        name: &StreamName,
    ) -> Result<Option<Stream>, ApiError> {
        if let Some(known) = self.known(scope, session, direction, name) {
            return Ok(Some(known));
        }
        let found = streams::declared(&control.store, scope, session, direction, name).await?;
        let Some(declared) = found else {
            return Ok(None);
        };
        let schema = if declared.schema.is_null() {
            None
        } else {
            // Checked when it was deployed, so one that does not compile is the server's fault.
            let compiled = control.schemas.get(&declared.schema);
            Some(compiled.map_err(|error| ApiError::internal(&error))?)
        };
        keep(&self.tasks, session, (scope, declared.task));
        let key = (declared.task, direction, name.clone());
        keep(&self.streams, key, schema.clone());
        Ok(Some(schema))
    }

    fn known(
        &self,
        scope: Scope,
        session: SessionId,
        direction: Direction,
        name: &StreamName,
    ) -> Option<Stream> {
        let (known_scope, task) = lock(&self.tasks).get(&session).copied()?;
        if known_scope != scope {
            return None;
        }
        let key = (task, direction, name.clone());
        lock(&self.streams).get(&key).cloned()
    }
}
