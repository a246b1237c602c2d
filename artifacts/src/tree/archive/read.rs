//! From an archive to a tree.
//!
//! The parser is asynchronous; over a reader that blocks it is always ready, so it is driven by hand. It keeps extension
//! headers in memory, however long they say they are, so what it may read between two members is rationed.

use std::io::{self, Read};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use futures_util::Stream as _;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_tar::{Archive, Entry, EntryType};

use super::super::assemble::{Assembly, Attributes, refused};
use super::super::beneath::{Xattrs, join};
use super::super::entry::{Node, Stamp};
use super::{BLOCK, EMPTY_XATTRS, XATTR};
use crate::{Artifacts, Error, KeySet, ManifestId};

/// Headers before one member: names, attributes, sparse maps.
const HEADER_BYTES: u64 = 1 << 20;
/// The map of a file with holes.
const MAP_BYTES: u64 = 8 << 20;
const NAME_BYTES: usize = 255;
const TARGET_BYTES: usize = 4095;
/// More than any file system holds.
const FILE_BYTES: u64 = 1 << 44;

/// What an archive may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Of the contents of all files, without holes.
    pub bytes: u64,
    pub entries: u64,
}

/// A tree that was made of an archive. Its bytes are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    pub id: ManifestId,
    /// Logical size of all files; a hard link counts once.
    pub size_bytes: u64,
    /// What the store grew by.
    pub stored_bytes: u64,
    /// The root and everything in it.
    pub entries: u64,
    /// Device nodes, which are not kept.
    pub left_out: u64,
}

/// Makes a tree of a tar archive. Later members of the same name replace earlier ones.
///
/// # Errors
/// `Refused` for what is in it, `OverLimit`; `Stream` if it is torn or `source` fails; `Store`.
pub fn import(
    artifacts: &Artifacts,
    keys: &KeySet,
    source: impl Read + Unpin + Send,
    limits: ArchiveLimits,
) -> Result<Imported, Error> {
    let mut import = Import {
        assembly: Assembly::new(artifacts, keys, limits.entries),
        limits,
        bytes: 0,
        left_out: 0,
    };
    let ration = Arc::new(AtomicU64::new(HEADER_BYTES));
    let mut archive = Archive::new(Rationed {
        source,
        ration: Arc::clone(&ration),
    });
    let mut members = archive.entries().map_err(torn)?;
    let mut context = Context::from_waker(Waker::noop());
    let mut seen = 0_u64;
    loop {
        let mut entry = match Pin::new(&mut members).poll_next(&mut context) {
            Poll::Ready(Some(next)) => next.map_err(torn)?,
            Poll::Ready(None) => break,
            Poll::Pending => return Err(torn(not_ready())),
        };
        let header = entry.header();
        let stored = if header.entry_type().is_gnu_sparse() {
            header.raw_entry_size().map_err(torn)?
        } else {
            entry.effective_size()
        };
        ration.store(
            stored.saturating_add(BLOCK as u64 + HEADER_BYTES),
            Ordering::Relaxed,
        );
        seen += 1;
        import.member(&mut entry, &mut context)?;
    }
    if seen == 0 {
        return Err(refused(b"", "the archive is empty"));
    }
    let assembled = import.assembly.finish(artifacts)?;
    Ok(Imported {
        id: assembled.id,
        size_bytes: assembled.size_bytes,
        stored_bytes: assembled.stored_bytes,
        entries: assembled.entries,
        left_out: import.left_out,
    })
}

struct Import<'a> {
    assembly: Assembly<'a>,
    limits: ArchiveLimits,
    bytes: u64,
    left_out: u64,
}

/// What extension headers say beside what the parser takes from them.
#[derive(Default)]
struct Extensions {
    xattrs: Xattrs,
    mtime: Option<Stamp>,
    sparse: Sparse,
}

#[derive(Default)]
struct Sparse {
    /// Of a file with holes in the form that has its map before its data.
    name: Option<Vec<u8>>,
    real_size: Option<u64>,
    /// In another form.
    unknown: bool,
}

