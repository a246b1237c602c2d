//! The execs of one machine, as far as its guest knows them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use helmr_domain::ExecId;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::Heard;
use super::exec::{Available, Event, ExecLane, Feeder};
use super::lane::Broken;
use super::router::Shared;

/// Pieces of output that wait; each of at most 64 KiB.
const EVENTS: usize = 16;

#[derive(Default)]
pub(super) struct Execs(Mutex<HashMap<ExecId, Known>>);

struct Known {
    events: mpsc::Sender<Event>,
    available: watch::Sender<Available>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Execs {
    fn lock(&self) -> MutexGuard<'_, HashMap<ExecId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets frames of an exec in, of whose input the guest has received `received` bytes.
    pub(super) fn know(&self, shared: &Shared, exec: ExecId, received: u64) {
        let mut known = self.lock();
        known
            .entry(exec)
            .or_insert_with(|| Known::begin(shared, exec, received));
    }

    pub(super) fn knows(&self, exec: ExecId) -> bool {
        self.lock().contains_key(&exec)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    pub(super) fn forget(&self, exec: ExecId) {
        drop(self.lock().remove(&exec));
    }

    /// Tells what there is of an exec's input.
    pub(super) fn available(&self, exec: ExecId, available: Available) {
        if let Some(known) = self.lock().get(&exec) {
            known.available.send_if_modified(|there| {
                let changed = *there != available;
                *there = available;
                changed
            });
        }
    }

    /// Where what the guest says of an exec goes.
    pub(super) fn lane_of(&self, exec: ExecId) -> Option<mpsc::Sender<Event>> {
        self.lock().get(&exec).map(|known| known.events.clone())
    }
}

impl Known {
    fn begin(shared: &Shared, exec: ExecId, received: u64) -> Self {
        let (events, arriving) = mpsc::channel(EVENTS);
        let (available, wanted) = watch::channel(Available::default());
        let (taken, taking) = watch::channel(Some(received));
        let lane = ExecLane {
            exec,
            reports: shared.reports.clone(),
            acks: shared.acks.clone(),
            heard: shared.heard.clone(),
            events: arriving,
            open: shared.open.subscribe(),
            taken,
        };
        let feeder = Feeder {
            exec,
            reports: shared.reports.clone(),
            speech: shared.speech.clone(),
            sent: received,
            available: wanted,
            taken: taking,
        };
        let (lane_heard, feeder_heard) = (shared.heard.clone(), shared.heard.clone());
        let lane = tokio::spawn(async move {
            if lane.run().await.is_err() {
                drop(lane_heard.send(Heard::Stale).await);
            }
        });
        let feeder = tokio::spawn(async move {
            let broken = match feeder.run().await {
                Ok(()) => return,
                Err(Broken::Stale) => Heard::Stale,
                Err(Broken::Link(error)) => {
                    tracing::warn!(%error, "a guest cannot be spoken to");
                    Heard::Broken
                }
            };
            drop(feeder_heard.send(broken).await);
        });
        Self {
            events,
            available,
            _tasks: [AbortOnDropHandle::new(lane), AbortOnDropHandle::new(feeder)],
        }
    }
}
