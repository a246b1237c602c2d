//! Reads tar archives member by member, from a reader that blocks.
//!
//! The parser is asynchronous; over a blocking reader it is always ready, so it is driven by hand. It keeps extension
//! headers in memory, however long they say they are, so what it may read between two members is rationed.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_tar::{Archive, Entry, EntryType};

use super::Error;
use super::error::OverLimit;

/// Headers before one member: names, attributes, sparse maps.
const HEADER_BYTES: u64 = 1 << 20;
const BLOCK_BYTES: u64 = 512;

/// One member of an archive.
#[derive(Debug)]
pub(super) struct Member {
    /// As it stands in the archive, unchecked.
    pub(super) name: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Length of the content.
    pub(super) size: u64,
    /// Where the content begins in the archive; for sparse members it is not in one piece.
    pub(super) position: u64,
    /// `SCHILY.xattr.*`, without the prefix.
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Regular,
    /// With holes: only reading tells what is where.
    Sparse,
    Directory,
    Symlink(Vec<u8>),
    HardLink(Vec<u8>),
    Fifo,
    Device,
}

/// Gives each member and its content to `visit`, in order. `what` names the archive in messages.
pub(super) fn for_each(
    what: &str,
    reader: impl Read + Unpin + Send,
    mut visit: impl FnMut(Member, &mut dyn Read) -> Result<(), Error>,
) -> Result<(), Error> {
    let ration = Arc::new(AtomicU64::new(HEADER_BYTES));
    let mut archive = Archive::new(Rationed {
        reader,
        ration: Arc::clone(&ration),
    });
    let mut entries = archive.entries().map_err(Error::reading(what))?;
    let mut context = Context::from_waker(Waker::noop());
    loop {
        let next = match Pin::new(&mut entries).poll_next(&mut context) {
            Poll::Ready(Some(next)) => next.map_err(Error::reading(what))?,
            Poll::Ready(None) => return Ok(()),
            Poll::Pending => return Err(Error::reading(what)(not_ready())),
        };
        let mut entry = next;
        let stored = if entry.header().entry_type().is_gnu_sparse() {
            entry
                .header()
                .raw_entry_size()
                .map_err(Error::reading(what))?
        } else {
            entry.effective_size()
        };
        ration.store(
            stored.saturating_add(BLOCK_BYTES + HEADER_BYTES),
            Ordering::Relaxed,
        );
        if let Some(member) = member(what, &mut entry, &mut context)? {
            visit(member, &mut Now(&mut entry))?;
        }
    }
}

/// `None` for what describes the archive and not a file.
fn member<R: AsyncRead + Unpin>(
    what: &str,
    entry: &mut Entry<R>,
    context: &mut Context<'_>,
) -> Result<Option<Member>, Error> {
    let xattrs = xattrs(entry, context).map_err(Error::reading(what))?;
    let name = entry
        .path_bytes()
        .map_err(Error::reading(what))?
        .into_owned();
    let link = entry
        .link_name_bytes()
        .map_err(Error::reading(what))?
        .map(Vec::from);
    let target = || {
        link.clone()
            .ok_or_else(|| Error::refused(&name, "it is a link to nothing"))
    };
    let kind = match entry.header().entry_type() {
        // Archives of the first kind mark directories by a slash alone.
        EntryType::Regular if name.ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous => Kind::Regular,
        EntryType::GNUSparse => Kind::Sparse,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink(target()?),
        EntryType::Link => Kind::HardLink(target()?),
        EntryType::Fifo => Kind::Fifo,
        EntryType::Char | EntryType::Block => Kind::Device,
        EntryType::XGlobalHeader => return Ok(None),
        _ => return Err(Error::refused(&name, "it is of an unknown kind")),
    };
    let number = |value: io::Result<u64>| {
        let value = value.map_err(Error::reading(what))?;
        u32::try_from(value).map_err(|_| Error::refused(&name, "its owner is out of range"))
    };
    Ok(Some(Member {
        mode: entry.header().mode().map_err(Error::reading(what))? & 0o7777,
        uid: number(entry.header().uid())?,
        gid: number(entry.header().gid())?,
        size: entry.effective_size(),
        position: entry.raw_file_position(),
        name,
        kind,
        xattrs,
    }))
}

fn xattrs<R: AsyncRead + Unpin>(
    entry: &mut Entry<R>,
    context: &mut Context<'_>,
) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let Poll::Ready(extensions) = std::pin::pin!(entry.pax_extensions()).poll(context) else {
        return Err(not_ready());
    };
    let mut found = Vec::new();
    for extension in extensions?.into_iter().flatten() {
        let extension = extension?;
        if let Some(name) = extension.key_bytes().strip_prefix(b"SCHILY.xattr.") {
            found.push((name.to_vec(), extension.value_bytes().to_vec()));
        }
    }
    found.sort();
    Ok(found)
}

/// A blocking reader in asynchronous clothes, which gives no more than its ration.
struct Rationed<R> {
    reader: R,
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
            return Poll::Ready(Err(io::Error::other(OverLimit {
                limit: HEADER_BYTES,
                unit: "bytes of headers for one archive entry",
            })));
        }
        let read = loop {
            match self.reader.read(into.initialize_unfilled_to(allowed)) {
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
