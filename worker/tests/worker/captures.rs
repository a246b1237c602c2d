//! Versions that people ask for, and those of runs that did not succeed.

use anyhow::Result;
use helmr_domain::{Timestamp, VersionId};
use helmr_machine::scripted::{Effect, Operation, Step};
use helmr_machine::{Driver as _, Presence};
use serde_json::json;

use crate::control::DEADLINE;
use crate::ledger::Machine;
use crate::world::{World, key_text, says};

fn request(number: u8) -> VersionId {
    VersionId::new(Timestamp::from_micros(1_800_000_000_000_000), [number; 10])
}

/// A run that has written `name`, up to a gate.
fn at_work(name: &str) -> Vec<Step> {
    vec![
        says::started(),
        Step::Write(name.to_owned(), "x".to_owned()),
        says::call(1, "echo"),
        says::answered(1),
        Step::Gate("go on".to_owned()),
        Step::Say(r#"{"type":"finished"}"#.to_owned()),
        Step::Exit(0),
    ]
}

async fn working(name: &str) -> Result<(World, helmr_domain::RunId)> {
    let (world, run) = World::with_run(at_work(name)).await?;
    let written = |state: &crate::ledger::State| state.runs[&run].calls.len() == 1;
    world.control.until("it has written", written).await?;
    Ok((world, run))
}

/// Asks for versions, as a new assignment does.
async fn ask(world: &World, ids: &[VersionId]) -> Result<()> {
    world.control.state().assignment.captures = ids.to_vec();
    world.control.push().await
}

#[tokio::test]
async fn a_live_machine_is_captured_for_everyone_who_asks_and_goes_on() -> Result<()> {
    let (world, run) = working("made.txt").await?;
    let ids = [request(1), request(2)];
    ask(&world, &ids).await?;
    world
        .control
        .until("it is captured", |state| !state.asked.is_empty())
        .await?;
    assert_eq!(world.control.state().asked, [ids.to_vec()]);
    assert_eq!(world.control.state().versions[0].version_id, ids[1]);
    // The same assignment again asks for nothing new.
    world.control.push().await?;
    world.driver.open_gate("go on");
    world.control.until_finished(run).await?;
    assert_eq!(world.control.state().asked.len(), 1);
    assert_eq!(world.control.state().machine, Machine::Live);
    Ok(())
}

#[tokio::test]
async fn nothing_changed_is_a_version_too_when_somebody_asks() -> Result<()> {
    let (world, _) = working("made.txt").await?;
    for number in [1, 2] {
        ask(&world, &[request(number)]).await?;
        let count = usize::from(number);
        world
            .control
            .until("it is captured", |state| state.asked.len() == count)
            .await?;
    }
    let state = world.control.state();
    assert_eq!(state.versions[0].manifest, state.versions[1].manifest);
    Ok(())
}

#[tokio::test]
async fn a_worker_that_dies_before_its_word_arrives_captures_again_under_the_same_id() -> Result<()>
{
    let (mut world, run) = working("made.txt").await?;
    world.control.state().blocked.insert("version".to_owned());
    ask(&world, &[request(1)]).await?;
    world
        .control
        .until("it would tell", |state| state.count("version blocked") == 1)
        .await?;
    assert!(world.control.state().versions.is_empty(), "not at all");
    world.control.state().blocked.clear();
    world.kill_and_restart().await?;
    world
        .control
        .until("it is captured", |state| state.asked.len() == 1)
        .await?;
    assert_eq!(world.control.state().versions[0].version_id, request(1));
    world.driver.open_gate("go on");
    world.control.until_finished(run).await?;
    Ok(())
}

#[tokio::test]
async fn a_machine_found_paused_in_the_midst_of_a_capture_goes_on() -> Result<()> {
    let (mut world, run) = working("made.txt").await?;
    world.driver.inject(
        Operation::Resume,
        Effect::Slow(std::time::Duration::from_secs(600)),
    );
    ask(&world, &[request(1)]).await?;
    let attempt = world.driver.attempts()[0].clone();
    let paused = async {
        while !matches!(world.driver.presence(&attempt).await, Ok(Presence::Paused)) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, paused).await?;
    world.kill_and_restart().await?;
    world
        .control
        .until("it is captured", |state| state.asked.len() == 1)
        .await?;
    world.driver.open_gate("go on");
    world.control.until_finished(run).await?;
    Ok(())
}

#[tokio::test]
async fn files_are_kept_of_runs_that_fail_and_of_runs_that_are_stopped() -> Result<()> {
    let (world, _) = World::with_run(vec![
        says::started(),
        Step::Write("made.txt".to_owned(), "x".to_owned()),
        Step::Exit(3),
    ])
    .await?;
    world
        .control
        .until("a version is kept", |state| state.versions.len() == 1)
        .await?;
    let (world, run) = World::with_run(vec![
        says::started(),
        Step::Write("made.txt".to_owned(), "x".to_owned()),
        says::call(1, "echo"),
        says::answered(1),
        Step::Await(r#""type":"cancel""#.to_owned()),
        Step::Exit(1),
    ])
    .await?;
    let written = |state: &crate::ledger::State| state.runs[&run].calls.len() == 1;
    world.control.until("it has written", written).await?;
    world
        .control
        .stop_run(run, std::time::Duration::from_secs(10))
        .await?;
    world
        .control
        .until("a version is kept", |state| state.versions.len() == 1)
        .await?;
    assert_eq!(world.control.state().machine, Machine::Live);
    Ok(())
}

#[tokio::test]
async fn files_are_stored_as_they_lie_and_no_version_is_made() -> Result<()> {
    let (world, _) = working("made.txt").await?;
    let path = format!(
        "/v1/workspaces/{}/capture",
        world.control.state().assignment.workspace_id
    );
    let body = json!({ "data_key": key_text(2) });
    let (status, stored) = world.control.ask(&path, &body).await?;
    assert_eq!(status.as_u16(), 200, "{stored}");
    assert_eq!(stored["edited"], false);
    assert_eq!(stored["size_bytes"], 16, "README and made.txt");
    assert!(world.control.state().versions.is_empty());
    let (again, repeated) = world.control.ask(&path, &body).await?;
    assert_eq!(
        (again, &repeated["manifest"]),
        (status, &stored["manifest"])
    );
    let elsewhere = "/v1/workspaces/ws_00000000000000000000000000/capture";
    let (status, _) = world.control.ask(elsewhere, &body).await?;
    assert_eq!(status.as_u16(), 404);
    let (status, _) = world
        .control
        .ask(&path, &json!({ "data_key": "no" }))
        .await?;
    assert_eq!(status.as_u16(), 400);
    Ok(())
}
