//! PTYs on the wire.

use helmr_api::http::execs::ExecInput;
use helmr_api::http::ptys::{Pty, PtyAnswer};
use helmr_domain::pty::{Pty as Terminal, Size};
use helmr_store::execs::Exec as Row;

use crate::http::v1::execs::view as execs;

pub(crate) fn answer(row: &Row) -> PtyAnswer {
    PtyAnswer { pty: pty(row) }
}

pub(crate) fn pty(row: &Row) -> Pty {
    let process = execs::exec(row);
    // It was looked for as a PTY, so it is one.
    let terminal = row.pty.unwrap_or(Terminal::new(Size::USUAL));
    Pty {
        id: row.id.as_pty(),
        workspace_id: process.workspace_id,
        command: Some(process.command).filter(|command| !command.is_empty()),
        cwd: process.cwd,
        user: process.user,
        env: process.env,
        cols: terminal.size.cols(),
        rows: terminal.size.rows(),
        state: process.state,
        idle: terminal.idle,
        closed: terminal.closed,
        exit_code: process.exit_code,
        signal: process.signal,
        error: process.error,
        output: process.stdout,
        input: ExecInput {
            closed: process.stdin.closed || process.state.is_final(),
            ..process.stdin
        },
        cursor: process.stdout.end.to_string(),
        created_at: process.created_at,
        started_at: process.started_at,
        ended_at: process.ended_at,
    }
}
