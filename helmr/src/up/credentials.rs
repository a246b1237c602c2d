//! The local API key, where programs and people on this machine find it.

use std::path::PathBuf;

use helmr_cli::CommandError;
use helmr_cli::profile::{self, Kept, Profile, Profiles};
use helmr_control::Running as Control;
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::data_dir::DataDir;

/// `credentials.json`.
#[derive(Serialize)]
struct Credentials<'a> {
    api_url: &'a str,
    api_key: &'a str,
}

/// Where the key was written.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) file: PathBuf,
    /// The user's profiles, and whether the default one is this server's; none where there is no home.
    pub(crate) profiles: Option<(PathBuf, Kept)>,
}

/// Writes the key into the data directory and, where the user has no other default, into the default profile.
pub(crate) fn keep(
    data: &DataDir,
    local_url: &str,
    control: &Control,
) -> Result<Written, CommandError> {
    let key = control.local_api_key();
    let file = data.path().join("credentials.json");
    let credentials = Credentials {
        api_url: local_url,
        api_key: key.expose_secret(),
    };
    let mut text = serde_json::to_vec_pretty(&credentials)
        .map_err(|error| CommandError::failed("write the credentials").because(&error))?;
    text.push(b'\n');
    profile::write_private(&file, &text).map_err(|error| {
        CommandError::failed(format!("write {}", file.display())).because(&error)
    })?;
    let local = Profile {
        api_url: local_url.to_owned(),
        api_key: key.expose_secret().to_owned(),
        project: None,
        environment: None,
        allow_plain_http: false,
        data_dir: Some(data.path().to_owned()),
    };
    let profiles = profile::path().and_then(|path| match keep_profile(&path, local) {
        Ok(kept) => Some((path, kept)),
        // A server must start also where the home cannot be written.
        Err(error) => {
            let text = error.render(helmr_cli::Style::plain());
            tracing::warn!(path = %path.display(), reason = text.trim_end(), "the profile was not written");
            None
        }
    });
    Ok(Written { file, profiles })
}

fn keep_profile(path: &std::path::Path, local: Profile) -> Result<Kept, CommandError> {
    let before = Profiles::load(path)?;
    let mut profiles = before.clone();
    let kept = profiles.keep_local(local);
    if profiles != before {
        profiles.save(path)?;
    }
    Ok(kept)
}
