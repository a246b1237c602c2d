//! Profiles: the servers a user has, in `config.toml` in the configuration folder, readable by the user alone.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::env;
use crate::error::{CommandError, Exit};

/// The profile that `helmr up` makes.
pub const LOCAL: &str = "local";

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profiles {
    /// Used where nothing else is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_profile: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<String, Profile>,
}

/// One server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub api_url: String,
    /// Secret.
    pub api_key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_plain_http: bool,
    /// The data directory of the `helmr up` that wrote the profile, which may then keep it right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_dir: Option<PathBuf>,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Profile")
            .field("api_url", &self.api_url)
            .field("api_key", &"[redacted]")
            .field("project", &self.project)
            .field("environment", &self.environment)
            .finish_non_exhaustive()
    }
}

/// What became of the profile that `helmr up` keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is, or has become, the default profile of this server.
    Default,
    /// The user's default profile is another server's.
    Other,
}

/// Where the file is.
#[must_use]
pub fn path() -> Option<PathBuf> {
    env::user_folder(env::XDG_CONFIG_HOME, ".config").map(|folder| folder.join("helmr/config.toml"))
}

impl Profiles {
    /// Reads the file; empty if there is none.
    ///
    /// # Errors
    /// It cannot be read, or holds what it should not.
    pub fn load(path: &Path) -> Result<Self, CommandError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => {
                return Err(
                    CommandError::failed(format!("read {}", path.display())).because(&error)
                );
            }
        };
        toml::from_str(&text).map_err(|error| {
            CommandError::new(
                Exit::Usage,
                format!("{} is not right: {}", path.display(), error.message()),
            )
            .hint("mend the line, or move the file away: `helmr up` makes a new one")
        })
    }

    /// Writes the file whole, or leaves it as it was.
    ///
    /// # Errors
    /// The folder or the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), CommandError> {
        let failed = |error: &dyn std::error::Error| {
            CommandError::failed(format!("write {}", path.display())).because(error)
        };
        let text = toml::to_string_pretty(self).map_err(|error| failed(&error))?;
        write_private(path, text.as_bytes()).map_err(|error| failed(&error))
    }

    /// The profile of this name, or the default one.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn choose(&self, name: Option<&str>) -> Result<Option<(&str, &Profile)>, CommandError> {
        let Some(name) = name.or(self.default_profile.as_deref()) else {
            return Ok(None);
        };
        match self.profiles.get_key_value(name) {
            Some((name, profile)) => Ok(Some((name, profile))),
            None => {
                let known: Vec<&str> = self.profiles.keys().map(String::as_str).collect();
                let error = CommandError::new(
                    Exit::Unauthenticated,
                    format!("there is no profile `{name}`"),
                );
                Err(if known.is_empty() {
                    error.hint("there are no profiles yet: `helmr up` makes one")
                } else {
                    error.hint(format!("there are: {}", known.join(", ")))
                })
            }
        }
    }

    /// Makes a local server's profile the default one if the user has none, and keeps the one it made before right.
    /// A profile that somebody else made is left alone.
    pub fn keep_local(&mut self, local: Profile) -> Kept {
        let ours = |profile: &Profile| {
            profile.data_dir == local.data_dir
                || (profile.api_url == local.api_url && profile.api_key == local.api_key)
        };
        let name = match self.profiles.iter().find(|(_, profile)| ours(profile)) {
            Some((name, _)) => name.clone(),
            None if self.default_profile.is_none() && !self.profiles.contains_key(LOCAL) => {
                LOCAL.to_owned()
            }
            None => return Kept::Other,
        };
        self.profiles.insert(name.clone(), local);
        match self.default_profile.get_or_insert_with(|| name.clone()) {
            default if *default == name => Kept::Default,
            _ => Kept::Other,
        }
    }
}

/// Writes a file that its owner alone can read, by a new file that takes the old one's place: it is there whole or as it
/// was.
///
/// # Errors
/// Those of the file system.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut made = tempfile::Builder::new()
        .prefix(".helmr-")
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    made.write_all(bytes)?;
    made.as_file().sync_all()?;
    made.persist(path).map_err(|error| error.error)?;
    // The new name is durable when its folder is.
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn profile(key: &str, dir: &str) -> Profile {
        Profile {
            api_url: "http://127.0.0.1:4356".to_owned(),
            api_key: key.to_owned(),
            project: None,
            environment: None,
            allow_plain_http: false,
            data_dir: Some(dir.into()),
        }
    }

    #[test]
    fn the_first_local_server_becomes_the_default_and_stays_right() {
        let mut profiles = Profiles::default();
        assert_eq!(profiles.keep_local(profile("a", "/one")), Kept::Default);
        assert_eq!(profiles.keep_local(profile("b", "/one")), Kept::Default);
        assert_eq!(profiles.profiles[LOCAL].api_key, "b");
        assert_eq!(profiles.keep_local(profile("c", "/two")), Kept::Other);
        assert_eq!(profiles.profiles.len(), 1);
    }

    #[test]
    fn the_file_reads_back_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("helmr/config.toml");
        let mut profiles = Profiles::default();
        profiles.keep_local(profile("a", "/one"));
        profiles.save(&path).unwrap();
        assert_eq!(Profiles::load(&path).unwrap(), profiles);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(
            Profiles::load(&folder.path().join("none"))
                .unwrap()
                .profiles
                .is_empty()
        );
    }

    #[test]
    fn a_profile_that_is_not_there_is_an_error_that_names_the_others() {
        let mut profiles = Profiles::default();
        profiles.keep_local(profile("a", "/one"));
        let error = profiles.choose(Some("staging")).unwrap_err();
        let text = error.render(crate::style::Style::plain());
        assert!(
            text.contains("`staging`") && text.contains("local"),
            "{text}"
        );
        assert_eq!(error.exit().code(), 3);
    }
}
