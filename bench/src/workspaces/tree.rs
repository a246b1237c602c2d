//! A tree of files that do not compress, on this host, and changes that are made alike here and in a machine.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context, Result};

const MIB: u64 = 1 << 20;
/// In a directory.
const SIBLINGS: u64 = 250;

/// How large a tree is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// Files that are written anew, one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    first: u64,
    files: u64,
    bytes_each: u64,
}

impl Size {
    pub(super) const FULL: Self = Self {
        files: 100_000,
        bytes: 5 << 30,
    };

    pub(super) const fn by(self, divisor: u64) -> Self {
        Self {
            files: self.files / divisor,
            bytes: self.bytes / divisor,
        }
    }

    /// A quarter of the bytes is in files of a mebibyte, the rest in many of the same size.
    fn large(self) -> u64 {
        self.bytes / 4 / MIB
    }

    fn small_bytes(self) -> u64 {
        (self.bytes - self.large() * MIB) / (self.files - self.large())
    }

    /// Makes one in an empty directory.
    pub(super) fn make(self, root: &Path) -> Result<()> {
        let noise = File::open("/dev/urandom")?;
        for number in 0..self.files {
            let directory = root.join(format!("dir-{}", number / SIBLINGS));
            fs::create_dir_all(&directory)?;
            let path = directory.join(format!("file-{number}"));
            let large = number < self.large();
            let bytes = if large { MIB } else { self.small_bytes() };
            let mut file = File::create(&path)?;
            io::copy(&mut (&noise).take(bytes), &mut file)
                .with_context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }

    /// From nothing to a part of the tree.
    pub(super) fn changes(self) -> [Change; 4] {
        let change = |first, files, bytes_each| Change {
            first,
            files,
            bytes_each,
        };
        let many = (MIB / self.small_bytes()).min(self.files - self.large());
        [
            change(0, 0, MIB),
            change(0, 1, MIB),
            change(self.large(), many, self.small_bytes()),
            change(0, 64.min(self.large()), MIB),
        ]
    }
}

impl Change {
    /// In the root of the tree, for `sh -c`.
    pub(super) fn script(self) -> String {
        let Self {
            first,
            files,
            bytes_each,
        } = self;
        format!(
            "n={first}; while [ $n -lt {} ]; do head -c {bytes_each} /dev/urandom > dir-$((n / {SIBLINGS}))/file-$n || exit 1; \
             n=$((n + 1)); done",
            first + files
        )
    }

    pub(super) fn name(self) -> String {
        let mib = (self.files * self.bytes_each).div_ceil(MIB);
        match self.files {
            0 => "nothing".to_owned(),
            1 => format!("{mib} MiB in 1 file"),
            files => format!("{mib} MiB in {files} files"),
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} MiB in {} files", self.bytes / MIB, self.files)
    }
}
