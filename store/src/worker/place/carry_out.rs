//! A plan, carried out.

use helmr_domain::lease::Command as LeaseCommand;
use helmr_domain::machine::Command;
use helmr_domain::run::Command as RunCommand;
use helmr_domain::{Event, EventKind, MaterializationId, Moment, WorkerId, WorkspaceId};

use super::snapshot::{self, Wanted};
use super::{Kind, PlaceNext, Placed};
use crate::db::{Tx, params, sql};
use crate::lease::{self, Leased};
use crate::machine::{self, MachineRow, NewMachine};
use crate::runs::RunRow;
use crate::{Error, Result, deployments, events, execs, outbox, runs, workspaces};

sql! {
    SET_REASON = "UPDATE workspaces
        SET placement_reason = $2
        WHERE id = $1 AND (placement_reason IS NULL OR placement_reason <> $2)";

    CLEAR_REASON = "UPDATE workspaces
        SET placement_reason = NULL
        WHERE id = $1 AND placement_reason IS NOT NULL";

    SET_LEAVING = "UPDATE materializations
        SET leaving = $2
        WHERE workspace_id = $1 AND ended_at IS NULL AND leaving <> $2";
}

/// To whom a machine goes.
pub(super) struct Target {
    pub(super) worker: WorkerId,
    pub(super) driver: String,
}

/// Lets queued runs into the machines of their workspaces that can take them.
pub(super) async fn join(tx: &mut Tx, wanted: &[Wanted], input: PlaceNext) -> Result<Vec<Placed>> {
    let mut placed = Vec::new();
    for one in wanted {
        if !one.machine.is_some_and(|state| state.takes_runs()) {
            continue;
        }
        let Some(machine) = machine::current(tx, one.workspace).await? else {
            continue;
        };
        if lease_runs(tx, &machine, input.at).await? == 0 {
            continue;
        }
        outbox::mark(tx, one.workspace, input.at).await?;
        // It is needed where it is.
        tx.run(&SET_LEAVING, params![one.workspace, false]).await?;
        hold(tx, one.workspace, None).await?;
        placed.push(Placed {
            workspace_id: one.workspace,
            worker_id: machine.worker,
            epoch: machine.epoch,
            materialization_id: machine.id,
            kind: Kind::Join,
        });
    }
    Ok(placed)
}

/// Leases a machine to a worker: a new one, or the parked one.
pub(super) async fn place(
    tx: &mut Tx,
    workspace: WorkspaceId,
    to: &Target,
    input: PlaceNext,
) -> Result<Option<Placed>> {
    let at = input.at;
    if machine::current(tx, workspace).await?.is_none()
        && runs::leasable_in(tx, workspace, at).await?.is_empty()
        && !execs::has_queued(tx, workspace).await?
        && !workspaces::wants_machine(tx, workspace).await?
    {
        // Its queue was filled by a run that was leased before it.
        return Ok(None);
    }
    let mut leased = lease::find(tx, workspace)
        .await?
        .ok_or(Error::NotFound("workspace"))?;
    let claim = LeaseCommand::Claim {
        worker: to.worker,
        ttl: input.lease_ttl,
    };
    match lease::apply(tx, &mut leased, claim, at).await {
        Ok(_) => {}
        // Whoever holds it is about to let go.
        Err(Error::Stale) => return Ok(None),
        Err(error) => return Err(error),
    }
    let (machine, kind) = match machine::current(tx, workspace).await? {
        Some(parked) => (wake(tx, parked, &leased, at).await?, Kind::Wake),
        None => match start(tx, &leased, to, at).await? {
            Some(machine) => (machine, Kind::Start),
            None => return Ok(None),
        },
    };
    lease_runs(tx, &machine, at).await?;
    hold(tx, workspace, None).await?;
    outbox::mark(tx, workspace, at).await?;
    Ok(Some(Placed {
        workspace_id: workspace,
        worker_id: to.worker,
        epoch: leased.lease.epoch,
        materialization_id: machine.id,
        kind,
    }))
}

