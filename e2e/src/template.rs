//! A data directory with the base image imported and the fixture project deployed, made once and copied for each server.
//!
//! What is content-addressed and never written again is hard-linked into the copies; the rest is copied.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{Options, Server, binary, repository};

/// What may be shared between copies: files there are written once, under a name that says their content.
const SHARED: [&str; 3] = ["artifacts", "worker/images", "worker/bundles"];

/// A new directory with the template's content.
///
/// # Errors
/// If the template cannot be made: then with everything the server and the command line said.
pub(crate) async fn fresh_copy() -> Result<tempfile::TempDir> {
    let template = tokio::task::spawn_blocking(lock_template).await??;
    if !template.ready() {
        template.make().await?;
    }
    let copy = tempfile::Builder::new()
        .prefix("helmr-e2e-")
        .tempdir_in(root())?;
    copy_tree(&template.directory, copy.path())?;
    Ok(copy)
}

fn root() -> PathBuf {
    repository().join("target/e2e")
}

struct Template {
    directory: PathBuf,
    /// Held while the template is looked at or made: several test processes share it.
    _lock: nix::fcntl::Flock<fs::File>,
}

fn lock_template() -> Result<Template> {
    fs::create_dir_all(root())?;
    let file = fs::File::options()
        .create(true)
        .append(true)
        .open(root().join("template.lock"))?;
    let lock = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive)
        .map_err(|(_, error)| error)
        .context("lock the template")?;
    Ok(Template {
        directory: root().join(format!("template-{}", stamp()?)),
        _lock: lock,
    })
}

/// Changes with the binary, the image and the fixtures, so that a stale template is never used.
fn stamp() -> Result<String> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    let mut inputs = vec![binary()?, image()?];
    let mut folders = vec![
        fixtures(),
        repository().join("examples"),
        repository().join("sdk/typescript/dist"),
    ];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> = fs::read_dir(&folder)
            .with_context(|| format!("read {}", folder.display()))?
            .collect::<std::io::Result<_>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if entry.file_name() == "node_modules" {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(entry.path())
            } else {
                inputs.push(entry.path())
            }
        }
    }
    for input in inputs {
        let seen = fs::metadata(&input)?;
        (input, seen.len(), seen.modified()?).hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// The base image that `script/setup` makes.
fn image() -> Result<PathBuf> {
    let path = repository().join(".helmr/images/node-24-bookworm-slim.oci.tar");
    if !path.is_file() {
        bail!("{} is not there: run `script/setup`", path.display());
    }
    Ok(path)
}

fn fixtures() -> PathBuf {
    repository().join("e2e/fixtures/project")
}

impl Template {
    fn ready(&self) -> bool {
        self.directory.join("credentials.json").is_file()
    }

    async fn make(&self) -> Result<()> {
        for old in fs::read_dir(root())? {
            let old = old?;
            if old.file_name().to_string_lossy().starts_with("template-") {
                fs::remove_dir_all(old.path())?;
            }
        }
        let fresh = tempfile::Builder::new()
            .prefix("helmr-e2e-")
            .tempdir_in(root())?;
        let mut server = Server::start_on(fresh, Options::default()).await?;
        let cli = server.cli()?;
        let image = image()?;
        cli.json(&[
            "image",
            "import",
            "--name",
            "node:24-bookworm-slim",
            &image.to_string_lossy(),
        ])
        .await
        .context("import the base image")?;
        cli.json(&["deploy", &fixtures().to_string_lossy()])
            .await
            .context("deploy the fixture project")?;
        // One run brings image, seed and bundle to the worker.
        let (_, run) = server
            .start_session(&serde_json::json!({"task": "answer"}))
            .await?;
        server.await_output(&run).await?;
        if server.terminate().await? != 0 {
            bail!("the server did not stop cleanly:\n{}", server.log_tail());
        }
        copy_tree(server.data_dir(), &self.directory)
    }
}

/// Copies with `cp`, which knows sparse files, owners and times.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let copy = |options: &[&str], from: &Path, to: &Path| -> Result<()> {
        let status = Command::new("cp")
            .args(options)
            .arg(from)
            .arg(to)
            .status()?;
        if !status.success() {
            bail!("cp {} {}: {status}", from.display(), to.display());
        }
        Ok(())
    };
    // The credentials come last: their presence says that the copy is whole.
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        match name.as_ref() {
            "credentials.json" | "lock" | "server.log" => {}
            "worker" => {
                fs::create_dir_all(to.join("worker"))?;
                for part in fs::read_dir(entry.path())? {
                    let part = part?;
                    // The runtime's own state: machines that are gone, and a mount.
                    if part.file_name() == "runsc" {
                        continue;
                    }
                    let relative = format!("worker/{}", part.file_name().to_string_lossy());
                    let options: &[&str] = if SHARED.contains(&relative.as_str()) {
                        &["-al"]
                    } else {
                        &["-a"]
                    };
                    copy(options, &part.path(), &to.join("worker"))?;
                }
            }
            shared if SHARED.contains(&shared) => copy(&["-al"], &entry.path(), to)?,
            _ => copy(&["-a"], &entry.path(), to)?,
        }
    }
    copy(&["-a"], &from.join("credentials.json"), to)
}
