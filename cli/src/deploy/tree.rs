//! A directory as a tar: in a fixed order, so that the same files give the same bytes.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio_tar::{Builder, EntryType, Header};

/// Which properties of files are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// Contents and names alone: what a bundle is.
    Contents,
    /// Owners, modes, times, links and devices too: what a root filesystem is.
    Everything,
}

/// Writes the directory's contents as a tar and gives what was left out: sockets, which mean nothing in an archive.
pub(crate) async fn write<W>(root: &Path, care: Care, out: W) -> io::Result<Vec<String>>
where
    W: AsyncWrite + Unpin + Send + 'static,
{
    let mut writer = Writer {
        tar: Builder::new(out),
        care,
        linked: HashMap::new(),
        left_out: Vec::new(),
    };
    let mut waiting = vec![PathBuf::new()];
    // Depth first, each folder before what is in it.
    while let Some(inner) = waiting.pop() {
        let names = writer.entry(root, &inner).await?;
        waiting.extend(names.into_iter().rev().map(|name| inner.join(name)));
    }
    use tokio::io::AsyncWriteExt as _;
    writer.tar.into_inner().await?.shutdown().await?;
    Ok(writer.left_out)
}

struct Writer<W: AsyncWrite + Unpin + Send + 'static> {
    tar: Builder<W>,
    care: Care,
    /// The first name of each file that has several.
    linked: HashMap<(u64, u64), PathBuf>,
    left_out: Vec<String>,
}

impl<W: AsyncWrite + Unpin + Send + 'static> Writer<W> {
    /// Writes one entry; gives the names in it if it is a folder.
    async fn entry(&mut self, root: &Path, inner: &Path) -> io::Result<Vec<OsString>> {
        let path = root.join(inner);
        let file = path.symlink_metadata().map_err(named(&path))?;
        let kind = file.file_type();
        let mut header = self.header(&file);
        if kind.is_dir() {
            if !inner.as_os_str().is_empty() {
                header.set_entry_type(EntryType::Directory);
                self.append(header, inner, io::Cursor::new([])).await?;
            }
            return names(&path).map_err(named(&path));
        }
        if kind.is_symlink() {
            let target = path.read_link().map_err(named(&path))?;
            self.link(header, EntryType::Symlink, inner, &target)
                .await?;
        } else if let Some(first) = self.first_name(&file, inner) {
            self.link(header, EntryType::Link, inner, &first).await?;
        } else if kind.is_file() {
            header.set_entry_type(EntryType::Regular);
            header.set_size(file.len());
            let bytes = tokio::fs::File::open(&path).await.map_err(named(&path))?;
            // A file that grows meanwhile is cut; one that shrinks makes the archive's sum wrong, and that is noticed.
            self.append(header, inner, bytes.take(file.len())).await?;
        } else if kind.is_fifo() {
            header.set_entry_type(EntryType::Fifo);
            self.append(header, inner, io::Cursor::new([])).await?;
        } else if kind.is_char_device() || kind.is_block_device() {
            let kind = if kind.is_char_device() {
                EntryType::Char
            } else {
                EntryType::Block
            };
            header.set_entry_type(kind);
            set_device(&mut header, file.rdev())?;
            self.append(header, inner, io::Cursor::new([])).await?;
        } else {
            self.left_out.push(format!("socket {}", inner.display()));
        }
        Ok(Vec::new())
    }

    fn header(&self, file: &Metadata) -> Header {
        let mut header = Header::new_gnu();
        header.set_size(0);
        match self.care {
            Care::Everything => {
                header.set_mode(file.mode() & 0o7777);
                header.set_uid(file.uid().into());
                header.set_gid(file.gid().into());
                header.set_mtime(u64::try_from(file.mtime()).unwrap_or(0));
            }
            Care::Contents => {
                let runs = file.is_dir() || file.mode() & 0o100 != 0;
                header.set_mode(if runs { 0o755 } else { 0o644 });
                header.set_uid(0);
                header.set_gid(0);
                header.set_mtime(0);
            }
        }
        header
    }

    /// The earlier name of a file with several names; remembers this one if it is the first.
    fn first_name(&mut self, file: &Metadata, inner: &Path) -> Option<PathBuf> {
        if self.care == Care::Contents || file.nlink() < 2 {
            return None;
        }
        let known = self.linked.get(&(file.dev(), file.ino())).cloned();
        if known.is_none() {
            self.linked
                .insert((file.dev(), file.ino()), inner.to_owned());
        }
        known
    }

    async fn append<R: AsyncRead + Unpin>(
        &mut self,
        mut header: Header,
        inner: &Path,
        bytes: R,
    ) -> io::Result<()> {
        header.set_cksum();
        self.tar.append_data(&mut header, inner, bytes).await
    }

    /// The target goes in as its bytes are; the library would refuse or change some.
    async fn link(
        &mut self,
        mut header: Header,
        kind: EntryType,
        inner: &Path,
        target: &Path,
    ) -> io::Result<()> {
        header.set_entry_type(kind);
        let target = target.as_os_str().as_bytes();
        let field = &mut header.as_old_mut().linkname;
        if target.len() < field.len() {
            field[..target.len()].copy_from_slice(target);
        } else {
            let size = field.len();
            field.copy_from_slice(&target[..size]);
            self.long_link(target).await?;
        }
        self.append(header, inner, io::Cursor::new([])).await
    }

    /// GNU tar's way to say a link target of 100 bytes and more: an entry before the link's own.
    async fn long_link(&mut self, target: &[u8]) -> io::Result<()> {
        let mut header = Header::new_gnu();
        let name = b"././@LongLink";
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(u64::try_from(target.len() + 1).unwrap_or(0));
        header.set_entry_type(EntryType::GNULongLink);
        header.set_cksum();
        self.tar.append(&header, target.chain(&[0_u8][..])).await
    }
}

