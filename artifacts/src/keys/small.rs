//! Seals small values: wrapped keys and secrets. Version, nonce, text and tag.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::Secret;
use crate::Error;

/// First byte of everything sealed here, so that the form can change.
const SEALED_VERSION: u8 = 1;

pub(super) fn seal(key: &Secret, context: &[&[u8]], plain: &[u8]) -> Result<Vec<u8>, Error> {
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

pub(super) fn open(
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
