//! Execs, as clients see them: made, signalled, fed.

use helmr_domain::{Duration, ExecId, Moment, ProcessId, Refusal};
use helmr_store::execs::{self, Create, Exec, Place, WriteInput};
use helmr_store::idempotency::Kept;
use serde_json::json;

use super::{Ask, Request, idempotency};
use crate::ready;
use crate::violation::{Checked, hold};
use crate::world::{Actor, World};

impl World<'_> {
    pub(super) fn make_exec(&mut self, request: &Request, at: Moment) -> Checked<Option<Refusal>> {
        let Ask::Exec {
            workspace,
            timeout,
            stdin,
        } = &request.ask
        else {
            return Ok(None);
        };
        let input = Create {
            at,
            id: at.ids().make(ExecId::new).into(),
            scope: self.base.scope,
            workspace: *workspace,
            command: vec!["true".to_owned()],
            cwd: None,
            user: None,
            env_names: Vec::new(),
            sealed_env: None,
            detached: false,
            timeout: timeout.map(Duration::from_micros),
            stdin_closed: !stdin,
            pty: None,
            idempotency: idempotency(request, |exec: &Exec| json!(exec.id)),
        };
        let done = ready(execs::create(&self.base.store, input));
        match self.after(Actor::Client, done)? {
            Ok(kept) => {
                let fresh = matches!(kept, Kept::Fresh(_));
                self.first_under_key(request, fresh)?;
                hold!(
                    self.shadow.step.execs.len() == usize::from(fresh),
                    "every accepted call has one effect",
                    "{request:?} made {:?}",
                    self.shadow.step.execs
                );
                Ok(None)
            }
            Err(refusal) => Ok(Some(refusal)),
        }
    }

    pub(super) fn signal(
        &mut self,
        exec: ProcessId,
        signal: i32,
        at: Moment,
    ) -> Checked<Option<Refusal>> {
        let before = self.shadow.execs.get(&exec).cloned();
        let scope = self.base.scope;
        let done = ready(execs::signal(&self.base.store, scope, exec, signal, at));
        let refusal = self.after(Actor::Client, done)?.err();
        let sent = before.as_ref().is_some_and(crate::row::Exec::is_inside);
        let expected = before
            .as_ref()
            .is_some_and(|before| before.ended_at.is_none());
        hold!(
            refusal.is_some() || self.shadow.step.changed == expected,
            "every accepted call has one effect",
            "signal {signal} to {before:?}"
        );
        let after = self.shadow.execs.get(&exec);
        let more = before.zip(after).is_some_and(|(before, after)| {
            after.signals.matches(char::is_numeric).count()
                > before.signals.matches(char::is_numeric).count()
        });
        hold!(
            refusal.is_some() || more == sent,
            "every accepted call has one effect",
            "signal {signal} to {after:?}"
        );
        Ok(refusal)
    }

    pub(super) fn input(&mut self, request: &Request, at: Moment) -> Checked<Option<Refusal>> {
        let Ask::Input {
            exec,
            offset,
            size,
            close,
        } = &request.ask
        else {
            return Ok(None);
        };
        let Some(before) = self.shadow.execs.get(exec).cloned() else {
            return Ok(None);
        };
        let input = WriteInput {
            at,
            scope: self.base.scope,
            exec: *exec,
            place: Place::At(*offset),
            size_bytes: *size,
            sealed: vec![0],
            close: *close,
        };
        let done = ready(execs::write_input(&self.base.store, input));
        let refusal = self.after(Actor::Client, done)?.err();
        let Some(after) = self.shadow.execs.get(exec) else {
            return Ok(refusal);
        };
        let there = offset + size <= before.stdin_end;
        let grown = after.stdin_end == before.stdin_end + size && *offset == before.stdin_end;
        let fits = refusal.is_some()
            || if self.shadow.step.changed {
                grown && !there
            } else {
                there
            };
        hold!(
            fits && (refusal.is_some() || !close || after.stdin_closed == 1),
            "every accepted call has one effect",
            "{request:?}: {before:?} became {after:?}"
        );
        Ok(refusal)
    }
}
