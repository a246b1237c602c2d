//! Reads a tree's entries one by one, and the content of its files.

use std::io::Read;

use super::content::Content;
use super::entry::Entry;
use crate::blob::Reader;
use crate::manifest::{self, Content as ManifestContent, Manifest, Segment};
use crate::{Artifacts, Error, KeySet, ManifestId};

/// Longest entry: a path, 64 KiB of attribute names with their values, and the segments of a very large file.
pub(crate) const ENTRY_BYTES: u64 = 64 << 20;

/// The entries of a tree, in order.
pub struct Entries {
    id: ManifestId,
    source: Reader,
    /// The directory path and name of the last entry, to check the order.
    last: Option<Vec<u8>>,
    failed: bool,
    /// Of the next entry, in the tree's bytes.
    position: u64,
}

/// Opens the tree `id` for reading entry by entry.
///
/// # Errors
/// `NotFound`, `Corrupt`, `Store`.
pub fn read(artifacts: &Artifacts, keys: &KeySet, id: ManifestId) -> Result<Entries, Error> {
    let manifest = Manifest::load(artifacts, keys, id)?;
    if manifest.content != ManifestContent::Tree {
        return Err(corrupt(id, "it is not of a tree"));
    }
    Ok(Entries {
        id,
        source: Reader::new(artifacts, keys, manifest),
        last: None,
        failed: false,
        position: 0,
    })
}

/// Opens a tree at an entry that [`Entries::position`] named before.
pub(crate) fn read_at(
    artifacts: &Artifacts,
    keys: &KeySet,
    id: ManifestId,
    segments: &[Segment],
    position: u64,
) -> Entries {
    let segments = manifest::from_offset(segments, position);
    let rest = Manifest {
        content: ManifestContent::Tree,
        size: manifest::total(&segments).unwrap_or(u64::MAX),
        segments,
    };
    Entries {
        id,
        source: Reader::new(artifacts, keys, rest),
        last: None,
        failed: false,
        position,
    }
}

/// Opens the content of a file of a tree.
#[must_use]
pub fn read_file(artifacts: &Artifacts, keys: &KeySet, content: &Content) -> Reader {
    let manifest = Manifest {
        content: ManifestContent::Blob,
        size: content.size_bytes(),
        segments: content.segments.clone(),
    };
    Reader::new(artifacts, keys, manifest)
}

impl Iterator for Entries {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.decode_next().transpose()?;
        self.failed = next.is_err();
        Some(next)
    }
}

impl Entries {
    fn decode_next(&mut self) -> Result<Option<Entry>, Error> {
        let Some((length, prefix)) = self.read_length()? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let read = (&mut self.source).take(length).read_to_end(&mut bytes);
        let read = read.map_err(into_error)?;
        if u64::try_from(read).ok() != Some(length) {
            return Err(corrupt(self.id, "it ends within an entry"));
        }
        let entry = Entry::decode(&bytes).map_err(|reason| corrupt(self.id, reason))?;
        let first = self.last.is_none() && self.position > 0;
        if !first && !follows(self.last.as_deref(), &entry.path) {
            return Err(corrupt(self.id, "its entries are out of order"));
        }
        self.last = Some(entry.path.clone());
        self.position += prefix + length;
        Ok(Some(entry))
    }

    /// Where the next entry begins in the tree's bytes.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// A varint of at most five bytes, and how many they were; `None` at the end.
    fn read_length(&mut self) -> Result<Option<(u64, u64)>, Error> {
        let mut length: u64 = 0;
        for shift in (0..35).step_by(7) {
            let mut byte = [0];
            if self.source.read(&mut byte).map_err(into_error)? == 0 {
                return if shift == 0 {
                    Ok(None)
                } else {
                    Err(corrupt(self.id, "it ends within a length"))
                };
            }
            length |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                return if length <= ENTRY_BYTES {
                    Ok(Some((length, shift / 7 + 1)))
                } else {
                    Err(corrupt(self.id, "an entry is over the size limit"))
                };
            }
        }
        Err(corrupt(self.id, "a length does not end"))
    }
}

/// Whether `next` may come after `last`: the root first, then depth first with sorted names.
fn follows(last: Option<&[u8]>, next: &[u8]) -> bool {
    match last {
        None => next.is_empty(),
        Some(last) => {
            let mut last = last
                .split(|byte| *byte == b'/')
                .filter(|name| !name.is_empty());
            let mut next = next
                .split(|byte| *byte == b'/')
                .filter(|name| !name.is_empty());
            loop {
                match (last.next(), next.next()) {
                    (Some(a), Some(b)) if a == b => {}
                    // A new name after the last one in a common directory; its own descendants come with it only
                    // one level at a time, which the parent's presence shows.
                    (Some(a), Some(b)) => return a < b && next.next().is_none(),
                    (None, Some(_)) => return next.next().is_none(),
                    (_, None) => return false,
                }
            }
        }
    }
}

pub(crate) fn corrupt(id: ManifestId, reason: &'static str) -> Error {
    Error::Corrupt {
        what: "tree",
        name: id.to_string(),
        reason,
    }
}

/// Takes this crate's error out of the one that [`Reader`] had to wrap it in.
fn into_error(error: std::io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(source) => Error::Stream {
            operation: "read a tree's entries",
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_parents_first_and_sorted() {
        let check = |last: Option<&str>, next: &str, expected: bool| {
            let last = last.map(str::as_bytes);
            assert_eq!(
                follows(last, next.as_bytes()),
                expected,
                "{last:?} then {next}"
            );
        };
        check(None, "", true);
        check(None, "a", false);
        check(Some(""), "a", true);
        check(Some(""), "", false);
        check(Some(""), "a/b", false);
        check(Some("a"), "a/b", true);
        check(Some("a"), "a/b/c", false);
        check(Some("a/b/c"), "a/c", true);
        check(Some("a/b/c"), "a/a", false);
        check(Some("a/b/c"), "b", true);
        check(Some("a/b/c"), "b/c", false);
        check(Some("a/b"), "a/b", false);
        check(Some("a/b"), "a", false);
        check(Some("a-b"), "a/b", false);
        check(Some("a/z"), "a-b", true);
    }
}
