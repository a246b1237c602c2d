//! Reading, alike for a directory and for a captured tree.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};

use super::info::Extra;
use super::resolve::{Last, Seen, resolve};
use super::{Error, Info, Kind, Path};
use crate::blob::Reader;

/// Looks at a tree that changes under its eyes.
const TRIES: u32 = 8;

/// Something that has files.
pub trait Tree {
    /// Where it appears to those who made its links.
    fn mount(&self) -> &[u8];

    /// What is at `path`, in which no link is followed. `None`: nothing.
    ///
    /// # Errors
    /// `Unstable` or `NotDirectory` if a name on the way is no directory.
    fn look(&self, path: &Path) -> Result<Option<Info>, Error>;

    /// Up to `limit` of what is in a directory, by name, behind the name `after`.
    ///
    /// # Errors
    /// `NotFound`, `NotDirectory`, `Unstable`.
    fn children(&self, dir: &Path, after: Option<&[u8]>, limit: usize) -> Result<Vec<Info>, Error>;

    /// Gives everything in `dir` that is behind `after` to `visit`, in the order of [`Path`], without following links.
    ///
    /// # Errors
    /// Those of `visit`; `NotFound`, `NotDirectory`, `Unstable` of `dir` itself.
    fn walk(
        &self,
        dir: &Path,
        after: Option<&Path>,
        visit: &mut dyn FnMut(&mut dyn Found) -> Result<Flow, Error>,
    ) -> Result<(), Error>;

    /// Opens a regular file at a path without links.
    ///
    /// # Errors
    /// `NotFound`, `IsDirectory`, `NotRegular`, `Unstable`.
    fn open(&self, path: &Path) -> Result<(Info, Content), Error>;
}

/// Whether a walk goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    On,
    Stop,
}

/// What a walk has come to.
pub trait Found {
    fn info(&self) -> &Info;

    /// What only archives ask for.
    ///
    /// # Errors
    /// If it cannot be read.
    fn extra(&mut self) -> Result<ExtraOf, Error>;

    /// Its bytes; `None` if it is no regular file any more.
    ///
    /// # Errors
    /// If it cannot be read.
    fn open(&mut self) -> Result<Option<Content>, Error>;
}

/// Sealed: what it holds is for this crate.
#[derive(Debug, Clone, Default)]
pub struct ExtraOf(pub(super) Extra);

/// The bytes of a file.
pub enum Content {
    Live(File),
    Stored(Box<Chunked>),
}

/// Bytes of a captured file, not read yet or being read.
pub struct Chunked {
    pub(super) artifacts: crate::Artifacts,
    pub(super) keys: crate::KeySet,
    pub(super) content: crate::tree::Content,
    pub(super) reader: Option<Reader>,
}

impl Content {
    /// Begins at `offset`. Called before the first read.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn skip(&mut self, offset: u64) -> io::Result<()> {
        match self {
            Self::Live(file) => file.seek(SeekFrom::Start(offset)).map(drop),
            Self::Stored(stored) => {
                stored.content = stored.content.behind(offset);
                Ok(())
            }
        }
    }
}

impl Read for Content {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Live(file) => file.read(into),
            Self::Stored(stored) => {
                let reader = stored.reader.get_or_insert_with(|| {
                    crate::tree::read_file(&stored.artifacts, &stored.keys, &stored.content)
                });
                reader.read(into)
            }
        }
    }
}

/// Repeats what met a change half way.
pub(super) fn steady<T>(mut work: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut tries = 1;
    loop {
        match work() {
            Err(Error::Unstable { .. }) if tries < TRIES => tries += 1,
            done => return done,
        }
    }
}

