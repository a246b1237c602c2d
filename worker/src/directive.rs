//! What is wanted of one leased workspace at this moment: a level, not an event. Whoever acts on it reads the newest.

use std::sync::Arc;

use helmr_api::worker::{Assignment, RunAssignment};
use tokio::time::Instant;

use crate::report::RunKey;

#[derive(Debug, Clone, Default)]
pub(crate) struct Directive {
    /// The newest; none yet for a machine that was adopted before the control plane said anything.
    pub(crate) assignment: Option<Arc<Assignment>>,
    /// The lease is another's: end everything without another write.
    pub(crate) lost: bool,
    /// The lease could not be renewed and is about to end: nothing may run.
    pub(crate) frozen: bool,
    /// The worker goes away: park or stop, at the latest then.
    pub(crate) drain_by: Option<Instant>,
}

impl Directive {
    /// What is known of a run, if it belongs in the machine.
    pub(crate) fn run(&self, key: RunKey) -> Option<&RunAssignment> {
        self.assignment
            .as_ref()?
            .runs
            .iter()
            .find(|run| key_of(run) == key)
    }

    /// Whether a run has to end.
    pub(crate) fn is_stopping(&self, key: RunKey) -> bool {
        self.run(key).is_some_and(|run| run.stop.is_some())
    }
}

pub(crate) fn key_of(run: &RunAssignment) -> RunKey {
    RunKey {
        run_id: run.run_id,
        attempt_number: run.attempt_number,
    }
}
