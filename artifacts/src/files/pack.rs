//! A directory, or a file, as a tar in the POSIX (pax) form. Holes are written as zeros.

use std::io::{self, Read, Write};

use tokio_tar::EntryType;

use super::resolve::Last;
use super::tree::{ExtraOf, Flow, Found, find};
use super::{Error, Info, Kind, Path, Tree};
use crate::tree::archive::{About, BLOCK, Member, padding};
use crate::tree::beneath::Xattrs;

/// An archive ends with two empty blocks.
const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// Writes what is in the directory at `path`, or the file there, to `out`. Gives how many sockets and devices were left out.
///
/// # Errors
/// `NotFound`, `Outside`; `Stream` if `out` fails or a file shrinks while it is read.
pub fn pack(tree: &(impl Tree + ?Sized), path: &Path, out: &mut impl Write) -> Result<u64, Error> {
    let (base, info) = find(tree, path, Last::Follow)?;
    let info = info.ok_or_else(|| Error::NotFound { path: path.clone() })?;
    let mut packing = Packing {
        out,
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
    packing.out.write_all(&END).map_err(Error::Stream)?;
    Ok(packing.left_out)
}

struct Packing<'a, W> {
    out: &'a mut W,
    left_out: u64,
    base: Path,
}

impl<W: Write> Packing<'_, W> {
    fn entry(&mut self, found: &mut dyn Found) -> Result<(), Error> {
        let extra = found.extra()?;
        match (found.info().kind, &extra.0.link_of) {
            (Kind::Other, _) => {
                self.left_out += 1;
                Ok(())
            }
            (_, Some(of)) => {
                let target = of.relative_to(&self.base).to_vec();
                self.bare(found.info(), EntryType::Link, Some(&target), &extra)
            }
            (Kind::Symlink, None) => {
                let target = found.info().target.clone().unwrap_or_default();
                self.bare(found.info(), EntryType::Symlink, Some(&target), &extra)
            }
            (Kind::File, None) => match found.open()? {
                Some(content) => self.file(&found.info().clone(), &extra, content),
                // It is something else by now, or gone.
                None => Ok(()),
            },
            (Kind::Directory, None) => self.bare(found.info(), EntryType::Directory, None, &extra),
            (Kind::Fifo, None) => self.bare(found.info(), EntryType::Fifo, None, &extra),
        }
    }

    fn file(&mut self, info: &Info, extra: &ExtraOf, content: impl Read) -> Result<(), Error> {
        let size = info.size_bytes;
        let mut member = member(info, EntryType::Regular, extra);
        member.name(info.path.relative_to(&self.base));
        member.write(size, self.out).map_err(Error::Stream)?;
        let copied = io::copy(&mut content.take(size), self.out).map_err(Error::Stream)?;
        if copied < size {
            let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(Error::Stream(cut));
        }
        self.out
            .write_all(&[0; BLOCK][..padding(size)])
            .map_err(Error::Stream)
    }

    /// A member without bytes.
    fn bare(
        &mut self,
        info: &Info,
        kind: EntryType,
        target: Option<&[u8]>,
        extra: &ExtraOf,
    ) -> Result<(), Error> {
        let mut member = member(info, kind, extra);
        let mut path = info.path.relative_to(&self.base).to_vec();
        if kind == EntryType::Directory {
            path.push(b'/');
        }
        member.name(&path);
        if let Some(target) = target {
            member.link_name(target);
        }
        member.write(0, self.out).map_err(Error::Stream)?;
        Ok(())
    }
}

fn member(info: &Info, kind: EntryType, extra: &ExtraOf) -> Member {
    // Another name of a file has its attributes already.
    let xattrs: Xattrs = if kind == EntryType::Link {
        Xattrs::new()
    } else {
        let mut xattrs = extra.0.xattrs.clone();
        xattrs.retain(|(name, _)| name.starts_with(b"user."));
        xattrs
    };
    Member::of(&About {
        kind,
        mode: info.mode,
        uid: info.uid,
        gid: info.gid,
        mtime: info.modified,
        xattrs: &xattrs,
    })
}
