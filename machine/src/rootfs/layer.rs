//! Applies layers to a root, one tar after the other (image-spec 1.1, layer changesets).

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::archive::{self, Kind, Member};
use super::name::{Path, Whiteout, whiteout};
use super::root::{self, Attributes, Root, refused};
use super::{Error, Limits};

/// A root to which layers are applied.
pub(super) struct Flattening<'a> {
    root: &'a Root,
    limits: &'a Limits,
    entries: u64,
    bytes: u64,
}

/// Whether names that begin with `.wh.` hide files of lower layers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whiteouts {
    Apply,
    /// A plain tar of a root has none; such names are names.
    Keep,
}

/// One layer while it is applied.
struct Layer<'a, 'b> {
    what: &'a str,
    whiteouts: Whiteouts,
    into: &'a mut Flattening<'b>,
    /// Directory inode and name of what this layer put down: its own whiteouts do not hide that.
    own: HashSet<(u64, Vec<u8>)>,
}

impl<'a> Flattening<'a> {
    pub(super) fn new(root: &'a Root, limits: &'a Limits) -> Self {
        Self {
            root,
            limits,
            entries: 0,
            bytes: 0,
        }
    }

    /// Applies the layer in `tar`. `what` names it in messages.
    pub(super) fn apply(
        &mut self,
        what: &str,
        tar: impl Read + Unpin + Send,
        whiteouts: Whiteouts,
    ) -> Result<(), Error> {
        let mut layer = Layer {
            what,
            whiteouts,
            into: self,
            own: HashSet::new(),
        };
        archive::for_each(what, tar, |member, content| layer.member(&member, content))
    }
}

impl Layer<'_, '_> {
    fn member(&mut self, member: &Member, content: &mut dyn Read) -> Result<(), Error> {
        let limit = self.into.limits.entries;
        self.into.entries += 1;
        if self.into.entries > limit {
            return Err(Error::TooLarge {
                limit,
                unit: "files",
            });
        }
        let path = Path::new(&member.name)?;
        let Some((parents, name)) = path.split() else {
            return self.root_directory(member);
        };
        let dir = self.into.root.open_or_make(parents, &member.name)?;
        let dir = dir.as_fd();
        if self.whiteouts == Whiteouts::Apply {
            match whiteout(name, &member.name)? {
                Some(Whiteout::Of(hidden)) => {
                    return self
                        .hide(dir, hidden)
                        .map(drop)
                        .map_err(refused("hide", &member.name));
                }
                Some(Whiteout::Opaque) => {
                    return self
                        .hide_all(dir)
                        .map(drop)
                        .map_err(refused("hide", &member.name));
                }
                Some(Whiteout::Meaningless) => return Ok(()),
                None => {}
            }
        }
        if member.kind == Kind::Device {
            return Ok(());
        }
        let inode = root::inode(dir).map_err(refused("stat the directory of", &member.name))?;
        self.own.insert((inode, name.to_vec()));
        self.place(dir, name, member, content)
    }

    fn root_directory(&self, member: &Member) -> Result<(), Error> {
        if member.kind != Kind::Directory {
            return Err(Error::refused(&member.name, "the root is a directory"));
        }
        root::dress(self.into.root.dir(), &attributes(member), &member.name)
    }

