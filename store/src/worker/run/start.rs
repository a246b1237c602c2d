//! A run begins.

use helmr_domain::Moment;
use helmr_domain::run::Command;

use super::RunInput;
use crate::db::{params, sql};
use crate::worker::RunFence;
use crate::{Error, Result, Store, deployments, machine, runs, sessions};

sql! {
    FIND_PLACE = "SELECT d.bundle_sha256, s.mount_path
        FROM runs r
        JOIN deployments d ON d.id = r.deployment_id
        JOIN workspaces s ON s.id = r.workspace_id
        WHERE r.id = $1";
}

/// Reads what a run begins with.
///
/// # Errors
/// `Stale`.
pub async fn run_input(store: &Store, fence: RunFence) -> Result<RunInput> {
    store
        .read(fence, |tx, fence| {
            Box::pin(async move {
                let run = runs::fenced(tx, *fence).await?.run;
                let session = sessions::find(tx, run.session_id)
                    .await?
                    .ok_or(Error::NotFound("session"))?;
                let task = deployments::find_task(tx, run.task_row_id)
                    .await?
                    .ok_or(Error::NotFound("task"))?;
                let mut place = tx.one(&FIND_PLACE, params![run.id]).await?;
                Ok(RunInput {
                    run,
                    session: session.session,
                    task,
                    bundle_sha256: place.take("bundle_sha256")?,
                    mount_path: place.take("mount_path")?,
                })
            })
        })
        .await
}

/// The task's code begins.
///
/// # Errors
/// `Stale`.
pub async fn run_started(store: &Store, fence: RunFence, at: Moment) -> Result<()> {
    store
        .write((fence, at), |tx, input| {
            let (fence, at) = *input;
            Box::pin(async move {
                let mut run = runs::fenced(tx, fence).await?;
                runs::apply(tx, &mut run, Command::Start, at).await?;
                machine::touch(tx, run.run.workspace_id).await
            })
        })
        .await
}
