//! PTYs: terminals in a workspace's machine.

use helmr_domain::{PtyId, WorkspaceId};

use super::{Answer, Client, Error, Follow, IdempotencyKey};
use crate::http::execs::{OutputItem, OutputQuery};
use crate::http::page::{Page, PageQuery};
use crate::http::ptys::{ClosePty, CreatePty, Pty, PtyAnswer, ResizePty, WriteInput};

impl Client {
    /// Opens a terminal in a workspace's machine.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn create_pty(
        &self,
        workspace: WorkspaceId,
        body: &CreatePty,
        key: &IdempotencyKey,
    ) -> Result<Answer<PtyAnswer>, Error> {
        self.post(&["workspaces", &workspace.to_string(), "ptys"])
            .json(body)?
            .idempotency_key(key)
            .send()
            .await
    }

    /// Newest first.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn list_ptys(
        &self,
        workspace: WorkspaceId,
        query: &PageQuery,
    ) -> Result<Answer<Page<Pty>>, Error> {
        self.get(&["workspaces", &workspace.to_string(), "ptys"])
            .query("limit", query.limit)
            .query("cursor", query.cursor.as_ref())
            .send()
            .await
    }

    /// # Errors
    /// Those of the server.
    pub async fn get_pty(&self, id: PtyId) -> Result<Answer<PtyAnswer>, Error> {
        self.get(&["ptys", &id.to_string()]).send().await
    }

    /// Reads what a PTY printed, from `query.cursor` on.
    ///
    /// # Errors
    /// `cursor_expired` names the earliest byte that is kept.
    pub async fn read_pty_output(
        &self,
        id: PtyId,
        query: &OutputQuery,
    ) -> Result<Answer<Page<OutputItem>>, Error> {
        self.get(&["ptys", &id.to_string(), "output"])
            .query("limit", query.limit)
            .query("cursor", query.cursor.as_ref())
            .send()
            .await
    }

    /// Follows what a PTY prints, from a byte on, until it has ended.
    pub fn follow_pty(&self, id: PtyId, cursor: Option<String>) -> Follow<OutputItem> {
        let query = cursor
            .map(|cursor| ("cursor", cursor))
            .into_iter()
            .collect();
        self.follow(&["ptys", &id.to_string(), "output"], query)
    }

    /// Types in a PTY. A write with an offset may be repeated.
    ///
    /// # Errors
    /// `pty_ended`, `pty_input_full`, `pty_input_out_of_step`.
    pub async fn write_pty_input(
        &self,
        id: PtyId,
        body: &WriteInput,
    ) -> Result<Answer<PtyAnswer>, Error> {
        self.post(&["ptys", &id.to_string(), "input"])
            .json(body)?
            .send()
            .await
    }

    /// Sets a PTY's size.
    ///
    /// # Errors
    /// `pty_ended`.
    pub async fn resize_pty(
        &self,
        id: PtyId,
        body: &ResizePty,
    ) -> Result<Answer<PtyAnswer>, Error> {
        self.post(&["ptys", &id.to_string(), "resize"])
            .json(body)?
            .send()
            .await
    }

    /// Hangs a PTY up.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn close_pty(&self, id: PtyId) -> Result<Answer<PtyAnswer>, Error> {
        self.post(&["ptys", &id.to_string(), "close"])
            .json(&ClosePty {})?
            .send()
            .await
    }
}