/// Follows the links on the way to `path`, and in the last place too if that is wanted. Gives the path without links and
/// what is there.
pub(super) fn find(
    tree: &(impl Tree + ?Sized),
    path: &Path,
    last: Last,
) -> Result<(Path, Option<Info>), Error> {
    match tree.look(path) {
        Ok(Some(info)) if info.kind != Kind::Symlink || last == Last::Keep => {
            return Ok((path.clone(), Some(info)));
        }
        // Perhaps there is a link on the way.
        Ok(_) | Err(Error::Unstable { .. } | Error::NotDirectory { .. }) => {}
        Err(error) => return Err(error),
    }
    let resolved = resolve(path, tree.mount(), last, |step| {
        Ok(match tree.look(step)? {
            None => Seen::Absent,
            Some(info) => match (info.kind, info.target) {
                (Kind::Symlink, Some(target)) => Seen::Link(target),
                (Kind::Directory, _) => Seen::Directory,
                _ => Seen::Other,
            },
        })
    })?;
    let info = tree.look(&resolved)?;
    if last == Last::Follow && info.as_ref().is_some_and(|info| info.kind == Kind::Symlink) {
        // It was something else a moment ago.
        return Err(Error::Unstable { path: path.clone() });
    }
    Ok((resolved, info))
}

/// Tells what is at `path`: of a link in the last place the link itself, unless `follow`.
///
/// # Errors
/// `NotFound`, `NotDirectory`, `Outside`, `Unstable`.
pub fn stat(tree: &(impl Tree + ?Sized), path: &Path, follow: bool) -> Result<Info, Error> {
    let last = if follow { Last::Follow } else { Last::Keep };
    steady(|| {
        let (_, info) = find(tree, path, last)?;
        info.ok_or_else(|| Error::NotFound { path: path.clone() })
    })
}

/// A part of a list, and behind what the next one begins.
#[derive(Debug, Clone)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<Path>,
}

/// Lists a directory by name, behind `after`.
///
/// # Errors
/// `NotFound`, `NotDirectory`, `Outside`, `Unstable`.
pub fn list(
    tree: &(impl Tree + ?Sized),
    path: &Path,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Page<Info>, Error> {
    steady(|| {
        let (dir, _) = find(tree, path, Last::Follow)?;
        let mut items = tree.children(&dir, after, limit.saturating_add(1))?;
        let mut next = None;
        if items.len() > limit {
            items.truncate(limit);
            next = items.last().map(|info| info.path.clone());
        }
        Ok(Page { items, next })
    })
}

/// Opens the file at `path`, links followed.
///
/// # Errors
/// `NotFound`, `IsDirectory`, `NotRegular`, `Outside`, `Unstable`.
pub fn open(tree: &(impl Tree + ?Sized), path: &Path) -> Result<(Info, Content), Error> {
    steady(|| {
        let (resolved, _) = find(tree, path, Last::Follow)?;
        tree.open(&resolved)
    })
}

/// Which bytes of a file are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Span {
    #[default]
    All,
    /// From an offset up to another, which is not included.
    From { start: u64, end: Option<u64> },
    /// So many at the end.
    Last(u64),
}

/// Bytes of a file from `start` on.
pub struct Opened {
    pub info: Info,
    pub start: u64,
    pub len: u64,
    pub content: Content,
}

/// Opens a part of the file at `path`, links followed.
///
/// # Errors
/// Those of [`open`]; `Range` if it begins behind the end.
pub fn read(tree: &(impl Tree + ?Sized), path: &Path, span: Span) -> Result<Opened, Error> {
    let (info, mut content) = open(tree, path)?;
    let size = info.size_bytes;
    let (start, end) = match span {
        Span::All => (0, size),
        Span::From { start, end } => (start, end.unwrap_or(size).min(size)),
        Span::Last(count) => (size.saturating_sub(count), size),
    };
    if span != Span::All && start >= size && size + start > 0 {
        return Err(Error::Range { size_bytes: size });
    }
    content
        .skip(start)
        .map_err(Error::io("seek in", &info.path))?;
    Ok(Opened {
        start,
        len: end.saturating_sub(start),
        info,
        content,
    })
}
