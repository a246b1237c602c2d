//! Where gVisor's `runsc` is, and which version it must be.

use std::path::{Path, PathBuf};

use helmr_cli::{CommandError, env};

/// The version that this build is tested with; `tools/go.mod` pins it.
pub(crate) const PINNED: &str = env!("HELMR_RUNSC_VERSION");

/// What brings it, for messages.
pub(crate) const MEND: &str = "in a checkout, script/setup builds it as tools/runsc; else set HELMR_RUNSC to one of this version";

/// Finds the program: the one that is named, else one beside this program, in a checkout, or in `PATH`.
pub(crate) fn find() -> Result<PathBuf, CommandError> {
    if let Some(path) = env::RUNSC.path() {
        if path.is_file() {
            return Ok(path);
        }
        let shown = path.display();
        return Err(CommandError::failed(format!(
            "HELMR_RUNSC is {shown}, where there is no file"
        ))
        .hint(MEND));
    }
    candidates()
        .into_iter()
        .find(|path| path.is_file())
        .or_else(|| env::find_program("runsc"))
        .ok_or_else(|| {
            CommandError::failed(format!("gVisor's runsc {PINNED} is not found")).hint(MEND)
        })
}

fn candidates() -> Vec<PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    let mut paths = vec![program.with_file_name("runsc")];
    let checkouts = env::HOME.path().into_iter();
    let above = program.ancestors().skip(1).map(Path::to_owned);
    paths.extend(
        checkouts
            .chain(above)
            .map(|folder| folder.join("tools/runsc")),
    );
    paths
}
