//! Files of a workspace.

use helmr_api::http::files::{File, FileKind, FileMatch, PathText, UploadedFiles};

use super::{ago, when, word};
use crate::moment::size;
use crate::style::Style;
use crate::table::{Properties, Table};

/// Said instead of an empty list.
pub(crate) const EMPTY: &str = "The directory is empty.";

/// Said when nothing was found.
pub(crate) const NO_MATCH: &str = "Nothing matches.";

/// A directory: names alone.
pub(crate) fn names(files: &[File], style: Style) -> String {
    list(files, PathText::name, style)
}

/// Files from anywhere: whole paths.
pub(crate) fn paths(files: &[File], style: Style) -> String {
    list(files, PathText::clone, style)
}

fn list(files: &[File], shown: impl Fn(&PathText) -> PathText, style: Style) -> String {
    let mut table = Table::new(["MODE", "OWNER", "SIZE", "MODIFIED", "NAME"]);
    for file in files {
        let name = shown(&file.path);
        table.row([
            mode(file),
            format!("{}:{}", file.uid, file.gid),
            size(file.size_bytes),
            ago(file.modified_at),
            match (&file.target, file.kind) {
                (Some(target), _) => format!("{name} -> {target}"),
                (None, FileKind::Directory) => format!("{name}/"),
                (None, _) => name.to_string(),
            },
        ]);
    }
    table.render(style)
}

/// As `ls` writes it.
fn mode(file: &File) -> String {
    let kind = match file.kind {
        FileKind::File => '-',
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::Fifo => 'p',
        FileKind::Other => '?',
    };
    let mut text = String::from(kind);
    for (shift, special, mark) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = file.mode.0 >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (file.mode.0 & special != 0, bits & 1 != 0) {
            (true, true) => mark,
            (true, false) => mark.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

pub(crate) fn one(file: &File, style: Style) -> String {
    Properties::new()
        .line("path", file.path.to_string())
        .line("kind", word(&file.kind))
        .maybe("leads to", file.target.as_ref().map(ToString::to_string))
        .line("size", size(file.size_bytes))
        .line("mode", format!("{} ({})", file.mode, mode(file)))
        .line("owner", format!("{}:{}", file.uid, file.gid))
        .line("modified", when(file.modified_at))
        .line("revision", &file.revision)
        .render(style)
}

/// A line for each match, as `grep -n` writes it.
pub(crate) fn matches(found: &[FileMatch], _: Style) -> String {
    found
        .iter()
        .map(|found| format!("{}:{}:{}\n", found.path, found.line, found.text))
        .collect()
}

pub(crate) fn uploaded(uploaded: &UploadedFiles, style: Style) -> String {
    Properties::new()
        .line("files", uploaded.files.to_string())
        .line("size", size(uploaded.size_bytes))
        .maybe(
            "left out",
            (uploaded.left_out > 0).then(|| format!("{} devices and FIFOs", uploaded.left_out)),
        )
        .render(style)
}
