//! Placement: machines that are wanted, given to workers.
//!
//! What to do is `helmr_domain::placement`'s to say; here it is fed and carried out.

use helmr_domain::placement::{Action, plan};
use helmr_domain::{Duration, Epoch, MaterializationId, Moment, WorkerId, WorkspaceId};

use crate::db::Tx;
use crate::{Result, Store, quotas};

mod carry_out;
mod snapshot;

#[derive(Debug, Clone, Copy)]
pub struct PlaceNext {
    pub at: Moment,
    pub lease_ttl: Duration,
    /// A worker that was not heard of for that long gets nothing.
    pub worker_fresh_for: Duration,
    /// Workspaces looked at in one go.
    pub limit: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    pub workspace_id: WorkspaceId,
    pub worker_id: WorkerId,
    pub epoch: Epoch,
    pub materialization_id: MaterializationId,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A new machine.
    Start,
    /// A parked one.
    Wake,
    /// Runs that go into a machine that is there.
    Join,
}

/// Places what can be placed: wakes first, then new starts, runs joining live machines without a lease. What cannot be
/// placed has the reason written down, and idle machines are asked to make room. Call it again while it answers `limit`.
///
/// # Errors
/// If the database fails.
pub async fn place_next(store: &Store, input: PlaceNext) -> Result<Vec<Placed>> {
    store
        .write(input, |tx, input| Box::pin(place_in(tx, *input)))
        .await
}

async fn place_in(tx: &mut Tx, input: PlaceNext) -> Result<Vec<Placed>> {
    let wanted = snapshot::wanted(tx, input).await?;
    let mut placed = carry_out::join(tx, &wanted, input).await?;
    let demands = snapshot::demands(tx, &wanted, input.at).await?;
    let (demands, held) = quotas::hold_back(tx, demands).await?;
    for (workspace, refusal) in held {
        carry_out::hold(tx, workspace, Some(&refusal.to_string())).await?;
    }
    if demands.is_empty() {
        return Ok(placed);
    }
    let mut workers = snapshot::workers(tx, input).await?;
    let mut actions = plan(&workers, &demands);
    if actions
        .iter()
        .any(|action| matches!(action, Action::Hold { .. }))
    {
        // Only now it matters who could make room.
        snapshot::add_idle(tx, &mut workers).await?;
        actions = plan(&workers, &demands);
    }
    for (action, part) in actions.into_iter().zip(0..) {
        // Each machine has an id of its own.
        let input = PlaceNext {
            at: input.at.part(part),
            ..input
        };
        match action {
            Action::Place {
                workspace,
                worker,
                driver,
            } => {
                let to = carry_out::Target { worker, driver };
                let done = carry_out::place(tx, workspace, &to, input).await?;
                placed.extend(done);
            }
            Action::Hold { workspace, reason } => {
                carry_out::hold(tx, workspace, Some(&reason)).await?;
            }
            Action::MakeRoom { workspace } => carry_out::make_room(tx, workspace, input.at).await?,
        }
    }
    Ok(placed)
}
