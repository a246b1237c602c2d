//! What differs between two versions: a list of paths, or unified text.

use std::io::Read as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use helmr_api::error::Code;
use helmr_api::http::page::Page;
use helmr_api::http::versions::{ChangeKind, Difference, FileChange, FileKind, FileSide};
use helmr_artifacts::tree::{self, Body, Change, Content, Differs, Side};
use helmr_artifacts::{Artifacts, KeySet, ManifestId};
use helmr_store::workspaces::Workspace;
use similar::TextDiff;
use tokio::sync::mpsc;

use super::files::{self, Which};
use crate::state::Environment;
use crate::{ApiError, Control};

/// Files that are larger are not compared line by line.
const TEXT_BYTES: u64 = 1 << 20;
/// Where a zero tells that a file is not text.
const LOOKED_AT: usize = 8_000;
/// Lines around a change.
const CONTEXT: usize = 3;
/// A comparison that takes longer ends with a coarser result.
const COMPARED_WITHIN: Duration = Duration::from_millis(500);
/// Pieces of text that wait to be sent.
const PIECES: usize = 8;

/// Two trees to compare. `None` is an empty one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    from: Option<ManifestId>,
    to: Option<ManifestId>,
}

/// Finds what is to be compared.
///
/// # Errors
/// `version_not_found`, `worker_unavailable`.
pub(crate) async fn pair(
    control: &Control,
    environment: &Environment,
    workspace: &Workspace,
    (from, to): (Which, Which),
) -> Result<Pair, ApiError> {
    Ok(Pair {
        from: files::manifest_of(control, environment, workspace, from).await?,
        to: files::manifest_of(control, environment, workspace, to).await?,
    })
}

/// Where a list of changes goes on: between the same two trees, behind a path.
pub(crate) struct Place {
    pub(crate) pair: Pair,
    after: Vec<u8>,
}

impl Place {
    /// Reads a cursor.
    ///
    /// # Errors
    /// `invalid_cursor`.
    pub(crate) fn read(text: &str) -> Result<Self, ApiError> {
        let tree = |text: &str| match text {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| invalid()),
        };
        let mut parts = text.split('.');
        let (Some(from), Some(to), Some(after), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(invalid());
        };
        Ok(Self {
            pair: Pair {
                from: tree(from)?,
                to: tree(to)?,
            },
            after: URL_SAFE_NO_PAD.decode(after).map_err(|_| invalid())?,
        })
    }

    fn write(pair: Pair, after: &[u8]) -> String {
        let tree = |id: Option<ManifestId>| id.map(|id| id.to_string()).unwrap_or_default();
        let after = URL_SAFE_NO_PAD.encode(after);
        format!("{}.{}.{after}", tree(pair.from), tree(pair.to))
    }
}

fn invalid() -> ApiError {
    ApiError::new(
        Code::InvalidCursor,
        "`cursor` is not one that this list has given, or it is too old",
    )
}

/// Lists changes in the order of their paths.
///
/// # Errors
/// `invalid_cursor` if what it names is gone.
pub(crate) async fn list(
    control: &Control,
    environment: &Environment,
    (pair, after): (Pair, Option<Vec<u8>>),
    limit: u32,
) -> Result<Page<FileChange>, ApiError> {
    let keys = environment.keys.clone();
    let going_on = after.is_some();
    let found = control.artifacts.run(move |artifacts| {
        let changes = tree::diff(artifacts, &keys, pair.from, pair.to)?;
        let mut items = Vec::new();
        let mut last = None;
        for change in changes {
            let change = change?;
            let behind = after
                .as_deref()
                .is_none_or(|after| tree::order(&change.path, after).is_gt());
            if !behind {
                continue;
            }
            if items.len() >= usize::try_from(limit).unwrap_or(usize::MAX) {
                return Ok((items, last));
            }
            items.push(view(&change));
            last = Some(change.path);
        }
        Ok::<_, helmr_artifacts::Error>((items, None))
    });
    match found.await {
        Ok((items, last)) => Ok(Page {
            items,
            next_cursor: last.map(|last| Place::write(pair, &last)),
        }),
        // Files as they were once are kept for a day or so if they are no version.
        Err(helmr_artifacts::Error::NotFound { .. }) if going_on => Err(invalid()),
        Err(error) => Err(ApiError::internal(&error)),
    }
}

impl Place {
    /// What [`list`] goes on with.
    pub(crate) fn into_parts(self) -> (Pair, Option<Vec<u8>>) {
        (self.pair, Some(self.after))
    }
}

