//! Tasks that go wrong: each ends as the contract says, and nothing outside its machine notices.

use anyhow::Result;
use helmr_e2e::{Options, Server};
use serde_json::{Value, json};

use crate::tools::no_machine_left;

async fn ended(server: &Server, task: &str) -> Result<Value> {
    let (_, run) = server.start_session(&json!({"task": task})).await?;
    server.await_end_of(&run).await
}

async fn check(server: &Server, task: &str, kind: &str, says: &str) -> Result<()> {
    let run = ended(server, task).await?;
    assert_eq!(
        (&run["status"], &run["error"]["kind"]),
        (&json!("failed"), &json!(kind)),
        "{task}: {run}"
    );
    assert!(
        run["error"]["message"]
            .as_str()
            .is_some_and(|message| message.contains(says)),
        "{task}: {run}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bad_end_has_its_kind_and_a_message() -> Result<()> {
    let mut server = Server::start(Options::default()).await?;
    check(
        &server,
        "throws",
        "task_error",
        "the moon is not made of cheese",
    )
    .await?;
    check(&server, "exits", "task_exited", "3").await?;
    check(&server, "crashes", "task_exited", "signal 11").await?;
    check(&server, "writes-garbage", "task_error", "channel").await?;
    check(&server, "runs-out-of-memory", "out_of_memory", "memory").await?;
    check(
        &server,
        "fills-the-machine",
        "out_of_memory",
        "the machine needed more than its memory",
    )
    .await?;
    check(
        &server,
        "fills-the-disk",
        "disk_full",
        "resources({ disk })",
    )
    .await?;
    check(
        &server,
        "returns-no-json",
        "output_invalid",
        "bigint at \"large\"",
    )
    .await?;
    let odd = json!({"task": "is-picky", "payload": {"even": 3}});
    let (_, run) = server.start_session(&odd).await?;
    let run = server.await_end_of(&run).await?;
    assert_eq!(run["error"]["kind"], "payload_invalid", "{run}");
    let throws = ended(&server, "throws").await?;
    assert!(
        throws["error"]["stack"]
            .as_str()
            .is_some_and(|stack| stack.contains("bad.ts")),
        "{throws}"
    );
    assert_eq!(server.terminate().await?, 0);
    no_machine_left(&server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_never_yields_is_ended_after_its_duration_and_grace() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    check(&server, "never-yields", "max_duration", "5").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_storm_gets_eagain_and_the_machine_serves_the_next_run() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    for task in ["forks", "forks-in-little-memory"] {
        let (_, run) = server.start_session(&json!({ "task": task })).await?;
        let output = server.await_output(&run).await?;
        assert_eq!(output["failed"], "EAGAIN", "{task}: {output}");
    }
    let (_, run) = server.start_session(&json!({"task": "answer"})).await?;
    assert_eq!(server.await_output(&run).await?, json!(42));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_megabytes_of_output_are_cut_with_a_mark_and_the_run_goes_on() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let (_, run) = server
        .start_session(&json!({"task": "prints-much"}))
        .await?;
    assert_eq!(server.await_output(&run).await?, json!("done"));
    let log = server.cli()?.run(&["run", "logs", &run]).await?;
    assert_eq!(log.code, 0, "{}", log.stderr);
    let size = log.stdout.len();
    assert!((60 << 20..66 << 20).contains(&size), "{size} bytes");
    let tail = &log.stdout[size - 200..];
    assert!(tail.contains("the log ends here"), "{tail}");
    Ok(())
}
