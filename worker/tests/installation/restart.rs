//! Control plane and worker are killed, or told to go, and started again.

use std::time::Duration;

use anyhow::Result;
use helmr_machine::scripted::{Effect, Operation, Step};
use serde_json::json;

use crate::site::{Site, count, says};

fn waits() -> Vec<Step> {
    vec![
        says::started(),
        says::wait_for_input(1),
        says::answered(1),
        says::finished(),
        Step::Exit(0),
    ]
}

#[tokio::test]
async fn a_parked_run_wakes_after_everything_was_killed() -> Result<()> {
    let mut site = Site::new(0, |_| waits()).await?;
    let (session, run) = site.session(&json!({})).await?;
    site.until_parked(&run).await?;
    site.kill_and_restart().await?;
    site.send_input(&session, &json!("woken")).await?;
    let ended = site.until_status(&run, "succeeded").await?;
    assert_eq!(ended["output"]["data"], "woken");
    assert_eq!(ended["attempt_number"], 1);
    Ok(())
}

#[tokio::test]
async fn a_live_run_does_not_notice_that_everything_was_killed() -> Result<()> {
    let mut site = Site::new(2000, |_| {
        vec![
            says::started(),
            Step::Gate("go".to_owned()),
            says::call(1, "metadata.set", &json!({"key": "a", "value": 1})),
            says::answered(1),
            says::finished(),
            Step::Exit(0),
        ]
    })
    .await?;
    let (_, run) = site.session(&json!({})).await?;
    site.until_status(&run, "running").await?;
    site.until_machines(1).await?;
    site.kill();
    site.driver.open_gate("go");
    site.start().await?;
    let ended = site.until_status(&run, "succeeded").await?;
    assert_eq!(ended["output"], json!({"a": 1}));
    assert_eq!(ended["attempt_number"], 1);
    Ok(())
}

#[tokio::test]
async fn a_kill_at_any_step_of_a_park_or_wake_loses_nothing() -> Result<()> {
    let steps = [
        (Operation::Start, "preparing"),
        (Operation::Pause, "parking"),
        (Operation::Checkpoint, "parking"),
        (Operation::Kill, "parked"),
        (Operation::Restore, "resuming"),
    ];
    for (operation, placement) in steps {
        let mut site = Site::new(0, |_| waits()).await?;
        site.driver
            .inject(operation, Effect::Slow(Duration::from_secs(600)));
        let (session, run) = site.session(&json!({})).await?;
        if operation == Operation::Restore {
            site.until_parked(&run).await?;
            site.send_input(&session, &json!("x")).await?;
        }
        site.until(&run, placement, |run| {
            run["placement"]["state"] == placement
        })
        .await?;
        if matches!(operation, Operation::Start | Operation::Restore) {
            // Placed before the worker hears of it; the runtime is asked right after the socket is there.
            site.until_listening().await?;
        }
        site.kill_and_restart().await?;
        if operation != Operation::Restore {
            site.send_input(&session, &json!("x")).await?;
        }
        let ended = site.until_status(&run, "succeeded").await?;
        assert_eq!(ended["output"]["data"], "x", "at {operation:?}");
        assert_eq!(ended["attempt_number"], 1, "at {operation:?}");
        let kinds = site.kinds(&run).await?;
        let resolved = kinds.iter().filter(|kind| *kind == "wait.resolved").count();
        assert_eq!(resolved, 1, "at {operation:?}: {kinds:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_stop_parks_a_running_run_and_the_next_start_goes_on_with_it_unasked() -> Result<()> {
    let mut site = Site::new(2000, |_| {
        vec![
            says::started(),
            Step::Gate("go".to_owned()),
            Step::Say(r#"{"type":"finished","output":"done"}"#.to_owned()),
            Step::Exit(0),
        ]
    })
    .await?;
    let (_, run) = site.session(&json!({})).await?;
    site.until(&run, "it is live", |run| {
        run["status"] == "running" && run["placement"]["state"] == "live"
    })
    .await?;
    site.stop(Duration::from_millis(50)).await?;
    assert!(site.driver.attempts().is_empty());
    site.driver.open_gate("go");
    site.start().await?;
    let ended = site.until_status(&run, "succeeded").await?;
    assert_eq!(ended["output"], "done");
    assert_eq!(ended["attempt_number"], 1);
    let kinds = site.kinds(&run).await?;
    assert!(kinds.contains(&"run.moving".to_owned()), "{kinds:?}");
    Ok(())
}

#[tokio::test]
async fn a_stop_leaves_no_machine_and_no_scratch() -> Result<()> {
    let mut site = Site::new(60_000, |_| waits()).await?;
    let (session, run) = site.session(&json!({})).await?;
    site.until_status(&run, "waiting").await?;
    site.stop(Duration::from_secs(10)).await?;
    assert!(site.driver.attempts().is_empty());
    assert_eq!(count(&site.worker_dir().join("scratch")), 0);
    site.start().await?;
    site.send_input(&session, &json!(1)).await?;
    site.until_status(&run, "succeeded").await?;
    Ok(())
}

#[tokio::test]
async fn a_stop_right_after_a_kill_still_sets_every_machine_aside() -> Result<()> {
    let mut site = Site::new(60_000, |_| waits()).await?;
    let (session, run) = site.session(&json!({})).await?;
    site.until_status(&run, "waiting").await?;
    site.kill();
    site.start_unready().await?;
    site.stop(Duration::from_secs(1)).await?;
    assert!(site.driver.attempts().is_empty());
    site.start().await?;
    site.send_input(&session, &json!(1)).await?;
    site.until_status(&run, "succeeded").await?;
    Ok(())
}

#[tokio::test]
async fn a_machine_that_died_unseen_fails_its_run() -> Result<()> {
    let mut site = Site::new(2000, |_| {
        vec![says::started(), Step::Gate("never".to_owned())]
    })
    .await?;
    let (_, run) = site.session(&json!({})).await?;
    site.until(&run, "it is live", |run| {
        run["placement"]["state"] == "live"
    })
    .await?;
    site.until(&run, "it has started", |run| !run["started_at"].is_null())
        .await?;
    site.kill();
    let attempt = site.driver.attempts()[0].clone();
    assert!(site.driver.crash(&attempt));
    site.start().await?;
    let ended = site.until_status(&run, "failed").await?;
    assert_eq!(ended["error"]["kind"], "sandbox_failed");
    Ok(())
}
