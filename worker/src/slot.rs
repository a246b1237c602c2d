//! One leased workspace: a task that makes the machine on this host what the control plane's assignment says.
//!
//! A slot begins with an assignment, or with a machine that an earlier worker left, and ends when the machine is parked,
//! stopped, lost or failed. It owns everything of the workspace on this host while it runs. Losing the lease ends it at
//! any point, and whatever it was doing is then cleaned up from the machine's record.

mod adopted;
mod captures;
mod ending;
mod execs;
mod fork;
mod launch;
mod live;
mod machine;
mod park;
mod plan;
mod runs;
mod spec;
mod start;
mod stop;
mod wake;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use helmr_api::worker::Assignment;
use helmr_domain::WorkspaceId;
use helmr_machine::{Attempt, Driver};
use tokio::sync::watch;

use crate::base::Base;
use crate::client::Failure;
use crate::directive::Directive;
use crate::directory::MachineDir;
use crate::record::{Phase, Record};
use crate::relay::Names;
use crate::report::Reports;
use crate::turns::{Holder, Turn};
use crate::workspace::Workspace;
use ending::Ending;
use launch::Launches;
pub(crate) use start::keys;

/// How a slot begins.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    /// By the assignment that its directive holds.
    Assigned,
    /// With a machine that an earlier worker left and whose lease is still ours.
    Adopted(Record),
}

pub(crate) struct Slot<D> {
    base: Arc<Base<D>>,
    workspace_id: WorkspaceId,
    epoch: u64,
    directive: watch::Receiver<Directive>,
}

impl<D: Driver> Slot<D> {
    pub(crate) fn new(
        base: Arc<Base<D>>,
        workspace_id: WorkspaceId,
        epoch: u64,
        directive: watch::Receiver<Directive>,
    ) -> Self {
        Self {
            base,
            workspace_id,
            epoch,
            directive,
        }
    }

    /// Runs until nothing of the workspace is left to do here.
    pub(crate) async fn run(mut self, entry: Entry) {
        let Some(mut tenure) = self.begin(&entry).await else {
            return;
        };
        let mut directive = self.directive.clone();
        let released = Arc::clone(&tenure.released);
        let lost = async {
            // The dispatcher drops its end only together with this slot.
            drop(directive.wait_for(|directive| directive.lost).await);
            if released.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
        };
        let ending = tokio::select! {
            ending = tenure.course(entry) => ending,
            // What the course was doing ends where it stands; the record says what there is to clean.
            () = lost => Ending::Lost,
        };
        tenure.end(ending).await;
    }

    async fn begin(&mut self, entry: &Entry) -> Option<Tenure<D>> {
        let materialization_id = match entry {
            Entry::Adopted(record) => record.materialization_id,
            Entry::Assigned => {
                self.directive
                    .borrow()
                    .assignment
                    .as_ref()?
                    .machine
                    .materialization_id
            }
        };
        let mut turn = self.base.turns.take(self.workspace_id).await;
        *turn = Holder::Nobody;
        let machine_dir = self.base.directory.machine(materialization_id);
        let record = match entry {
            Entry::Adopted(record) => record.clone(),
            Entry::Assigned => Record {
                workspace_id: self.workspace_id,
                materialization_id,
                epoch: self.epoch,
                attempt: last_attempt(&machine_dir),
                phase: Phase::Starting,
                names: self.names(&machine_dir),
            },
        };
        Some(Tenure {
            reports: Reports {
                client: Arc::clone(&self.base.client),
                workspace_id: self.workspace_id,
                materialization_id,
                epoch: self.epoch,
            },
            base: Arc::clone(&self.base),
            directive: self.directive.clone(),
            machine_dir,
            record,
            workspace: None,
            launches: Launches::default(),
            turn: Some(turn),
            released: Arc::default(),
            copying: None,
        })
    }
}

impl<D> Slot<D> {
    /// What runs are called inside a machine that is assigned: what the control plane says, and what was found out here.
    fn names(&self, directory: &MachineDir) -> Names {
        let assigned = self.directive.borrow();
        let assigned = assigned.assignment.as_ref();
        let names = assigned.map(|assignment| assignment.machine.names.clone());
        let names = Names::new(names.unwrap_or_default());
        match Record::read(directory) {
            Ok(Some(before)) if !names.is_empty() => names.with(&before.names),
            // An unreadable record was told of where its attempt was looked for.
            Ok(_) | Err(_) => names,
        }
    }
}

/// The number that no later attempt may repeat: a killed one may still come up.
fn last_attempt(directory: &MachineDir) -> u32 {
    let recorded = match Record::read(directory) {
        Ok(record) => record.map_or(0, |record| record.attempt),
        Err(error) => {
            tracing::warn!(%error, "a machine's record cannot be read");
            0
        }
    };
    let left = crate::directory::entries::<u32>(&directory.attempts()).unwrap_or_default();
    left.into_iter().fold(recorded, u32::max)
}