/// Names in byte order: the order of a folder is nobody's promise.
fn names(path: &Path) -> io::Result<Vec<OsString>> {
    let mut names = std::fs::read_dir(path)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<Vec<OsString>>>()?;
    names.sort();
    Ok(names)
}

fn set_device(header: &mut Header, number: u64) -> io::Result<()> {
    // As glibc's gnu_dev_major and gnu_dev_minor take a device number apart.
    let major = ((number >> 8) & 0xfff) | ((number >> 32) & 0xffff_f000);
    let minor = (number & 0xff) | ((number >> 12) & 0xffff_ff00);
    header.set_device_major(u32::try_from(major).unwrap_or(u32::MAX))?;
    header.set_device_minor(u32::try_from(minor).unwrap_or(u32::MAX))
}

fn named(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let path = path.display().to_string();
    move |error| io::Error::new(error.kind(), format!("{path}: {error}"))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::process::Command;

    use super::*;

    async fn bytes(root: &Path, care: Care) -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let out = tokio::fs::File::create(file.path()).await.unwrap();
        write(root, care, out).await.unwrap();
        std::fs::read(file.path()).unwrap()
    }

    /// What another implementation makes of it.
    fn unpacked(tar: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), tar).unwrap();
        let status = Command::new("tar")
            .args(["--extract", "--preserve-permissions", "--file"])
            .arg(file.path())
            .arg("--directory")
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(status.success());
        folder
    }

    #[tokio::test]
    async fn a_root_filesystem_keeps_modes_links_and_long_names() {
        let root = tempfile::tempdir().unwrap();
        let long = "n".repeat(180);
        let target = "t/".repeat(90);
        std::fs::create_dir(root.path().join("bin")).unwrap();
        std::fs::write(root.path().join("bin/sh"), "#!").unwrap();
        std::fs::set_permissions(
            root.path().join("bin/sh"),
            std::fs::Permissions::from_mode(0o4755),
        )
        .unwrap();
        std::fs::hard_link(root.path().join("bin/sh"), root.path().join("bin/zsh")).unwrap();
        std::fs::write(root.path().join(&long), "long").unwrap();
        symlink("../../etc//passwd", root.path().join("bin/link")).unwrap();
        symlink(&target, root.path().join("bin/far")).unwrap();

        let folder = unpacked(&bytes(root.path(), Care::Everything).await);
        let shell = folder.path().join("bin/sh").metadata().unwrap();
        assert_eq!(shell.mode() & 0o7777, 0o4755);
        assert_eq!(
            shell.ino(),
            folder.path().join("bin/zsh").metadata().unwrap().ino()
        );
        assert_eq!(
            std::fs::read_to_string(folder.path().join(&long)).unwrap(),
            "long"
        );
        let link = |name: &str| folder.path().join(name).read_link().unwrap();
        assert_eq!(link("bin/link").as_os_str(), "../../etc//passwd");
        assert_eq!(link("bin/far").as_os_str(), target.as_str());
    }

    #[tokio::test]
    async fn a_bundle_does_not_depend_on_when_and_by_whom_it_was_made() {
        let make = |mode: u32, seconds: u64| {
            let root = tempfile::tempdir().unwrap();
            std::fs::create_dir(root.path().join("tasks")).unwrap();
            for name in ["tasks/b.mjs", "tasks/a.mjs", "runtime.mjs"] {
                std::fs::write(root.path().join(name), name).unwrap();
                let file = std::fs::File::open(root.path().join(name)).unwrap();
                file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds))
                    .unwrap();
                file.set_permissions(std::fs::Permissions::from_mode(mode))
                    .unwrap();
            }
            root
        };
        let (one, other) = (make(0o600, 1_000_000), make(0o664, 2_000_000));
        let first = bytes(one.path(), Care::Contents).await;
        assert_eq!(first, bytes(other.path(), Care::Contents).await);
        assert_ne!(first, bytes(other.path(), Care::Everything).await);
    }
}
