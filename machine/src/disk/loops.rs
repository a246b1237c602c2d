//! Loop devices (linux/loop.h), which clear themselves with the last mount.
#![expect(
    unsafe_code,
    reason = "no safe binding to the loop devices' ioctls exists"
)]

use std::ffi::c_void;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::ioctl::{Getter, Ioctl, IoctlOutput, Opcode, Setter, Updater, ioctl};

use super::Error;

const CONTROL: &str = "/dev/loop-control";
const GET_FREE: Opcode = 0x4c82;
const CONFIGURE: Opcode = 0x4c0a;
const GET_STATUS: Opcode = 0x4c05;
/// `_IOWR('X', 121, struct fstrim_range)`.
const FITRIM: Opcode = 0xc018_5879;

const AUTOCLEAR: u32 = 4;
/// Around the host's page cache: what a machine has there already need not be there twice. The kernel leaves it where the
/// host's file system cannot.
const DIRECT_IO: u32 = 16;
const BLOCK_BYTES: u32 = 4096;

/// Others take devices too: between asking for a free one and taking it another may have it.
const TRIES: u32 = 64;

/// `struct loop_info64`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

/// `struct fstrim_range`.
#[repr(C)]
struct Range {
    start: u64,
    len: u64,
    minlen: u64,
}

const EMPTY: Info = Info {
    device: 0,
    inode: 0,
    rdevice: 0,
    offset: 0,
    sizelimit: 0,
    number: 0,
    encrypt_type: 0,
    encrypt_key_size: 0,
    flags: AUTOCLEAR | DIRECT_IO,
    file_name: [0; 64],
    crypt_name: [0; 64],
    encrypt_key: [0; 32],
    init: [0; 2],
};

/// A device with an image on it, kept while this lives and while it is mounted.
pub(super) struct Device {
    path: PathBuf,
    _open: File,
}

impl Device {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Gives the image's device: the one that it has, or a new one.
pub(super) fn attach(image: &Path) -> Result<Device, Error> {
    let file = open(image)?;
    // Also one that is mounted nowhere here any more: a machine may hold it.
    if let Some(device) = device_of(&file, image)? {
        return Ok(device);
    }
    let control = File::options()
        .read(true)
        .write(true)
        .open(CONTROL)
        .map_err(|error| Error::NoLoopDevice {
            reason: format!("{CONTROL}: {error}"),
        })?;
    let mut reason = String::new();
    for _ in 0..TRIES {
        // SAFETY: the operation takes no argument and gives a number.
        let number = unsafe { ioctl(&control, GetFree) }.map_err(|error| Error::NoLoopDevice {
            reason: format!("{CONTROL}: {error}"),
        })?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = match File::options().read(true).write(true).open(&path) {
            Ok(device) => device,
            Err(error) => {
                reason = format!("{}: {error}", path.display());
                break;
            }
        };
        match configure(&device, &file) {
            Ok(()) => {
                return Ok(Device {
                    path,
                    _open: device,
                });
            }
            // Another has taken it.
            Err(Errno::BUSY) => {}
            Err(error) => {
                reason = format!("{}: {error}", path.display());
                break;
            }
        }
    }
    Err(Error::NoLoopDevice { reason })
}

fn configure(device: &File, image: &File) -> Result<(), Errno> {
    let config = Config {
        fd: u32::try_from(image.as_raw_fd()).map_err(|_| Errno::BADF)?,
        block_size: BLOCK_BYTES,
        info: EMPTY,
        reserved: [0; 8],
    };
    // SAFETY: the operation reads a `struct loop_config`, which `Config` is.
    unsafe { ioctl(device, Setter::<CONFIGURE, Config>::new(config)) }
}

/// The device that has the image already.
fn device_of(image: &File, path: &Path) -> Result<Option<Device>, Error> {
    let facts = image.metadata().map_err(Error::io("look at", path))?;
    let Ok(devices) = fs::read_dir("/sys/block") else {
        return Ok(None);
    };
    for found in devices.flatten() {
        let name = found.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with("loop")) else {
            continue;
        };
        // Only a device that is in use has this.
        if !found.path().join("loop").exists() {
            continue;
        }
        let path = Path::new("/dev").join(name);
        let Ok(device) = File::options().read(true).write(true).open(&path) else {
            continue;
        };
        if status(&device).is_ok_and(|info| info.inode == facts.ino() && is_on(&info, &facts)) {
            return Ok(Some(Device {
                path,
                _open: device,
            }));
        }
    }
    Ok(None)
}

fn status(device: &File) -> Result<Info, Errno> {
    // SAFETY: the operation fills a `struct loop_info64`, which `Info` is.
    unsafe { ioctl(device, Getter::<GET_STATUS, Info>::new()) }
}

/// Whether a device's file lies where this one does. The kernel tells device numbers in its old form there.
fn is_on(info: &Info, facts: &fs::Metadata) -> bool {
    let (major, minor) = (
        rustix::fs::major(facts.dev()),
        rustix::fs::minor(facts.dev()),
    );
    let old = u64::from((minor & 0xff) | (major << 8) | ((minor & !0xff) << 12));
    info.device == old || info.device == facts.dev()
}

fn open(image: &Path) -> Result<File, Error> {
    File::options()
        .read(true)
        .write(true)
        .open(image)
        .map_err(Error::io("open", image))
}

/// Has the file system mounted at `path` tell its device what it does not use.
pub(super) fn trim(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    // What was freed and is not committed yet does not count as free.
    rustix::fs::syncfs(&file)?;
    let mut range = Range {
        start: 0,
        len: u64::MAX,
        minlen: 64 << 10,
    };
    // SAFETY: the operation reads and writes a `struct fstrim_range`, which `Range` is.
    unsafe { ioctl(file.as_fd(), Updater::<FITRIM, Range>::new(&mut range)) }?;
    Ok(())
}

/// Asks for the number of a device that nobody uses.
struct GetFree;

// SAFETY: the operation has no argument, so nothing is read or written, and its result is the number.
unsafe impl Ioctl for GetFree {
    type Output = i32;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        GET_FREE
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(number: IoctlOutput, _: *mut c_void) -> rustix::io::Result<i32> {
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_as_long_as_the_kernels() {
        assert_eq!(size_of::<Info>(), 232);
        assert_eq!(size_of::<Config>(), 304);
        assert_eq!(size_of::<Range>(), 24);
    }
}
