//! What people and programs outside ask for, and what each may be answered.

mod draw;
mod execs;
mod public;
mod workspaces;

use std::sync::Arc;

use helmr_domain::{
    CanonicalJson, Duration, Moment, ProcessId, PublicTokenId, Refusal, RunId, SessionId,
    Timestamp, TokenId, WorkspaceId,
};
use helmr_store::idempotency::{Idempotency, Kept};
use helmr_store::sessions::RunOptions;
use helmr_store::{Error, runs, sessions, streams, tokens};
use serde_json::{Value, json};

use crate::base::INPUT;
use crate::ready;
use crate::shadow::Step;
use crate::violation::{Checked, broken, hold};
use crate::world::{Actor, World};

/// One request, with what makes it recognisable.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) nonce: u64,
    pub(crate) key: Option<u64>,
    pub(crate) ask: Ask,
}

#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Start {
        task: usize,
        external: Option<u8>,
        payload: u8,
        workspace: Option<WorkspaceId>,
        expires_in: Option<i64>,
        max_duration: Option<i64>,
        /// Of its queue.
        concurrency_key: Option<u8>,
        priority: Option<i64>,
    },
    Send {
        session: SessionId,
        correlation: Option<u8>,
        record_key: Option<u8>,
        by: Option<PublicTokenId>,
    },
    Complete {
        token: TokenId,
        data: u8,
        by: Option<PublicTokenId>,
    },
    CancelToken(TokenId),
    CancelRun(RunId),
    CancelSession(SessionId),
    Close(SessionId),
    Retry(RunId),
    Public {
        grant: Granted,
        max_uses: Option<u64>,
        expires_in: i64,
    },
    Revoke(PublicTokenId),
    Exec {
        workspace: WorkspaceId,
        timeout: Option<i64>,
        stdin: bool,
    },
    Signal {
        exec: ProcessId,
        signal: i32,
    },
    Input {
        exec: ProcessId,
        offset: u64,
        size: u64,
        close: bool,
    },
    StopWorkspace {
        workspace: WorkspaceId,
        force: bool,
    },
    DeleteWorkspace {
        workspace: WorkspaceId,
        force: bool,
    },
}

/// What a public access token is to allow.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Granted {
    Token(TokenId),
    Stream {
        session: SessionId,
        correlation: Option<u8>,
    },
}

impl Request {
    /// Whether a client may ask again without another effect.
    pub(crate) fn may_repeat(&self) -> bool {
        match &self.ask {
            Ask::Start { .. } | Ask::Retry(_) | Ask::Public { .. } | Ask::Exec { .. } => {
                self.key.is_some()
            }
            // Each one that arrives is sent.
            Ask::Signal { .. } => false,
            Ask::Send { record_key, .. } => self.key.is_some() || record_key.is_some(),
            Ask::Complete { .. }
            | Ask::CancelToken(_)
            | Ask::CancelRun(_)
            | Ask::CancelSession(_)
            | Ask::Close(_)
            | Ask::Revoke(_)
            | Ask::Input { .. }
            | Ask::StopWorkspace { .. }
            | Ask::DeleteWorkspace { .. } => true,
        }
    }
}

fn idempotency<T: 'static>(request: &Request, answer: fn(&T) -> Value) -> Option<Idempotency<T>> {
    let key = request.key?;
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&request.nonce.to_be_bytes());
    Some(Idempotency {
        key: key.to_string(),
        request_hash: hash,
        sealed: None,
        answer: Arc::new(answer),
    })
}