    fn place(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        member: &Member,
        content: &mut dyn Read,
    ) -> Result<(), Error> {
        let path = member.name.as_slice();
        let there = root::look(dir, name).map_err(refused("look up", path))?;
        if member.kind == Kind::Directory {
            let child = match there {
                Some(FileType::Directory) => {
                    root::open_child(dir, name).map_err(refused("open", path))?
                }
                Some(_) => {
                    root::remove(dir, name).map_err(refused("replace", path))?;
                    self.into.root.make_dir(dir, name, path)?
                }
                None => self.into.root.make_dir(dir, name, path)?,
            };
            return root::dress(child.as_fd(), &attributes(member), path);
        }
        if let Kind::HardLink(target) = &member.kind
            && there.is_some()
            && self.is_same(target, dir, name)?
        {
            // Removing the name first would remove the file itself.
            return Ok(());
        }
        if there.is_some() {
            root::remove(dir, name).map_err(refused("replace", path))?;
        }
        match &member.kind {
            Kind::Regular | Kind::Sparse => self.regular(dir, name, member, content),
            Kind::Symlink(target) => {
                if target.is_empty() || target.contains(&0) {
                    return Err(Error::refused(path, "it is a link to nothing"));
                }
                rustix::fs::symlinkat(target.as_slice(), dir, name)
                    .map_err(refused("make", path))?;
                root::dress_unopened(dir, name, &attributes(member), path)
            }
            Kind::HardLink(target) => self.into.root.link(target, dir, name, path),
            Kind::Fifo => {
                rustix::fs::mkfifoat(dir, name, Mode::RUSR | Mode::WUSR)
                    .map_err(refused("make", path))?;
                root::dress_unopened(dir, name, &attributes(member), path)
            }
            Kind::Directory | Kind::Device => Ok(()),
        }
    }

    fn is_same(&self, target: &[u8], dir: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Error> {
        let target = Path::new(target.strip_prefix(b"/").unwrap_or(target))?;
        let Some((parents, target_name)) = target.split() else {
            return Ok(false);
        };
        let Ok(from) = self.into.root.open(parents) else {
            return Ok(false);
        };
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        let target = rustix::fs::statat(&from, target_name, flags);
        let there = rustix::fs::statat(dir, name, flags);
        Ok(matches!((target, there), (Ok(one), Ok(other)) if one.st_ino == other.st_ino))
    }

    fn regular(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        member: &Member,
        content: &mut dyn Read,
    ) -> Result<(), Error> {
        let path = member.name.as_slice();
        let limit = self.into.limits.unpacked_bytes;
        self.into.bytes = self
            .into
            .bytes
            .checked_add(member.size)
            .filter(|bytes| *bytes <= limit)
            .ok_or(Error::TooLarge {
                limit,
                unit: "bytes",
            })?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(refused("make", path))?;
        let mut file = File::from(file);
        let copied = copy(content, &mut file, member.size, self.what, path)?;
        if copied != member.size {
            return Err(Error::Unreadable {
                what: self.what.to_owned(),
                source: io::Error::from(io::ErrorKind::UnexpectedEof),
            });
        }
        root::dress(file.as_fd(), &attributes(member), path)
    }

    /// Removes what lower layers put under `name`. Returns whether something of this layer stays there.
    fn hide(&self, dir: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Errno> {
        let own = self.own.contains(&(root::inode(dir)?, name.to_vec()));
        match root::look(dir, name)? {
            None => Ok(false),
            Some(FileType::Directory) => {
                let child = root::open_child(dir, name)?;
                let stays = self.hide_all(child.as_fd())? || own;
                if !stays {
                    root::remove(dir, name)?;
                }
                Ok(stays)
            }
            Some(_) if own => Ok(true),
            Some(_) => root::remove(dir, name).map(|()| false),
        }
    }

    fn hide_all(&self, dir: BorrowedFd<'_>) -> Result<bool, Errno> {
        let mut stays = false;
        for name in root::names(dir)? {
            stays |= self.hide(dir, &name)?;
        }
        Ok(stays)
    }
}

fn attributes(member: &Member) -> Attributes {
    Attributes {
        mode: member.mode,
        uid: member.uid,
        gid: member.gid,
        xattrs: member.xattrs.clone(),
    }
}

/// Copies at most `size` bytes, telling failures of the archive from those of the disk.
fn copy(
    from: &mut dyn Read,
    to: &mut File,
    size: u64,
    what: &str,
    path: &[u8],
) -> Result<u64, Error> {
    let mut buffer = vec![
        0;
        usize::try_from(size)
            .unwrap_or(usize::MAX)
            .clamp(1, 256 << 10)
    ];
    let mut copied = 0;
    while copied < size {
        let read = from.read(&mut buffer).map_err(Error::reading(what))?;
        if read == 0 {
            break;
        }
        to.write_all(&buffer[..read]).map_err(Error::io(
            "write",
            String::from_utf8_lossy(path).into_owned(),
        ))?;
        copied += read as u64;
    }
    Ok(copied)
}
