//! Import: whatever form an image has, one EROFS file and its config come out.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::digest::{Hashing, Limited, Unpacked};
use super::layer::{Flattening, Whiteouts};
use super::oci::{self, Image, Layer};
use super::root::Root;
use super::source::{self, Source};
use super::{Error, docker, mkfs};

/// The forms that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A directory with `oci-layout` and `index.json`.
    OciLayoutDir,
    /// A tar of such a directory.
    OciTar,
    /// What `docker save` wrote before it wrote OCI layouts.
    DockerArchive,
    /// A directory that is a root.
    RootDir,
    /// A tar of one, such as `docker export` writes.
    RootTar,
}

/// What an import may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Unpacked bytes, of all layers together.
    pub unpacked_bytes: u64,
    /// Archive entries, of all layers together.
    pub entries: u64,
    pub layers: usize,
    /// How long `mkfs.erofs` may take.
    pub mkfs_deadline: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            unpacked_bytes: 64 << 30,
            entries: 2_000_000,
            layers: 512,
            mkfs_deadline: Duration::from_secs(15 * 60),
        }
    }
}

/// What the image says of its processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    /// `NAME=value`.
    pub env: Vec<String>,
    pub workdir: String,
    /// Empty: root. Else `user`, `uid`, `user:group` or `uid:gid`.
    pub user: String,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
}

impl Default for ImageConfig {
    fn default() -> Self {
        Self {
            env: Vec::new(),
            workdir: "/".to_owned(),
            user: String::new(),
            entrypoint: Vec::new(),
            cmd: Vec::new(),
        }
    }
}

/// An imported image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    pub format: Format,
    /// `sha256:…` of the EROFS file. Equal files in equal places give an equal one.
    pub digest: String,
    pub size_bytes: u64,
    pub config: ImageConfig,
}

/// Imports the image at `source` into the EROFS file `out`, which appears whole and durable or not at all. Scratch space
/// is taken in `work_dir` and given back. Needs `mkfs.erofs`, and root or a user namespace for anything but a root
/// directory.
///
/// # Errors
/// Every variant but `RootImage`; see [`Error::code`].
pub fn import(
    source: &Path,
    work_dir: &Path,
    out: &Path,
    limits: &Limits,
) -> Result<Imported, Error> {
    mkfs::check_installed()?;
    let scratch = Scratch::create(work_dir)?;
    let opened = open(source, &scratch.0, limits)?;
    let root_path = scratch.0.join("root");
    let (root_path, config) = match opened.content {
        Content::Directory => (source.to_owned(), ImageConfig::default()),
        Content::Tar(file) => {
            let root = Root::create(&root_path)?;
            let what = source.display().to_string();
            let tar = Limited::new(
                io::BufReader::with_capacity(256 << 10, file),
                with_headers(limits),
            );
            Flattening::new(&root, limits).apply(&what, tar, Whiteouts::Keep)?;
            (root_path, ImageConfig::default())
        }
        Content::Image(found) => {
            let (source, image) = *found;
            let root = Root::create(&root_path)?;
            flatten(&source, &image, &root, limits)?;
            (root_path, image.config)
        }
    };
    let made = mkfs::make(&root_path, out, limits.mkfs_deadline)?;
    Ok(Imported {
        format: opened.format,
        digest: made.digest.to_string(),
        size_bytes: made.size_bytes,
        config,
    })
}

struct Opened {
    format: Format,
    content: Content,
}

enum Content {
    Directory,
    /// At its start.
    Tar(File),
    Image(Box<(Source, Image)>),
}

