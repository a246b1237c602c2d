//! The right to act: kept, lost, and not known.

use anyhow::Result;
use helmr_machine::scripted::Step;
use helmr_machine::{Driver as _, Presence};
use serde_json::json;

use crate::ledger::Machine;
use crate::park::waits;
use crate::world::{World, says};

#[tokio::test]
async fn a_lost_lease_ends_the_machine_without_another_word() -> Result<()> {
    let (world, run) =
        World::with_run(vec![says::started(), Step::Gate("never".to_owned())]).await?;
    world
        .control
        .until("it runs", |state| state.runs[&run].started == 1)
        .await?;
    world.control.state().lost = true;
    world.until_no_machine().await?;
    let state = world.control.state();
    assert_eq!(
        state.count("failed") + state.count("stopped") + state.count("finished"),
        0
    );
    Ok(())
}

#[tokio::test]
async fn a_machine_is_paused_while_its_lease_cannot_be_renewed() -> Result<()> {
    let (world, run) = World::with_run(vec![
        says::started(),
        Step::Gate("go".to_owned()),
        Step::Exit(0),
    ])
    .await?;
    world
        .control
        .until("it runs", |state| state.runs[&run].started == 1)
        .await?;
    world.control.state().deaf = true;
    let attempt = world.driver.attempts()[0].clone();
    let paused = async {
        while world.driver.presence(&attempt).await? != Presence::Paused {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(crate::control::DEADLINE, paused).await??;
    world.driver.open_gate("go");
    world.control.state().deaf = false;
    world.control.until_finished(run).await?;
    assert_eq!(world.control.state().machine, Machine::Live);
    Ok(())
}

#[tokio::test]
async fn an_old_or_repeated_assignment_changes_nothing() -> Result<()> {
    let (world, run) = World::with_run(waits(0)).await?;
    let first = {
        let mut state = world.control.state();
        let mut first = state.snapshot();
        first.revision = 0;
        first
    };
    world.control.until_machine(Machine::Parked).await?;
    world.until_no_machine().await?;
    // The lease it speaks of is over: were it taken, a second machine would run on the parked one's files.
    world.control.send(&first).await?;
    world.control.complete(run, json!("once")).await?;
    world.control.send(&first).await?;
    assert_eq!(world.control.until_finished(run).await?["output"], "once");
    let state = world.control.state();
    assert_eq!((state.runs[&run].started, state.count("live")), (1, 2));
    Ok(())
}

#[tokio::test]
async fn a_worker_keeps_its_identity() -> Result<()> {
    let mut world = World::new(|_| vec![]).await?;
    let identity = std::fs::read_to_string(world.path("worker.json"))?;
    world.kill_and_restart().await?;
    assert_eq!(
        std::fs::read_to_string(world.path("worker.json"))?,
        identity
    );
    assert_eq!(world.control.state().count("register"), 2);
    Ok(())
}
