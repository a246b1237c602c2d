//! The store as files of this host: what age an object has, and where it is while it is set aside.
//!
//! An object's modification time says when it was last wanted. `aside/<round>/chunks/…` has the shape of the store.
//! A store elsewhere would keep the same: an object copied onto itself is young.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use rustix::fs::{CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::Errno;

use super::folder_of;
use crate::Error;
use crate::hex::{decode_hex, encode_hex};
use crate::seal::{self, Kind};

const ASIDE: &str = "aside";
/// Looks for an object that moves between its place and those aside.
const TRIES: u32 = 8;

#[derive(Debug, Clone)]
pub(crate) struct Disk {
    root: PathBuf,
}

/// A file in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) kind: Option<Kind>,
    /// `None` for what is not an object: a write that was not completed.
    pub(crate) name: Option<[u8; 32]>,
    pub(crate) aside: Option<String>,
    pub(crate) bytes: u64,
}

impl Disk {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    fn place(&self, kind: Kind, name: &[u8; 32]) -> PathBuf {
        beneath(&self.root, kind, name)
    }

    /// Wants an object: it is young from now on, wherever it was. `false` if it does not exist.
    pub(crate) fn renew(&self, kind: Kind, name: &[u8; 32]) -> Result<bool, Error> {
        let place = self.place(kind, name);
        for _ in 0..TRIES {
            if touch(&place)? {
                // Renamed away before it was touched, it would be gone by now; after that, it is put back.
                match fs::metadata(&place) {
                    Ok(found) if found.len() >= seal::OVERHEAD as u64 => return Ok(true),
                    // Torn, though the store never makes such a one: it is written anew.
                    Ok(_) => return Ok(false),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(Error::io("stat", place)(error)),
                }
            }
            if !self.recover(kind, name)? {
                return Ok(false);
            }
        }
        // It moves faster than it can be followed: as if it were not there, it is written anew.
        Ok(false)
    }

