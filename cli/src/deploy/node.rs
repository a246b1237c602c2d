//! Finding a Node that can bundle: named by the user, the project's, a checkout's, or the one in `PATH`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::env;
use crate::error::CommandError;

/// The oldest Node that the SDK runs on.
pub const OLDEST: u32 = 22;

/// How long `node --version` may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A Node that was asked.
#[derive(Debug, Clone)]
pub struct Node {
    pub path: PathBuf,
    /// For example `24.21.0`.
    pub version: String,
}

/// Finds a Node for the project in this folder.
///
/// # Errors
/// There is none, or none new enough; the text names those that were found.
pub async fn find(project: &Path) -> Result<Node, CommandError> {
    if let Some(path) = env::NODE.path() {
        return named(path).await;
    }
    let mut found = Vec::new();
    for path in candidates(project) {
        if !path.is_file() || found.iter().any(|(seen, _)| *seen == path) {
            continue;
        }
        let version = version(&path).await;
        if let Some(version) = &version
            && is_new_enough(version)
        {
            return Ok(Node {
                path,
                version: version.clone(),
            });
        }
        found.push((path, version));
    }
    Err(none_fits(&found))
}

/// The one that the user named: another would be a surprise.
async fn named(path: PathBuf) -> Result<Node, CommandError> {
    let shown = path.display();
    match version(&path).await {
        Some(version) if is_new_enough(&version) => Ok(Node { path, version }),
        Some(version) => Err(CommandError::failed(format!(
            "HELMR_NODE is {shown}, which is Node {version}: {OLDEST} or newer is needed"
        ))),
        None => Err(
            CommandError::failed(format!("HELMR_NODE is {shown}, which is no Node"))
                .hint("name the node program itself, or unset the variable"),
        ),
    }
}

fn candidates(project: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for folder in project.ancestors() {
        paths.push(folder.join("node_modules/node/bin/node"));
    }
    for folder in checkouts(project) {
        paths.push(folder.join(".helmr/toolchain/node/bin/node"));
    }
    for folder in env::PATH.folders() {
        paths.push(folder.join("node"));
    }
    paths
}

/// Folders that may be a checkout of Helmr: the one that is named, those above the project, those above this program.
pub(crate) fn checkouts(project: &Path) -> Vec<PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    env::HOME
        .path()
        .into_iter()
        .chain(project.ancestors().map(Path::to_owned))
        .chain(program.ancestors().skip(1).map(Path::to_owned))
        .collect()
}

async fn version(path: &Path) -> Option<String> {
    let run = Command::new(path)
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, run).await.ok()?.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.trim().strip_prefix('v')?;
    major(version).map(|_| version.to_owned())
}

fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

fn is_new_enough(version: &str) -> bool {
    major(version).is_some_and(|major| major >= OLDEST)
}

fn none_fits(found: &[(PathBuf, Option<String>)]) -> CommandError {
    let mut message = format!("bundling needs Node {OLDEST} or newer");
    if found.is_empty() {
        message.push_str(", and there is none");
    }
    for (path, version) in found {
        let version = version.as_deref().unwrap_or("does not say its version");
        message.push_str(&format!("\n  found {}: {version}", path.display()));
    }
    CommandError::failed(message)
        .hint("install Node, or set HELMR_NODE to one")
        .hint("in a checkout of Helmr, script/setup brings one")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::style::Style;

    #[test]
    fn versions_are_compared_by_their_first_number() {
        assert!(is_new_enough("22.0.0") && is_new_enough("24.21.0") && is_new_enough("100.1.0"));
        assert!(!is_new_enough("20.20.2") && !is_new_enough("x.1"));
    }

    #[test]
    fn what_was_found_is_told() {
        let found = [("/usr/bin/node".into(), Some("20.1.0".to_owned()))];
        let text = none_fits(&found).render(Style::plain());
        assert!(
            text.contains("/usr/bin/node: 20.1.0") && text.contains("HELMR_NODE"),
            "{text}"
        );
    }
}
