//! The root key and its file.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::{DataKey, KEY_BYTES, Secret, derive, small};
use crate::Error;
use crate::hex::{decode_hex, encode_hex};

const KEY_FILE_PREFIX: &str = "helmr-root-key-1 ";

/// The key that everything else hangs on. Lives in one file, never in the database.
pub struct RootKey(Secret);

impl RootKey {
    /// Reads the key file, or makes it (0600, durable) if there is none. Two processes that start at once get one key.
    ///
    /// # Errors
    /// `KeyFile` if the file is not a root key or others may read it.
    pub fn load_or_create(path: &Path) -> Result<Self, Error> {
        if let Some(key) = Self::load(path)? {
            return Ok(key);
        }
        create_key_file(path)?;
        Self::load(path)?.ok_or_else(|| Error::KeyFile {
            path: path.to_owned(),
            reason: "it vanished after it was made",
        })
    }

    fn load(path: &Path) -> Result<Option<Self>, Error> {
        let refused = |reason| Error::KeyFile {
            path: path.to_owned(),
            reason,
        };
        let file = match OpenOptions::new()
            .read(true)
            .custom_flags(nofollow())
            .open(path)
        {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open root key file", path)(error)),
        };
        let metadata = file
            .metadata()
            .map_err(Error::io("stat root key file", path))?;
        if !metadata.is_file() {
            return Err(refused("it is not a regular file"));
        }
        if metadata.mode() & 0o077 != 0 {
            return Err(refused("others may read it; it must have mode 0600"));
        }
        let mut text = Zeroizing::new(String::new());
        file.take(256)
            .read_to_string(&mut text)
            .map_err(Error::io("read root key file", path))?;
        let hex = text
            .trim_end()
            .strip_prefix(KEY_FILE_PREFIX)
            .ok_or_else(|| refused("it is not a root key of this version"))?;
        let mut key = Secret([0; KEY_BYTES]);
        decode_hex(hex, &mut key.0).ok_or_else(|| refused("its key is torn"))?;
        Ok(Some(Self(key)))
    }

    /// Wraps `key` for `purpose`, which names what the key is of, for example `environment env_…`.
    ///
    /// # Errors
    /// `Randomness`.
    pub fn wrap(&self, purpose: &str, key: &DataKey) -> Result<Vec<u8>, Error> {
        small::seal(
            &self.wrapping_key(),
            &[b"wrapped key", purpose.as_bytes()],
            &key.0.0,
        )
    }

    /// Opens a wrapped key.
    ///
    /// # Errors
    /// `WrongKey` if it was wrapped with another root key or for another purpose, or was changed.
    pub fn unwrap_key(&self, purpose: &str, wrapped: &[u8]) -> Result<DataKey, Error> {
        let what = "wrapped key";
        let plain = small::open(
            &self.wrapping_key(),
            &[b"wrapped key", purpose.as_bytes()],
            wrapped,
            what,
        )?;
        DataKey::from_bytes(&plain).ok_or(Error::WrongKey { what })
    }

    fn wrapping_key(&self) -> Secret {
        derive("helmr 2026 root key: wrapping", &self.0)
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey([redacted])")
    }
}

/// Publishes a new key under `path` unless another process was first: the file appears whole or not at all.
fn create_key_file(path: &Path) -> Result<(), Error> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(Error::io("create directory", parent))?;
    let mut suffix = [0; 8];
    rand::fill(&mut suffix).map_err(|_| Error::Randomness)?;
    let staged = parent.join(format!(".root-key-{}", encode_hex(&suffix)));

    let mut key = Secret([0; KEY_BYTES]);
    rand::fill(&mut key.0).map_err(|_| Error::Randomness)?;
    let hex = Zeroizing::new(encode_hex(&key.0));
    let text = Zeroizing::new(format!("{KEY_FILE_PREFIX}{}\n", *hex));
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&staged)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        match fs::hard_link(&staged, path) {
            // Another process made one meanwhile: that one counts.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }
    })();
    // The staged copy goes whether or not it was published; one that stays after a crash opens nothing by itself.
    let removed = fs::remove_file(&staged);
    written.map_err(Error::io("write root key file", path))?;
    removed.map_err(Error::io("remove", &staged))?;
    File::open(parent)
        .and_then(|dir| dir.sync_all())
        .map_err(Error::io("sync directory", parent))
}

fn nofollow() -> i32 {
    // The flag's bits fit: they come from the same C constant.
    i32::from_ne_bytes(rustix::fs::OFlags::NOFOLLOW.bits().to_ne_bytes())
}

#[cfg(test)]
mod tests {
    use anyhow::Result;

    use super::*;

    #[test]
    fn a_wrapped_key_opens_for_its_purpose_alone() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let root = RootKey::load_or_create(&dir.path().join("root.key"))?;
        let key = DataKey::generate()?;
        let wrapped = root.wrap("environment a", &key)?;
        assert_eq!(
            root.unwrap_key("environment a", &wrapped)?.expose(),
            key.expose()
        );
        assert!(matches!(
            root.unwrap_key("environment b", &wrapped),
            Err(Error::WrongKey { .. })
        ));
        for at in 0..wrapped.len() {
            let mut edited = wrapped.clone();
            edited[at] ^= 1;
            assert!(
                root.unwrap_key("environment a", &edited).is_err(),
                "byte {at}"
            );
            assert!(
                root.unwrap_key("environment a", &wrapped[..at]).is_err(),
                "cut at {at}"
            );
        }
        let other = RootKey::load_or_create(&dir.path().join("other.key"))?;
        assert!(matches!(
            other.unwrap_key("environment a", &wrapped),
            Err(Error::WrongKey { .. })
        ));
        Ok(())
    }

    #[test]
    fn the_root_key_is_made_once_and_is_private() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("keys/root.key");
        let keys: Vec<[u8; 32]> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| RootKey::load_or_create(&path)))
                .collect();
            starts
                .into_iter()
                .map(|start| Ok(start.join().map_err(|_| anyhow::anyhow!("panicked"))??.0.0))
                .collect::<Result<_>>()
        })?;
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_eq!(fs::metadata(&path)?.mode() & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(dir.path().join("keys"))?.count(),
            1,
            "staged copies stayed"
        );
        Ok(())
    }

    #[test]
    fn a_root_key_that_others_may_read_or_that_is_torn_is_refused() -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("root.key");
        RootKey::load_or_create(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640))?;
        assert!(matches!(
            RootKey::load_or_create(&path),
            Err(Error::KeyFile { .. })
        ));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        let text = fs::read_to_string(&path)?;
        fs::write(&path, &text[..text.len() - 5])?;
        assert!(matches!(
            RootKey::load_or_create(&path),
            Err(Error::KeyFile { .. })
        ));
        Ok(())
    }
}
