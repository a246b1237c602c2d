//! PTYs: what their terminals add to execs.

use anyhow::{Context, Result};
use helmr_domain::exec::{End, State};
use helmr_domain::pty::Size;
use helmr_domain::{CheckpointId, Duration, ProcessId, PtyId, Refusal, WorkspaceId};
use helmr_store::execs::{self, Create, Exec, Kind, Place, WriteInput};
use helmr_store::worker::{self, Parked, Placed};
use helmr_store::workspaces::{self, End as EndWorkspace};
use helmr_store::{Error, timers};
use serde_json::json;

use crate::execs::{create, fence, get, machine, make, workspace};
use crate::on_both;
use crate::world::{World, fresh};

fn of_pty(world: &World, workspace: WorkspaceId) -> Create {
    let input = create(world, workspace);
    Create {
        id: input.at.ids().make(PtyId::new).into(),
        command: Vec::new(),
        pty: Some(Size::USUAL),
        ..input
    }
}

/// Makes a PTY in a new workspace and brings its machine up for it.
async fn running(world: &World) -> Result<(Exec, Placed)> {
    let input = of_pty(world, workspace(world).await?);
    let pty = fresh(execs::create(&world.store, input).await?)?;
    let placed = *world.place().await?.first().context("a machine")?;
    worker::machine_live(&world.store, machine(world, &placed)).await?;
    execs::started(&world.store, fence(&placed, pty.id), world.at()).await?;
    Ok((pty, placed))
}

async fn type_in(world: &World, pty: ProcessId, size_bytes: u64) -> helmr_store::Result<Exec> {
    let input = WriteInput {
        at: world.at(),
        scope: world.scope,
        exec: pty,
        place: Place::Behind,
        size_bytes,
        sealed: vec![7],
        close: false,
    };
    execs::write_input(&world.store, input).await
}

async fn rests(world: &World, placed: &Placed, pty: ProcessId, idle: bool) -> Result<()> {
    Ok(execs::rests(&world.store, fence(placed, pty), idle, world.at()).await?)
}

async fn park(world: &World, placed: &Placed, draining: bool) -> helmr_store::Result<()> {
    if !draining {
        worker::machine_parking(&world.store, machine(world, placed)).await?;
    }
    let at = world.at();
    let input = Parked {
        at,
        fence: machine(world, placed).fence,
        checkpoint_id: CheckpointId::new(at.now, at.seed),
        checkpoint_size_bytes: 100,
        runtime_identity: "scripted".to_owned(),
        version: world.version(),
        draining,
        timings: json!({}),
    };
    worker::machine_parked(&world.store, input).await
}

