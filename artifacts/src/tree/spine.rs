//! The directories from the root to where a walk is, few of them held open: a tree may be deeper than a process may
//! have files.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::beneath;
use crate::Error;

/// Directories held open, counted from the deepest.
const OPEN: usize = 48;

pub(crate) struct Spine<'r, T> {
    root: BorrowedFd<'r>,
    levels: Vec<Level<T>>,
}

pub(crate) struct Level<T> {
    pub(crate) path: Vec<u8>,
    dir: Option<OwnedFd>,
    pub(crate) state: T,
}

impl<'r, T> Spine<'r, T> {
    pub(crate) fn new(root: BorrowedFd<'r>) -> Self {
        Self {
            root,
            levels: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, path: Vec<u8>, dir: OwnedFd, state: T) {
        if let Some(shut) = self.levels.len().checked_sub(OPEN) {
            self.levels[shut].dir = None;
        }
        self.levels.push(Level {
            path,
            dir: Some(dir),
            state,
        });
    }

    pub(crate) fn pop(&mut self) -> Option<Level<T>> {
        self.levels.pop()
    }

    pub(crate) fn top(&mut self) -> Option<&mut Level<T>> {
        self.levels.last_mut()
    }

    pub(crate) fn root(&self) -> BorrowedFd<'r> {
        self.root
    }
}

impl<T> Level<T> {
    /// The directory, opened again if it was shut to save descriptors.
    pub(crate) fn dir(&mut self, root: BorrowedFd<'_>) -> Result<BorrowedFd<'_>, Errno> {
        if self.dir.is_none() {
            self.dir = Some(beneath::open_dir(root, &self.path)?);
        }
        self.dir.as_ref().map(AsFd::as_fd).ok_or(Errno::BADF)
    }

    /// Path, directory and state, at the end of the directory's turn.
    pub(crate) fn into_parts(
        mut self,
        root: BorrowedFd<'_>,
    ) -> Result<(Vec<u8>, OwnedFd, T), Error> {
        let dir = match self.dir.take() {
            Some(dir) => dir,
            None => {
                beneath::open_dir(root, &self.path).map_err(beneath::failed("open", &self.path))?
            }
        };
        Ok((self.path, dir, self.state))
    }
}
