//! Files in a captured tree.

use helmr_api::worker::files::Look;
use helmr_artifacts::ManifestId;
use helmr_artifacts::files::Stored;
use helmr_files::Reply;

use super::Subject;
use crate::ApiError;

pub(super) async fn look(
    subject: &Subject<'_>,
    manifest: &str,
    mount: &str,
    look: Look,
) -> Result<Reply, ApiError> {
    let control = subject.control;
    let id: ManifestId = manifest
        .parse()
        .map_err(|error: helmr_artifacts::Error| ApiError::internal(&error))?;
    let (artifacts, outlines) = (control.artifacts.clone(), control.outlines.clone());
    let (keys, at) = (subject.environment.keys.clone(), mount.as_bytes().to_vec());
    let open = move || {
        let outline = outlines.get(&artifacts, &keys, id)?;
        Ok(Stored::new(&artifacts, &keys, outline, &at))
    };
    Ok(helmr_files::look(&control.works, open, mount, look).await?)
}
