//! A live machine: follows the directive and the guest, until it is to be parked or stopped.

use std::time::Duration;

use helmr_machine::Driver;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::Tenure;
use super::ending::Ending;
use super::machine::Machine;
use super::plan::{self, Step, View};
use super::runs::Undelivered;
use crate::client::Failure;
use crate::directive::Directive;
use crate::disks::Need;
use crate::relay::Heard;

/// How often a machine whose guest is away is looked at. A machine that died hangs up at once.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A guest that is away for so long, in a machine that is there, does not come back.
const AWAY_FOR: Duration = Duration::from_secs(60);

pub(super) enum Next {
    Park { draining: bool },
    Stop,
}

impl<D: Driver> Tenure<D> {
    pub(super) async fn live(&mut self, machine: &mut Machine) -> Result<Next, Ending> {
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut open = machine.relay.unsettled();
        let mut away_since = None;
        loop {
            let directive = self.directive.borrow_and_update().clone();
            self.freeze_or_thaw(machine, &directive).await?;
            self.confine(machine).await;
            let mut until = None;
            if !machine.frozen {
                if let Some(assignment) = &directive.assignment {
                    self.open_workspace(assignment, Need::AsItIs).await?;
                    let age = directive.age(Instant::now());
                    self.reconcile(machine, assignment, age).await?;
                    self.reconcile_execs(machine, assignment).await?;
                    self.make_forks(machine, assignment).await?;
                    machine.relay.open_up();
                    until = self.next_kill(machine, assignment, age);
                    if let Some(then) = self.reconcile_captures(machine, assignment).await? {
                        until = Some(until.map_or(then, |until| until.min(then)));
                    }
                }
                let busy = *open.borrow_and_update() > 0 || !machine.deliveries.is_empty();
                match self.decide(machine, &directive, busy) {
                    Step::Park { draining } => return Ok(Next::Park { draining }),
                    Step::Stop => return Ok(Next::Stop),
                    Step::Stay { until: Some(then) } => {
                        until = Some(until.map_or(then, |until| until.min(then)));
                    }
                    Step::Stay { until: None } => {}
                }
            }
            if let Some(then) = machine.confine_at {
                until = Some(until.map_or(then, |until| until.min(then)));
            }
            // Every arm is cancel-safe: channels, timers and sets of tasks.
            tokio::select! {
                // The dispatcher drops its end only together with this slot.
                _ = self.directive.changed() => {}
                Some(heard) = machine.heard.recv() => match heard {
                    Heard::Exited(run) => self.run_ended(machine, run).await?,
                    Heard::ExecEnded(exec) => Self::exec_ended(machine, exec),
                    Heard::Stale => return Err(Ending::Lost),
                    Heard::Broken => return Err(Ending::died("its guest is not the one that greeted".to_owned())),
                },
                launched = self.launches.next() => self.launched(machine, launched).await?,
                Some(delivered) = machine.deliveries.join_next() => self.delivered(delivered)?,
                changed = open.changed() => if changed.is_err() {
                    return Err(Ending::died("its channel is gone".to_owned()));
                },
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {}
                _ = look.tick() => self.look(machine, &mut away_since).await?,
            }
        }
    }

    fn decide(&self, machine: &mut Machine, directive: &Directive, busy: bool) -> Step {
        let mut inside = machine.relay.runs();
        inside.extend(self.launches.runs());
        let now = Instant::now();
        let listed = directive.assignment.as_ref().is_none_or(|assignment| {
            assignment
                .runs
                .iter()
                .any(|run| !machine.over.contains(&crate::directive::key_of(run)))
        });
        let execs = machine.relay.has_execs()
            || directive.assignment.as_ref().is_some_and(|assignment| {
                let mut listed = assignment.execs.iter();
                listed.any(|exec| {
                    !machine.execs_over.contains(&exec.exec_id)
                        && !machine.relay.is_idle(exec.exec_id)
                })
            });
        if listed || !inside.is_empty() || execs {
            machine.pace.worked(now);
        }
        let over = &machine.over;
        plan::next(&View {
            now,
            directive,
            inside: &inside,
            execs,
            over: &|run| over.contains(&run),
            busy: busy || self.launches.runs().next().is_some(),
            pace: &machine.pace,
        })
    }

    /// Nothing runs while the lease is about to end, so that two machines never act in one name.
    async fn freeze_or_thaw(
        &mut self,
        machine: &mut Machine,
        directive: &Directive,
    ) -> Result<(), Ending> {
        if directive.frozen == machine.frozen {
            return Ok(());
        }
        let workspace_id = self.record.workspace_id;
        if directive.frozen {
            tracing::warn!(workspace.id = %workspace_id, "the lease cannot be renewed; the machine is paused");
            self.pause(machine)
                .await
                .map_err(|error| self.gone("pause the machine", &error))?;
        } else {
            tracing::info!(workspace.id = %workspace_id, "the lease is renewed; the machine goes on");
            self.resume(machine)
                .await
                .map_err(|error| self.gone("resume the machine", &error))?;
        }
        machine.frozen = directive.frozen;
        Ok(())
    }

    /// Looks whether a machine whose guest is away still exists.
    async fn look(
        &self,
        machine: &Machine,
        away_since: &mut Option<Instant>,
    ) -> Result<(), Ending> {
        if machine.link.is_connected() || machine.frozen {
            *away_since = None;
            return Ok(());
        }
        if self.is_gone(machine).await {
            return Err(Ending::died("the machine ended by itself".to_owned()));
        }
        let since = *away_since.get_or_insert_with(Instant::now);
        if since.elapsed() > AWAY_FOR {
            return Err(Ending::died("its guest does not answer".to_owned()));
        }
        Ok(())
    }

    fn delivered(
        &self,
        delivered: Result<super::runs::Delivery, tokio::task::JoinError>,
    ) -> Result<(), Ending> {
        match delivered {
            Ok(Err(Undelivered::Report(Failure::Stale))) => Err(Ending::Lost),
            Ok(Err(Undelivered::Channel(error))) => Err(self.gone("deliver an outcome", &error)),
            Ok(Err(error)) => {
                tracing::error!(%error, "an outcome was not delivered");
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "a delivery panicked");
                Ok(())
            }
            Ok(Ok(())) => Ok(()),
        }
    }
}
