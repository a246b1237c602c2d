//! Versions in people's hands: captured, compared, gone back to, carried elsewhere; and a server that dies meanwhile.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use helmr_e2e::{Cli, Options, Server, poll_until};
use serde_json::{Value, json};

use crate::tools::no_machine_left;

const WITHIN: Duration = Duration::from_secs(90);

fn text(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    Ok(found
        .with_context(|| format!("no text at {pointer} of {value}"))?
        .to_owned())
}

async fn sh(cli: &Cli, workspace: &str, script: &str) -> Result<String> {
    let done = cli
        .run(&["workspace", "exec", workspace, "--", "sh", "-c", script])
        .await?;
    ensure!(done.code == 0, "{script}: {done:?}");
    Ok(done.stdout)
}

/// Has the machine stop, and waits until it has.
async fn stop(server: &Server, cli: &Cli, workspace: &str) -> Result<Value> {
    cli.json(&["workspace", "stop", workspace]).await?;
    until_stopped(server, workspace).await
}

async fn until_stopped(server: &Server, workspace: &str) -> Result<Value> {
    poll_until("the machine to stop", WITHIN, || async {
        let found = server
            .get(&format!("/api/v1/workspaces/{workspace}"))
            .await?["workspace"]
            .clone();
        let ended = found["materialization"]["ended_at"].is_string();
        Ok(if ended {
            Ok(found)
        } else {
            Err(found.to_string())
        })
    })
    .await
}

