//! Makes empty images with `mke2fs`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Error;

const TOOL: &str = "mke2fs";
const INSTALL: &str = "apt install e2fsprogs";
/// Where a daemon's search path may not lead.
const ALSO_IN: [&str; 2] = ["/usr/sbin", "/sbin"];
/// What is kept of the tool's words.
const WORDS_BYTES: usize = 4096;

const MIB: u64 = 1 << 20;

/// Fails early if the tool is not there.
///
/// # Errors
/// `ToolMissing`.
pub fn check_installed() -> Result<(), Error> {
    run(Command::new(program()).arg("-V")).map(drop)
}

fn program() -> PathBuf {
    ALSO_IN
        .iter()
        .map(|folder| Path::new(folder).join(TOOL))
        .find(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from(TOOL))
}

/// Makes the image at `path`, whole or not at all. Nothing of it is synced: an image that a power cut tears holds only
/// what can be made again.
pub(super) fn create(path: &Path, size_bytes: u64) -> Result<(), Error> {
    let partial = path.with_extension("partial");
    let made = File::create(&partial).and_then(|file| file.set_len(size_bytes));
    made.map_err(Error::io("create", &partial))?;
    // Enough for any burst of changes; what it once held stays allocated.
    let journal = (size_bytes / 64).clamp(4 * MIB, 16 * MIB) / MIB;
    let done = run(Command::new(program())
        .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256"])
        // One inode for each block, so that files run out when bytes do.
        .args(["-i", "4096", "-m", "0"])
        .arg("-J")
        .arg(format!("size={journal}"))
        // An image never grows, and the room for that is most of what would have to be written.
        .args(["-O", "^resize_inode"])
        .args([
            "-E",
            "nodiscard,lazy_itable_init=1,lazy_journal_init=1,packed_meta_blocks=1",
        ])
        .arg(&partial));
    if let Err(error) = done {
        // What is left is made anew by the next try.
        drop(fs::remove_file(&partial));
        return Err(error);
    }
    fs::rename(&partial, path).map_err(Error::io("rename", path))
}

fn run(command: &mut Command) -> Result<(), Error> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::ToolMissing {
                tool: TOOL,
                install: INSTALL,
            },
            _ => Error::io("run", TOOL)(error),
        })?;
    if output.status.success() {
        return Ok(());
    }
    let words = output.stderr.get(..WORDS_BYTES).unwrap_or(&output.stderr);
    Err(Error::Tool {
        tool: TOOL,
        status: output.status.to_string(),
        output: String::from_utf8_lossy(words).trim().to_owned(),
    })
}
