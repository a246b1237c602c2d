//! Root images made of archives that were uploaded, and what an image holds at a path.

use std::fs;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use helmr_api::worker::ImportedImage;
use helmr_artifacts::{Artifacts, KeySet, blob};
use helmr_machine::Driver;
use helmr_machine::rootfs::{self, Limits};

use crate::base::Base;
use crate::directory::{Directory, remove};
use crate::images::{self, Hashed, hex_of, unique};
use crate::serve::describe;

/// An archive that did not become an image.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the worker is not registered yet")]
    TooEarly,
    #[error(transparent)]
    Artifacts(#[from] helmr_artifacts::Error),
    #[error("fetch the archive")]
    Fetch(#[source] images::Error),
    /// The archive's own fault, in words for people.
    #[error("{message}")]
    Archive { code: &'static str, message: String },
    #[error(transparent)]
    Rootfs(#[from] rootfs::Error),
    #[error("keep the root image")]
    Keep(#[source] std::io::Error),
}

/// Makes a root image of an uploaded archive: on this host, and in the artifact store for every other.
pub(crate) async fn import<D: Driver>(
    base: &Arc<Base<D>>,
    archive_manifest: &str,
) -> Result<ImportedImage, Error> {
    let keys = base.installation_keys().ok_or(Error::TooEarly)?;
    let work = base
        .directory
        .scratch()
        .join(format!("import-{}", unique()));
    let import = Import {
        directory: base.directory.clone(),
        archive_manifest: archive_manifest.to_owned(),
        work: work.clone(),
    };
    let imported = base
        .artifacts
        .run(move |artifacts| import.perform(artifacts, &keys))
        .await;
    // Best effort: scratch is emptied at every start.
    drop(remove(&work));
    imported
}

struct Import {
    directory: Directory,
    archive_manifest: String,
    work: PathBuf,
}

impl Import {
    fn perform(self, artifacts: &Artifacts, keys: &KeySet) -> Result<ImportedImage, Error> {
        fs::create_dir(&self.work).map_err(Error::Keep)?;
        let archive = self.work.join("archive");
        let mut file = Hashed::create(&archive).map_err(Error::Fetch)?;
        blob::copy_to(artifacts, keys, self.archive_manifest.parse()?, &mut file)?;
        drop(file);
        let made = self.work.join("root.erofs");
        let imported = rootfs::import(&archive, &self.work, &made, &Limits::default())
            .map_err(|error| judge(error, &archive))?;
        let stored = blob::write(artifacts, keys, File::open(&made).map_err(Error::Keep)?)?;
        let hex = hex_of(&imported.digest).map_err(Error::Fetch)?;
        fs::rename(&made, self.directory.image(hex)).map_err(Error::Keep)?;
        Ok(ImportedImage {
            digest: imported.digest,
            manifest: stored.id.to_string(),
            size_bytes: imported.size_bytes,
            env: imported.config.env,
            workdir: imported.config.workdir,
            user: imported.config.user,
        })
    }
}

/// Tells what is wrong with the archive from what is wrong with this host.
fn judge(error: rootfs::Error, archive: &Path) -> Error {
    match &error {
        rootfs::Error::NotAnImage { .. }
        | rootfs::Error::Unreadable { .. }
        | rootfs::Error::Malformed { .. }
        | rootfs::Error::Missing { .. }
        | rootfs::Error::Digest { .. }
        | rootfs::Error::Platform { .. }
        | rootfs::Error::Ambiguous { .. }
        | rootfs::Error::Refused { .. }
        | rootfs::Error::TooLarge { .. } => Error::Archive {
            code: error.code(),
            // Where it lay for the import is nobody's business.
            message: describe(&error).replace(&archive.display().to_string(), "the archive"),
        },
        rootfs::Error::Io { .. }
        | rootfs::Error::Privilege { .. }
        | rootfs::Error::MissingTool { .. }
        | rootfs::Error::Tool { .. }
        | rootfs::Error::DeadlinePassed { .. }
        | rootfs::Error::RootImage { .. } => Error::Rootfs(error),
    }
}

/// Copies what an image holds at `path` into the empty directory `into`; nothing if it holds no directory there.
pub(crate) async fn extract_subtree<D: Driver>(
    base: &Base<D>,
    image: &Path,
    path: &str,
    into: &Path,
) -> Result<(), Error> {
    let (image, path, into) = (image.to_owned(), path.to_owned(), into.to_owned());
    base.artifacts
        .run(move |_| {
            rootfs::extract_subtree(&image, &path, &into)?;
            Ok(())
        })
        .await
}
