//! From a tree to an archive.

use std::io::{self, Write};
use std::ops::Range;

use tokio_tar::EntryType;

use super::super::content::Content;
use super::super::entries;
use super::super::entry::{Entry, Node};
use super::member::{About, Member};
use super::{BLOCK, padding};
use crate::blob::Piece;
use crate::manifest::Source;
use crate::{Artifacts, Error, KeySet, ManifestId};

/// Holes of less are written as zeros.
const HOLE_BYTES: u64 = 4096;

/// Writes the tree `id` to `out`. Returns how many bytes that were.
///
/// # Errors
/// `NotFound`, `Corrupt`, `Store`; `Stream` if `out` fails.
pub fn export(
    artifacts: &Artifacts,
    keys: &KeySet,
    id: ManifestId,
    out: impl Write,
) -> Result<u64, Error> {
    let mut archive = Archive {
        artifacts,
        keys,
        out,
        written: 0,
    };
    for entry in entries::read(artifacts, keys, id)? {
        archive.entry(&entry?)?;
    }
    archive.write(&[0; 2 * BLOCK])?;
    archive.out.flush().map_err(broken)?;
    Ok(archive.written)
}

struct Archive<'a, W> {
    artifacts: &'a Artifacts,
    keys: &'a KeySet,
    out: W,
    written: u64,
}

impl<W: Write> Archive<'_, W> {
    fn entry(&mut self, entry: &Entry) -> Result<(), Error> {
        let mut path = match entry.path.as_slice() {
            b"" => b".".to_vec(),
            path => path.to_vec(),
        };
        let (kind, link) = match &entry.node {
            Node::File { .. } => (EntryType::Regular, None),
            Node::Directory => {
                path.push(b'/');
                (EntryType::Directory, None)
            }
            Node::Symlink { target } => (EntryType::Symlink, Some(target)),
            Node::HardLink { of } => (EntryType::Link, Some(of)),
            Node::Fifo => (EntryType::Fifo, None),
        };
        let mut member = Member::of(&About {
            kind,
            mode: match entry.node {
                Node::Symlink { .. } => 0o777,
                _ => entry.mode,
            },
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            xattrs: &entry.xattrs,
        });
        if let Some(target) = link {
            member.link_name(target);
        }
        if let Node::File { content, .. } = &entry.node {
            return self.file(member, &path, content);
        }
        member.name(&path);
        self.begin(member, 0)
    }

    fn file(&mut self, mut member: Member, path: &[u8], content: &Content) -> Result<(), Error> {
        let size = content.size_bytes();
        let data = data(content);
        let kept: u64 = data.iter().map(|range| range.end - range.start).sum();
        if size - kept < HOLE_BYTES {
            member.name(path);
            self.begin(member, size)?;
            self.content(content, false)?;
            return self.pad(size);
        }
        let map = sparse_map(&data, size);
        member.sparse(path, size);
        let stored = map.len() as u64 + kept;
        self.begin(member, stored)?;
        self.write(&map)?;
        self.content(content, true)?;
        self.pad(stored)
    }

    fn begin(&mut self, member: Member, size: u64) -> Result<(), Error> {
        self.written += member.write(size, &mut self.out).map_err(broken)?;
        Ok(())
    }

    fn content(&mut self, content: &Content, skip_holes: bool) -> Result<(), Error> {
        const ZEROS: [u8; 16 << 10] = [0; 16 << 10];
        let mut reader = entries::read_file(self.artifacts, self.keys, content);
        while let Some(piece) = reader.next_piece()? {
            match piece {
                Piece::Bytes(bytes) => self.write(&bytes)?,
                Piece::Zeros(_) if skip_holes => {}
                Piece::Zeros(mut left) => {
                    while left > 0 {
                        let count = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
                        self.write(&ZEROS[..count])?;
                        left -= count as u64;
                    }
                }
            }
        }
        Ok(())
    }

    fn pad(&mut self, len: u64) -> Result<(), Error> {
        self.write(&[0; BLOCK][..padding(len)])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out.write_all(bytes).map_err(broken)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

/// Where a file is not a hole.
fn data(content: &Content) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let mut at = 0;
    for segment in &content.segments {
        let end = at + segment.len;
        if segment.source != Source::Zeros {
            match ranges.last_mut() {
                Some(last) if last.end == at => last.end = end,
                _ => ranges.push(at..end),
            }
        }
        at = end;
    }
    ranges
}

/// The number of ranges, then where each begins and how long it is, in lines, up to the end of a block.
fn sparse_map(data: &[Range<u64>], size: u64) -> Vec<u8> {
    use std::fmt::Write as _;
    let mut text = String::new();
    // Writing to text does not fail. The last range is empty and tells where the file ends.
    let _ = writeln!(text, "{}", data.len() + 1);
    for range in data.iter().chain([&(size..size)]) {
        let _ = writeln!(text, "{}\n{}", range.start, range.end - range.start);
    }
    let mut map = text.into_bytes();
    map.resize(map.len() + padding(map.len() as u64), 0);
    map
}

fn broken(source: io::Error) -> Error {
    Error::Stream {
        operation: "write the archive",
        source,
    }
}
