//! Disks of a fixed size: an ext4 file system in a sparse file, mounted through a loop device.
//!
//! What lies on such a disk cannot grow past its size in bytes or, with one inode for each 4 KiB, in files, and costs the
//! host what was written and no more. A mount outlives this process, as machines do; a reboot of the host leaves none.
//! Nothing here knows of workspaces. Every call blocks.
//!
//! Two mounts of one image through two loop devices would destroy it, so an image that has a device is never given another.

mod image;
mod loops;

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::mount::{MountFlags, UnmountFlags};

pub use image::check_installed;

/// Not executable bits: what a machine runs from its disk is mapped by the host's kernel.
const FLAGS: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);
/// `noinit_itable`: the file is sparse, so there is nothing to be zeroed in the background.
const OPTIONS: &std::ffi::CStr = c"errors=remount-ro,noinit_itable";

/// The smallest disk that the file system's own tables leave room on.
pub const SMALLEST_BYTES: u64 = 16 << 20;

/// A disk that cannot be made, mounted or let go.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{operation} {path}")]
    Io {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{tool} is not installed: {install}")]
    ToolMissing {
        tool: &'static str,
        install: &'static str,
    },
    #[error("{tool} failed ({status}): {output}")]
    Tool {
        tool: &'static str,
        status: String,
        output: String,
    },
    /// The host has no loop devices for us.
    #[error("no loop device can be had: {reason}")]
    NoLoopDevice { reason: String },
}

impl Error {
    fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            operation,
            path,
            source,
        }
    }

    /// Whether the host's own disk has no room left.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }

    /// Whether the mount is held by someone.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::ResourceBusy)
    }
}

/// Makes a small disk in `directory`, mounts it, writes to it and removes it.
///
/// # Errors
/// What a workspace's disk would fail with here.
pub fn probe(directory: &Path) -> Result<(), Error> {
    let name = format!(".disk-probe-{}", std::process::id());
    let disk = Disk::at(directory.join(name));
    let tried = disk
        .create(SMALLEST_BYTES)
        .and_then(|()| disk.mount())
        .and_then(|()| {
            let path = disk.tree().join("file");
            fs::write(&path, "written").map_err(Error::io("write", path))
        });
    let removed = disk.remove();
    tried.and(removed)
}

/// A directory with one disk in it: `image`, and `mnt` where it appears.
///
/// The directory may be renamed while the disk is mounted.
#[derive(Debug, Clone)]
pub struct Disk {
    directory: PathBuf,
}

impl Disk {
    #[must_use]
    pub fn at(directory: PathBuf) -> Self {
        Self { directory }
    }

    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where files of the disk's owner are, once it is mounted.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.mount_point().join("tree")
    }

    /// Beside the tree and within the same limit: for what a runtime keeps on the machine's account.
    #[must_use]
    pub fn overlay(&self) -> PathBuf {
        self.mount_point().join("overlay")
    }

    fn image(&self) -> PathBuf {
        self.directory.join("image")
    }

    fn mount_point(&self) -> PathBuf {
        self.directory.join("mnt")
    }

    /// The size of the disk; `None` if there is none.
    ///
    /// # Errors
    /// `Io`.
    pub fn size_bytes(&self) -> Result<Option<u64>, Error> {
        let path = self.image();
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("look at", path)(error)),
        }
    }

    /// What the disk takes of the host's.
    #[must_use]
    pub fn allocated_bytes(&self) -> u64 {
        fs::metadata(self.image()).map_or(0, |metadata| metadata.blocks().saturating_mul(512))
    }

    /// Makes an empty disk. One that is there must be unmounted, and is replaced. Whole or not at all.
    ///
    /// # Errors
    /// `ToolMissing`, `Tool`, `Io`.
    pub fn create(&self, size_bytes: u64) -> Result<(), Error> {
        let mount_point = self.mount_point();
        fs::create_dir_all(&mount_point).map_err(Error::io("create", mount_point))?;
        image::create(&self.image(), size_bytes.max(SMALLEST_BYTES))
    }

    /// Whether the disk can be used now.
    #[must_use]
    pub fn is_mounted(&self) -> bool {
        let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev());
        match (device(&self.directory), device(&self.mount_point())) {
            (Ok(outside), Ok(inside)) => outside != inside,
            _ => false,
        }
    }

    /// Mounts the disk unless it is. One that met an error of the host's disk and may not be written any more is mounted
    /// anew.
    ///
    /// # Errors
    /// `NoLoopDevice`; `Io`, also for an image that is damaged.
    pub fn mount(&self) -> Result<(), Error> {
        let mount_point = self.mount_point();
        if self.is_mounted() {
            let flags = statvfs(&mount_point)
                .map_err(io::Error::from)
                .map_err(Error::io("look at", &mount_point))?
                .f_flag;
            if !flags.contains(StatVfsMountFlags::RDONLY) {
                return Ok(());
            }
            tracing::warn!(disk = %mount_point.display(), "a disk may not be written any more; it is mounted anew");
            self.unmount()?;
        }
        fs::create_dir_all(&mount_point).map_err(Error::io("create", &mount_point))?;
        let device = loops::attach(&self.image())?;
        rustix::mount::mount(device.path(), &mount_point, c"ext4", FLAGS, OPTIONS)
            .map_err(io::Error::from)
            .map_err(Error::io("mount", &mount_point))?;
        for path in [self.tree(), self.overlay()] {
            match fs::create_dir(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::io("create", path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Lets the disk go: everything written to it is in its image then. One that is not mounted is fine. A machine that
    /// uses it keeps it, wherever it is mounted.
    ///
    /// # Errors
    /// `Io`, `is_busy` while someone on the host has something open there.
    pub fn unmount(&self) -> Result<(), Error> {
        if !self.is_mounted() {
            return Ok(());
        }
        let mount_point = self.mount_point();
        rustix::mount::unmount(&mount_point, UnmountFlags::NOFOLLOW)
            .map_err(io::Error::from)
            .map_err(Error::io("unmount", mount_point))
    }

    /// Writes what a mounted disk holds to its image.
    ///
    /// # Errors
    /// `Io`.
    pub fn sync(&self) -> Result<(), Error> {
        let path = self.mount_point();
        fs::File::open(&path)
            .and_then(|file| Ok(rustix::fs::syncfs(file)?))
            .map_err(Error::io("sync", path))
    }

    /// Gives the room of what was removed on a mounted disk back to the host.
    ///
    /// # Errors
    /// `Io`.
    pub fn trim(&self) -> Result<(), Error> {
        let path = self.mount_point();
        loops::trim(&path).map_err(Error::io("trim", path))
    }

    /// Removes the disk with everything on it, also while it is mounted. Nothing there is fine.
    ///
    /// # Errors
    /// `Io`.
    pub fn remove(&self) -> Result<(), Error> {
        if self.is_mounted() {
            let mount_point = self.mount_point();
            // Whoever has something open there keeps it until then; the image's room is free once nobody has.
            rustix::mount::unmount(
                &mount_point,
                UnmountFlags::NOFOLLOW.union(UnmountFlags::DETACH),
            )
            .map_err(io::Error::from)
            .map_err(Error::io("unmount", mount_point))?;
        }
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", &self.directory)(error))
            }
            _ => Ok(()),
        }
    }
}
