//! Root images made of archives that were uploaded.
use crate::base::Base;
use helmr_api::worker::ImportedImage;
use std::path::PathBuf;
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the archive is no image: {0}")]
    Archive(String),
    #[error("{0}")]
    Io(PathBuf),
}
pub(crate) async fn import<D>(
    _base: &Base<D>,
    _archive_manifest: &str,
) -> Result<ImportedImage, Error> {
    Err(Error::Archive(String::new()))
}

pub(crate) async fn extract_subtree(
    _image: &std::path::Path,
    _mount_path: &std::path::Path,
    _tree: &std::path::Path,
) -> Result<(), Error> {
    Ok(())
}
