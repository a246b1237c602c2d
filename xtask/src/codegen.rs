//! Files that are generated from the code and committed, so that a change in them is seen in review.
//!
//! The binary prints them itself (`helmr reference …`): what is documented is what is shipped.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::Run;
use crate::report;
use crate::workspace::Workspace;

/// Each generated file, and what `helmr reference` calls it.
const FILES: [(&str, &str); 3] = [
    ("docs/cli.md", "cli"),
    ("docs/environment.md", "environment"),
    ("docs/openapi.json", "openapi"),
];

/// Builds the binary and writes every file whose text changed.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    Run::cargo(workspace)
        .args(["build", "--locked", "--package", "helmr"])
        .run()?;
    let binary = workspace.path("target/debug/helmr");
    for (file, what) in FILES {
        let path = workspace.path(file);
        let text = generate(workspace, &binary, what)?;
        if committed(&path)? == text {
            continue;
        }
        std::fs::write(&path, text).with_context(|| format!("write {file}"))?;
        report::note(&format!("wrote {file}"));
    }
    Ok(())
}

/// Compares every file with what the release binary generates.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let binary = workspace.path("target/release/helmr");
    let mut stale = Vec::new();
    for (file, what) in FILES {
        let text = generate(workspace, &binary, what)?;
        if let Some(line) = first_difference(&committed(&workspace.path(file))?, &text) {
            stale.push(format!("{file}:{line}"));
        }
    }
    if !stale.is_empty() {
        bail!(
            "not what the code generates: {}. Run cargo xtask codegen and review the change",
            stale.join(", ")
        );
    }
    Ok(())
}

fn generate(workspace: &Workspace, binary: &PathBuf, what: &str) -> Result<String> {
    Run::program(workspace, binary)
        .args(["reference", what])
        .output()
}

/// The committed text; nothing if there is no such file yet.
fn committed(path: &Path) -> Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// The number of the first line in which two texts differ.
fn first_difference(one: &str, other: &str) -> Option<usize> {
    if one == other {
        return None;
    }
    let same = one
        .lines()
        .zip(other.lines())
        .take_while(|(left, right)| left == right)
        .count();
    Some(same + 1)
}

#[cfg(test)]
mod tests {
    use super::first_difference;

    #[test]
    fn the_first_line_that_differs_is_named() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(first_difference("", "a\n"), Some(1));
        assert_eq!(first_difference("a\n", "a\nb\n"), Some(2));
        assert_eq!(first_difference("a", "a\n"), Some(2));
    }
}
