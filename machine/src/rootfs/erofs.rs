//! Reads EROFS files of the form that [`super::mkfs`] makes: uncompressed, data in one run per file.
//!
//! Nothing in a file is trusted: every position is checked against the file's length by reading it, every name before
//! it is handed out, and a file of another form is refused.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::Error;
use super::root::Xattrs;

const SUPERBLOCK: u64 = 1024;
const MAGIC: u32 = 0xe0f5_e1e2;
const INODE_SLOT: u64 = 32;
/// Larger than any directory or symlink that a file system makes.
const DIRECTORY_BYTES: u64 = 1 << 30;
const LINK_BYTES: u64 = 4096;

/// An open image.
pub(super) struct Erofs {
    path: PathBuf,
    file: File,
    block_bytes: u64,
    inodes_at: u64,
    xattrs_at: u64,
    root: u64,
}

/// A file's number.
pub(super) type Nid = u64;

#[derive(Debug, Clone)]
pub(super) struct Inode {
    pub(super) nid: Nid,
    /// Type and permissions.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) links: u32,
    pub(super) size: u64,
    xattr_count: u16,
    /// Where the content begins; the last, partial block may stand after the inode.
    data_at: u64,
    tail_inline: bool,
    /// First byte after the fixed part of the inode.
    after: u64,
}

