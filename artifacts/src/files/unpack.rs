//! A tar into the files of a workspace. The archive is a client's and the files are a guest's: neither is believed.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_tar::{Archive, Entry, EntryType};

use super::{Error, Path};
use crate::tree::Stamp;
use crate::tree::beneath::Xattrs;

/// Headers before one member: names, attributes, sparse maps.
const HEADER_BYTES: u64 = 1 << 20;
const BLOCK_BYTES: u64 = 512;

/// What an archive brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unpacked {
    /// Files, directories and links.
    pub files: u64,
    pub size_bytes: u64,
    /// Devices and FIFOs.
    pub left_out: u64,
}

/// What an archive says of a file beside its bytes. Its owner is not asked for: new files belong to whom their directory does.
#[derive(Debug, Clone)]
pub struct Dress {
    pub mode: u32,
    pub modified: Stamp,
    pub xattrs: Xattrs,
}

/// Takes what is in an archive. Directories on the way are made if they are missing.
pub trait Unpack {
    /// # Errors
    /// Why not.
    fn directory(&mut self, path: &Path, dress: &Dress) -> Result<(), Error>;

    /// # Errors
    /// Why not.
    fn file(&mut self, path: &Path, dress: &Dress, content: &mut dyn Read) -> Result<(), Error>;

    /// # Errors
    /// Why not.
    fn symlink(&mut self, path: &Path, target: &[u8]) -> Result<(), Error>;

    /// Another name of a file.
    ///
    /// # Errors
    /// Why not.
    fn link(&mut self, path: &Path, of: &Path) -> Result<(), Error>;
}

/// Unpacks `archive` into the directory `dir`.
///
/// # Errors
/// `Archive` if it is none or leads out of the directory; `Stream` if it is cut; those of `into`. What was unpacked before
/// stays.
pub fn unpack(
    archive: impl Read + Unpin + Send,
    dir: &Path,
    into: &mut dyn Unpack,
) -> Result<Unpacked, Error> {
    let mut done = Unpacked::default();
    for_each(archive, |member, content| {
        let inner = Path::parse(member.name.strip_prefix(b"/").unwrap_or(&member.name), b"")
            .map_err(|error| refused(&member.name, &error.to_string()))?;
        let path = within(dir, &inner);
        match &member.kind {
            MemberKind::Device => {
                done.left_out += 1;
                return Ok(());
            }
            MemberKind::Directory => {
                if inner.is_root() {
                    return Ok(());
                }
                into.directory(&path, &member.dress)?;
            }
            MemberKind::File => {
                let mut counted = Counted { content, read: 0 };
                into.file(&path, &member.dress, &mut counted)?;
                done.size_bytes += counted.read;
            }
            MemberKind::Symlink(target) => into.symlink(&path, target)?,
            MemberKind::Link(of) => {
                let of = Path::parse(of.strip_prefix(b"/").unwrap_or(of), b"")
                    .map_err(|error| refused(&member.name, &error.to_string()))?;
                into.link(&path, &within(dir, &of))?;
            }
        }
        done.files += 1;
        Ok(())
    })?;
    Ok(done)
}

fn within(dir: &Path, inner: &Path) -> Path {
    if inner.is_root() {
        return dir.clone();
    }
    dir.join(inner.as_bytes())
}

fn refused(name: &[u8], reason: &str) -> Error {
    Error::Archive {
        reason: format!("`{}`: {reason}", String::from_utf8_lossy(name)),
    }
}

pub(super) fn reading(error: io::Error) -> Error {
    // What the source itself said went wrong with it.
    if error.get_ref().is_some_and(|cause| cause.is::<Cut>()) {
        return Error::Stream(error);
    }
    Error::Archive {
        reason: error.to_string(),
    }
}

/// The source of an archive failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Cut(io::Error);

struct Counted<'a> {
    content: &'a mut dyn Read,
    read: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(into)?;
        self.read += count as u64;
        Ok(count)
    }
}

struct Member {
    name: Vec<u8>,
    kind: MemberKind,
    dress: Dress,
}