impl Pair {
    /// What [`list`] begins with.
    pub(crate) fn whole(self) -> (Self, Option<Vec<u8>>) {
        (self, None)
    }
}

fn view(change: &Change) -> FileChange {
    let text = std::str::from_utf8(&change.path);
    FileChange {
        path: String::from_utf8_lossy(&change.path).into_owned(),
        path_base64: text.is_err().then(|| STANDARD.encode(&change.path)),
        change: match (&change.before, &change.after) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
            (Some(_), Some(_)) => ChangeKind::Modified,
        },
        differs: differences(change.differs()),
        before: change.before.as_ref().map(side),
        after: change.after.as_ref().map(side),
    }
}

fn differences(differs: Differs) -> Vec<Difference> {
    let all = [
        (differs.kind, Difference::Kind),
        (differs.content, Difference::Content),
        (differs.mode, Difference::Mode),
        (differs.owner, Difference::Owner),
        (differs.attributes, Difference::Attributes),
    ];
    all.into_iter()
        .filter_map(|(is, difference)| is.then_some(difference))
        .collect()
}

fn side(side: &Side) -> FileSide {
    FileSide {
        kind: match side.body {
            Body::Directory => FileKind::Directory,
            Body::File(_) => FileKind::File,
            Body::Symlink(_) => FileKind::Symlink,
            Body::Fifo => FileKind::Fifo,
        },
        mode: format!("{:04o}", side.mode),
        uid: side.uid,
        gid: side.gid,
        size_bytes: side.size_bytes(),
    }
}

/// Writes the changes as unified text, piece by piece. The receiver may go away.
pub(crate) fn text(
    control: &Control,
    environment: &Environment,
    pair: Pair,
) -> mpsc::Receiver<Result<Bytes, std::io::Error>> {
    let (send, pieces) = mpsc::channel(PIECES);
    let keys = environment.keys.clone();
    let artifacts = control.artifacts.clone();
    control.tasks.spawn(async move {
        let failing = send.clone();
        let written = artifacts.run(move |artifacts| {
            let contents = Contents {
                artifacts,
                keys: &keys,
            };
            for change in tree::diff(artifacts, &keys, pair.from, pair.to)? {
                let piece = contents.unified(&change?)?;
                if !piece.is_empty() && send.blocking_send(Ok(Bytes::from(piece))).is_err() {
                    break;
                }
            }
            Ok::<_, helmr_artifacts::Error>(())
        });
        if let Err(error) = written.await {
            tracing::error!(%error, "a comparison ended early");
            // The answer has begun: that it breaks off is all that can be told.
            drop(
                failing
                    .send(Err(std::io::Error::other("a comparison ended early")))
                    .await,
            );
        }
    });
    pieces
}

struct Contents<'a> {
    artifacts: &'a Artifacts,
    keys: &'a KeySet,
}

/// The text of one side.
enum Lines {
    Text(String),
    Binary,
    TooLarge,
}

