//! Takes frames off the link and gives each to its run's lanes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use helmr_domain::ProcessId;
use helmr_guest_wire::{Body, FindProcesses, RunPhase};
use helmr_machine::host::{Arrived, Link};
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::acks::Acks;
use super::exec::{self, Available};
use super::execs::{Execs, Greeted};
use super::lane::{Broken, Event, LineLane, Turn};
use super::line::{self, Said};
use super::names::Names;
use super::output::{Item, OutputLane};
use super::speech::Speech;
use crate::client::Failure;
use crate::directive::Directive;
use crate::report::{Reports, RunKey};

/// Lines of a run that wait; each may be megabytes.
const LINES: usize = 4;
const OUTPUT_ITEMS: usize = 8;
const HEARD: usize = 64;
/// How long a guest may take to say what lives in it.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What a machine's owner must know.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A run's process is gone, its end is told and everything of it committed.
    Exited(RunKey),
    /// The same of an exec.
    ExecEnded(ProcessId),
    /// A report was refused: the lease is another's.
    Stale,
    /// The guest is not the one that greeted; the machine cannot be talked to any more.
    Broken,
}

/// Relays between one guest and the control plane until it is dropped.
pub(crate) struct Relay {
    shared: Arc<Shared>,
    speech: Speech,
    alive: Vec<RunKey>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

pub(super) struct Shared {
    pub(super) reports: Reports,
    pub(super) acks: Arc<Acks>,
    pub(super) speech: Speech,
    directive: watch::Receiver<Directive>,
    pub(super) heard: mpsc::Sender<Heard>,
    pub(super) open: watch::Sender<bool>,
    /// The guest's newest answer on what lives in it: the question's number, and whether anything does.
    found: watch::Sender<(u64, bool)>,
    lanes: Mutex<HashMap<RunKey, Lanes>>,
    execs: Execs,
    names: Arc<Names>,
}

struct Lanes {
    lines: mpsc::Sender<Event>,
    output: mpsc::Sender<Item>,
    undelivered: Arc<watch::Sender<usize>>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

/// An outcome on its way to a run. Dropped when its delivery is committed, or cannot be any more.
pub(crate) struct Delivering(Option<Arc<watch::Sender<usize>>>);

impl Drop for Delivering {
    fn drop(&mut self) {
        if let Some(undelivered) = &self.0 {
            undelivered.send_modify(|count| *count = count.saturating_sub(1));
        }
    }
}

impl Relay {
    /// Begins with the runs that the guest knows.
    pub(crate) fn start(
        link: Link,
        reports: Reports,
        directive: watch::Receiver<Directive>,
        names: Names,
    ) -> (Self, mpsc::Receiver<Heard>) {
        let (heard, hearing) = mpsc::channel(HEARD);
        let acks = Arc::new(Acks::new(link.clone()));
        let names = Arc::new(names);
        let (speech, settle) = Speech::new(link.clone(), Arc::clone(&acks), Arc::clone(&names));
        let shared = Arc::new(Shared {
            reports,
            acks,
            speech: speech.clone(),
            directive,
            heard,
            open: watch::Sender::new(false),
            found: watch::Sender::default(),
            lanes: Mutex::default(),
            execs: Execs::default(),
            names,
        });
        let mut alive = Vec::new();
        for known in &link.greeting().runs {
            let Some(meant) = shared.names.meant(&known.run_id) else {
                continue;
            };
            if let Ok(run_id) = meant.parse() {
                let run = RunKey {
                    run_id,
                    attempt_number: known.attempt_number,
                };
                shared.know(run);
                if is_alive(known.phase) {
                    alive.push(run);
                }
            } else if let Ok(exec) = meant.parse() {
                let guest = Greeted {
                    received: known.input_received,
                    idle: known.idle,
                };
                shared.execs.know(&shared, exec, guest);
            }
        }
        let routing = tokio::spawn(route(Arc::clone(&shared), link));
        let relay = Self {
            shared,
            speech,
            alive,
            _tasks: [
                AbortOnDropHandle::new(tokio::spawn(settle)),
                AbortOnDropHandle::new(routing),
            ],
        };
        (relay, hearing)
    }

    /// The runs whose processes lived when the guest greeted.
    pub(crate) fn alive(&self) -> &[RunKey] {
        &self.alive
    }

    /// What runs are called inside.
    pub(crate) fn names(&self) -> &Names {
        &self.shared.names
    }

    pub(crate) fn speech(&self) -> &Speech {
        &self.speech
    }

    /// Lets the runs be heard: the machine is live for everyone, and what they were to be told is on its way.
    pub(crate) fn open_up(&self) {
        self.shared.open.send_replace(true);
    }

