//! `cargo xtask tidy`: house rules that no other tool checks, each a function over a file's path and text.

mod dependencies;
mod files;
mod rust;
mod text;

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::command::Run;
use crate::report;
use crate::workspace::Workspace;

/// A broken rule, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// From 1; none if the file as a whole is meant.
    pub(crate) line: Option<usize>,
    pub(crate) message: String,
}

impl Problem {
    fn file(message: impl Into<String>) -> Self {
        Self {
            line: None,
            message: message.into(),
        }
    }

    /// Of the line with this index, from 0.
    fn line(index: usize, message: impl Into<String>) -> Self {
        Self {
            line: Some(index + 1),
            message: message.into(),
        }
    }
}

/// A file as the rules see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    /// From the checkout's root, with `/`.
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
    /// The checkout's root, which no file may name.
    pub(crate) root: &'a str,
}

impl Source<'_> {
    fn extension(&self) -> &str {
        Path::new(self.path)
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or("")
    }

    fn is_rust(&self) -> bool {
        self.extension() == "rs"
    }

    fn is_typescript(&self) -> bool {
        ["ts", "tsx", "mjs", "js"].contains(&self.extension())
    }

    /// Made by a program; the program is what has to keep the rules.
    fn is_generated(&self) -> bool {
        self.path.contains(".gen.") || self.text.starts_with("// @generated")
    }

    /// The rules themselves, which name what they forbid.
    fn is_tidy(&self) -> bool {
        self.path.starts_with("xtask/src/tidy")
    }
}

type Rule = fn(&Source<'_>) -> Vec<Problem>;

const RULES: [Rule; 10] = [
    rust::opens_with_its_purpose,
    rust::no_ignored_tests,
    rust::no_sql_outside_the_store,
    rust::domain_is_pure,
    files::length,
    files::names,
    text::no_open_ends,
    text::no_machine_paths,
    text::no_skipped_tests,
    dependencies::arrows,
];

/// Checks every file that git knows or would take.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let listed = Run::program(workspace, "git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .output()
        .context("tidy asks git which files there are")?;
    let root = workspace.root().to_string_lossy();
    let mut found = 0;
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        let full = workspace.path(path);
        // Deleted and not yet committed, or a link to a folder.
        if !full.is_file() {
            continue;
        }
        let bytes = std::fs::read(&full).with_context(|| format!("read {path}"))?;
        for problem in problems(path, &bytes, &root) {
            found += 1;
            let line = problem
                .line
                .map(|line| format!(":{line}"))
                .unwrap_or_default();
            report::note(&format!("{path}{line}: {}", problem.message));
        }
    }
    if found > 0 {
        bail!("{found} untidy place(s), listed above");
    }
    Ok(())
}

fn problems(path: &str, bytes: &[u8], root: &str) -> Vec<Problem> {
    let mut found = files::contents(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return found;
    };
    let source = Source { path, text, root };
    for rule in RULES {
        found.extend(rule(&source));
    }
    found
}

/// Runs one rule in a test and gives the lines it complains of; 0 stands for the whole file.
#[cfg(test)]
fn lines(rule: Rule, path: &str, text: &str) -> Vec<usize> {
    let source = Source {
        path,
        text,
        root: "/build/checkout",
    };
    rule(&source)
        .into_iter()
        .map(|problem| problem.line.unwrap_or(0))
        .collect()
}
