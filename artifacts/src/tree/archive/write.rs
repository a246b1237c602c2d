//! From a tree to an archive.

use std::io::{self, Write};
use std::ops::Range;

use tokio_tar::{EntryType, Header};

use super::super::content::Content;
use super::super::entries;
use super::super::entry::{Entry, Node, Stamp};
use super::{BLOCK, EMPTY_XATTRS, XATTR, padding};
use crate::blob::Piece;
use crate::manifest::Source;
use crate::{Artifacts, Error, KeySet, ManifestId};

/// Holes of less are written as zeros.
const HOLE_BYTES: u64 = 4096;
/// What an octal field of eight digits holds, one of which ends it.
const SMALL_NUMBER: u64 = 0o7_777_777;
/// The same of twelve digits.
const LARGE_NUMBER: u64 = 0o77_777_777_777;
/// Bytes of a name that stand in a plain header.
const NAME_BYTES: usize = 100;

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

/// One member in the making: its plain header, and the records of its extension header.
struct Member {
    header: Header,
    records: Vec<u8>,
}

impl<W: Write> Archive<'_, W> {
    fn entry(&mut self, entry: &Entry) -> Result<(), Error> {
        let mut path = match entry.path.as_slice() {
            b"" => b".".to_vec(),
            path => path.to_vec(),
        };
        let mut member = Member::of(entry);
        match &entry.node {
            Node::File { content, .. } => return self.file(member, &path, content),
            Node::Directory => {
                path.push(b'/');
                member.header.set_entry_type(EntryType::Directory);
            }
            Node::Symlink { target } => {
                member.header.set_entry_type(EntryType::Symlink);
                member.link_name(target);
            }
            Node::HardLink { of } => {
                member.header.set_entry_type(EntryType::Link);
                member.link_name(of);
            }
            Node::Fifo => member.header.set_entry_type(EntryType::Fifo),
        }
        member.name(&path);
        self.begin(member, &path, 0)
    }

    fn file(&mut self, mut member: Member, path: &[u8], content: &Content) -> Result<(), Error> {
        member.header.set_entry_type(EntryType::Regular);
        let size = content.size_bytes();
        let data = data(content);
        let kept: u64 = data.iter().map(|range| range.end - range.start).sum();
        if size - kept < HOLE_BYTES {
            member.name(path);
            self.begin(member, path, size)?;
            self.content(content, false)?;
            return self.pad(size);
        }
        let map = sparse_map(&data, size);
        member.record(b"GNU.sparse.major", b"1");
        member.record(b"GNU.sparse.minor", b"0");
        member.record(b"GNU.sparse.name", path);
        member.record(b"GNU.sparse.realsize", size.to_string().as_bytes());
        let stands_for = [b"GNUSparseFile.0/", path].concat();
        member.short_name(&stands_for);
        let stored = map.len() as u64 + kept;
        self.begin(member, path, stored)?;
        self.write(&map)?;
        self.content(content, true)?;
        self.pad(stored)
    }

    /// Writes the headers of a member that has `size` bytes.
    fn begin(&mut self, mut member: Member, path: &[u8], size: u64) -> Result<(), Error> {
        if size > LARGE_NUMBER {
            member.record(b"size", size.to_string().as_bytes());
        }
        member.header.set_size(size.min(LARGE_NUMBER));
        member.header.set_cksum();
        if !member.records.is_empty() {
            let mut extension = Member::plain();
            extension.header.set_entry_type(EntryType::XHeader);
            extension.short_name(&[b"PaxHeaders/", path].concat());
            extension.header.set_mode(0o644);
            extension.header.set_size(member.records.len() as u64);
            extension.header.set_cksum();
            self.write(extension.header.as_bytes())?;
            self.write(&member.records)?;
            self.pad(member.records.len() as u64)?;
        }
        self.write(member.header.as_bytes())
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

impl Member {
    fn plain() -> Self {
        let mut header = Header::new_ustar();
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        Self {
            header,
            records: Vec::new(),
        }
    }

    fn of(entry: &Entry) -> Self {
        let mut member = Self::plain();
        member.header.set_mode(match entry.node {
            Node::Symlink { .. } => 0o777,
            _ => entry.mode,
        });
        if is_binary(entry) {
            member.record(b"hdrcharset", b"BINARY");
        }
        for (owner, key) in [(entry.uid, "uid"), (entry.gid, "gid")] {
            if u64::from(owner) > SMALL_NUMBER {
                member.record(key.as_bytes(), owner.to_string().as_bytes());
            }
        }
        let fits = |owner: u32| u64::from(owner).min(SMALL_NUMBER);
        member.header.set_uid(fits(entry.uid));
        member.header.set_gid(fits(entry.gid));
        match u64::try_from(entry.mtime.seconds) {
            Ok(seconds) if seconds <= LARGE_NUMBER && entry.mtime.nanoseconds == 0 => {
                member.header.set_mtime(seconds);
            }
            seconds => {
                member
                    .header
                    .set_mtime(seconds.unwrap_or(0).min(LARGE_NUMBER));
                member.record(b"mtime", fraction(entry.mtime).as_bytes());
            }
        }
        let mut empty = Vec::new();
        for (name, value) in &entry.xattrs {
            if value.is_empty() {
                empty.push(name.as_slice());
            } else {
                member.record(&[XATTR, name].concat(), value);
            }
        }
        if !empty.is_empty() {
            member.record(EMPTY_XATTRS, &empty.join(&0));
        }
        member
    }

    fn name(&mut self, path: &[u8]) {
        if path.len() > NAME_BYTES || !path.is_ascii() {
            self.record(b"path", path);
        }
        self.short_name(path);
    }

    /// As much of a name as fits a plain header.
    fn short_name(&mut self, path: &[u8]) {
        fill(&mut self.header.as_old_mut().name, path);
    }

    fn link_name(&mut self, target: &[u8]) {
        if target.len() > NAME_BYTES || !target.is_ascii() {
            self.record(b"linkpath", target);
        }
        fill(&mut self.header.as_old_mut().linkname, target);
    }

    /// Appends `LENGTH KEY=VALUE\n`, where the length counts itself.
    fn record(&mut self, key: &[u8], value: &[u8]) {
        let rest = key.len() + value.len() + 3;
        let mut digits = 1;
        while (rest + digits).to_string().len() > digits {
            digits += 1;
        }
        let length = (rest + digits).to_string();
        for part in [length.as_bytes(), b" ", key, b"=", value, b"\n"] {
            self.records.extend_from_slice(part);
        }
    }
}

fn fill(field: &mut [u8; NAME_BYTES], name: &[u8]) {
    let count = name.len().min(field.len());
    field.fill(0);
    field[..count].copy_from_slice(&name[..count]);
}

/// Whether a name of it is not UTF-8, which the form asks to be said.
fn is_binary(entry: &Entry) -> bool {
    let odd = |name: &[u8]| std::str::from_utf8(name).is_err();
    odd(&entry.path)
        || match &entry.node {
            Node::Symlink { target } => odd(target),
            Node::HardLink { of } => odd(of),
            Node::Directory | Node::File { .. } | Node::Fifo => false,
        }
}

/// Seconds since the epoch, with nine digits behind the point.
fn fraction(time: Stamp) -> String {
    let nanos = time.nanos();
    let sign = if nanos < 0 { "-" } else { "" };
    let size = nanos.unsigned_abs();
    format!("{sign}{}.{:09}", size / 1_000_000_000, size % 1_000_000_000)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_records_length_counts_its_own_digits() {
        let mut member = Member::plain();
        member.record(b"path", &[b'a'; 91]);
        assert!(
            member.records.starts_with(b"101 path=a"),
            "{:?}",
            member.records
        );
        assert_eq!(member.records.len(), 101);
        member.records.clear();
        member.record(b"k", b"v");
        assert_eq!(member.records, b"6 k=v\n");
    }

    #[test]
    fn times_before_the_epoch_keep_their_fraction() {
        let time = |seconds, nanoseconds| Stamp {
            seconds,
            nanoseconds,
        };
        assert_eq!(fraction(time(-2, 500_000_000)), "-1.500000000");
        assert_eq!(fraction(time(1, 5)), "1.000000005");
    }
}
