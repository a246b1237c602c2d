//! A parked machine continues.

use std::time::Duration;

use anyhow::Result;
use helmr_machine::scripted::{Effect, Operation, Step};
use serde_json::json;

use crate::ledger::Machine;
use crate::park::waits;
use crate::world::{World, says};

#[tokio::test]
async fn an_outcome_wakes_the_machine_and_the_run_goes_on() -> Result<()> {
    let (world, run) = World::with_run(waits(0)).await?;
    world.control.until_machine(Machine::Parked).await?;
    let wait = world
        .control
        .complete(run, json!({"approved": true}))
        .await?;
    let finished = world.control.until_finished(run).await?;
    assert_eq!(finished["output"]["approved"], true);
    assert_eq!(
        std::fs::read_to_string(world.tree().join("after.txt"))?,
        "woke"
    );
    assert_eq!(world.control.state().runs[&run].delivered, [wait]);
    world
        .until("its image is gone", |world| world.images() == 0)
        .await
}

#[tokio::test]
async fn a_woken_runtime_is_told_so_before_its_outcome() -> Result<()> {
    let (world, run) = World::with_run(vec![
        says::started(),
        says::wait(1, 0),
        // Lines before the one that is awaited are dropped: were the answer first, it would be lost.
        Step::Await(r#""reseed""#.to_owned()),
        says::answered(1),
        says::finished(),
        Step::Exit(0),
    ])
    .await?;
    world.control.until_machine(Machine::Parked).await?;
    world.control.complete(run, json!(7)).await?;
    assert_eq!(world.control.until_finished(run).await?["output"], 7);
    Ok(())
}

#[tokio::test]
async fn a_run_parks_and_wakes_many_times() -> Result<()> {
    let mut steps = vec![says::started()];
    for id in 1..=10 {
        steps.extend([says::wait(id, 0), says::answered(id)]);
    }
    steps.extend([says::finished(), Step::Exit(0)]);
    let (world, run) = World::with_run(steps).await?;
    for round in 1..=10 {
        world
            .control
            .until("it is parked again", |state| {
                state.machine == Machine::Parked && state.count("parked") == round
            })
            .await?;
        world.control.complete(run, json!(round)).await?;
    }
    assert_eq!(world.control.until_finished(run).await?["output"], 10);
    assert_eq!(world.control.state().fenced, 0);
    Ok(())
}

#[tokio::test]
async fn a_restore_that_fails_is_repeated_on_the_files_as_they_were_parked() -> Result<()> {
    let (world, run) = World::with_run(waits(0)).await?;
    world.control.until_machine(Machine::Parked).await?;
    world.until_no_machine().await?;
    world.driver.inject(Operation::Restore, Effect::Fail);
    // What a restored machine did before it failed.
    std::fs::remove_file(world.tree().join("README"))?;
    std::fs::write(world.tree().join("stray"), "x")?;
    world.control.complete(run, json!(1)).await?;
    world.control.until_finished(run).await?;
    assert!(world.tree().join("README").exists());
    assert!(!world.tree().join("stray").exists());
    let numbers: Vec<_> = world
        .driver
        .attempts()
        .iter()
        .map(|attempt| attempt.number)
        .collect();
    assert_eq!(numbers, [3], "a new number for every try");
    Ok(())
}

#[tokio::test]
async fn a_wake_that_fails_three_times_keeps_the_image_and_a_later_one_succeeds() -> Result<()> {
    let (world, run) = World::with_run(waits(0)).await?;
    world.control.until_machine(Machine::Parked).await?;
    for _ in 0..3 {
        world.driver.inject(Operation::Restore, Effect::Fail);
    }
    world.control.complete(run, json!(1)).await?;
    world
        .control
        .until("the wake is given up", |state| !state.failures.is_empty())
        .await?;
    {
        let state = world.control.state();
        assert_eq!(state.failures[0]["kind"], "restore_failed");
        assert_eq!(state.failures[0]["checkpoint_kept"], true);
    }
    assert_eq!(world.images(), 1);
    world.until_no_machine().await?;
    world.control.place().await?;
    world.control.until_finished(run).await?;
    Ok(())
}

#[tokio::test]
async fn a_restore_that_hangs_and_comes_up_late_is_not_taken_for_the_next_one() -> Result<()> {
    let (world, run) = World::with_run(waits(0)).await?;
    world.control.until_machine(Machine::Parked).await?;
    world
        .driver
        .inject(Operation::Restore, Effect::HangThenHappen);
    world.control.complete(run, json!(1)).await?;
    world.control.until_finished(run).await?;
    assert_eq!(world.driver.attempts().len(), 1, "the late one is gone");
    assert_eq!(world.control.state().runs[&run].delivered.len(), 1);
    Ok(())
}

#[tokio::test]
async fn files_edited_while_parked_survive_a_failed_restore() -> Result<()> {
    let (world, run) = World::with_run(waits(0)).await?;
    world.control.until_machine(Machine::Parked).await?;
    world.until_no_machine().await?;
    let state_file = world.tree().with_file_name("state.json");
    world
        .until("the park is cleaned up", |_| {
            std::fs::read_to_string(&state_file).is_ok_and(|text| text.contains(r#""clean":true"#))
        })
        .await?;
    std::fs::write(world.tree().join("edited.txt"), "by hand")?;
    let state = std::fs::read_to_string(&state_file)?;
    std::fs::write(
        &state_file,
        state.replace(r#""edited":false"#, r#""edited":true"#),
    )?;
    world.driver.inject(Operation::Restore, Effect::Fail);
    world.control.complete(run, json!(1)).await?;
    world.control.until_finished(run).await?;
    assert_eq!(
        std::fs::read_to_string(world.tree().join("edited.txt"))?,
        "by hand"
    );
    Ok(())
}

#[tokio::test]
async fn a_wake_for_an_image_that_is_not_here_says_so() -> Result<()> {
    let (world, run) = World::with_run(waits(0)).await?;
    world.control.until_machine(Machine::Parked).await?;
    world.until_no_machine().await?;
    std::fs::remove_dir_all(world.machine_dir().join("checkpoints"))?;
    world.control.complete(run, json!(1)).await?;
    world
        .control
        .until("the wake is given up", |state| !state.failures.is_empty())
        .await?;
    let state = world.control.state();
    assert_eq!(state.failures[0]["kind"], "restore_failed");
    assert_eq!(state.failures[0]["checkpoint_kept"], false);
    Ok(())
}

#[tokio::test]
async fn a_cancelled_run_is_woken_for_its_grace() -> Result<()> {
    let (world, run) = World::with_run(vec![
        says::started(),
        says::wait(1, 0),
        Step::Await(r#""type":"cancel""#.to_owned()),
        Step::Say(
            r#"{"type":"failed","error":{"kind":"task_error","message":"stopped"}}"#.to_owned(),
        ),
        Step::Exit(1),
    ])
    .await?;
    world.control.until_machine(Machine::Parked).await?;
    world.control.stop_run(run, Duration::from_secs(10)).await?;
    world.control.place().await?;
    assert_eq!(
        world.control.until_finished(run).await?["result"],
        "stopped"
    );
    Ok(())
}