fn open(path: &Path, scratch: &Path, limits: &Limits) -> Result<Opened, Error> {
    let metadata = std::fs::metadata(path).map_err(Error::io("look up", path))?;
    if metadata.is_dir() {
        let source = Source::open_dir(path)?;
        if !source.has("oci-layout") {
            let reason = "it has neither an `oci-layout` file nor the directories of a root";
            return if ["bin", "usr", "etc"]
                .iter()
                .any(|name| path.join(name).is_dir())
            {
                Ok(Opened {
                    format: Format::RootDir,
                    content: Content::Directory,
                })
            } else {
                Err(Error::NotAnImage {
                    path: path.to_owned(),
                    reason,
                })
            };
        }
        let image = oci::load(&source)?;
        return Ok(Opened {
            format: Format::OciLayoutDir,
            content: Content::Image(Box::new((source, image))),
        });
    }
    if !metadata.is_file() {
        let reason = "it is neither a file nor a directory";
        return Err(Error::NotAnImage {
            path: path.to_owned(),
            reason,
        });
    }
    let file = source::open_archive(path, scratch, limits)?;
    let again = file.try_clone().map_err(Error::io("open", path))?;
    let source = Source::open_tar(path, file)?;
    if source.has("oci-layout") && source.has("index.json") {
        let image = oci::load(&source)?;
        return Ok(Opened {
            format: Format::OciTar,
            content: Content::Image(Box::new((source, image))),
        });
    }
    if source.has("manifest.json") {
        let image = docker::load(&source)?;
        return Ok(Opened {
            format: Format::DockerArchive,
            content: Content::Image(Box::new((source, image))),
        });
    }
    if source.is_empty() {
        let reason = "it is an empty archive";
        return Err(Error::NotAnImage {
            path: path.to_owned(),
            reason,
        });
    }
    io::Seek::rewind(&mut &again).map_err(Error::io("read", path))?;
    Ok(Opened {
        format: Format::RootTar,
        content: Content::Tar(again),
    })
}

fn flatten(source: &Source, image: &Image, root: &Root, limits: &Limits) -> Result<(), Error> {
    if image.layers.len() > limits.layers {
        return Err(Error::TooLarge {
            limit: limits.layers as u64,
            unit: "layers",
        });
    }
    let mut flattening = Flattening::new(root, limits);
    for layer in &image.layers {
        apply(source, layer, &mut flattening, limits)?;
    }
    Ok(())
}

/// Applies one layer and then checks that it was what it should be. What a wrong one left behind goes with the scratch
/// directory.
fn apply(
    source: &Source,
    layer: &Layer,
    flattening: &mut Flattening<'_>,
    limits: &Limits,
) -> Result<(), Error> {
    let what = layer.name.as_str();
    let blob = source.open(what)?;
    if let Some((_, size)) = &layer.blob
        && *size != blob.size
    {
        return Err(Error::malformed(
            what,
            "its size is not what its descriptor says",
        ));
    }
    let unpacked = Unpacked::new(Hashing::new(blob.reader)).map_err(Error::reading(what))?;
    let mut tar = Hashing::new(Limited::new(unpacked, with_headers(limits)));
    flattening.apply(what, Reading(&mut tar), Whiteouts::Apply)?;
    let (diff_id, _, unpacked) = tar.finish().map_err(Error::reading(what))?;
    layer.diff_id.check(what, &diff_id)?;
    let (digest, _, _) = unpacked
        .into_inner()
        .into_inner()
        .finish()
        .map_err(Error::reading(what))?;
    if let Some((expected, _)) = &layer.blob {
        expected.check(what, &digest)?;
    }
    Ok(())
}

/// A reader lent to the tar parser, which wants one of its own.
struct Reading<'a, R>(&'a mut R);

impl<R: Read> Read for Reading<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

/// How long a tar may be whose files keep the limits.
fn with_headers(limits: &Limits) -> u64 {
    limits
        .unpacked_bytes
        .saturating_add(limits.entries.saturating_mul(4096))
}

/// A directory that goes when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn create(dir: &Path) -> Result<Self, Error> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::create_dir_all(dir).map_err(Error::io("make directory", dir))?;
        for number in 0..u32::MAX {
            let path = dir.join(format!("import-{}-{number}", std::process::id()));
            // What the image holds is nobody else's to see, set-id files least of all.
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("make directory", path)(error)),
            }
        }
        Err(Error::io("make directory", dir)(io::Error::from(
            io::ErrorKind::AlreadyExists,
        )))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), error = %error, "scratch directory not removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_headers_never_wraps() {
        let limits = Limits {
            unpacked_bytes: u64::MAX,
            ..Limits::default()
        };
        assert_eq!(with_headers(&limits), u64::MAX);
    }
}
