//! Files in a captured tree: read from it, and changed by making another one of it.

use axum::body::Body;
use helmr_api::error::Code;
use helmr_api::worker::files::{Change, Look};
use helmr_artifacts::ManifestId;
use helmr_artifacts::files::{Append, Edit, Kept, Put, Stored, unpack};
use helmr_domain::VersionId;
use helmr_files::{Broken, Refusal, Reply, condition, file, incoming, path, uploaded};
use helmr_store::worker::CapturedVersion;
use helmr_store::workspaces::{self, CommitEdit};

use super::Subject;
use crate::ApiError;

pub(super) async fn look(
    subject: &Subject<'_>,
    manifest: &str,
    mount: &str,
    look: Look,
) -> Result<Reply, ApiError> {
    let open = opening(subject, manifest, mount)?;
    Ok(helmr_files::look(&subject.control.works, open, mount, look).await?)
}

/// Opens a captured tree, where that may block.
fn opening(
    subject: &Subject<'_>,
    manifest: &str,
    mount: &str,
) -> Result<impl FnOnce() -> Result<Stored, Refusal> + Send + use<>, ApiError> {
    let control = subject.control;
    let id: ManifestId = manifest
        .parse()
        .map_err(|error: helmr_artifacts::Error| ApiError::internal(&error))?;
    let (artifacts, outlines) = (control.artifacts.clone(), control.outlines.clone());
    let (keys, mount) = (subject.environment.keys.clone(), mount.as_bytes().to_vec());
    Ok(move || {
        let outline = outlines.get(&artifacts, &keys, id)?;
        Ok(Stored::new(&artifacts, &keys, outline, &mount))
    })
}

/// The version that files are changed in.
pub(super) struct Base<'a> {
    /// `None`: what the image holds.
    pub(super) id: Option<VersionId>,
    pub(super) manifest: &'a str,
    pub(super) mount: &'a str,
}

/// Stores the bytes of a write, for whatever place the files are in then.
pub(super) async fn keep(subject: &Subject<'_>, body: Body) -> Result<Kept, ApiError> {
    let artifacts = subject.control.artifacts.clone();
    let keys = subject.environment.keys.clone();
    let (feed, reader) = incoming(body);
    let storing = subject.control.works.run(move || {
        Kept::store(&artifacts, &keys, reader).map_err(|error| match error {
            helmr_artifacts::files::Error::Stream(_) => cut(),
            error => error.into(),
        })
    });
    let (pumped, kept) = tokio::join!(feed.pump(), storing);
    let kept = kept?;
    pumped.map_err(|broken: Broken| ApiError::new(Code::InvalidBody, broken.to_string()))?;
    Ok(kept)
}

fn cut() -> Refusal {
    Refusal::new(
        Code::InvalidBody,
        "the bytes ended before they were complete",
    )
}

/// Changes a version into the next one. `kept` are the bytes of a write. `files_moving` if they were not the workspace's
/// files any more.
pub(super) async fn change(
    subject: &Subject<'_>,
    base: &Base<'_>,
    change: Change,
    kept: Option<Kept>,
) -> Result<Vec<u8>, ApiError> {
    let open = opening(subject, base.manifest, base.mount)?;
    let mount = base.mount.as_bytes().to_vec();
    let edited = subject.control.works.run(move || {
        let stored = open()?;
        let mut edit = Edit::of(&stored);
        let reply = perform(&mut edit, &mount, &change, kept.as_ref())?;
        Ok((reply, edit.finish()?))
    });
    let (reply, edited) = edited.await?;
    commit(subject, base, edited).await?;
    Ok(reply.head)
}

