//! After the storm: nothing fails any more, and everything must come to its end in bounded time.

use std::rc::Rc;

use helmr_domain::timer::Purpose;

use crate::event::Event;
use crate::plan::SECOND;
use crate::requests::{Ask, Request};
use crate::violation::{Checked, hold};
use crate::world::World;

const TEND_EVERY: i64 = 5 * SECOND;
/// How long an outcome may be on its way once nothing fails: restarts, a lease's time, restores that were under way.
const WAKES_WITHIN: i64 = 150 * SECOND;
/// By then every program has ended: none waits longer than its token's and timers' time.
const ENDS_WITHIN: i64 = 600 * SECOND;
/// What is told to stop ends within this, awake or not.
const STOPS_WITHIN: i64 = 100 * SECOND;

#[derive(Debug, Default)]
pub(crate) struct Calm {
    /// When it began.
    pub(crate) since: Option<i64>,
    cancelled_at: Option<i64>,
    drained_at: Option<i64>,
    rounds: u32,
}

impl Calm {
    /// The workers are told to go, and do not come again.
    pub(crate) fn is_ending(&self) -> bool {
        self.drained_at.is_some()
    }
}

impl World<'_> {
    pub(crate) fn calm_down(&mut self) -> Checked {
        self.note(|| "CALM".to_owned());
        self.calm.since = Some(self.now);
        self.plan.calm();
        for host in 0..self.hosts.len() {
            self.hosts[host].cut_until = 0;
            self.queue.add(self.now, Event::WorkerUp { host });
        }
        self.queue.add(self.now, Event::ControlUp);
        self.queue.add(self.now + SECOND, Event::Tend);
        Ok(())
    }

    /// What people and programs do now and then: in the storm anything, in the calm what helps.
    pub(crate) fn tend(&mut self) -> Checked {
        let Some(since) = self.calm.since else {
            let request = Rc::new(self.draw_request());
            self.ask(request, 0);
            return Ok(());
        };
        self.calm.rounds += 1;
        let open: Vec<_> = self
            .shadow
            .runs
            .values()
            .filter(|run| !run.is_final())
            .map(|run| run.id)
            .collect();
        if open.is_empty() && self.shadow.open.execs.is_empty() {
            return self.end();
        }
        let elapsed = self.now - since;
        if elapsed > WAKES_WITHIN + self.stepped_back {
            self.check_wakes()?;
        }
        if let Some(at) = self.calm.cancelled_at {
            hold!(
                self.now - at < STOPS_WITHIN + self.stepped_back,
                "what is told to stop ends",
                "{:?}, {:?}",
                open.first().map(|id| self.shadow.runs.get(id)),
                self.first_exec()
            );
        } else if elapsed > ENDS_WITHIN + self.stepped_back {
            for id in &open {
                let run = self.shadow.runs.get(id);
                hold!(
                    run.is_some_and(|run| self.is_stuck(run)),
                    "every run comes to its end",
                    "{run:?} waits for {:?} in {:?}",
                    run.and_then(|run| self.shadow.waits.get(&run.wait?)),
                    run.and_then(|run| self.shadow.machine_of(run.workspace))
                );
            }
            for id in &self.shadow.open.execs {
                let exec = self.shadow.execs.get(id);
                hold!(
                    exec.is_some_and(|exec| self.is_stranded(exec.workspace)),
                    "every exec comes to its end",
                    "{exec:?} in {:?}",
                    exec.and_then(|exec| self.shadow.machine_of(exec.workspace))
                );
            }
            self.cancel_all(&open);
        } else if elapsed > 60 * SECOND && self.are_all_stranded(&open) {
            self.cancel_all(&open);
        } else if self.calm.rounds % 4 == 1 {
            self.help();
        }
        self.queue.add(self.now + TEND_EVERY, Event::Tend);
        Ok(())
    }

    fn cancel_all(&mut self, open: &[helmr_domain::RunId]) {
        self.calm.cancelled_at = Some(self.now);
        for id in open {
            self.ask_plainly(Ask::CancelRun(*id));
        }
        // A machine that never wakes has execs that only its end can end.
        let execs = self.shadow.open.execs.iter();
        let mut stranded: Vec<_> = execs
            .filter_map(|id| Some(self.shadow.execs.get(id)?.workspace))
            .collect();
        stranded.dedup();
        for workspace in stranded {
            self.ask_plainly(Ask::StopWorkspace {
                workspace,
                force: true,
            });
        }
    }

    fn ask_plainly(&mut self, ask: Ask) {
        self.nonces += 1;
        let request = Request {
            nonce: self.nonces,
            key: None,
            ask,
        };
        self.ask(Rc::new(request), 0);
    }

    fn are_all_stranded(&self, open: &[helmr_domain::RunId]) -> bool {
        let mut runs = open.iter().filter_map(|id| self.shadow.runs.get(id));
        let execs = self.shadow.open.execs.iter();
        let mut execs = execs.filter_map(|id| self.shadow.execs.get(id));
        runs.all(|run| self.is_stuck(run)) && execs.all(|exec| self.is_stranded(exec.workspace))
    }

    /// Whether only a disk that is gone could help a run, or one that is before it in its queue.
    fn is_stuck(&self, run: &crate::row::Run) -> bool {
        let mut others = self.shadow.open.runs.iter();
        self.is_stranded(run.workspace)
            || (run.status == "queued"
                && run.queue_limit.is_some()
                && others.any(|id| {
                    self.shadow.runs.get(id).is_some_and(|other| {
                        other.queue == run.queue
                            && other.queue_key == run.queue_key
                            && self.is_stranded(other.workspace)
                    })
                }))
    }

    fn first_exec(&self) -> Option<&crate::row::Exec> {
        let first = self.shadow.open.execs.first()?;
        self.shadow.execs.get(first)
    }

    /// What execs wait for: the end of their input, or a signal.
    fn help_execs(&self, asks: &mut Vec<Ask>) {
        for id in &self.shadow.open.execs {
            let Some(exec) = self.shadow.execs.get(id) else {
                continue;
            };
            if exec.stdin_closed == 0 {
                asks.push(Ask::Input {
                    exec: *id,
                    offset: exec.stdin_end,
                    size: 1,
                    close: true,
                });
            }
            if self.calm.rounds > 8 {
                asks.push(Ask::Signal {
                    exec: *id,
                    signal: 9,
                });
            }
        }
    }

    /// Completes and sends what is waited for, and has workspaces go on.
    fn help(&mut self) {
        let recover: Vec<_> = self
            .shadow
            .workspaces
            .values()
            .filter(|one| one.state == "recovery_required")
            .map(|one| one.id)
            .collect();
        for id in recover {
            self.queue.add(self.now, Event::Recover(id));
        }
        let mut asks = Vec::new();
        for wait in self
            .shadow
            .waits
            .values()
            .filter(|wait| wait.is_undecided())
        {
            if let Some(token) = wait.token {
                asks.push(Ask::Complete {
                    token,
                    data: 0,
                    by: None,
                });
            } else if wait.stream.is_some() {
                let correlation = match wait.correlation.as_deref() {
                    Some("c0") => Some(0),
                    Some(_) => Some(1),
                    None => None,
                };
                asks.push(Ask::Send {
                    session: wait.session,
                    correlation,
                    record_key: None,
                    by: None,
                });
            }
        }
        self.help_execs(&mut asks);
        for ask in asks {
            self.ask_plainly(ask);
        }
    }

    /// Whether only a disk that is gone could help what is in a workspace.
    fn is_stranded(&self, workspace: helmr_domain::WorkspaceId) -> bool {
        let machine = self.shadow.machine_of(workspace);
        machine.is_some_and(|machine| {
            let checkpoint = machine
                .checkpoint
                .and_then(|id| self.shadow.checkpoints.get(&id));
            checkpoint.is_some_and(|kept| self.truth.gone.contains(&kept.worker))
        })
    }

    /// No outcome is on its way for long.
    fn check_wakes(&self) -> Checked {
        for wait in self
            .shadow
            .waits
            .values()
            .filter(|wait| wait.state == "resuming")
        {
            let stranded = self
                .shadow
                .runs
                .get(&wait.run)
                .is_some_and(|run| self.is_stranded(run.workspace));
            let decided = wait.decided_at.unwrap_or(0) - self.steady_skew;
            hold!(
                stranded || self.now - decided < WAKES_WITHIN + self.stepped_back,
                "no lost wake",
                "{wait:?} was decided {} s ago and never delivered; {:?}",
                (self.now - decided) / SECOND,
                self.shadow.machine_of(wait.workspace)
            );
        }
        Ok(())
    }

    /// Every run has ended: the workers go, and nothing is left.
    fn end(&mut self) -> Checked {
        match self.calm.drained_at {
            None => {
                self.calm.drained_at = Some(self.now);
                for host in 0..self.hosts.len() {
                    self.drain(host)?;
                }
            }
            Some(at) => {
                let held = self.shadow.workspaces.values().find(|one| one.is_held());
                let idle = self.hosts.iter().all(crate::worker::Host::is_empty);
                if held.is_none() && idle {
                    self.done = true;
                    return self.last_words();
                }
                hold!(
                    self.now - at < STOPS_WITHIN + self.stepped_back,
                    "nothing is left",
                    "{held:?}, machines left: {}",
                    !idle
                );
                // One that came up late is told too.
                for host in 0..self.hosts.len() {
                    self.drain(host)?;
                }
            }
        }
        self.queue.add(self.now + TEND_EVERY, Event::Tend);
        Ok(())
    }

    fn last_words(&mut self) -> Checked {
        let machine = self
            .shadow
            .machines
            .values()
            .find(|machine| machine.ended_at.is_none() && machine.state != "parked");
        hold!(machine.is_none(), "nothing is left", "{machine:?}");
        let undelivered = self
            .shadow
            .waits
            .values()
            .find(|wait| matches!(wait.state.as_str(), "hot" | "parked" | "resuming"));
        hold!(undelivered.is_none(), "nothing is left", "{undelivered:?}");
        let timer = self.shadow.timers.keys().find(|(purpose, _)| {
            !matches!(purpose, Purpose::MachineNotBefore | Purpose::SessionExpiry)
        });
        hold!(timer.is_none(), "nothing is left", "{timer:?}");
        for (nonce, sequence) in &self.truth.sent {
            let data = format!("{{\"request\":{nonce}}}");
            let mut records = self.shadow.records.values().flatten();
            let found = records.any(|record| {
                record.direction == "input" && record.data == data && record.sequence == *sequence
            });
            hold!(
                found,
                "every accepted call has one effect",
                "request {nonce} was accepted as record {sequence}"
            );
        }
        Ok(())
    }
}
