//! The rows of sessions.

use helmr_domain::run::Status;
use helmr_domain::session::{Session as Machine, State};
use helmr_domain::{Failure, Moment, RunId, Scope, SessionId, Timestamp};
use serde_json::Value as JsonValue;

use super::{Activity, RunOptions, Session, Start};
use crate::db::{Json, Row, Tx, params, sql};
use crate::events::About;
use crate::lease::scope;
use crate::{Error, Result, Subject};

/// A session with what only the store knows of it.
#[derive(Debug, Clone)]
pub(crate) struct SessionRow {
    pub(crate) session: Session,
    /// How many runs it had.
    pub(crate) runs: u32,
    pub(crate) options: RunOptions,
    pub(crate) workspace_given: bool,
}

impl SessionRow {
    pub(crate) fn about(&self) -> About {
        About {
            subject: Subject::Session(self.session.id),
            scope: self.session.scope,
            run: None,
            session: Some(self.session.id),
            workspace: Some(self.session.workspace_id),
            attempt: None,
        }
    }

    /// Whether its time is over.
    pub(crate) fn is_due(&self, at: Moment) -> bool {
        let expires_at = self.session.expires_at;
        expires_at.is_some_and(|expires_at| at.wall >= expires_at)
    }

    pub(super) const fn machine(&self) -> Machine {
        Machine {
            expires_at: self.session.expires_at,
            active_run: self.session.active_run,
            state: self.session.state,
        }
    }
}

/// What `read` reads, in its order.
macro_rules! columns {
    () => {
        "s.id, s.organization_id, s.project_id, s.environment_id, s.external_id, s.task_id,
            s.task_row_id, s.deployment_id, s.workspace_id, s.workspace_given, s.status,
            s.ended_at, s.active_run_id, s.last_run_id, s.runs, s.payload, s.run_options,
            s.metadata, s.tags, s.expires_at, s.result, s.error, s.cancel_text, s.created_at,
            r.status"
    };
}
pub(super) use columns;

macro_rules! select {
    () => {
        concat!(
            "SELECT ",
            columns!(),
            "
        FROM sessions s
        LEFT JOIN runs r ON r.id = s.active_run_id
        "
        )
    };
}

