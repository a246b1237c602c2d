//! A worker is killed and another starts on its directory.

use std::time::Duration;

use anyhow::Result;
use helmr_api::worker::ExecAssignment;
use helmr_domain::{ExecId, Timestamp};
use helmr_machine::scripted::{Effect, Operation, Step};
use serde_json::json;

use crate::ledger::Machine;
use crate::park::waits;
use crate::world::{World, says};

#[tokio::test]
async fn a_live_machine_goes_on_without_the_task_noticing() -> Result<()> {
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
    world.kill_and_restart().await?;
    world.driver.open_gate("go");
    let finished = world.control.until_finished(run).await?;
    assert_eq!(finished["output"]["of"], 1);
    assert_eq!(
        world.driver.attempts()[0].number,
        1,
        "it is the same machine"
    );
    let state = world.control.state();
    assert_eq!((state.runs[&run].started, state.runs[&run].inputs), (1, 1));
    Ok(())
}

#[tokio::test]
async fn what_a_task_says_while_no_worker_is_there_is_not_lost() -> Result<()> {
    let (mut world, run) = World::with_run(vec![
        says::started(),
        Step::Gate("go".to_owned()),
        Step::Print("meanwhile\n".to_owned()),
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
    world.kill().await;
    world.driver.open_gate("go");
    world.start().await?;
    world.control.until_finished(run).await?;
    assert_eq!(
        world.control.state().runs[&run].output["stdout"],
        "meanwhile\n"
    );
    Ok(())
}

/// Otherwise it would be `starting` for as long as it runs, and no timeout of it would begin.
#[tokio::test]
async fn the_start_of_an_exec_is_told_by_the_next_worker_if_it_was_not_before() -> Result<()> {
    let mut world = World::new(|_| vec![Step::Gate("end".to_owned()), Step::Exit(0)]).await?;
    let exec = ExecAssignment {
        exec_id: ExecId::new(Timestamp::from_micros(1), [1; 10]).into(),
        terminal: None,
        command: vec!["sleep".to_owned()],
        cwd: None,
        user: None,
        env: Vec::new(),
        started: false,
        signals: Vec::new(),
        stdin_end: 0,
        stdin_closed: false,
    };
    world.control.state().assignment.execs.push(exec);
    world
        .control
        .state()
        .blocked
        .insert("exec started".to_owned());
    world.control.place().await?;
    let told = |what: &'static str| {
        move |state: &crate::ledger::State| state.log.iter().any(|line| line == what)
    };
    world
        .control
        .until("it is begun", told("exec started blocked"))
        .await?;
    world.kill().await;
    world.control.state().blocked.clear();
    world.start().await?;
    world
        .control
        .until("its start is told", told("exec started"))
        .await?;
    assert_eq!(world.driver.attempts()[0].number, 1, "in the same machine");
    world.driver.open_gate("end");
    world
        .control
        .until("its end is told", told("exec ended"))
        .await
}

#[tokio::test]
async fn a_report_whose_answer_was_lost_is_made_again_and_counts_once() -> Result<()> {
    for report in [
        "calls",
        "delivered",
        "finished",
        "output",
        "started",
        "live",
        "input",
    ] {
        let world = World::new(|_| {
            vec![
                says::started(),
                Step::Print("out\n".to_owned()),
                says::call(1, "echo"),
                says::answered(1),
                says::wait(2, 600_000),
                says::answered(2),
                says::finished(),
                Step::Exit(0),
            ]
        })
        .await?;
        let mut world = world;
        world.control.state().held.insert(report.to_owned());
        let run = world.run(1);
        world.control.add_run(run.clone()).await?;
        let run = run.run_id;
        if report == "delivered" || report == "finished" {
            world
                .control
                .until("it waits", |state| {
                    state.runs[&run].assignment.waiting.is_some()
                })
                .await?;
            world.control.complete(run, json!("x")).await?;
        }
        world
            .control
            .until("the report is taken", |state| state.count(report) > 0)
            .await?;
        world.kill().await;
        world.control.state().held.clear();
        world.start().await?;
        let waiting = world.control.state().runs[&run].delivered.is_empty();
        if waiting {
            world
                .control
                .until(&format!("it waits, after {report}"), |state| {
                    state.runs[&run].assignment.waiting.is_some()
                })
                .await?;
            if world.control.state().runs[&run]
                .assignment
                .outcomes
                .is_empty()
            {
                world.control.complete(run, json!("x")).await?;
            }
        }
        let finished = world.control.until_finished(run).await?;
        assert_eq!(finished["output"], "x", "after {report}");
        let state = world.control.state();
        let run = &state.runs[&run];
        assert_eq!(run.delivered.len(), 1, "after {report}");
        assert_eq!(run.output["stdout"], "out\n", "after {report}");
        assert_eq!(state.fenced, 0, "after {report}");
    }
    Ok(())
}

#[tokio::test]
async fn what_a_task_says_after_an_outcome_is_heard_after_its_delivery() -> Result<()> {
    let (mut world, run) = World::with_run(vec![
        says::started(),
        says::wait(1, 600_000),
        says::answered(1),
        says::wait(2, 600_000),
        says::answered(2),
        says::finished(),
        Step::Exit(0),
    ])
    .await?;
    world
        .control
        .until("it waits", |state| {
            state.runs[&run].assignment.waiting.is_some()
        })
        .await?;
    world.control.state().blocked.insert("delivered".to_owned());
    world.control.complete(run, json!(1)).await?;
    world
        .control
        .until("the task has the outcome", |state| {
            state.count("delivered blocked") > 0
        })
        .await?;
    let beats = world.control.state().beats;
    world
        .control
        .until("time passes", |state| state.beats > beats + 3)
        .await?;
    assert_eq!(world.control.state().runs[&run].calls.len(), 1);
    // The next worker knows nothing of what the task was told, and hears its second wait first.
    world.kill().await;
    world.control.state().blocked.clear();
    world.start().await?;
    world
        .control
        .until("it waits again", |state| {
            let run = &state.runs[&run];
            run.calls.len() == 2 && run.assignment.waiting.is_some()
        })
        .await?;
    world.control.complete(run, json!(2)).await?;
    assert_eq!(world.control.until_finished(run).await?["output"], 2);
    assert_eq!(world.control.state().runs[&run].delivered.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_worker_killed_at_any_step_of_a_park_finishes_or_undoes_it() -> Result<()> {
    for operation in [Operation::Pause, Operation::Checkpoint, Operation::Kill] {
        let (mut world, run) = World::with_run(waits(100)).await?;
        world
            .driver
            .inject(operation, Effect::Slow(Duration::from_secs(600)));
        let step = |state: &crate::ledger::State| match operation {
            Operation::Kill => state.count("parked") == 1,
            _ => state.count("parking") == 1,
        };
        world.control.until("the park is under way", step).await?;
        world.kill_and_restart().await?;
        world.control.until_machine(Machine::Parked).await?;
        world.until_no_machine().await?;
        assert_eq!(world.images(), 1, "at {operation:?}");
        world.control.complete(run, json!("still")).await?;
        let finished = world.control.until_finished(run).await?;
        assert_eq!(finished["output"], "still", "at {operation:?}");
        assert_eq!(world.control.state().runs[&run].delivered.len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_park_whose_answer_was_lost_stands() -> Result<()> {
    let (mut world, run) = World::with_run(waits(0)).await?;
    world.control.state().held.insert("parked".to_owned());
    world.control.until_machine(Machine::Parked).await?;
    world.kill().await;
    world.control.state().held.clear();
    world.start().await?;
    world.until_no_machine().await?;
    assert_eq!(world.images(), 1);
    world.control.complete(run, json!(1)).await?;
    world.control.until_finished(run).await?;
    Ok(())
}

#[tokio::test]
async fn a_worker_killed_while_restoring_restores_again() -> Result<()> {
    for effect in [Effect::Slow(Duration::from_secs(4)), Effect::Hang] {
        let (mut world, run) = World::with_run(waits(0)).await?;
        world.control.until_machine(Machine::Parked).await?;
        world.until_no_machine().await?;
        world.driver.inject(Operation::Restore, effect);
        world.control.complete(run, json!(1)).await?;
        let record = world.machine_dir().join("machine.json");
        world
            .until("it restores", |_| {
                std::fs::read_to_string(&record).is_ok_and(|text| text.contains("restoring"))
            })
            .await?;
        world.kill_and_restart().await?;
        world.control.until_finished(run).await?;
        assert_eq!(world.driver.attempts().len(), 1);
        assert_eq!(world.control.state().runs[&run].delivered.len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn a_worker_killed_right_after_a_restore_adopts_the_restored_machine() -> Result<()> {
    let (mut world, run) = World::with_run(waits(0)).await?;
    world.control.until_machine(Machine::Parked).await?;
    world.until_no_machine().await?;
    world.control.state().held.insert("live".to_owned());
    world.control.complete(run, json!(1)).await?;
    world
        .control
        .until("it is live again", |state| state.count("live") == 2)
        .await?;
    world.kill().await;
    world.control.state().held.clear();
    world.start().await?;
    world.control.until_finished(run).await?;
    assert_eq!(
        world.driver.attempts()[0].number,
        2,
        "it is the machine that was restored"
    );
    world
        .until("its image is gone", |world| world.images() == 0)
        .await
}

#[tokio::test]
async fn a_worker_killed_while_starting_starts_anew() -> Result<()> {
    let mut world = World::new(|_| vec![says::started(), Step::Exit(0)]).await?;
    world
        .driver
        .inject(Operation::Start, Effect::Slow(Duration::from_secs(600)));
    let run = world.run(1);
    world.control.add_run(run.clone()).await?;
    let record = world.machine_dir().join("machine.json");
    world
        .until("it starts", |_| {
            std::fs::read_to_string(&record).is_ok_and(|text| text.contains("starting"))
        })
        .await?;
    world.kill_and_restart().await?;
    world.control.until_finished(run.run_id).await?;
    assert_eq!(world.driver.attempts()[0].number, 2);
    Ok(())
}

#[tokio::test]
async fn a_machine_that_died_while_no_worker_was_there_is_reported_with_its_files() -> Result<()> {
    let (mut world, run) = World::with_run(vec![
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
    world.kill().await;
    let attempt = world.driver.attempts()[0].clone();
    assert!(world.driver.crash(&attempt));
    world.start().await?;
    world.control.until_machine(Machine::Failed).await?;
    let state = world.control.state();
    assert_eq!(state.failures[0]["kind"], "machine_died");
    assert_eq!(state.versions.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_machine_whose_lease_went_elsewhere_is_killed() -> Result<()> {
    let (mut world, run) =
        World::with_run(vec![says::started(), Step::Gate("never".to_owned())]).await?;
    world
        .control
        .until("it runs", |state| state.runs[&run].started == 1)
        .await?;
    world.kill().await;
    world.control.state().lost = true;
    world.start().await?;
    world.until_no_machine().await?;
    assert_eq!(world.control.state().count("failed"), 0);
    Ok(())
}
