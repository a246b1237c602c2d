//! Garbage collection: chunks and manifests that nothing names any more are set aside, and later removed.
//!
//! A [`Round`] is begun, told of every manifest that the database names ([`Round::mark`]), and then taken step by step
//! ([`Round::step`]), one object at a time. It may be dropped, killed or run beside another at any point, and beside
//! everyone who writes and reads. What makes that safe:
//!
//! - Whoever needs an object makes it young: a write that finds it there touches it, and then looks whether it is still
//!   there. A round leaves alone what is younger than `grace` before it began, and begins before the database is read. So
//!   it only touches what nobody has wanted for that long, and a manifest is named in the database within `grace` of
//!   the first chunk that was stored for it.
//! - Nothing is removed at once. An object is renamed into a folder named after the round, and then looked at again: one
//!   that was touched just before goes back. Only a round that begins `grace` later removes it, if still nothing names it
//!   by then; what is named goes back. Whoever misses an object finds it there, too, and puts it back young.
//!
//! Invariant: an object that a manifest names, which the database named when any round began that could remove it, is
//! either in its place or set aside, and can be read from both.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::clock::wall_ns;
use crate::manifest::{Content, Manifest, Source};
use crate::objects::disk::{self, Disk, Found};
use crate::seal::Kind;
use crate::tree::{self, Node};
use crate::{Artifacts, Error, KeySet, ManifestId};

/// How long nobody must have wanted an object, at the least, before it is set aside: longer than any capture or upload
/// takes to be told of, and than an index is trusted.
pub const SHORTEST_GRACE: Duration = Duration::from_secs(3600);

/// What a round has seen and done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// In their place when the round had ended.
    pub kept: Count,
    /// Of those, what nothing names: it is too young.
    pub young: Count,
    /// Set aside by this round or an earlier one, and still there.
    pub aside: Count,
    /// Put back: named again, or wanted.
    pub restored: Count,
    pub removed: Count,
}

/// Objects, and the bytes that they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    pub objects: u64,
    pub bytes: u64,
}

impl Count {
    fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

/// Whether a round has more to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    More,
    Done,
}

/// One round. See the module.
pub struct Round {
    disk: Disk,
    /// Where what it sets aside goes.
    name: String,
    /// What was wanted after this is young.
    cutoff: i128,
    /// Beginnings of the names of what is named. That two begin alike keeps one too many at worst.
    marked: HashSet<[u8; 16]>,
    walk: Option<Walk>,
    figures: Figures,
}

/// What is left to look at, last first.
struct Walk {
    folders: Vec<Folder>,
    objects: Vec<Found>,
}

#[derive(Debug, Clone)]
struct Folder {
    path: PathBuf,
    /// The round that set its objects aside; `None` for those in their place.
    aside: Option<String>,
}

impl Round {
    /// Begins a round. Read the database for what it names only after this.
    #[must_use]
    pub fn begin(artifacts: &Artifacts, grace: Duration) -> Self {
        let now = wall_ns();
        Self {
            disk: artifacts.disk().clone(),
            name: disk::round_name(now),
            cutoff: now - i128::try_from(grace.as_nanos()).unwrap_or(i128::MAX),
            marked: HashSet::new(),
            walk: None,
            figures: Figures::default(),
        }
    }

    /// Keeps a manifest and everything that it names.
    ///
    /// # Errors
    /// `NotFound`, `Corrupt`, `Store`: then nothing may be swept, as what it names is not known.
    pub fn mark(
        &mut self,
        artifacts: &Artifacts,
        keys: &KeySet,
        id: ManifestId,
    ) -> Result<(), Error> {
        if !self.marked.insert(beginning(id.as_bytes())) {
            return Ok(());
        }
        let manifest = Manifest::load(artifacts, keys, id)?;
        let mut chunks = |source: &Source| {
            if let Source::Chunk { chunk, .. } = source {
                self.marked.insert(beginning(chunk.name.as_bytes()));
            }
        };
        for segment in &manifest.segments {
            chunks(&segment.source);
        }
        if manifest.content == Content::Blob {
            return Ok(());
        }
        for entry in tree::read(artifacts, keys, id)? {
            if let Node::File { content, .. } = entry?.node {
                for segment in &content.segments {
                    chunks(&segment.source);
                }
            }
        }
        Ok(())
    }