on_both! {
    async fn a_machine_parks_with_an_idle_pty_and_typing_wakes_it_once(world) {
        let (pty, placed) = running(&world).await?;
        let busy = worker::machine_parking(&world.store, machine(&world, &placed)).await;
        assert!(matches!(busy, Err(Error::Refused(Refusal::MachineBusy))));
        rests(&world, &placed, pty.id, true).await?;
        let stopped = worker::machine_stopping(&world.store, machine(&world, &placed)).await;
        assert!(matches!(stopped, Err(Error::Refused(Refusal::MachineBusy))), "it lives in there");
        park(&world, &placed, false).await?;
        assert!(world.place().await?.is_empty(), "nobody needs it");
        for size in [1, 2] {
            assert_eq!(type_in(&world, pty.id, size).await?.pty.map(|pty| pty.idle), Some(false));
        }
        let woken = world.place().await?;
        assert_eq!(woken.iter().map(|woken| woken.workspace_id).collect::<Vec<_>>(), [pty.workspace_id]);
        assert_eq!(get(&world, pty.id).await?.stdin.end, 3);
    }

    async fn what_is_on_its_way_keeps_a_pty_from_resting(world) {
        let (pty, placed) = running(&world).await?;
        type_in(&world, pty.id, 4).await?;
        rests(&world, &placed, pty.id, true).await?;
        assert!(!get(&world, pty.id).await?.is_idle(), "its machine has not heard of it");
        execs::input_taken(&world.store, fence(&placed, pty.id), 4, false).await?;
        rests(&world, &placed, pty.id, true).await?;
        assert!(get(&world, pty.id).await?.is_idle());
    }

    async fn a_busy_pty_that_was_set_aside_is_woken_unasked(world) {
        let (pty, placed) = running(&world).await?;
        park(&world, &placed, true).await?;
        let woken = *world.place().await?.first().context("it is woken")?;
        assert_eq!(woken.workspace_id, pty.workspace_id);
    }

    async fn sizes_are_counted_and_told_to_the_machine_and_wake_nothing(world) {
        let (pty, placed) = running(&world).await?;
        rests(&world, &placed, pty.id, true).await?;
        park(&world, &placed, false).await?;
        let size = Size::new(100, 30).context("a size")?;
        for resizes in [1, 2] {
            let resized = execs::resize(&world.store, world.scope, pty.id.as_pty(), size, world.at()).await?;
            assert_eq!(resized.pty.map(|pty| (pty.size, pty.resizes)), Some((size, resizes)));
        }
        assert!(world.place().await?.is_empty());
        type_in(&world, pty.id, 1).await?;
        world.place().await?;
        let assignment = worker::assignment(&world.store, pty.workspace_id).await?.context("one")?;
        assert_eq!(assignment.execs[0].pty.map(|pty| pty.resizes), Some(2));
        assert_eq!(assignment.pty_idle_after, Duration::from_secs(60));
    }

    async fn closing_hangs_up_and_then_kills(world) {
        let (pty, placed) = running(&world).await?;
        let id = pty.id.as_pty();
        rests(&world, &placed, pty.id, true).await?;
        for _ in 0..2 {
            let closed = execs::close(&world.store, world.scope, id, world.at()).await?;
            assert_eq!((closed.signals.as_slice(), closed.is_idle()), ([1, 18].as_slice(), false));
        }
        rests(&world, &placed, pty.id, true).await?;
        assert!(!get(&world, pty.id).await?.is_idle(), "its machine has something to do");
        world.advance(Duration::from_secs(11));
        assert_eq!(timers::fire_due(&world.store, world.at(), 10).await?.fired, 1);
        let found = get(&world, pty.id).await?;
        assert_eq!((found.signals, found.timed_out), (vec![1, 18, 9], false));
        let renewed = worker::machine_live(&world.store, machine(&world, &placed)).await;
        assert!(renewed.is_ok());
        execs::ended(&world.store, fence(&placed, pty.id), End::Killed { signal: 9 }, world.at()).await?;
        let late = execs::resize(&world.store, world.scope, id, Size::USUAL, world.at()).await;
        assert!(matches!(late, Err(Error::Refused(Refusal::PtyEnded))));
        let typed = type_in(&world, pty.id, 1).await;
        assert!(matches!(typed, Err(Error::Refused(Refusal::ExecInputClosed))));
        let ended = execs::close(&world.store, world.scope, id, world.at()).await?;
        assert_eq!(ended.state, State::Killed { signal: 9 });
    }

    async fn a_pty_that_no_machine_has_is_closed_at_once(world) {
        let input = of_pty(&world, workspace(&world).await?);
        let pty = fresh(execs::create(&world.store, input).await?)?;
        let closed = execs::close(&world.store, world.scope, pty.id.as_pty(), world.at()).await?;
        assert_eq!(closed.state, State::Killed { signal: 1 });
        assert!(world.place().await?.is_empty());
    }

    async fn a_parked_machine_that_is_stopped_kills_what_lies_in_it(world) {
        let (pty, placed) = running(&world).await?;
        rests(&world, &placed, pty.id, true).await?;
        park(&world, &placed, false).await?;
        let end = EndWorkspace {
            at: world.at(),
            scope: world.scope,
            workspace: pty.workspace_id,
            force: false,
        };
        workspaces::stop(&world.store, end).await?;
        assert_eq!(get(&world, pty.id).await?.state, State::Killed { signal: 9 });
    }

    async fn execs_and_ptys_are_listed_apart_and_found_by_their_own_ids(world) {
        let (pty, _) = running(&world).await?;
        let exec = make(&world, pty.workspace_id).await?;
        let list = |kind| execs::list(&world.store, world.scope, (pty.workspace_id, kind), None, 10);
        let ids = |page: helmr_store::Page<Exec, ProcessId>| page.items.iter().map(|item| item.id).collect::<Vec<_>>();
        assert_eq!(ids(list(Kind::Pty).await?), [pty.id]);
        assert_eq!(ids(list(Kind::Exec).await?), [exec.id]);
        let other = execs::get(&world.store, world.scope, pty.id.as_exec()).await?;
        assert!(other.is_none());
        let missing = execs::close(&world.store, world.scope, exec.id.as_pty(), world.at()).await;
        assert!(matches!(missing, Err(Error::NotFound("pty"))));
    }
}
