//! Keys: the installation's root key file, data keys wrapped with it, and what is derived from a data key.
//!
//! A root key wraps, a data key derives, a [`KeySet`] works. Key bytes are cleared when dropped and never printed.
//! Wrapped keys and small sealed values use AES-256-GCM-SIV, which a repeated nonce does not break open.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use zeroize::{Zeroize, Zeroizing};

use crate::Error;

const KEY_BYTES: usize = 32;
const KEY_FILE_PREFIX: &str = "helmr-root-key-1 ";
/// First byte of everything sealed here, so that the form can change.
const SEALED_VERSION: u8 = 1;

/// The key that everything else hangs on. Lives in one file, never in the database.
pub struct RootKey(Secret);

/// The key of one environment, or of the installation: 32 random bytes, stored only wrapped.
#[derive(Clone)]
pub struct DataKey(Arc<Secret>);

/// What a data key becomes: one key per use. Cheap to clone.
#[derive(Clone)]
pub struct KeySet(Arc<Derived>);

struct Secret([u8; KEY_BYTES]);

struct Derived {
    chunk_name: Secret,
    manifest_name: Secret,
    seal: Secret,
    value: Secret,
    hash: Secret,
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

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
        seal_small(
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
        let plain = open_small(
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

impl DataKey {
    /// Makes a new random key.
    ///
    /// # Errors
    /// `Randomness`.
    pub fn generate() -> Result<Self, Error> {
        let mut key = Secret([0; KEY_BYTES]);
        rand::fill(&mut key.0).map_err(|_| Error::Randomness)?;
        Ok(Self(Arc::new(key)))
    }

    /// Takes a key that was exposed before. `None` unless there are 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(Arc::new(Secret(bytes.try_into().ok()?))))
    }

    /// The key itself, to hand to a worker. Never log or store it.
    #[must_use]
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0.0
    }
}

impl KeySet {
    /// Derives the working keys. The same data key always gives the same set.
    #[must_use]
    pub fn derive(key: &DataKey) -> Self {
        let secret = &key.0;
        Self(Arc::new(Derived {
            chunk_name: derive("helmr 2026 data key: chunk names", secret),
            manifest_name: derive("helmr 2026 data key: manifest names", secret),
            seal: derive("helmr 2026 data key: seals", secret),
            value: derive("helmr 2026 data key: small values", secret),
            hash: derive("helmr 2026 data key: hashes", secret),
        }))
    }

    /// Seals a small value, for example a secret. `context` names what it is, part by part (scope, name, version):
    /// it opens only with the same parts.
    ///
    /// # Errors
    /// `Randomness`.
    pub fn seal_value(&self, context: &[&[u8]], value: &[u8]) -> Result<Vec<u8>, Error> {
        seal_small(&self.0.value, context, value)
    }

    /// Opens a small value.
    ///
    /// # Errors
    /// `WrongKey` if key or context differ or the value was changed.
    pub fn open_value(
        &self,
        context: &[&[u8]],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        open_small(&self.0.value, context, sealed, "sealed value")
    }

    /// Hashes `bytes` under this set's key, for look-ups of opaque tokens. `purpose` keeps uses apart.
    #[must_use]
    pub fn keyed_hash(&self, purpose: &str, bytes: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0.hash.0);
        update_part(&mut hasher, purpose.as_bytes());
        hasher.update(bytes);
        *hasher.finalize().as_bytes()
    }

    pub(crate) fn chunk_name(&self, plain: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.0.chunk_name.0, plain).as_bytes()
    }

    pub(crate) fn manifest_name(&self, plain: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.0.manifest_name.0, plain).as_bytes()
    }

    pub(crate) fn seal_key(&self) -> &[u8; KEY_BYTES] {
        &self.0.seal.0
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey([redacted])")
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey([redacted])")
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySet([redacted])")
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

fn derive(context: &'static str, key: &Secret) -> Secret {
    Secret(blake3::derive_key(context, &key.0))
}

fn update_part(hasher: &mut blake3::Hasher, part: &[u8]) {
    hasher.update(&(part.len() as u64).to_le_bytes());
    hasher.update(part);
}

/// Joins parts so that no two lists of parts give the same bytes.
fn associated_data(context: &[&[u8]]) -> Vec<u8> {
    let mut joined = vec![SEALED_VERSION];
    for part in context {
        joined.extend_from_slice(&(part.len() as u64).to_le_bytes());
        joined.extend_from_slice(part);
    }
    joined
}

fn cipher(key: &Secret) -> Result<LessSafeKey, Error> {
    let key =
        UnboundKey::new(&AES_256_GCM_SIV, &key.0).map_err(|_| Error::WrongKey { what: "key" })?;
    Ok(LessSafeKey::new(key))
}

/// Version, nonce, text and tag.
fn seal_small(key: &Secret, context: &[&[u8]], plain: &[u8]) -> Result<Vec<u8>, Error> {
    let mut nonce = [0; NONCE_LEN];
    rand::fill(&mut nonce).map_err(|_| Error::Randomness)?;
    let mut text = plain.to_vec();
    cipher(key)?
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(associated_data(context)),
            &mut text,
        )
        .map_err(|_| Error::Randomness)?;
    let mut sealed = Vec::with_capacity(1 + NONCE_LEN + text.len());
    sealed.push(SEALED_VERSION);
    sealed.extend_from_slice(&nonce);
    sealed.append(&mut text);
    Ok(sealed)
}

fn open_small(
    key: &Secret,
    context: &[&[u8]],
    sealed: &[u8],
    what: &'static str,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let wrong = Error::WrongKey { what };
    let Some((&SEALED_VERSION, rest)) = sealed.split_first() else {
        return Err(wrong);
    };
    let Some((nonce, text)) = rest.split_first_chunk::<NONCE_LEN>() else {
        return Err(wrong);
    };
    let mut text = Zeroizing::new(text.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length = cipher(key)?
        .open_in_place(nonce, Aad::from(associated_data(context)), &mut text)
        .map_err(|_| wrong)?
        .len();
    text.truncate(length);
    Ok(text)
}

pub(crate) fn encode_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Lower-case hex of exactly as many bytes as `into` holds.
pub(crate) fn decode_hex(text: &str, into: &mut [u8]) -> Option<()> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != into.len() * 2 {
        return None;
    }
    for (byte, pair) in into.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(())
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

    #[test]
    fn values_open_with_the_same_parts_only() -> Result<()> {
        let keys = KeySet::derive(&DataKey::generate()?);
        let sealed = keys.seal_value(&[b"env", b"NAME", b"1"], b"hunter2")?;
        assert_eq!(
            *keys.open_value(&[b"env", b"NAME", b"1"], &sealed)?,
            b"hunter2"
        );
        assert!(keys.open_value(&[b"envN", b"AME", b"1"], &sealed).is_err());
        assert!(keys.open_value(&[b"env", b"NAME", b"2"], &sealed).is_err());
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        Ok(())
    }

    #[test]
    fn keys_never_print_themselves() -> Result<()> {
        let key = DataKey::generate()?;
        let shown = format!("{key:?} {:?}", KeySet::derive(&key));
        assert_eq!(shown, "DataKey([redacted]) KeySet([redacted])");
        Ok(())
    }
}
