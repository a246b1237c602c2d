//! The files of a workspace.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use helmr_domain::WorkspaceId;
use reqwest::Body;

use super::request::Request;
use super::{Answer, Client, Error};
use crate::http::files::{
    AppendFile, ChangeMode, DownloadFiles, File, FileAnswer, FileMatch, GlobFiles, ListFiles,
    MakeDirectory, MoveFile, ReadFile, RemoveFile, SearchFiles, StatFile, UploadFiles,
    UploadedFiles, WriteFile,
};
use crate::http::page::Page;

/// Files are large and lines slow.
const TIMEOUT: Duration = Duration::from_secs(6 * 60 * 60);
/// Waking a machine may take its time.
const WAKES_WITHIN: Duration = Duration::from_secs(180);

/// What must be so before a file is changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum FileCondition {
    #[default]
    None,
    /// Nothing is there.
    Absent,
    /// What is there has this revision.
    Revision(String),
}

/// Bytes of a file or an archive as they come.
pub struct Incoming {
    /// How many, where it is known.
    pub size_bytes: Option<u64>,
    operation: String,
    pieces: BoxStream<'static, reqwest::Result<Bytes>>,
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Incoming")
            .field("operation", &self.operation)
            .field("size_bytes", &self.size_bytes)
            .finish_non_exhaustive()
    }
}

impl Incoming {
    /// The next bytes; `None` after the last.
    ///
    /// # Errors
    /// `Interrupted` if they are cut.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        self.pieces
            .next()
            .await
            .transpose()
            .map_err(|source| Error::Interrupted {
                operation: self.operation.clone(),
                source,
            })
    }
}

