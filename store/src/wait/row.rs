//! The rows of waits.

use helmr_domain::timer::Clock;
use helmr_domain::wait::{Decided, Kind, Outcome, Record, State, Wait};
use helmr_domain::{Duration, Moment, RunId, Scope, SessionId, Timestamp, WaitId, WorkspaceId};

use crate::db::{Row, Tx, params, sql};
use crate::events::About;
use crate::lease::scope;
use crate::timers::is_absolute;
use crate::{Result, Subject};

pub(crate) struct WaitRow {
    pub(crate) id: WaitId,
    pub(crate) scope: Scope,
    pub(crate) run: RunId,
    pub(crate) session: SessionId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) attempt: u32,
    pub(crate) call_no: u64,
    pub(crate) blocking: bool,
    pub(crate) hot_window: Duration,
    pub(crate) created_at: Timestamp,
    /// Whether it keeps its run running beside a wait that blocks.
    pub(crate) holds: bool,
    /// Whether it goes on doing so when its outcome is delivered, until it is dropped.
    pub(crate) holds_on: bool,
    /// Since when its run has been idle for it.
    pub(crate) idle_at: Timestamp,
    pub(crate) wait: Wait,
}

impl WaitRow {
    pub(crate) fn about(&self) -> About {
        About {
            subject: Subject::Run(self.run),
            scope: self.scope,
            run: Some(self.run),
            session: Some(self.session),
            workspace: Some(self.workspace),
            attempt: Some(self.attempt),
        }
    }
}

/// The columns of a wait, in the order in which `read` takes them.
macro_rules! columns {
    () => {
        "id, organization_id, project_id, environment_id, run_id, session_id, workspace_id,
            attempt, call_no, blocking, hot_window_us, created_at, holds, holds_on, idle_at, kind,
            token_id, stream, correlation_id, due_at, absolute, timeout_at, state, outcome,
            decided_at, record_id, record_sequence, ended_at"
    };
}

