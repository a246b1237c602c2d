//! Files as the API tells of them.

use helmr_api::http::files::{File, FileKind, FileMatch, Mode, PathText, UploadedFiles};
use helmr_api::http::value::Time;
use helmr_api::worker::files::{Found, Place};
use helmr_artifacts::files::{Info, Kind, Matches, Path, Unpacked};
use helmr_artifacts::tree::Stamp;
use helmr_domain::Timestamp;

/// Writes what is known of a file.
#[must_use]
pub fn file(info: &Info) -> File {
    File {
        path: path(&info.path),
        kind: match info.kind {
            Kind::File => FileKind::File,
            Kind::Directory => FileKind::Directory,
            Kind::Symlink => FileKind::Symlink,
            Kind::Fifo => FileKind::Fifo,
            Kind::Other => FileKind::Other,
        },
        size_bytes: info.size_bytes,
        mode: Mode(info.mode),
        uid: info.uid,
        gid: info.gid,
        modified_at: Time(time(info.modified)),
        target: info.target.as_deref().map(PathText::from),
        revision: info.revision.clone(),
    }
}

pub(crate) fn found(found: &Matches) -> Found {
    Found {
        items: found
            .items
            .iter()
            .map(|item| FileMatch {
                path: path(&item.path),
                line: item.line,
                column: item.column,
                text: PathText::from(item.text.as_slice()),
            })
            .collect(),
        next: found.next.as_ref().map(|(file, line)| Place {
            path: path(file),
            line: *line,
        }),
    }
}

/// What an archive brought.
#[must_use]
pub fn uploaded(unpacked: Unpacked) -> UploadedFiles {
    UploadedFiles {
        files: unpacked.files,
        size_bytes: unpacked.size_bytes,
        left_out: unpacked.left_out,
    }
}

pub(crate) fn path(path: &Path) -> PathText {
    PathText::from(path.as_bytes())
}

/// A guest sets any time it likes: what no calendar has is its nearest end.
fn time(stamp: Stamp) -> Timestamp {
    const EARLIEST: i64 = -62_135_596_800;
    const LATEST: i64 = 253_402_207_200;
    let seconds = stamp.seconds.clamp(EARLIEST, LATEST);
    Timestamp::from_micros(seconds * 1_000_000 + i64::from(stamp.nanoseconds / 1000))
}
