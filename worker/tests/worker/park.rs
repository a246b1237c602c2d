//! A machine is set aside when all its runs wait.

use std::time::Duration;

use anyhow::Result;
use helmr_machine::scripted::{Effect, Operation, Step};
use serde_json::json;

use crate::ledger::Machine;
use crate::world::{World, says};

/// A task that waits once, writes a file, and returns what it was told.
pub(crate) fn waits(hot_window_ms: u64) -> Vec<Step> {
    vec![
        says::started(),
        says::wait(1, hot_window_ms),
        says::answered(1),
        Step::Write("after.txt".to_owned(), "woke".to_owned()),
        says::finished(),
        Step::Exit(0),
    ]
}

#[tokio::test]
async fn a_waiting_run_is_parked_and_nothing_of_its_machine_is_left() -> Result<()> {
    let (world, _) = World::with_run(waits(0)).await?;
    world.control.until_machine(Machine::Parked).await?;
    world.until_no_machine().await?;
    world
        .until("its scratch is gone", |world| {
            !world.machine_dir().join("attempts").exists()
        })
        .await?;
    assert_eq!(world.images(), 1);
    Ok(())
}

#[tokio::test]
async fn a_hot_wait_that_is_decided_in_time_never_parks() -> Result<()> {
    let (world, run) = World::with_run(waits(600_000)).await?;
    world
        .control
        .until("it waits", |state| {
            state.runs[&run].assignment.waiting.is_some()
        })
        .await?;
    let wait = world.control.complete(run, json!("go")).await?;
    let finished = world.control.until_finished(run).await?;
    assert_eq!(finished["output"], "go");
    let state = world.control.state();
    assert_eq!(state.runs[&run].delivered, [wait]);
    assert_eq!(state.count("parking"), 0);
    Ok(())
}

#[tokio::test]
async fn a_park_whose_checkpoint_fails_leaves_the_run_live_and_is_tried_again() -> Result<()> {
    let (world, run) = World::with_run(waits(200)).await?;
    world.driver.inject(Operation::Checkpoint, Effect::Fail);
    world
        .control
        .until("the park is given up", |state| state.count("unparked") == 1)
        .await?;
    assert_eq!(world.driver.attempts().len(), 1, "the machine stands");
    world.control.until_machine(Machine::Parked).await?;
    world.until_no_machine().await?;
    world.control.complete(run, json!(1)).await?;
    world.control.until_finished(run).await?;
    Ok(())
}

#[tokio::test]
async fn a_pause_that_fails_leaves_the_run_live() -> Result<()> {
    let (world, run) = World::with_run(waits(200)).await?;
    world.driver.inject(Operation::Pause, Effect::Fail);
    world
        .control
        .until("the park is given up", |state| state.count("unparked") == 1)
        .await?;
    world.control.complete(run, json!(2)).await?;
    assert_eq!(world.control.until_finished(run).await?["output"], 2);
    Ok(())
}

#[tokio::test]
async fn a_disk_that_takes_no_notes_leaves_the_run_live() -> Result<()> {
    let (world, run) = World::with_run(waits(100)).await?;
    world.control.until_machine(Machine::Live).await?;
    // A directory where the record is written first.
    let obstacle = world.machine_dir().join("machine.new");
    world
        .until("no note is being written", |_| {
            std::fs::create_dir(&obstacle).is_ok()
        })
        .await?;
    world
        .control
        .until("the park is given up", |state| state.count("unparked") == 1)
        .await?;
    assert_eq!(world.driver.attempts().len(), 1);
    std::fs::remove_dir(&obstacle)?;
    world.control.until_machine(Machine::Parked).await?;
    world.control.complete(run, json!(3)).await?;
    assert_eq!(world.control.until_finished(run).await?["output"], 3);
    Ok(())
}

#[tokio::test]
async fn an_outcome_that_comes_while_parking_is_delivered_once() -> Result<()> {
    for operation in [Operation::Pause, Operation::Checkpoint, Operation::Kill] {
        let (world, run) = World::with_run(waits(200)).await?;
        world
            .driver
            .inject(operation, Effect::Slow(Duration::from_millis(300)));
        world
            .control
            .until("it parks", |state| state.count("parking") == 1)
            .await?;
        let wait = world.control.complete(run, json!("raced")).await?;
        let finished = world.control.until_finished(run).await?;
        assert_eq!(finished["output"], "raced", "while {operation:?}");
        let state = world.control.state();
        assert_eq!(state.runs[&run].delivered, [wait], "while {operation:?}");
        assert_eq!(state.fenced, 0, "while {operation:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_machine_with_a_running_run_beside_a_waiting_one_does_not_park() -> Result<()> {
    let world = World::new(|start| {
        if start.run_id.contains("run_") && start.init_line.windows(5).any(|w| w == b"first") {
            return vec![];
        }
        vec![
            says::started(),
            Step::Gate("go".to_owned()),
            says::wait(1, 0),
            says::answered(1),
            Step::Exit(0),
        ]
    })
    .await?;
    let (first, second) = (world.run(1), world.run(2));
    world.control.add_run(first.clone()).await?;
    world.control.add_run(second.clone()).await?;
    world
        .control
        .until("both run", |state| {
            state.runs.values().all(|run| run.started == 1)
        })
        .await?;
    world.driver.open_gate("go");
    world.control.until_machine(Machine::Parked).await?;
    let state = world.control.state();
    assert!(
        state
            .runs
            .values()
            .all(|run| run.assignment.waiting.is_some())
    );
    assert_eq!(state.count("parked"), 1, "both waits are in one image");
    Ok(())
}
