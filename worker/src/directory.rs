//! What lies where in the worker's data directory, and how its small files are written.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use helmr_domain::{CheckpointId, MaterializationId, WorkspaceId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// The data directory of a worker.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    root: PathBuf,
}

impl Directory {
    /// Opens the directory and makes what is missing in it.
    pub(crate) fn open(root: &Path) -> Result<Self, Error> {
        let directory = Self {
            root: root.to_owned(),
        };
        for name in [
            "images",
            "bundles",
            "workspaces",
            "disks",
            "machines",
            "scratch",
        ] {
            let path = root.join(name);
            fs::create_dir_all(&path).map_err(Error::io("create directory", path))?;
        }
        // Memory images and task files lie below: nobody else's business.
        restrict(root).map_err(Error::io("set the mode of", root))?;
        Ok(directory)
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.root.join("worker.json")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// `digest` is `sha256:…`; anything but hexadecimal digits in it was refused before.
    pub(crate) fn image(&self, hex_digest: &str) -> PathBuf {
        self.root.join("images").join(format!("{hex_digest}.erofs"))
    }

    pub(crate) fn bundle(&self, sha256: &str) -> PathBuf {
        self.root.join("bundles").join(sha256)
    }

    /// For files on their way to another place here, by rename. Emptied at every start.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.root.join("scratch")
    }

    pub(crate) fn workspaces(&self) -> PathBuf {
        self.root.join("workspaces")
    }

    pub(crate) fn workspace(&self, id: WorkspaceId) -> WorkspaceDir {
        WorkspaceDir {
            path: self.workspaces().join(id.to_string()),
        }
    }

    /// For disks that are made ahead.
    pub(crate) fn disks(&self) -> PathBuf {
        self.root.join("disks")
    }

    pub(crate) fn machines(&self) -> PathBuf {
        self.root.join("machines")
    }

    pub(crate) fn machine(&self, id: MaterializationId) -> MachineDir {
        MachineDir {
            path: self.machines().join(id.to_string()),
        }
    }
}

fn restrict(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// The directory of one workspace: its disk or a plain `tree/`, the index of its last capture, and `state.json`.
#[derive(Debug, Clone)]
pub(crate) struct WorkspaceDir {
    pub(crate) path: PathBuf,
}

impl WorkspaceDir {
    /// Of `helmr_machine::disk`.
    pub(crate) fn disk(&self) -> PathBuf {
        self.path.join("disk")
    }

    /// Where the files are if they are on no disk.
    pub(crate) fn plain_tree(&self) -> PathBuf {
        self.path.join("tree")
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.path.join("index")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path.join("state.json")
    }
}

/// The directory of one machine.
#[derive(Debug, Clone)]
pub(crate) struct MachineDir {
    pub(crate) path: PathBuf,
}

impl MachineDir {
    pub(crate) fn record(&self) -> PathBuf {
        self.path.join("machine.json")
    }

    pub(crate) fn bundles(&self) -> PathBuf {
        self.path.join("bundles")
    }

    pub(crate) fn attempts(&self) -> PathBuf {
        self.path.join("attempts")
    }

    pub(crate) fn attempt(&self, number: u32) -> PathBuf {
        self.attempts().join(number.to_string())
    }

    pub(crate) fn host(&self, number: u32) -> PathBuf {
        self.attempt(number).join("host")
    }

    pub(crate) fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    pub(crate) fn checkpoint(&self, id: CheckpointId) -> PathBuf {
        self.checkpoints().join(id.to_string())
    }
}

/// Whether a small file must survive a power cut, or only the death of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    Process,
    PowerCut,
}

/// Writes `value` as JSON, whole or not at all.
pub(crate) fn write_json(
    path: &Path,
    value: &impl Serialize,
    durability: Durability,
) -> io::Result<()> {
    let bytes = serde_json::to_vec(value)?;
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(&bytes)?;
    if durability == Durability::PowerCut {
        file.sync_all()?;
    }
    fs::rename(&beside, path)?;
    if durability == Durability::PowerCut
        && let Some(parent) = path.parent()
    {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Reads what [`write_json`] wrote; `None` if there is no file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| Error::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        })
}

/// Removes a file or a tree. Nothing there is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let gone = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match gone {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The names of a directory's entries that parse as `T`; the others are not ours.
pub(crate) fn entries<T: std::str::FromStr>(path: &Path) -> io::Result<Vec<T>> {
    let found = match fs::read_dir(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut named = Vec::new();
    for entry in found {
        if let Some(id) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        {
            named.push(id);
        }
    }
    Ok(named)
}