sql! {
    FIND = concat!("SELECT ", columns!(), "
        FROM waits
        WHERE id = $1");

    FIND_CALL = concat!("SELECT ", columns!(), "
        FROM waits
        WHERE run_id = $1 AND attempt = $2 AND call_no = $3");

    OF_ATTEMPT = concat!("SELECT ", columns!(), "
        FROM waits
        WHERE run_id = $1 AND attempt = $2
        ORDER BY created_at, id");

    ON_TOKEN = concat!("SELECT ", columns!(), "
        FROM waits
        WHERE token_id = $1 AND state IN ('hot', 'parked')");

    ON_STREAM = concat!("SELECT ", columns!(), "
        FROM waits
        WHERE session_id = $1 AND stream = $2 AND state IN ('hot', 'parked')
        ORDER BY created_at, id");

    UNDELIVERED_OF_RUN = concat!("SELECT ", columns!(), "
        FROM waits
        WHERE workspace_id = $1 AND run_id = $2 AND state IN ('hot', 'parked', 'resuming')
        ORDER BY created_at, id");

    HOT_IN_WORKSPACE = concat!("SELECT ", columns!(), "
        FROM waits
        WHERE workspace_id = $1 AND state IN ('hot', 'parked', 'resuming') AND state = 'hot'
        ORDER BY created_at, id");

    CLAIMED = "SELECT record_sequence
        FROM waits
        WHERE session_id = $1 AND stream = $2 AND state IN ('hot', 'parked', 'resuming')
            AND state = 'resuming' AND record_sequence IS NOT NULL";

    /// Outcomes that are on their way into a workspace's machine.
    UNDELIVERED = "SELECT 1
        FROM waits
        WHERE workspace_id = $1 AND state IN ('hot', 'parked', 'resuming') AND state = 'resuming'
        LIMIT 1";

    INSERT = concat!("INSERT INTO waits (", columns!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
            $19, $20, $21, $22,
            'hot', NULL, NULL, NULL, NULL, NULL)");

    SAVE = "UPDATE waits
        SET state = $2, outcome = $3, decided_at = $4, record_id = $5, record_sequence = $6,
            ended_at = $7, holds = $8
        WHERE id = $1";

    SET_IDLE = "UPDATE waits
        SET idle_at = $2
        WHERE id = $1";

    HOLDING = "SELECT 1
        FROM waits
        WHERE run_id = $1 AND attempt = $2 AND holds = 1
        LIMIT 1";
}

pub(super) fn read(mut row: Row) -> Result<WaitRow> {
    let id = row.take("id")?;
    let scope = scope(&mut row)?;
    let run = row.take("run_id")?;
    let session = row.take("session_id")?;
    let workspace = row.take("workspace_id")?;
    let attempt = row.take("attempt")?;
    let call_no = row.take("call_no")?;
    let blocking = row.take("blocking")?;
    let hot_window = row.take("hot_window_us")?;
    let created_at = row.take("created_at")?;
    let holds = row.take("holds")?;
    let holds_on = row.take("holds_on")?;
    let idle_at: Option<Timestamp> = row.take("idle_at")?;
    Ok(WaitRow {
        id,
        scope,
        run,
        session,
        workspace,
        attempt,
        call_no,
        blocking,
        hot_window,
        created_at,
        holds,
        holds_on,
        idle_at: idle_at.unwrap_or(created_at),
        wait: read_wait(&mut row)?,
    })
}

fn read_wait(row: &mut Row) -> Result<Wait> {
    let kind: String = row.take("kind")?;
    let token = row.take("token_id")?;
    let stream = row.take("stream")?;
    let correlation_id = row.take("correlation_id")?;
    let due_at = row.take("due_at")?;
    let clock = if row.take("absolute")? {
        Clock::Wall
    } else {
        Clock::Steady
    };
    let kind = match (kind.as_str(), token, stream, due_at) {
        ("token", Some(token), None, None) => Kind::Token(token),
        ("stream", None, Some(stream), None) => Kind::Stream {
            stream,
            correlation_id,
        },
        ("timer", None, None, Some(due_at)) => Kind::Timer { due_at, clock },
        _ => return Err(row.corrupt("kind")),
    };
    let timeout_at = row.take("timeout_at")?;
    let state: String = row.take("state")?;
    let outcome: Option<serde_json::Value> = row.take("outcome")?;
    let decided_at: Option<Timestamp> = row.take("decided_at")?;
    let record_id = row.take("record_id")?;
    let record_sequence = row.take("record_sequence")?;
    let ended_at: Option<Timestamp> = row.take("ended_at")?;
    let record = match (record_id, record_sequence) {
        (Some(id), Some(sequence)) => Some(Record { id, sequence }),
        _ => None,
    };
    let decided = outcome
        .and_then(Outcome::from_value)
        .zip(decided_at)
        .map(|(outcome, at)| Decided {
            outcome,
            at,
            record,
        });
    let state = match (state.as_str(), decided, ended_at) {
        ("hot", None, None) => State::Hot,
        ("parked", None, None) => State::Parked,
        ("resuming", Some(decided), None) => State::Resuming(decided),
        ("resolved", Some(decided), Some(_)) => State::Resolved(decided),
        ("timed_out", Some(decided), Some(_)) => State::TimedOut(decided),
        ("cancelled", _, Some(at)) => State::Cancelled { at },
        ("failed", _, Some(at)) => State::Failed { at },
        _ => return Err(row.corrupt("state")),
    };
    Ok(Wait {
        kind,
        timeout_at,
        state,
    })
}

pub(crate) async fn find(tx: &mut Tx, id: WaitId) -> Result<Option<WaitRow>> {
    tx.find(&FIND, params![id]).await?.map(read).transpose()
}

/// The wait that a call registered.
pub(crate) async fn find_call(
    tx: &mut Tx,
    run: RunId,
    attempt: u32,
    call_no: u64,
) -> Result<Option<WaitRow>> {
    let found = tx.find(&FIND_CALL, params![run, attempt, call_no]).await?;
    found.map(read).transpose()
}

/// Every wait of an attempt, over or not.
pub(crate) async fn of_attempt(tx: &mut Tx, run: RunId, attempt: u32) -> Result<Vec<WaitRow>> {
    let found = tx.rows(&OF_ATTEMPT, params![run, attempt]).await?;
    found.into_iter().map(read).collect()
}

pub(super) async fn on_token(tx: &mut Tx, token: helmr_domain::TokenId) -> Result<Vec<WaitRow>> {
    let found = tx.rows(&ON_TOKEN, params![token]).await?;
    found.into_iter().map(read).collect()
}

pub(super) async fn on_stream(
    tx: &mut Tx,
    session: SessionId,
    stream: &helmr_domain::StreamName,
) -> Result<Vec<WaitRow>> {
    let found = tx.rows(&ON_STREAM, params![session, stream]).await?;
    found.into_iter().map(read).collect()
}

/// Waits of a run whose outcome has not reached the task.
pub(crate) async fn undelivered(
    tx: &mut Tx,
    workspace: WorkspaceId,
    run: RunId,
) -> Result<Vec<WaitRow>> {
    let found = tx
        .rows(&UNDELIVERED_OF_RUN, params![workspace, run])
        .await?;
    found.into_iter().map(read).collect()
}

pub(super) async fn hot(tx: &mut Tx, workspace: WorkspaceId) -> Result<Vec<WaitRow>> {
    let found = tx.rows(&HOT_IN_WORKSPACE, params![workspace]).await?;
    found.into_iter().map(read).collect()
}

/// Whether an outcome is on its way into a workspace's machine.
pub(crate) async fn has_undelivered(tx: &mut Tx, workspace: WorkspaceId) -> Result<bool> {
    Ok(tx.find(&UNDELIVERED, params![workspace]).await?.is_some())
}

/// Records that are on their way to the task: unread, but not to be given to another wait.
pub(crate) async fn claimed_records(
    tx: &mut Tx,
    session: SessionId,
    stream: &helmr_domain::StreamName,
) -> Result<Vec<u64>> {
    let found = tx.rows(&CLAIMED, params![session, stream]).await?;
    found
        .into_iter()
        .map(|mut row| row.take("record_sequence"))
        .collect()
}

pub(crate) struct NewWait {
    pub(crate) id: WaitId,
    pub(crate) scope: Scope,
    pub(crate) run: RunId,
    pub(crate) session: SessionId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) attempt: u32,
    pub(crate) call_no: u64,
    pub(crate) blocking: bool,
    /// Of one that does not block: it keeps its run running until it is dropped, delivered or not.
    pub(crate) holds_on: bool,
    pub(crate) hot_window: Duration,
    pub(crate) kind: Kind,
    pub(crate) timeout_at: Option<Timestamp>,
}

/// Writes a wait, hot.
pub(crate) async fn insert(tx: &mut Tx, new: NewWait, at: Moment) -> Result<WaitRow> {
    let (token, stream, correlation_id, timer) = match &new.kind {
        Kind::Token(token) => (Some(*token), None, None, None),
        Kind::Stream {
            stream,
            correlation_id,
        } => (None, Some(stream), correlation_id.as_ref(), None),
        Kind::Timer { due_at, clock } => (None, None, None, Some((*due_at, *clock))),
    };
    tx.run(
        &INSERT,
        params![
            new.id,
            new.scope.organization,
            new.scope.project,
            new.scope.environment,
            new.run,
            new.session,
            new.workspace,
            new.attempt,
            new.call_no,
            new.blocking,
            new.hot_window,
            at.now,
            !new.blocking,
            !new.blocking && new.holds_on,
            None::<Timestamp>,
            new.kind.as_str(),
            token,
            stream,
            correlation_id,
            timer.map(|(due_at, _)| due_at),
            timer.is_some_and(|(_, clock)| is_absolute(clock)),
            new.timeout_at
        ],
    )
    .await?;
    Ok(WaitRow {
        id: new.id,
        scope: new.scope,
        run: new.run,
        session: new.session,
        workspace: new.workspace,
        attempt: new.attempt,
        call_no: new.call_no,
        blocking: new.blocking,
        hot_window: new.hot_window,
        created_at: at.now,
        holds: !new.blocking,
        holds_on: !new.blocking && new.holds_on,
        idle_at: at.now,
        wait: Wait {
            kind: new.kind,
            timeout_at: new.timeout_at,
            state: State::Hot,
        },
    })
}

pub(super) async fn save(tx: &mut Tx, row: &WaitRow, at: Moment) -> Result<()> {
    let (decided, ended_at) = match &row.wait.state {
        State::Hot | State::Parked => (None, None),
        State::Resuming(decided) => (Some(decided), None),
        State::Resolved(decided) | State::TimedOut(decided) => (Some(decided), Some(at.now)),
        State::Cancelled { at } | State::Failed { at } => (None, Some(*at)),
    };
    let record = decided.and_then(|decided| decided.record);
    tx.run(
        &SAVE,
        params![
            row.id,
            row.wait.state.as_str(),
            decided.map(|decided| decided.outcome.to_value()),
            decided.map(|decided| decided.at),
            record.map(|record| record.id),
            record.map(|record| record.sequence),
            ended_at,
            row.holds
        ],
    )
    .await
    .map(drop)
}

/// Notes since when a run has been idle for a wait.
pub(super) async fn set_idle(tx: &mut Tx, id: WaitId, at: Moment) -> Result<()> {
    tx.run(&SET_IDLE, params![id, at.now]).await.map(drop)
}

/// Whether anything keeps an attempt running beside a wait that blocks.
pub(super) async fn is_held(tx: &mut Tx, run: RunId, attempt: u32) -> Result<bool> {
    Ok(tx.find(&HOLDING, params![run, attempt]).await?.is_some())
}
