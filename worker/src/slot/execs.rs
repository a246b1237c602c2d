//! The execs and PTYs of a live machine: started, signalled, resized, fed, seen to end.

use helmr_api::fault;
use helmr_api::worker::{Assignment, ExecAssignment, ExecEnded};
use helmr_domain::ProcessId;
use helmr_guest_wire::{Body, ResizeTerminal, SignalRun, StartRun, Terminal};
use helmr_machine::Driver;

use super::Tenure;
use super::ending::Ending;
use super::machine::Machine;
use super::runs::{Delivery, Undelivered};
use crate::client::Failure;
use crate::relay::{ATTEMPT, Available};
use crate::report::Reports;

impl<D: Driver> Tenure<D> {
    /// Makes the machine's execs what the assignment says.
    pub(super) async fn reconcile_execs(
        &self,
        machine: &mut Machine,
        assignment: &Assignment,
    ) -> Result<(), Ending> {
        for exec in &assignment.execs {
            let id = exec.exec_id;
            if machine.execs_over.contains(&id) {
                continue;
            }
            if !machine.relay.knows_exec(id) {
                if exec.started {
                    machine.execs_over.insert(id);
                    self.tell_unknown(machine, id);
                    continue;
                }
                self.start_exec(machine, assignment, exec).await?;
            } else if !exec.started && !machine.execs_begun.contains(&id) {
                // A worker before this one had it started, and did not come to tell.
                machine.execs_begun.insert(id);
                let reports = self.reports.clone();
                machine.deliveries.spawn(tell_started(reports, id));
            }
            self.signal_exec(machine, exec).await?;
            self.resize_exec(machine, exec).await?;
            let available = Available {
                end: exec.stdin_end,
                closed: exec.stdin_closed,
            };
            machine.relay.exec_input(id, available);
        }
        Ok(())
    }

    async fn start_exec(
        &self,
        machine: &mut Machine,
        assignment: &Assignment,
        exec: &ExecAssignment,
    ) -> Result<(), Ending> {
        let id = exec.exec_id;
        machine.relay.know_exec(id);
        machine.execs_begun.insert(id);
        let start = StartRun {
            run_id: id.to_string(),
            attempt_number: ATTEMPT,
            argv: exec.command.clone(),
            env: exec.env.clone(),
            cwd: cwd(&assignment.machine.mount_path, exec.cwd.as_deref()),
            user: exec
                .user
                .clone()
                .unwrap_or_else(|| assignment.machine.user.clone()),
            init_line: Vec::new(),
            takes_input: true,
            terminal: exec.terminal.map(|terminal| Terminal {
                cols: terminal.cols.into(),
                rows: terminal.rows.into(),
                idle_after_ms: terminal.idle_after_ms,
            }),
        };
        let speech = machine.relay.speech().clone();
        fault::point("worker.exec.before_start");
        let sent = speech
            .say(Body::StartRun(start))
            .await
            .map_err(|error| self.gone("start an exec", &error))?;
        fault::point("worker.exec.after_start");
        let reports = self.reports.clone();
        machine.deliveries.spawn(async move {
            speech.taken(sent).await?;
            tell_started(reports, id).await
        });
        Ok(())
    }

    async fn signal_exec(
        &self,
        machine: &mut Machine,
        exec: &ExecAssignment,
    ) -> Result<(), Ending> {
        let sent = machine.exec_signals.entry(exec.exec_id).or_default();
        for (signal, number) in exec.signals.iter().zip(1..).skip(*sent) {
            let body = Body::SignalRun(SignalRun {
                run_id: exec.exec_id.to_string(),
                attempt_number: ATTEMPT,
                signal: *signal,
                number,
            });
            machine
                .relay
                .speech()
                .say(body)
                .await
                .map_err(|error| self.gone("signal an exec", &error))?;
            *sent += 1;
        }
        Ok(())
    }

    /// Tells of a new size. The guest knows which one it was told of before.
    async fn resize_exec(
        &self,
        machine: &mut Machine,
        exec: &ExecAssignment,
    ) -> Result<(), Ending> {
        let Some(terminal) = exec.terminal else {
            return Ok(());
        };
        let told = machine.resizes.entry(exec.exec_id).or_default();
        if terminal.resizes <= *told {
            return Ok(());
        }
        *told = terminal.resizes;
        let body = Body::ResizeTerminal(ResizeTerminal {
            run_id: exec.exec_id.to_string(),
            attempt_number: ATTEMPT,
            cols: terminal.cols.into(),
            rows: terminal.rows.into(),
            number: terminal.resizes,
        });
        machine
            .relay
            .speech()
            .say(body)
            .await
            .map(drop)
            .map_err(|error| self.gone("resize a terminal", &error))
    }

    /// A machine that does not know an exec which ran in it cannot say what became of it.
    fn tell_unknown(&self, machine: &mut Machine, id: ProcessId) {
        let reports = self.reports.clone();
        machine.deliveries.spawn(async move {
            let ended = ExecEnded {
                exit_code: None,
                signal: None,
                error: Some("the machine does not know the exec any more".to_owned()),
            };
            match reports.exec_ended(id, ended).await {
                Err(Failure::Stale) => Err(Undelivered::from(Failure::Stale)),
                Err(_) | Ok(()) => Ok(()),
            }
        });
    }

    /// An exec's process is gone and its end told.
    pub(super) fn exec_ended(machine: &mut Machine, id: ProcessId) {
        machine.relay.forget_exec(id);
        machine.execs_over.insert(id);
        machine.execs_begun.remove(&id);
        machine.exec_signals.remove(&id);
        machine.resizes.remove(&id);
        machine.pace.worked(tokio::time::Instant::now());
    }
}

/// Tells that an exec's process runs.
async fn tell_started(reports: Reports, id: ProcessId) -> Delivery {
    match reports.exec_started(id).await {
        Err(Failure::Stale) => Err(Failure::Stale.into()),
        Err(refused) => {
            tracing::debug!(%refused, "the start of an exec was refused");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Where a command runs that asks for `wanted`.
fn cwd(mount_path: &str, wanted: Option<&str>) -> String {
    match wanted {
        Some(path) if path.starts_with('/') => path.to_owned(),
        Some(path) => format!("{}/{path}", mount_path.trim_end_matches('/')),
        None => mount_path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_directory_is_one_of_the_workspace() {
        assert_eq!(cwd("/workspace", None), "/workspace");
        assert_eq!(cwd("/workspace/", Some("src/lib")), "/workspace/src/lib");
        assert_eq!(cwd("/workspace", Some("/tmp")), "/tmp");
    }
}
