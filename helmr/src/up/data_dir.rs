//! The data directory: one server per directory, on a disk that keeps its promises.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use helmr_cli::{CommandError, env};
use rustix::fs::{FlockOperation, flock};

use crate::filesystem::{self, Kind};

/// A directory that is ours while this lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    lock: File,
}

/// Where data is kept unless told.
pub(crate) fn default_path() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() && env::XDG_DATA_HOME.path().is_none() {
        return Some(PathBuf::from("/var/lib/helmr"));
    }
    env::user_folder(env::XDG_DATA_HOME, ".local/share").map(|folder| folder.join("helmr"))
}

impl DataDir {
    /// Makes the directory if it is not there and takes its lock.
    ///
    /// # Errors
    /// Another server has it, or it lies on a network filesystem or cannot be written.
    pub(crate) fn open(given: Option<PathBuf>) -> Result<Self, CommandError> {
        let path = given.or_else(default_path).ok_or_else(|| {
            CommandError::usage("there is no home to keep data in")
                .hint("name a directory with --data-dir")
        })?;
        let failed = |what: &str, error: std::io::Error| {
            CommandError::failed(format!("{what} {}", path.display()))
                .because(&error)
                .hint("name another directory with --data-dir")
        };
        if let Kind::Network(kind) = filesystem::of(&path)
            .map_err(|error| failed("look at", error))?
            .kind
        {
            return Err(CommandError::failed(format!(
                "{} lies on a network filesystem ({kind}), which does not keep what a database needs",
                path.display()
            ))
            .hint("name a directory on a local disk with --data-dir"));
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|error| failed("make", error))?;
        let path = path
            .canonicalize()
            .map_err(|error| failed("look at", error))?;
        let lock = take_lock(&path)?;
        Ok(Self { path, lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Lets the directory go. A process that ends otherwise lets it go, too.
    pub(crate) fn close(self) {
        // Whoever looks finds no pid of the past; the lock itself ends with the file.
        drop(self.lock.set_len(0));
    }
}

fn take_lock(path: &Path) -> Result<File, CommandError> {
    let failed = |error: &dyn std::error::Error| {
        CommandError::failed(format!("lock {}", path.display())).because(error)
    };
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.join("lock"))
        .map_err(|error| failed(&error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(taken(path, &mut file)),
        Err(error) => return Err(failed(&error)),
    }
    let write = |file: &mut File| -> std::io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(|error| failed(&error))?;
    Ok(file)
}

fn taken(path: &Path, lock: &mut File) -> CommandError {
    let mut text = String::new();
    let pid = match lock.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => format!("process {}", text.trim()),
        _ => "another process".to_owned(),
    };
    CommandError::failed(format!("{pid} already runs Helmr on {}", path.display()))
        .hint("use that server, stop it, or name another directory with --data-dir")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use std::os::unix::fs::PermissionsExt as _;

    use helmr_cli::Style;

    use super::*;

    #[test]
    fn a_directory_has_one_server_and_the_second_hears_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        let first = DataDir::open(Some(path.clone())).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let text = DataDir::open(Some(path.clone()))
            .unwrap_err()
            .render(Style::plain());
        assert!(
            text.contains(&std::process::id().to_string()) && text.contains("hint:"),
            "{text}"
        );
        first.close();
        DataDir::open(Some(path)).unwrap();
    }
}
