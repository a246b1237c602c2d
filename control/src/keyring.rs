//! The keys of an installation: wrapped by the root key, opened at the start.

use helmr_artifacts::{DataKey, Error, KeySet, RootKey};

/// What wrapped keys are for; part of the wrapping, so that one cannot stand in for the other.
pub(crate) const INSTALLATION: &str = "installation data key";
pub(crate) const ENVIRONMENT: &str = "environment data key";

/// Keys of a first start.
pub(crate) struct Fresh {
    pub(crate) installation_keys: KeySet,
    pub(crate) wrapped_installation_key: Vec<u8>,
    pub(crate) wrapped_environment_key: Vec<u8>,
}

/// Makes the keys of an installation and its first environment.
pub(crate) fn make(root: &RootKey) -> Result<Fresh, Error> {
    let installation = DataKey::generate()?;
    let environment = DataKey::generate()?;
    Ok(Fresh {
        wrapped_installation_key: root.wrap(INSTALLATION, &installation)?,
        wrapped_environment_key: root.wrap(ENVIRONMENT, &environment)?,
        installation_keys: KeySet::derive(&installation),
    })
}