impl Import<'_> {
    fn member<R: AsyncRead + Unpin>(
        &mut self,
        entry: &mut Entry<R>,
        context: &mut Context<'_>,
    ) -> Result<(), Error> {
        let kind = entry.header().entry_type();
        // Describes the archive and not a file.
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let extensions = extensions(entry, context)?;
        let raw = match &extensions.sparse.name {
            Some(name) => name.clone(),
            None => entry.path_bytes().map_err(torn)?.into_owned(),
        };
        let path = inner_path(&raw)?;
        if extensions.sparse.unknown {
            return Err(refused(&raw, "it is a sparse file of an older form"));
        }
        let link = entry.link_name_bytes().map_err(torn)?.map(Vec::from);
        let target = || {
            link.clone()
                .ok_or_else(|| refused(&raw, "it is a link to nothing"))
        };
        let attributes = attributes(entry, &extensions, &raw)?;
        match kind {
            // Archives of the first kind mark directories by a slash alone.
            EntryType::Regular if raw.ends_with(b"/") => {
                self.assembly.put(&path, attributes, Node::Directory)
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(entry, &path, attributes, &extensions.sparse)
            }
            EntryType::Directory => self.assembly.put(&path, attributes, Node::Directory),
            EntryType::Symlink => {
                let target = target()?;
                if target.is_empty() || target.len() > TARGET_BYTES || target.contains(&0) {
                    return Err(refused(&raw, "it is a link that no file system holds"));
                }
                self.assembly
                    .put(&path, attributes, Node::Symlink { target })
            }
            EntryType::Link => self.assembly.link(&path, &inner_path(&target()?)?),
            EntryType::Fifo => self.assembly.put(&path, attributes, Node::Fifo),
            EntryType::Char | EntryType::Block => {
                self.left_out += 1;
                Ok(())
            }
            _ => Err(refused(&raw, "it is of an unknown kind")),
        }
    }

    fn file<R: AsyncRead + Unpin>(
        &mut self,
        entry: &mut Entry<R>,
        path: &[u8],
        attributes: Attributes,
        sparse: &Sparse,
    ) -> Result<(), Error> {
        let size = entry.effective_size();
        self.count(size)?;
        if sparse.name.is_none() {
            return self.assembly.file(path, attributes, Now(entry));
        }
        let real_size = sparse
            .real_size
            .filter(|size| *size <= FILE_BYTES)
            .ok_or_else(|| refused(path, "its size is missing or out of range"))?;
        let mut content = Now(entry);
        let (data, map_bytes) = read_map(&mut content, path)?;
        let mut at = 0;
        let mut kept = 0_u64;
        for range in &data {
            if range.start < at || range.end > real_size {
                return Err(refused(path, "its map does not fit it"));
            }
            at = range.end;
            kept += range.end - range.start;
        }
        if kept + map_bytes != size {
            return Err(refused(path, "its map does not fit it"));
        }
        self.assembly
            .sparse_file(path, attributes, (real_size, &data), content)
    }

    fn count(&mut self, bytes: u64) -> Result<(), Error> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.limits.bytes {
            return Err(Error::OverLimit {
                limit: self.limits.bytes,
                unit: "bytes",
            });
        }
        Ok(())
    }
}

/// A member's name as a path beneath the root.
fn inner_path(raw: &[u8]) -> Result<Vec<u8>, Error> {
    if raw.starts_with(b"/") {
        return Err(refused(raw, "its name leads out of the archive"));
    }
    let mut path = Vec::new();
    for name in raw.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => return Err(refused(raw, "its name leads out of the archive")),
            name if name.len() > NAME_BYTES || name.contains(&0) => {
                return Err(refused(raw, "its name is one that no file system holds"));
            }
            name => path = join(&path, name),
        }
    }
    Ok(path)
}

