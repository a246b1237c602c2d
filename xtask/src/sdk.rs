//! The TypeScript SDK: built with Node's tools, packed for the binary to carry.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::command::Run;
use crate::report;
use crate::workspace::Workspace;

const FOLDER: &str = "sdk/typescript";

/// It is made once per build and read by everybody.
const KIT_LEVEL: i32 = 17;

/// The modules that the SDK's bundler loads, beside the package itself. The platform's part of esbuild is the one of the
/// machine that builds, as the binary's is.
const MODULES: [&str; 3] = ["@standard-schema/spec", "esbuild", "@esbuild/linux-x64"];

/// Builds `dist` and packs it: as the npm package, and as the kit with which `helmr deploy` bundles where there is none.
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
    std::fs::create_dir_all(&out).with_context(|| format!("make {}", out.display()))?;
    // Of its own: another build may run beside this one.
    let staging = tempfile::Builder::new()
        .prefix("pack-")
        .tempdir_in(&out)
        .with_context(|| format!("make a folder in {}", out.display()))?;
    let staging = staging.path();
    let printed = npm(workspace)?
        .args(["pack", "--silent", "--ignore-scripts", "--pack-destination"])
        .args([staging])
        .output()?;
    let name = printed
        .lines()
        .last()
        .context("npm pack named no file")?
        .trim();
    let package = staging.join(name);
    let kit = kit(workspace, staging, &package)?;
    publish(&package, &workspace.sdk_package())?;
    publish(&kit, &workspace.sdk_kit())
}

/// Makes a `node_modules` with the package and what it loads, as a compressed tar. The same files give the same bytes.
fn kit(workspace: &Workspace, staging: &Path, package: &Path) -> Result<PathBuf> {
    let installed = workspace.path(FOLDER).join("node_modules");
    let modules = staging.join("node_modules");
    for module in MODULES {
        ensure!(
            installed.join(module).is_dir(),
            "{FOLDER}/node_modules/{module} is missing: remove node_modules there and build again"
        );
    }
    let home = modules.join("@helmr/sdk");
    std::fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
    Run::program(workspace, "tar")
        .args(["--extract", "--gzip", "--strip-components=1", "--file"])
        .args([package])
        .args(["--directory".as_ref(), home.as_os_str()])
        .run()?;
    Run::program(workspace, "cp")
        .args(["--archive", "--parents"])
        .args(MODULES)
        .args([&modules])
        .directory(&installed)
        .run()?;
    let plain = staging.join("kit.tar");
    Run::program(workspace, "tar")
        .args(["--create", "--format=gnu", "--sort=name", "--mtime=@0"])
        .args(["--owner=0", "--group=0", "--numeric-owner"])
        .args(["--mode=u+w,go+rX,go-w", "--file"])
        .args([&plain])
        .args(["--directory".as_ref(), staging.as_os_str()])
        .args(["node_modules"])
        .run()?;
    let packed = staging.join("kit.tar.zst");
    let read = std::fs::File::open(&plain).context("read the SDK's kit")?;
    let write = std::fs::File::create(&packed).context("write the SDK's kit")?;
    zstd::stream::copy_encode(read, write, KIT_LEVEL).context("compress the SDK's kit")?;
    Ok(packed)
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
