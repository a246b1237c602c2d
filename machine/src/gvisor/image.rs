//! The files of a checkpoint: made durable by us, since `runsc` does not.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::Error;

/// Makes the image at `directory` durable and gives its size.
///
/// # Errors
/// `Io`; `Image` if it holds no files.
pub(super) async fn make_durable(directory: PathBuf) -> Result<u64, Error> {
    let shown = directory.clone();
    let synced = tokio::task::spawn_blocking(move || sync_tree(&directory)).await;
    let bytes = match synced {
        Ok(result) => result.map_err(Error::io("sync", &shown))?,
        Err(stopped) => return Err(Error::io("sync", &shown)(io::Error::other(stopped))),
    };
    if bytes == 0 {
        return Err(Error::Image {
            path: shown,
            reason: "it is empty".to_owned(),
        });
    }
    Ok(bytes)
}

/// Removes an image that is of no use. Errors have nobody to go to: it is removed again with its machine's directory.
pub(super) async fn discard(directory: &Path) {
    if let Err(error) = tokio::fs::remove_dir_all(directory).await
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %directory.display(), %error, "remove a torn checkpoint image");
    }
}

fn sync_tree(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let file = File::open(entry?.path())?;
        file.sync_all()?;
        bytes += file.metadata()?.len();
    }
    File::open(directory)?.sync_all()?;
    if let Some(parent) = directory.parent() {
        File::open(parent)?.sync_all()?;
    }
    Ok(bytes)
}
