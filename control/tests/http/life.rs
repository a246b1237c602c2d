//! The life of a run as its worker tells it: placed, started, waiting, parked, woken, finished.

use anyhow::{Context, Result};
use helmr_api::worker::{Assignment, Origin, Outcome};
use helmr_domain::{CheckpointId, Duration, VersionId};
use serde_json::{Value, json};

use crate::fixture::{Deployed, deployed, start};
use crate::server::{START, Server};

const MANIFEST: &str = "a-manifest";

pub(crate) async fn run(server: &Server, id: &str) -> Result<Value> {
    Ok(server.get(&format!("/api/v1/runs/{id}")).await?.ok().body["run"].clone())
}

pub(crate) async fn kinds(server: &Server, id: &str) -> Result<Vec<String>> {
    let events = server
        .get(&format!("/api/v1/runs/{id}/events?limit=200"))
        .await?
        .ok()
        .body;
    let items = events["items"].as_array().context("no items")?;
    Ok(items
        .iter()
        .map(|event| event["kind"].as_str().unwrap_or_default().to_owned())
        .collect())
}

/// Starts a session and plays its worker up to the first line of the task.
pub(crate) async fn started(
    deployed: &mut Deployed,
    body: &Value,
) -> Result<(String, String, Box<Assignment>)> {
    let (session, run) = start(&deployed.server, body).await?;
    let assignment = deployed
        .worker
        .assigned(|pushed| pushed.runs.iter().any(|of| of.run_id.to_string() == run))
        .await?;
    let (server, worker) = (&deployed.server, &deployed.worker);
    worker
        .machine(server, &assignment, "live", &json!({}))
        .await?
        .ok();
    worker
        .run(server, &assignment, "started", &json!({}))
        .await?
        .ok();
    Ok((session, run, assignment))
}

pub(crate) fn call(number: u64, op: &str, args: &Value) -> Value {
    json!({ "call_no": number, "op": op, "args": args })
}

pub(crate) fn parked(number: u8) -> Value {
    json!({
        "checkpoint_id": CheckpointId::new(START, [number; 10]),
        "checkpoint_size_bytes": 1_000,
        "runtime_identity": "scripted-1",
        "version": {
            "version_id": VersionId::new(START, [number; 10]), "manifest": MANIFEST,
            "size_bytes": 10, "changed_bytes": 10,
        },
        "draining": false,
        "timings_ms": { "pause": 1, "capture": 2, "checkpoint": 3 },
    })
}

