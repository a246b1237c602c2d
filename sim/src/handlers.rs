//! What the control plane does with what workers post: one operation of the store each.

use std::rc::Rc;
use std::sync::Arc;

use helmr_domain::placement::Capacity;
use helmr_domain::{Duration, Failure, FailureKind, Refusal, RunId, Timestamp};
use helmr_store::idempotency::{Kept, Origin, TaskCall};
use helmr_store::runs::{self, ChangeMetadata, MetadataOp};
use helmr_store::worker::{
    self, Auth, Captured, Deliver, Failed, Finish, Finished, Heartbeat, MachineReport, Parked,
    Register, RegisterWait, Report, RunFence, Stopped, WaitFor,
};
use helmr_store::{Error, streams, tokens};
use serde_json::{Value, json};

use crate::base::{ENROLMENT, INPUT, OUTPUT};
use crate::event::{Ending, Event, Life, Post, Reply};
use crate::guest::{Answer, Ask, Call};
use crate::plan::{MS, SECOND};
use crate::ready;
use crate::violation::{Checked, Violation, broken, hold};
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
                    free: Capacity::default(),
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
            Post::Finished { fence, ending } => {
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

    /// A task asks for something.
    fn call(
        &mut self,
        fence: RunFence,
        session: helmr_domain::SessionId,
        call: &Call,
    ) -> Checked<Reply> {
        let who = self.holder(fence.lease);
        let answered = match &call.ask {
            Ask::CreateToken { timeout } => self.create_token(who, fence, call, *timeout)?,
            Ask::Append => self.append(who, fence, session, call)?,
            Ask::Increment => self.increment(who, fence, call)?,
            Ask::WaitToken { .. } | Ask::WaitStream { .. } | Ask::WaitTimer { .. } => {
                self.register_wait(who, fence, call)?
            }
        };
        let reply = match answered {
            Ok(reply) => {
                let key = (fence.run_id, fence.attempt, call.no);
                let first = *self.truth.calls.entry(key).or_insert(call.nonce);
                hold!(
                    first == call.nonce,
                    "no double resume",
                    "two lines of one attempt were heard: {call:?} of {fence:?} was first granted as {first}"
                );
                reply
            }
            Err(error) => reply_to(error)?,
        };
        if matches!(reply, Reply::Refused(_) | Reply::Stale) {
            hold!(
                !self.shadow.step.changed,
                "what is refused changes nothing",
                "{call:?}: {reply:?}"
            );
        }
        hold!(
            !matches!(reply, Reply::Refused("concurrent")),
            "a wait that was answered is over",
            "{call:?} of {fence:?}"
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

    fn is_known(&self, fence: RunFence, call: &Call) -> bool {
        self.truth
            .calls
            .contains_key(&(fence.run_id, fence.attempt, call.no))
    }

    fn create_token(
        &mut self,
        who: Actor,
        fence: RunFence,
        call: &Call,
        timeout: i64,
    ) -> Checked<Result<Reply, Error>> {
        let at = self.moment();
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&call.nonce.to_be_bytes());
        let known = self.is_known(fence, call);
        let input = tokens::Create {
            at,
            scope: self.base.scope,
            timeout_at: at.now.after(Duration::from_micros(timeout)),
            tags: Vec::new(),
            metadata: json!({}),
            callback_hash: hash,
            public_hash: hash,
            allowed_origins: Vec::new(),
            origin: Origin::Task(TaskCall {
                fence,
                call_no: call.no,
                sealed: None,
                answer: Arc::new(|token: &tokens::Token| json!(token.id)),
            }),
        };
        let done = ready(tokens::create(&self.base.store, input));
        self.settle(who)?;
        Ok(match done {
            Ok(kept) => {
                let fresh = matches!(kept, Kept::Fresh(_));
                hold!(
                    fresh != known,
                    "every accepted call has one effect",
                    "{call:?} made a token: {fresh}"
                );
                let id = match kept {
                    Kept::Fresh(token) => Some(token.id),
                    Kept::Replayed { answer, .. } => {
                        answer.as_str().and_then(|text| text.parse().ok())
                    }
                };
                id.map(|id| Reply::Answered(Answer::Token(id)))
                    .ok_or(Error::NotFound("token"))
            }
            Err(error) => Err(error),
        })
    }

    fn append(
        &mut self,
        who: Actor,
        fence: RunFence,
        session: helmr_domain::SessionId,
        call: &Call,
    ) -> Checked<Result<Reply, Error>> {
        let at = self.moment();
        let Ok(stream) = OUTPUT.parse() else {
            return Ok(Err(Error::NotFound("stream")));
        };
        let known = self.is_known(fence, call);
        let input = streams::AppendOutput {
            at,
            scope: self.base.scope,
            session,
            record: streams::NewRecord {
                stream,
                data: json!(call.nonce),
                correlation_id: None,
                content_type: "application/json".to_owned(),
                idempotency_key: None,
            },
            origin: Origin::Task(TaskCall {
                fence,
                call_no: call.no,
                sealed: None,
                answer: Arc::new(|sent: &streams::Sent| {
                    json!([sent.record.sequence, sent.record.data])
                }),
            }),
        };
        let done = ready(streams::append_output(&self.base.store, input));
        self.settle(who)?;
        Ok(match done {
            Ok(kept) => {
                let fresh = matches!(kept, Kept::Fresh(_));
                hold!(
                    fresh != known && self.shadow.step.records.len() == usize::from(fresh),
                    "every accepted call has one effect",
                    "{call:?} appended: {:?}",
                    self.shadow.step.records
                );
                let (sequence, nonce) = match kept {
                    Kept::Fresh(sent) => {
                        (sent.record.sequence, sent.record.data.as_u64().unwrap_or(0))
                    }
                    Kept::Replayed { answer, .. } => (
                        answer.get(0).and_then(Value::as_u64).unwrap_or(0),
                        answer.get(1).and_then(Value::as_u64).unwrap_or(0),
                    ),
                };
                Ok(Reply::Answered(Answer::Appended { sequence, nonce }))
            }
            Err(error) => Err(error),
        })
    }

    fn increment(
        &mut self,
        who: Actor,
        fence: RunFence,
        call: &Call,
    ) -> Checked<Result<Reply, Error>> {
        let at = self.moment();
        let known = self.is_known(fence, call);
        let input = ChangeMetadata {
            at,
            fence,
            call_no: call.no,
            op: MetadataOp::Increment {
                key: "n".to_owned(),
                by: 1.0,
            },
        };
        let done = ready(runs::change_metadata(&self.base.store, input));
        self.settle(who)?;
        Ok(match done {
            Ok(_) => {
                let count = self.truth.increments.entry(fence.run_id).or_default();
                *count += u64::from(!known);
                let expected = *count;
                let kept = self.metadata_of(fence.run_id)?;
                hold!(
                    kept == expected,
                    "every accepted call has one effect",
                    "{expected} increments of {} made {kept}",
                    fence.run_id
                );
                Ok(Reply::Answered(Answer::Counted))
            }
            Err(error) => Err(error),
        })
    }

    fn metadata_of(&self, run: RunId) -> Checked<u64> {
        let text = self
            .shadow
            .runs
            .get(&run)
            .map_or("{}", |run| run.metadata.as_str());
        let metadata: Value = serde_json::from_str(text).map_err(|error| Violation {
            invariant: "rows hold what their tables say",
            detail: error.to_string(),
        })?;
        Ok(metadata.get("n").and_then(Value::as_u64).unwrap_or(0))
    }

    fn register_wait(
        &mut self,
        who: Actor,
        fence: RunFence,
        call: &Call,
    ) -> Checked<Result<Reply, Error>> {
        let at = self.moment();
        let Ok(stream) = INPUT.parse() else {
            return Ok(Err(Error::NotFound("stream")));
        };
        let after = |span: i64| Timestamp::from_micros(at.now.as_micros() + span);
        let (wait_for, wait) = match &call.ask {
            Ask::WaitToken { token, wait } => (WaitFor::Token(*token), wait),
            Ask::WaitStream { correlation, wait } => {
                let correlation_id = correlation.map(|number| format!("c{number}"));
                (
                    WaitFor::Stream {
                        stream,
                        correlation_id,
                    },
                    wait,
                )
            }
            Ask::WaitTimer { span, wait } => (
                WaitFor::Timer {
                    due_at: after(*span),
                },
                wait,
            ),
            Ask::CreateToken { .. } | Ask::Append | Ask::Increment => {
                return Ok(Err(Error::NotFound("wait")));
            }
        };
        let input = RegisterWait {
            at,
            fence,
            call_no: call.no,
            wait_for,
            timeout_at: wait.timeout.map(after),
            hot_window: wait.hot.map(Duration::from_micros),
            blocking: wait.blocking,
        };
        let known = self.is_known(fence, call);
        let done = ready(worker::register_wait(&self.base.store, input));
        self.settle(who)?;
        Ok(match done {
            Ok(_) => {
                hold!(
                    !known || !self.shadow.step.changed,
                    "every accepted call has one effect",
                    "{call:?} again changed something"
                );
                Ok(Reply::Waiting)
            }
            Err(error) => Err(error),
        })
    }
}

/// What a worker is answered when an operation says no.
fn reply_to(error: Error) -> Checked<Reply> {
    match error {
        Error::Stale | Error::Refused(Refusal::StaleLease) => Ok(Reply::Stale),
        Error::Refused(Refusal::ConcurrentWait) => Ok(Reply::Refused("concurrent")),
        Error::Refused(Refusal::MachineBusy) => Ok(Reply::Refused("busy")),
        Error::Refused(_) | Error::NotFound(_) => Ok(Reply::Refused("refused")),
        other => Err(broken(&other)),
    }
}
