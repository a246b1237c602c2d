//! The promises.

use std::fs;
use std::time::Duration;

use helmr_guest_wire::{Body, Exit, RunPhase, StopMachine};
use helmr_machine::host::{self, Listener};
use helmr_machine::{Driver as _, Presence};
use serde_json::json;

use crate::rig::{DEADLINE, Live, Rig, attempt, spec};

fn exited(code: i32) -> Exit {
    Exit {
        code: Some(code),
        ..Exit::default()
    }
}

/// A machine whose counter has answered its init line.
async fn counting(rig: &impl Rig) -> Live {
    let mut live = Live::start(rig, 1).await;
    live.run(rig.counter());
    assert_eq!(
        live.line().await,
        json!({ "count": 1, "line": "init" }),
        "the init line is the first"
    );
    live
}

fn next_count(answer: &serde_json::Value) -> u64 {
    answer["count"].as_u64().unwrap() + 1
}

pub(crate) async fn a_started_machine_greets_and_its_run_talks_prints_and_ends(rig: &impl Rig) {
    let mut live = counting(rig).await;
    assert_eq!(live.link.greeting().runs, [], "a new machine knows no run");
    let last = live.ask("b").await;
    assert_eq!(last["line"], "b");
    live.until_printed(&format!("line {}\n", last["count"]))
        .await;
    live.say("exit");
    assert_eq!(live.until_exit().await, exited(0));
    live.kill(rig).await;
}

pub(crate) async fn a_checkpoint_continues_as_a_new_attempt_when_the_machine_is_dead(
    rig: &impl Rig,
) {
    let mut live = counting(rig).await;
    let before = live.ask("before").await;
    let boot_id = live.link.greeting().boot_id.clone();
    let parked = live.park(rig).await;
    let mut live = Live::restore(rig, 2, &parked).await;
    assert_eq!(
        live.link.greeting().boot_id,
        boot_id,
        "it is the same guest"
    );
    let phases: Vec<RunPhase> = live
        .link
        .greeting()
        .runs
        .iter()
        .map(|run| run.phase())
        .collect();
    assert_eq!(phases, [RunPhase::Alive]);
    assert_eq!(
        live.ask("after").await,
        json!({ "count": next_count(&before), "line": "after" })
    );
    live.say("exit");
    assert_eq!(live.until_exit().await, exited(0));
    live.kill(rig).await;
}

pub(crate) async fn one_checkpoint_restores_twice_side_by_side(rig: &impl Rig) {
    let mut live = counting(rig).await;
    let before = live.ask("before").await;
    let parked = live.park(rig).await;
    let mut one = Live::restore(rig, 2, &parked).await;
    let mut other = Live::restore(rig, 3, &parked).await;
    for live in [&mut one, &mut other] {
        assert_eq!(
            live.ask("after").await,
            json!({ "count": next_count(&before), "line": "after" })
        );
    }
    one.kill(rig).await;
    assert_eq!(other.ask("still").await["count"], next_count(&before) + 1);
    other.kill(rig).await;
}

pub(crate) async fn a_new_worker_finds_the_machine_where_it_was(rig: &impl Rig) {
    let mut live = counting(rig).await;
    live.acknowledging = false;
    let told = live.ask("not acknowledged").await;
    let mut live = live.take_over().await;
    assert_eq!(
        live.line().await,
        told,
        "what no worker acknowledged is told again"
    );
    assert_eq!(live.ask("next").await["count"], next_count(&told));
    live.kill(rig).await;
}

pub(crate) async fn a_checkpoint_leaves_the_machine_paused_and_it_can_go_on(rig: &impl Rig) {
    let mut live = counting(rig).await;
    let before = live.ask("before").await;
    rig.driver().pause(&live.attempt, DEADLINE).await.unwrap();
    rig.driver()
        .checkpoint(&live.attempt, &rig.path().join("image"), DEADLINE)
        .await
        .unwrap();
    assert_eq!(
        rig.driver().presence(&live.attempt).await.unwrap(),
        Presence::Paused
    );
    rig.driver().resume(&live.attempt, DEADLINE).await.unwrap();
    assert_eq!(live.ask("after").await["count"], next_count(&before));
    live.kill(rig).await;
}

