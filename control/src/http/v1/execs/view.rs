//! Execs on the wire.

use helmr_api::http::execs::{Exec, ExecAnswer, ExecInput, ExecOutput, ExecState};
use helmr_api::http::value::Span;
use helmr_domain::exec::State;
use helmr_store::execs::{Exec as Row, Window};

pub(crate) fn answer(row: &Row) -> ExecAnswer {
    ExecAnswer { exec: exec(row) }
}

pub(crate) fn exec(row: &Row) -> Exec {
    let (state, exit_code, signal, error) = match &row.state {
        State::Queued => (ExecState::Queued, None, None, None),
        State::Starting => (ExecState::Starting, None, None, None),
        State::Running { .. } => (ExecState::Running, None, None, None),
        State::Exited { code } => (ExecState::Exited, Some(*code), None, None),
        State::Killed { signal } => (ExecState::Killed, None, Some(*signal), None),
        State::Lost => (ExecState::Lost, None, None, None),
        State::Failed { message } => (ExecState::Failed, None, None, Some(message.clone())),
    };
    Exec {
        id: row.id.as_exec(),
        workspace_id: row.workspace_id,
        command: row.command.clone(),
        cwd: row.cwd.clone(),
        user: row.user.clone(),
        env: row.env_names.clone(),
        detached: row.detached,
        timeout: row.timeout.map(Span),
        timed_out: row.timed_out,
        state,
        exit_code,
        signal,
        error,
        stdout: output(row.stdout),
        stderr: output(row.stderr),
        stdin: ExecInput {
            end: row.stdin.end,
            taken: row.stdin.taken,
            closed: row.stdin.closed,
        },
        created_at: row.created_at.into(),
        started_at: row.started_at.map(Into::into),
        ended_at: row.ended_at.map(Into::into),
    }
}

const fn output(window: Window) -> ExecOutput {
    ExecOutput {
        start: window.start,
        end: window.end,
    }
}
