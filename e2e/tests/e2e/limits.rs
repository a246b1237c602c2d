//! A workspace's disk is a hard limit: what fills it fails inside, and nothing else on the host notices.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use helmr_e2e::{Cli, Options, Outcome, Server, poll_until};
use serde_json::{Value, json};

use crate::tools::no_machine_left;

const MIB: u64 = 1 << 20;

/// A workspace with a disk of 64 MiB.
async fn small_workspace(cli: &Cli) -> Result<String> {
    let made = cli
        .json(&["workspace", "create", "--sandbox", "small-disk"])
        .await?;
    let id = made["workspace"]["id"].as_str();
    Ok(id.with_context(|| made.to_string())?.to_owned())
}

async fn sh(cli: &Cli, workspace: &str, script: &str) -> Result<Outcome> {
    cli.run(&["workspace", "exec", workspace, "--", "sh", "-c", script])
        .await
}

async fn await_workspace(
    server: &Server,
    id: &str,
    what: &str,
    fits: impl Fn(&Value) -> bool,
) -> Result<Value> {
    poll_until(what, Duration::from_secs(60), || async {
        let found = server.get(&format!("/api/v1/workspaces/{id}")).await?["workspace"].clone();
        Ok(if fits(&found) {
            Ok(found)
        } else {
            Err(found.to_string())
        })
    })
    .await
}

fn image(server: &Server, workspace: &str) -> PathBuf {
    server
        .data_dir()
        .join("worker/workspaces")
        .join(workspace)
        .join("disk/image")
}

/// Loop devices whose file lies in the server's directory.
fn loop_devices(server: &Server) -> Vec<String> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    devices
        .filter_map(|device| fs::read_to_string(device.path().join("loop/backing_file")).ok())
        .filter(|file| file.starts_with(server.data_dir().to_str().unwrap_or_default()))
        .collect()
}

