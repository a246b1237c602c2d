//! The SDK that the binary carries, unpacked once per content into the user's cache.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::env;
use crate::error::CommandError;

/// A `node_modules` with the SDK and everything that its bundler loads, as a tar compressed with zstd.
#[derive(Debug, Clone, Copy)]
pub struct Kit(pub &'static [u8]);

impl Kit {
    /// Gives the folder that holds the `node_modules`, unpacking it if it is not there.
    ///
    /// # Errors
    /// The cache folder cannot be written.
    pub(crate) async fn unpacked(self) -> Result<PathBuf, CommandError> {
        let cache = env::user_folder(env::XDG_CACHE_HOME, ".cache")
            .unwrap_or_else(std::env::temp_dir)
            .join("helmr/sdk");
        self.unpacked_in(&cache).await.map_err(|error| {
            CommandError::failed(format!("unpack the SDK into {}", cache.display()))
                .because(&error)
                .hint("set XDG_CACHE_HOME to a folder that can be written")
        })
    }

    async fn unpacked_in(self, cache: &Path) -> std::io::Result<PathBuf> {
        let digest = Sha256::digest(self.0);
        let name: String = digest
            .iter()
            .take(12)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let home = cache.join(name);
        // The folder gets its name when it is whole.
        if home.is_dir() {
            return Ok(home);
        }
        fs::create_dir_all(cache)?;
        let part = tempfile::Builder::new()
            .prefix(".part-")
            .tempdir_in(cache)?;
        let plain = zstd::decode_all(self.0)?;
        // The bundler starts a program of the kit.
        tokio_tar::ArchiveBuilder::new(plain.as_slice())
            .set_preserve_permissions(true)
            .build()
            .unpack(part.path())
            .await?;
        match fs::rename(part.path(), &home) {
            Ok(()) => {
                // It has another name now: there is nothing to remove under the old one.
                let _moved = part.keep();
                Ok(home)
            }
            // Another deploy was faster.
            Err(_) if home.is_dir() => Ok(home),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    async fn kit() -> Kit {
        let mut tar = tokio_tar::Builder::new(Vec::new());
        let mut header = tokio_tar::Header::new_gnu();
        header.set_size(2);
        header.set_mode(0o755);
        header.set_cksum();
        tar.append_data(
            &mut header,
            "node_modules/@helmr/sdk/package.json",
            b"{}".as_slice(),
        )
        .await
        .unwrap();
        let plain = tar.into_inner().await.unwrap();
        Kit(zstd::encode_all(plain.as_slice(), 1).unwrap().leak())
    }

    #[tokio::test]
    async fn a_kit_is_unpacked_once() {
        let cache = tempfile::tempdir().unwrap();
        let kit = kit().await;
        let home = kit.unpacked_in(cache.path()).await.unwrap();
        let file = home.join("node_modules/@helmr/sdk/package.json");
        assert_eq!(fs::read_to_string(&file).unwrap(), "{}");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o755);
        fs::write(&file, "kept").unwrap();
        assert_eq!(kit.unpacked_in(cache.path()).await.unwrap(), home);
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
        assert_eq!(
            fs::read_dir(cache.path()).unwrap().count(),
            1,
            "nothing half-made is left"
        );
    }
}
