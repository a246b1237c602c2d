//! What tasks ask for, answered once: tokens, records, counts and waits.

use std::sync::Arc;

use helmr_domain::timer::Clock;
use helmr_domain::{Duration, RunId, Timestamp};
use helmr_store::idempotency::{Kept, Origin, TaskCall};
use helmr_store::runs::{self, ChangeMetadata, MetadataOp};
use helmr_store::worker::{self, DropWait, RegisterWait, RunFence, WaitFor};
use helmr_store::{Error, streams, tokens};
use serde_json::{Value, json};

use crate::base::{INPUT, OUTPUT};
use crate::event::Reply;
use crate::guest::{Answer, Ask, Call, Kind};
use crate::handlers::reply_to;
use crate::ready;
use crate::violation::{Checked, Violation, hold};
use crate::world::{Actor, World};

impl World<'_> {
    /// A task asks for something.
    pub(crate) fn call(
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
            Ask::Drop { call: dropped } => self.drop_wait(who, fence, call, *dropped)?,
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
        // Minted anew each time, as its secrets are.
        let mut hash = [0; 32];
        hash[..10].copy_from_slice(&at.seed);
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
            Ask::WaitTimer { until, span, wait } => {
                let timer = if *until {
                    WaitFor::Timer {
                        due_at: Timestamp::from_micros(at.wall.as_micros() + span),
                        clock: Clock::Wall,
                    }
                } else {
                    WaitFor::Timer {
                        due_at: after(*span),
                        clock: Clock::Steady,
                    }
                };
                (timer, wait)
            }
            Ask::CreateToken { .. } | Ask::Append | Ask::Increment | Ask::Drop { .. } => {
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
            blocking: wait.kind == Kind::Blocking,
            hold: wait.kind == Kind::On,
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

    fn drop_wait(
        &mut self,
        who: Actor,
        fence: RunFence,
        call: &Call,
        dropped: u64,
    ) -> Checked<Result<Reply, Error>> {
        let at = self.moment();
        let known = self.is_known(fence, call);
        let input = DropWait {
            at,
            fence,
            call_no: call.no,
            dropped,
        };
        let done = ready(worker::drop_wait(&self.base.store, input));
        self.settle(who)?;
        Ok(match done {
            Ok(dropped) => {
                let key = (fence.run_id, fence.attempt, call.no);
                let first = *self.truth.drops.entry(key).or_insert(dropped);
                hold!(
                    first == dropped && !(known && self.shadow.step.changed),
                    "every accepted call has one effect",
                    "{call:?} was answered {first} and {dropped}"
                );
                Ok(Reply::Answered(Answer::Dropped(dropped)))
            }
            Err(error) => Err(error),
        })
    }
}
