//! Bundles on this host: archives unpacked once to `bundles/<sha256>/`, and linked from there into machines.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;
use helmr_artifacts::{Artifacts, KeySet, blob};
use tokio::fs::File;
use tokio_tar::{Archive, EntryType};

use crate::directory::{Directory, remove};
use crate::images::{self, Hashed, is_sha256, unique};

const MAX_ENTRIES: usize = 50_000;
const MAX_BYTES: u64 = 1 << 30;

/// A bundle that cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("`{0}` is no bundle's hash")]
    Hash(String),
    #[error("fetch bundle {sha256}")]
    Fetch {
        sha256: String,
        #[source]
        source: Box<helmr_artifacts::Error>,
    },
    #[error("store bundle {sha256}")]
    Stage {
        sha256: String,
        #[source]
        source: images::Error,
    },
    #[error("bundle {sha256} is not what its hash says")]
    Mismatch { sha256: String },
    #[error("unpack bundle {sha256}: {reason}")]
    Archive { sha256: String, reason: String },
    #[error("{operation} {path}")]
    Io {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Unpacks bundles, each by one task at a time.
#[derive(Default)]
pub(crate) struct Bundles {
    unpacking: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Bundles {
    /// Makes a bundle appear in a machine's bundle directory. Repeating it is fine.
    pub(crate) async fn place(
        &self,
        directory: &Directory,
        artifacts: &Artifacts,
        keys: KeySet,
        bundle: Bundle<'_>,
        machine_bundles: &Path,
    ) -> Result<(), Error> {
        if !is_sha256(bundle.sha256) {
            return Err(Error::Hash(bundle.sha256.chars().take(80).collect()));
        }
        let placed = machine_bundles.join(bundle.sha256);
        if placed.exists() {
            return Ok(());
        }
        let turn = self.turn(bundle.sha256);
        let _turn = turn.lock().await;
        let unpacked = directory.bundle(bundle.sha256);
        if !unpacked.exists() {
            unpack(directory, artifacts, keys, &bundle, &unpacked).await?;
        }
        if placed.exists() {
            return Ok(());
        }
        // Seen inside while it grows, so it grows beside and appears whole.
        let staged = machine_bundles.join(format!(".{}", unique()));
        link_tree(&unpacked, &staged).map_err(io_error("link bundle into", &staged))?;
        fs::rename(&staged, &placed).map_err(io_error("move to", &placed))
    }

    fn turn(&self, sha256: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut unpacking = self
            .unpacking
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(unpacking.entry(sha256.to_owned()).or_default())
    }
}

/// Which bundle, and where its archive's bytes are.
#[derive(Clone, Copy)]
pub(crate) struct Bundle<'a> {
    pub(crate) sha256: &'a str,
    pub(crate) manifest: &'a str,
}

async fn unpack(
    directory: &Directory,
    artifacts: &Artifacts,
    keys: KeySet,
    bundle: &Bundle<'_>,
    unpacked: &Path,
) -> Result<(), Error> {
    let name = unique();
    let archive = directory.scratch().join(format!("bundle-{name}.tar"));
    let staged = directory.scratch().join(format!("bundle-{name}"));
    let done = unpack_through(artifacts, keys, bundle, &archive, &staged).await;
    // Best effort: scratch is emptied at every start.
    drop(remove(&archive));
    if let Err(error) = done {
        drop(remove(&staged));
        return Err(error);
    }
    fs::rename(&staged, unpacked).map_err(io_error("move to", unpacked))
}

async fn unpack_through(
    artifacts: &Artifacts,
    keys: KeySet,
    bundle: &Bundle<'_>,
    archive: &Path,
    staged: &Path,
) -> Result<(), Error> {
    let sha256 = bundle.sha256.to_owned();
    let of_store = {
        let sha256 = sha256.clone();
        move |source| Error::Fetch {
            sha256,
            source: Box::new(source),
        }
    };
    let id = bundle.manifest.parse().map_err(of_store.clone())?;
    let fetched = {
        let archive = archive.to_owned();
        artifacts
            .run(move |artifacts| {
                let mut file = match Hashed::create(&archive) {
                    Ok(file) => file,
                    Err(error) => return Ok(Err(error)),
                };
                blob::copy_to(artifacts, &keys, id, &mut file)?;
                Ok::<_, helmr_artifacts::Error>(file.finish())
            })
            .await
            .map_err(of_store)?
    };
    let found = fetched.map_err(|source| Error::Stage {
        sha256: sha256.clone(),
        source,
    })?;
    if found != sha256 {
        return Err(Error::Mismatch { sha256 });
    }
    fs::create_dir(staged).map_err(io_error("create", staged))?;
    open(staged)?;
    let file = File::open(archive)
        .await
        .map_err(io_error("open", archive))?;
    extract(file, staged)
        .await
        .map_err(|reason| Error::Archive { sha256, reason })
}

/// Lets every user inside read a directory of a bundle.
fn open(directory: &Path) -> Result<(), Error> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
        .map_err(io_error("set the mode of", directory))
}