#[tokio::test]
async fn a_run_that_waits_for_a_token_parks_and_goes_on_with_its_data() -> Result<()> {
    let mut deployed = deployed().await?;
    let body = json!({ "task": "echo", "payload": { "text": "hi" }, "external_id": "x" });
    let (session, id, assignment) = started(&mut deployed, &body).await?;
    let (server, worker) = (&deployed.server, &mut deployed.worker);
    assert_eq!(assignment.machine.origin, Origin::Seed);
    assert_eq!(assignment.machine.mount_path, "/workspace");
    assert_eq!(
        assignment.runs[0].bundle_sha256,
        deployed.deployment["bundle_sha256"]
    );

    let input = worker
        .run(server, &assignment, "input", &json!({}))
        .await?
        .ok()
        .body;
    let init = &input["init"];
    assert_eq!(
        (&init["type"], &init["protocol"]),
        (&json!("init"), &json!(1))
    );
    assert_eq!(
        (&init["has_payload"], &init["payload"]),
        (&json!(true), &json!({ "text": "hi" }))
    );
    assert_eq!(
        init["entry"],
        json!({ "module": "tasks/all.mjs", "export": "echo" })
    );
    assert_eq!(
        init["context"]["session"],
        json!({ "id": session, "external_id": "x" })
    );
    assert_eq!(
        init["context"]["run"],
        json!({ "id": id, "attempt_number": 1, "reason": "start" })
    );
    assert_eq!(init["context"]["deployment"]["version"], "20260601.1");

    // The same call twice makes one token.
    let create = call(
        1,
        "token.create",
        &json!({ "timeout_ms": 3_600_000, "tags": ["approval"] }),
    );
    let token = worker
        .run(server, &assignment, "calls", &create)
        .await?
        .ok()
        .body;
    let again = worker
        .run(server, &assignment, "calls", &create)
        .await?
        .ok()
        .body;
    assert_eq!(token, again, "secrets and all");
    let token_id = token["answer"]["id"]
        .as_str()
        .context("no token")?
        .to_owned();
    assert!(
        token["answer"]["public_access_token"].is_string(),
        "{token}"
    );

    let wait = call(
        2,
        "wait",
        &json!({ "kind": "token", "token_id": token_id, "blocking": true }),
    );
    let waiting = worker
        .run(server, &assignment, "calls", &wait)
        .await?
        .ok()
        .body;
    assert_eq!(
        (&waiting["state"], &waiting["blocking"]),
        (&json!("waiting"), &json!(true))
    );
    let seen = run(server, &id).await?;
    assert_eq!(seen["status"], "waiting");
    assert_eq!(
        (
            &seen["pending_wait"]["kind"],
            &seen["pending_wait"]["state"]
        ),
        (&json!("token"), &json!("hot"))
    );
    assert_eq!(seen["pending_wait"]["token_id"], token_id.as_str());

    worker
        .machine(server, &assignment, "parking", &json!({}))
        .await?
        .ok();
    for _ in 0..2 {
        worker
            .machine(server, &assignment, "parked", &parked(1))
            .await?;
    }
    let seen = run(server, &id).await?;
    assert_eq!(
        (&seen["pending_wait"]["state"], &seen["placement"]["state"]),
        (&json!("parked"), &json!("parked"))
    );

    let path = format!("/api/v1/tokens/{token_id}/complete");
    server
        .post(&path, &json!({ "data": { "approved": true } }))
        .await?
        .ok();
    let woken = worker
        .assigned(|pushed| pushed.epoch > assignment.epoch)
        .await?;
    assert!(
        matches!(&woken.machine.origin, Origin::Checkpoint { manifest, .. } if manifest == MANIFEST)
    );
    let decided = woken.runs[0].outcomes.first().context("no outcome")?;
    assert_eq!(
        (decided.call_no, &decided.outcome),
        (2, &Outcome::ok(json!({ "approved": true })))
    );

    worker
        .machine(server, &woken, "live", &json!({}))
        .await?
        .ok();
    // What the old lease says does not count any more.
    let late = json!({ "result": "succeeded", "output": "late" });
    worker
        .run(server, &assignment, "finished", &late)
        .await?
        .refused(409, "stale_lease");
    for _ in 0..2 {
        worker
            .run(
                server,
                &woken,
                "delivered",
                &json!({ "wait_id": decided.wait_id }),
            )
            .await?;
    }
    assert_eq!(run(server, &id).await?["status"], "running");
    let done = json!({ "result": "succeeded", "output": { "answer": 42 } });
    worker.run(server, &woken, "finished", &done).await?.ok();

    let seen = run(server, &id).await?;
    assert_eq!(
        (&seen["status"], &seen["output"]),
        (&json!("succeeded"), &json!({ "answer": 42 }))
    );
    let told = kinds(server, &id).await?;
    for kind in [
        "run.created",
        "run.queued",
        "run.leased",
        "run.started",
        "token.created",
        "wait.created",
        "run.waiting",
        "run.parked",
        "wait.resolved",
        "run.resumed",
        "run.succeeded",
    ] {
        assert!(
            told.iter().any(|seen| seen == kind),
            "{kind} is not in {told:?}"
        );
    }
    assert_eq!(
        told.iter().filter(|kind| *kind == "wait.resolved").count(),
        1
    );
    let session = server
        .get(&format!("/api/v1/sessions/{session}"))
        .await?
        .ok()
        .body["session"]
        .clone();
    assert_eq!(
        (&session["activity"], &session["result"]),
        (&json!("idle"), &json!({ "answer": 42 }))
    );
    Ok(())
}

#[tokio::test]
async fn a_timer_wakes_its_run_when_it_is_due() -> Result<()> {
    let mut deployed = deployed().await?;
    let (_, id, assignment) = started(&mut deployed, &json!({ "task": "answer" })).await?;
    let (server, worker) = (&deployed.server, &mut deployed.worker);
    let wait = call(
        1,
        "wait",
        &json!({ "kind": "timer", "duration_ms": 600_000 }),
    );
    worker.run(server, &assignment, "calls", &wait).await?.ok();
    worker
        .machine(server, &assignment, "parking", &json!({}))
        .await?
        .ok();
    worker
        .machine(server, &assignment, "parked", &parked(1))
        .await?
        .ok();
    assert_eq!(run(server, &id).await?["placement"]["state"], "parked");
    // Short steps, so that the worker stays fresh.
    for _ in 0..10 {
        server.clock.advance(Duration::from_secs(60));
        let heartbeat = json!({
            "free": { "cpu_millis": 4_000, "memory_mib": 16_384, "disk_mib": 1, "slots": 64 },
            "leases": [], "draining": false,
        });
        worker
            .post(server, "/worker/v1/heartbeat", &heartbeat)
            .await?
            .ok();
    }
    let woken = worker
        .assigned(|pushed| pushed.epoch > assignment.epoch)
        .await?;
    assert_eq!(woken.runs[0].outcomes.len(), 1);
    Ok(())
}

