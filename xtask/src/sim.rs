//! `cargo xtask sim`: plays simulated schedules, and shows that the simulator finds what is broken on purpose.
//!
//! A mutant is a patch in `sim/mutants`: one line that says what it breaks, and a diff of the core. Each is applied to a
//! copy of the checkout, never to the checkout.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::command::Run;
use crate::report;
use crate::workspace::Workspace;

/// What `cargo xtask check` plays.
const CHECKED: &str = "2000";
/// By then a mutant is found, or it survives.
const MUTANT_SEEDS: &str = "20000";
/// A mutant is built once and soon found: what changes from one to the next is built quickly, the rest as ever.
const FAST_BUILD: [&str; 4] = [
    "profile.sim.incremental=true",
    "profile.sim.package.helmr-domain.opt-level=1",
    "profile.sim.package.helmr-store.opt-level=1",
    "profile.sim.package.helmr-sim.opt-level=1",
];
/// SQLite asks for and gives back much memory in each statement. What is not handed back to the kernel in between is not
/// asked for again, which is half of the time.
const KEEP_MEMORY: [(&str, &str); 3] = [
    ("MALLOC_TRIM_THRESHOLD_", "1073741824"),
    ("MALLOC_MMAP_THRESHOLD_", "1073741824"),
    ("MALLOC_TOP_PAD_", "16777216"),
];
/// What is not part of a copy, or not of the checkout.
const NOT_COPIED: [&str; 4] = ["target", ".git", ".helmr", "node_modules"];

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Break the core on purpose, in each way of sim/mutants, and show what finds it.
    #[arg(long)]
    mutants: bool,
    /// Given to the simulator: `--seed S [--trace]`, or `--seeds N [--first S] [--jobs J]`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Plays what is asked for.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    if arguments.mutants {
        return mutants(workspace, &arguments.rest);
    }
    play(workspace, &arguments.rest)
}

/// Plays the schedules that every change must pass.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    play(workspace, &["--jobs", "2", "--seeds", CHECKED])
}

/// Builds and runs the simulator.
fn play(workspace: &Workspace, arguments: &[impl AsRef<OsStr>]) -> Result<()> {
    let run = Run::cargo(workspace)
        .args(["run", "--quiet", "--locked", "--profile", "sim"])
        .args(["--package", "helmr-sim", "--"])
        .args(arguments);
    KEEP_MEMORY
        .iter()
        .fold(run, |run, (name, value)| run.variable(name, *value))
        .run()
}

/// Finds each mutant, or fails. `only`: those whose names contain one of these.
fn mutants(workspace: &Workspace, only: &[String]) -> Result<()> {
    let mut patches: Vec<PathBuf> = fs::read_dir(workspace.path("sim/mutants"))
        .context("read sim/mutants")?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "patch")
        })
        .filter(|path| only.is_empty() || only.iter().any(|name| name_of(path).contains(name)))
        .collect();
    patches.sort();
    ensure!(
        !patches.is_empty(),
        "there is no such mutant in sim/mutants"
    );
    let tree = workspace.path("target/mutants/tree");
    if tree.exists() {
        fs::remove_dir_all(&tree).context("remove the last copy")?;
    }
    copy(workspace.root(), &tree)?;
    let mut survived = Vec::new();
    let mut rows = Vec::new();
    for patch in &patches {
        let name = name_of(patch);
        let text = fs::read_to_string(patch).with_context(|| format!("read {name}"))?;
        let about = text.lines().next().unwrap_or_default().to_owned();
        let found = find(workspace, patch).with_context(|| format!("mutant {name}"))?;
        let told = match found {
            Some((seed, invariant)) => format!("{seed}: {invariant}"),
            None => {
                survived.push(name.clone());
                "SURVIVED".to_owned()
            }
        };
        report::note(&format!("{name}: {told}"));
        rows.push(format!("{name:<26} {told:<70} {about}"));
    }
    report::note("");
    report::note(&format!(
        "{:<26} {:<70} what is broken",
        "mutant", "found at seed, by"
    ));
    for row in rows {
        report::note(&row);
    }
    ensure!(survived.is_empty(), "not found: {}", survived.join(", "));
    Ok(())
}

fn name_of(patch: &Path) -> String {
    patch
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Applies a mutant to the copy, builds it, and plays until something is found; then takes it back.
fn find(workspace: &Workspace, patch: &Path) -> Result<Option<(String, String)>> {
    apply(workspace, patch, false).context("it does not apply any more: make it anew")?;
    let found = build_and_play(workspace);
    apply(workspace, patch, true)?;
    found
}

fn apply(workspace: &Workspace, patch: &Path, back: bool) -> Result<()> {
    let mut run = Run::program(workspace, "git").args([
        "apply",
        "--unsafe-paths",
        "--directory=target/mutants/tree",
    ]);
    if back {
        run = run.args(["--reverse"]);
    }
    run.args([patch]).run()
}

fn build_and_play(workspace: &Workspace) -> Result<Option<(String, String)>> {
    let tree = workspace.path("target/mutants/tree");
    let build = workspace.path("target/mutants/build");
    Run::cargo(workspace)
        .directory(&tree)
        .variable("CARGO_TARGET_DIR", build.clone())
        .args(["build", "--quiet", "--locked", "--profile", "sim"])
        .args(["--package", "helmr-sim"])
        .args(FAST_BUILD.iter().flat_map(|setting| ["--config", *setting]))
        .run()
        .context("it does not build")?;
    let played = std::process::Command::new(build.join("sim/helmr-sim"))
        .args(["--brief", "--jobs", "2", "--seeds", MUTANT_SEEDS])
        .envs(KEEP_MEMORY)
        .output()
        .context("start the simulator")?;
    let text = String::from_utf8_lossy(&played.stdout);
    match played.status.code() {
        Some(0) => Ok(None),
        Some(1) => {
            let line = text.lines().next().context("the simulator says nothing")?;
            let mut parts = line.trim_start_matches("seed ").split('\t');
            let seed = parts.next().unwrap_or_default().to_owned();
            let invariant = parts.next().unwrap_or_default().to_owned();
            Ok(Some((seed, invariant)))
        }
        _ => bail!(
            "the simulator failed: {}",
            String::from_utf8_lossy(&played.stderr)
        ),
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        if NOT_COPIED.iter().any(|skipped| name == *skipped) {
            continue;
        }
        let (path, target) = (entry.path(), to.join(&name));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&path, &target)?;
        } else if kind.is_file() {
            fs::copy(&path, &target).with_context(|| format!("copy {}", path.display()))?;
        }
    }
    Ok(())
}
