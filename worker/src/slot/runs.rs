//! The runs of a live machine: started, told outcomes, told to stop, seen to end.

use std::sync::Arc;
use std::time::Duration;

use helmr_api::fault;
use helmr_api::worker::{Assignment, DecidedOutcome, Finished, RunAssignment, StopOrder};
use helmr_guest_wire::Body;
use helmr_machine::{Driver, host};
use tokio::time::Instant;

use super::Tenure;
use super::ending::Ending;
use super::launch::{Launched, NotLaunched};
use super::machine::Machine;
use super::start::{data_keys, millis};
use crate::client::Failure;
use crate::directive::key_of;
use crate::relay;
use crate::report::RunKey;
use crate::serve::describe;

const SIGKILL: i32 = 9;
/// How long a process may linger once its run is over: the runtime leaves by itself within a second or so.
const STRAY_FOR: Duration = Duration::from_secs(15);

/// How the delivery of one outcome went.
pub(super) type Delivery = Result<(), Undelivered>;

#[derive(Debug, thiserror::Error)]
pub(super) enum Undelivered {
    #[error(transparent)]
    Report(#[from] Failure),
    #[error(transparent)]
    Channel(#[from] host::Error),
}

/// How far a stop order has been carried out.
#[derive(Debug, Default)]
pub(super) struct StopProgress {
    /// The reason that the task was told.
    told: Option<String>,
    killed: bool,
}

/// A process whose run is over.
#[derive(Debug)]
pub(super) struct Stray {
    due: Instant,
    killed: bool,
}

impl<D: Driver> Tenure<D> {
    /// Makes the machine's runs what the assignment, which came `age` ago, says.
    pub(super) async fn reconcile(
        &mut self,
        machine: &mut Machine,
        assignment: &Arc<Assignment>,
        age: Duration,
    ) -> Result<(), Ending> {
        for run in &assignment.runs {
            let key = key_of(run);
            if machine.over.contains(&key) {
                continue;
            }
            match (machine.relay.knows(key), &run.stop) {
                (true, _) => {}
                (false, Some(_)) => {
                    // It has no process: there is nothing to stop.
                    machine.over.insert(key);
                    self.tell(machine, key, Finished::Stopped { exit_code: None });
                    continue;
                }
                (false, None) if run.started => {
                    machine.over.insert(key);
                    let message = "the machine does not know the run any more".to_owned();
                    self.tell(machine, key, failed("task_exited", message));
                    continue;
                }
                (false, None) if self.launches.has(key) => continue,
                (false, None) => {
                    let keys = data_keys(assignment)?;
                    self.prepare_launch(assignment, run, keys)?;
                    continue;
                }
            }
            if let Some(stop) = &run.stop {
                self.carry_out(machine, key, stop, grace_left(stop, age))
                    .await?;
            }
            for outcome in &run.outcomes {
                self.deliver(machine, run, outcome).await?;
            }
        }
        self.end_strays(machine, assignment).await
    }

    /// Kills processes whose runs are over for the control plane and that do not leave by themselves: they would keep
    /// the machine, and its memory, for ever.
    async fn end_strays(
        &self,
        machine: &mut Machine,
        assignment: &Assignment,
    ) -> Result<(), Ending> {
        let now = Instant::now();
        for run in machine.relay.runs() {
            if assignment.runs.iter().any(|listed| key_of(listed) == run) {
                machine.strays.remove(&run);
                continue;
            }
            let stray = machine.strays.entry(run).or_insert(Stray {
                due: now + STRAY_FOR,
                killed: false,
            });
            if !stray.killed && now >= stray.due {
                stray.killed = true;
                tracing::warn!(run.id = %run.run_id, "a process outlived its run and is killed");
                machine
                    .relay
                    .speech()
                    .signal(run, SIGKILL)
                    .await
                    .map_err(|error| self.gone("kill a process", &error))?;
            }
        }
        Ok(())
    }

    /// When the next process is to be killed.
    pub(super) fn next_kill(
        &self,
        machine: &Machine,
        assignment: &Assignment,
        age: Duration,
    ) -> Option<Instant> {
        let stops = assignment.runs.iter().filter_map(|run| {
            let stop = run.stop.as_ref()?;
            let progress = machine.stops.get(&key_of(run))?;
            (!progress.killed).then(|| Instant::now() + grace_left(stop, age))
        });
        let strays = machine.strays.values();
        let strays = strays.filter(|stray| !stray.killed).map(|stray| stray.due);
        stops.chain(strays).min()
    }

    async fn carry_out(
        &self,
        machine: &mut Machine,
        run: RunKey,
        stop: &StopOrder,
        left: Duration,
    ) -> Result<(), Ending> {
        let progress = machine.stops.entry(run).or_default();
        let speech = machine.relay.speech();
        if progress.told.as_ref() != Some(&stop.reason) {
            let line = relay::cancel(stop, millis(left));
            speech
                .line(run, line)
                .await
                .map_err(|error| self.gone("tell a run to stop", &error))?;
            progress.told = Some(stop.reason.clone());
        }
        if !progress.killed && left.is_zero() {
            speech
                .signal(run, SIGKILL)
                .await
                .map_err(|error| self.gone("kill a run", &error))?;
            progress.killed = true;
        }
        Ok(())
    }

    /// Sends an outcome once; the control plane is told when the guest has it.
    async fn deliver(
        &self,
        machine: &mut Machine,
        run: &RunAssignment,
        decided: &DecidedOutcome,
    ) -> Result<(), Ending> {
        if !machine.sent.insert(decided.wait_id) {
            return Ok(());
        }
        let (key, wait_id) = (key_of(run), decided.wait_id);
        let line = relay::outcome(decided.call_no, &decided.outcome);
        let delivering = machine.relay.delivering(key);
        let speech = machine.relay.speech().clone();
        let sent = speech
            .line(key, line)
            .await
            .map_err(|error| self.gone("deliver an outcome", &error))?;
        fault::point("worker.deliver.after_send");
        let reports = self.reports.clone();
        machine.deliveries.spawn(async move {
            speech.taken(sent).await?;
            fault::point("worker.deliver.after_ack");
            let delivered = reports.delivered(key, wait_id).await;
            drop(delivering);
            match delivered {
                Err(Failure::Stale) => Err(Failure::Stale.into()),
                Err(refused) => {
                    // The run ended meanwhile: nobody waits for it.
                    tracing::debug!(%refused, "a delivery was refused");
                    Ok(())
                }
                Ok(()) => Ok(()),
            }
        });
        Ok(())
    }

    /// Asks for a run's process, now that everything it needs is there.
    pub(super) async fn launched(
        &mut self,
        machine: &mut Machine,
        launched: Launched,
    ) -> Result<(), Ending> {
        let Launched { run, start } = launched;
        let stopping = {
            let directive = self.directive.borrow();
            match directive.run(run) {
                Some(wanted) => wanted.stop.is_some(),
                // Withdrawn meanwhile.
                None => return Ok(()),
            }
        };
        if machine.relay.knows(run) || machine.over.contains(&run) || stopping {
            return Ok(());
        }
        match start {
            Ok(start) => {
                machine.relay.know(run);
                machine
                    .relay
                    .speech()
                    .say(Body::StartRun(start))
                    .await
                    .map_err(|error| self.gone("start a run", &error))?;
                fault::point("worker.start.after_run");
                Ok(())
            }
            Err(NotLaunched::Input(Failure::Stale)) => Err(Ending::Lost),
            Err(error) => {
                tracing::warn!(run.id = %run.run_id, error = describe(&error), "a run could not be started");
                machine.over.insert(run);
                self.tell(machine, run, failed("sandbox_failed", describe(&error)));
                Ok(())
            }
        }
    }

    /// Tells the end of a run that has no process, beside everything else.
    fn tell(&self, machine: &mut Machine, run: RunKey, finished: Finished) {
        let reports = self.reports.clone();
        machine.deliveries.spawn(async move {
            match reports.finished(run, finished, Vec::new()).await {
                Err(Failure::Stale) => Err(Failure::Stale.into()),
                Err(refused) => {
                    tracing::warn!(%refused, "the end of a run was refused");
                    Ok(())
                }
                Ok(()) => Ok(()),
            }
        });
    }

    /// A run's process is gone and its end told: keeps its files.
    pub(super) async fn run_ended(
        &mut self,
        machine: &mut Machine,
        run: RunKey,
    ) -> Result<(), Ending> {
        machine.relay.forget(run);
        machine.over.insert(run);
        machine.stops.remove(&run);
        machine.strays.remove(&run);
        machine.pace.worked(Instant::now());
        fault::point("worker.finish.before_version");
        self.capture_after_run(machine).await
    }
}

fn failed(kind: &str, message: String) -> Finished {
    Finished::Failed {
        kind: kind.to_owned(),
        name: None,
        message,
        stack: None,
        exit_code: None,
    }
}

/// Of a stop that came `age` ago.
fn grace_left(stop: &StopOrder, age: Duration) -> Duration {
    Duration::from_millis(stop.kill_in_ms).saturating_sub(age)
}
