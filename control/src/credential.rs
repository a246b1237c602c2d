//! Opaque credentials: a prefix and 32 bytes in base64url. Only keyed hashes of them are stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use helmr_artifacts::KeySet;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::entropy::{self, NoRandomness};

/// What a credential is for. Each kind is hashed apart, so that none can stand in for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    ApiKey,
    /// A public access token.
    PublicToken,
    /// The secret in a callback URL.
    Callback,
    /// A worker's own credential.
    Worker,
    /// What a worker of a group registers with.
    Enrolment,
}

impl Kind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::ApiKey => "hlmr_sk_",
            Self::PublicToken => "hlmr_pat_",
            Self::Callback => "",
            Self::Worker => "hlmr_wk_",
            Self::Enrolment => "hlmr_en_",
        }
    }

    const fn purpose(self) -> &'static str {
        match self {
            Self::ApiKey => "credential: api key",
            Self::PublicToken => "credential: public access token",
            Self::Callback => "credential: callback",
            Self::Worker => "credential: worker",
            Self::Enrolment => "credential: enrolment",
        }
    }
}

/// A hash as it is stored.
pub(crate) type Hash = [u8; 32];

/// Makes a new credential of `kind`.
pub(crate) fn mint(kind: Kind) -> Result<SecretString, NoRandomness> {
    Ok(write(kind, &Zeroizing::new(entropy::bytes()?)))
}

/// The one credential of `kind` that belongs to this installation: the same at each start, so that losing the file it
/// was written to loses nothing.
pub(crate) fn of_installation(keys: &KeySet, kind: Kind, name: &str) -> SecretString {
    let purpose = format!("installation's own: {}", kind.purpose());
    write(
        kind,
        &Zeroizing::new(keys.keyed_hash(&purpose, name.as_bytes())),
    )
}

fn write(kind: Kind, bytes: &[u8; 32]) -> SecretString {
    let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes));
    SecretString::from(format!("{}{}", kind.prefix(), *text))
}

/// Which kind a bearer credential claims to be; `None` if its form is wrong.
pub(crate) fn kind_of(text: &str) -> Option<Kind> {
    [
        Kind::ApiKey,
        Kind::PublicToken,
        Kind::Worker,
        Kind::Enrolment,
    ]
    .into_iter()
    .find(|kind| is_well_formed(*kind, text))
}

/// Whether `text` has the form of `kind`, so that nothing oversized is ever hashed.
pub(crate) fn is_well_formed(kind: Kind, text: &str) -> bool {
    text.strip_prefix(kind.prefix()).is_some_and(|rest| {
        rest.len() == 43
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    })
}

/// Looks up happen by this hash: whoever lacks the installation's key cannot aim at one, so the time that comparing
/// takes tells nothing about a credential.
pub(crate) fn hash(keys: &KeySet, kind: Kind, text: &str) -> Hash {
    keys.keyed_hash(kind.purpose(), text.as_bytes())
}

/// Hashes a credential that was just made.
pub(crate) fn hash_secret(keys: &KeySet, kind: Kind, secret: &SecretString) -> Hash {
    hash(keys, kind, secret.expose_secret())
}

#[cfg(test)]
mod tests {
    use anyhow::Result;
    use helmr_artifacts::DataKey;

    use super::*;

    #[test]
    fn a_credential_names_its_kind_and_hashes_apart_from_others() -> Result<()> {
        let keys = KeySet::derive(&DataKey::generate()?);
        let secret = mint(Kind::ApiKey)?;
        let text = secret.expose_secret();
        assert!(text.starts_with("hlmr_sk_"));
        assert_eq!(kind_of(text), Some(Kind::ApiKey));
        assert_ne!(
            hash(&keys, Kind::ApiKey, text),
            hash(&keys, Kind::Worker, text)
        );
        assert_eq!(kind_of(&text[..text.len() - 1]), None);
        assert_eq!(kind_of(&format!("{text}A")), None);
        assert_eq!(kind_of("hlmr_sk_!"), None);
        Ok(())
    }

    #[test]
    fn the_installations_own_credentials_are_the_same_each_time() -> Result<()> {
        let key = DataKey::generate()?;
        let once = of_installation(&KeySet::derive(&key), Kind::ApiKey, "local");
        let again = of_installation(&KeySet::derive(&key), Kind::ApiKey, "local");
        assert_eq!(once.expose_secret(), again.expose_secret());
        let other = of_installation(&KeySet::derive(&key), Kind::ApiKey, "another");
        assert_ne!(once.expose_secret(), other.expose_secret());
        Ok(())
    }
}