pub(crate) async fn a_checkpoint_that_fails_leaves_no_image_and_the_machine_goes_on(
    rig: &impl Rig,
) {
    let mut live = counting(rig).await;
    let before = live.ask("before").await;
    rig.driver().pause(&live.attempt, DEADLINE).await.unwrap();
    let full = rig.failing_image();
    rig.driver()
        .checkpoint(&live.attempt, &full, DEADLINE)
        .await
        .unwrap_err();
    assert!(!full.exists(), "the torn image is gone");
    assert_eq!(
        rig.driver().presence(&live.attempt).await.unwrap(),
        Presence::Paused
    );
    let image = rig.path().join("image");
    rig.driver()
        .checkpoint(&live.attempt, &image, DEADLINE)
        .await
        .unwrap();
    rig.driver().resume(&live.attempt, DEADLINE).await.unwrap();
    assert_eq!(live.ask("after").await["count"], next_count(&before));
    live.kill(rig).await;
}

pub(crate) async fn a_torn_image_is_refused_and_leaves_nothing(rig: &impl Rig) {
    let live = counting(rig).await;
    let parked = live.park(rig).await;
    for file in fs::read_dir(&parked.image).unwrap() {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(file.unwrap().path())
            .unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    }
    let second = attempt(2);
    rig.driver()
        .restore(&second, &spec(rig, &second), &parked.image, DEADLINE)
        .await
        .unwrap_err();
    rig.driver().kill(&second, DEADLINE).await.unwrap();
    assert_eq!(rig.remains(&second), Vec::<String>::new());
}

pub(crate) async fn a_hello_of_another_attempt_is_not_accepted(rig: &impl Rig) {
    let live = counting(rig).await;
    // The worker has moved on to another attempt, in the same directory, and the old machine still dials.
    drop(live.link);
    let listener = Listener::bind(&live.spec.host_dir, &attempt(7), None).unwrap();
    fs::write(live.spec.host_dir.join("attempt"), live.attempt.container()).unwrap();
    let refused = listener
        .greeted(Duration::from_millis(500))
        .await
        .unwrap_err();
    assert!(matches!(refused, host::Error::NoHello { .. }), "{refused}");
    rig.driver().kill(&live.attempt, DEADLINE).await.unwrap();
}

pub(crate) async fn presence_tells_running_paused_and_gone(rig: &impl Rig) {
    assert_eq!(
        rig.driver().presence(&attempt(1)).await.unwrap(),
        Presence::Gone
    );
    let live = counting(rig).await;
    assert_eq!(
        rig.driver().presence(&live.attempt).await.unwrap(),
        Presence::Running
    );
    assert!(
        rig.driver()
            .stats(&live.attempt)
            .await
            .unwrap()
            .memory_bytes
            > 0
    );
    rig.driver().pause(&live.attempt, DEADLINE).await.unwrap();
    assert_eq!(
        rig.driver().presence(&live.attempt).await.unwrap(),
        Presence::Paused
    );
    rig.driver().resume(&live.attempt, DEADLINE).await.unwrap();
    assert_eq!(
        rig.driver().presence(&live.attempt).await.unwrap(),
        Presence::Running
    );
    let attempt = live.kill(rig).await;
    assert_eq!(
        rig.driver().presence(&attempt).await.unwrap(),
        Presence::Gone
    );
    rig.driver().stats(&attempt).await.unwrap_err();
    rig.driver().pause(&attempt, DEADLINE).await.unwrap_err();
}

pub(crate) async fn killing_is_repeatable_and_fine_for_what_never_started(rig: &impl Rig) {
    rig.driver().kill(&attempt(9), DEADLINE).await.unwrap();
    let attempt = counting(rig).await.kill(rig).await;
    rig.driver().kill(&attempt, DEADLINE).await.unwrap();
}

pub(crate) async fn what_exists_is_listed(rig: &impl Rig) {
    assert_eq!(rig.driver().list().await.unwrap(), []);
    let live = counting(rig).await;
    assert_eq!(
        rig.driver().list().await.unwrap(),
        std::slice::from_ref(&live.attempt)
    );
    live.kill(rig).await;
    assert_eq!(rig.driver().list().await.unwrap(), []);
}

pub(crate) async fn a_stopped_machine_is_gone_by_itself(rig: &impl Rig) {
    let live = counting(rig).await;
    live.link.send(Body::StopMachine(StopMachine {})).unwrap();
    let gone = async {
        while rig.driver().presence(&live.attempt).await.unwrap() != Presence::Gone {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, gone)
        .await
        .expect("the machine to be gone");
    live.kill(rig).await;
}
