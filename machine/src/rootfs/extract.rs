//! Takes a directory out of a root image: what a new workspace begins with.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Timespec, Timestamps};

use super::Error;
use super::erofs::{Erofs, Inode, Nid};
use super::root::{self, Attributes, refused};

/// Links followed on the way to the directory, as the kernel counts.
const LINKS: u32 = 40;
/// Deeper trees are not made by [`super::import`].
const DEPTH: usize = 1024;
const ZEROS: [u8; 4096] = [0; 4096];

/// What was extracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extracted {
    /// Without the directory itself.
    pub entries: u64,
    pub size_bytes: u64,
}

/// Copies what `image` holds at `path` (absolute, links followed within the image) into the empty directory `into`, with
/// owners, modes, attributes and hard links; the directory itself takes those of the one in the image. `None`, and `into`
/// untouched, if the image has no such directory. Devices and sockets are left out. Not synced: capture it or make it again.
///
/// # Errors
/// `RootImage`, `Io`, `Privilege`.
pub fn extract_subtree(image: &Path, path: &str, into: &Path) -> Result<Option<Extracted>, Error> {
    let erofs = Erofs::open(image)?;
    let Some(top) = find(&erofs, path)? else {
        return Ok(None);
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rustix::fs::open(into, flags, Mode::empty()).map_err(Error::os("open", into))?;
    let mut extraction = Extraction {
        erofs: &erofs,
        into: &dir,
        linked: HashMap::new(),
        entered: HashSet::new(),
        done: Extracted::default(),
    };
    extraction.directory(&top, dir.as_fd(), &mut Vec::new())?;
    Ok(Some(extraction.done))
}

/// The directory at `path`.
fn find(erofs: &Erofs, path: &str) -> Result<Option<Inode>, Error> {
    let mut trail = vec![erofs.root()?];
    let mut rest: VecDeque<Vec<u8>> = names(path.as_bytes()).collect();
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        let Some(dir) = trail.last() else {
            return Ok(None);
        };
        if name == b".." {
            if trail.len() > 1 {
                trail.pop();
            }
            continue;
        }
        if kind(dir) != FileType::Directory {
            return Ok(None);
        }
        let Some((_, nid)) = erofs
            .names(dir)?
            .into_iter()
            .find(|(there, _)| *there == name)
        else {
            return Ok(None);
        };
        let inode = erofs.inode(nid)?;
        if kind(&inode) != FileType::Symlink {
            trail.push(inode);
            continue;
        }
        links += 1;
        if links > LINKS {
            return Ok(None);
        }
        let target = erofs.link_target(&inode)?;
        if target.starts_with(b"/") {
            trail.truncate(1);
        }
        for name in names(&target).collect::<Vec<_>>().into_iter().rev() {
            rest.push_front(name);
        }
    }
    Ok(trail
        .pop()
        .filter(|inode| kind(inode) == FileType::Directory))
}

fn names(path: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    path.split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty() && *name != b".")
        .map(Vec::from)
}

struct Extraction<'a> {
    erofs: &'a Erofs,
    into: &'a OwnedFd,
    /// Path of the first name of each file with several.
    linked: HashMap<Nid, Vec<u8>>,
    /// Directories so far: in an honest image each has one place.
    entered: HashSet<Nid>,
    done: Extracted,
}

