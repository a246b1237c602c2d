//! Execs: given to machines, fed, printing, signalled, lost.

use anyhow::{Context, Result};
use helmr_domain::exec::{End, State};
use helmr_domain::{Duration, ExecId, ProcessId, Refusal, WorkspaceId, limits};
use helmr_store::execs::{
    self, AppendOutput, Create, Exec, Fenced, Piece, Place, Stream, WriteInput,
};
use helmr_store::idempotency::Kept;
use helmr_store::worker::{self, MachineReport, Placed};
use helmr_store::workspaces::{self, End as EndWorkspace};
use helmr_store::{Error, timers};
use serde_json::json;

use crate::on_both;
use crate::world::{LEASE, World, fresh};

pub(crate) fn create(world: &World, workspace: WorkspaceId) -> Create {
    let at = world.at();
    Create {
        at,
        id: at.ids().make(ExecId::new).into(),
        scope: world.scope,
        workspace,
        command: vec!["true".to_owned()],
        cwd: None,
        user: None,
        env_names: vec!["A".to_owned()],
        sealed_env: Some(vec![1, 2, 3]),
        detached: false,
        timeout: None,
        stdin_closed: false,
        pty: None,
        idempotency: None,
    }
}

pub(crate) async fn make(world: &World, workspace: WorkspaceId) -> Result<Exec> {
    fresh(execs::create(&world.store, create(world, workspace)).await?)
}

pub(crate) async fn workspace(world: &World) -> Result<WorkspaceId> {
    let input = workspaces::Create {
        at: world.at(),
        scope: world.scope,
        sandbox: "default".to_owned(),
        external_id: None,
        metadata: json!({}),
        tags: Vec::new(),
        auto_stop_after: None,
        idempotency: None,
    };
    Ok(fresh(workspaces::create(&world.store, input).await?)?.id)
}

pub(crate) async fn get(world: &World, id: ProcessId) -> Result<Exec> {
    let found = execs::get(&world.store, world.scope, id).await?;
    found.context("the exec is there")
}

pub(crate) fn machine(world: &World, placed: &Placed) -> MachineReport {
    MachineReport {
        at: world.at(),
        fence: worker::MachineFence {
            lease: lease(placed),
            materialization_id: placed.materialization_id,
        },
    }
}

fn lease(placed: &Placed) -> worker::Fence {
    worker::Fence {
        worker_id: placed.worker_id,
        workspace_id: placed.workspace_id,
        epoch: placed.epoch,
    }
}

pub(crate) fn fence(placed: &Placed, exec: ProcessId) -> Fenced {
    Fenced {
        lease: lease(placed),
        exec,
    }
}

/// Makes an exec in a new workspace and brings its machine up for it.
async fn running(world: &World) -> Result<(Exec, Placed)> {
    let exec = make(world, workspace(world).await?).await?;
    let placed = *world.place().await?.first().context("a machine")?;
    worker::machine_live(&world.store, machine(world, &placed)).await?;
    execs::started(&world.store, fence(&placed, exec.id), world.at()).await?;
    Ok((exec, placed))
}

pub(crate) fn piece(offset: u64, size_bytes: u64) -> Piece {
    Piece {
        offset,
        size_bytes,
        sealed: vec![7],
    }
}

pub(crate) async fn write(
    world: &World,
    exec: ProcessId,
    piece: Piece,
    close: bool,
) -> helmr_store::Result<Exec> {
    let input = WriteInput {
        at: world.at(),
        scope: world.scope,
        exec,
        place: Place::At(piece.offset),
        size_bytes: piece.size_bytes,
        sealed: piece.sealed,
        close,
    };
    execs::write_input(&world.store, input).await
}

pub(crate) async fn print(world: &World, fence: Fenced, piece: Piece) -> helmr_store::Result<()> {
    let pieces = vec![(Stream::Stdout, piece)];
    execs::append_output(&world.store, AppendOutput { fence, pieces }).await
}

