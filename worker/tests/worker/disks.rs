//! Workspaces on disks of their own: mounted while they are used, let go and removed when they are not.

use std::time::Duration;

use anyhow::Result;
use helmr_machine::scripted::Step;
use serde_json::json;

use crate::ledger::Machine;
use crate::park::waits;
use crate::world::{World, says};

const MIB: u64 = 1 << 20;

fn writes(bytes: usize) -> Vec<Step> {
    vec![
        says::started(),
        Step::Write("kept.txt".to_owned(), "k".repeat(bytes)),
        Step::Say(r#"{"type":"finished"}"#.to_owned()),
        Step::Exit(0),
    ]
}

/// A world whose machine has written a file and stopped.
async fn stopped(disk_bytes: u64, file_bytes: usize) -> Result<World> {
    let world = World::on_disks(disk_bytes, move |_| writes(file_bytes)).await?;
    world.control.state().assignment.auto_stop_after_ms = 0;
    world.control.add_run(world.run(1)).await?;
    world.control.until_machine(Machine::Stopped).await?;
    world.until_no_machine().await?;
    Ok(world)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_workspace_keeps_its_disk_and_a_worker_that_ends_lets_all_go() -> Result<()> {
    let mut world = World::on_disks(64 * MIB, |_| waits(0)).await?;
    let run = world.run(1);
    world.control.add_run(run.clone()).await?;
    world.control.until_machine(Machine::Parked).await?;
    world.until_no_machine().await?;
    assert!(world.disk().is_mounted());
    assert_eq!(world.disk().size_bytes()?, Some(64 * MIB));
    world.shutdown(Duration::ZERO).await?;
    assert_eq!(world.mounts(), Vec::<String>::new());
    world.start().await?;
    world.control.complete(run.run_id, json!("go")).await?;
    world.control.until_finished(run.run_id).await?;
    let file = world.disk().tree().join("after.txt");
    assert_eq!(std::fs::read_to_string(file)?, "woke");
    world.shutdown(Duration::ZERO).await?;
    assert_eq!(world.mounts(), Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_killed_leaves_disks_mounted_for_the_next() -> Result<()> {
    let mut world = World::on_disks(64 * MIB, |_| {
        vec![
            says::started(),
            Step::Write("before.txt".to_owned(), "before".to_owned()),
            Step::Gate("end".to_owned()),
            Step::Say(r#"{"type":"finished"}"#.to_owned()),
            Step::Exit(0),
        ]
    })
    .await?;
    let run = world.run(1);
    world.control.add_run(run.clone()).await?;
    let file = world.disk().tree().join("before.txt");
    world.until("it has written", |_| file.exists()).await?;
    world.kill().await;
    assert!(world.disk().is_mounted());
    world.start().await?;
    world.driver.open_gate("end");
    world.control.until_finished(run.run_id).await?;
    assert_eq!(std::fs::read_to_string(file)?, "before");
    world.shutdown(Duration::ZERO).await?;
    assert_eq!(world.mounts(), Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_size_comes_with_the_next_start_and_the_files_with_it() -> Result<()> {
    let mut world = stopped(64 * MIB, 1_000).await?;
    assert_eq!(world.disk().size_bytes()?, Some(64 * MIB));
    world.next_machine(9);
    world.control.state().assignment.machine.disk_bytes = 96 * MIB;
    let next = world.run(2);
    world.control.add_run(next.clone()).await?;
    world.control.until_finished(next.run_id).await?;
    assert_eq!(world.disk().size_bytes()?, Some(96 * MIB));
    let file = std::fs::read(world.disk().tree().join("kept.txt"))?;
    assert_eq!(file.len(), 1_000);
    world.shutdown(Duration::ZERO).await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_do_not_fit_on_a_smaller_disk_stay_a_version_and_say_so() -> Result<()> {
    let mut world = stopped(64 * MIB, 30 << 20).await?;
    world.next_machine(9);
    world.control.state().assignment.machine.disk_bytes = 16 * MIB;
    world.control.add_run(world.run(2)).await?;
    world
        .control
        .until("the start is given up", |state| !state.failures.is_empty())
        .await?;
    let failure = world.control.state().failures[0].clone();
    assert_eq!(failure["kind"], "disk_full", "{failure}");
    let message = failure["message"].as_str().unwrap();
    assert!(message.contains("16 MiB"), "{message}");
    world.shutdown(Duration::ZERO).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_deleted_workspace_goes_soon() -> Result<()> {
    let mut world = World::on_disks(64 * MIB, |_| waits(0)).await?;
    world.control.add_run(world.run(1)).await?;
    world.control.until_machine(Machine::Parked).await?;
    world.control.state().all_over = true;
    world
        .until("its machine is gone", |world| !world.machine_dir().exists())
        .await?;
    let disk = world.disk();
    let directory = disk.directory().parent().unwrap();
    world
        .until("its files are gone", |_| !directory.exists())
        .await?;
    world.shutdown(Duration::ZERO).await?;
    assert_eq!(world.mounts(), Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_machine_that_was_lost_with_this_worker_are_kept_beside() -> Result<()> {
    let mut world = World::on_disks(64 * MIB, |_| {
        vec![
            says::started(),
            Step::Write("newer.txt".to_owned(), "newer".to_owned()),
            Step::Gate("never".to_owned()),
        ]
    })
    .await?;
    world.control.add_run(world.run(1)).await?;
    let file = world.disk().tree().join("newer.txt");
    world.until("it has written", |_| file.exists()).await?;
    {
        let mut state = world.control.state();
        state.lost = true;
        state.leased = false;
        state.all_lost = true;
    }
    world
        .control
        .until("the files are kept", |state| !state.beside.is_empty())
        .await?;
    world.until_no_machine().await?;
    let kept = world.control.state().beside.clone();
    assert_eq!(kept.len(), 1);
    assert_eq!(
        (kept[0].parent, kept[0].version.size_bytes > 4),
        (None, true)
    );
    world.shutdown(Duration::ZERO).await
}