async fn wake(
    tx: &mut Tx,
    mut machine: MachineRow,
    leased: &Leased,
    at: Moment,
) -> Result<MachineRow> {
    let decision = helmr_domain::machine::decide(machine.state, Command::Place, at.now)?;
    if let Some(next) = decision.next {
        machine.state = next;
    }
    machine.epoch = leased.lease.epoch;
    if let helmr_domain::lease::State::Held { worker, .. } = leased.lease.state {
        machine.worker = worker;
    }
    machine::save(tx, &machine).await?;
    Ok(machine)
}

async fn start(
    tx: &mut Tx,
    leased: &Leased,
    to: &Target,
    at: Moment,
) -> Result<Option<MachineRow>> {
    let Some(need) = snapshot::queued_need(tx, leased.id, at).await? else {
        return Ok(None);
    };
    let id = at.ids().make(MaterializationId::new);
    let new = NewMachine {
        id,
        scope: leased.scope,
        workspace: leased.id,
        worker: to.worker,
        epoch: leased.lease.epoch,
        driver: &to.driver,
        spec: &need.spec,
        protocol: need.protocol,
        base_version: leased.current_version,
    };
    machine::insert(tx, new, at).await?;
    machine::current(tx, leased.id).await
}

/// Gives the queued execs and runs of a workspace to its machine, these as far as their queues have room. Answers how many.
async fn lease_runs(tx: &mut Tx, machine: &MachineRow, at: Moment) -> Result<usize> {
    if machine.ending {
        // The next one is theirs.
        return Ok(0);
    }
    let queued = runs::leasable_in(tx, machine.workspace, at).await?;
    let mut leased = execs::lease_queued(tx, machine.workspace, at).await?;
    for (mut run, part) in queued.into_iter().zip(0..) {
        // Those leased just now may have filled its queue.
        if leased > 0 && !runs::has_room(tx, &run, at).await? {
            continue;
        }
        let at = at.part(part);
        match runs::apply(tx, &mut run, RunCommand::Lease, at).await {
            Ok(_) => {}
            // Its time to live is over, and its timer on the way.
            Err(Error::Refused(_)) => continue,
            Err(error) => return Err(error),
        }
        leased += 1;
        tell_attached(tx, &run, machine, at).await?;
    }
    Ok(leased)
}

/// Tells a run where it is, and what of its sandbox differs from the machine that it found.
async fn tell_attached(tx: &mut Tx, run: &RunRow, machine: &MachineRow, at: Moment) -> Result<()> {
    let task = deployments::find_task(tx, run.run.task_row_id)
        .await?
        .ok_or(Error::NotFound("task"))?;
    let sandbox = deployments::find_sandbox(tx, run.run.deployment_id, &task.sandbox)
        .await?
        .ok_or(Error::NotFound("sandbox"))?;
    let (wants, has) = (&sandbox.spec, &machine.spec);
    let mut differs = Vec::new();
    if wants.image_digest != has.image_digest {
        differs.push("image");
    }
    let same_resources = wants.cpu_millis == has.cpu_millis
        && wants.memory_bytes == has.memory_bytes
        && wants.disk_bytes == has.disk_bytes
        && wants.processes == has.processes;
    if !same_resources {
        differs.push("resources");
    }
    let event = Event::new(EventKind::WorkspaceAttached)
        .with("materialization_id", machine.id.to_string())
        .with("machine_state", machine.state.as_str())
        .with("differs", differs);
    events::append(tx, run.about(), event, at).await
}

/// Writes down why nothing is placed, or that it was.
pub(super) async fn hold(tx: &mut Tx, workspace: WorkspaceId, reason: Option<&str>) -> Result<()> {
    match reason {
        Some(reason) => tx.run(&SET_REASON, params![workspace, reason]).await?,
        None => tx.run(&CLEAR_REASON, params![workspace]).await?,
    };
    Ok(())
}

/// Asks an idle machine to go.
pub(super) async fn make_room(tx: &mut Tx, workspace: WorkspaceId, at: Moment) -> Result<()> {
    if tx.run(&SET_LEAVING, params![workspace, true]).await? > 0 {
        outbox::mark(tx, workspace, at).await?;
    }
    Ok(())
}
