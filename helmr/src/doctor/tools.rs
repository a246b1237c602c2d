//! Programs that Helmr calls.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use helmr_cli::env;
use tokio::process::Command;

use super::report::Check;
use crate::runsc as gvisor;

const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn erofs() -> Check {
    const NAME: &str = "mkfs.erofs";
    let Some(path) = env::find_program("mkfs.erofs") else {
        return Check::failed(
            NAME,
            "not found",
            "install erofs-utils: root filesystems are made with it",
        );
    };
    match first_line(&path, "--version").await {
        Some(line) => Check::ok(NAME, format!("{line} ({})", path.display())),
        None => Check::failed(
            NAME,
            format!("{} does not start", path.display()),
            "install erofs-utils anew",
        ),
    }
}

pub(super) async fn runsc() -> Check {
    const NAME: &str = "runsc";
    let path = match gvisor::find() {
        Ok(path) => path,
        Err(_) => {
            let detail = match env::RUNSC.path() {
                Some(path) => format!("HELMR_RUNSC is {}, where there is no file", path.display()),
                None => format!("not found; version {} is needed", gvisor::PINNED),
            };
            return Check::failed(NAME, detail, gvisor::MEND);
        }
    };
    let line = first_line(&path, "--version").await.unwrap_or_default();
    match line.strip_prefix("runsc version ") {
        Some(gvisor::PINNED) => Check::ok(NAME, format!("{} ({})", gvisor::PINNED, path.display())),
        Some(other) => {
            let detail = format!(
                "{} is version {other}; {} is needed",
                path.display(),
                gvisor::PINNED
            );
            Check::failed(NAME, detail, gvisor::MEND)
        }
        None => Check::failed(
            NAME,
            format!("{} does not say its version", path.display()),
            gvisor::MEND,
        ),
    }
}

/// What machines' networks are made with.
pub(super) fn network() -> Check {
    const NAME: &str = "network tools";
    const TOOLS: [(&str, &str); 3] = [("pasta", "passt"), ("nft", "nftables"), ("ip", "iproute2")];
    let missing: Vec<(&str, &str)> = TOOLS
        .into_iter()
        .filter(|(program, _)| find_administrative(program).is_none())
        .collect();
    if missing.is_empty() {
        return Check::ok(NAME, "pasta, nft and ip");
    }
    let programs: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    Check::warning(
        NAME,
        format!("not found: {}", programs.join(", ")),
        format!(
            "install {}: machines reach the network with them",
            packages.join(", ")
        ),
    )
}

/// An ordinary user's `PATH` often lacks the folders of administration.
fn find_administrative(program: &str) -> Option<PathBuf> {
    env::find_program(program).or_else(|| {
        ["/usr/sbin", "/sbin"]
            .into_iter()
            .map(|folder| Path::new(folder).join(program))
            .find(|path| path.is_file())
    })
}

pub(super) async fn node() -> Check {
    const NAME: &str = "node";
    let here = std::env::current_dir().unwrap_or_default();
    match helmr_cli::deploy::node::find(&here).await {
        Ok(node) => Check::ok(
            NAME,
            format!(
                "{} ({}), for helmr deploy",
                node.version,
                node.path.display()
            ),
        ),
        Err(_) => Check::warning(
            NAME,
            format!(
                "none of version {} or newer",
                helmr_cli::deploy::node::OLDEST
            ),
            "`helmr deploy` needs one on this machine: install it, or set HELMR_NODE; in a checkout, script/setup brings one",
        ),
    }
}

/// The first line that a program prints.
async fn first_line(program: &Path, argument: &str) -> Option<String> {
    let run = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, run).await.ok()?.ok()?;
    // Some say their version on standard error.
    let text = if output.stdout.is_empty() {
        output.stderr
    } else {
        output.stdout
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().next().map(|line| line.trim().to_owned())
}
