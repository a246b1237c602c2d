//! A machine that has greeted: its channel, and the driver's verbs on it one after the other.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use helmr_api::fault;
use helmr_domain::{MaterializationId, ProcessId, VersionId, WaitId};
use helmr_machine::host::{Link, Listener};
use helmr_machine::{Attempt, Driver, Presence, Spec};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::Tenure;
use super::ending::Ending;
use super::plan::Pace;
use super::runs::{Delivery, StopProgress, Stray};
use crate::base::Base;
use crate::record::Phase;
use crate::relay::{Heard, Names, Relay};
use crate::report::RunKey;

/// How long pausing and resuming may take: both are a signal to a process.
pub(super) const PAUSE_WITHIN: Duration = Duration::from_secs(10);

/// How long a machine that has greeted is still coming up: its first process loads its program.
const COMES_UP_WITHIN: Duration = Duration::from_secs(1);

pub(super) struct Machine {
    pub(super) attempt: Attempt,
    pub(super) link: Link,
    pub(super) relay: Relay,
    pub(super) heard: mpsc::Receiver<Heard>,
    /// The driver's start or restore, which may still be at its last words when the guest has greeted.
    bringing: Option<Bringing>,
    /// When the machine, up for a while, is held to its share of the processor; `None` once it is.
    pub(super) confine_at: Option<Instant>,
    /// Every process inside stands still because the lease is about to end.
    pub(super) frozen: bool,
    /// Outcomes handed to the guest and not yet known to the control plane.
    pub(super) deliveries: JoinSet<Delivery>,
    pub(super) sent: HashSet<WaitId>,
    pub(super) stops: HashMap<RunKey, StopProgress>,
    pub(super) strays: HashMap<RunKey, Stray>,
    /// Runs that are over in this machine, whatever an older assignment says.
    pub(super) over: HashSet<RunKey>,
    /// Execs that are over in this machine.
    pub(super) execs_over: HashSet<ProcessId>,
    /// Copies that were made, or could not be.
    pub(super) forks_over: HashSet<MaterializationId>,
    /// Execs of which the control plane was told that they run, or will be.
    pub(super) execs_begun: HashSet<ProcessId>,
    /// How many of its signals an exec was sent.
    pub(super) exec_signals: HashMap<ProcessId, usize>,
    /// Which size of its terminal a PTY was told of last.
    pub(super) resizes: HashMap<ProcessId, u64>,
    /// Captures that were asked for and made.
    pub(super) captured: HashSet<VersionId>,
    /// When one that failed is tried again.
    pub(super) capture_at: Option<Instant>,
    pub(super) pace: Pace,
}

/// What a new attempt is brought up by.
pub(super) enum Way {
    Start,
    Restore { image: PathBuf },
}

impl Way {
    /// Passed when the runtime says that the machine runs, or its guest has greeted.
    fn crash_point(&self) -> fn() {
        match self {
            Self::Start => || fault::point("worker.start.after_machine"),
            Self::Restore { .. } => || fault::point("worker.wake.after_restore"),
        }
    }
}

