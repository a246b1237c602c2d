//! A walk through a directory that may change meanwhile: what goes away is passed over, what changes its kind is what it
//! is when it is looked at.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::FileType;
use rustix::io::Errno;

use super::{Live, info_of};
use crate::files::info::Extra;
use crate::files::path::compare;
use crate::files::tree::{Content, ExtraOf, Flow, Found};
use crate::files::{Error, Info, Path};
use crate::tree::beneath::{self, Facts, moved};
use crate::tree::entry::PATH_BYTES;
use crate::tree::spine::Spine;

type Names = std::vec::IntoIter<Vec<u8>>;

pub(super) fn walk(
    live: &Live,
    dir: &Path,
    after: Option<&Path>,
    visit: &mut dyn FnMut(&mut dyn Found) -> Result<Flow, Error>,
) -> Result<(), Error> {
    let root = live.root();
    let opened = live.dir(dir)?;
    let mut spine: Spine<'_, Names> = Spine::new(root);
    let mut linked = HashMap::new();
    let names = names(opened.as_fd(), dir, after)?;
    spine.push(dir.as_bytes().to_vec(), opened, names);
    while let Some(level) = spine.top() {
        let Some(name) = level.state.next() else {
            spine.pop();
            continue;
        };
        let path = beneath::join(&level.path, &name);
        if path.len() > PATH_BYTES {
            return Err(Error::InvalidPath {
                reason: "of a file is longer than 32 KiB",
            });
        }
        let path = Path::of(path);
        let parent = match level.dir(root) {
            Ok(parent) => parent,
            // Moved away while its children were walked.
            Err(error) if moved(error) => {
                spine.pop();
                continue;
            }
            Err(error) => return Err(Error::os("open", &path)(error)),
        };
        let facts = match beneath::look(parent, &name) {
            Ok(facts) => facts,
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(Error::os("stat", &path)(error)),
        };
        if after.is_none_or(|after| compare(path.as_bytes(), after.as_bytes()).is_gt()) {
            let info = match info_of(parent, &name, path.clone(), &facts) {
                Ok(Some(info)) => info,
                Ok(None) | Err(Error::Unstable { .. }) => continue,
                Err(error) => return Err(error),
            };
            let mut found = Seen {
                dir: parent,
                name: &name,
                info,
                facts,
                linked: &mut linked,
            };
            if visit(&mut found)? == Flow::Stop {
                return Ok(());
            }
        }
        if facts.kind == FileType::Directory {
            let child = match beneath::open_dir(parent, &name) {
                Ok(child) => child,
                Err(error) if moved(error) => continue,
                Err(error) => return Err(Error::os("open", &path)(error)),
            };
            let names = self::names(child.as_fd(), &path, after)?;
            spine.push(path.into_bytes(), child, names);
        }
    }
    Ok(())
}

/// The names in `dir`, without those that lie before `after` with all that is in them.
fn names(dir: BorrowedFd<'_>, path: &Path, after: Option<&Path>) -> Result<Names, Error> {
    let mut names = beneath::names(dir).map_err(Error::os("list", path))?;
    if let Some(after) = after.filter(|after| after.is_in(path)) {
        let rest = after.relative_to(path);
        let first = rest.split(|byte| *byte == b'/').next().unwrap_or_default();
        names.retain(|name| name.as_slice() >= first);
    }
    Ok(names.into_iter())
}

struct Seen<'a> {
    dir: BorrowedFd<'a>,
    name: &'a [u8],
    info: Info,
    facts: Facts,
    /// First path of each inode with several names.
    linked: &'a mut HashMap<u64, Path>,
}

impl Found for Seen<'_> {
    fn info(&self) -> &Info {
        &self.info
    }

    fn extra(&mut self) -> Result<ExtraOf, Error> {
        let mut extra = Extra::default();
        let path = &self.info.path;
        match self.facts.kind {
            FileType::RegularFile => {
                if self.facts.links > 1 {
                    extra.link_of = self.linked.get(&self.facts.ino).cloned();
                    if extra.link_of.is_none() {
                        self.linked.insert(self.facts.ino, path.clone());
                    }
                }
                if let Ok(Some(file)) = beneath::open_file(self.dir, self.name) {
                    extra.xattrs =
                        beneath::xattrs(file).map_err(Error::os("read the attributes of", path))?;
                }
            }
            FileType::Directory => {
                if let Ok(dir) = beneath::open_dir(self.dir, self.name) {
                    extra.xattrs =
                        beneath::xattrs(dir).map_err(Error::os("read the attributes of", path))?;
                }
            }
            _ => {}
        }
        Ok(ExtraOf(extra))
    }

    fn open(&mut self) -> Result<Option<Content>, Error> {
        match beneath::open_file(self.dir, self.name) {
            Ok(Some(file)) => {
                // Another file may stand under the name by now.
                self.facts = beneath::look_at(&file).map_err(Error::os("stat", &self.info.path))?;
                self.info = Info::live(self.info.path.clone(), &self.facts, None);
                Ok(Some(Content::Live(File::from(file))))
            }
            Ok(None) => Ok(None),
            Err(error) if moved(error) => Ok(None),
            Err(error) => Err(Error::os("open", &self.info.path)(error)),
        }
    }
}
