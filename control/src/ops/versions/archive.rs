//! Versions as tar archives, out and in. Neither an archive nor a tree is ever held whole.

use std::io;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use helmr_api::error::Code;
use helmr_artifacts::tree::{self, ArchiveLimits, Imported};
use helmr_artifacts::{Error, ManifestId};
use helmr_store::workspaces::{self, Workspace};
use serde_json::json;
use tokio::sync::mpsc;

use crate::ops::uploads::channel::{self, Broken};
use crate::state::Environment;
use crate::{ApiError, Control};

/// Pieces of an archive that wait to be sent, and how large each is.
const PIECES: usize = 8;
const PIECE_BYTES: usize = 64 << 10;
/// Paths in an archive: each takes some hundred bytes of memory until the last one is read.
const ENTRIES: u64 = 2_000_000;
/// Headers and padding of an archive beside its contents: a few blocks for each path.
const ENTRY_BYTES: u64 = 4_096;

/// Writes a tree as an archive, piece by piece. The receiver may go away.
pub(crate) fn export(
    control: &Control,
    environment: &Environment,
    manifest: ManifestId,
) -> mpsc::Receiver<io::Result<Bytes>> {
    let (send, pieces) = mpsc::channel(PIECES);
    let keys = environment.keys.clone();
    let artifacts = control.artifacts.clone();
    control.tasks.spawn(async move {
        let out = Out {
            send: send.clone(),
            piece: BytesMut::new(),
        };
        let written = artifacts.run(move |artifacts| tree::export(artifacts, &keys, manifest, out));
        match written.await {
            // Whoever wanted it has gone, or it is whole.
            Ok(_) | Err(Error::Stream { .. }) => {}
            Err(error) => {
                tracing::error!(%error, "an archive ended early");
                // The answer has begun: that it breaks off is all that can be told.
                drop(
                    send.send(Err(io::Error::other("an archive ended early")))
                        .await,
                );
            }
        }
    });
    pieces
}

/// Sends what is written to it.
struct Out {
    send: mpsc::Sender<io::Result<Bytes>>,
    piece: BytesMut,
}

impl io::Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        self.send
            .blocking_send(Ok(self.piece.split().freeze()))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Stores an archive's files. They are durable when this returns, and no version yet. Gives the archive's SHA-256 too.
///
/// # Errors
/// `archive_invalid`, `archive_too_large`, `invalid_body` for one that was cut short.
pub(crate) async fn receive(
    control: &Control,
    environment: &Environment,
    workspace: &Workspace,
    body: Body,
) -> Result<(Imported, String), ApiError> {
    let scope = environment.row.scope;
    let disk = workspaces::disk_bytes(&control.store, scope, workspace.id).await?;
    let limits = ArchiveLimits {
        bytes: disk,
        entries: ENTRIES.min(disk / ENTRY_BYTES),
    };
    let keys = environment.keys.clone();
    let most = disk.saturating_add(limits.entries.saturating_mul(ENTRY_BYTES));
    let (feed, mut reader) = channel::channel(body, most);
    let import = control.artifacts.run(move |artifacts| {
        let imported = tree::import(artifacts, &keys, &mut reader, limits)?;
        // What follows the end of an archive is not looked at, but it is a part of the request.
        io::copy(&mut reader, &mut io::sink())?;
        Ok::<_, Error>((imported, reader.sha256()))
    });
    let (pumped, imported) = tokio::join!(feed.pump(), import);
    match pumped {
        Ok(()) => imported.map_err(refused),
        Err(Broken::TooLarge) => Err(too_large(disk)),
        Err(broken @ (Broken::Cut | Broken::Silent)) => {
            Err(ApiError::new(Code::InvalidBody, broken.to_string()))
        }
    }
}

fn refused(error: Error) -> ApiError {
    let invalid = |reason: String| {
        let message = format!("the archive cannot be made a version: {reason}");
        ApiError::new(Code::ArchiveInvalid, message)
    };
    match error {
        Error::OverLimit {
            limit,
            unit: "bytes",
        } => too_large(limit),
        Error::OverLimit { .. } => ApiError::new(
            Code::ArchiveTooLarge,
            format!("the archive holds too much: {error}"),
        ),
        Error::Refused { path, reason } => {
            let path = path.display().to_string();
            invalid(format!("{path}: {reason}"))
                .with_details(json!({ "path": path, "reason": reason }))
        }
        Error::FileTooLarge { .. } => invalid(error.to_string()),
        Error::Stream { source, .. } => {
            invalid(format!("it is torn, or no tar archive ({source})"))
        }
        error if error.is_disk_full() => ApiError::unavailable(
            Code::StoreUnavailable,
            "the artifact store is full; nothing was changed",
            &error,
        ),
        error => ApiError::internal(&error),
    }
}

fn too_large(disk: u64) -> ApiError {
    ApiError::new(
        Code::ArchiveTooLarge,
        format!("the archive holds more than the workspace's disk, which has {disk} bytes"),
    )
    .with_details(json!({ "limit_bytes": disk }))
}
