//! Sessions: started, looked at and ended.

use helmr_domain::SessionId;

use super::{Answer, Client, Error, Follow, IdempotencyKey};
use crate::http::events::Event;
use crate::http::page::{Page, PageQuery};
use crate::http::sessions::{
    CancelSession, CloseSession, ListSessions, Session, SessionAnswer, SessionStatus, StartSession,
    StartedSession, UpdateSession,
};

impl Client {
    /// Starts a task, or finds the open session of the same external id.
    ///
    /// # Errors
    /// `payload_invalid` names the path of the field; `session_fingerprint_mismatch` if the open session is another one.
    pub async fn start_session(
        &self,
        body: &StartSession,
        key: &IdempotencyKey,
    ) -> Result<Answer<StartedSession>, Error> {
        self.post(&["sessions"])
            .json(body)?
            .idempotency_key(key)
            .send()
            .await
    }

    /// # Errors
    /// Those of the server.
    pub async fn get_session(&self, id: SessionId) -> Result<Answer<SessionAnswer>, Error> {
        self.get(&["sessions", &id.to_string()]).send().await
    }

    /// Newest first.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn list_sessions(
        &self,
        query: &ListSessions,
    ) -> Result<Answer<Page<Session>>, Error> {
        self.get(&["sessions"])
            .query("limit", query.limit)
            .query("cursor", query.cursor.as_ref())
            .query("status", query.status.map(SessionStatus::as_str))
            .query("task", query.task.as_ref())
            .query("external_id", query.external_id.as_ref())
            .query("tag", query.tag.as_ref())
            .query("workspace_id", query.workspace_id.as_ref())
            .send()
            .await
    }

    /// Changes tags or metadata. What is absent stays as it is.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn update_session(
        &self,
        id: SessionId,
        body: &UpdateSession,
    ) -> Result<Answer<SessionAnswer>, Error> {
        self.patch(&["sessions", &id.to_string()])
            .json(body)?
            .send()
            .await
    }

    /// What happened to a session beside its runs, oldest first.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn list_session_events(
        &self,
        id: SessionId,
        page: &PageQuery,
    ) -> Result<Answer<Page<Event>>, Error> {
        self.get(&["sessions", &id.to_string(), "events"])
            .query("limit", page.limit)
            .query("cursor", page.cursor.as_ref())
            .send()
            .await
    }

    /// Follows a session's events from the cursor on, or from the first one.
    #[must_use]
    pub fn follow_session_events(&self, id: SessionId, cursor: Option<String>) -> Follow<Event> {
        let query = cursor.map(|cursor| ("cursor", cursor));
        self.follow(
            &["sessions", &id.to_string(), "events"],
            query.into_iter().collect(),
        )
    }

    /// Closes a session without an active run.
    ///
    /// # Errors
    /// `session_run_active` while it has one.
    pub async fn close_session(&self, id: SessionId) -> Result<Answer<SessionAnswer>, Error> {
        self.post(&["sessions", &id.to_string(), "close"])
            .json(&CloseSession {})?
            .send()
            .await
    }

    /// Cancels a session and its active run.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn cancel_session(
        &self,
        id: SessionId,
        body: &CancelSession,
    ) -> Result<Answer<SessionAnswer>, Error> {
        self.post(&["sessions", &id.to_string(), "cancel"])
            .json(body)?
            .send()
            .await
    }
}
