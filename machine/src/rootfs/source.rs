//! Where an image comes from: a directory of blobs, or a tar of one that is read in place.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::archive::{self, Kind};
use super::digest::{Limited, Unpacked};
use super::{Error, Limits};

/// `index.json`, manifests and configs.
const DOCUMENT_BYTES: u64 = 8 << 20;
/// Files that a tar of an image may hold.
const MEMBERS: usize = 20_000;
/// Old `docker save` links equal layers to each other.
const LINKS: usize = 8;

/// Files by name.
pub(super) enum Source {
    Dir {
        path: PathBuf,
        dir: OwnedFd,
    },
    Tar {
        file: Arc<File>,
        members: HashMap<String, Found>,
        entries: usize,
    },
}

/// A file in a tar.
pub(super) enum Found {
    File { position: u64, size: u64 },
    Link { to: String },
}

/// A file of the source, and its length.
pub(super) struct Blob {
    pub(super) reader: Box<dyn Read + Send>,
    pub(super) size: u64,
}

impl Source {
    pub(super) fn open_dir(path: &Path) -> Result<Self, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty()).map_err(Error::os("open", path))?;
        Ok(Self::Dir {
            path: path.to_owned(),
            dir,
        })
    }

    /// Lists a tar.
    pub(super) fn open_tar(path: &Path, file: File) -> Result<Self, Error> {
        let what = path.display().to_string();
        let mut members = HashMap::new();
        let mut entries = 0;
        let mut reader = &file;
        reader.rewind().map_err(Error::io("read", path))?;
        archive::for_each(
            &what,
            io::BufReader::with_capacity(256 << 10, reader),
            |member, _| {
                // A root may hold millions of files, of which none matters here.
                entries += 1;
                let name = plain_name(&member.name);
                let found = match member.kind {
                    Kind::Regular => Found::File {
                        position: member.position,
                        size: member.size,
                    },
                    Kind::Symlink(to) | Kind::HardLink(to) => Found::Link {
                        to: String::from_utf8_lossy(&to).into_owned(),
                    },
                    _ => return Ok(()),
                };
                if let (Some(name), true) = (name, entries <= MEMBERS) {
                    members.insert(name, found);
                }
                Ok(())
            },
        )?;
        Ok(Self::Tar {
            file: Arc::new(file),
            members,
            entries,
        })
    }

    /// Whether a tar holds no file at all.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Dir { .. } => false,
            Self::Tar { entries, .. } => *entries == 0,
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Self::Dir { dir, .. } => matches!(open_beneath(dir, name), Ok(Some(_))),
            Self::Tar { members, .. } => members.contains_key(name),
        }
    }

    /// Opens a file.
    pub(super) fn open(&self, name: &str) -> Result<Blob, Error> {
        let missing = || Error::Missing {
            what: name.to_owned(),
        };
        match self {
            Self::Dir { path, dir } => {
                let file = open_beneath(dir, name).map_err(Error::os("open", path.join(name)))?;
                let file = file.ok_or_else(missing)?;
                let size = file
                    .metadata()
                    .map_err(Error::io("stat", path.join(name)))?
                    .len();
                Ok(Blob {
                    reader: Box::new(file.take(size)),
                    size,
                })
            }
            Self::Tar { file, members, .. } => {
                let mut name = name.to_owned();
                for _ in 0..LINKS {
                    match members.get(&name).ok_or_else(missing)? {
                        Found::File { position, size } => {
                            let reader = Window {
                                file: Arc::clone(file),
                                position: *position,
                                left: *size,
                            };
                            return Ok(Blob {
                                reader: Box::new(reader),
                                size: *size,
                            });
                        }
                        Found::Link { to } => name = resolve(&name, to),
                    }
                }
                Err(missing())
            }
        }
    }

    /// Reads a JSON document.
    pub(super) fn read_document(&self, name: &str) -> Result<Vec<u8>, Error> {
        let blob = self.open(name)?;
        if blob.size > DOCUMENT_BYTES {
            return Err(Error::malformed(
                name,
                format!("it is over {DOCUMENT_BYTES} bytes"),
            ));
        }
        let mut text = Vec::new();
        blob.reader
            .take(DOCUMENT_BYTES)
            .read_to_end(&mut text)
            .map_err(Error::reading(name))?;
        Ok(text)
    }
}

/// Opens an archive; one that is compressed as a whole is unpacked into `scratch` first, as blobs are read in any order.
pub(super) fn open_archive(path: &Path, scratch: &Path, limits: &Limits) -> Result<File, Error> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let unpacked = Unpacked::new(file).map_err(Error::io("read", path))?;
    if !unpacked.is_compressed() {
        return Ok(unpacked.into_inner());
    }
    let unpacked_path = scratch.join("archive.tar");
    let mut plain = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&unpacked_path)
        .map_err(Error::io("make", &unpacked_path))?;
    io::copy(
        &mut Limited::new(unpacked, limits.unpacked_bytes),
        &mut plain,
    )
    .map_err(Error::reading(path.display().to_string()))?;
    Ok(plain)
}

/// A part of a file, read without moving the file's own position.
struct Window {
    file: Arc<File>,
    position: u64,
    left: u64,
}

impl Read for Window {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(into.len());
        let read = self.file.read_at(&mut into[..count], self.position)?;
        self.position += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

fn open_beneath(dir: &OwnedFd, name: &str) -> Result<Option<File>, Errno> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::fs::openat2(dir, name, flags, Mode::empty(), ResolveFlags::BENEATH);
    match opened {
        Ok(file) => {
            let stat = rustix::fs::fstat(&file)?;
            Ok(
                (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
                    .then(|| file.into()),
            )
        }
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A member's name without `./`; `None` if no image has such a file.
fn plain_name(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let name = name.trim_start_matches("./");
    (!name.is_empty() && !name.starts_with('/')).then(|| name.to_owned())
}

/// The name that a link in a tar points at. One that leads out names nothing.
fn resolve(link: &str, to: &str) -> String {
    let mut names: Vec<&str> = link.split('/').collect();
    names.pop();
    for name in to.split('/') {
        match name {
            "" | "." => {}
            ".." if names.pop().is_none() => return String::new(),
            ".." => {}
            name => names.push(name),
        }
    }
    names.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_a_tar_stay_in_it() {
        assert_eq!(
            resolve("abc/layer.tar", "../def/layer.tar"),
            "def/layer.tar"
        );
        assert_eq!(resolve("layer.tar", "./x"), "x");
        assert_eq!(resolve("abc/layer.tar", "../../etc/passwd"), "");
    }
}
