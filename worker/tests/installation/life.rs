//! Runs from their start to their end, over parks and wakes.

use std::time::Duration;

use anyhow::{Context as _, Result};
use helmr_machine::scripted::{Effect, Operation, Step};
use serde_json::json;

use crate::site::{DEADLINE, Site, payload, reason, says};

fn waits_for_input(times: u64) -> Vec<Step> {
    let mut steps = vec![says::started()];
    for id in 1..=times {
        steps.extend([says::wait_for_input(id), says::answered(id)]);
    }
    steps.extend([says::finished(), Step::Exit(0)]);
    steps
}

#[tokio::test]
async fn a_run_succeeds_and_its_log_is_kept() -> Result<()> {
    let site = Site::new(2000, |_| {
        vec![
            says::started(),
            Step::Print("printed\n".to_owned()),
            says::call(1, "stream.append", &json!({"stream": "out", "data": 5})),
            says::answered(1),
            Step::Say(r#"{"type":"finished","output":{"fine":true}}"#.to_owned()),
            Step::Exit(0),
        ]
    })
    .await?;
    let (session, run) = site.session(&json!({})).await?;
    let ended = site.until_status(&run, "succeeded").await?;
    assert_eq!(ended["output"], json!({"fine": true}));
    let out = site
        .get(&format!("/api/v1/sessions/{session}/outputs/out"))
        .await?;
    assert_eq!(out["items"][0]["data"], 5);
    let log = site.get(&format!("/api/v1/runs/{run}/logs")).await?;
    assert!(log.to_string().contains("printed"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_run_parks_at_every_wait_and_input_wakes_it() -> Result<()> {
    let site = Site::new(0, |_| waits_for_input(5)).await?;
    let (session, run) = site.session(&json!({})).await?;
    for round in 1..=5 {
        let parked = site.until_parked(&run).await?;
        assert_eq!(parked["status"], "waiting");
        site.send_input(&session, &json!({"round": round})).await?;
        if round < 5 {
            site.until(&run, "it parks again", |run| {
                run["placement"]["state"] != "parked"
            })
            .await?;
        }
    }
    let ended = site.until_status(&run, "succeeded").await?;
    assert_eq!(ended["output"]["data"]["round"], 5);
    let kinds = site.kinds(&run).await?;
    let count = |kind: &str| kinds.iter().filter(|found| *found == kind).count();
    assert_eq!(count("run.parked"), 5, "{kinds:?}");
    assert_eq!(count("wait.resolved"), 5, "{kinds:?}");
    Ok(())
}

#[tokio::test]
async fn a_token_completed_at_any_moment_around_the_park_has_one_outcome() -> Result<()> {
    let site = Site::new(0, |start| {
        let token = payload(start)["token"].clone();
        vec![
            says::started(),
            says::call(1, "wait", &json!({"kind": "token", "token_id": token})),
            says::answered(1),
            says::finished(),
            Step::Exit(0),
        ]
    })
    .await?;
    // What the runtime is slow at, and the placement at which the token is completed.
    let moments = [
        (Operation::Start, "preparing"),
        (Operation::Pause, "parking"),
        (Operation::Checkpoint, "parking"),
        (Operation::Kill, "parked"),
        (Operation::Restore, "parked"),
    ];
    for (slow, placement) in moments {
        site.driver
            .inject(slow, Effect::Slow(Duration::from_millis(300)));
        let token = site.post("/api/v1/tokens", &json!({})).await?;
        let token = token["token"]["id"].as_str().context("a token")?.to_owned();
        let (_, run) = site.session(&json!({"token": token})).await?;
        site.until(&run, placement, |run| {
            run["placement"]["state"] == placement
        })
        .await?;
        let path = format!("/api/v1/tokens/{token}/complete");
        site.post(&path, &json!({"data": {"while": placement}}))
            .await?;
        let ended = site.until_status(&run, "succeeded").await?;
        assert_eq!(ended["output"]["while"], placement, "slow at {slow:?}");
        let kinds = site.kinds(&run).await?;
        let resolved = kinds.iter().filter(|kind| *kind == "wait.resolved").count();
        assert_eq!(resolved, 1, "slow at {slow:?}: {kinds:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_timer_wakes_a_parked_run() -> Result<()> {
    let site = Site::new(0, |_| {
        vec![
            says::started(),
            says::call(1, "wait", &json!({"kind": "timer", "duration_ms": 700})),
            says::answered(1),
            Step::Say(r#"{"type":"finished"}"#.to_owned()),
            Step::Exit(0),
        ]
    })
    .await?;
    let (_, run) = site.session(&json!({})).await?;
    site.until_status(&run, "succeeded").await?;
    let kinds = site.kinds(&run).await?;
    assert!(kinds.contains(&"run.parked".to_owned()), "{kinds:?}");
    Ok(())
}

#[tokio::test]
async fn a_parked_run_is_woken_to_be_cancelled() -> Result<()> {
    let site = Site::new(0, |_| {
        vec![
            says::started(),
            says::wait_for_input(1),
            Step::Await(r#""type":"cancel""#.to_owned()),
            Step::Say(
                r#"{"type":"failed","error":{"kind":"task_error","message":"stopped"}}"#.to_owned(),
            ),
            Step::Exit(1),
        ]
    })
    .await?;
    let (_, run) = site.session(&json!({})).await?;
    site.until_parked(&run).await?;
    site.post(&format!("/api/v1/runs/{run}/cancel"), &json!({}))
        .await?;
    site.until_status(&run, "cancelled").await?;
    Ok(())
}

#[tokio::test]
async fn a_task_that_exits_fails_with_its_code() -> Result<()> {
    let site = Site::new(2000, |_| vec![says::started(), Step::Exit(7)]).await?;
    let (_, run) = site.session(&json!({})).await?;
    let ended = site.until_status(&run, "failed").await?;
    assert_eq!(ended["error"]["kind"], "task_exited");
    assert_eq!(ended["exit_code"], 7);
    Ok(())
}

/// What the runtime had and its task did not take is there for the next run.
#[tokio::test]
async fn a_record_that_came_when_the_task_had_ended_starts_the_next_run() -> Result<()> {
    let site = Site::new(2000, |start| {
        if reason(start) == "input" {
            return waits_for_input(1);
        }
        let once = json!({"kind": "stream", "stream": "inbox", "blocking": false});
        vec![
            says::started(),
            says::wait_for_input(1),
            says::answered(1),
            says::call(2, "wait", &once),
            says::answered(2),
            Step::Say(r#"{"type":"finished","output":1,"untaken":[2]}"#.to_owned()),
            Step::Exit(0),
        ]
    })
    .await?;
    let (session, first) = site.session(&json!({})).await?;
    for number in [1, 2] {
        site.send_input(&session, &json!({ "n": number })).await?;
    }
    site.until_status(&first, "succeeded").await?;
    let given_back = site.kinds(&first).await?;
    assert!(
        given_back.iter().any(|kind| kind == "wait.cancelled"),
        "{given_back:?}"
    );
    let path = format!("/api/v1/sessions/{session}/runs");
    let runs = site.get(&path).await?;
    let next = runs["items"][0]["id"]
        .as_str()
        .context("a next run")?
        .to_owned();
    assert_ne!(next, first);
    let ended = site.until_status(&next, "succeeded").await?;
    assert_eq!(ended["output"]["data"], json!({ "n": 2 }));
    Ok(())
}

/// A handler that works is not parked, however short the hot window; the run is once it is done.
#[tokio::test]
async fn a_machine_does_not_park_while_a_wait_holds_its_run() -> Result<()> {
    let site = Site::new(0, |_| {
        let on = json!({"kind": "stream", "stream": "inbox", "blocking": false, "hold": true});
        vec![
            says::started(),
            says::call(1, "wait", &on),
            says::call(
                2,
                "wait",
                &json!({"kind": "stream", "stream": "inbox", "correlation_id": "end"}),
            ),
            says::answered(1),
            // The handler works.
            says::call(
                3,
                "stream.append",
                &json!({"stream": "out", "data": "working"}),
            ),
            says::answered(3),
            Step::Gate("done".to_owned()),
            says::call(4, "wait.drop", &json!({"call_no": 1})),
            says::answered(4),
            says::answered(2),
            says::finished(),
            Step::Exit(0),
        ]
    })
    .await?;
    let (session, run) = site.session(&json!({})).await?;
    site.send_input(&session, &json!("for the handler")).await?;
    let out = format!("/api/v1/sessions/{session}/outputs/out");
    let working = tokio::time::timeout(DEADLINE, async {
        while site.get(&out).await?["items"]
            .as_array()
            .is_none_or(Vec::is_empty)
        {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    });
    working.await.context("the handler works")??;
    assert_eq!(site.run(&run).await?["status"], "running");
    site.driver.open_gate("done");
    site.until_parked(&run).await?;
    let path = format!("/api/v1/sessions/{session}/inputs/inbox");
    let end = json!({"data": "the end", "correlation_id": "end"});
    site.post(&path, &end).await?;
    site.until_status(&run, "succeeded").await?;
    let told = site.kinds(&run).await?;
    let at = |kind: &str| told.iter().position(|told| told == kind);
    assert!(at("run.waiting") > at("stream.output"), "{told:?}");
    assert_eq!(told.iter().filter(|kind| *kind == "run.parked").count(), 1);
    Ok(())
}