async fn nothing_left(server: &mut Server) -> Result<()> {
    ensure!(server.terminate().await? == 0, "not a clean stop");
    no_machine_left(server).await?;
    ensure!(
        server.machines().mounts().is_empty(),
        "mounts left: {:?}",
        server.machines().mounts()
    );
    // The kernel clears a device a moment after its last user.
    poll_until(
        "all loop devices to be free",
        Duration::from_secs(20),
        || async {
            let left = loop_devices(server);
            Ok(if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            })
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_full_inside_alone_and_its_files_are_still_captured() -> Result<()> {
    let mut server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let (full, other) = (small_workspace(&cli).await?, small_workspace(&cli).await?);
    sh(&cli, &other, "echo before > /workspace/before").await?;

    let written = sh(
        &cli,
        &full,
        "head -c 20000000 /dev/urandom > /workspace/random; \
         dd if=/dev/zero of=/workspace/zeros bs=1M count=100",
    )
    .await?;
    ensure!(
        written.code == 1 && written.stderr.contains("No space left on device"),
        "{written:?}"
    );
    // What is written elsewhere in the machine is on the same account.
    let elsewhere = sh(&cli, &full, "dd if=/dev/zero of=/root/more bs=1M count=10").await?;
    ensure!(
        elsewhere.code == 1 && elsewhere.stderr.contains("No space left on device"),
        "{elsewhere:?}"
    );
    let on_host = fs::metadata(image(&server, &full))?;
    ensure!(on_host.len() == 64 * MIB, "{}", on_host.len());
    ensure!(on_host.blocks() * 512 <= 65 * MIB, "{}", on_host.blocks());
    let beside = sh(
        &cli,
        &other,
        "dd if=/dev/zero of=/workspace/room bs=1M count=40 && cat /workspace/before",
    )
    .await?;
    ensure!(
        beside.code == 0 && beside.stdout == "before\n",
        "{beside:?}"
    );

    // A task that meets it fails of it, and the run's end is captured all the same.
    let body = json!({"task": "writes-too-much", "workspace_id": full});
    let (_, run) = server.start_session(&body).await?;
    let run = server.await_end_of(&run).await?;
    ensure!(run["error"]["kind"] == "disk_full", "{run}");
    cli.json(&["workspace", "stop", &full]).await?;
    let stopped = |workspace: &Value| workspace["materialization"]["state"] == "stopped";
    let found = await_workspace(&server, &full, "the machine to stop", stopped).await?;
    ensure!(
        found["size_bytes"]
            .as_u64()
            .is_some_and(|size| size > 40 * MIB),
        "{found}"
    );
    // And what was written last is there at the next start, with room again once something is removed.
    let again = sh(
        &cli,
        &full,
        "wc -c < /workspace/random; rm /workspace/zeros; dd if=/dev/zero of=/root/more bs=1M count=10",
    )
    .await?;
    ensure!(again.code == 0 && again.stdout == "20000000\n", "{again:?}");
    nothing_left(&mut server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_run_out_inside_alone() -> Result<()> {
    let mut server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let workspace = small_workspace(&cli).await?;
    let filled = cli
        .run(&[
            "workspace",
            "exec",
            &workspace,
            "--",
            "node",
            "-e",
            "const fs = require('fs'); let made = 0; \
             try { for (;;) { fs.closeSync(fs.openSync('/workspace/' + made, 'w')); made += 1; } } \
             catch (error) { console.log(JSON.stringify({ made, code: error.code })); }",
        ])
        .await?;
    let told: Value =
        serde_json::from_str(&filled.stdout).with_context(|| format!("{filled:?}"))?;
    ensure!(told["code"] == "ENOSPC", "{told}");
    ensure!(
        told["made"]
            .as_u64()
            .is_some_and(|made| (10_000..=16_384).contains(&made)),
        "{told}"
    );
    // The machine lives, and its files can be captured.
    cli.json(&["workspace", "stop", &workspace]).await?;
    let stopped = |workspace: &Value| workspace["materialization"]["state"] == "stopped";
    await_workspace(&server, &workspace, "the machine to stop", stopped).await?;
    let count = sh(&cli, &workspace, "ls /workspace | wc -l").await?;
    ensure!(
        count.stdout.trim().parse::<u64>().ok() == told["made"].as_u64(),
        "{count:?}"
    );
    nothing_left(&mut server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hostile_task_leaves_is_captured_and_gives_nothing_of_the_host_away() -> Result<()> {
    let mut server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let (hostile, other) = (small_workspace(&cli).await?, small_workspace(&cli).await?);
    let body = json!({"task": "is-hostile", "workspace_id": hostile});
    let (session, run) = server.start_session(&body).await?;
    // It swaps what is at a name while the run of another session ends beside it and is captured, over and over.
    crate::tools::first_record(&server, &session).await?;
    for _ in 0..3 {
        let body = json!({"task": "answer-small", "workspace_id": hostile});
        let (_, beside) = server.start_session(&body).await?;
        server.await_output(&beside).await?;
    }
    // Meanwhile nobody else is held up.
    let quick = sh(
        &cli,
        &other,
        "echo quick > /workspace/file && cat /workspace/file",
    )
    .await?;
    ensure!(quick.stdout == "quick\n", "{quick:?}");
    server
        .post(&format!("/api/v1/runs/{run}/cancel"), &json!({}))
        .await?;
    server.await_end_of(&run).await?;
    cli.json(&["workspace", "stop", &hostile]).await?;
    let stopped = |workspace: &Value| workspace["materialization"]["state"] == "stopped";
    let found = await_workspace(&server, &hostile, "the machine to stop", stopped).await?;
    // Its links and traps are what they were made as: nothing behind them was read.
    ensure!(
        found["size_bytes"].as_u64().is_some_and(|size| size < MIB),
        "{found}"
    );
    let kept = sh(
        &cli,
        &hostile,
        "readlink /workspace/passwd; ls /workspace/deep | wc -l",
    )
    .await?;
    ensure!(kept.stdout == "/etc/passwd\n1\n", "{kept:?}");
    // Everything of it can be removed again.
    let gone = sh(
        &cli,
        &hostile,
        "rm -rf /workspace/deep; ls /workspace | wc -l",
    )
    .await?;
    ensure!(gone.code == 0, "{gone:?}");
    nothing_left(&mut server).await
}

/// Starts again with a point armed, does `step`, which may fail, and starts once more after the kill.
async fn killed_at<F>(server: &mut Server, point: &str, step: impl FnOnce(Cli) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let armed = Options {
        kill_at: Some(point.to_owned()),
        ..Options::default()
    };
    server.restart(armed).await?;
    let step = step(server.cli()?).await;
    server
        .await_end(Duration::from_secs(30))
        .await
        .with_context(|| format!("{point} was not passed; the step: {step:?}"))?;
    server.restart(Options::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_within_files_that_are_made_or_captured_leaves_them_whole() -> Result<()> {
    let mut server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let workspace = small_workspace(&cli).await?;
    let script =
        "mkdir /workspace/many; for i in $(seq 100); do echo $i > /workspace/many/$i; done";
    sh(&cli, &workspace, script).await?;
    let sum = "cat $(ls -v /workspace/many/*) | cksum; ls /workspace/many | wc -l";
    let expected = sh(&cli, &workspace, sum).await?.stdout;
    cli.json(&["workspace", "stop", &workspace]).await?;
    let stopped = |workspace: &Value| workspace["materialization"]["state"] == "stopped";
    let first = await_workspace(&server, &workspace, "the machine to stop", stopped).await?;
    ensure!(server.terminate().await? == 0, "not a clean stop");

    // Another host would have none of these files: they are made anew, and the kill comes when half of them are.
    fs::remove_dir_all(server.data_dir().join("worker/workspaces").join(&workspace))?;
    let id = workspace.clone();
    killed_at(
        &mut server,
        "worker.files.put_back_entry:50",
        |cli| async move { sh(&cli, &id, "true").await.map(drop) },
    )
    .await?;
    let cli = server.cli()?;
    let found = sh(&cli, &workspace, sum).await?;
    ensure!(found.stdout == expected, "{found:?}, not {expected}");

    // A capture that is cut short is no version, and loses nothing.
    sh(&cli, &workspace, "echo more > /workspace/many/101").await?;
    let expected = sh(&cli, &workspace, sum).await?.stdout;
    server.kill()?;
    let id = workspace.clone();
    killed_at(
        &mut server,
        "worker.files.capture_entry:50",
        |cli| async move { cli.json(&["workspace", "stop", &id]).await.map(drop) },
    )
    .await?;
    let next = |workspace: &Value| {
        workspace["materialization"]["state"] == "stopped"
            && workspace["current_version_id"] != first["current_version_id"]
    };
    await_workspace(&server, &workspace, "a version of what was added", next).await?;
    let cli = server.cli()?;
    let found = sh(&cli, &workspace, sum).await?;
    ensure!(found.stdout == expected, "{found:?}, not {expected}");
    nothing_left(&mut server).await
}

/// Waits until the worker has said whether it holds workspaces to their size.
async fn await_hard_limit(server: &Server, hard: bool) -> Result<()> {
    poll_until(
        "the worker to register",
        Duration::from_secs(20),
        || async {
            let workers = server.get("/api/v1/workers").await?;
            let worker = &workers["items"][0];
            let said = &worker["drivers"][0]["hard_disk_limit"];
            Ok(if worker["connected"] == true && *said == hard {
                Ok(())
            } else {
                Err(workers.to_string())
            })
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cannot_limit_disks_is_refused_unless_told() -> Result<()> {
    let mut server = Server::start(Options::default()).await?;
    server.kill()?;
    let refused = helmr_e2e::without_loop_devices()?
        .arg("up")
        .args(["--data-dir".as_ref(), server.data_dir().as_os_str()])
        .args(["--listen", "127.0.0.1:0"])
        .output()?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(
        !refused.status.success() && said.contains("--allow-soft-limits"),
        "{said}"
    );

    let soft = Options {
        without_loop_devices: true,
        ..Options::default()
    };
    server.restart(soft).await?;
    await_hard_limit(&server, false).await?;
    let cli = server.cli()?;
    let workspace = small_workspace(&cli).await?;
    let more = sh(
        &cli,
        &workspace,
        "dd if=/dev/zero of=/workspace/zeros bs=1M count=30 && echo kept > /workspace/file",
    )
    .await?;
    ensure!(more.code == 0, "{more:?}");
    cli.json(&["workspace", "stop", &workspace]).await?;
    let stopped = |workspace: &Value| workspace["materialization"]["state"] == "stopped";
    await_workspace(&server, &workspace, "the machine to stop", stopped).await?;
    ensure!(server.terminate().await? == 0, "not a clean stop");

    // The same workspace on a host that can.
    server.restart(Options::default()).await?;
    await_hard_limit(&server, true).await?;
    let found = sh(&server.cli()?, &workspace, "cat /workspace/file").await?;
    ensure!(found.stdout == "kept\n", "{found:?}");
    ensure!(image(&server, &workspace).exists(), "it is not on a disk");
    nothing_left(&mut server).await
}