#[tokio::test]
async fn input_that_is_there_already_does_not_block_a_wait() -> Result<()> {
    let mut deployed = deployed().await?;
    let (session, _, assignment) = started(&mut deployed, &json!({ "task": "answer" })).await?;
    let (server, worker) = (&deployed.server, &mut deployed.worker);
    let path = format!("/api/v1/sessions/{session}/inputs/inbox");
    server
        .post(&path, &json!({ "data": { "text": "early" } }))
        .await?
        .ok();
    let peek = call(1, "stream.peek", &json!({ "stream": "inbox" }));
    let peeked = worker
        .run(server, &assignment, "calls", &peek)
        .await?
        .ok()
        .body;
    assert_eq!(peeked["answer"]["items"][0]["data"]["text"], "early");
    let wait = call(2, "wait", &json!({ "kind": "stream", "stream": "inbox" }));
    worker.run(server, &assignment, "calls", &wait).await?.ok();
    let told = worker
        .assigned(|pushed| pushed.runs.iter().any(|run| !run.outcomes.is_empty()))
        .await?;
    let Outcome::Ok { data, .. } = &told.runs[0].outcomes[0].outcome else {
        anyhow::bail!("not ok: {told:?}");
    };
    assert_eq!(
        (&data["data"]["text"], &data["sequence"]),
        (&json!("early"), &json!(1))
    );
    worker
        .machine(server, &assignment, "parking", &json!({}))
        .await?
        .refused(409, "machine_busy");
    Ok(())
}

