//! What the control plane does with what workers post: one operation of the store each.

mod execs;
mod logs;

use std::rc::Rc;

use helmr_domain::placement::Capacity;
use helmr_domain::{Duration, Failure, FailureKind, Refusal};
use helmr_store::Error;
use helmr_store::worker::{
    self, Auth, Captured, Deliver, Failed, Finish, Finished, Heartbeat, MachineReport, Parked,
    Register, Report, RunFence, Stopped,
};
use serde_json::json;

use crate::base::ENROLMENT;
use crate::event::{Ending, Event, Life, Post, Reply};
use crate::plan::{MS, SECOND};
use crate::ready;
use crate::violation::{Checked, broken, hold};
use crate::world::{Actor, World};

impl World<'_> {
    /// A post arrives at the control plane.
    pub(crate) fn posted(&mut self, life: Life, rpc: u64, post: &Rc<Post>) -> Checked {
        if !self.control.up || self.now < self.hosts[life.host].cut_until {
            // Refused at once, and tried again.
            let at = self.now + self.dice.span(20 * MS, 2 * SECOND);
            self.queue.add(at, Event::Repost { life, rpc });
            return Ok(());
        }
        let reply = self.handle(life, rpc, post)?;
        self.note(|| format!("host {} posts {post:?}: {reply:?}", life.host));
        match self.delay() {
            Some(delay) => {
                let reply = Rc::new(reply);
                self.queue
                    .add(self.now + delay, Event::Reply { life, rpc, reply });
            }
            None => {
                let at = self.now + self.dice.span(2 * SECOND, 30 * SECOND);
                self.queue.add(at, Event::Repost { life, rpc });
            }
        }
        Ok(())
    }

    fn handle(&mut self, life: Life, rpc: u64, post: &Post) -> Checked<Reply> {
        let store = &self.base.store;
        let at = self.moment();
        match post {
            Post::Register => self.register(life),
            Post::Connect => {
                let Some(id) = self.hosts[life.host].id else {
                    return Ok(Reply::Refused("unknown"));
                };
                Ok(Reply::Connected(self.take_connection(id, life, rpc)?))
            }
            Post::Heartbeat { leases, draining } => {
                let Some(worker_id) = self.hosts[life.host].id else {
                    return Ok(Reply::Refused("unknown"));
                };
                let before: Vec<Actor> = leases
                    .iter()
                    .map(|held| {
                        self.holder(worker::Fence {
                            worker_id,
                            workspace_id: held.workspace_id,
                            epoch: held.epoch,
                        })
                    })
                    .collect();
                let input = Heartbeat {
                    at,
                    worker_id,
                    free: Capacity {
                        disk_mib: 100_000,
                        ..Capacity::default()
                    },
                    draining: *draining,
                    leases: leases.clone(),
                    lease_ttl: Duration::from_micros(self.plan.lease_ttl),
                };
                let done = ready(worker::heartbeat(store, input));
                self.settle(Actor::Worker)?;
                let renewed = done.map_err(|error| broken(&error))?;
                for actor in before {
                    if let Actor::Holder {
                        workspace,
                        epoch,
                        held,
                        ..
                    } = actor
                    {
                        let got = renewed
                            .renewed
                            .iter()
                            .any(|one| one.workspace_id == workspace && one.epoch.get() == epoch);
                        hold!(
                            got == held,
                            "a lease is renewed for its holder alone",
                            "{actor:?} was answered {renewed:?}"
                        );
                    }
                }
                Ok(Reply::Leases(renewed))
            }
            Post::Live(fence) => {
                let who = self.holder(fence.lease);
                let done = ready(worker::machine_live(
                    store,
                    MachineReport { at, fence: *fence },
                ));
                self.report(who, done)
            }
            Post::Parking(fence) => {
                let who = self.holder(fence.lease);
                let done = ready(worker::machine_parking(
                    store,
                    MachineReport { at, fence: *fence },
                ));
                self.report(who, done)
            }
            Post::Unparked(fence) => {
                let who = self.holder(fence.lease);
                let done = ready(worker::machine_unparked(
                    store,
                    MachineReport { at, fence: *fence },
                ));
                self.report(who, done)
            }
            Post::Parked {
                fence,
                checkpoint,
                version,
                draining,
            } => {
                let who = self.holder(fence.lease);
                let input = Parked {
                    at,
                    fence: *fence,
                    checkpoint_id: *checkpoint,
                    checkpoint_size_bytes: 1,
                    runtime_identity: "simulated".to_owned(),
                    version: version.clone(),
                    draining: *draining,
                    timings: json!({}),
                };
                let done = ready(worker::machine_parked(store, input));
                self.report(who, done)
            }
            Post::Stopping(fence) => {
                let who = self.holder(fence.lease);
                let done = ready(worker::machine_stopping(
                    store,
                    MachineReport { at, fence: *fence },
                ));
                self.report(who, done)
            }
            Post::Stopped { fence, version } => {
                let who = self.holder(fence.lease);
                let input = Stopped {
                    at,
                    fence: *fence,
                    version: version.clone(),
                };
                let done = ready(worker::machine_stopped(store, input));
                self.report(who, done)
            }
            Post::Failed { fence, kind, kept } => {
                let who = self.holder(fence.lease);
                let input = Failed {
                    at,
                    fence: *fence,
                    kind: (*kind).to_owned(),
                    message: "simulated".to_owned(),
                    version: None,
                    checkpoint_kept: *kept,
                };
                let done = ready(worker::machine_failed(store, input));
                self.report(who, done)
            }
            Post::Version { fence, version } => {
                let who = self.holder(fence.lease);
                let input = Captured {
                    at,
                    fence: *fence,
                    version: version.clone(),
                    asked: Vec::new(),
                };
                let done = ready(worker::version_captured(store, input));
                self.report(who, done)
            }
            Post::Input(fence) => {
                let done = ready(worker::run_input(store, *fence));
                match done {
                    Ok(input) => Ok(Reply::Session(input.session.id)),
                    Err(error) => reply_to(error),
                }
            }
            Post::Started(fence) => {
                let who = self.holder(fence.lease);
                let done = ready(worker::run_started(store, *fence, at));
                self.report(who, done)
            }
            Post::Call {
                fence,
                session,
                call,
            } => self.call(*fence, *session, call),
            Post::Delivered { fence, wait } => {
                let who = self.holder(fence.lease);
                let input = Deliver {
                    at,
                    fence: *fence,
                    wait_id: *wait,
                };
                let done = ready(worker::wait_delivered(store, input));
                let reply = self.report(who, done)?;
                let other = self.shadow.step.resumed.iter().any(|id| id != wait);
                hold!(
                    !other,
                    "no double resume",
                    "{wait} was delivered and {:?} went on",
                    self.shadow.step.resumed
                );
                Ok(reply)
            }
            Post::Printed { fence, printed } => self.printed(*fence, *printed),
            Post::Logged { fence, index } => self.logged(*fence, *index),
            Post::ExecStarted(fence) => self.exec_started(*fence),
            Post::ExecPrinted { fence, printed } => self.exec_printed(*fence, *printed),
            Post::ExecTaken {
                fence,
                offset,
                closed,
            } => self.exec_taken(*fence, *offset, *closed),
            Post::ExecInput { fence, offset } => self.exec_input(*fence, *offset),
            Post::ExecEnded { fence, end } => self.exec_ended(*fence, end),
            Post::Finished {
                fence,
                ending,
                untaken,
            } => {
                let who = self.holder(fence.lease);
                let failure = |kind, message| Finished::Failed(Failure::new(kind, message));
                let input = Finish {
                    at,
                    fence: *fence,
                    finished: match ending {
                        Ending::Succeeded => Finished::Succeeded {
                            output: Some(json!(1)),
                        },
                        Ending::Failed => failure(FailureKind::TaskError, "it failed"),
                        Ending::Exited => failure(FailureKind::TaskExited, "it exited"),
                        Ending::Stopped => Finished::Stopped,
                    },
                    untaken: untaken.clone(),
                    exit_code: None,
                };
                let current = self.is_current(*fence);
                let done = ready(worker::run_finished(store, input));
                let reply = self.report(who, done.map(drop))?;
                hold!(
                    current || !self.shadow.step.changed,
                    "an attempt that is over changes nothing",
                    "{fence:?} was finished"
                );
                Ok(reply)
            }
        }
    }

    fn register(&mut self, life: Life) -> Checked<Reply> {
        let at = self.moment();
        let host = &self.hosts[life.host];
        let capacity = Capacity {
            cpu_millis: 8_000,
            // Two or three machines: now and then one must make room.
            memory_mib: 3_000,
            disk_mib: 100_000,
            slots: 8,
        };
        let number = u8::try_from(life.host).unwrap_or(0);
        // Minted anew each time: the one whose answer arrives is kept.
        let mut fresh = [0; 32];
        fresh[..10].copy_from_slice(&at.seed);
        let input = Register {
            at,
            auth: match host.id {
                Some(_) => Auth::Credential {
                    hash: host.credential,
                },
                None => Auth::Enrolment {
                    hash: ENROLMENT,
                    worker_id: None,
                    credential_hash: fresh,
                },
            },
            report: Report {
                name: format!("host-{number}"),
                capacity,
                labels: Vec::new(),
                drivers: vec![json!({"name": "simulated"})],
                protocols: vec![1],
            },
        };
        let done = ready(worker::register(&self.base.store, input));
        self.settle(Actor::Worker)?;
        let registered = done.map_err(|error| broken(&error))?;
        let credential = registered.credential_set.then_some(fresh);
        let id = registered.worker.id;
        // It is on its disk as soon as the answer arrives; an answer that is lost leaves a worker that never comes.
        Ok(Reply::Registered { id, credential })
    }

    fn report(&mut self, who: Actor, done: Result<(), Error>) -> Checked<Reply> {
        self.settle(who)?;
        let accepted = done.is_ok();
        let reply = match done {
            Ok(()) => Reply::Done,
            Err(error) => reply_to(error)?,
        };
        hold!(
            accepted || !self.shadow.step.changed,
            "what is refused changes nothing",
            "{who:?}: {reply:?}"
        );
        Ok(reply)
    }

    /// Whether an attempt is the one that its run is at.
    fn is_current(&self, fence: RunFence) -> bool {
        let run = self.shadow.runs.get(&fence.run_id);
        run.is_some_and(|run| {
            run.attempt == fence.attempt && matches!(run.status.as_str(), "running" | "waiting")
        })
    }
}

/// What a worker is answered when an operation says no.
pub(crate) fn reply_to(error: Error) -> Checked<Reply> {
    match error {
        Error::Stale | Error::Refused(Refusal::StaleLease) => Ok(Reply::Stale),
        Error::Refused(Refusal::ConcurrentWait) => Ok(Reply::Refused("concurrent")),
        Error::Refused(Refusal::MachineBusy) => Ok(Reply::Refused("busy")),
        Error::Refused(_) | Error::NotFound(_) => Ok(Reply::Refused("refused")),
        other => Err(broken(&other)),
    }
}
