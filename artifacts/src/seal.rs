//! The envelope of everything in the object store: compressed if that helps, then sealed with AES-256-GCM.
//!
//! ```text
//! 0  4  magic "HLMR"      6  1  kind              12 16  salt
//! 4  1  version, 1        7  1  zero              28  …  text and 16 bytes of tag
//! 5  1  flags: 1 = zstd   8  4  plain length, LE
//! ```
//! Each envelope has a key of its own, HKDF-SHA256 of the data key and the salt, so the nonce is constant: zstd's output
//! changes between its versions, and a key fixed by the object's name could meet two texts. The tag covers the header,
//! the kind and the name, so an envelope opens only under the name it was made for.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, rand};

use crate::Error;
use crate::keys::KeySet;

const MAGIC: &[u8; 4] = b"HLMR";
const VERSION: u8 = 1;
const ZSTD: u8 = 1;
const HEADER_BYTES: usize = 28;
const TAG_BYTES: usize = 16;
/// 650 MB/s on memory images; level 3 costs half the speed for one percent.
const ZSTD_LEVEL: i32 = 1;

/// Bytes that an envelope adds to an incompressible text.
pub const OVERHEAD: usize = HEADER_BYTES + TAG_BYTES;

/// What an envelope holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Chunk,
    Manifest,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Chunk => 1,
            Self::Manifest => 2,
        }
    }

    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Chunk => "chunk",
            Self::Manifest => "manifest",
        }
    }

    /// Longest plain text: more is never allocated for one envelope.
    #[must_use]
    pub fn limit(self) -> usize {
        match self {
            Self::Chunk => 16 << 20,
            Self::Manifest => 64 << 20,
        }
    }
}

/// Seals `plain` under `name`.
///
/// # Errors
/// `Corrupt` if it is over the kind's limit; `Randomness`.
pub fn seal(keys: &KeySet, kind: Kind, name: &[u8; 32], plain: &[u8]) -> Result<Vec<u8>, Error> {
    let refused = |reason| corrupt(kind, name, reason);
    let length = u32::try_from(plain.len())
        .ok()
        .filter(|_| plain.len() <= kind.limit())
        .ok_or_else(|| refused("it is over the size limit"))?;
    let compressed = zstd::bulk::compress(plain, ZSTD_LEVEL)
        .ok()
        .filter(|text| text.len() < plain.len());

    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(MAGIC);
    header[4] = VERSION;
    header[5] = if compressed.is_some() { ZSTD } else { 0 };
    header[6] = kind.code();
    header[8..12].copy_from_slice(&length.to_le_bytes());
    rand::fill(&mut header[12..]).map_err(|_| Error::Randomness)?;

    let text = compressed.as_deref().unwrap_or(plain);
    let mut envelope = Vec::with_capacity(text.len() + OVERHEAD);
    envelope.extend_from_slice(&header);
    envelope.extend_from_slice(text);
    let tag = cipher(keys, &header)
        .and_then(|cipher| {
            cipher.seal_in_place_separate_tag(
                nonce(),
                Aad::from(associated_data(&header, name)),
                &mut envelope[HEADER_BYTES..],
            )
        })
        .map_err(|_| refused("it could not be sealed"))?;
    envelope.extend_from_slice(tag.as_ref());
    Ok(envelope)
}

/// Opens an envelope that was sealed under `name`. Never allocates more than the kind's limit.
///
/// # Errors
/// `Corrupt`.
pub fn open(
    keys: &KeySet,
    kind: Kind,
    name: &[u8; 32],
    mut envelope: Vec<u8>,
) -> Result<Vec<u8>, Error> {
    let refused = |reason| corrupt(kind, name, reason);
    let Some((header, text)) = envelope.split_first_chunk_mut::<HEADER_BYTES>() else {
        return Err(refused("it is torn"));
    };
    if &header[..4] != MAGIC {
        return Err(refused("it is not an envelope"));
    }
    if header[4] != VERSION || header[5] & !ZSTD != 0 || header[7] != 0 {
        return Err(refused("a later version wrote it"));
    }
    if header[6] != kind.code() {
        return Err(refused("it is of another kind"));
    }
    let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= kind.limit())
        .ok_or_else(|| refused("it is over the size limit"))?;
    let text = cipher(keys, header)
        .and_then(|cipher| {
            cipher.open_in_place(nonce(), Aad::from(associated_data(header, name)), text)
        })
        .map_err(|_| refused("its seal does not open"))?;

    if header[5] & ZSTD == 0 {
        let opened = text.len();
        envelope.drain(..HEADER_BYTES);
        envelope.truncate(opened);
    } else {
        envelope =
            zstd::bulk::decompress(text, length).map_err(|_| refused("it does not decompress"))?;
    }
    if envelope.len() != length {
        return Err(refused("its length differs"));
    }
    Ok(envelope)
}

