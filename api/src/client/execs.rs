//! Execs: commands run in a workspace's machine.

use helmr_domain::{ExecId, WorkspaceId};

use super::{Answer, Client, Error, Follow, IdempotencyKey};
use crate::http::execs::{
    CreateExec, Exec, ExecAnswer, OutputItem, OutputQuery, SignalExec, WriteStdin,
};
use crate::http::page::{Page, PageQuery};
use crate::http::runs::LogStream;

impl Client {
    /// Runs a command in a workspace's machine.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn create_exec(
        &self,
        workspace: WorkspaceId,
        body: &CreateExec,
        key: &IdempotencyKey,
    ) -> Result<Answer<ExecAnswer>, Error> {
        self.post(&["workspaces", &workspace.to_string(), "execs"])
            .json(body)?
            .idempotency_key(key)
            .send()
            .await
    }

    /// Newest first.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn list_execs(
        &self,
        workspace: WorkspaceId,
        query: &PageQuery,
    ) -> Result<Answer<Page<Exec>>, Error> {
        self.get(&["workspaces", &workspace.to_string(), "execs"])
            .query("limit", query.limit)
            .query("cursor", query.cursor.as_ref())
            .send()
            .await
    }

    /// # Errors
    /// Those of the server.
    pub async fn get_exec(&self, id: ExecId) -> Result<Answer<ExecAnswer>, Error> {
        self.get(&["execs", &id.to_string()]).send().await
    }

    /// Reads what an exec printed to its standard output, from `query.cursor` on.
    ///
    /// # Errors
    /// `cursor_expired` names the earliest byte that is kept.
    pub async fn read_exec_stdout(
        &self,
        id: ExecId,
        query: &OutputQuery,
    ) -> Result<Answer<Page<OutputItem>>, Error> {
        self.read_output(id, "stdout", query).await
    }

    /// Reads what an exec printed to its standard error, from `query.cursor` on.
    ///
    /// # Errors
    /// `cursor_expired` names the earliest byte that is kept.
    pub async fn read_exec_stderr(
        &self,
        id: ExecId,
        query: &OutputQuery,
    ) -> Result<Answer<Page<OutputItem>>, Error> {
        self.read_output(id, "stderr", query).await
    }

    async fn read_output(
        &self,
        id: ExecId,
        stream: &str,
        query: &OutputQuery,
    ) -> Result<Answer<Page<OutputItem>>, Error> {
        self.get(&["execs", &id.to_string(), stream])
            .query("limit", query.limit)
            .query("cursor", query.cursor.as_ref())
            .send()
            .await
    }

    /// Follows what an exec prints, from a byte on, until it has ended.
    pub fn follow_exec(
        &self,
        id: ExecId,
        stream: LogStream,
        cursor: Option<String>,
    ) -> Follow<OutputItem> {
        let name = match stream {
            LogStream::Stderr => "stderr",
            LogStream::Stdout | LogStream::Logger => "stdout",
        };
        let query = cursor
            .map(|cursor| ("cursor", cursor))
            .into_iter()
            .collect();
        self.follow(&["execs", &id.to_string(), name], query)
    }

    /// Writes to an exec's input. The same write may be repeated.
    ///
    /// # Errors
    /// `exec_input_closed`, `exec_input_full`, `exec_input_out_of_step`.
    pub async fn write_exec_stdin(
        &self,
        id: ExecId,
        body: &WriteStdin,
    ) -> Result<Answer<ExecAnswer>, Error> {
        self.post(&["execs", &id.to_string(), "stdin"])
            .json(body)?
            .send()
            .await
    }

    /// Sends a signal to an exec's process and everything it started.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn signal_exec(
        &self,
        id: ExecId,
        body: &SignalExec,
    ) -> Result<Answer<ExecAnswer>, Error> {
        self.post(&["execs", &id.to_string(), "signal"])
            .json(body)?
            .send()
            .await
    }
}
