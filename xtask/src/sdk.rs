//! The TypeScript SDK: built with Node's tools, packed for the binary to carry.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::command::Run;
use crate::report;
use crate::workspace::Workspace;

const FOLDER: &str = "sdk/typescript";

/// The modules that the SDK's bundler loads, beside the package itself. The platform's part of esbuild is the one of the
/// machine that builds, as the binary's is.
const MODULES: [&str; 3] = ["@standard-schema/spec", "esbuild", "@esbuild/linux-x64"];

/// Builds `dist` and packs it, once as the npm package and once as the modules that it needs to bundle.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    install(workspace)?;
    npm(workspace)?.args(["run", "--silent", "build"]).run()?;
    pack(workspace)
}

/// Checks the SDK's style and types.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    install(workspace)?;
    npm(workspace)?.args(["run", "--silent", "check"]).run()
}

/// Runs the SDK's tests.
pub(crate) fn test(workspace: &Workspace) -> Result<()> {
    install(workspace)?;
    npm(workspace)?.args(["run", "--silent", "test"]).run()
}

fn npm(workspace: &Workspace) -> Result<Run> {
    Run::node_program(workspace, "npm", FOLDER)
}

/// Installs what the lock file says, unless it is there.
fn install(workspace: &Workspace) -> Result<()> {
    let folder = workspace.path(FOLDER);
    // npm leaves a copy of what it installed; a lock file that is newer has something else to say.
    let installed = modified(&folder.join("node_modules/.package-lock.json"));
    let wanted = modified(&folder.join("package-lock.json"));
    if installed.is_some() && installed >= wanted {
        return Ok(());
    }
    report::note("npm ci");
    npm(workspace)?
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .run()
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    path.metadata().and_then(|file| file.modified()).ok()
}

fn pack(workspace: &Workspace) -> Result<()> {
    let out = workspace.path("target/sdk");
    let staging = out.join("pack");
    if staging.exists() {
        std::fs::remove_dir_all(&staging)
            .with_context(|| format!("empty {}", staging.display()))?;
    }
    std::fs::create_dir_all(&staging).with_context(|| format!("make {}", staging.display()))?;
    let printed = npm(workspace)?
        .args(["pack", "--silent", "--ignore-scripts", "--pack-destination"])
        .args([&staging])
        .output()?;
    let name = printed
        .lines()
        .last()
        .context("npm pack named no file")?
        .trim();
    publish(&staging.join(name), &workspace.sdk_package())?;

    let modules = workspace.path(FOLDER).join("node_modules");
    for module in MODULES {
        ensure!(
            modules.join(module).is_dir(),
            "{FOLDER}/node_modules/{module} is missing: remove node_modules there and build again"
        );
    }
    let archive = staging.join("modules.tgz");
    Run::program(workspace, "tar")
        .args(["--create", "--gzip", "--sort=name", "--mtime=@0"])
        .args([
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "--mode=u+w,go+rX",
        ])
        .args(["--file".as_ref(), archive.as_os_str()])
        .args(["--directory".as_ref(), modules.as_os_str()])
        .args(MODULES)
        .run()?;
    publish(&archive, &workspace.sdk_modules())?;
    std::fs::remove_dir_all(&staging).with_context(|| format!("remove {}", staging.display()))
}

/// Puts a file in its place, unless the same bytes are there: cargo compiles what embeds it by its time.
fn publish(made: &Path, place: &Path) -> Result<()> {
    let read =
        |path: &Path| std::fs::read(path).with_context(|| format!("read {}", path.display()));
    let bytes = read(made)?;
    if place.exists() && read(place)? == bytes {
        return Ok(());
    }
    report::note(&format!(
        "{}: {} KiB",
        place
            .file_name()
            .map(|name| name.to_string_lossy())
            .unwrap_or_default(),
        bytes.len() / 1024
    ));
    std::fs::rename(made, place).with_context(|| format!("write {}", place.display()))
}
