//! What is wanted of one leased workspace at this moment: a level, not an event. Whoever acts on it reads the newest.

use std::sync::Arc;
use std::time::Duration;

use helmr_api::worker::{Assignment, RunAssignment};
use tokio::time::Instant;

use crate::report::RunKey;

#[derive(Debug, Clone, Default)]
pub(crate) struct Directive {
    /// The newest; none yet for a machine that was adopted before the control plane said anything.
    pub(crate) assignment: Option<Arc<Assignment>>,
    /// When it came: the spans in it count from then.
    pub(crate) came_at: Option<Instant>,
    /// The lease is another's: end everything without another write.
    pub(crate) lost: bool,
    /// The lease could not be renewed and is about to end: nothing may run.
    pub(crate) frozen: bool,
    /// The worker goes away: park or stop, at the latest then.
    pub(crate) drain_by: Option<Instant>,
}

impl Directive {
    /// Puts a newer assignment in.
    pub(crate) fn take(&mut self, assignment: Assignment) {
        self.assignment = Some(Arc::new(assignment));
        self.came_at = Some(Instant::now());
    }

    /// How long before `now` the assignment came.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        self.came_at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at))
    }

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