fn attributes<R: AsyncRead + Unpin>(
    entry: &Entry<R>,
    extensions: &Extensions,
    raw: &[u8],
) -> Result<Attributes, Error> {
    let header = entry.header();
    let fields = header.as_old();
    let owner = |value: io::Result<u64>, field: &[u8]| {
        u32::try_from(plain(value, field)?).map_err(|_| refused(raw, "its owner is out of range"))
    };
    let seconds = plain(header.mtime(), &fields.mtime)?;
    let mtime = Stamp {
        seconds: i64::try_from(seconds).map_err(|_| refused(raw, "its time is out of range"))?,
        nanoseconds: 0,
    };
    Ok(Attributes {
        mode: plain(header.mode(), &fields.mode)? & 0o7777,
        uid: owner(header.uid(), &fields.uid)?,
        gid: owner(header.gid(), &fields.gid)?,
        mtime: extensions.mtime.unwrap_or(mtime),
        xattrs: extensions.xattrs.clone(),
    })
}

/// A number of a plain header. One that was left blank is zero, as other readers have it.
fn plain<T: Default>(value: io::Result<T>, field: &[u8]) -> Result<T, Error> {
    if field.iter().all(|byte| matches!(byte, 0 | b' ')) {
        return Ok(T::default());
    }
    value.map_err(torn)
}

