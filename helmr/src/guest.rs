//! The guest agent as a file that machines can mount: taken from the binary, named by its digest.
//!
//! A checkpoint needs the very agent it was made with, so an agent that was once installed stays.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use helmr_cli::CommandError;
use sha2::{Digest as _, Sha256};

use crate::embedded;

/// What the mounted folder must hold.
const PROGRAM: &str = "helmr-guest";

/// Where a checkout's build leaves it, from the checkout's root.
const BUILT: &str = "target/guest/x86_64-unknown-linux-gnu/guest/helmr-guest";

/// An installed agent.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    /// The folder that holds it, and nothing else.
    pub(crate) folder: PathBuf,
    /// Hex, shortened: names the agent in a checkpoint's runtime.
    pub(crate) digest: String,
}

/// Installs the agent below a folder, unless it is there.
pub(crate) fn install(below: &Path) -> Result<Guest, CommandError> {
    match embedded::GUEST {
        Some(bytes) => write(below, bytes),
        None => write(below, &built()?),
    }
    .map_err(|error| {
        CommandError::failed(format!("install the guest agent in {}", below.display()))
            .because(&error)
    })
}

/// The agent of a plain `cargo build`: beside the binary, or where the checkout's build leaves it.
fn built() -> Result<Vec<u8>, CommandError> {
    let program = std::env::current_exe().unwrap_or_default();
    let beside = program.with_file_name(PROGRAM);
    let found = std::iter::once(beside)
        .chain(program.ancestors().skip(1).map(|folder| folder.join(BUILT)))
        .find(|path| path.is_file());
    match found {
        Some(path) => fs::read(&path).map_err(|error| {
            CommandError::failed(format!("read {}", path.display())).because(&error)
        }),
        None => Err(
            CommandError::failed("this helmr was built without the guest agent")
                .hint("build it with `cargo xtask build --release`"),
        ),
    }
}

fn write(below: &Path, bytes: &[u8]) -> io::Result<Guest> {
    let digest: String = Sha256::digest(bytes)
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let folder = below.join(&digest);
    let program = folder.join(PROGRAM);
    if fs::read(&program).is_ok_and(|there| there == bytes) {
        return Ok(Guest { folder, digest });
    }
    fs::create_dir_all(&folder)?;
    // Under another name first: a machine never finds half an agent.
    let mut part = tempfile::Builder::new()
        .prefix(".part-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempfile_in(below)?;
    part.write_all(bytes)?;
    part.as_file().sync_all()?;
    part.persist(&program).map_err(|error| error.error)?;
    fs::File::open(&folder)?.sync_all()?;
    Ok(Guest { folder, digest })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn an_agent_is_installed_once_and_mended_if_torn() {
        let below = tempfile::tempdir().unwrap();
        let first = write(below.path(), b"agent").unwrap();
        let program = first.folder.join(PROGRAM);
        assert_eq!(
            program.metadata().unwrap().permissions().mode() & 0o777,
            0o755
        );
        fs::write(&program, b"age").unwrap();
        let again = write(below.path(), b"agent").unwrap();
        assert_eq!(again.digest, first.digest);
        assert_eq!(fs::read(&program).unwrap(), b"agent");
        let other = write(below.path(), b"another").unwrap();
        assert_ne!(other.folder, first.folder);
        assert!(program.is_file(), "the earlier one stays");
    }
}
