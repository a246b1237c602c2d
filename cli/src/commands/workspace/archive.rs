//! `helmr workspace export` and `helmr workspace import`.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::stream;
use helmr_api::client::Client;
use helmr_api::http::versions::ImportQuery;
use helmr_domain::{VersionId, WorkspaceId};
use tokio::sync::mpsc;

use crate::context::Context;
use crate::error::CommandError;
use crate::progress::Step;
use crate::show;

const PIECE_BYTES: usize = 256 << 10;
/// Pieces read ahead.
const AHEAD: usize = 4;

#[derive(Debug, clap::Args)]
pub struct Export {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// The version (wsv_…): the current one unless told
    version: Option<VersionId>,

    /// Write the archive here; `-` is standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

#[derive(Debug, clap::Args)]
pub struct Import {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// A tar archive, uncompressed; `-` is standard input
    archive: PathBuf,

    /// What to say of the version that this makes
    #[arg(long, short)]
    message: Option<String>,
}

pub(super) async fn export(
    arguments: Export,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let id = arguments.workspace;
    let version = match arguments.version {
        Some(version) => version,
        None => client
            .get_workspace(id)
            .await?
            .body
            .workspace
            .current_version_id
            .ok_or_else(|| CommandError::failed("the workspace has no version yet"))?,
    };
    let mut archive = client.export_workspace_version(id, version).await?;
    if arguments.output == Path::new("-") {
        while let Some(piece) = archive.next().await? {
            context.output.bytes(&piece)?;
        }
        return Ok(());
    }
    let failed = |error: io::Error| {
        CommandError::failed(format!("write {}", arguments.output.display())).because(&error)
    };
    let step = Step::begin(&context.output, &format!("Exporting {version}"));
    let mut file = File::create(&arguments.output).map_err(failed)?;
    while let Some(piece) = archive.next().await? {
        file.write_all(&piece).map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    step.done(&format!(
        "Exported {version} to {}",
        arguments.output.display()
    ));
    Ok(())
}

pub(super) async fn import(
    arguments: Import,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let source: Box<dyn Read + Send> = if arguments.archive == Path::new("-") {
        Box::new(io::stdin())
    } else {
        let opened = File::open(&arguments.archive).map_err(|error| {
            CommandError::usage(format!("read {}", arguments.archive.display())).because(&error)
        })?;
        Box::new(opened)
    };
    let step = Step::begin(&context.output, "Importing");
    let query = ImportQuery {
        message: arguments.message,
    };
    let answer = client
        .import_workspace_version(
            arguments.workspace,
            &query,
            stream::unfold(read(source), |mut pieces| async move {
                let piece = pieces.recv().await?;
                Some((piece, pieces))
            }),
        )
        .await?;
    step.done(&format!("Imported {}", answer.body.version.id));
    context.output.answer(&answer, |body, style| {
        show::workspace::version(&body.version, style)
    })
}

/// Reads on a thread of its own, which nobody waits for: a read from a terminal cannot be given up.
fn read(mut source: Box<dyn Read + Send>) -> mpsc::Receiver<io::Result<Bytes>> {
    let (pieces, reading) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let piece = match source.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => Ok(Bytes::copy_from_slice(&buffer[..count])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let last = piece.is_err();
            if pieces.blocking_send(piece).is_err() || last {
                return;
            }
        }
    });
    reading
}