fn extensions<R: AsyncRead + Unpin>(
    entry: &mut Entry<R>,
    context: &mut Context<'_>,
) -> Result<Extensions, Error> {
    let Poll::Ready(found) = std::pin::pin!(entry.pax_extensions()).poll(context) else {
        return Err(torn(not_ready()));
    };
    let mut said = Extensions::default();
    let mut versions = (false, false);
    for extension in found.map_err(torn)?.into_iter().flatten() {
        let extension = extension.map_err(torn)?;
        let (key, value) = (extension.key_bytes(), extension.value_bytes());
        match key {
            b"mtime" => {
                said.mtime = Some(time(value).ok_or_else(|| refused(b"", "a time is none"))?)
            }
            b"GNU.sparse.major" => versions.0 = value == b"1",
            b"GNU.sparse.minor" => versions.1 = value == b"0",
            b"GNU.sparse.name" => said.sparse.name = Some(value.to_vec()),
            b"GNU.sparse.realsize" => said.sparse.real_size = number(value),
            EMPTY_XATTRS => {
                let names = value.split(|byte| *byte == 0);
                let kept = names.filter(|name| is_kept(name));
                said.xattrs
                    .extend(kept.map(|name| (name.to_vec(), Vec::new())));
            }
            _ if key.starts_with(b"GNU.sparse.") => said.sparse.unknown = true,
            _ => {
                if let Some(name) = key.strip_prefix(XATTR).filter(|name| is_kept(name)) {
                    said.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
    }
    if said.sparse.name.is_some() || said.sparse.real_size.is_some() {
        said.sparse.unknown |= versions != (true, true) || said.sparse.name.is_none();
    }
    said.xattrs.sort();
    said.xattrs.dedup_by(|one, other| one.0 == other.0);
    Ok(said)
}

fn is_kept(name: &[u8]) -> bool {
    (name.starts_with(b"user.") || name == b"security.capability") && name.len() <= NAME_BYTES
}

/// `SECONDS[.FRACTION]`, which may be before the epoch.
fn time(text: &[u8]) -> Option<Stamp> {
    let text = std::str::from_utf8(text).ok()?;
    let (before, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let seconds = i64::try_from(number(whole.as_bytes())?).ok()?;
    let digits: String = part.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nanoseconds = u32::try_from(number(digits.as_bytes())?).ok()?;
    Some(match (before, nanoseconds) {
        (false, _) => Stamp {
            seconds,
            nanoseconds,
        },
        (true, 0) => Stamp {
            seconds: -seconds,
            nanoseconds,
        },
        (true, _) => Stamp {
            seconds: -seconds - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

fn number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// Reads the map before a sparse file's data: where that belongs, and how long the map is.
fn read_map(source: &mut impl Read, path: &[u8]) -> Result<(Vec<Range<u64>>, u64), Error> {
    let wrong = || refused(path, "its map is torn");
    let mut lines = Lines {
        source,
        block: [0; BLOCK],
        at: BLOCK,
        read: 0,
    };
    let count = lines.number(path)?;
    let mut data = Vec::new();
    for _ in 0..count {
        let start = lines.number(path)?;
        let end = start.checked_add(lines.number(path)?).ok_or_else(wrong)?;
        if start < end {
            data.push(start..end);
        }
    }
    Ok((data, lines.read))
}

/// Numbers, a line each, in whole blocks.
struct Lines<'a, R> {
    source: &'a mut R,
    block: [u8; BLOCK],
    at: usize,
    read: u64,
}

impl<R: Read> Lines<'_, R> {
    fn number(&mut self, path: &[u8]) -> Result<u64, Error> {
        let mut digits = Vec::new();
        loop {
            if self.at == BLOCK {
                if self.read >= MAP_BYTES {
                    return Err(refused(path, "its map is too long"));
                }
                self.source.read_exact(&mut self.block).map_err(torn)?;
                self.read += BLOCK as u64;
                self.at = 0;
            }
            let byte = self.block[self.at];
            self.at += 1;
            match byte {
                b'\n' => return number(&digits).ok_or_else(|| refused(path, "its map is torn")),
                b'0'..=b'9' if digits.len() < 20 => digits.push(byte),
                _ => return Err(refused(path, "its map is torn")),
            }
        }
    }
}

/// A blocking reader in asynchronous clothes, which gives no more than its ration.
struct Rationed<R> {
    source: R,
    ration: Arc<AtomicU64>,
}

impl<R: Read + Unpin> AsyncRead for Rationed<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let ration = self.ration.load(Ordering::Relaxed);
        let allowed = usize::try_from(ration)
            .unwrap_or(usize::MAX)
            .min(into.remaining());
        if allowed == 0 && into.remaining() > 0 {
            let error = Error::OverLimit {
                limit: HEADER_BYTES,
                unit: "bytes of headers before one file",
            };
            return Poll::Ready(Err(io::Error::other(error)));
        }
        let read = loop {
            match self.source.read(into.initialize_unfilled_to(allowed)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        into.advance(read);
        self.ration.store(ration - read as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

/// An asynchronous reader that is always ready, read at once.
struct Now<'a, R>(&'a mut R);

impl<R: AsyncRead + Unpin> Read for Now<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut into = ReadBuf::new(into);
        match Pin::new(&mut *self.0).poll_read(&mut Context::from_waker(Waker::noop()), &mut into) {
            Poll::Ready(read) => read.map(|()| into.filled().len()),
            Poll::Pending => Err(not_ready()),
        }
    }
}

fn not_ready() -> io::Error {
    io::Error::other("a blocking reader was not ready")
}

/// Takes this crate's error out of what the parser wrapped it in.
fn torn(error: io::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if let Some(Error::OverLimit { limit, unit }) = inner.downcast_ref() {
            return Error::OverLimit {
                limit: *limit,
                unit,
            };
        }
        // What an input error holds is not its source.
        cause = match inner
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(held) => Some(held),
            None => inner.source(),
        };
    }
    Error::Stream {
        operation: "read the archive",
        source: error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_beneath_the_root() {
        for (raw, path) in [
            ("./", ""),
            ("./a//b/", "a/b"),
            ("a/./b", "a/b"),
            (".a/..b", ".a/..b"),
        ] {
            assert!(
                inner_path(raw.as_bytes()).is_ok_and(|found| found == path.as_bytes()),
                "{raw}"
            );
        }
        for raw in ["/a", "..", "a/../b", "../a", "a\0b"] {
            assert!(inner_path(raw.as_bytes()).is_err(), "{raw}");
        }
        assert!(inner_path(&[b'a'; 256]).is_err());
    }

    #[test]
    fn times_are_read_with_their_fraction() {
        let check = |text: &str, expected: Option<(i64, u32)>| {
            let expected = expected.map(|(seconds, nanoseconds)| Stamp {
                seconds,
                nanoseconds,
            });
            assert_eq!(time(text.as_bytes()), expected, "{text}");
        };
        check("5", Some((5, 0)));
        check("5.25", Some((5, 250_000_000)));
        check("-1.5", Some((-2, 500_000_000)));
        check("-1", Some((-1, 0)));
        check("1.0000000019", Some((1, 1)));
        check("", None);
        check("x", None);
        check("1.x", None);
        check("99999999999999999999", None);
    }
}
