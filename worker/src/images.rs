//! Root images on this host: `images/<digest>.erofs`, fetched once from the artifact store and checked.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use helmr_artifacts::{Artifacts, KeySet, blob};
use sha2::{Digest as _, Sha256};

use crate::clock;
use crate::directory::{Directory, remove};

/// An image that cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("`{0}` is no image digest")]
    Digest(String),
    #[error("fetch root image {digest}")]
    Fetch {
        digest: String,
        #[source]
        source: Box<helmr_artifacts::Error>,
    },
    #[error("root image {digest} is not what its digest says")]
    Mismatch { digest: String },
    #[error("{operation} {path}")]
    Io {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl Error {
    fn fetch(digest: &str, source: helmr_artifacts::Error) -> Self {
        Self::Fetch {
            digest: digest.to_owned(),
            source: Box::new(source),
        }
    }
}

/// Fetches root images, each by one task at a time.
#[derive(Default)]
pub(crate) struct Images {
    fetching: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Images {
    /// The image's file on this host.
    pub(crate) async fn ensure(
        &self,
        directory: &Directory,
        artifacts: &Artifacts,
        keys: KeySet,
        digest: &str,
        manifest: &str,
    ) -> Result<PathBuf, Error> {
        let hex = hex_of(digest)?.to_owned();
        let path = directory.image(&hex);
        if path.exists() {
            return Ok(path);
        }
        let turn = self.turn(&hex);
        let _turn = turn.lock().await;
        if path.exists() {
            return Ok(path);
        }
        let scratch = directory.scratch().join(format!("image-{}", unique()));
        let fetch = Fetch {
            digest: digest.to_owned(),
            hex,
            manifest: manifest.to_owned(),
            scratch,
            path: path.clone(),
        };
        artifacts
            .run(move |artifacts| Ok::<_, helmr_artifacts::Error>(fetch.perform(artifacts, &keys)))
            .await
            .map_err(|source| Error::fetch(digest, source))??;
        Ok(path)
    }

    fn turn(&self, hex: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(fetching.entry(hex.to_owned()).or_default())
    }
}

struct Fetch {
    digest: String,
    hex: String,
    manifest: String,
    scratch: PathBuf,
    path: PathBuf,
}

impl Fetch {
    fn perform(self, artifacts: &Artifacts, keys: &KeySet) -> Result<(), Error> {
        let fetched = self.fetch(artifacts, keys);
        if fetched.is_err() {
            // Best effort: scratch is emptied at every start.
            drop(remove(&self.scratch));
        }
        fetched
    }

    fn fetch(&self, artifacts: &Artifacts, keys: &KeySet) -> Result<(), Error> {
        let of_store = |source| Error::fetch(&self.digest, source);
        let id = self.manifest.parse().map_err(of_store)?;
        let mut file = Hashed::create(&self.scratch)?;
        blob::copy_to(artifacts, keys, id, &mut file).map_err(of_store)?;
        if file.finish()? != self.hex {
            return Err(Error::Mismatch {
                digest: self.digest.clone(),
            });
        }
        fs::rename(&self.scratch, &self.path).map_err(io_error("move to", &self.path))
    }
}

/// A file that is hashed as it is written.
pub(crate) struct Hashed {
    path: PathBuf,
    file: File,
    hasher: Sha256,
}

impl Hashed {
    pub(crate) fn create(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            path: path.to_owned(),
            file: File::create(path).map_err(io_error("create", path))?,
            hasher: Sha256::new(),
        })
    }

    /// Makes the file durable and gives the hexadecimal SHA-256 of its content.
    pub(crate) fn finish(self) -> Result<String, Error> {
        self.file.sync_all().map_err(io_error("sync", &self.path))?;
        let digest = self.hasher.finalize();
        Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io {
        operation,
        path,
        source,
    }
}

/// The hexadecimal part of `sha256:…`, which becomes a file name.
pub(crate) fn hex_of(digest: &str) -> Result<&str, Error> {
    digest
        .strip_prefix("sha256:")
        .filter(|hex| is_sha256(hex))
        .ok_or_else(|| Error::Digest(digest.chars().take(80).collect()))
}

pub(crate) fn is_sha256(hex: &str) -> bool {
    hex.len() == 64
        && hex
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A name that nothing else has.
pub(crate) fn unique() -> String {
    clock::random::<12>()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_lower_case_digest_becomes_a_file_name() {
        let good = format!("sha256:{}", "0a".repeat(32));
        assert!(hex_of(&good).is_ok());
        for bad in [
            "",
            "sha256:",
            "sha256:../../etc",
            "md5:00",
            &good.to_uppercase(),
        ] {
            assert!(hex_of(bad).is_err(), "{bad}");
        }
    }
}