impl Client {
    fn files<'a>(
        &'a self,
        method: impl FnOnce(&'a Self, &[&str]) -> Request<'a>,
        workspace: WorkspaceId,
        action: Option<&str>,
    ) -> Request<'a> {
        let id = workspace.to_string();
        let mut path = vec!["workspaces", id.as_str(), "files"];
        path.extend(action);
        method(self, &path)
    }

    /// By name.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn list_files(
        &self,
        workspace: WorkspaceId,
        query: &ListFiles,
    ) -> Result<Answer<Page<File>>, Error> {
        self.files(Self::get, workspace, None)
            .query("path", query.path.as_ref())
            .query("version", query.version)
            .query("limit", query.limit)
            .query("cursor", query.cursor.as_ref())
            .send()
            .await
    }

    /// # Errors
    /// `file_not_found`, and those of the server.
    pub async fn stat_file(
        &self,
        workspace: WorkspaceId,
        query: &StatFile,
    ) -> Result<Answer<FileAnswer>, Error> {
        self.files(Self::get, workspace, Some("stat"))
            .query("path", query.path.as_ref())
            .query("version", query.version)
            .query("follow", query.follow)
            .send()
            .await
    }

    /// Reads a file; `range` as HTTP writes it, like `bytes=0-99`.
    ///
    /// # Errors
    /// `file_not_found`, `file_wrong_kind`, `range_not_satisfiable`, and those of the server.
    pub async fn read_file(
        &self,
        workspace: WorkspaceId,
        query: &ReadFile,
        range: Option<&str>,
    ) -> Result<Incoming, Error> {
        let request = self
            .files(Self::get, workspace, Some("content"))
            .query("path", Some(&query.path))
            .query("version", query.version)
            .header("range", range);
        incoming(request).await
    }

    /// Writes a file as a whole.
    ///
    /// # Errors
    /// `file_changed` if the condition does not hold, and those of the server.
    pub async fn write_file<S, E>(
        &self,
        workspace: WorkspaceId,
        query: &WriteFile,
        condition: &FileCondition,
        bytes: S,
    ) -> Result<Answer<FileAnswer>, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        let request = self
            .files(Self::put, workspace, Some("content"))
            .query("path", Some(&query.path))
            .query("mode", query.mode)
            .query("parents", query.parents)
            .timeout(TIMEOUT);
        conditioned(request, condition)
            .send_stream(Body::wrap_stream(bytes))
            .await
    }

    /// Adds bytes at a file's end.
    ///
    /// # Errors
    /// `file_changed` if the condition does not hold, and those of the server.
    pub async fn append_file<S, E>(
        &self,
        workspace: WorkspaceId,
        query: &AppendFile,
        condition: &FileCondition,
        bytes: S,
    ) -> Result<Answer<FileAnswer>, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        let request = self
            .files(Self::post, workspace, Some("append"))
            .query("path", Some(&query.path))
            .query("offset", query.offset)
            .query("parents", query.parents)
            .timeout(TIMEOUT);
        conditioned(request, condition)
            .send_stream(Body::wrap_stream(bytes))
            .await
    }

    /// # Errors
    /// `file_exists`, and those of the server.
    pub async fn make_directory(
        &self,
        workspace: WorkspaceId,
        body: &MakeDirectory,
    ) -> Result<Answer<FileAnswer>, Error> {
        self.files(Self::post, workspace, Some("mkdir"))
            .json(body)?
            .send()
            .await
    }

    /// # Errors
    /// `file_not_found`, `file_exists`, and those of the server.
    pub async fn move_file(
        &self,
        workspace: WorkspaceId,
        body: &MoveFile,
    ) -> Result<Answer<FileAnswer>, Error> {
        self.files(Self::post, workspace, Some("move"))
            .json(body)?
            .timeout(WAKES_WITHIN)
            .send()
            .await
    }

    /// # Errors
    /// `file_not_found`, and those of the server.
    pub async fn change_mode(
        &self,
        workspace: WorkspaceId,
        body: &ChangeMode,
        condition: &FileCondition,
    ) -> Result<Answer<FileAnswer>, Error> {
        let request = self
            .files(Self::post, workspace, Some("chmod"))
            .json(body)?;
        conditioned(request, condition).send().await
    }

    /// # Errors
    /// `file_not_found`, `directory_not_empty`, and those of the server.
    pub async fn remove_file(
        &self,
        workspace: WorkspaceId,
        query: &RemoveFile,
        condition: &FileCondition,
    ) -> Result<(), Error> {
        let request = self
            .files(Self::delete, workspace, None)
            .query("path", Some(&query.path))
            .query("recursive", query.recursive)
            .timeout(WAKES_WITHIN);
        conditioned(request, condition).start(None).await.map(drop)
    }

    /// Reads a directory, or a file, as a tar.
    ///
    /// # Errors
    /// `file_not_found`, and those of the server.
    pub async fn download_files(
        &self,
        workspace: WorkspaceId,
        query: &DownloadFiles,
    ) -> Result<Incoming, Error> {
        let request = self
            .files(Self::get, workspace, Some("archive"))
            .query("path", query.path.as_ref())
            .query("version", query.version);
        incoming(request).await
    }

    /// Unpacks a tar into a directory.
    ///
    /// # Errors
    /// `archive_invalid`, and those of the server.
    pub async fn upload_files<S, E>(
        &self,
        workspace: WorkspaceId,
        query: &UploadFiles,
        bytes: S,
    ) -> Result<Answer<UploadedFiles>, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        self.files(Self::put, workspace, Some("archive"))
            .query("path", query.path.as_ref())
            .timeout(TIMEOUT)
            .send_stream(Body::wrap_stream(bytes))
            .await
    }

    /// # Errors
    /// `pattern_invalid`, and those of the server.
    pub async fn glob_files(
        &self,
        workspace: WorkspaceId,
        query: &GlobFiles,
    ) -> Result<Answer<Page<File>>, Error> {
        self.files(Self::get, workspace, Some("glob"))
            .query("pattern", Some(&query.pattern))
            .query("path", query.path.as_ref())
            .query("version", query.version)
            .query("limit", query.limit)
            .query("cursor", query.cursor.as_ref())
            .send()
            .await
    }

    /// # Errors
    /// `pattern_invalid`, and those of the server.
    pub async fn search_files(
        &self,
        workspace: WorkspaceId,
        query: &SearchFiles,
    ) -> Result<Answer<Page<FileMatch>>, Error> {
        self.files(Self::get, workspace, Some("search"))
            .query("query", Some(&query.query))
            .query("regex", query.regex)
            .query("ignore_case", query.ignore_case)
            .query("glob", query.glob.as_ref())
            .query("path", query.path.as_ref())
            .query("version", query.version)
            .query("limit", query.limit)
            .query("cursor", query.cursor.as_ref())
            .send()
            .await
    }
}

async fn incoming(request: Request<'_>) -> Result<Incoming, Error> {
    let request = request.timeout(TIMEOUT);
    let operation = request.operation();
    let answer = request.start(None).await?;
    Ok(Incoming {
        size_bytes: answer.content_length(),
        operation,
        pieces: answer.bytes_stream().boxed(),
    })
}

fn conditioned<'a>(request: Request<'a>, condition: &FileCondition) -> Request<'a> {
    match condition {
        FileCondition::None => request,
        FileCondition::Absent => request.header("if-none-match", Some("*")),
        FileCondition::Revision(revision) => {
            request.header("if-match", Some(&format!("\"{revision}\"")))
        }
    }
}
