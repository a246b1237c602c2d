//! A worker that is told to go parks what it has.

use std::time::Duration;

use anyhow::Result;
use helmr_machine::scripted::{Effect, Operation, Step};
use serde_json::json;

use crate::ledger::Machine;
use crate::park::waits;
use crate::world::{World, says};

#[tokio::test]
async fn a_running_run_is_parked_as_it_stands_and_goes_on_at_the_next_start() -> Result<()> {
    let (mut world, run) = World::with_run(vec![
        says::started(),
        Step::Gate("go".to_owned()),
        says::call(1, "echo"),
        says::answered(1),
        says::finished(),
        Step::Exit(0),
    ])
    .await?;
    world
        .control
        .until("it runs", |state| state.runs[&run].started == 1)
        .await?;
    world.shutdown(Duration::from_millis(50)).await?;
    assert_eq!(world.control.state().machine, Machine::Parked);
    assert!(world.driver.attempts().is_empty());
    world.start().await?;
    world.control.place().await?;
    world.driver.open_gate("go");
    assert_eq!(world.control.until_finished(run).await?["output"]["of"], 1);
    Ok(())
}

#[tokio::test]
async fn a_run_that_reaches_a_wait_within_the_grace_is_parked_there() -> Result<()> {
    let mut steps = vec![says::started(), Step::Gate("go".to_owned())];
    steps.extend(waits(600_000).into_iter().skip(1));
    let (mut world, run) = World::with_run(steps).await?;
    world
        .control
        .until("it runs", |state| state.runs[&run].started == 1)
        .await?;
    let driver = world.driver.clone();
    let control = world.control.clone();
    let opens = async {
        control
            .until("the drain is announced", |state| state.draining)
            .await?;
        driver.open_gate("go");
        anyhow::Ok(())
    };
    let (shut, opened) = tokio::join!(world.shutdown(Duration::from_secs(600)), opens);
    shut?;
    opened?;
    {
        let state = world.control.state();
        assert_eq!(state.machine, Machine::Parked);
        assert!(state.runs[&run].assignment.waiting.is_some());
    }
    world.start().await?;
    world.control.complete(run, json!(4)).await?;
    assert_eq!(world.control.until_finished(run).await?["output"], 4);
    Ok(())
}

#[tokio::test]
async fn a_machine_without_runs_is_stopped() -> Result<()> {
    let (mut world, run) = World::with_run(vec![says::started(), Step::Exit(0)]).await?;
    world.control.until_finished(run).await?;
    world.shutdown(Duration::from_secs(5)).await?;
    assert_eq!(world.control.state().machine, Machine::Stopped);
    assert!(world.driver.attempts().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_draining_worker_takes_nothing_new() -> Result<()> {
    let (mut world, run) =
        World::with_run(vec![says::started(), Step::Gate("never".to_owned())]).await?;
    world
        .control
        .until("it runs", |state| state.runs[&run].started == 1)
        .await?;
    let control = world.control.clone();
    let elsewhere = async {
        control
            .until("the drain is announced", |state| state.draining)
            .await?;
        let mut other = control.state().snapshot();
        other.workspace_id =
            helmr_domain::WorkspaceId::new(helmr_domain::Timestamp::from_micros(9), [9; 10]);
        control.send(&other).await
    };
    let (shut, sent) = tokio::join!(world.shutdown(Duration::from_millis(500)), elsewhere);
    shut?;
    sent?;
    assert!(world.driver.attempts().is_empty());
    assert_eq!(world.control.state().count("live"), 1);
    Ok(())
}

#[tokio::test]
async fn a_machine_that_cannot_be_parked_is_left_for_the_next_worker() -> Result<()> {
    let (mut world, run) = World::with_run(vec![
        says::started(),
        Step::Gate("go".to_owned()),
        Step::Exit(0),
    ])
    .await?;
    world
        .control
        .until("it runs", |state| state.runs[&run].started == 1)
        .await?;
    for _ in 0..3 {
        world.driver.inject(Operation::Checkpoint, Effect::Fail);
    }
    world.shutdown(Duration::ZERO).await?;
    assert_eq!(world.driver.attempts().len(), 1);
    world.start().await?;
    world.driver.open_gate("go");
    world.control.until_finished(run).await?;
    Ok(())
}
