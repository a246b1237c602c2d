//! Keys: the installation's root key file, data keys wrapped with it, and what is derived from a data key.
//!
//! A root key wraps, a data key derives, a [`KeySet`] works. Key bytes are cleared when dropped and never printed.
//! Wrapped keys and small sealed values use AES-256-GCM-SIV, which a repeated nonce does not break open.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rand;
use zeroize::{Zeroize, Zeroizing};

use crate::Error;

mod root;
mod small;

pub use root::RootKey;

const KEY_BYTES: usize = 32;

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
        small::seal(&self.0.value, context, value)
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
        small::open(&self.0.value, context, sealed, "sealed value")
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

fn derive(context: &'static str, key: &Secret) -> Secret {
    Secret(blake3::derive_key(context, &key.0))
}

fn update_part(hasher: &mut blake3::Hasher, part: &[u8]) {
    hasher.update(&(part.len() as u64).to_le_bytes());
    hasher.update(part);
}

#[cfg(test)]
mod tests {
    use anyhow::Result;

    use super::*;

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
