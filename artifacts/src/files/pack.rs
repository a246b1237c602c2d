//! A directory, or a file, as a tar.
//!
//! The library is asynchronous; over a writer that blocks it is always ready, so it is driven by hand. Paths and link
//! targets go in as their bytes are, in GNU tar's way; attributes as `SCHILY.xattr`. Holes are written as zeros.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tar::{Builder, EntryType, Header};

use super::resolve::Last;
use super::tree::{ExtraOf, Flow, Found, find};
use super::{Error, Info, Kind, Path, Tree};

/// An archive ends with two empty blocks.
const END: [u8; 1024] = [0; 1024];

/// Writes what is in the directory at `path`, or the file there, to `out`. Gives it back, and how many sockets and devices
/// were left out.
///
/// # Errors
/// `NotFound`, `Outside`; `Stream` if `out` fails or a file shrinks while it is read.
pub fn pack<W>(tree: &(impl Tree + ?Sized), path: &Path, out: W) -> Result<(W, u64), Error>
where
    W: Write + Unpin + Send + 'static,
{
    let (base, info) = find(tree, path, Last::Follow)?;
    let info = info.ok_or_else(|| Error::NotFound { path: path.clone() })?;
    let mut packing = Packing {
        // It ends the archive on a runtime, of which there is none here.
        tar: Builder::new_non_terminated(Blocking(out)),
        left_out: 0,
        base,
    };
    if info.kind == Kind::Directory {
        let base = packing.base.clone();
        tree.walk(&base, None, &mut |found| {
            packing.entry(found)?;
            Ok(Flow::On)
        })?;
    } else {
        let (info, content) = tree.open(&packing.base)?;
        packing.base = info.path.split().map(|(dir, _)| dir).unwrap_or_default();
        packing.file(&info, &ExtraOf::default(), content)?;
    }
    let Blocking(mut out) = now(packing.tar.into_inner())?;
    out.write_all(&END).map_err(Error::Stream)?;
    Ok((out, packing.left_out))
}

struct Packing<W: Write + Unpin + Send + 'static> {
    tar: Builder<Blocking<W>>,
    left_out: u64,
    base: Path,
}

impl<W: Write + Unpin + Send + 'static> Packing<W> {
    fn entry(&mut self, found: &mut dyn Found) -> Result<(), Error> {
        let extra = found.extra()?;
        match (found.info().kind, &extra.0.link_of) {
            (Kind::Other, _) => {
                self.left_out += 1;
                Ok(())
            }
            (_, Some(of)) => {
                let target = of.relative_to(&self.base).to_vec();
                self.link(found.info(), EntryType::Link, &target)
            }
            (Kind::Symlink, None) => {
                let target = found.info().target.clone().unwrap_or_default();
                self.link(found.info(), EntryType::Symlink, &target)
            }
            (Kind::File, None) => match found.open()? {
                Some(content) => self.file(&found.info().clone(), &extra, content),
                // It is something else by now, or gone.
                None => Ok(()),
            },
            (kind, None) => {
                let kind = if kind == Kind::Directory {
                    EntryType::Directory
                } else {
                    EntryType::Fifo
                };
                let mut header = header(found.info());
                header.set_entry_type(kind);
                self.attributes(&extra)?;
                self.append(header, found.info(), io::empty())
            }
        }
    }

    fn file(&mut self, info: &Info, extra: &ExtraOf, content: impl Read) -> Result<(), Error> {
        self.attributes(extra)?;
        let mut header = header(info);
        header.set_entry_type(EntryType::Regular);
        header.set_size(info.size_bytes);
        let mut content = Counted {
            content: content.take(info.size_bytes),
            read: 0,
        };
        self.append(header, info, &mut content)?;
        if content.read < info.size_bytes {
            let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(Error::Stream(cut));
        }
        Ok(())
    }

    /// The target goes in as its bytes are; the library would refuse or change some.
    fn link(&mut self, info: &Info, kind: EntryType, target: &[u8]) -> Result<(), Error> {
        let mut header = header(info);
        header.set_entry_type(kind);
        let field = &mut header.as_old_mut().linkname;
        if target.len() < field.len() {
            field[..target.len()].copy_from_slice(target);
        } else {
            let size = field.len();
            field.copy_from_slice(&target[..size]);
            self.special(
                EntryType::GNULongLink,
                b"././@LongLink",
                &[target, b"\0"].concat(),
            )?;
        }
        self.append(header, info, io::empty())
    }

    fn attributes(&mut self, extra: &ExtraOf) -> Result<(), Error> {
        let mut records = Vec::new();
        for (name, value) in extra
            .0
            .xattrs
            .iter()
            .filter(|(name, _)| name.starts_with(b"user."))
        {
            let body = [b" SCHILY.xattr.", name.as_slice(), b"=", value, b"\n"].concat();
            // A record begins with its own length, in which the digits count.
            let mut length = body.len() + 1;
            while length != body.len() + length.to_string().len() {
                length = body.len() + length.to_string().len();
            }
            records.extend_from_slice(length.to_string().as_bytes());
            records.extend_from_slice(&body);
        }
        if records.is_empty() {
            return Ok(());
        }
        self.special(EntryType::XHeader, b"././@PaxHeader", &records)
    }

    /// An entry that says something of the next one.
    fn special(&mut self, kind: EntryType, name: &[u8], bytes: &[u8]) -> Result<(), Error> {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes.len() as u64);
        header.set_entry_type(kind);
        header.set_cksum();
        now(self.tar.append(&header, bytes))
    }

    fn append(
        &mut self,
        mut header: Header,
        info: &Info,
        content: impl Read + Unpin,
    ) -> Result<(), Error> {
        let path = OsStr::from_bytes(info.path.relative_to(&self.base));
        header.set_cksum();
        now(self.tar.append_data(&mut header, path, Blocking(content)))
    }
}

fn header(info: &Info) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(0);
    header.set_mode(info.mode);
    header.set_uid(info.uid.into());
    header.set_gid(info.gid.into());
    header.set_mtime(u64::try_from(info.modified.seconds).unwrap_or(0));
    header
}

/// Drives what is always ready.
fn now<T>(work: impl Future<Output = io::Result<T>>) -> Result<T, Error> {
    match std::pin::pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done.map_err(Error::Stream),
        Poll::Pending => Err(Error::Stream(io::Error::other(
            "a blocking writer was not ready",
        ))),
    }
}

struct Counted<R> {
    content: R,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(into)?;
        self.read += count as u64;
        Ok(count)
    }
}

/// Something that blocks, in asynchronous clothes.
struct Blocking<T>(T);

impl<T: Read + Unpin> AsyncRead for Blocking<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.0.read(into.initialize_unfilled());
        Poll::Ready(read.map(|count| into.advance(count)))
    }
}

impl<T: Write + Unpin> AsyncWrite for Blocking<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.write(bytes))
    }

    /// Copying flushes behind every file, which would send small files one by one.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