/// Unpacks files and directories; anything else is no bundle.
async fn extract(archive: File, into: &Path) -> Result<(), String> {
    let mut entries = Archive::new(tokio::io::BufReader::new(archive))
        .entries()
        .map_err(|error| error.to_string())?;
    let mut count = 0;
    let mut bytes = 0_u64;
    while let Some(entry) = entries.next().await {
        let mut entry = entry.map_err(|error| error.to_string())?;
        let name = entry
            .path()
            .map_err(|error| error.to_string())?
            .into_owned();
        let path = into.join(beneath(&name)?);
        count += 1;
        bytes = bytes.saturating_add(entry.effective_size());
        if count > MAX_ENTRIES || bytes > MAX_BYTES {
            return Err("it is too large".to_owned());
        }
        match entry.header().entry_type() {
            EntryType::Directory => {
                make_directories(into, &path).map_err(|error| error.to_string())?
            }
            EntryType::Regular => {
                if let Some(parent) = path.parent() {
                    make_directories(into, parent).map_err(|error| error.to_string())?;
                }
                let mut file = File::options()
                    .write(true)
                    .create_new(true)
                    .open(&path)
                    .await
                    .map_err(|error| format!("{}: {error}", name.display()))?;
                tokio::io::copy(&mut entry, &mut file)
                    .await
                    .map_err(|error| error.to_string())?;
                tokio::io::AsyncWriteExt::flush(&mut file)
                    .await
                    .map_err(|error| error.to_string())?;
                let mode = entry.header().mode().unwrap_or(0o644);
                let mode = if mode & 0o111 == 0 { 0o644 } else { 0o755 };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode))
                    .map_err(|error| error.to_string())?;
            }
            EntryType::XGlobalHeader => {}
            other => {
                return Err(format!("{} is a {other:?}", name.display()));
            }
        }
    }
    Ok(())
}

/// A name of an archive as a path that stays beneath the root.
fn beneath(name: &Path) -> Result<PathBuf, String> {
    let mut path = PathBuf::new();
    for component in name.components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::ParentDir => {
                return Err(format!("{} leads out of it", name.display()));
            }
        }
    }
    Ok(path)
}

/// Nothing but what this function and [`extract`] made lies below `root`, so no link can lead out.
fn make_directories(root: &Path, path: &Path) -> io::Result<()> {
    let Ok(below) = path.strip_prefix(root) else {
        return Ok(());
    };
    let mut at = root.to_owned();
    for part in below {
        at.push(part);
        match fs::create_dir(&at) {
            Ok(()) => fs::set_permissions(&at, fs::Permissions::from_mode(0o755))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Copies a tree by hard links: the directories are the copy's own, the files are shared.
pub(crate) fn link_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            link_tree(&entry.path(), &target)?;
        } else {
            fs::hard_link(entry.path(), target)?;
        }
    }
    Ok(())
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io {
        operation,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_out_is_refused() {
        assert_eq!(
            beneath(Path::new("./tasks/a.mjs")),
            Ok(PathBuf::from("tasks/a.mjs"))
        );
        for bad in ["/etc/passwd", "../x", "a/../../x"] {
            assert!(beneath(Path::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_linked_tree_shares_files_but_not_directories() -> anyhow::Result<()> {
        let scratch = tempfile::tempdir()?;
        let from = scratch.path().join("from");
        fs::create_dir_all(from.join("tasks"))?;
        fs::write(from.join("tasks/a.mjs"), "a")?;
        let to = scratch.path().join("to");
        link_tree(&from, &to)?;
        assert_eq!(fs::read(to.join("tasks/a.mjs"))?, b"a");
        fs::remove_dir_all(&to)?;
        assert!(from.join("tasks/a.mjs").exists());
        Ok(())
    }
}
