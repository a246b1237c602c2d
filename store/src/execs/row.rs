//! The rows of execs.

use helmr_domain::exec::State;
use helmr_domain::pty::{Pty, Size};
use helmr_domain::{ExecId, ProcessId, PtyId, Scope, Timestamp, WorkspaceId};

use super::{Create, Exec, Stdin, Window};
use crate::db::{Json, Row, Tx, params, sql};
use crate::lease::scope;
use crate::{Error, Page, Result, Store};

macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT id, organization_id, project_id, environment_id, workspace_id, command, cwd,
            user_name, env_names, sealed_env, detached, timeout_us, timed_out, signals,
            stdout_start, stdout_bytes, stderr_start, stderr_bytes, stdin_bytes, stdin_taken,
            stdin_closed, created_at, started_at, ended_at, state, exit_code, signal, error, cols,
            rows, resizes, idle, hung_up
        FROM execs
        ",
            $which
        )
    };
}

sql! {
    FIND = select!("WHERE id = $1");

    ACTIVE = select!("WHERE workspace_id = $1 AND ended_at IS NULL
        ORDER BY id");

    LIST = select!("WHERE workspace_id = $1 AND environment_id = $2 AND id < $3 AND id > $4
        ORDER BY id DESC
        LIMIT $5");

    INSERT = "INSERT INTO execs (
            id, organization_id, project_id, environment_id, workspace_id, command, cwd, user_name,
            env_names, sealed_env, detached, timeout_us, stdin_closed, state, created_at, cols, rows
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 'queued', $14, $15, $16)";

    SAVE = "UPDATE execs
        SET state = $2, exit_code = $3, signal = $4, error = $5, started_at = $6, ended_at = $7,
            signals = $8, timed_out = $9
        WHERE id = $1";

    SAVE_PTY = "UPDATE execs
        SET cols = $2, rows = $3, resizes = $4, idle = $5, hung_up = $6
        WHERE id = $1";
}

fn read(mut row: Row) -> Result<Exec> {
    let row = &mut row;
    let id = row.take("id")?;
    let scope = scope(row)?;
    let workspace_id = row.take("workspace_id")?;
    let Json(command) = row.take("command")?;
    let cwd = row.take("cwd")?;
    let user = row.take("user_name")?;
    let Json(env_names) = row.take("env_names")?;
    let sealed_env = row.take("sealed_env")?;
    let detached = row.take("detached")?;
    let timeout = row.take("timeout_us")?;
    let timed_out = row.take("timed_out")?;
    let Json(signals) = row.take("signals")?;
    let stdout = read_window(row)?;
    let stderr = read_window(row)?;
    let stdin = Stdin {
        end: row.take("stdin_bytes")?,
        taken: row.take("stdin_taken")?,
        closed: row.take("stdin_closed")?,
    };
    let created_at = row.take("created_at")?;
    let started_at: Option<Timestamp> = row.take("started_at")?;
    let ended_at = row.take("ended_at")?;
    let state: String = row.take("state")?;
    let code: Option<i32> = row.take("exit_code")?;
    let signal: Option<i32> = row.take("signal")?;
    let error: Option<String> = row.take("error")?;
    let state = match (state.as_str(), code, signal) {
        ("queued", None, None) => State::Queued,
        ("starting", None, None) => State::Starting,
        ("running", None, None) => State::Running {
            since: started_at.ok_or_else(|| row.corrupt("started_at"))?,
        },
        ("exited", Some(code), None) => State::Exited { code },
        ("killed", None, Some(signal)) => State::Killed { signal },
        ("lost", None, None) => State::Lost,
        ("failed", None, None) => State::Failed {
            message: error.unwrap_or_default(),
        },
        _ => return Err(row.corrupt("state")),
    };
    let pty = read_pty(row)?;
    Ok(Exec {
        id,
        scope,
        workspace_id,
        command,
        cwd,
        user,
        env_names,
        sealed_env,
        detached,
        timeout,
        timed_out,
        state,
        signals,
        stdout,
        stderr,
        stdin,
        pty,
        created_at,
        started_at,
        ended_at,
    })
}

fn read_window(row: &mut Row) -> Result<Window> {
    Ok(Window {
        start: row.take("start")?,
        end: row.take("bytes")?,
    })
}

fn read_pty(row: &mut Row) -> Result<Option<Pty>> {
    let (cols, rows): (Option<u64>, Option<u64>) = (row.take("cols")?, row.take("rows")?);
    let (resizes, idle, closed) = (
        row.take("resizes")?,
        row.take("idle")?,
        row.take("hung_up")?,
    );
    let (Some(cols), Some(rows)) = (cols, rows) else {
        return Ok(None);
    };
    let size = u16::try_from(cols)
        .ok()
        .zip(u16::try_from(rows).ok())
        .and_then(|(cols, rows)| Size::new(cols, rows))
        .ok_or_else(|| row.corrupt("cols"))?;
    Ok(Some(Pty {
        size,
        resizes,
        idle,
        closed,
    }))
}

/// There is no such exec or PTY, whichever the id asks for.
pub(super) const fn missing(id: ProcessId) -> Error {
    Error::NotFound(match id {
        ProcessId::Exec(_) => "exec",
        ProcessId::Pty(_) => "pty",
    })
}

pub(super) async fn insert(tx: &mut Tx, new: &Create) -> Result<()> {
    let bound = params![
        new.id,
        new.scope.organization,
        new.scope.project,
        new.scope.environment,
        new.workspace,
        Json(&new.command),
        new.cwd,
        new.user,
        Json(&new.env_names),
        new.sealed_env,
        new.detached,
        new.timeout,
        new.stdin_closed,
        new.at.now,
        new.pty.map(|size| u64::from(size.cols())),
        new.pty.map(|size| u64::from(size.rows()))
    ];
    tx.run(&INSERT, bound).await.map(drop)
}

/// Saves what a transition changes.
pub(super) async fn save(tx: &mut Tx, exec: &Exec) -> Result<()> {
    let (code, signal, error) = match &exec.state {
        State::Exited { code } => (Some(*code), None, None),
        State::Killed { signal } => (None, Some(*signal), None),
        State::Failed { message } => (None, None, Some(message.as_str())),
        State::Queued | State::Starting | State::Running { .. } | State::Lost => (None, None, None),
    };
    let bound = params![
        exec.id,
        exec.state.as_str(),
        code,
        signal,
        error,
        exec.started_at,
        exec.ended_at,
        Json(&exec.signals),
        exec.timed_out
    ];
    tx.run(&SAVE, bound).await.map(drop)
}

/// Saves what changes of a terminal.
pub(super) async fn save_pty(tx: &mut Tx, id: ProcessId, pty: &Pty) -> Result<()> {
    let bound = params![
        id,
        u64::from(pty.size.cols()),
        u64::from(pty.size.rows()),
        pty.resizes,
        pty.idle,
        pty.closed
    ];
    tx.run(&SAVE_PTY, bound).await.map(drop)
}

pub(super) async fn find(tx: &mut Tx, id: ProcessId) -> Result<Option<Exec>> {
    tx.find(&FIND, params![id]).await?.map(read).transpose()
}

pub(super) async fn find_in(tx: &mut Tx, scope: Scope, id: ProcessId) -> Result<Option<Exec>> {
    let found = find(tx, id).await?;
    Ok(found.filter(|exec| exec.scope == scope))
}

/// Those of a workspace that have not ended, oldest first.
pub(super) async fn active(tx: &mut Tx, workspace: WorkspaceId) -> Result<Vec<Exec>> {
    let found = tx.rows(&ACTIVE, params![workspace]).await?;
    found.into_iter().map(read).collect()
}

/// # Errors
/// If the database fails.
pub async fn get(store: &Store, scope: Scope, id: impl Into<ProcessId>) -> Result<Option<Exec>> {
    store
        .read((scope, id.into()), |tx, input| {
            let (scope, id) = *input;
            Box::pin(find_in(tx, scope, id))
        })
        .await
}

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Exec,
    Pty,
}

impl Kind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Exec => ExecId::PREFIX,
            Self::Pty => PtyId::PREFIX,
        }
    }
}

/// Lists a workspace's execs or PTYs, newest first.
///
/// # Errors
/// If the database fails.
pub async fn list(
    store: &Store,
    scope: Scope,
    (workspace, kind): (WorkspaceId, Kind),
    before: Option<ProcessId>,
    limit: u32,
) -> Result<Page<Exec, ProcessId>> {
    store
        .read((scope, workspace, kind, before, limit), |tx, input| {
            let (scope, workspace, kind, before, limit) = *input;
            Box::pin(async move {
                let bound = params![
                    workspace,
                    scope.environment,
                    before.map_or_else(|| format!("{}~", kind.prefix()), |id| id.to_string()),
                    kind.prefix(),
                    u64::from(limit) + 1
                ];
                let found = tx.rows(&LIST, bound).await?;
                let found = found.into_iter().map(read).collect::<Result<Vec<_>>>()?;
                Ok(Page::cut(found, limit, |exec| exec.id))
            })
        })
        .await
}
