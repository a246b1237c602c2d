//! From an assignment to a live machine.

use anyhow::Result;
use helmr_machine::scripted::{Effect, Operation, Step};

use crate::ledger::Machine;
use crate::world::{World, says};

#[tokio::test]
async fn a_run_starts_in_a_machine_with_the_images_files_and_its_bundle() -> Result<()> {
    let (world, run) = World::with_run(vec![
        says::started(),
        says::call(1, "echo"),
        says::answered(1),
        says::finished(),
        Step::Exit(0),
    ])
    .await?;
    let finished = world.control.until_finished(run).await?;
    assert_eq!(finished["result"], "succeeded");
    assert_eq!(finished["output"]["of"], 1);
    let tree = world.tree();
    assert_eq!(
        std::fs::read_to_string(tree.join("README"))?,
        "from the image\n"
    );
    let bundle = world.run(1).bundle_sha256;
    let bundles = world.machine_dir().join("bundles").join(bundle);
    assert!(bundles.join("runtime.mjs").is_file() && bundles.join("tasks/a.mjs").is_file());
    let state = world.control.state();
    assert_eq!((state.runs[&run].inputs, state.runs[&run].started), (1, 1));
    let live = state.log.iter().position(|report| report == "live");
    let started = state.log.iter().position(|report| report == "started");
    assert!(
        live < started,
        "task code ran before the control plane knew of the machine"
    );
    Ok(())
}

#[tokio::test]
async fn a_start_that_the_runtime_refuses_once_is_tried_again() -> Result<()> {
    let world = World::new(|_| vec![says::started(), Step::Exit(0)]).await?;
    world.driver.inject(Operation::Start, Effect::Fail);
    let run = world.run(1);
    world.control.add_run(run.clone()).await?;
    world.control.until_machine(Machine::Live).await?;
    world.control.until_finished(run.run_id).await?;
    assert_eq!(
        world.driver.attempts().len(),
        1,
        "the failed attempt is gone"
    );
    assert_eq!(world.driver.attempts()[0].number, 2);
    Ok(())
}

#[tokio::test]
async fn a_machine_that_has_come_up_is_held_to_its_share_of_the_processor() -> Result<()> {
    let world = World::new(|_| crate::park::waits(600_000)).await?;
    world.driver.inject(Operation::Confine, Effect::Fail);
    world.control.add_run(world.run(1)).await?;
    world.control.until_machine(Machine::Live).await?;
    let attempt = world.driver.attempts()[0].clone();
    let limits = |world: &World| world.driver.confined_to(&attempt);
    assert_eq!(limits(&world), None, "it still comes up");
    world
        .until("it is confined", |world| {
            limits(world).is_some_and(|limits| limits.cpu_millis > 0)
        })
        .await
}

#[tokio::test]
async fn a_machine_that_cannot_start_is_reported_and_leaves_nothing() -> Result<()> {
    let world = World::new(|_| vec![]).await?;
    world.driver.inject(Operation::Start, Effect::Fail);
    world.driver.inject(Operation::Start, Effect::Fail);
    world.control.add_run(world.run(1)).await?;
    world.control.until_machine(Machine::Failed).await?;
    assert_eq!(world.control.state().failures[0]["kind"], "sandbox_failed");
    world.until_no_machine().await?;
    world
        .until("its directory is gone", |world| {
            !world.machine_dir().exists()
        })
        .await
}

#[tokio::test]
async fn an_image_that_is_not_what_its_digest_says_fails_the_machine() -> Result<()> {
    let world = World::new(|_| vec![]).await?;
    world.control.state().assignment.machine.image_digest = format!("sha256:{}", "0".repeat(64));
    world.control.add_run(world.run(1)).await?;
    world.control.until_machine(Machine::Failed).await?;
    assert_eq!(world.control.state().failures[0]["kind"], "image_failed");
    assert!(world.driver.attempts().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_second_run_joins_the_live_machine() -> Result<()> {
    let (world, first) = World::with_run(vec![
        says::started(),
        Step::Gate("end".to_owned()),
        Step::Exit(0),
    ])
    .await?;
    world.control.until_machine(Machine::Live).await?;
    let second = world.run(2);
    world.control.add_run(second.clone()).await?;
    world
        .control
        .until("both run", |state| {
            state.runs.values().all(|run| run.started == 1)
        })
        .await?;
    assert_eq!(world.driver.attempts().len(), 1);
    world.driver.open_gate("end");
    world.control.until_finished(first).await?;
    world.control.until_finished(second.run_id).await?;
    assert_eq!(world.control.state().count("live"), 1);
    Ok(())
}