impl Extraction<'_> {
    /// Fills `dir`; `path` leads to it.
    fn directory(
        &mut self,
        inode: &Inode,
        dir: BorrowedFd<'_>,
        path: &mut Vec<Vec<u8>>,
    ) -> Result<(), Error> {
        if path.len() > DEPTH {
            return Err(self.erofs.bad("its directories are nested too deeply"));
        }
        if !self.entered.insert(inode.nid) {
            return Err(self.erofs.bad("a directory is in two places"));
        }
        for (name, nid) in self.erofs.names(inode)? {
            let child = self.erofs.inode(nid)?;
            path.push(name);
            self.child(&child, dir, path)?;
            path.pop();
        }
        self.dress(inode, dir, &path.join(&b'/'))
    }

    fn child(
        &mut self,
        inode: &Inode,
        dir: BorrowedFd<'_>,
        path: &mut Vec<Vec<u8>>,
    ) -> Result<(), Error> {
        let full = path.join(&b'/');
        let Some(name) = path.last().cloned() else {
            return Ok(());
        };
        let kind = kind(inode);
        if kind != FileType::Directory && inode.links > 1 {
            if let Some(first) = self.linked.get(&inode.nid) {
                self.done.entries += 1;
                return rustix::fs::linkat(
                    self.into,
                    first.as_slice(),
                    dir,
                    name.as_slice(),
                    AtFlags::empty(),
                )
                .map_err(refused("link", &full));
            }
            self.linked.insert(inode.nid, full.clone());
        }
        match kind {
            FileType::Directory => {
                rustix::fs::mkdirat(dir, name.as_slice(), Mode::RWXU)
                    .map_err(refused("make", &full))?;
                let child = root::open_child(dir, &name).map_err(refused("open", &full))?;
                self.directory(inode, child.as_fd(), path)?;
            }
            FileType::RegularFile => self.file(inode, dir, &name, &full)?,
            FileType::Symlink => {
                let target = self.erofs.link_target(inode)?;
                rustix::fs::symlinkat(target.as_slice(), dir, name.as_slice())
                    .map_err(refused("make", &full))?;
                self.dress_unopened(inode, dir, &name, &full)?;
            }
            FileType::Fifo => {
                rustix::fs::mkfifoat(dir, name.as_slice(), Mode::RWXU)
                    .map_err(refused("make", &full))?;
                self.dress_unopened(inode, dir, &name, &full)?;
            }
            _ => {
                self.linked.remove(&inode.nid);
                return Ok(());
            }
        }
        self.done.entries += 1;
        Ok(())
    }

    fn file(
        &mut self,
        inode: &Inode,
        dir: BorrowedFd<'_>,
        name: &[u8],
        full: &[u8],
    ) -> Result<(), Error> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(refused("make", full))?;
        let file = File::from(file);
        let failed = || Error::io("write", String::from_utf8_lossy(full).into_owned());
        let length = usize::try_from(inode.size)
            .unwrap_or(usize::MAX)
            .clamp(1, 256 << 10);
        let mut buffer = vec![0; length];
        let mut at = 0;
        while at < inode.size {
            let read = self.erofs.read(inode, at, &mut buffer)?;
            let mut piece_at = at;
            for piece in buffer[..read].chunks(ZEROS.len()) {
                // Zeros stay holes: the image has no way to tell them.
                if piece != &ZEROS[..piece.len()] {
                    file.write_all_at(piece, piece_at).map_err(failed())?;
                }
                piece_at += piece.len() as u64;
            }
            at += read as u64;
        }
        file.set_len(inode.size).map_err(failed())?;
        self.done.size_bytes += inode.size;
        self.dress(inode, file.as_fd(), full)
    }

    fn dress(&self, inode: &Inode, file: BorrowedFd<'_>, full: &[u8]) -> Result<(), Error> {
        root::dress(file, &self.attributes(inode)?, full)?;
        rustix::fs::futimens(file, &epoch()).map_err(refused("set the time of", full))
    }

    fn dress_unopened(
        &self,
        inode: &Inode,
        dir: BorrowedFd<'_>,
        name: &[u8],
        full: &[u8],
    ) -> Result<(), Error> {
        root::dress_unopened(dir, name, &self.attributes(inode)?, full)?;
        rustix::fs::utimensat(dir, name, &epoch(), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(refused("set the time of", full))
    }

    fn attributes(&self, inode: &Inode) -> Result<Attributes, Error> {
        Ok(Attributes {
            mode: inode.mode & 0o7777,
            uid: inode.uid,
            gid: inode.gid,
            xattrs: self.erofs.xattrs(inode)?,
        })
    }
}

fn kind(inode: &Inode) -> FileType {
    FileType::from_raw_mode(inode.mode)
}

/// The image keeps no times; the same image must give the same tree.
fn epoch() -> Timestamps {
    let zero = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    Timestamps {
        last_access: zero,
        last_modification: zero,
    }
}