impl Contents<'_> {
    /// One change in the words that `git diff` has for it.
    fn unified(&self, change: &Change) -> Result<String, helmr_artifacts::Error> {
        let name = shown(&change.path);
        let mut text = format!(
            "diff --git {} {}\n",
            quoted("a/", &name),
            quoted("b/", &name)
        );
        let header = text.len();
        match (&change.before, &change.after) {
            (None, Some(after)) => {
                text.push_str(&format!("new file mode {}\n", full_mode(after)));
            }
            (Some(before), None) => {
                text.push_str(&format!("deleted file mode {}\n", full_mode(before)));
            }
            (Some(before), Some(after)) if full_mode(before) != full_mode(after) => {
                text.push_str(&format!(
                    "old mode {}\nnew mode {}\n",
                    full_mode(before),
                    full_mode(after)
                ));
            }
            _ => {}
        }
        let differs = change.differs();
        let both = change.before.is_some() && change.after.is_some();
        if !both || differs.content || differs.kind {
            self.body(change, &name, &mut text)?;
        }
        if both && (differs.owner || differs.attributes) {
            text.push_str("owner or attributes differ\n");
        }
        // A directory that is new or gone is told by what is in it, if anything is.
        if text.len() == header {
            text.clear();
        }
        Ok(text)
    }

    fn body(
        &self,
        change: &Change,
        name: &str,
        text: &mut String,
    ) -> Result<(), helmr_artifacts::Error> {
        let before = self.lines(change.before.as_ref())?;
        let after = self.lines(change.after.as_ref())?;
        let (before, after) = match (before, after) {
            (Lines::Text(before), Lines::Text(after)) => (before, after),
            (Lines::Binary, _) | (_, Lines::Binary) => {
                text.push_str(&format!("Binary files differ ({})\n", sizes(change)));
                return Ok(());
            }
            (Lines::TooLarge, _) | (_, Lines::TooLarge) => {
                text.push_str(&format!(
                    "Files too large to compare line by line differ ({})\n",
                    sizes(change)
                ));
                return Ok(());
            }
        };
        let label = |side: &Option<Side>, prefix| match side {
            Some(_) => quoted(prefix, name),
            None => "/dev/null".to_owned(),
        };
        let diff = TextDiff::configure()
            .timeout(COMPARED_WITHIN)
            .diff_lines(before.as_str(), after.as_str());
        let mut unified = diff.unified_diff();
        unified
            .context_radius(CONTEXT)
            .header(&label(&change.before, "a/"), &label(&change.after, "b/"));
        text.push_str(&unified.to_string());
        Ok(())
    }

    fn lines(&self, side: Option<&Side>) -> Result<Lines, helmr_artifacts::Error> {
        match side.map(|side| &side.body) {
            None | Some(Body::Directory | Body::Fifo) => Ok(Lines::Text(String::new())),
            Some(Body::Symlink(target)) => Ok(match std::str::from_utf8(target) {
                Ok(target) => Lines::Text(target.to_owned()),
                Err(_) => Lines::Binary,
            }),
            Some(Body::File(content)) => self.file(content),
        }
    }

    fn file(&self, content: &Content) -> Result<Lines, helmr_artifacts::Error> {
        if content.size_bytes() > TEXT_BYTES {
            return Ok(Lines::TooLarge);
        }
        let mut bytes = Vec::new();
        tree::read_file(self.artifacts, self.keys, content).read_to_end(&mut bytes)?;
        let binary = bytes.iter().take(LOOKED_AT).any(|byte| *byte == 0);
        Ok(match String::from_utf8(bytes) {
            Ok(text) if !binary => Lines::Text(text),
            _ => Lines::Binary,
        })
    }
}

fn sizes(change: &Change) -> String {
    let size = |side: &Option<Side>| side.as_ref().map_or(0, Side::size_bytes);
    format!("{} and {} bytes", size(&change.before), size(&change.after))
}

/// The mode as git writes it: with what kind of thing it is.
fn full_mode(side: &Side) -> String {
    let kind = match side.body {
        Body::Directory => "04",
        Body::File(_) => "10",
        Body::Symlink(_) => "12",
        Body::Fifo => "01",
    };
    let mode = match side.body {
        Body::Symlink(_) => 0,
        Body::Directory | Body::File(_) | Body::Fifo => side.mode,
    };
    format!("{kind}{mode:04o}")
}

/// A path for people: what would break a line is escaped as git does it.
fn shown(path: &[u8]) -> String {
    let mut text = String::new();
    for chunk in path.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\r' => text.push_str("\\r"),
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                letter if letter.is_control() => {
                    text.push_str(&format!("\\{:03o}", u32::from(letter)));
                }
                letter => text.push(letter),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\{byte:03o}"));
        }
    }
    text
}

fn quoted(prefix: &str, shown: &str) -> String {
    if shown.contains('\\') {
        format!("\"{prefix}{shown}\"")
    } else {
        format!("{prefix}{shown}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_break_no_line() {
        assert_eq!(quoted("a/", &shown(b"src/main.rs")), "a/src/main.rs");
        assert_eq!(quoted("a/", &shown("\u{fc} x".as_bytes())), "a/\u{fc} x");
        assert_eq!(quoted("b/", &shown(b"a\nb\xff\"")), r#""b/a\nb\377\"""#);
    }

    #[test]
    fn a_cursor_names_trees_and_path() {
        let id = "ab".repeat(32);
        let pair = Pair {
            from: None,
            to: id.parse().ok(),
        };
        let text = Place::write(pair, b"a/\xff");
        let place = Place::read(&text);
        assert!(place.is_ok_and(|place| place.after == b"a/\xff" && place.pair.to == pair.to));
        for wrong in ["", "x", "a.b.c", "..", &format!("{text}.x")] {
            let read = Place::read(wrong);
            assert_eq!(read.is_ok(), wrong == "..", "{wrong}");
        }
    }
}