#[tokio::test]
async fn what_a_task_asks_wrongly_is_an_answer_for_the_task() -> Result<()> {
    let mut deployed = deployed().await?;
    let (_, _, assignment) = started(&mut deployed, &json!({ "task": "answer" })).await?;
    let (server, worker) = (&deployed.server, &deployed.worker);
    let missing = "tok_00000000000000000000000000";
    for (number, op, args, code) in [
        (1, "fs.read", json!({}), "unknown_operation"),
        (
            2,
            "wait",
            json!({ "kind": "token", "token_id": missing }),
            "token_not_found",
        ),
        (
            3,
            "token.get",
            json!({ "token_id": missing }),
            "token_not_found",
        ),
        (
            4,
            "stream.append",
            json!({ "stream": "none", "data": 1 }),
            "stream_not_found",
        ),
        (
            5,
            "wait",
            json!({ "kind": "stream", "stream": "none" }),
            "stream_not_found",
        ),
        (
            6,
            "metadata.increment",
            json!({ "key": "k", "by": "x" }),
            "invalid_body",
        ),
        (
            7,
            "token.create",
            json!({ "tags": vec!["t"; 11] }),
            "limit_exceeded",
        ),
    ] {
        let answer = worker
            .run(server, &assignment, "calls", &call(number, op, &args))
            .await?
            .ok()
            .body;
        assert_eq!(
            (&answer["state"], &answer["code"]),
            (&json!("refused"), &json!(code)),
            "{op}: {answer}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn metadata_output_and_logs_are_kept_once() -> Result<()> {
    let mut deployed = deployed().await?;
    let (session, id, assignment) = started(&mut deployed, &json!({ "task": "answer" })).await?;
    let (server, worker) = (&deployed.server, &deployed.worker);
    for _ in 0..2 {
        let count = call(1, "metadata.increment", &json!({ "key": "files", "by": 2 }));
        let answer = worker
            .run(server, &assignment, "calls", &count)
            .await?
            .ok()
            .body;
        assert_eq!(answer["answer"]["files"].as_f64(), Some(2.0), "{answer}");
        let append = call(
            2,
            "stream.append",
            &json!({ "stream": "out", "data": { "n": 1 } }),
        );
        let answer = worker
            .run(server, &assignment, "calls", &append)
            .await?
            .ok()
            .body;
        assert_eq!(answer["answer"]["sequence"], 1);
        let output = json!({
            "segments": [
                { "stream": "stdout", "offset": 0, "data": "aGVsbG8K" },
                { "stream": "stderr", "offset": 0, "data": "/w==" },
            ],
            "entries": [{ "index": 1, "level": "info", "message": "reviewing", "fields": { "n": 7 }, "at_us": 1 }],
        });
        worker
            .run(server, &assignment, "output", &output)
            .await?
            .ok();
    }
    // A repeat that overlaps what is there: only the rest is new.
    let output = json!({ "segments": [{ "stream": "stdout", "offset": 3, "data": "bG8Kd29ybGQK" }], "entries": [] });
    worker
        .run(server, &assignment, "output", &output)
        .await?
        .ok();
    let gap = json!({ "segments": [{ "stream": "stdout", "offset": 99, "data": "eA==" }], "entries": [] });
    worker
        .run(server, &assignment, "output", &gap)
        .await?
        .refused(409, "invalid_state");

    assert_eq!(
        run(server, &id).await?["metadata"]["files"].as_f64(),
        Some(2.0)
    );
    let records = server
        .get(&format!("/api/v1/sessions/{session}/outputs/out"))
        .await?
        .ok()
        .body;
    assert_eq!(records["items"].as_array().map(Vec::len), Some(1));
    let logs = server
        .get(&format!("/api/v1/runs/{id}/logs"))
        .await?
        .ok()
        .body;
    let of = |stream: &str| -> Vec<Value> {
        let items = logs["items"].as_array().into_iter().flatten();
        items
            .filter(|item| item["stream"] == stream)
            .cloned()
            .collect()
    };
    let printed: String = of("stdout")
        .iter()
        .filter_map(|item| item["data"].as_str())
        .collect();
    assert_eq!(printed, "hello\nworld\n");
    assert_eq!(
        (&of("stderr")[0]["data"], &of("stderr")[0]["encoding"]),
        (&json!("/w=="), &json!("base64"))
    );
    let logged = of("logger");
    assert_eq!(logged.len(), 1, "{logs}");
    assert_eq!(
        (
            &logged[0]["level"],
            &logged[0]["data"],
            &logged[0]["fields"]
        ),
        (&json!("info"), &json!("reviewing"), &json!({ "n": 7 }))
    );
    let only = server
        .get(&format!("/api/v1/runs/{id}/logs?stream=stderr"))
        .await?
        .ok()
        .body;
    assert_eq!(only["items"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test]
async fn a_failure_of_the_task_is_told_with_its_kind() -> Result<()> {
    let mut deployed = deployed().await?;
    let (_, id, assignment) = started(&mut deployed, &json!({ "task": "answer" })).await?;
    let (server, worker) = (&deployed.server, &deployed.worker);
    let failed = json!({
        "result": "failed", "kind": "task_exited", "name": null, "message": "exited with 3", "stack": null,
        "exit_code": 3,
    });
    worker
        .run(server, &assignment, "finished", &failed)
        .await?
        .ok();
    let seen = run(server, &id).await?;
    assert_eq!(
        (&seen["status"], &seen["exit_code"]),
        (&json!("failed"), &json!(3))
    );
    assert_eq!(seen["error"]["kind"], "task_exited");
    server
        .post(&format!("/api/v1/runs/{id}/cancel"), &json!({}))
        .await?
        .refused(409, "run_finished");
    Ok(())
}

#[tokio::test]
async fn a_cancelled_run_is_told_to_stop_and_ends_with_its_worker_word() -> Result<()> {
    let mut deployed = deployed().await?;
    let (_, id, assignment) = started(&mut deployed, &json!({ "task": "answer" })).await?;
    let (server, worker) = (&deployed.server, &mut deployed.worker);
    server
        .post(&format!("/api/v1/runs/{id}/cancel"), &json!({}))
        .await?
        .ok();
    let told = worker
        .assigned(|pushed| pushed.runs.iter().any(|run| run.stop.is_some()))
        .await?;
    let stop = told.runs[0].stop.as_ref().context("no stop")?;
    assert_eq!(stop.reason, "cancelled");
    let stopped = json!({ "result": "stopped", "exit_code": null });
    worker
        .run(server, &assignment, "finished", &stopped)
        .await?
        .ok();
    assert_eq!(run(server, &id).await?["status"], "cancelled");
    Ok(())
}
