//! How sessions start.

use helmr_domain::timer::{Clock, Purpose};
use helmr_domain::{Event, EventKind, Refusal, RunId, SessionId, WorkspaceId};
use serde_json::json;

use super::end::{Next, create_run, expire};
use super::row::{self, Place, SessionRow};
use super::{Start, Started, tags};
use crate::db::Tx;
use crate::deployments::Task;
use crate::idempotency::{self, Kept, Origin};
use crate::{Error, Result, Store, deployments, events, quotas, timers, workspaces};

/// Starts a session: makes its workspace, unless one is given, and its first run, queued. An external id of an open
/// session with the same fingerprint gives that session, with its active run or a new one.
///
/// # Errors
/// `NotFound` for task or workspace; `Refused`: `SessionFingerprintMismatch`, `WorkspaceIncompatible`,
/// `WorkspaceNotActive`, `SecretMissing`, `IdempotencyKeyReused`, `QuotaExceeded`.
pub async fn start(store: &Store, input: Start) -> Result<Kept<Started>> {
    store
        .write(input, |tx, input| Box::pin(start_in(tx, input)))
        .await
}

async fn start_in(tx: &mut Tx, input: &Start) -> Result<Kept<Started>> {
    let origin = Origin::Client(input.idempotency.clone());
    if let Some(kept) = idempotency::replayed(tx, input.scope, &origin, input.at).await? {
        return Ok(kept);
    }
    let task = deployments::find_task(tx, input.task)
        .await?
        .filter(|task| task.scope == input.scope)
        .ok_or(Error::NotFound("task"))?;
    if !task.secrets.is_empty() {
        let names = task.secrets.clone();
        return Err(Refusal::SecretMissing { names }.into());
    }
    let ids = Ids::of(input);
    let found = match &input.external_id {
        Some(external_id) => find_open(tx, input, external_id).await?,
        None => None,
    };
    let (mut session, reused) = match found {
        Some(session) => {
            check_fingerprint(&session, &task, input)?;
            (session, true)
        }
        None => (open(tx, &task, input, &ids).await?, false),
    };
    let next = Next {
        id: ids.run,
        reason: "start",
        provenance: &input.provenance,
    };
    let (run, _) = create_run(tx, &mut session, next, input.at).await?;
    let session = row::find(tx, session.session.id)
        .await?
        .ok_or(Error::NotFound("session"))?;
    let started = Started {
        session: session.session,
        run: run.run,
        reused,
    };
    idempotency::keep(tx, input.scope, origin, started, input.at).await
}

/// The open session of an external id. The deadline decides: one that is over is ended before its timer does it.
async fn find_open(tx: &mut Tx, input: &Start, external_id: &str) -> Result<Option<SessionRow>> {
    let found = row::find_open(tx, input.scope, external_id).await?;
    if let Some(due) = found.as_ref().filter(|found| found.is_due(input.at)) {
        expire(tx, due.session.id, input.at).await?;
        return Ok(None);
    }
    Ok(found)
}

/// What a start may make.
struct Ids {
    session: SessionId,
    workspace: WorkspaceId,
    run: RunId,
}

impl Ids {
    fn of(input: &Start) -> Self {
        let ids = input.at.ids();
        Self {
            session: ids.make(SessionId::new),
            workspace: ids.make(WorkspaceId::new),
            run: ids.make(RunId::new),
        }
    }
}

/// Task, given workspace and canonical payload must be the same.
fn check_fingerprint(found: &SessionRow, task: &Task, input: &Start) -> Result<()> {
    let given = found.workspace_given.then_some(found.session.workspace_id);
    let same = found.session.task_id == task.task_id
        && given == input.workspace
        && found.session.payload == input.payload;
    if same {
        Ok(())
    } else {
        Err(Refusal::SessionFingerprintMismatch.into())
    }
}

async fn open(tx: &mut Tx, task: &Task, input: &Start, ids: &Ids) -> Result<SessionRow> {
    let sandbox = deployments::find_sandbox(tx, task.deployment_id, &task.sandbox)
        .await?
        .ok_or(Error::NotFound("sandbox"))?;
    let id = ids.session;
    let workspace = match input.workspace {
        Some(given) => {
            quotas::check_work(tx, input.scope).await?;
            workspaces::attach(tx, input.scope, given, &sandbox).await?
        }
        None => {
            let new = workspaces::New {
                id: ids.workspace,
                scope: input.scope,
                deployment: task.deployment_id,
                sandbox: &sandbox,
                external_id: None,
                metadata: &json!({}),
                tags: &[],
                auto_stop_after: None,
            };
            workspaces::insert(tx, new, input.at).await?
        }
    };
    let place = Place {
        id,
        task,
        workspace,
    };
    match row::insert(tx, &place, input).await {
        Err(error) if error.is_duplicate() => return Err(Error::Conflict("external id")),
        other => other?,
    }
    tags::insert(tx, input.scope, id, &input.tags).await?;
    if let Some(expires_at) = input.expires_at {
        timers::arm_by(tx, Clock::Wall, Purpose::SessionExpiry, &id, expires_at).await?;
    }
    let session = row::find(tx, id).await?.ok_or(Error::NotFound("session"))?;
    let opened = Event::new(EventKind::SessionOpened).with("task_id", task.task_id.as_str());
    events::append(tx, session.about(), opened, input.at).await?;
    Ok(session)
}