impl Erofs {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let mut erofs = Self {
            path: path.to_owned(),
            file,
            block_bytes: 4096,
            inodes_at: 0,
            xattrs_at: 0,
            root: 0,
        };
        let head = erofs.bytes(SUPERBLOCK, 128)?;
        if u32_at(&head, 0) != MAGIC {
            return Err(erofs.bad("it is not an EROFS file"));
        }
        let bits = head[12];
        if !(9..=16).contains(&bits) {
            return Err(erofs.bad("its block size is out of range"));
        }
        // Bit 0 only says that compressed data, which is refused inode by inode, would be padded.
        if u32_at(&head, 80) & !1 != 0 {
            return Err(erofs.bad("it uses features that we do not"));
        }
        erofs.block_bytes = 1 << bits;
        erofs.root = u16_at(&head, 14).into();
        erofs.inodes_at = u64::from(u32_at(&head, 40)) << bits;
        erofs.xattrs_at = u64::from(u32_at(&head, 44)) << bits;
        Ok(erofs)
    }

    pub(super) fn root(&self) -> Result<Inode, Error> {
        self.inode(self.root)
    }

    pub(super) fn inode(&self, nid: Nid) -> Result<Inode, Error> {
        let at = nid
            .checked_mul(INODE_SLOT)
            .and_then(|offset| offset.checked_add(self.inodes_at))
            .ok_or_else(|| self.bad("an inode is out of range"))?;
        let head = self.bytes(at, 32)?;
        let format = u16_at(&head, 0);
        let extended = format & 1 != 0;
        let layout = (format >> 1) & 7;
        let rest = if extended {
            self.bytes(at + 32, 32)?
        } else {
            Vec::new()
        };
        let tail_inline = match layout {
            0 => false,
            2 => true,
            _ => return Err(self.bad("its data is compressed or in pieces")),
        };
        let block = u32_at(&head, 16);
        Ok(Inode {
            nid,
            mode: u16_at(&head, 4).into(),
            uid: if extended {
                u32_at(&head, 24)
            } else {
                u16_at(&head, 24).into()
            },
            gid: if extended {
                u32_at(&head, 28)
            } else {
                u16_at(&head, 26).into()
            },
            links: if extended {
                u32_at(&rest, 12)
            } else {
                u16_at(&head, 6).into()
            },
            size: if extended {
                u64_at(&head, 8)
            } else {
                u32_at(&head, 8).into()
            },
            xattr_count: u16_at(&head, 2),
            data_at: u64::from(block) * self.block_bytes,
            tail_inline,
            after: at + if extended { 64 } else { 32 },
        })
    }

    /// Reads content from `offset` into `into`, as much as there is.
    pub(super) fn read(&self, inode: &Inode, offset: u64, into: &mut [u8]) -> Result<usize, Error> {
        let whole = inode.size - inode.size % self.block_bytes;
        let (from, until) = if inode.tail_inline && offset >= whole {
            (
                inode.after + xattr_bytes(inode.xattr_count) + (offset - whole),
                inode.size,
            )
        } else {
            let until = if inode.tail_inline { whole } else { inode.size };
            (inode.data_at + offset, until)
        };
        let count = usize::try_from(until.saturating_sub(offset))
            .unwrap_or(usize::MAX)
            .min(into.len());
        self.file
            .read_exact_at(&mut into[..count], from)
            .map_err(|error| self.unreadable(error))?;
        Ok(count)
    }

    pub(super) fn link_target(&self, inode: &Inode) -> Result<Vec<u8>, Error> {
        self.content(inode, LINK_BYTES)
    }

    /// The names in a directory but `.` and `..`, in order.
    pub(super) fn names(&self, inode: &Inode) -> Result<Vec<(Vec<u8>, Nid)>, Error> {
        let content = self.content(inode, DIRECTORY_BYTES)?;
        let block_bytes = usize::try_from(self.block_bytes).unwrap_or(usize::MAX);
        let mut names = Vec::new();
        for block in content.chunks(block_bytes) {
            self.names_in_block(block, &mut names)?;
        }
        Ok(names)
    }

    fn names_in_block(&self, block: &[u8], names: &mut Vec<(Vec<u8>, Nid)>) -> Result<(), Error> {
        const ENTRY: usize = 12;
        let bad = || self.bad("a directory is garbled");
        let first_name = block
            .get(..ENTRY)
            .map(|entry| usize::from(u16_at(entry, 8)))
            .ok_or_else(bad)?;
        if first_name == 0 || first_name % ENTRY != 0 || first_name > block.len() {
            return Err(bad());
        }
        let entries = block[..first_name].chunks_exact(ENTRY);
        let starts = entries.clone().map(|entry| usize::from(u16_at(entry, 8)));
        let ends = starts.clone().skip(1).chain([block.len()]);
        for ((entry, start), end) in entries.zip(starts).zip(ends) {
            let name = block.get(start..end).ok_or_else(bad)?;
            // The last name of a block is followed by zeros.
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            match name {
                b"." | b".." => {}
                _ if name.is_empty() || name.contains(&b'/') || name.len() > 255 => {
                    return Err(bad());
                }
                _ => names.push((name.to_vec(), u64_at(entry, 0))),
            }
        }
        Ok(())
    }

    /// Extended attributes with their full names.
    pub(super) fn xattrs(&self, inode: &Inode) -> Result<Xattrs, Error> {
        let length = xattr_bytes(inode.xattr_count);
        if length == 0 {
            return Ok(Vec::new());
        }
        let body = self.bytes(inode.after, usize::try_from(length).unwrap_or(usize::MAX))?;
        let bad = || self.bad("attributes are garbled");
        let shared = usize::from(body[4]);
        let mut found = Vec::new();
        for at in 0..shared {
            let id = body
                .get(12 + 4 * at..16 + 4 * at)
                .map(|id| u32_at(id, 0))
                .ok_or_else(bad)?;
            let at = self.xattrs_at + u64::from(id) * 4;
            let head = self.bytes(at, 4)?;
            let value = usize::from(u16_at(&head, 2));
            let entry = self.bytes(at, 4 + usize::from(head[0]) + value)?;
            found.extend(self.xattr(&entry)?.0);
        }
        let mut rest = body.get(12 + 4 * shared..).ok_or_else(bad)?;
        while rest.len() >= 4 && rest[..4] != [0; 4] {
            let (xattr, length) = self.xattr(rest)?;
            found.extend(xattr);
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(found)
    }

    /// The attribute at the start of `entry`, if it is of a kind that is kept, and its length.
    fn xattr(&self, entry: &[u8]) -> Result<(Xattrs, usize), Error> {
        let name_end = 4 + usize::from(entry[0]);
        let value_end = name_end + usize::from(u16_at(entry, 2));
        let bad = || self.bad("an attribute is garbled");
        let name = entry.get(4..name_end).ok_or_else(bad)?;
        let value = entry.get(name_end..value_end).ok_or_else(bad)?;
        let prefix: &[u8] = match entry[1] {
            1 => b"user.",
            6 => b"security.",
            _ => return Ok((Vec::new(), value_end)),
        };
        Ok((vec![([prefix, name].concat(), value.to_vec())], value_end))
    }

    fn content(&self, inode: &Inode, limit: u64) -> Result<Vec<u8>, Error> {
        let size = usize::try_from(inode.size)
            .ok()
            .filter(|_| inode.size <= limit)
            .ok_or_else(|| self.bad("a directory or link is over the size limit"))?;
        let mut content = vec![0; size];
        let mut read = 0;
        while read < size {
            read += self.read(inode, read as u64, &mut content[read..])?;
        }
        Ok(content)
    }

    fn bytes(&self, at: u64, length: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; length];
        self.file
            .read_exact_at(&mut bytes, at)
            .map_err(|error| self.unreadable(error))?;
        Ok(bytes)
    }

    pub(super) fn bad(&self, reason: &'static str) -> Error {
        Error::RootImage {
            path: self.path.clone(),
            reason,
        }
    }

    fn unreadable(&self, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return self.bad("it is torn");
        }
        Error::io("read", &self.path)(error)
    }
}

/// Length of the attributes that stand after an inode.
fn xattr_bytes(count: u16) -> u64 {
    match u64::from(count) {
        0 => 0,
        count => 12 + 4 * (count - 1),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