/// Unpacks an archive into a version, which makes the next one.
pub(super) async fn upload(
    subject: &Subject<'_>,
    base: &Base<'_>,
    into: &helmr_api::http::files::PathText,
    body: Body,
) -> Result<Vec<u8>, ApiError> {
    let open = opening(subject, base.manifest, base.mount)?;
    let dir = path(into, base.mount.as_bytes())?;
    let (feed, reader) = incoming(body);
    let unpacking = subject.control.works.run(move || {
        let stored = open()?;
        let mut edit = Edit::of(&stored);
        if !dir.is_root() {
            edit.make_directory(&dir, None, true)?;
        }
        let unpacked = unpack(reader, &dir, &mut edit)?;
        Ok((unpacked, edit.finish()?))
    });
    let (pumped, unpacked) = tokio::join!(feed.pump(), unpacking);
    let (unpacked, edited) = unpacked?;
    pumped.map_err(|broken: Broken| ApiError::new(Code::InvalidBody, broken.to_string()))?;
    commit(subject, base, edited).await?;
    Ok(Reply::of(&uploaded(unpacked))?.head)
}

async fn commit(
    subject: &Subject<'_>,
    base: &Base<'_>,
    edited: helmr_artifacts::files::Edited,
) -> Result<(), ApiError> {
    let control = subject.control;
    let at = control.moment()?;
    let input = CommitEdit {
        at,
        scope: subject.environment.row.scope,
        workspace: subject.workspace,
        base: base.id,
        version: CapturedVersion {
            version_id: at.ids().make(VersionId::new),
            manifest: edited.id.to_string(),
            size_bytes: edited.size_bytes,
            changed_bytes: edited.changed_bytes,
        },
    };
    if workspaces::commit_edit(&control.store, input).await? {
        return Ok(());
    }
    Err(ApiError::new(
        Code::FilesMoving,
        "the workspace's files were changed or taken elsewhere meanwhile",
    ))
}

fn perform(
    edit: &mut Edit<'_>,
    mount: &[u8],
    change: &Change,
    kept: Option<&Kept>,
) -> Result<Reply, Refusal> {
    let bytes = || kept.ok_or_else(|| Refusal::internal("a write came without bytes"));
    let info = match change {
        Change::Write {
            path: at,
            mode,
            parents,
            condition: asked,
        } => {
            let put = Put {
                mode: *mode,
                parents: *parents,
                replaces_links: false,
                condition: condition(asked),
            };
            edit.put(&path(at, mount)?, bytes()?, &put)?
        }
        Change::Append {
            path: at,
            offset,
            parents,
            condition: asked,
        } => {
            let append = Append {
                offset: *offset,
                parents: *parents,
                condition: condition(asked),
            };
            edit.append(&path(at, mount)?, bytes()?, &append)?
        }
        Change::Upload { .. } => {
            return Err(Refusal::internal("an archive is unpacked file by file"));
        }
        Change::MakeDirectory {
            path: at,
            mode,
            parents,
        } => edit.make_directory(&path(at, mount)?, *mode, *parents)?,
        Change::Move {
            from,
            to,
            overwrite,
        } => edit.rename(&path(from, mount)?, &path(to, mount)?, *overwrite)?,
        Change::Remove {
            path: at,
            recursive,
            condition: asked,
        } => {
            edit.remove(&path(at, mount)?, *recursive, &condition(asked))?;
            return Reply::of(&());
        }
        Change::SetMode {
            path: at,
            mode,
            condition: asked,
        } => edit.set_mode(&path(at, mount)?, *mode, &condition(asked))?,
    };
    Reply::of(&file(&info))
}

/// The bytes again, as a body for a worker.
pub(super) fn sent(subject: &Subject<'_>, kept: &Kept) -> Body {
    let control = subject.control;
    let (mut out, body) = helmr_files::outgoing();
    let mut reader = kept.read(&control.artifacts, &subject.environment.keys);
    let works = control.works.clone();
    control.tasks.spawn(async move {
        works
            .run(move || {
                // A body that is cut is a failure at its other end.
                if std::io::copy(&mut reader, &mut out).is_ok() {
                    drop(out.finish());
                }
                Ok(())
            })
            .await
            .ok();
    });
    body
}
