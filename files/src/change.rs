//! What changes the files of a directory. Blocks; whoever calls it has seen to it that nobody else's turn it is.

use helmr_api::http::files::{File, PathText};
use helmr_api::worker::files::{Change, Condition};
use helmr_artifacts::files::{self, Append, Live, Path, Put, Staged};

use crate::{Refusal, file};

/// Reads a path of a request.
///
/// # Errors
/// `invalid_path`.
pub fn path(text: &PathText, mount: &[u8]) -> Result<Path, Refusal> {
    Ok(Path::parse(text.as_bytes(), mount)?)
}

#[must_use]
pub fn condition(asked: &Condition) -> files::Condition {
    match asked {
        Condition::None => files::Condition::None,
        Condition::Absent => files::Condition::Absent,
        Condition::Is(revision) => files::Condition::Is(revision.clone()),
    }
}

/// Does it. `staged` holds the bytes of a write, finished. Gives what is there then; `None` after a removal.
///
/// # Errors
/// Why not; nothing was changed then, but for what a removal of a directory had removed already.
pub fn change(
    live: &Live,
    mount: &[u8],
    change: &Change,
    staged: Option<&Staged>,
) -> Result<Option<File>, Refusal> {
    let bytes = || staged.ok_or_else(|| Refusal::internal("a write came without bytes"));
    let info = match change {
        Change::Write {
            path: at,
            mode,
            parents,
            condition: asked,
        } => {
            let put = Put {
                mode: *mode,
                parents: *parents,
                replaces_links: false,
                condition: condition(asked),
            };
            live.put(&path(at, mount)?, bytes()?, &put)?
        }
        Change::Append {
            path: at,
            offset,
            parents,
            condition: asked,
        } => {
            let append = Append {
                offset: *offset,
                parents: *parents,
                condition: condition(asked),
            };
            live.append(&path(at, mount)?, bytes()?, &append)?
        }
        Change::Upload { .. } => {
            return Err(Refusal::internal("an archive is unpacked file by file"));
        }
        Change::MakeDirectory {
            path: at,
            mode,
            parents,
        } => live.make_directory(&path(at, mount)?, *mode, *parents)?,
        Change::Move {
            from,
            to,
            overwrite,
        } => live.rename(&path(from, mount)?, &path(to, mount)?, *overwrite)?,
        Change::Remove {
            path: at,
            recursive,
            condition: asked,
        } => {
            live.remove(&path(at, mount)?, *recursive, &condition(asked))?;
            return Ok(None);
        }
        Change::SetMode {
            path: at,
            mode,
            condition: asked,
        } => live.set_mode(&path(at, mount)?, *mode, &condition(asked))?,
    };
    Ok(Some(file(&info)))
}