    /// Puts an object back that is set aside. `false` if none is.
    pub(crate) fn recover(&self, kind: Kind, name: &[u8; 32]) -> Result<bool, Error> {
        for round in self.rounds()? {
            let aside = beneath(&self.root.join(ASIDE).join(round), kind, name);
            if self.put_back(&aside, kind, name)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Makes an object that is set aside young and puts it in its place. `false` if it is not there any more.
    pub(crate) fn put_back(
        &self,
        aside: &Path,
        kind: Kind,
        name: &[u8; 32],
    ) -> Result<bool, Error> {
        // First: nothing old may ever take the place of something young.
        if !touch(aside)? {
            return Ok(false);
        }
        let place = self.place(kind, name);
        make_parent(&place)?;
        moved(fs::rename(aside, &place)).map_err(Error::io("put back", aside))
    }

    /// Takes an object from its place. `None` if it is not there.
    pub(crate) fn set_aside(
        &self,
        round: &str,
        kind: Kind,
        name: &[u8; 32],
    ) -> Result<Option<PathBuf>, Error> {
        let place = self.place(kind, name);
        let aside = beneath(&self.root.join(ASIDE).join(round), kind, name);
        make_parent(&aside)?;
        let moved = moved(fs::rename(&place, &aside)).map_err(Error::io("set aside", place))?;
        Ok(moved.then_some(aside))
    }

    /// When something was last wanted: nanoseconds since the epoch. `None` if it is not there.
    pub(crate) fn wanted_at(&self, path: &Path) -> Result<Option<i128>, Error> {
        let modified = match fs::symlink_metadata(path) {
            Ok(found) => found.modified(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(error),
        };
        let modified = modified.map_err(Error::io("stat", path))?;
        Ok(Some(match modified.duration_since(UNIX_EPOCH) {
            Ok(since) => i128::try_from(since.as_nanos()).unwrap_or(i128::MAX),
            Err(before) => -i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX),
        }))
    }

    /// `false` if it was not there.
    pub(crate) fn remove(&self, path: &Path) -> Result<bool, Error> {
        moved(fs::remove_file(path)).map_err(Error::io("remove", path))
    }

    /// The rounds that have set something aside, earliest first.
    pub(crate) fn rounds(&self) -> Result<Vec<String>, Error> {
        let mut rounds = names(&self.root.join(ASIDE))?;
        rounds.sort();
        Ok(rounds)
    }

    /// The folders of objects: those of a round, or those in their place.
    pub(crate) fn folders(&self, round: Option<&str>) -> Result<Vec<PathBuf>, Error> {
        let root = match round {
            Some(round) => self.root.join(ASIDE).join(round),
            None => self.root.clone(),
        };
        let mut folders = Vec::new();
        for kind in [Kind::Chunk, Kind::Manifest] {
            let folder = root.join(folder_of(kind));
            for name in names(&folder)? {
                folders.push(folder.join(name));
            }
        }
        Ok(folders)
    }

    /// What is in such a folder.
    pub(crate) fn list(&self, folder: &Path, aside: Option<&str>) -> Result<Vec<Found>, Error> {
        let of = |name: Option<&std::ffi::OsStr>| {
            let name = name?.to_str()?;
            [Kind::Chunk, Kind::Manifest]
                .into_iter()
                .find(|kind| folder_of(*kind) == name)
        };
        let kind = of(folder.parent().and_then(Path::file_name));
        let mut found = Vec::new();
        for text in names(folder)? {
            let path = folder.join(&text);
            let bytes = match fs::symlink_metadata(&path) {
                Ok(metadata) => metadata.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("stat", path)(error)),
            };
            let mut name = [0; 32];
            let name = decode_hex(&text, &mut name).map(|()| name);
            found.push(Found {
                path,
                kind,
                name,
                aside: aside.map(str::to_owned),
                bytes,
            });
        }
        Ok(found)
    }

    /// Removes the folders of rounds of which nothing is aside any more.
    pub(crate) fn remove_empty_rounds(&self) -> Result<(), Error> {
        for round in self.rounds()? {
            for folder in self.folders(Some(&round))? {
                remove_if_empty(&folder);
            }
            let round = self.root.join(ASIDE).join(round);
            for kind in [Kind::Chunk, Kind::Manifest] {
                remove_if_empty(&round.join(folder_of(kind)));
            }
            remove_if_empty(&round);
        }
        Ok(())
    }
}

/// The name of a round that begins at `now`, in nanoseconds: later ones sort behind.
pub(crate) fn round_name(now: i128) -> String {
    format!("{now:020}")
}

pub(crate) fn round_time(name: &str) -> Option<i128> {
    name.parse().ok()
}

fn beneath(root: &Path, kind: Kind, name: &[u8; 32]) -> PathBuf {
    let name = encode_hex(name);
    root.join(folder_of(kind)).join(&name[..2]).join(name)
}

/// `false` if it is not there.
fn touch(path: &Path) -> Result<bool, Error> {
    let time = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let times = Timestamps {
        last_access: time(UTIME_OMIT),
        last_modification: time(UTIME_NOW),
    };
    match rustix::fs::utimensat(CWD, path, &times, rustix::fs::AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(error) => Err(Error::os("touch", path)(error)),
    }
}

fn make_parent(path: &Path) -> Result<(), Error> {
    match path.parent() {
        Some(parent) => fs::create_dir_all(parent).map_err(Error::io("create directory", parent)),
        None => Ok(()),
    }
}

/// Whether something was there to be moved.
fn moved(done: io::Result<()>) -> io::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", folder)(error)),
    };
    let mut names = Vec::new();
    for entry in listed {
        let entry = entry.map_err(Error::io("list", folder))?;
        names.extend(entry.file_name().into_string());
    }
    Ok(names)
}

fn remove_if_empty(folder: &Path) {
    // Whoever has just put something in keeps it.
    drop(fs::remove_dir(folder));
}
