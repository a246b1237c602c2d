//! Two days of work on a real repository, as a developer does it with the command line and the client. At each stage git says
//! whether the repository came through.

mod checkout;

use anyhow::{Context, Result, ensure};
use helmr_e2e::{Cli, Options, Server};
use serde_json::{Value, json};

use crate::ptys::await_machine;
use crate::screen::Screen;
use crate::tools::{first_record, no_machine_left};
use checkout::Checkout;

fn text(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    Ok(found
        .with_context(|| format!("no text at {pointer} of {value}"))?
        .to_owned())
}

/// A command in a workspace's machine, which succeeds.
async fn exec(cli: &Cli, workspace: &str, command: &[&str]) -> Result<String> {
    let mut all = vec!["workspace", "exec", workspace, "--"];
    all.extend(command);
    let done = cli.run(&all).await?;
    ensure!(done.code == 0, "{command:?}: {done:?}");
    Ok(done.stdout)
}

/// Checks what git says of a repository: what is not committed, each commit from the newest on, and that nothing is amiss.
async fn check(cli: &Cli, workspace: &str, status: &[&str], commits: &[String]) -> Result<()> {
    let said = exec(cli, workspace, &["git", "status", "--porcelain"]).await?;
    let seen: Vec<&str> = said.lines().collect();
    ensure!(seen == status, "git status: {said}");
    let said = exec(cli, workspace, &["git", "log", "--format=%H"]).await?;
    let seen: Vec<&str> = said.lines().collect();
    ensure!(seen == commits, "git log: {said}, and not {commits:?}");
    let fsck = ["git", "fsck", "--full", "--strict", "--no-dangling"];
    let said = cli
        .run(&[&["workspace", "exec", workspace, "--"], fsck.as_slice()].concat())
        .await?;
    ensure!(
        (said.code, said.stdout.as_str(), said.stderr.as_str()) == (0, "", ""),
        "git fsck: {said:?}"
    );
    Ok(())
}

async fn head(cli: &Cli, workspace: &str) -> Result<String> {
    let said = exec(cli, workspace, &["git", "rev-parse", "HEAD"]).await?;
    Ok(said.trim().to_owned())
}

/// Commits everything, in a terminal.
async fn commit_by_hand(cli: &Cli, workspace: &str) -> Result<()> {
    let screen = Screen::open(cli).await?;
    screen
        .enter(&format!(
            "$HELMR workspace shell {workspace} --env PS1='in''side> ' --env GIT_PAGER=cat -- bash --norc -i; echo ended with $?"
        ))
        .await?;
    screen.await_shown("inside>").await?;
    screen.enter("git diff --stat").await?;
    screen.await_shown("2 files changed").await?;
    screen
        .enter("git add -A && git commit -qm 'Names are capital' && echo com''mitted")
        .await?;
    screen.await_shown("committed").await?;
    screen.enter("git log --oneline -1").await?;
    screen.await_shown("Names are capital\n").await?;
    screen.enter("exit").await?;
    screen.await_shown("ended with 0").await.map(drop)
}

