//! `helmr workspace shell` in a real terminal.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use helmr_e2e::{Cli, Options, Server, poll_until, repository};

use crate::ptys::{await_machine, await_pty, make_workspace, soon_idle};
use crate::screen::Screen;

const WITHIN: Duration = Duration::from_secs(60);
/// A shell whose prompt is not mistaken for another one's, nor for the words that ask for it.
const SHELL: &str = "--env PS1='in''side> ' -- bash --norc -i";
/// Says whether the terminal was left raw.
const RAW: &str = "raw $(stty -a | grep -c -- -icanon)";

async fn only_pty(cli: &Cli, workspace: &str) -> Result<String> {
    let listed = cli.json(&["pty", "list", workspace]).await?;
    let id = listed["items"][0]["id"].as_str();
    Ok(id.with_context(|| listed.to_string())?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_is_a_good_terminal() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let workspace = make_workspace(&cli, "5m").await?;
    let screen = Screen::open(&cli).await?;
    screen
        .enter(&format!(
            "$HELMR workspace shell {workspace} {SHELL}; echo ended with $? {RAW}"
        ))
        .await?;
    screen.await_shown("inside>").await?;
    screen.enter("stty size; pwd").await?;
    screen.await_shown("30 100\n/workspace\n").await?;
    screen.resize(120, 40).await?;
    screen.enter("stty size").await?;
    screen.await_shown("40 120").await?;
    // Ctrl-C reaches what runs there, and not this program.
    screen.enter("sleep 1000; echo in''terrupted $?").await?;
    screen.await_shown("sleep 1000").await?;
    screen.press(&["C-c"]).await?;
    screen.enter("echo aft''er").await?;
    screen.await_shown("after").await?;
    // Help, and a tilde that is one.
    screen.press(&["Enter"]).await?;
    screen.type_in("~?").await?;
    screen.await_shown("~.   leave the terminal").await?;
    screen.enter("echo a~b").await?;
    screen.await_shown("\na~b").await?;
    screen.enter("exit 7").await?;
    screen.await_shown("ended with 7 raw 0").await?;

    // Leaving leaves it as it is; coming back shows what was there.
    screen.clear().await?;
    screen
        .enter(&format!(
            "$HELMR workspace shell {workspace} {SHELL}; echo left with $? {RAW}"
        ))
        .await?;
    screen.await_shown("inside>").await?;
    screen.enter("kept=here; echo some''thing to see").await?;
    screen.await_shown("something to see").await?;
    screen.press(&["Enter"]).await?;
    screen.type_in("~.").await?;
    screen.await_shown("left with 0 raw 0").await?;
    let id = only_pty(&cli, &workspace).await?;
    screen.clear().await?;
    screen
        .enter(&format!("$HELMR pty attach {id}; echo ended with $?"))
        .await?;
    screen.await_shown("something to see").await?;
    screen.enter("echo $kept; exit 5").await?;
    screen.await_shown("ended with 5").await?;

    // One that is killed does not take the shell along.
    screen.clear().await?;
    screen
        .enter(&format!("$HELMR workspace shell {workspace} {SHELL}"))
        .await?;
    screen.await_shown("inside>").await?;
    let other = only_pty(&cli, &workspace).await?;
    ensure!(other != id);
    drop(screen);
    let left = await_pty(&server, &other, "it goes on", |pty| {
        pty["state"] == "running"
    })
    .await?;
    ensure!(left["ended_at"].is_null());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn several_look_at_one_terminal_and_type_in_it() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let workspace = make_workspace(&cli, "5m").await?;
    let (one, other) = (Screen::open(&cli).await?, Screen::open(&cli).await?);
    one.enter(&format!("$HELMR workspace shell {workspace} {SHELL}"))
        .await?;
    one.await_shown("inside>").await?;
    one.enter("echo from o''ne").await?;
    one.await_shown("from one").await?;
    let id = only_pty(&cli, &workspace).await?;
    other
        .enter(&format!("$HELMR pty attach {id}; echo ended with $?"))
        .await?;
    other.await_shown("from one").await?;
    other.enter("echo from o''ther").await?;
    for screen in [&one, &other] {
        screen.await_shown("from other").await?;
    }
    // Whose window changed last has its size.
    other.resize(90, 25).await?;
    await_pty(&server, &id, "the size of the other window", |pty| {
        pty["cols"] == 90
    })
    .await?;
    one.enter("stty size").await?;
    other.await_shown("25 90").await?;
    one.enter("exit 3").await?;
    other.await_shown("ended with 3").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_outlives_the_server_and_the_park_of_its_machine() -> Result<()> {
    let mut server = Server::start(soon_idle()).await?;
    let cli = server.cli()?;
    let workspace = make_workspace(&cli, "1s").await?;
    let screen = Screen::open(&cli).await?;
    screen
        .enter(&format!(
            "$HELMR workspace shell {workspace} {SHELL}; echo ended with $?"
        ))
        .await?;
    screen.await_shown("inside>").await?;
    screen
        .enter("n=0; say() { n=$((n+1)); echo sa''id $n; }; say")
        .await?;
    screen.await_shown("said 1").await?;
    await_machine(&server, &workspace, "parked").await?;
    screen.enter("say").await?;
    screen.await_shown("said 2").await?;
    server.kill()?;
    // Typed while nobody is there.
    screen.enter("say").await?;
    server.restart(soon_idle()).await?;
    screen.await_shown("said 3").await?;
    ensure!(server.terminate().await? == 0);
    server.restart(soon_idle()).await?;
    screen.enter("say").await?;
    let shown = screen.await_shown("said 4").await?;
    ensure!(
        !shown.contains("said 5") && shown.matches("said 3").count() == 1,
        "{shown}"
    );
    screen.enter("exit 9").await?;
    screen.await_shown("ended with 9").await?;
    Ok(())
}

/// A root directory with programs that fill a screen, taken from this machine with the libraries that they need.
fn image(root: &Path) -> Result<()> {
    for directory in [
        "bin",
        "tmp",
        "etc",
        "proc",
        "dev",
        "run",
        "workspace",
        "root",
        "usr/share/terminfo",
        "lib64",
    ] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/bash\n")?;
    let programs = [
        "bash", "sh", "ls", "cat", "stty", "sleep", "seq", "vim", "htop", "less", "lessecho",
        "tput", "clear",
    ];
    let copy = format!(
        "set -e
        for program in {}; do
            path=$(readlink -f \"$(command -v $program)\")
            cp \"$path\" \"$ROOT/bin/$program\"
            for library in $(ldd \"$path\" | grep -o '/[^ )]*'); do
                mkdir -p \"$ROOT$(dirname $library)\"
                cp -Ln \"$library\" \"$ROOT$library\"
            done
        done
        cp -rL /lib/terminfo/. \"$ROOT/usr/share/terminfo\"",
        programs.join(" ")
    );
    let copied = std::process::Command::new("bash")
        .args(["-c", &copy])
        .env("ROOT", root)
        .output()?;
    ensure!(
        copied.status.success(),
        "run `script/setup --tests`: {copied:?}"
    );
    Ok(())
}

/// Makes a workspace in whose machine those programs are.
async fn with_programs(server: &Server, cli: &Cli) -> Result<String> {
    let parent = repository().join("target/e2e");
    let directory = tempfile::Builder::new()
        .prefix("helmr-e2e-screen-")
        .tempdir_in(parent)?;
    let root = directory.path().join("root");
    image(&root)?;
    cli.json(&[
        "image",
        "import",
        "--name",
        "screens:1",
        &root.to_string_lossy(),
    ])
    .await?;
    let project = directory.path().join("project");
    fs::create_dir_all(project.join("tasks"))?;
    fs::write(
        project.join("helmr.config.ts"),
        "import { defineConfig } from \"@helmr/sdk\";\nexport default defineConfig({ project: \"main\", dirs: [\"tasks\"] });\n",
    )?;
    fs::write(
        project.join("tasks/screens.ts"),
        "import { image, sandbox, task } from '@helmr/sdk';
         export const screens = task({ id: 'screens', sandbox: sandbox('screens').image(image('screens').from('screens:1')), run: async () => 1 });\n",
    )?;
    cli.json(&["deploy", &project.to_string_lossy()]).await?;
    let made = cli
        .json(&[
            "workspace",
            "create",
            "--sandbox",
            "screens",
            "--auto-stop-after",
            "1s",
        ])
        .await
        .with_context(|| server.log_tail())?;
    let id = made["workspace"]["id"].as_str();
    Ok(id.with_context(|| made.to_string())?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_fill_the_screen_look_right() -> Result<()> {
    let server = Server::start(soon_idle()).await?;
    let cli = server.cli()?;
    let workspace = with_programs(&server, &cli).await?;
    let screen = Screen::open(&cli).await?;
    screen
        .enter(&format!(
            "$HELMR workspace shell {workspace} {SHELL}; echo ended with $?"
        ))
        .await?;
    screen.await_shown("inside>").await?;

    screen.enter("seq 1 500 | less").await?;
    let top = screen.await_screen("the first page of less", |shown| {
        shown.starts_with("1\n2\n3\n") && shown.contains("\n29\n:")
    });
    top.await?;
    screen.type_in("G").await?;
    screen
        .await_screen("its last page", |shown| shown.contains("\n500\n(END)"))
        .await?;
    screen.resize(100, 20).await?;
    screen
        .await_screen("its last page, smaller", |shown| {
            shown.contains("\n500\n(END)") && shown.lines().count() <= 20
        })
        .await?;
    screen.type_in("q").await?;
    screen.await_shown("inside>").await?;
    screen.resize(100, 30).await?;

    screen.enter("htop").await?;
    let shown = screen.await_screen("htop", |shown| {
        shown.contains("Load average") && shown.contains("F10Quit")
    });
    let shown = shown.await?;
    ensure!(
        shown
            .trim_end()
            .lines()
            .last()
            .is_some_and(|line| line.contains("F1Help")),
        "{shown}"
    );
    screen.press(&["F10"]).await?;
    screen
        .await_screen("the shell again", |shown| {
            shown.contains("inside>") && !shown.contains("F10Quit")
        })
        .await?;

    // An editor with a buffer that was never written, through a park of its machine.
    screen.enter("vim -u NONE -N notes.txt").await?;
    screen.await_shown("\"notes.txt\" [New]").await?;
    screen.type_in("ifirst line").await?;
    screen.press(&["Enter"]).await?;
    screen.type_in("second line").await?;
    screen.press(&["Escape"]).await?;
    screen
        .await_screen("the buffer", |shown| {
            shown.starts_with("first line\nsecond line\n~\n~\n")
        })
        .await?;
    screen.press(&["C-z"]).await?;
    screen.await_shown("Stopped").await?;
    await_machine(&server, &workspace, "parked").await?;
    screen.enter("fg").await?;
    screen
        .await_screen("the buffer after the park", |shown| {
            shown.starts_with("first line\nsecond line\n~\n~\n")
        })
        .await?;

    // Somebody who comes later sees the same screen.
    let id = only_pty(&cli, &workspace).await?;
    let other = Screen::open(&cli).await?;
    other.enter(&format!("$HELMR pty attach {id}")).await?;
    other
        .await_screen("the buffer for another viewer", |shown| {
            shown.starts_with("first line\nsecond line\n~\n~\n")
        })
        .await?;
    screen.enter(":wq").await?;
    // What is typed too early is the editor's.
    screen
        .await_screen("the shell's prompt", |shown| {
            shown.trim_end().ends_with("inside>")
        })
        .await?;
    screen.enter("cat notes.txt; exit").await?;
    screen.await_shown("ended with 0").await?;
    poll_until("the other to end", WITHIN, || async {
        let shown = other.shown().await?;
        Ok(if shown.contains("outside>") {
            Ok(())
        } else {
            Err(shown)
        })
    })
    .await
}