on_both! {
    async fn an_exec_asks_for_a_machine_and_a_live_one_has_it_at_once(world) {
        let first = make(&world, workspace(&world).await?).await?;
        assert_eq!(first.state, State::Queued);
        let placed = *world.place().await?.first().context("a machine")?;
        assert_eq!(placed.workspace_id, first.workspace_id);
        assert_eq!(get(&world, first.id).await?.state, State::Starting);
        worker::machine_live(&world.store, machine(&world, &placed)).await?;
        let second = make(&world, first.workspace_id).await?;
        assert_eq!(second.state, State::Starting);
        let assignment = worker::assignment(&world.store, first.workspace_id).await?;
        let told: Vec<_> = assignment.context("an assignment")?.execs.iter().map(|exec| exec.id).collect();
        assert_eq!(told, [first.id, second.id]);
        // Nothing of it is for anybody who has another lease.
        let mut stale = fence(&placed, first.id);
        stale.lease.epoch = helmr_domain::Epoch::new(99);
        let refused = execs::started(&world.store, stale, world.at()).await;
        assert!(matches!(refused, Err(Error::Stale)));
        for exec in [first.id, second.id] {
            execs::started(&world.store, fence(&placed, exec), world.at()).await?;
        }
        // A machine in which something runs neither parks nor stops.
        for busy in [
            worker::machine_parking(&world.store, machine(&world, &placed)).await,
            worker::machine_stopping(&world.store, machine(&world, &placed)).await,
        ] {
            assert!(matches!(busy, Err(Error::Refused(Refusal::MachineBusy))), "{busy:?}");
        }
        for (exec, end) in [
            (first.id, End::Exited { code: 3 }),
            (second.id, End::NotStarted { message: "no such file".to_owned() }),
        ] {
            execs::ended(&world.store, fence(&placed, exec), end.clone(), world.at()).await?;
            // The report may come again.
            execs::ended(&world.store, fence(&placed, exec), End::Killed { signal: 9 }, world.at()).await?;
        }
        assert_eq!(get(&world, first.id).await?.state, State::Exited { code: 3 });
        let failed = State::Failed { message: "no such file".to_owned() };
        assert_eq!(get(&world, second.id).await?.state, failed);
        worker::machine_stopping(&world.store, machine(&world, &placed)).await?;
    }

    async fn an_exec_beside_a_parked_run_wakes_its_machine_and_nothing_else(world) {
        let live = world.live("plain").await?;
        let token = world.token(&live).await?;
        world.wait(&live, 1, worker::WaitFor::Token(token)).await?;
        world.park(&live).await?;
        assert!(world.place().await?.is_empty());
        let exec = make(&world, live.workspace).await?;
        let placed = *world.place().await?.first().context("a wake")?;
        assert_eq!(placed.kind, worker::PlacedKind::Wake);
        worker::machine_live(&world.store, machine(&world, &placed)).await?;
        execs::started(&world.store, fence(&placed, exec.id), world.at()).await?;
        assert_eq!(world.status(live.run).await?, "waiting");
        execs::ended(&world.store, fence(&placed, exec.id), End::Exited { code: 0 }, world.at()).await?;
        assert_eq!(world.status(live.run).await?, "waiting");
        worker::machine_parking(&world.store, machine(&world, &placed)).await?;
    }

    async fn input_has_offsets_and_bounds(world) {
        let (exec, placed) = running(&world).await?;
        write(&world, exec.id, piece(0, 10), false).await?;
        // Again, and out of step.
        assert_eq!(write(&world, exec.id, piece(0, 10), false).await?.stdin.end, 10);
        let gap = write(&world, exec.id, piece(11, 1), false).await;
        assert!(matches!(gap, Err(Error::Refused(Refusal::ExecInputOutOfStep { expected: 10 }))));
        let most = limits::EXEC_INPUT_BYTES - 10;
        write(&world, exec.id, piece(10, most), false).await?;
        let end = 10 + most;
        let full = write(&world, exec.id, piece(end, 1), false).await;
        assert!(matches!(full, Err(Error::Refused(Refusal::ExecInputFull))));
        let fenced = fence(&placed, exec.id);
        let input = execs::read_input(&world.store, fenced, 3).await?;
        assert_eq!(input.pieces.iter().map(|piece| piece.offset).collect::<Vec<_>>(), [0, 10]);
        execs::input_taken(&world.store, fenced, 10, false).await?;
        write(&world, exec.id, piece(end, 1), true).await?;
        let closed = write(&world, exec.id, piece(end + 1, 1), false).await;
        assert!(matches!(closed, Err(Error::Refused(Refusal::ExecInputClosed))));
        // The one that closed it may come again.
        assert!(write(&world, exec.id, piece(end, 1), true).await?.stdin.closed);
        let left = execs::read_input(&world.store, fenced, 10).await?;
        assert!(!left.ends_at(10) && left.ends_at(end + 1));
        assert!(left.pieces.iter().all(|piece| piece.offset >= 10));
    }

    async fn input_ends_where_its_process_takes_no_more(world) {
        let (exec, placed) = running(&world).await?;
        let fenced = fence(&placed, exec.id);
        write(&world, exec.id, piece(0, 10), false).await?;
        assert!(!execs::read_input(&world.store, fenced, 4).await?.ends_at(4));
        execs::input_taken(&world.store, fenced, 4, true).await?;
        // Whoever goes on from where the process stopped is not sent around for what is gone.
        let left = execs::read_input(&world.store, fenced, 4).await?;
        assert!(left.pieces.is_empty() && left.ends_at(4));
    }

    async fn output_has_offsets_and_the_newest_is_kept(world) {
        let (exec, placed) = running(&world).await?;
        let fenced = fence(&placed, exec.id);
        print(&world, fenced, piece(0, 5)).await?;
        print(&world, fenced, piece(0, 5)).await?;
        let gap = print(&world, fenced, piece(9, 1)).await;
        assert!(matches!(gap, Err(Error::Refused(Refusal::LogOutOfStep { expected: 5 }))));
        print(&world, fenced, piece(5, limits::EXEC_WINDOW_BYTES - 5)).await?;
        assert_eq!(get(&world, exec.id).await?.stdout.start, 0);
        print(&world, fenced, piece(limits::EXEC_WINDOW_BYTES, 4)).await?;
        assert_eq!(get(&world, exec.id).await?.stdout.start, 0, "a piece goes whole");
        print(&world, fenced, piece(limits::EXEC_WINDOW_BYTES + 4, 4)).await?;
        let window = get(&world, exec.id).await?.stdout;
        assert_eq!((window.start, window.end), (5, limits::EXEC_WINDOW_BYTES + 8));
        let read = |offset| execs::read_output(&world.store, world.scope, exec.id, Stream::Stdout, offset, 10);
        let tail = read(limits::EXEC_WINDOW_BYTES + 6).await?;
        assert_eq!(tail.pieces.len(), 1);
        assert_eq!(tail.pieces[0].offset, limits::EXEC_WINDOW_BYTES + 4);
        assert!(read(window.end).await?.pieces.is_empty());
        assert!(!tail.ended);
    }

    async fn signals_reach_what_runs_and_end_what_does_not(world) {
        let (exec, placed) = running(&world).await?;
        execs::signal(&world.store, world.scope, exec.id, 2, world.at()).await?;
        execs::signal(&world.store, world.scope, exec.id, 15, world.at()).await?;
        let assignment = worker::assignment(&world.store, exec.workspace_id).await?;
        assert_eq!(assignment.context("an assignment")?.execs[0].signals, [2, 15]);
        execs::ended(&world.store, fence(&placed, exec.id), End::Killed { signal: 15 }, world.at()).await?;
        let ended = execs::signal(&world.store, world.scope, exec.id, 9, world.at()).await?;
        assert_eq!((ended.state, ended.signals), (State::Killed { signal: 15 }, vec![2, 15]));
        let queued = make(&world, workspace(&world).await?).await?;
        let ended = execs::signal(&world.store, world.scope, queued.id, 9, world.at()).await?;
        assert_eq!(ended.state, State::Killed { signal: 9 });
        assert!(world.place().await?.is_empty(), "it asks for no machine any more");
    }

    async fn a_timeout_is_polite_first(world) {
        let mut input = create(&world, workspace(&world).await?);
        input.timeout = Some(Duration::from_secs(60));
        let exec = fresh(execs::create(&world.store, input).await?)?;
        // Its time does not run while it waits for a machine.
        world.advance(Duration::from_secs(120));
        assert_eq!(timers::fire_due(&world.store, world.at(), 10).await?.fired, 0);
        let placed = *world.place().await?.first().context("a machine")?;
        worker::machine_live(&world.store, machine(&world, &placed)).await?;
        execs::started(&world.store, fence(&placed, exec.id), world.at()).await?;
        for signals in [vec![15], vec![15, 9]] {
            world.advance(Duration::from_secs(61));
            assert_eq!(timers::fire_due(&world.store, world.at(), 10).await?.fired, 1);
            let found = get(&world, exec.id).await?;
            assert_eq!((found.signals, found.timed_out), (signals, true));
            let renew = worker::machine_live(&world.store, machine(&world, &placed)).await;
            assert!(renew.is_ok());
        }
        execs::ended(&world.store, fence(&placed, exec.id), End::Killed { signal: 9 }, world.at()).await?;
        world.advance(Duration::from_secs(61));
        assert_eq!(timers::fire_due(&world.store, world.at(), 10).await?.fired, 0);
    }

    async fn what_runs_in_a_machine_is_lost_with_it_and_what_waits_is_not(world) {
        let (exec, placed) = running(&world).await?;
        world.advance(LEASE);
        world.advance(Duration::from_secs(1));
        assert_eq!(worker::reap_expired_leases(&world.store, world.at(), 10).await?.len(), 1);
        assert_eq!(get(&world, exec.id).await?.state, State::Lost);
        let late = execs::ended(&world.store, fence(&placed, exec.id), End::Exited { code: 0 }, world.at()).await;
        assert!(matches!(late, Err(Error::Stale)));
        let waiting = make(&world, exec.workspace_id).await?;
        assert_eq!(waiting.state, State::Queued, "until somebody chooses how to go on");
    }

    async fn a_workspace_that_is_stopped_ends_its_execs(world) {
        let (exec, placed) = running(&world).await?;
        let end = EndWorkspace {
            at: world.at(),
            scope: world.scope,
            workspace: exec.workspace_id,
            force: false,
        };
        workspaces::stop(&world.store, end).await?;
        assert_eq!(get(&world, exec.id).await?.signals, [9]);
        // The next one waits for the next machine, and this one ends nevertheless.
        let next = make(&world, exec.workspace_id).await?;
        assert_eq!(next.state, State::Queued);
        let busy = worker::machine_stopping(&world.store, machine(&world, &placed)).await;
        assert!(matches!(busy, Err(Error::Refused(Refusal::MachineBusy))), "{busy:?}");
        execs::ended(&world.store, fence(&placed, exec.id), End::Killed { signal: 9 }, world.at()).await?;
        worker::machine_stopping(&world.store, machine(&world, &placed)).await?;
        let report = machine(&world, &placed);
        let stopped = worker::Stopped { at: report.at, fence: report.fence, version: None };
        worker::machine_stopped(&world.store, stopped).await?;
        assert_eq!(world.place().await?.len(), 1);
        assert_eq!(get(&world, next.id).await?.state, State::Starting);
    }

    async fn what_waits_for_a_machine_ends_with_its_workspace(world) {
        // One for which there never was a machine, and one that waits for the next.
        let (exec, _) = running(&world).await?;
        let lonely = make(&world, workspace(&world).await?).await?;
        let end = |workspace| EndWorkspace {
            at: world.at(),
            scope: world.scope,
            workspace,
            force: false,
        };
        workspaces::stop(&world.store, end(exec.workspace_id)).await?;
        let next = make(&world, exec.workspace_id).await?;
        for waiting in [lonely, next] {
            assert_eq!(get(&world, waiting.id).await?.state, State::Queued);
            workspaces::delete(&world.store, end(waiting.workspace_id)).await?;
            assert_eq!(get(&world, waiting.id).await?.state, State::Killed { signal: 9 });
        }
        assert_eq!(get(&world, exec.id).await?.signals, [9], "it was told already");
        assert!(world.place().await?.is_empty(), "nothing starts in a deleted workspace");
    }

    async fn a_repeated_request_makes_one_exec(world) {
        let id = workspace(&world).await?;
        let mut input = create(&world, id);
        input.idempotency = Some(helmr_store::idempotency::Idempotency {
            key: "k".to_owned(),
            request_hash: [1; 32],
            sealed: None,
            answer: std::sync::Arc::new(|exec| json!({"id": exec.id.to_string()})),
        });
        let first = fresh(execs::create(&world.store, input.clone()).await?)?;
        input.at = world.at();
        input.id = input.at.ids().make(ExecId::new).into();
        match execs::create(&world.store, input).await? {
            Kept::Replayed { answer, .. } => assert_eq!(answer["id"], first.id.to_string()),
            Kept::Fresh(other) => panic!("another one: {}", other.id),
        }
        let listed = execs::list(&world.store, world.scope, (id, execs::Kind::Exec), None, 10).await?;
        assert_eq!(listed.items.len(), 1);
    }
}
