//! Files and directories copied in and out.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use helmr_api::client::{Client, FileCondition, Incoming};
use helmr_api::http::files::{
    AppendFile, DownloadFiles, FileKind, Mode, PathText, ReadFile, StatFile, UploadFiles, WriteFile,
};
use helmr_domain::{VersionId, WorkspaceId};
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::StreamReader;

use super::path::{Condition, inside, outside};
use crate::commands::exec::piped::{self, Piped};
use crate::context::Context;
use crate::deploy::archive::Source;
use crate::error::CommandError;
use crate::progress;
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Put {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// A file or a directory on this computer, or `-` for standard input
    from: PathBuf,

    /// Its path in the workspace; otherwise its name in the workspace's root
    to: Option<OsString>,

    /// Make the directories that are missing on the way
    #[arg(long, short)]
    parents: bool,

    /// Its mode in octal; otherwise that of the file it replaces, or of this one
    #[arg(long, value_name = "MODE")]
    mode: Option<Mode>,

    /// Only if nothing is there
    #[arg(long, conflicts_with = "if_match")]
    if_absent: bool,

    #[command(flatten)]
    condition: Condition,
}

pub(super) async fn put(
    arguments: Put,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let workspace = arguments.workspace;
    let piped = arguments.from.as_os_str() == "-";
    let name = arguments.from.file_name().filter(|_| !piped);
    let to = match (&arguments.to, name) {
        (Some(to), _) => inside(to),
        (None, Some(name)) => inside(name),
        (None, None) => return Err(CommandError::usage("say where it goes in the workspace")),
    };
    let condition = if arguments.if_absent {
        FileCondition::Absent
    } else {
        arguments.condition.read()
    };
    let mut query = WriteFile {
        path: to.clone(),
        mode: arguments.mode,
        parents: arguments.parents.then_some(true),
    };
    let answer = if piped {
        client
            .write_file(workspace, &query, &condition, stdin())
            .await?
    } else {
        let failed = |error: io::Error| {
            CommandError::usage(format!("read {}", arguments.from.display())).because(&error)
        };
        let source = Source::at(&arguments.from).map_err(failed)?;
        if let Source::Tree(..) = source {
            return put_tree(workspace, to, &source, context, client).await;
        }
        if query.mode.is_none() && condition == FileCondition::Absent {
            query.mode = mode_of(&arguments.from).map_err(failed)?;
        }
        let bytes = progress::moving(source.size_bytes(), "Uploading", source.open());
        client
            .write_file(workspace, &query, &condition, bytes)
            .await?
    };
    context
        .output
        .answer(&answer, |body, style| show::file::one(&body.file, style))
}

async fn put_tree(
    workspace: WorkspaceId,
    to: PathText,
    source: &Source,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let query = UploadFiles { path: Some(to) };
    let bytes = progress::moving(None, "Uploading", source.open());
    let answer = client.upload_files(workspace, &query, bytes).await?;
    context.output.answer(&answer, show::file::uploaded)
}

fn mode_of(path: &Path) -> io::Result<Option<Mode>> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = path.metadata()?.permissions().mode();
    Ok(Some(Mode(mode & 0o777)))
}

#[derive(Debug, clap::Args)]
pub struct Append {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// The file, which is made if it is missing
    path: OsString,

    /// Only if the file has so many bytes
    #[arg(long, value_name = "BYTES")]
    offset: Option<u64>,

    /// Make the directories that are missing on the way
    #[arg(long, short)]
    parents: bool,

    #[command(flatten)]
    condition: Condition,
}

pub(super) async fn append(
    arguments: Append,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let query = AppendFile {
        path: inside(&arguments.path),
        offset: arguments.offset,
        parents: arguments.parents.then_some(true),
    };
    let condition = arguments.condition.read();
    let answer = client
        .append_file(arguments.workspace, &query, &condition, stdin())
        .await?;
    context
        .output
        .answer(&answer, |body, style| show::file::one(&body.file, style))
}

/// This command's own input.
fn stdin() -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::unfold(piped::read(), |mut input| async move {
        match input.recv().await {
            Some(Piped::Bytes(bytes)) => Some((Ok(Bytes::from(bytes)), input)),
            Some(Piped::End) | None => None,
        }
    })
}

#[derive(Debug, clap::Args)]
pub struct Get {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// The file or directory in the workspace
    from: OsString,

    /// Where it goes on this computer, or `-` for standard output; otherwise its name in the current directory
    to: Option<PathBuf>,

    /// Of this version (wsv_…) instead of now
    #[arg(long, value_name = "VERSION")]
    version: Option<VersionId>,
}

pub(super) async fn get(
    arguments: Get,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let (workspace, version) = (arguments.workspace, arguments.version);
    let from = inside(&arguments.from);
    let stat = StatFile {
        path: Some(from.clone()),
        version,
        follow: Some(true),
    };
    let file = client.stat_file(workspace, &stat).await?.body.file;
    let is_directory = file.kind == FileKind::Directory;
    let mut bytes = if is_directory {
        let query = DownloadFiles {
            path: Some(from.clone()),
            version,
        };
        client.download_files(workspace, &query).await?
    } else {
        let query = ReadFile {
            path: from.clone(),
            version,
        };
        client.read_file(workspace, &query, None).await?
    };
    let to = match arguments.to {
        Some(to) if to.as_os_str() == "-" => {
            while let Some(piece) = bytes.next().await? {
                context.output.bytes(&piece)?;
            }
            return Ok(());
        }
        Some(to) => to,
        None => {
            let name = outside(&from.name());
            if name.is_empty() || name == "." {
                PathBuf::from(workspace.to_string())
            } else {
                PathBuf::from(name)
            }
        }
    };
    let failed =
        |error: io::Error| CommandError::failed(format!("write {}", to.display())).because(&error);
    if is_directory {
        tokio::fs::create_dir_all(&to).await.map_err(failed)?;
        unpack(bytes, &to).await.map_err(failed)
    } else {
        save(bytes, file.mode, &to).await
    }
}

/// A file is whole or not there: it gets its name when its last byte has come.
async fn save(mut bytes: Incoming, mode: Mode, to: &Path) -> Result<(), CommandError> {
    let failed =
        |error: io::Error| CommandError::failed(format!("write {}", to.display())).because(&error);
    let dir = match to.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        Some(_) | None => Path::new("."),
    };
    let beside = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
    let mut file = tokio::fs::File::from_std(beside.reopen().map_err(failed)?);
    while let Some(piece) = bytes.next().await? {
        file.write_all(&piece).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    use std::os::unix::fs::PermissionsExt as _;
    let permissions = std::fs::Permissions::from_mode(mode.0 & 0o777);
    file.set_permissions(permissions).await.map_err(failed)?;
    beside
        .persist(to)
        .map_err(|error| failed(error.error))
        .map(drop)
}

/// The library keeps what it unpacks in the directory, whatever the archive says.
async fn unpack(bytes: Incoming, to: &Path) -> io::Result<()> {
    let pieces = stream::unfold(bytes, |mut bytes| async move {
        let piece = bytes.next().await.map_err(io::Error::other).transpose()?;
        Some((piece, bytes))
    });
    let reader = StreamReader::new(pieces.boxed());
    tokio_tar::ArchiveBuilder::new(reader)
        .set_preserve_permissions(true)
        .set_preserve_mtime(true)
        .build()
        .unpack(to)
        .await
}