/// The time for which a slot holds one machine.
pub(crate) struct Tenure<D> {
    base: Arc<Base<D>>,
    reports: Reports,
    directive: watch::Receiver<Directive>,
    machine_dir: MachineDir,
    record: Record,
    /// Opened with the first assignment, which brings its keys.
    workspace: Option<Workspace>,
    launches: Launches,
    /// To change the files, while nobody else may.
    turn: Option<Turn>,
    /// The lease is being given up: that it is lost is the expected, and the rest is cleaning.
    released: Arc<AtomicBool>,
    /// The copy that is being made.
    copying: Option<Record>,
}

impl<D: Driver> Tenure<D> {
    /// From the first step to the end.
    async fn course(&mut self, entry: Entry) -> Ending {
        match self.try_course(entry).await {
            Ok(ending) | Err(ending) => ending,
        }
    }

    async fn try_course(&mut self, entry: Entry) -> Result<Ending, Ending> {
        let mut machine = match entry {
            Entry::Assigned => self.bring_up().await?,
            Entry::Adopted(Record {
                phase: Phase::Stopping,
                ..
            }) => return self.finish_stop().await,
            Entry::Adopted(_) => self.readopt().await?,
        };
        loop {
            self.put_turn_down();
            let next = self.live(&mut machine).await?;
            self.take_turn().await;
            let ended = match next {
                live::Next::Park { draining } => self.park(&mut machine, draining).await?,
                live::Next::Stop => self.rest(&mut machine).await?,
            };
            if let Some(ending) = ended {
                return Ok(ending);
            }
        }
    }

    /// Ends a machine without work, or parks it for what lives in it. `None` if it stays live.
    async fn rest(&mut self, machine: &mut machine::Machine) -> Result<Option<Ending>, Ending> {
        let lives = machine.relay.finds_processes().await;
        let directive = self.directive.borrow().clone();
        match plan::for_lack_of_work(&directive, lives) {
            plan::Step::Park { draining } => self.park(machine, draining).await,
            plan::Step::Stop | plan::Step::Stay { .. } => self.stop(machine).await,
        }
    }

    /// Lets others change the files: the machine lives.
    fn put_turn_down(&mut self) {
        if let Some(mut turn) = self.turn.take() {
            *turn = Holder::Live(self.record.materialization_id);
        }
    }

    /// Waits until nobody else changes the files, and keeps it so.
    async fn take_turn(&mut self) {
        if self.turn.is_none() {
            let mut turn = self.base.turns.take(self.record.workspace_id).await;
            *turn = Holder::Nobody;
            self.turn = Some(turn);
        }
    }

    /// What is wanted of the machine, as of now.
    fn assignment(&self) -> Option<Arc<Assignment>> {
        self.directive.borrow().assignment.clone()
    }

    /// Waits for the first assignment. A machine that was adopted runs on without one.
    async fn first_assignment(&mut self) -> Result<Arc<Assignment>, Ending> {
        let held = self
            .directive
            .wait_for(|directive| directive.assignment.is_some())
            .await;
        // The dispatcher drops its end only together with this slot.
        held.ok()
            .and_then(|directive| directive.assignment.clone())
            .ok_or(Ending::Lost)
    }

    fn attempt(&self) -> Attempt {
        Attempt {
            machine: self.record.materialization_id.to_string(),
            number: self.record.attempt,
        }
    }

    /// Notes a step that is about to be taken, and that must not be taken without.
    fn note(&mut self, phase: Phase) -> std::io::Result<()> {
        self.record.phase = phase;
        std::fs::create_dir_all(&self.machine_dir.path)?;
        self.record.write(&self.machine_dir)
    }

    /// Notes a step that was taken. The note before it serves as well: the next worker then looks for itself.
    fn mark(&mut self, phase: Phase) {
        if let Err(error) = self.note(phase) {
            tracing::warn!(workspace.id = %self.record.workspace_id, %error, "a machine's record was not written");
        }
    }
}

impl From<std::io::Error> for Ending {
    /// For the machine's own small files, before it is live.
    fn from(error: std::io::Error) -> Self {
        Self::host("write the machine's record", &error)
    }
}

impl From<Failure> for Ending {
    /// For reports that only a lost lease refuses.
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Stale => Self::Lost,
            refused @ (Failure::Refused { .. } | Failure::Unanswered { .. }) => {
                tracing::error!(%refused, "a report on a machine was refused; the machine is given up");
                Self::Lost
            }
        }
    }
}