enum MemberKind {
    File,
    Directory,
    Symlink(Vec<u8>),
    Link(Vec<u8>),
    Device,
}

fn for_each(
    reader: impl Read + Unpin + Send,
    mut visit: impl FnMut(Member, &mut dyn Read) -> Result<(), Error>,
) -> Result<(), Error> {
    let ration = Arc::new(AtomicU64::new(HEADER_BYTES));
    let mut archive = Archive::new(Rationed {
        reader,
        ration: Arc::clone(&ration),
    });
    let mut entries = archive.entries().map_err(reading)?;
    let mut context = Context::from_waker(Waker::noop());
    loop {
        let mut entry = match Pin::new(&mut entries).poll_next(&mut context) {
            Poll::Ready(Some(next)) => next.map_err(reading)?,
            Poll::Ready(None) => return Ok(()),
            Poll::Pending => return Err(reading(not_ready())),
        };
        let stored = if entry.header().entry_type().is_gnu_sparse() {
            entry.header().raw_entry_size().map_err(reading)?
        } else {
            entry.effective_size()
        };
        ration.store(
            stored.saturating_add(BLOCK_BYTES + HEADER_BYTES),
            Ordering::Relaxed,
        );
        if let Some(member) = member(&mut entry, &mut context)? {
            visit(member, &mut Now(&mut entry))?;
        }
    }
}

/// `None` for what describes the archive and not a file.
fn member<R: AsyncRead + Unpin>(
    entry: &mut Entry<R>,
    context: &mut Context<'_>,
) -> Result<Option<Member>, Error> {
    let xattrs = xattrs(entry, context).map_err(reading)?;
    let name = entry.path_bytes().map_err(reading)?.into_owned();
    let link = entry.link_name_bytes().map_err(reading)?.map(Vec::from);
    let target = || {
        link.clone()
            .ok_or_else(|| refused(&name, "it is a link to nothing"))
    };
    let kind = match entry.header().entry_type() {
        // Archives of the first kind mark directories by a slash alone.
        EntryType::Regular if name.ends_with(b"/") => MemberKind::Directory,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => MemberKind::File,
        EntryType::Directory => MemberKind::Directory,
        EntryType::Symlink => MemberKind::Symlink(target()?),
        EntryType::Link => MemberKind::Link(target()?),
        EntryType::Fifo | EntryType::Char | EntryType::Block => MemberKind::Device,
        EntryType::XGlobalHeader => return Ok(None),
        _ => return Err(refused(&name, "it is of an unknown kind")),
    };
    let seconds = entry.header().mtime().map_err(reading)?;
    Ok(Some(Member {
        name,
        kind,
        dress: Dress {
            // Set-id bits are not an archive's to give.
            mode: entry.header().mode().map_err(reading)? & 0o1777,
            modified: Stamp {
                seconds: i64::try_from(seconds).unwrap_or(0),
                nanoseconds: 0,
            },
            xattrs,
        },
    }))
}

fn xattrs<R: AsyncRead + Unpin>(
    entry: &mut Entry<R>,
    context: &mut Context<'_>,
) -> io::Result<Xattrs> {
    let Poll::Ready(extensions) = std::pin::pin!(entry.pax_extensions()).poll(context) else {
        return Err(not_ready());
    };
    let mut found = Vec::new();
    for extension in extensions?.into_iter().flatten() {
        let extension = extension?;
        if let Some(name) = extension.key_bytes().strip_prefix(b"SCHILY.xattr.")
            && name.starts_with(b"user.")
        {
            found.push((name.to_vec(), extension.value_bytes().to_vec()));
        }
    }
    found.sort();
    Ok(found)
}

/// A blocking reader in asynchronous clothes, which gives no more than its ration: the parser keeps headers in memory,
/// however long they say they are.
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
            return Poll::Ready(Err(io::Error::other(
                "the headers of one file are longer than 1 MiB",
            )));
        }
        let read = loop {
            match self.reader.read(into.initialize_unfilled_to(allowed)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(read) => break read,
                Err(error) => return Poll::Ready(Err(io::Error::other(Cut(error)))),
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
