//! The execs and PTYs of one machine, as far as its guest knows them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use helmr_domain::ProcessId;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::Heard;
use super::exec::{Available, Event, ExecLane, Feeder};
use super::lane::Broken;
use super::router::Shared;

/// Pieces of output that wait; each of at most 64 KiB.
const EVENTS: usize = 16;

/// What a guest says of an exec when it greets.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Greeted {
    /// Bytes of input that it has received.
    pub(super) received: u64,
    pub(super) idle: bool,
}

#[derive(Default)]
pub(super) struct Execs(Mutex<HashMap<ProcessId, Known>>);

struct Known {
    events: mpsc::Sender<Event>,
    available: watch::Sender<Available>,
    taken: watch::Receiver<Option<u64>>,
    idle: watch::Receiver<bool>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Execs {
    fn lock(&self) -> MutexGuard<'_, HashMap<ProcessId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets frames of an exec in, which is as the guest says.
    pub(super) fn know(&self, shared: &Shared, exec: ProcessId, guest: Greeted) {
        let mut known = self.lock();
        known
            .entry(exec)
            .or_insert_with(|| Known::begin(shared, exec, guest));
    }

    pub(super) fn knows(&self, exec: ProcessId) -> bool {
        self.lock().contains_key(&exec)
    }

    /// Whether none of them keeps its machine from parking.
    pub(super) fn are_idle(&self) -> bool {
        self.lock().values().all(Known::is_idle)
    }

    /// Whether its machine may park with it.
    pub(super) fn is_idle(&self, exec: ProcessId) -> bool {
        self.lock().get(&exec).is_some_and(Known::is_idle)
    }

    pub(super) fn forget(&self, exec: ProcessId) {
        drop(self.lock().remove(&exec));
    }

    /// Tells what there is of an exec's input.
    pub(super) fn available(&self, exec: ProcessId, available: Available) {
        if let Some(known) = self.lock().get(&exec) {
            known.available.send_if_modified(|there| {
                let changed = *there != available;
                *there = available;
                changed
            });
        }
    }

    /// Where what the guest says of an exec goes.
    pub(super) fn lane_of(&self, exec: ProcessId) -> Option<mpsc::Sender<Event>> {
        self.lock().get(&exec).map(|known| known.events.clone())
    }
}

impl Known {
    /// Its terminal is idle, and nothing is on its way to it.
    fn is_idle(&self) -> bool {
        let available = self.available.borrow().end;
        *self.idle.borrow() && self.taken.borrow().is_none_or(|taken| taken >= available)
    }

    fn begin(shared: &Shared, exec: ProcessId, Greeted { received, idle }: Greeted) -> Self {
        let (events, arriving) = mpsc::channel(EVENTS);
        let (available, wanted) = watch::channel(Available::default());
        let (taken, taking) = watch::channel(Some(received));
        let (idle, rests) = watch::channel(idle);
        let taken_so_far = taking.clone();
        let lane = ExecLane {
            exec,
            reports: shared.reports.clone(),
            acks: shared.acks.clone(),
            heard: shared.heard.clone(),
            events: arriving,
            open: shared.open.subscribe(),
            taken,
            idle,
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
            taken: taken_so_far,
            idle: rests,
            _tasks: [AbortOnDropHandle::new(lane), AbortOnDropHandle::new(feeder)],
        }
    }
}