    /// Notes, before an outcome is sent, that what its run says next is to wait for its delivery.
    pub(crate) fn delivering(&self, run: RunKey) -> Delivering {
        let lanes = self.shared.lanes();
        let undelivered = lanes.get(&run).map(|lanes| Arc::clone(&lanes.undelivered));
        if let Some(undelivered) = &undelivered {
            undelivered.send_modify(|count| *count += 1);
        }
        Delivering(undelivered)
    }

    /// Lets frames of a run in. To be called before its process is asked for.
    pub(crate) fn know(&self, run: RunKey) {
        self.shared.know(run);
    }

    /// The runs that have a process, as far as is known.
    pub(crate) fn runs(&self) -> Vec<RunKey> {
        self.shared.lanes().keys().copied().collect()
    }

    pub(crate) fn knows(&self, run: RunKey) -> bool {
        self.shared.lanes().contains_key(&run)
    }

    /// Drops what is kept of a run whose exit was heard.
    pub(crate) fn forget(&self, run: RunKey) {
        drop(self.shared.lanes().remove(&run));
    }

    /// Lets frames of an exec in. To be called before its process is asked for.
    pub(crate) fn know_exec(&self, exec: ProcessId) {
        self.shared
            .execs
            .know(&self.shared, exec, Greeted::default());
    }

    pub(crate) fn knows_exec(&self, exec: ProcessId) -> bool {
        self.shared.execs.knows(exec)
    }

    /// Whether an exec has a process, as far as is known, or a PTY that is not idle.
    pub(crate) fn has_execs(&self) -> bool {
        !self.shared.execs.are_idle()
    }

    /// Whether a PTY is known and idle.
    pub(crate) fn is_idle(&self, exec: ProcessId) -> bool {
        self.shared.execs.is_idle(exec)
    }

    /// Asks the guest whether anything lives that execs or PTYs have started. A guest that is too old to know does not
    /// answer: then nothing does. Where its question cannot be asked, what happens next tells why.
    pub(crate) async fn finds_processes(&self) -> bool {
        let mut found = self.shared.found.subscribe();
        let question = found.borrow().0 + 1;
        let asked = self
            .speech
            .say(Body::FindProcesses(FindProcesses { question }));
        if asked.await.is_err() {
            return false;
        }
        let answered = found.wait_for(|(answered, _)| *answered >= question);
        matches!(tokio::time::timeout(ANSWER_WITHIN, answered).await, Ok(Ok(found)) if found.1)
    }

    /// Drops what is kept of an exec whose end was told.
    pub(crate) fn forget_exec(&self, exec: ProcessId) {
        self.shared.execs.forget(exec);
    }

    /// Tells what there is of an exec's input.
    pub(crate) fn exec_input(&self, exec: ProcessId, available: Available) {
        self.shared.execs.available(exec, available);
    }

    /// How many frames of the guest are not dealt with, now and whenever that changes.
    pub(crate) fn unsettled(&self) -> watch::Receiver<usize> {
        self.shared.acks.open()
    }
}

impl Shared {
    fn lanes(&self) -> MutexGuard<'_, HashMap<RunKey, Lanes>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn know(self: &Arc<Self>, run: RunKey) {
        let mut lanes = self.lanes();
        lanes.entry(run).or_insert_with(|| self.open_lanes(run));
    }

    fn open_lanes(self: &Arc<Self>, run: RunKey) -> Lanes {
        let (lines, events) = mpsc::channel(LINES);
        let (output, items) = mpsc::channel(OUTPUT_ITEMS);
        let undelivered = Arc::new(watch::Sender::new(0));
        let line_lane = LineLane {
            run,
            reports: self.reports.clone(),
            acks: Arc::clone(&self.acks),
            speech: self.speech.clone(),
            directive: self.directive.clone(),
            output: output.clone(),
            heard: self.heard.clone(),
            events,
            turn: Turn {
                open: self.open.subscribe(),
                undelivered: undelivered.subscribe(),
            },
            told: false,
            leaving: None,
        };
        let output_lane = OutputLane {
            run,
            reports: self.reports.clone(),
            acks: Arc::clone(&self.acks),
            items,
        };
        let (heard, output_heard) = (self.heard.clone(), self.heard.clone());
        let lines_task = tokio::spawn(async move {
            let broken = match line_lane.run().await {
                Ok(()) => return,
                Err(Broken::Stale) => Heard::Stale,
                Err(Broken::Link(error)) => {
                    tracing::warn!(%error, "a guest cannot be spoken to");
                    Heard::Broken
                }
            };
            drop(heard.send(broken).await);
        });
        let output_task = tokio::spawn(async move {
            if let Err(Failure::Stale) = output_lane.run().await {
                drop(output_heard.send(Heard::Stale).await);
            }
        });
        Lanes {
            lines,
            output,
            undelivered,
            _tasks: [
                AbortOnDropHandle::new(lines_task),
                AbortOnDropHandle::new(output_task),
            ],
        }
    }

