//! Bytes to upload: a file, or a directory that becomes a tar on the way. Nothing is held whole.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use tokio_util::io::ReaderStream;

use super::tree::{self, Care};

/// Buffered between the walk and the reader.
const PIPE_BYTES: usize = 256 << 10;

/// Where bytes come from. Opening it again gives the same bytes, as long as nobody changes the files.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    File(PathBuf),
    Tree(PathBuf, Care),
}

/// What names the bytes.
#[derive(Debug, Clone)]
pub(crate) struct Sum {
    /// In hex.
    pub(crate) sha256: String,
    pub(crate) size_bytes: u64,
    /// What of a tree has no place in an archive.
    pub(crate) left_out: Vec<String>,
}

impl Source {
    /// A directory becomes a tar of what is in it; everything else is taken as it is.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        let file = path.metadata()?;
        if file.is_dir() {
            return Ok(Self::Tree(path.to_owned(), Care::Everything));
        }
        if !file.is_file() {
            return Err(io::Error::other("it is neither a file nor a directory"));
        }
        Ok(Self::File(path.to_owned()))
    }

    /// The size, where it is known before reading.
    pub(crate) fn size_bytes(&self) -> Option<u64> {
        match self {
            Self::File(path) => path.metadata().ok().map(|file| file.len()),
            Self::Tree(..) => None,
        }
    }

    pub(crate) fn describe(&self, verb: &str) -> String {
        match self {
            Self::File(path) | Self::Tree(path, _) => format!("{verb} {}", path.display()),
        }
    }

    /// Reads everything once to name it; `read` is told how far it is.
    pub(crate) async fn sum(&self, read: impl Fn(u64)) -> io::Result<Sum> {
        let (mut parts, tree) = self.parts();
        let mut hash = Sha256::new();
        let mut size_bytes = 0_u64;
        while let Some(part) = parts.try_next().await? {
            let length = u64::try_from(part.len()).unwrap_or(0);
            size_bytes += length;
            read(length);
            hash.update(&part);
        }
        let left_out = match tree {
            Some(tree) => tree.await.map_err(io::Error::other)??,
            None => Vec::new(),
        };
        let sha256 = hash
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(Sum {
            sha256,
            size_bytes,
            left_out,
        })
    }

    /// Reads everything. A failure of the walk is the stream's last item: a cut archive is never taken for a whole one.
    pub(crate) fn open(&self) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let (parts, tree) = self.parts();
        let ending = stream::once(async move {
            match tree {
                Some(tree) => tree.await.map_err(io::Error::other)?.map(drop),
                None => Ok(()),
            }
        });
        parts.chain(ending.filter_map(|end| async move { end.err().map(Err) }))
    }

    fn parts(&self) -> (Parts, Option<Walk>) {
        match self {
            Self::File(path) => {
                let path = path.clone();
                let opened = stream::once(async move {
                    let file = tokio::fs::File::open(path).await?;
                    io::Result::Ok(ReaderStream::with_capacity(file, PIPE_BYTES))
                });
                (opened.try_flatten().boxed(), None)
            }
            Self::Tree(root, care) => {
                let (near, far) = tokio::io::duplex(PIPE_BYTES);
                let (root, care) = (root.clone(), *care);
                let walk = tokio::spawn(async move { tree::write(&root, care, far).await });
                (
                    ReaderStream::with_capacity(near, PIPE_BYTES).boxed(),
                    Some(walk),
                )
            }
        }
    }
}

type Parts = stream::BoxStream<'static, io::Result<Bytes>>;
/// Ends when its reader is gone: its next write fails.
type Walk = tokio::task::JoinHandle<io::Result<Vec<String>>>;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[tokio::test]
    async fn a_tree_is_read_twice_with_the_same_sum() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a"), vec![7_u8; 1 << 20]).unwrap();
        let source = Source::at(root.path()).unwrap();
        let sum = source.sum(|_| {}).await.unwrap();
        let parts: Vec<Bytes> = source.open().try_collect().await.unwrap();
        let size: usize = parts.iter().map(Bytes::len).sum();
        assert_eq!(u64::try_from(size).unwrap(), sum.size_bytes);
        assert_eq!(source.sum(|_| {}).await.unwrap().sha256, sum.sha256);
    }

    #[tokio::test]
    async fn a_walk_that_fails_fails_the_stream() {
        let root = tempfile::tempdir().unwrap();
        let source = Source::Tree(root.path().join("gone"), Care::Contents);
        let read: io::Result<Vec<Bytes>> = source.open().try_collect().await;
        assert!(read.is_err());
        assert!(source.sum(|_| {}).await.is_err());
    }

    #[tokio::test]
    async fn a_file_is_named_by_its_bytes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        let sum = Source::at(file.path()).unwrap().sum(|_| {}).await.unwrap();
        assert_eq!(
            sum.sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(sum.size_bytes, 3);
    }
}