async fn changes(cli: &Cli, arguments: &[&str]) -> Result<Vec<String>> {
    let all: Vec<&str> = ["workspace", "diff"]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    let page = cli.json(&all).await?;
    let items = page["items"].as_array().context("no items")?;
    let line = |item: &Value| {
        Some(format!(
            "{} {}",
            item["change"].as_str()?,
            item["path"].as_str()?
        ))
    };
    Ok(items.iter().filter_map(line).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_captured_compared_gone_back_to_and_carried_elsewhere() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let made = cli
        .json(&["workspace", "create", "--auto-stop-after", "1h"])
        .await?;
    let id = text(&made, "/workspace/id")?;
    // Nothing has run in it: it has the files of its image, which were captured for another one.
    let image = cli.json(&["workspace", "capture", &id]).await?;
    ensure!(image["version"]["parent_id"].is_null(), "{image}");
    sh(
        &cli,
        &id,
        "mkdir -p src && echo one > src/a && echo keep > keep && ln keep again && ln -s src/a link",
    )
    .await?;
    // A process that goes on over the capture of its machine.
    let ticking = cli
        .run(&[
            "workspace",
            "exec",
            &id,
            "--detach",
            "--json",
            "--",
            "sh",
            "-c",
            "while sleep 0.1; do date +%N > ticks; done",
        ])
        .await?;
    let ticking: Value = serde_json::from_str(&ticking.stdout)?;
    let before = cli
        .json(&["workspace", "capture", &id, "-m", "before"])
        .await?;
    let before = text(&before, "/version/id")?;
    sh(
        &cli,
        &id,
        "echo two > src/a && rm keep && printf '\\000' > src/bin && mkdir new",
    )
    .await?;
    // Compared as they are now: nothing is captured for it, and nothing stops.
    let mut now = changes(&cli, &[&id, &before]).await?;
    now.retain(|line| !line.ends_with(" ticks"));
    let expected = [
        "removed keep",
        "added new",
        "modified src/a",
        "added src/bin",
    ];
    ensure!(now == expected, "{now:?}");
    let patch = cli
        .run(&["workspace", "diff", &id, &before, "--patch"])
        .await?;
    for line in [
        "-one\n+two\n",
        "deleted file mode 100644",
        "Binary files differ (0 and 1 bytes)",
    ] {
        ensure!(
            patch.stdout.contains(line),
            "{line:?} is not in {}",
            patch.stdout
        );
    }
    let versions = cli.json(&["workspace", "versions", &id]).await?;
    ensure!(
        versions["items"].as_array().map(Vec::len) == Some(2),
        "{versions}"
    );
    let exec = cli
        .json(&["exec", "get", &text(&ticking, "/exec/id")?])
        .await?;
    ensure!(exec["exec"]["state"] == "running", "{exec}");
    cli.json(&["exec", "signal", &text(&ticking, "/exec/id")?, "TERM"])
        .await?;
    sh(&cli, &id, "rm -f ticks").await?;
    let stopped = stop(&server, &cli, &id).await?;
    let second = text(&stopped, "/current_version_id")?;
    // Without a machine: at once, and nothing is started for it.
    let again = cli
        .json(&["workspace", "capture", &id, "-m", "again"])
        .await?;
    ensure!(again["version"]["parent_id"] == second.as_str(), "{again}");
    ensure!(again["version"]["changed_bytes"] == 0, "{again}");
    ensure!(until_stopped(&server, &id).await?["materialization"] == stopped["materialization"]);

    let restored = cli
        .json(&["workspace", "restore", &id, &before, "-m", "back"])
        .await?;
    ensure!(restored["version"]["kind"] == "restore", "{restored}");
    let found = sh(&cli, &id, "cat src/a keep again link; stat -c %h keep; ls").await?;
    ensure!(found.starts_with("one\nkeep\nkeep\none\n2\n"), "{found}");
    ensure!(!found.contains("new"), "{found}");
    // In a live machine: it gives way, and what it still wrote is a version beside.
    sh(&cli, &id, "echo three > src/a").await?;
    let restored = cli.json(&["workspace", "restore", &id, &second]).await?;
    let current = text(&restored, "/version/id")?;
    let stopped = until_stopped(&server, &id).await?;
    ensure!(
        stopped["current_version_id"] == current.as_str(),
        "{stopped}"
    );
    let versions = cli.json(&["workspace", "versions", &id]).await?;
    ensure!(
        versions["items"][0]["kind"] == "auto" && versions["items"][0]["current"] == false,
        "{versions}"
    );
    let beside = text(&versions, "/items/0/id")?;
    let between = changes(&cli, &[&id, &before, &beside]).await?;
    ensure!(
        between.contains(&"modified src/a".to_owned()),
        "{between:?}"
    );

    // Out of here, through plain tar, and into another workspace.
    let archive = server.data_dir().join("files.tar");
    let archive_text = archive.to_str().context("a path")?;
    let exported = cli
        .run(&["workspace", "export", &id, &before, "-o", archive_text])
        .await?;
    ensure!(exported.code == 0, "{exported:?}");
    let listed = tokio::process::Command::new("tar")
        .args(["-tf", archive_text])
        .output()
        .await?;
    let listed = String::from_utf8(listed.stdout)?;
    ensure!(
        listed.contains("src/a\n") && listed.contains("keep\n"),
        "{listed}"
    );
    let refused = cli
        .run(&["workspace", "import", &id, "/etc/hostname", "--json"])
        .await?;
    ensure!(
        refused.code != 0 && refused.stderr.contains("archive_invalid"),
        "{refused:?}"
    );
    let other = text(&cli.json(&["workspace", "create"]).await?, "/workspace/id")?;
    let imported = cli
        .json(&["workspace", "import", &other, archive_text, "-m", "moved"])
        .await?;
    ensure!(imported["version"]["kind"] == "manual", "{imported}");
    let found = sh(&cli, &other, "cat src/a link; stat -c %h keep").await?;
    ensure!(found == "one\none\n2\n", "{found}");
    stop(&server, &cli, &other).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_run_sleeps_through_a_capture_and_gives_way_to_a_forced_restore() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let (session, run) = server
        .start_session(&json!({"task": "keeps-everything"}))
        .await?;
    let parked = server.await_parked(&run).await?;
    let id = text(&parked, "/workspace_id")?;
    let captured = cli.json(&["workspace", "capture", &id]).await?;
    let version = text(&captured, "/version/id")?;
    ensure!(server.run(&run).await?["pending_wait"]["state"] == "parked");
    ensure!(changes(&cli, &[&id]).await?.is_empty());
    let busy = cli
        .run(&["workspace", "restore", &id, &version, "--json"])
        .await?;
    ensure!(
        busy.code == 5 && busy.stderr.contains("workspace_busy"),
        "{busy:?}"
    );
    let restored = cli
        .json(&["workspace", "restore", &id, &version, "--force"])
        .await?;
    let ended = server.await_end_of(&run).await?;
    ensure!(ended["status"] == "cancelled", "{ended}");
    let stopped = until_stopped(&server, &id).await?;
    ensure!(
        stopped["current_version_id"] == restored["version"]["id"],
        "{stopped}"
    );
    let session = server.get(&format!("/api/v1/sessions/{session}")).await?;
    ensure!(session["session"]["status"] == "open", "{session}");
    Ok(())
}

/// The server dies at a named point while somebody captures a live machine, and somebody asks again with the same key.
async fn survives(point: &str) -> Result<()> {
    let mut server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let made = cli
        .json(&["workspace", "create", "--auto-stop-after", "1h"])
        .await?;
    let id = text(&made, "/workspace/id")?;
    sh(&cli, &id, "echo before > a").await?;
    server.kill()?;
    let armed = Options {
        kill_at: Some(point.to_owned()),
        ..Options::default()
    };
    server.restart(armed).await?;
    let arguments = [
        "workspace",
        "capture",
        &id,
        "--idempotency-key",
        "once",
        "--json",
    ];
    let cli = server.cli()?;
    let died = cli.run(&arguments).await?;
    // Behind the commit the answer may be quicker than the death.
    ensure!(
        died.code != 0 || point.ends_with("after_commit"),
        "{point} was never passed: {died:?}"
    );
    server.await_end(Duration::from_secs(10)).await?;
    server.restart(Options::default()).await?;
    let cli = server.cli()?;
    let captured = cli.run(&arguments).await?;
    ensure!(captured.code == 0, "{captured:?}; {}", server.log_tail());
    let captured: Value = serde_json::from_str(&captured.stdout)?;
    let version = text(&captured, "/version/id")?;
    let versions = cli.json(&["workspace", "versions", &id]).await?;
    let items = versions["items"].as_array().context("no items")?;
    let manual = items.iter().filter(|item| item["kind"] == "manual");
    ensure!(manual.count() == 1, "one version: {versions}");
    // The machine goes on, and the version can be read.
    sh(&cli, &id, "echo after >> a").await?;
    let now = changes(&cli, &[&id, &version]).await?;
    ensure!(now == ["modified a"], "{now:?}");
    stop(&server, &cli, &id).await?;
    if server.terminate().await? != 0 {
        bail!("the server did not stop cleanly");
    }
    no_machine_left(&server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_point_of_a_capture_leaves_one_version() -> Result<()> {
    let points: Vec<_> = crate::crash::points()?
        .into_iter()
        .filter(|point| point.contains(".version."))
        .collect();
    ensure!(points.len() >= 5, "only {points:?}");
    for point in &points {
        survives(point).await.with_context(|| point.clone())?;
    }
    Ok(())
}

/// Lets everything in the artifact store be a day and a half older.
fn age(server: &Server) -> Result<()> {
    const LONG: Duration = Duration::from_secs(36 * 3600);
    let store = server.data_dir().join("artifacts");
    let mut folders = vec![store.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let file = fs::File::open(&path)?;
                file.set_modified(file.metadata()?.modified()? - LONG)?;
            }
        }
    }
    let aside = store.join("aside");
    if aside.is_dir() {
        for entry in fs::read_dir(&aside)? {
            let name = entry?
                .file_name()
                .into_string()
                .map_err(|name| anyhow::anyhow!("{name:?}"))?;
            let then = name.parse::<u128>()? - LONG.as_nanos();
            fs::rename(aside.join(&name), aside.join(format!("{then:020}")))?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_names_any_more_comes_back_as_room() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let shown = cli.json(&["env", "retention"]).await?;
    ensure!(
        shown["retention"] == json!({"keep_last": 100, "keep_for": "30d"}),
        "{shown}"
    );
    let changed = cli
        .json(&["env", "retention", "--keep-last", "1", "--keep-for", "1h"])
        .await?;
    ensure!(
        changed["retention"] == json!({"keep_last": 1, "keep_for": "1h"}),
        "{changed}"
    );
    let mut kept = String::new();
    for keep in [true, false] {
        let id = text(&cli.json(&["workspace", "create"]).await?, "/workspace/id")?;
        sh(&cli, &id, "head -c 3000000 /dev/urandom > noise").await?;
        if keep {
            stop(&server, &cli, &id).await?;
            kept = id;
            continue;
        }
        // Stored to be compared with, and no version.
        changes(&cli, &[&id]).await?;
        sh(&cli, &id, "rm noise").await?;
        stop(&server, &cli, &id).await?;
    }
    let young = cli.json(&["storage", "sweep"]).await?;
    let figure = |answer: &Value, name: &str| {
        answer["storage"]["last_sweep"][name]["bytes"]
            .as_u64()
            .unwrap_or(0)
    };
    ensure!(figure(&young, "young") >= 3_000_000, "{young}");
    age(&server)?;
    let aside = cli.json(&["storage", "sweep"]).await?;
    ensure!(
        figure(&aside, "aside") >= 3_000_000 && figure(&aside, "removed") == 0,
        "{aside}"
    );
    age(&server)?;
    let removed = cli.json(&["storage", "sweep"]).await?;
    ensure!(figure(&removed, "removed") >= 3_000_000, "{removed}");
    ensure!(figure(&removed, "kept") >= 3_000_000, "{removed}");
    let found = sh(&cli, &kept, "wc -c < noise").await?;
    ensure!(found.trim() == "3000000", "{found}");
    Ok(())
}