    fn lane_of(
        &self,
        run_id: &str,
        attempt_number: u32,
    ) -> Option<(mpsc::Sender<Event>, mpsc::Sender<Item>)> {
        let key = RunKey {
            run_id: run_id.parse().ok()?,
            attempt_number,
        };
        let lanes = self.lanes();
        let lanes = lanes.get(&key)?;
        Some((lanes.lines.clone(), lanes.output.clone()))
    }
}

async fn route(shared: Arc<Shared>, link: Link) {
    loop {
        let Arrived { position, body } = match link.recv().await {
            Ok(arrived) => arrived,
            Err(error) => {
                tracing::warn!(%error, "a guest cannot be heard");
                drop(shared.heard.send(Heard::Broken).await);
                return;
            }
        };
        shared.acks.arrived(position);
        let body = body.and_then(|body| shared.names.heard(body));
        if !pass_on(&shared, position, body).await {
            // Of a run that is over or is not here, or of nothing this build knows.
            shared.acks.done(position);
        }
    }
}

/// Gives a frame to its lane. `false` if there is none.
async fn pass_on(shared: &Shared, position: u64, body: Option<Body>) -> bool {
    match body {
        Some(body) if exec_of(&body).is_some() => {
            let lane = exec_of(&body).and_then(|exec| shared.execs.lane_of(exec));
            match (lane, exec_event(position, body)) {
                (Some(lane), Some(event)) => lane.send(event).await.is_ok(),
                _ => false,
            }
        }
        Some(Body::RunLine(frame)) => {
            let Some((lines, output)) = shared.lane_of(&frame.run_id, frame.attempt_number) else {
                return false;
            };
            match line::read(&frame.line, frame.cut_from_bytes) {
                Ok(Said::Entry(entry)) => {
                    output.send(Item::Logged { position, entry }).await.is_ok()
                }
                said => lines.send(Event::Said { position, said }).await.is_ok(),
            }
        }
        Some(Body::RunOutput(frame)) => {
            let Some((_, output)) = shared.lane_of(&frame.run_id, frame.attempt_number) else {
                return false;
            };
            let chunks = frame.chunks;
            output
                .send(Item::Printed { position, chunks })
                .await
                .is_ok()
        }
        Some(Body::RunExited(frame)) => {
            let Some((lines, _)) = shared.lane_of(&frame.run_id, frame.attempt_number) else {
                return false;
            };
            let exit = frame.exit.unwrap_or_default();
            lines.send(Event::Exited { position, exit }).await.is_ok()
        }
        Some(Body::ProcessesFound(found)) => {
            shared.found.send_replace((found.question, found.any));
            false
        }
        Some(
            Body::Hello(_)
            | Body::TerminalRests(_)
            | Body::ResizeTerminal(_)
            | Body::FindProcesses(_)
            | Body::Welcome(_)
            | Body::Heartbeat(_)
            | Body::StartRun(_)
            | Body::SignalRun(_)
            | Body::RunInput(_)
            | Body::RunInputTaken(_)
            | Body::StopMachine(_)
            | Body::Probe(_),
        )
        | None => false,
    }
}

/// The exec that a frame is about.
fn exec_of(body: &Body) -> Option<ProcessId> {
    let id = match body {
        Body::RunOutput(frame) => &frame.run_id,
        Body::RunExited(frame) => &frame.run_id,
        Body::RunInputTaken(frame) => &frame.run_id,
        Body::TerminalRests(frame) => &frame.run_id,
        Body::RunLine(_)
        | Body::Hello(_)
        | Body::Welcome(_)
        | Body::Heartbeat(_)
        | Body::StartRun(_)
        | Body::SignalRun(_)
        | Body::RunInput(_)
        | Body::ResizeTerminal(_)
        | Body::FindProcesses(_)
        | Body::ProcessesFound(_)
        | Body::StopMachine(_)
        | Body::Probe(_) => return None,
    };
    id.parse().ok()
}

fn exec_event(position: u64, body: Body) -> Option<exec::Event> {
    match body {
        Body::RunOutput(frame) => Some(exec::Event::Printed {
            position,
            chunks: frame.chunks,
        }),
        Body::RunExited(frame) => Some(exec::Event::Exited {
            position,
            exit: frame.exit.unwrap_or_default(),
        }),
        Body::RunInputTaken(frame) => Some(exec::Event::Taken {
            position,
            offset: frame.offset,
            closed: frame.closed,
        }),
        Body::TerminalRests(frame) => Some(exec::Event::Rests {
            position,
            idle: frame.idle,
        }),
        _ => None,
    }
}

/// Whether the guest says that a run's process lives.
fn is_alive(phase: i32) -> bool {
    RunPhase::try_from(phase) == Ok(RunPhase::Alive)
}
