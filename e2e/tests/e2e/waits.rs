//! Waits: what is kept over a park, every way to be woken, and what a late or early completion does.

use std::time::Duration;

use anyhow::{Context as _, Result};
use helmr_e2e::{Options, Server, poll_until};
use serde_json::{Value, json};

use crate::tools::{complete, count_events, first_record, no_machine_left, send};

/// The whole point: memory, open file, child process and connection are as they were, after a park, a killed server and a
/// restart, and while parked nothing of the machine runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_parked_run_continues_after_the_server_was_killed() -> Result<()> {
    let mut server = Server::start(Options::default()).await?;
    let (session, run) = server
        .start_session(&json!({"task": "keeps-everything"}))
        .await?;
    let token = first_record(&server, &session).await?;
    server.await_parked(&run).await?;
    no_machine_left(&server).await?;
    assert!(
        server.machines().cgroups().is_empty(),
        "cgroups left: {:?}",
        server.machines().cgroups()
    );

    server.kill()?;
    server.restart(Options::default()).await?;
    assert_eq!(server.run(&run).await?["status"], "waiting");

    let (status, answer) = complete(&server, &token, &json!({"approved": true})).await?;
    assert_eq!(status, 200, "{answer}");
    let output = server.await_output(&run).await?;
    assert_eq!(output["data"], json!({"approved": true}));
    assert_eq!(output["sameHeap"], true);
    assert_eq!(output["notes"], "before\nafter\n");
    assert_eq!(output["first"], json!({"count": 1, "echo": "echo:one"}));
    assert_eq!(output["second"], json!({"count": 2, "echo": "echo:two"}));
    assert_eq!(count_events(&server, &run, "run.parked").await?, 1);
    assert_eq!(count_events(&server, &run, "run.resumed").await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_run_does_not_notice_that_the_server_was_killed() -> Result<()> {
    let mut server = Server::start(Options::default()).await?;
    let (session, run) = server
        .start_session(&json!({"task": "works", "payload": {"ms": 6000}}))
        .await?;
    let id = first_record(&server, &session).await?["working"].clone();
    let before = server.machines().processes();
    server.kill()?;
    assert_eq!(
        server.machines().processes(),
        before,
        "the machine outlives the server"
    );
    server.restart(Options::default()).await?;
    let output = server.await_output(&run).await?;
    assert_eq!(output["id"], id, "the same process went on");
    assert_eq!(
        count_events(&server, &run, "run.leased").await?,
        1,
        "it was not started again"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_told_to_stop_parks_a_working_run_and_goes_on_with_it() -> Result<()> {
    let mut server = Server::start(Options::default()).await?;
    let (session, run) = server
        .start_session(&json!({"task": "works", "payload": {"ms": 8000}}))
        .await?;
    let id = first_record(&server, &session).await?["working"].clone();
    assert_eq!(server.terminate().await?, 0);
    no_machine_left(&server).await?;
    server.restart(Options::default()).await?;
    let output = server.await_output(&run).await?;
    assert_eq!(output["id"], id, "the same process went on");
    assert_eq!(count_events(&server, &run, "run.moving").await?, 1);
    Ok(())
}

/// A token can be completed with the API key, its public access token, its callback URL or the command line.
#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_complete_a_token_wakes_its_run() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    for way in ["key", "public", "callback", "cli"] {
        let (session, run) = server
            .start_session(&json!({"task": "waits-for", "payload": {}}))
            .await?;
        let token = first_record(&server, &session).await?;
        server.await_parked(&run).await?;
        let text = |name: &str| token[name].as_str().unwrap_or_default().to_owned();
        let client = reqwest::Client::new();
        let url = format!("{}/api/v1/tokens/{}/complete", server.url(), text("id"));
        match way {
            "key" => assert_eq!(complete(&server, &token, &json!({"by": way})).await?.0, 200),
            "public" => {
                let public = text("publicAccessToken");
                assert!(public.starts_with("hlmr_pat_"), "{token}");
                let body = json!({"data": {"by": way}});
                let answer = client
                    .post(url)
                    .bearer_auth(public)
                    .json(&body)
                    .send()
                    .await?;
                assert_eq!(answer.status(), 200);
            }
            "callback" => {
                let callback = text("callbackUrl");
                assert!(callback.starts_with(&server.url()), "{token}");
                assert_ne!(client.get(&callback).send().await?.status(), 500);
                assert_eq!(
                    server.run(&run).await?["status"],
                    "waiting",
                    "a GET completes nothing"
                );
                assert_eq!(
                    client
                        .post(&callback)
                        .json(&json!({"by": way}))
                        .send()
                        .await?
                        .status(),
                    200
                );
            }
            _ => {
                let data = json!({"by": way}).to_string();
                server
                    .cli()?
                    .json(&["token", "complete", &text("id"), "--data", &data])
                    .await?;
            }
        }
        let output = server.await_output(&run).await?;
        assert_eq!(output, json!({"ok": true, "data": {"by": way}}), "{way}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn input_wakes_a_run_and_correlation_picks_its_record() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let payload = json!({"kind": "stream", "correlationId": "b"});
    let (session, run) = server
        .start_session(&json!({"task": "waits-for", "payload": payload}))
        .await?;
    server.await_parked(&run).await?;
    assert!(
        send(
            &server,
            &session,
            &json!({"data": {"n": 1}, "correlation_id": "a"})
        )
        .await?
        .0 < 300
    );
    assert!(
        send(
            &server,
            &session,
            &json!({"data": {"n": 2}, "correlation_id": "b"})
        )
        .await?
        .0 < 300
    );
    let output = server.await_output(&run).await?;
    assert_eq!(output, json!({"ok": true, "data": {"n": 2}}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_wakes_a_parked_run_when_it_is_due() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let (_, run) = server
        .start_session(&json!({"task": "waits-for-timer", "payload": {"ms": 3000}}))
        .await?;
    server.await_parked(&run).await?;
    let waited = server.await_output(&run).await?["waitedMs"]
        .as_i64()
        .unwrap_or_default();
    assert!((3000..10_000).contains(&waited), "waited {waited} ms");
    Ok(())
}

/// How late a loaded host may make it is no measure: the bound is a generous one, and the figures are printed.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "figures for whoever asks for them")]
async fn a_task_that_waits_for_milliseconds_waits_no_less_and_little_more() -> Result<()> {
    const LATEST_MS: f64 = 10_000.0;
    let server = Server::start(Options::default()).await?;
    let (_, run) = server
        .start_session(&json!({"task": "ticks", "payload": {"rounds": 100}}))
        .await?;
    let output = server.await_output(&run).await?;
    for kind in ["spans", "times"] {
        let late = output[kind].as_array().context("no figures")?;
        let mut late: Vec<f64> = late.iter().filter_map(Value::as_f64).collect();
        late.sort_by(f64::total_cmp);
        assert_eq!(late.len(), 100);
        let (first, last) = (late[0], late[99]);
        println!(
            "hot {kind}: late by {:.1} ms (median), {:.1} ms (99 %), {last:.1} ms at most",
            late[50], late[98]
        );
        // The task's clock counts in its own steps.
        assert!(first > -1.0, "{kind}: one was early by {} ms", -first);
        assert!(last < LATEST_MS, "{kind}: one was late by {last} ms");
    }
    let waited = count_events(&server, &run, "wait.resolved").await?;
    assert_eq!(waited, 200, "each wait once");
    Ok(())
}

/// A timer that came due while no server ran fires when one is there again.
#[tokio::test(flavor = "multi_thread")]
async fn a_timer_that_came_due_without_a_server_fires_at_the_next_start() -> Result<()> {
    let mut server = Server::start(Options::default()).await?;
    let (_, run) = server
        .start_session(&json!({"task": "waits-for-timer", "payload": {"ms": 2000}}))
        .await?;
    let parked = server.await_parked(&run).await?;
    server.kill()?;
    let due = parked["pending_wait"]["due_at"]
        .as_str()
        .context("the run does not say when its timer is due")?
        .to_owned();
    assert!(!due.is_empty(), "{parked}");
    poll_until(
        "the timer's time to pass",
        Duration::from_secs(10),
        || async {
            let now = std::process::Command::new("date")
                .args(["-u", "+%Y-%m-%dT%H:%M:%S.%3NZ"])
                .output()?;
            let now = String::from_utf8(now.stdout)?;
            Ok(if *now.trim() > *due { Ok(()) } else { Err(now) })
        },
    )
    .await?;
    server.restart(Options::default()).await?;
    server.await_output(&run).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn timeouts_resolve_with_ok_false() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    for kind in ["token", "stream"] {
        let payload = json!({"kind": kind, "ms": 1500});
        let (_, run) = server
            .start_session(&json!({"task": "times-out", "payload": payload}))
            .await?;
        let output = server.await_output(&run).await?;
        assert_eq!(output["ok"], false, "{kind}: {output}");
        assert_eq!(output["error"]["code"], "timeout", "{kind}: {output}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_already_met_does_not_park() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let (session, run) = server
        .start_session(&json!({"task": "already-met"}))
        .await?;
    let token = first_record(&server, &session).await?;
    assert_eq!(complete(&server, &token, &json!("early")).await?.0, 200);
    assert!(send(&server, &session, &json!({"data": {"n": 1}})).await?.0 < 300);
    let output = server.await_output(&run).await?;
    assert_eq!(
        (&output["record"], &output["data"]),
        (&json!({"n": 1}), &json!("early"))
    );
    assert_eq!(count_events(&server, &run, "run.parked").await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_wait_beside_an_active_one_throws() -> Result<()> {
    let server = Server::start(Options {
        hot_window: "5s",
        ..Options::default()
    })
    .await?;
    let (_, run) = server
        .start_session(&json!({"task": "second-wait-throws"}))
        .await?;
    assert_eq!(
        server.await_output(&run).await?,
        json!("ConcurrentWaitError")
    );
    Ok(())
}

/// Completions at moments spread over parking, parked and waking: each run ends with the one completion.
#[tokio::test(flavor = "multi_thread")]
async fn a_completion_at_any_moment_of_a_park_has_one_outcome() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    for delay_ms in [0, 30, 60, 90, 120, 160, 200, 260, 330, 450] {
        let (session, run) = server
            .start_session(&json!({"task": "waits-for", "payload": {}}))
            .await?;
        let token = first_record(&server, &session).await?;
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        let (first, second) = (json!({"n": 1}), json!({"n": 2}));
        let (one, two) = tokio::join!(
            complete(&server, &token, &first),
            complete(&server, &token, &second)
        );
        let codes = [one?.0, two?.0];
        let won = usize::from(codes[0] != 200);
        assert_eq!(codes[won], 200, "{codes:?}");
        assert_eq!(codes[1 - won], 409, "{codes:?}");
        let output = server.await_output(&run).await?;
        assert_eq!(
            output["data"]["n"],
            json!(won + 1),
            "after {delay_ms} ms: {output}"
        );
        assert_eq!(count_events(&server, &run, "wait.resolved").await?, 1);
    }
    Ok(())
}

/// Three seconds parked do not count against a maximum of five; seven seconds of work do.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_does_not_count_against_the_maximum_duration_and_working_does() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let start = |task: &str, ms: i64| json!({"task": task, "payload": {"ms": ms}, "max_duration_seconds": 5});
    let (_, waits) = server
        .start_session(&start("waits-for-timer", 7000))
        .await?;
    let (_, works) = server.start_session(&start("works", 30_000)).await?;
    let waited = server.await_output(&waits).await?;
    assert!(waited["waitedMs"].as_i64() >= Some(7000), "{waited}");
    let run = server.await_end_of(&works).await?;
    assert_eq!(
        (&run["status"], &run["error"]["kind"]),
        (&json!("failed"), &json!("max_duration")),
        "{run}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn payload_and_secrets_of_a_token_are_in_no_command_line_and_no_file() -> Result<()> {
    let server = Server::start(Options {
        hot_window: "60s",
        ..Options::default()
    })
    .await?;
    let marker = "marker-7f3a9c51d2";
    let payload = json!({"kind": "token", "note": marker});
    let (session, run) = server
        .start_session(&json!({"task": "waits-for", "payload": payload}))
        .await?;
    first_record(&server, &session).await?;
    for process in server.machines().processes() {
        let command = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&command).contains(marker));
    }
    // What is on the disks is found where they are mounted; the disks themselves are mostly holes, which take minutes.
    let found = std::process::Command::new("find")
        .arg(server.data_dir().join("worker"))
        .args(["-type", "f", "-size", "-1024M", "-exec"])
        .args(["grep", "--files-with-matches", "--text", marker, "{}", "+"])
        .output()?;
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    let value: Value = server.run(&run).await?;
    assert!(
        value.to_string().contains(marker),
        "the payload itself is kept where it belongs"
    );
    Ok(())
}
