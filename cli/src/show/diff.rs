//! What differs between two versions.

use helmr_api::http::versions::{ChangeKind, FileChange, FileKind, FileSide};

use super::word;
use crate::moment::size;
use crate::style::Style;
use crate::table::Table;

/// Said instead of an empty list.
pub(crate) const NOTHING: &str = "Nothing differs.";

pub(crate) fn list(changes: &[FileChange], style: Style) -> String {
    let mut table = Table::new(["CHANGE", "PATH", "BEFORE", "AFTER", "DIFFERS"]);
    for change in changes {
        let sign = match change.change {
            ChangeKind::Added => "added",
            ChangeKind::Removed => "removed",
            ChangeKind::Modified => "modified",
        };
        let differs: Vec<_> = change.differs.iter().map(word).collect();
        table.row([
            sign.to_owned(),
            path(change),
            side(change.before.as_ref()),
            side(change.after.as_ref()),
            differs.join(", "),
        ]);
    }
    table.render(style)
}

fn path(change: &FileChange) -> String {
    // What a terminal would act on is shown, not sent to it.
    let mut path: String = change
        .path
        .chars()
        .map(|letter| {
            if letter.is_control() {
                '\u{fffd}'
            } else {
                letter
            }
        })
        .collect();
    let either = change.after.as_ref().or(change.before.as_ref());
    if either.is_some_and(|side| side.kind == FileKind::Directory) {
        path.push('/');
    }
    path
}

fn side(side: Option<&FileSide>) -> String {
    match side {
        None => String::new(),
        Some(side) if side.kind == FileKind::File => {
            format!("{} {}", side.mode, size(side.size_bytes))
        }
        Some(side) => format!("{} {}", side.mode, word(&side.kind)),
    }
}
