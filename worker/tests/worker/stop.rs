//! A machine without runs ends.

use anyhow::Result;
use helmr_api::worker::Want;
use helmr_machine::scripted::{Effect, Operation, Step};

use crate::ledger::Machine;
use crate::world::{World, says};

fn writes() -> Vec<Step> {
    vec![
        says::started(),
        Step::Write("kept.txt".to_owned(), "kept".to_owned()),
        Step::Say(r#"{"type":"finished"}"#.to_owned()),
        Step::Exit(0),
    ]
}

#[tokio::test]
async fn an_idle_machine_stops_after_its_time_and_its_files_are_a_version() -> Result<()> {
    let world = World::new(|_| writes()).await?;
    world.control.state().assignment.auto_stop_after_ms = 50;
    let run = world.run(1);
    world.control.add_run(run.clone()).await?;
    world.control.until_finished(run.run_id).await?;
    world.control.until_machine(Machine::Stopped).await?;
    world.until_no_machine().await?;
    assert_eq!(world.control.state().versions.len(), 1);
    assert_eq!(
        std::fs::read_to_string(world.tree().join("kept.txt"))?,
        "kept"
    );
    world
        .until("its directory is gone", |world| {
            !world.machine_dir().exists()
        })
        .await
}

#[tokio::test]
async fn a_machine_whose_room_is_needed_stops_at_once_but_never_with_a_run() -> Result<()> {
    let (world, run) = World::with_run(vec![
        says::started(),
        Step::Gate("end".to_owned()),
        Step::Exit(0),
    ])
    .await?;
    world
        .control
        .until("it runs", |state| state.runs[&run].started == 1)
        .await?;
    world.control.want(Want::Stop).await?;
    world
        .control
        .until("time passes", |state| state.beats > 3)
        .await?;
    assert_eq!(world.control.state().machine, Machine::Live);
    world.driver.open_gate("end");
    world.control.until_machine(Machine::Stopped).await?;
    Ok(())
}

#[tokio::test]
async fn the_files_of_a_stopped_workspace_are_there_at_its_next_start() -> Result<()> {
    let world = World::new(|_| writes()).await?;
    world.control.state().assignment.auto_stop_after_ms = 0;
    world.control.add_run(world.run(1)).await?;
    world.control.until_machine(Machine::Stopped).await?;
    world.until_no_machine().await?;
    world.control.state().assignment.machine.materialization_id =
        helmr_domain::MaterializationId::new(helmr_domain::Timestamp::from_micros(9), [9; 10]);
    // Something the workspace never held, in the cached directory: it is not trusted blindly once it was run on.
    let next = world.run(2);
    world.control.add_run(next.clone()).await?;
    world.control.until_finished(next.run_id).await?;
    assert_eq!(
        std::fs::read_to_string(world.tree().join("kept.txt"))?,
        "kept"
    );
    assert_eq!(
        std::fs::read_to_string(world.tree().join("README"))?,
        "from the image\n"
    );
    Ok(())
}

#[tokio::test]
async fn a_worker_killed_while_stopping_stops_at_its_next_start() -> Result<()> {
    let mut world = World::new(|_| writes()).await?;
    world.control.state().assignment.auto_stop_after_ms = 0;
    world.driver.inject(
        Operation::Kill,
        Effect::Slow(std::time::Duration::from_secs(600)),
    );
    world.control.add_run(world.run(1)).await?;
    world.control.until_machine(Machine::Stopping).await?;
    world.kill_and_restart().await?;
    world.control.until_machine(Machine::Stopped).await?;
    world.until_no_machine().await?;
    assert_eq!(world.control.state().versions.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_machine_that_dies_is_reported_with_its_files() -> Result<()> {
    let (world, run) = World::with_run(vec![
        says::started(),
        Step::Write("made.txt".to_owned(), "x".to_owned()),
        says::call(1, "echo"),
        says::answered(1),
        Step::Gate("never".to_owned()),
    ])
    .await?;
    world
        .control
        .until("it has written", |state| state.runs[&run].calls.len() == 1)
        .await?;
    let attempt = world.driver.attempts()[0].clone();
    assert!(world.driver.crash(&attempt));
    world.control.until_machine(Machine::Failed).await?;
    let state = world.control.state();
    assert_eq!(state.failures[0]["kind"], "machine_died");
    assert_eq!(state.versions.len(), 1);
    Ok(())
}