/// Why an attempt did not come up.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotUp {
    #[error(transparent)]
    Driver(#[from] helmr_machine::Error),
    #[error(transparent)]
    Channel(#[from] helmr_machine::host::Error),
    #[error("the driver's work was abandoned")]
    Abandoned(#[from] JoinError),
}

impl<D: Driver> Tenure<D> {
    /// Starts or restores the attempt that the record names, up to its hello.
    pub(super) async fn attempt_up(
        &self,
        way: Way,
        spec: Spec,
        deadline: Duration,
    ) -> Result<Machine, NotUp> {
        let attempt = self.attempt();
        let crash_point = way.crash_point();
        let listener = Listener::bind(&spec.host_dir, &attempt, self.silence_limit())?;
        let mut bringing = Some(AbortOnDropHandle::new(tokio::spawn(bring(
            Arc::clone(&self.base),
            attempt.clone(),
            way,
            spec,
            deadline,
        ))));
        let greeted = listener.greeted(deadline);
        tokio::pin!(greeted);
        let link = loop {
            tokio::select! {
                brought = finish(&mut bringing), if bringing.is_some() => {
                    brought??;
                    crash_point();
                }
                link = &mut greeted => {
                    if bringing.is_some() {
                        crash_point();
                    }
                    break link?;
                }
            }
        };
        Ok(self.machine(attempt, link, bringing))
    }

    /// Takes a greeted guest over.
    pub(super) fn machine(
        &self,
        attempt: Attempt,
        link: Link,
        bringing: Option<Bringing>,
    ) -> Machine {
        let (relay, heard) = Relay::start(
            link.clone(),
            self.reports.clone(),
            self.directive.clone(),
            self.names_of(&link),
        );
        Machine {
            attempt,
            link,
            relay,
            heard,
            // One that was adopted has come up long ago.
            confine_at: Some(
                Instant::now()
                    + bringing
                        .as_ref()
                        .map_or(Duration::ZERO, |_| COMES_UP_WITHIN),
            ),
            bringing,
            frozen: false,
            deliveries: JoinSet::new(),
            sent: HashSet::new(),
            stops: HashMap::new(),
            strays: HashMap::new(),
            over: HashSet::new(),
            execs_over: HashSet::new(),
            forks_over: HashSet::new(),
            execs_begun: HashSet::new(),
            exec_signals: HashMap::new(),
            resizes: HashMap::new(),
            captured: HashSet::new(),
            capture_at: None,
            pace: Pace::new(Instant::now()),
        }
    }

    /// What runs are called inside a machine that has greeted. Of a copy that was just restored, whatever it knows that
    /// does not belong here was the original's.
    fn names_of(&self, link: &Link) -> Names {
        let mut names = self.record.names.clone();
        let restored = matches!(self.record.phase, Phase::Restoring { .. });
        if names.is_empty() || !restored {
            return names;
        }
        let directive = self.directive.borrow();
        let listed: HashSet<String> = directive
            .assignment
            .iter()
            .flat_map(|assignment| {
                let runs = assignment.runs.iter().map(|run| run.run_id.to_string());
                let execs = assignment.execs.iter().map(|exec| exec.exec_id.to_string());
                runs.chain(execs)
            })
            .collect();
        for known in &link.greeting().runs {
            if !listed.contains(&known.run_id) {
                names.note_stranger(&known.run_id);
            }
        }
        names
    }

    pub(super) fn silence_limit(&self) -> Option<Duration> {
        self.base.terms.get().map(|terms| terms.silence_limit)
    }

    pub(super) async fn pause(&self, machine: &mut Machine) -> Result<(), helmr_machine::Error> {
        machine.settle().await;
        self.base.driver.pause(&machine.attempt, PAUSE_WITHIN).await
    }

    pub(super) async fn resume(&self, machine: &mut Machine) -> Result<(), helmr_machine::Error> {
        machine.settle().await;
        self.base
            .driver
            .resume(&machine.attempt, PAUSE_WITHIN)
            .await
    }

    /// Holds a machine that is up to its share of the processor, once it is time.
    pub(super) async fn confine(&self, machine: &mut Machine) {
        let now = Instant::now();
        if machine.confine_at.is_none_or(|then| then > now) {
            return;
        }
        machine.confine_at = Some(now + COMES_UP_WITHIN);
        // An adopted machine may have to wait for its assignment.
        let Some(assignment) = self.assignment() else {
            return;
        };
        let limits = super::spec::limits(&assignment.machine);
        match self.base.driver.confine(&machine.attempt, &limits).await {
            Ok(()) => machine.confine_at = None,
            Err(error) => {
                tracing::warn!(machine = machine.attempt.container(), %error, "a machine was not held to its limits; again");
            }
        }
    }

    /// Whether the machine is still there. If that cannot be told, it is.
    pub(super) async fn is_gone(&self, machine: &Machine) -> bool {
        match self.base.driver.presence(&machine.attempt).await {
            Ok(presence) => presence == Presence::Gone,
            Err(error) => {
                tracing::warn!(machine = machine.attempt.container(), %error, "cannot tell whether a machine is there");
                false
            }
        }
    }

    /// The ending of a machine on which the driver failed.
    pub(super) fn gone(&self, operation: &str, error: &dyn std::error::Error) -> Ending {
        Ending::died(format!("{operation}: {}", crate::serve::describe(error)))
    }
}

impl Machine {
    /// Waits until the driver is done bringing the machine up: its calls are made one after the other.
    pub(super) async fn settle(&mut self) {
        let Some(bringing) = &mut self.bringing else {
            return;
        };
        if let Ok(Err(error)) = bringing.await {
            // The guest has greeted, so the machine runs; whether it still does is what the next call finds.
            tracing::warn!(machine = self.attempt.container(), %error, "the runtime complained of a machine that runs");
        }
        self.bringing = None;
    }
}

type Bringing = AbortOnDropHandle<Result<(), helmr_machine::Error>>;

/// Waits for the driver and forgets it. Cancel-safe.
async fn finish(
    bringing: &mut Option<Bringing>,
) -> Result<Result<(), helmr_machine::Error>, JoinError> {
    let Some(running) = bringing else {
        return Ok(Ok(()));
    };
    let done = running.await;
    *bringing = None;
    done
}

async fn bring<D: Driver>(
    base: Arc<Base<D>>,
    attempt: Attempt,
    way: Way,
    spec: Spec,
    deadline: Duration,
) -> Result<(), helmr_machine::Error> {
    match way {
        Way::Start => base.driver.start(&attempt, &spec, deadline).await,
        Way::Restore { image } => base.driver.restore(&attempt, &spec, &image, deadline).await,
    }
}