    #[must_use]
    pub fn figures(&self) -> Figures {
        self.figures
    }

    /// Looks at one more object, or opens one more folder.
    ///
    /// # Errors
    /// `Io`.
    pub fn step(&mut self) -> Result<Step, Error> {
        if self.walk.is_none() {
            self.walk = Some(self.begin_walk()?);
        }
        let Some(walk) = &mut self.walk else {
            return Ok(Step::Done);
        };
        if let Some(found) = walk.objects.pop() {
            match found.aside.clone() {
                Some(round) => self.look_at_aside(&found, &round)?,
                None => self.look_at(&found)?,
            }
            return Ok(Step::More);
        }
        let Some(folder) = walk.folders.pop() else {
            self.disk.remove_empty_rounds()?;
            return Ok(Step::Done);
        };
        walk.objects = self.disk.list(&folder.path, folder.aside.as_deref())?;
        Ok(Step::More)
    }

    /// What is set aside comes first: this round may set more aside.
    fn begin_walk(&self) -> Result<Walk, Error> {
        let mut folders = Vec::new();
        for path in self.disk.folders(None)? {
            folders.push(Folder { path, aside: None });
        }
        for round in self.disk.rounds()? {
            for path in self.disk.folders(Some(&round))? {
                let aside = Some(round.clone());
                folders.push(Folder { path, aside });
            }
        }
        Ok(Walk {
            folders,
            objects: Vec::new(),
        })
    }

    fn is_marked(&self, found: &Found) -> bool {
        found
            .name
            .is_some_and(|name| self.marked.contains(&beginning(&name)))
    }

    fn look_at(&mut self, found: &Found) -> Result<(), Error> {
        if self.is_marked(found) {
            self.figures.kept.add(found.bytes);
            return Ok(());
        }
        // It may have been wanted, or removed, since its folder was listed.
        let Some(wanted_at) = self.disk.wanted_at(&found.path)? else {
            return Ok(());
        };
        if wanted_at >= self.cutoff {
            self.figures.kept.add(found.bytes);
            self.figures.young.add(found.bytes);
            return Ok(());
        }
        let (Some(kind), Some(name)) = (found.kind, found.name) else {
            // What a writer that died has left half written.
            if self.disk.remove(&found.path)? {
                self.figures.removed.add(found.bytes);
            }
            return Ok(());
        };
        self.set_aside(kind, &name, found.bytes)
    }

    fn set_aside(&mut self, kind: Kind, name: &[u8; 32], bytes: u64) -> Result<(), Error> {
        let Some(aside) = self.disk.set_aside(&self.name, kind, name)? else {
            return Ok(());
        };
        // Whoever touched it before it was renamed has looked and found it: it goes back.
        match self.disk.wanted_at(&aside)? {
            Some(wanted_at) if wanted_at >= self.cutoff => {
                if self.disk.put_back(&aside, kind, name)? {
                    self.figures.restored.add(bytes);
                    self.figures.kept.add(bytes);
                }
            }
            Some(_) => self.figures.aside.add(bytes),
            // Somebody missed it and has put it back.
            None => self.figures.kept.add(bytes),
        }
        Ok(())
    }

    fn look_at_aside(&mut self, found: &Found, round: &str) -> Result<(), Error> {
        let (Some(kind), Some(name)) = (found.kind, found.name) else {
            self.disk.remove(&found.path)?;
            return Ok(());
        };
        let Some(wanted_at) = self.disk.wanted_at(&found.path)? else {
            return Ok(());
        };
        if self.is_marked(found) || wanted_at >= self.cutoff {
            if self.disk.put_back(&found.path, kind, &name)? {
                self.figures.restored.add(found.bytes);
            }
        } else if disk::round_time(round).is_none_or(|at| at < self.cutoff) {
            if self.disk.remove(&found.path)? {
                self.figures.removed.add(found.bytes);
            }
        } else {
            self.figures.aside.add(found.bytes);
        }
        Ok(())
    }
}

fn beginning(name: &[u8; 32]) -> [u8; 16] {
    let mut beginning = [0; 16];
    beginning.copy_from_slice(&name[..16]);
    beginning
}