sql! {
    FIND = concat!(select!(), "WHERE s.id = $1");

    GET = concat!(select!(), "WHERE s.id = $1
            AND s.organization_id = $2 AND s.project_id = $3 AND s.environment_id = $4");

    FIND_OPEN = concat!(select!(), "WHERE s.environment_id = $1 AND s.external_id = $2
            AND s.status = 'open'");

    FIND_NEWEST = concat!(select!(), "WHERE s.organization_id = $1 AND s.project_id = $2
            AND s.environment_id = $3 AND s.external_id = $4
        ORDER BY CASE s.status WHEN 'open' THEN 0 ELSE 1 END, s.id DESC
        LIMIT 1");

    INSERT = "INSERT INTO sessions (
            id, organization_id, project_id, environment_id, external_id, task_id, task_row_id,
            deployment_id, workspace_id, workspace_given, status, runs, payload, run_options,
            metadata, tags, expires_at, created_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'open', 0, $11, $12, $13, $14, $15, $16)";

    SAVE = "UPDATE sessions
        SET status = $2, ended_at = $3, active_run_id = $4, last_run_id = $5, runs = $6,
            result = $7, error = $8, cancel_text = $9
        WHERE id = $1";

    NEXT_POSITION = "UPDATE sessions
        SET last_position = last_position + 1
        WHERE id = $1
        RETURNING last_position";
}

pub(super) fn read(mut row: Row) -> Result<SessionRow> {
    let row = &mut row;
    let id = row.take("id")?;
    let scope = scope(row)?;
    let external_id = row.take("external_id")?;
    let task_id = row.take("task_id")?;
    let task_row_id = row.take("task_row_id")?;
    let deployment_id = row.take("deployment_id")?;
    let workspace_id = row.take("workspace_id")?;
    let workspace_given = row.take("workspace_given")?;
    let status: String = row.take("status")?;
    let ended_at: Option<Timestamp> = row.take("ended_at")?;
    let state = match (status.as_str(), ended_at) {
        ("open", None) => State::Open,
        ("closed", Some(at)) => State::Closed { at },
        ("cancelled", Some(at)) => State::Cancelled { at },
        ("expired", Some(at)) => State::Expired { at },
        _ => return Err(row.corrupt("status")),
    };
    let active_run: Option<RunId> = row.take("active_run_id")?;
    let last_run = row.take("last_run_id")?;
    let runs = row.take("runs")?;
    let payload = row.take("payload")?;
    let Json(options) = row.take("run_options")?;
    let metadata = row.take("metadata")?;
    let Json(tags) = row.take("tags")?;
    let expires_at = row.take("expires_at")?;
    let result = row.take("result")?;
    let error: Option<Json<Failure>> = row.take("error")?;
    let cancel_text = row.take("cancel_text")?;
    let created_at = row.take("created_at")?;
    let run_status: Option<String> = row.take("run status")?;
    let activity = match run_status.and_then(|status| status.parse::<Status>().ok()) {
        Some(Status::Queued) => Activity::Queued,
        Some(Status::Running) => Activity::Running,
        Some(Status::Waiting) => Activity::Waiting,
        Some(Status::Succeeded | Status::Failed | Status::Cancelled | Status::Expired) | None => {
            Activity::Idle
        }
    };
    Ok(SessionRow {
        session: Session {
            id,
            scope,
            external_id,
            task_id,
            task_row_id,
            deployment_id,
            workspace_id,
            state,
            activity,
            active_run,
            last_run,
            payload,
            metadata,
            tags,
            expires_at,
            result,
            error: error.map(|Json(error)| error),
            cancel_text,
            created_at,
            ended_at,
        },
        runs,
        options,
        workspace_given,
    })
}

/// Finds a session for whoever has come to it by way of its own objects.
pub(crate) async fn find(tx: &mut Tx, id: SessionId) -> Result<Option<SessionRow>> {
    tx.find(&FIND, params![id]).await?.map(read).transpose()
}

pub(crate) async fn get(tx: &mut Tx, scope: Scope, id: SessionId) -> Result<Option<SessionRow>> {
    let bound = params![id, scope.organization, scope.project, scope.environment];
    tx.find(&GET, bound).await?.map(read).transpose()
}

pub(super) async fn find_open(
    tx: &mut Tx,
    scope: Scope,
    external_id: &str,
) -> Result<Option<SessionRow>> {
    let bound = params![scope.environment, external_id];
    tx.find(&FIND_OPEN, bound).await?.map(read).transpose()
}

pub(super) async fn find_newest(
    tx: &mut Tx,
    scope: Scope,
    external_id: &str,
) -> Result<Option<SessionRow>> {
    let bound = params![
        scope.organization,
        scope.project,
        scope.environment,
        external_id
    ];
    tx.find(&FIND_NEWEST, bound).await?.map(read).transpose()
}

/// Takes the place of a session's next record.
pub(crate) async fn next_position(tx: &mut Tx, id: SessionId) -> Result<u64> {
    let mut row = tx
        .find(&NEXT_POSITION, params![id])
        .await?
        .ok_or(Error::NotFound("session"))?;
    row.take("last_position")
}

/// Where a new session belongs.
pub(super) struct Place<'a> {
    pub(super) id: SessionId,
    pub(super) task: &'a crate::deployments::Task,
    pub(super) workspace: helmr_domain::WorkspaceId,
}

pub(super) async fn insert(tx: &mut Tx, place: &Place<'_>, input: &Start) -> Result<()> {
    tx.run(
        &INSERT,
        params![
            place.id,
            input.scope.organization,
            input.scope.project,
            input.scope.environment,
            input.external_id,
            place.task.task_id,
            place.task.id,
            place.task.deployment_id,
            place.workspace,
            input.workspace.is_some(),
            input.payload,
            Json(&input.run),
            input.metadata,
            Json(&input.tags),
            input.expires_at,
            input.at.now
        ],
    )
    .await
    .map(drop)
}

pub(super) async fn save(tx: &mut Tx, row: &SessionRow) -> Result<()> {
    let session = &row.session;
    tx.run(
        &SAVE,
        params![
            session.id,
            session.state.as_str(),
            session.ended_at,
            session.active_run,
            session.last_run,
            row.runs,
            session.result.as_ref().map(JsonValue::to_string),
            session.error.as_ref().map(Json),
            session.cancel_text
        ],
    )
    .await
    .map(drop)
}
