//! What passes between a run and the control plane.

use std::time::Duration;

use anyhow::Result;
use helmr_machine::scripted::Step;
use serde_json::json;

use crate::ledger::Machine;
use crate::world::{World, says};

async fn ends_as(steps: Vec<Step>) -> Result<serde_json::Value> {
    let (world, run) = World::with_run(steps).await?;
    world.control.until_finished(run).await
}

#[tokio::test]
async fn calls_are_answered_in_order_and_refusals_reach_the_task() -> Result<()> {
    let (world, run) = World::with_run(vec![
        says::started(),
        says::call(1, "echo"),
        says::call(2, "refuse"),
        Step::Await(r#""code":"nope""#.to_owned()),
        says::call(3, "echo"),
        says::answered(3),
        says::finished(),
        Step::Exit(0),
    ])
    .await?;
    let finished = world.control.until_finished(run).await?;
    assert_eq!(finished["output"], json!({"of": 3, "args": {"n": 3}}));
    Ok(())
}

#[tokio::test]
async fn output_and_entries_come_whole_and_before_the_end_is_told() -> Result<()> {
    let big = "x".repeat(300_000);
    let (world, run) = World::with_run(vec![
        says::started(),
        Step::Print("one\n".to_owned()),
        Step::Say(r#"{"type":"entry","level":"info","message":"hello","at_ms":5}"#.to_owned()),
        Step::PrintError("oops\n".to_owned()),
        Step::Print(big.clone()),
        Step::Say(r#"{"type":"finished"}"#.to_owned()),
        Step::Exit(0),
    ])
    .await?;
    world.control.until_finished(run).await?;
    let state = world.control.state();
    let run = &state.runs[&run];
    assert_eq!(run.output["stderr"], "oops\n");
    assert!(run.output["stdout"] == format!("one\n{big}"));
    let entries: Vec<_> = run.entries.values().collect();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["message"], "hello");
    assert_eq!(entries[0]["at_us"], 5000);
    Ok(())
}

#[tokio::test]
async fn an_exit_without_a_word_is_task_exited_with_its_code() -> Result<()> {
    let finished = ends_as(vec![says::started(), Step::Exit(3)]).await?;
    assert_eq!(finished["kind"], "task_exited");
    assert_eq!(finished["exit_code"], 3);
    Ok(())
}

#[tokio::test]
async fn a_task_that_leaves_by_itself_has_the_words_of_its_runtime_and_its_code() -> Result<()> {
    let line = json!({"type": "failed", "error":
        {"kind": "task_exited", "name": "ProcessExitError", "message": "it called exit"}});
    let finished = ends_as(vec![
        says::started(),
        Step::Say(line.to_string()),
        Step::Exit(3),
    ])
    .await?;
    assert_eq!(finished["kind"], "task_exited");
    assert_eq!(finished["message"], "it called exit");
    assert_eq!(finished["exit_code"], 3);
    Ok(())
}

#[tokio::test]
async fn a_failure_keeps_its_kind_and_an_invented_kind_becomes_task_error() -> Result<()> {
    for (said, expected) in [
        ("payload_invalid", "payload_invalid"),
        ("worker_lost", "task_error"),
    ] {
        let line = json!({"type": "failed", "error": {"kind": said, "name": "E", "message": "m"}});
        let finished = ends_as(vec![Step::Say(line.to_string()), Step::Exit(1)]).await?;
        assert_eq!(finished["kind"], expected);
        assert_eq!(finished["message"], "m");
    }
    Ok(())
}

#[tokio::test]
async fn garbage_on_the_channel_fails_the_run_and_not_the_machine() -> Result<()> {
    let (world, run) = World::with_run(vec![
        says::started(),
        Step::Say("this is no line".to_owned()),
        Step::Gate("never".to_owned()),
    ])
    .await?;
    let finished = world.control.until_finished(run).await?;
    assert_eq!(finished["kind"], "task_error");
    assert!(finished["message"].as_str().unwrap().contains("channel"));
    // Its process is killed, which ends with its files kept; the machine goes on with another run.
    let next = world.run(2);
    world.control.add_run(next.clone()).await?;
    world
        .control
        .until("the next run starts", |state| {
            state.runs[&next.run_id].started == 1
        })
        .await?;
    assert_eq!(world.control.state().machine, Machine::Live);
    Ok(())
}

#[tokio::test]
async fn a_stopped_run_is_told_and_then_killed() -> Result<()> {
    let (world, run) = World::with_run(vec![
        says::started(),
        Step::Await(r#""type":"cancel""#.to_owned()),
        Step::PrintError("told\n".to_owned()),
        Step::Gate("never".to_owned()),
    ])
    .await?;
    world
        .control
        .until("it runs", |state| state.runs[&run].started == 1)
        .await?;
    world
        .control
        .stop_run(run, Duration::from_millis(300))
        .await?;
    let finished = world.control.until_finished(run).await?;
    assert_eq!(finished["result"], "stopped");
    assert_eq!(finished["exit_code"], 137);
    assert_eq!(world.control.state().runs[&run].output["stderr"], "told\n");
    Ok(())
}

#[tokio::test]
async fn a_task_that_throws_when_told_to_stop_is_stopped_not_failed() -> Result<()> {
    let (world, run) = World::with_run(vec![
        says::started(),
        Step::Await(r#""type":"cancel""#.to_owned()),
        Step::Say(
            r#"{"type":"failed","error":{"kind":"task_error","message":"aborted"}}"#.to_owned(),
        ),
        Step::Exit(1),
    ])
    .await?;
    world
        .control
        .until("it runs", |state| state.runs[&run].started == 1)
        .await?;
    world.control.stop_run(run, Duration::from_secs(60)).await?;
    let finished = world.control.until_finished(run).await?;
    assert_eq!(finished["result"], "stopped");
    Ok(())
}

#[tokio::test]
async fn a_run_that_is_stopped_before_it_started_never_starts() -> Result<()> {
    let world = World::new(|_| vec![says::started()]).await?;
    let mut run = world.run(1);
    run.stop = Some(helmr_api::worker::StopOrder {
        reason: "cancelled".to_owned(),
        message: String::new(),
        kill_in_ms: 0,
    });
    world.control.add_run(run.clone()).await?;
    let finished = world.control.until_finished(run.run_id).await?;
    assert_eq!(finished["result"], "stopped");
    assert_eq!(world.control.state().runs[&run.run_id].started, 0);
    Ok(())
}

#[tokio::test]
async fn the_files_of_a_run_are_a_version_when_it_ends() -> Result<()> {
    let (world, run) = World::with_run(vec![
        says::started(),
        Step::Write("result.txt".to_owned(), "done".to_owned()),
        says::call(1, "echo"),
        says::answered(1),
        says::finished(),
        Step::Exit(0),
    ])
    .await?;
    world.control.until_finished(run).await?;
    world
        .control
        .until("a version is kept", |state| state.count("version") == 1)
        .await?;
    assert!(world.control.state().versions[0].changed_bytes > 0);
    Ok(())
}