fn corrupt(kind: Kind, name: &[u8; 32], reason: &'static str) -> Error {
    Error::Corrupt {
        what: kind.noun(),
        name: crate::hex::encode_hex(name),
        reason,
    }
}

fn cipher(
    keys: &KeySet,
    header: &[u8; HEADER_BYTES],
) -> Result<LessSafeKey, aws_lc_rs::error::Unspecified> {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, &header[12..]);
    let derived = salt.extract(keys.seal_key());
    let derived = derived.expand(&[b"helmr envelope 1"], &AES_256_GCM)?;
    Ok(LessSafeKey::new(UnboundKey::from(derived)))
}

/// Constant: every envelope has its own key.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

fn associated_data(header: &[u8; HEADER_BYTES], name: &[u8; 32]) -> [u8; HEADER_BYTES + 32] {
    let mut data = [0; HEADER_BYTES + 32];
    data[..HEADER_BYTES].copy_from_slice(header);
    data[HEADER_BYTES..].copy_from_slice(name);
    data
}

#[cfg(test)]
mod tests {
    use anyhow::Result;
    use proptest::prelude::*;

    use super::*;
    use crate::DataKey;

    fn keys() -> Result<KeySet> {
        Ok(KeySet::derive(&DataKey::generate()?))
    }

    #[test]
    fn every_changed_or_missing_byte_is_refused() -> Result<()> {
        let keys = keys()?;
        for plain in [b"abc".repeat(100), b"xyz".to_vec(), Vec::new()] {
            let sealed = seal(&keys, Kind::Chunk, &[7; 32], &plain)?;
            assert_eq!(open(&keys, Kind::Chunk, &[7; 32], sealed.clone())?, plain);
            for at in 0..sealed.len() {
                let mut edited = sealed.clone();
                edited[at] ^= 0x20;
                let opened = open(&keys, Kind::Chunk, &[7; 32], edited);
                assert!(matches!(opened, Err(Error::Corrupt { .. })), "byte {at}");
                let opened = open(&keys, Kind::Chunk, &[7; 32], sealed[..at].to_vec());
                assert!(matches!(opened, Err(Error::Corrupt { .. })), "cut at {at}");
            }
        }
        Ok(())
    }

    #[test]
    fn an_envelope_opens_under_its_own_name_kind_and_key_alone() -> Result<()> {
        let keys = keys()?;
        let sealed = seal(&keys, Kind::Chunk, &[7; 32], b"text")?;
        assert!(open(&keys, Kind::Chunk, &[8; 32], sealed.clone()).is_err());
        assert!(open(&keys, Kind::Manifest, &[7; 32], sealed.clone()).is_err());
        assert!(open(&super::tests::keys()?, Kind::Chunk, &[7; 32], sealed).is_err());
        Ok(())
    }

    #[test]
    fn what_does_not_shrink_is_stored_as_it_is() -> Result<()> {
        let keys = keys()?;
        let mut noise = vec![0; 4096];
        rand::fill(&mut noise)?;
        assert_eq!(
            seal(&keys, Kind::Chunk, &[0; 32], &noise)?.len(),
            noise.len() + OVERHEAD
        );
        assert!(seal(&keys, Kind::Chunk, &[0; 32], &[b'a'; 4096])?.len() < 200);
        Ok(())
    }

    #[test]
    fn a_text_over_the_limit_is_refused() -> Result<()> {
        let plain = vec![1; Kind::Chunk.limit() + 1];
        assert!(matches!(
            seal(&keys()?, Kind::Chunk, &[0; 32], &plain),
            Err(Error::Corrupt { .. })
        ));
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_sealed_opens(plain in proptest::collection::vec(any::<u8>(), 0..20_000), name: [u8; 32]) {
            let keys = KeySet::derive(&DataKey::from_bytes(&[3; 32]).ok_or_else(|| TestCaseError::fail("key"))?);
            let sealed = seal(&keys, Kind::Chunk, &name, &plain).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let opened = open(&keys, Kind::Chunk, &name, sealed).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(opened, plain);
        }
    }
}