/// Has the machine stop for the night, and gives the version of its files.
async fn stop(server: &Server, cli: &Cli, workspace: &str) -> Result<String> {
    cli.json(&["workspace", "stop", workspace]).await?;
    await_machine(server, workspace, "stopped").await?;
    let shown = cli.json(&["workspace", "get", workspace]).await?;
    text(&shown, "/workspace/current_version_id")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_worked_on_for_two_days_and_git_finds_nothing_amiss() -> Result<()> {
    let mut server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let scratch = tempfile::tempdir()?;
    let checkout = Checkout::make(scratch.path())?;
    let mut commits = checkout.commits()?;

    let made = cli
        .json(&["workspace", "create", "--auto-stop-after", "1h"])
        .await?;
    let id = text(&made, "/workspace/id")?;
    let local = checkout.path.to_str().context("a path")?;
    cli.json(&["workspace", "files", "put", &id, local, "."])
        .await?;
    check(&cli, &id, &[], &commits)
        .await
        .context("as it was pushed")?;
    exec(&cli, &id, &["npm", "install", "./vendor/words-1.0.0.tgz"]).await?;
    let installed = [" M package.json", "?? package-lock.json"];
    check(&cli, &id, &installed, &commits)
        .await
        .context("with its dependency")?;
    let tests = cli
        .run(&["workspace", "exec", &id, "--", "npm", "test"])
        .await?;
    ensure!(
        tests.code == 1 && tests.stdout.contains("fail 1"),
        "{tests:?}"
    );

    server.program("day.ts", &["edits", &id])?.finish().await?;
    let edited = [installed[0], " M src/greet.js", installed[1]];
    check(&cli, &id, &edited, &commits)
        .await
        .context("edited by API")?;
    commit_by_hand(&cli, &id).await?;
    commits.insert(0, head(&cli, &id).await?);
    check(&cli, &id, &[], &commits)
        .await
        .context("committed by hand")?;
    let captured = cli
        .json(&["workspace", "capture", &id, "-m", "a good day"])
        .await?;
    let yesterday = text(&captured, "/version/id")?;
    stop(&server, &cli, &id).await?;

    let committed = an_agent_works(&server, &cli, &id, &commits).await?;
    let before = commits.clone();
    commits.insert(0, committed);
    check(&cli, &id, &[], &commits)
        .await
        .context("committed by the agent")?;
    let today = stop(&server, &cli, &id).await?;

    let mut evening = server.program("day.ts", &["compares", &id, &yesterday, &today])?;
    let compared = evening.says().await?.context("nothing was compared")?;
    evening.finish().await?;
    let added = json!(["added src/shout.js", "added test/shout.test.js"]);
    ensure!(compared["changes"] == added, "{compared}");
    let patch = text(&compared, "/patch")?;
    ensure!(patch.contains("+export const shout"), "{patch}");
    let fork = text(&compared, "/fork")?;
    check(&cli, &id, &[], &before)
        .await
        .context("as it was yesterday")?;
    check(&cli, &fork, &[], &commits)
        .await
        .context("in the fork")?;
    let loud = exec(&cli, &fork, &["./greet", "ada"]).await?;
    ensure!(loud == "Hello, Ada.\n", "{loud}");

    for workspace in [&id, &fork] {
        stop(&server, &cli, workspace).await?;
    }
    ensure!(server.terminate().await? == 0);
    no_machine_left(&server).await
}

/// The agent asks before it commits; it is watched, and a copy of it that hears the opposite goes another way. Gives the
/// commit.
async fn an_agent_works(
    server: &Server,
    cli: &Cli,
    workspace: &str,
    commits: &[String],
) -> Result<String> {
    let mut watching = server.program("day.ts", &["watches", workspace])?;
    let started = watching.says().await?.context("nothing was started")?;
    let (session, run) = (text(&started, "/session")?, text(&started, "/run")?);
    let asked = first_record(server, &session).await?;
    let staged = json!({"staged": ["src/shout.js", "test/shout.test.js"]});
    ensure!(asked == staged, "{asked}");
    server.await_parked(&run).await?;
    let forked = cli
        .json(&["workspace", "fork", workspace, "--live"])
        .await?;
    let fork = text(&forked, "/workspace/id")?;
    for here in [workspace, &fork] {
        let status = ["A  src/shout.js", "A  test/shout.test.js"];
        check(cli, here, &status, commits)
            .await
            .context("staged by the agent")?;
    }

    let other = text(&forked, "/fork/sessions/0/session_id")?;
    for (session, answer) in [(&other, false), (&session, true)] {
        let answer = json!({"approved": answer}).to_string();
        cli.json(&["session", "send", session, "inbox", &answer])
            .await?;
    }
    let left = server
        .await_output(&text(&forked, "/fork/sessions/0/run_id")?)
        .await?;
    ensure!(left == json!({"commit": commits[0]}), "{left}");
    check(cli, &fork, &[], commits)
        .await
        .context("taken back by its copy")?;
    cli.json(&["workspace", "delete", &fork]).await?;

    let watched = watching.says().await?.context("nothing was seen")?;
    watching.finish().await?;
    ensure!(watched["status"] == "succeeded", "{watched}");
    let committed = text(&watched, "/output/commit")?;
    let printed = format!("at {}\ncommitted {committed}\n", commits[0]);
    ensure!(watched["stdout"] == printed, "{watched}");
    ensure!(watched["logged"] == json!([{"passed": 2}]), "{watched}");
    let logs = cli
        .run(&["run", "logs", &run, "--stream", "stdout"])
        .await?;
    ensure!(logs.stdout == printed, "{logs:?}");
    let events = server.events(&run).await?;
    let kinds: Vec<&Value> = events.iter().map(|event| &event["kind"]).collect();
    ensure!(watched["events"] == json!(kinds), "{watched} {kinds:?}");
    Ok(committed)
}