impl World<'_> {
    /// Carries a request out and checks the answer. The client learns of it if the answer arrives.
    pub(crate) fn carry_out(&mut self, request: &Request) -> Checked {
        let at = self.moment();
        let before = self.shadow.sessions.len();
        // Whoever is not let in does nothing.
        self.shadow.step = Step::default();
        let refusal = match &request.ask {
            Ask::Start { .. } => self.start(request, at)?,
            Ask::Send { .. } => self.send(request, at)?,
            Ask::Complete { token, data, by } => self.complete(*token, *data, *by, at)?,
            Ask::Public { .. } => self.make_public(request, at)?,
            Ask::Revoke(token) => self.revoke(*token, at)?,
            Ask::Exec { .. } => self.make_exec(request, at)?,
            Ask::Signal { exec, signal } => self.signal(*exec, *signal, at)?,
            Ask::Input { .. } => self.input(request, at)?,
            Ask::StopWorkspace { workspace, force } => {
                self.stop_workspace(*workspace, *force, at)?
            }
            Ask::DeleteWorkspace { workspace, force } => {
                self.delete_workspace(*workspace, *force, at)?
            }
            Ask::CancelToken(token) => self.cancel_token(*token, at)?,
            Ask::CancelRun(run) => {
                let done = ready(runs::cancel(
                    &self.base.store,
                    self.base.scope,
                    *run,
                    None,
                    at,
                ));
                self.after(Actor::Client, done)?.err()
            }
            Ask::CancelSession(session) => {
                let done = ready(sessions::cancel(
                    &self.base.store,
                    self.base.scope,
                    *session,
                    None,
                    at,
                ));
                self.after(Actor::Client, done)?.err()
            }
            Ask::Close(session) => {
                let done = ready(sessions::close(
                    &self.base.store,
                    self.base.scope,
                    *session,
                    at,
                ));
                self.after(Actor::Client, done)?.err()
            }
            Ask::Retry(run) => self.retry(request, *run, at)?,
        };
        if refusal.is_some() {
            hold!(
                !self.shadow.step.changed,
                "what is refused changes nothing",
                "{request:?}: {refusal:?}"
            );
        }
        hold!(
            self.shadow.sessions.len() <= before + 1 && self.shadow.step.runs.len() <= 1,
            "every accepted call has one effect",
            "{request:?}"
        );
        Ok(())
    }

    /// The first time that a key is used, its request is the one whose answer is kept.
    fn first_under_key(&mut self, request: &Request, fresh: bool) -> Checked {
        let Some(key) = request.key else {
            return Ok(());
        };
        let first = self.truth.keys.get(&key).copied();
        if fresh {
            hold!(
                first.is_none(),
                "every accepted call has one effect",
                "{request:?} was carried out again; its key is that of request {first:?}"
            );
            self.truth.keys.insert(key, request.nonce);
        } else {
            hold!(
                first == Some(request.nonce),
                "every accepted call has one effect",
                "{request:?} was answered with another's answer: {first:?}"
            );
        }
        Ok(())
    }

    fn start(&mut self, request: &Request, at: Moment) -> Checked<Option<Refusal>> {
        let Ask::Start {
            task,
            external,
            payload,
            workspace,
            expires_in,
            max_duration,
            concurrency_key,
            priority,
        } = &request.ask
        else {
            return Ok(None);
        };
        let input = sessions::Start {
            at,
            scope: self.base.scope,
            task: self.base.tasks[*task],
            external_id: external.map(|number| format!("external-{number}")),
            payload: CanonicalJson::try_from(&json!(payload)).ok(),
            workspace: *workspace,
            metadata: json!({"request": request.nonce}),
            tags: Vec::new(),
            expires_at: expires_in.map(|span| Timestamp::from_micros(at.wall.as_micros() + span)),
            run: RunOptions {
                max_duration: max_duration.map(Duration::from_micros),
                concurrency_key: concurrency_key.map(|number| format!("key-{number}")),
                priority: *priority,
                ..RunOptions::default()
            },
            provenance: json!({}),
            idempotency: idempotency(request, |started: &sessions::Started| json!(started.run.id)),
        };
        let open_before = external.and_then(|number| self.open_session(number));
        let expected = open_before
            .filter(|(_, expires)| expires.is_none_or(|at_us| at.wall.as_micros() < at_us));
        let done = ready(sessions::start(&self.base.store, input));
        match self.after(Actor::Client, done)? {
            Ok(Kept::Fresh(started)) => {
                self.first_under_key(request, true)?;
                hold!(
                    started.reused == (expected.map(|(id, _)| id) == Some(started.session.id)),
                    "an open session is reused by its external id",
                    "{request:?} gave {} and {expected:?} was open",
                    started.session.id
                );
                hold!(
                    self.shadow.step.sessions.len() == usize::from(!started.reused),
                    "every accepted call has one effect",
                    "{request:?} made {:?}",
                    self.shadow.step.sessions
                );
                Ok(None)
            }
            Ok(Kept::Replayed { .. }) => {
                self.first_under_key(request, false)?;
                hold!(
                    !self.shadow.step.changed,
                    "every accepted call has one effect",
                    "{request:?} again changed something"
                );
                Ok(None)
            }
            Err(refusal) => Ok(Some(refusal)),
        }
    }

    fn open_session(&self, number: u8) -> Option<(SessionId, Option<i64>)> {
        let name = format!("external-{number}");
        let mut sessions = self.shadow.sessions.values();
        sessions
            .find(|session| session.status == "open" && session.external_id.as_ref() == Some(&name))
            .map(|session| (session.id, session.expires_at))
    }

    fn send(&mut self, request: &Request, at: Moment) -> Checked<Option<Refusal>> {
        let Ask::Send {
            session,
            correlation,
            record_key,
            by,
        } = &request.ask
        else {
            return Ok(None);
        };
        if !self.is_let_in(*by, at) {
            return Ok(None);
        }
        let Ok(stream) = INPUT.parse() else {
            return Ok(None);
        };
        let data = json!({"request": request.nonce});
        let input = streams::SendInput {
            at,
            scope: self.base.scope,
            session: *session,
            record: streams::NewRecord {
                stream,
                data: data.clone(),
                correlation_id: correlation.map(|number| format!("c{number}")),
                content_type: "application/json".to_owned(),
                idempotency_key: record_key.map(|number| format!("k{number}")),
            },
            public_token: *by,
            idempotency: idempotency(request, |sent: &streams::Sent| json!(sent.record.sequence)),
        };
        let done = ready(streams::send_input(&self.base.store, input));
        match self.after(Actor::Client, done)? {
            Ok(Kept::Fresh(sent)) => {
                let made = self.shadow.step.records.len();
                hold!(
                    made == usize::from(!sent.existed),
                    "every accepted call has one effect",
                    "{request:?} made {made} records"
                );
                self.check_spent(*by, !sent.existed)?;
                if !sent.existed {
                    self.first_under_key(request, true)?;
                    let again = self.truth.sent.insert(request.nonce, sent.record.sequence);
                    hold!(
                        again.is_none() || !request.may_repeat(),
                        "every accepted call has one effect",
                        "{request:?} is record {again:?} and {}",
                        sent.record.sequence
                    );
                }
                hold!(
                    sent.record.data == data,
                    "every accepted call has one effect",
                    "{request:?} was taken for {:?}",
                    sent.record
                );
                Ok(None)
            }
            Ok(Kept::Replayed { answer, .. }) => {
                self.first_under_key(request, false)?;
                let first = self.truth.sent.get(&request.nonce).copied();
                hold!(
                    !self.shadow.step.changed && answer.as_u64() == first,
                    "every accepted call has one effect",
                    "{request:?} was {first:?} and is {answer}"
                );
                Ok(None)
            }
            Err(refusal) => {
                hold!(
                    refusal != Refusal::PublicTokenSpent
                        || !(request.may_repeat() && self.truth.sent.contains_key(&request.nonce)),
                    "a replay costs no use",
                    "{request:?} was sent before"
                );
                Ok(Some(refusal))
            }
        }
    }

    fn complete(
        &mut self,
        token: TokenId,
        data: u8,
        by: Option<PublicTokenId>,
        at: Moment,
    ) -> Checked<Option<Refusal>> {
        let Ok(data) = CanonicalJson::try_from(&json!({"data": data})) else {
            return Ok(None);
        };
        let Some(before) = self.shadow.tokens.get(&token).cloned() else {
            return Ok(None);
        };
        if !self.is_let_in(by, at) {
            return Ok(None);
        }
        let input = tokens::Complete {
            at,
            scope: self.base.scope,
            token,
            data: data.clone(),
            public_token: by,
        };
        let spent = self.is_spent(by);
        let done = ready(tokens::complete(&self.base.store, input));
        let done = self.after(Actor::Client, done)?;
        let due = at.now.as_micros() >= before.timeout_at;
        let same = before.data.as_deref() == Some(data.as_str());
        let fits = match (before.status.as_str(), &done) {
            ("pending", Ok(completion)) => {
                !due && !spent && !completion.already_completed && self.shadow.step.changed
            }
            ("completed", Ok(completion)) => {
                same && completion.already_completed && !self.shadow.step.changed
            }
            ("pending", Err(Refusal::TokenExpired)) => due,
            ("pending", Err(Refusal::PublicTokenSpent)) => spent,
            ("expired", Err(Refusal::TokenExpired))
            | ("cancelled", Err(Refusal::TokenCancelled)) => true,
            ("completed", Err(Refusal::TokenCompletionConflict)) => !same,
            _ => false,
        };
        hold!(
            fits,
            "no double completion",
            "{before:?} was asked to be {} at {}: {done:?}",
            data.as_str(),
            at.now.as_micros()
        );
        self.check_spent(by, self.shadow.step.completed > 0)?;
        Ok(done.err())
    }

    fn cancel_token(&mut self, token: TokenId, at: Moment) -> Checked<Option<Refusal>> {
        let done = ready(tokens::cancel(&self.base.store, self.base.scope, token, at));
        Ok(self.after(Actor::Client, done)?.err())
    }

    fn retry(&mut self, request: &Request, run: RunId, at: Moment) -> Checked<Option<Refusal>> {
        let input = runs::Retry {
            at,
            scope: self.base.scope,
            run,
            provenance: json!({}),
            idempotency: idempotency(request, |run: &runs::Run| json!(run.id)),
        };
        let done = ready(runs::start_retry(&self.base.store, input));
        match self.after(Actor::Client, done)? {
            Ok(Kept::Fresh(_)) => {
                self.first_under_key(request, true)?;
                hold!(
                    self.shadow.step.runs.len() == 1,
                    "every accepted call has one effect",
                    "{request:?}"
                );
                Ok(None)
            }
            Ok(Kept::Replayed { .. }) => {
                self.first_under_key(request, false)?;
                hold!(
                    !self.shadow.step.changed,
                    "every accepted call has one effect",
                    "{request:?} again changed something"
                );
                Ok(None)
            }
            Err(refusal) => Ok(Some(refusal)),
        }
    }

    /// Takes in what an operation did. A refusal is an answer; anything else that failed is a finding.
    pub(crate) fn after<T>(
        &mut self,
        actor: Actor,
        done: Result<T, Error>,
    ) -> Checked<Result<T, Refusal>> {
        self.settle(actor)?;
        match done {
            Ok(value) => Ok(Ok(value)),
            Err(Error::Refused(refusal)) => Ok(Err(refusal)),
            Err(Error::Stale) => Ok(Err(Refusal::StaleLease)),
            Err(Error::NotFound(_)) => Ok(Err(Refusal::WaitOver)),
            Err(error) => Err(broken(&error)),
        }
    }
}
