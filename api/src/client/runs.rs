//! Runs: looked at, followed and cancelled.

use helmr_domain::RunId;

use super::{Answer, Client, Error, Follow, IdempotencyKey};
use crate::http::events::Event;
use crate::http::page::{Page, PageQuery};
use crate::http::runs::{
    CancelRun, ListRuns, LogItem, LogQuery, LogStream, Run, RunAnswer, RunStatus,
};

impl Client {
    /// # Errors
    /// Those of the server.
    pub async fn get_run(&self, id: RunId) -> Result<Answer<RunAnswer>, Error> {
        self.get(&["runs", &id.to_string()]).send().await
    }

    /// Newest first.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn list_runs(&self, query: &ListRuns) -> Result<Answer<Page<Run>>, Error> {
        self.get(&["runs"])
            .query("limit", query.limit)
            .query("cursor", query.cursor.as_ref())
            .query("session_id", query.session_id.as_ref())
            .query("status", query.status.map(status_name))
            .query("task", query.task.as_ref())
            .send()
            .await
    }

    /// Asks a run to end. Repeating it is fine.
    ///
    /// # Errors
    /// `run_finished` if it has ended otherwise.
    pub async fn cancel_run(
        &self,
        id: RunId,
        body: &CancelRun,
    ) -> Result<Answer<RunAnswer>, Error> {
        self.post(&["runs", &id.to_string(), "cancel"])
            .json(body)?
            .send()
            .await
    }

    /// Starts another run of the session of one that has ended.
    ///
    /// # Errors
    /// `session_run_active` while the session has a run, `session_ended` if it takes none any more.
    pub async fn retry_run(
        &self,
        id: RunId,
        key: &IdempotencyKey,
    ) -> Result<Answer<RunAnswer>, Error> {
        self.post(&["runs", &id.to_string(), "retry"])
            .json(&serde_json::json!({}))?
            .idempotency_key(key)
            .send()
            .await
    }

    /// Oldest first.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn list_run_events(
        &self,
        id: RunId,
        page: &PageQuery,
    ) -> Result<Answer<Page<Event>>, Error> {
        self.get(&["runs", &id.to_string(), "events"])
            .query("limit", page.limit)
            .query("cursor", page.cursor.as_ref())
            .send()
            .await
    }

    /// Follows a run's events from the cursor on, or from the first one.
    #[must_use]
    pub fn follow_run_events(&self, id: RunId, cursor: Option<String>) -> Follow<Event> {
        let query = cursor.map(|cursor| ("cursor", cursor));
        self.follow(
            &["runs", &id.to_string(), "events"],
            query.into_iter().collect(),
        )
    }

    /// Oldest first.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn list_run_logs(
        &self,
        id: RunId,
        query: &LogQuery,
    ) -> Result<Answer<Page<LogItem>>, Error> {
        self.get(&["runs", &id.to_string(), "logs"])
            .query("limit", query.limit)
            .query("cursor", query.cursor.as_ref())
            .query("stream", query.stream.map(stream_name))
            .query("offset", query.offset)
            .send()
            .await
    }

    /// Follows what a run prints and logs.
    #[must_use]
    pub fn follow_run_logs(&self, id: RunId, query: &LogQuery) -> Follow<LogItem> {
        let cursor = query.cursor.clone().map(|cursor| ("cursor", cursor));
        let stream = query
            .stream
            .map(|stream| ("stream", stream_name(stream).to_owned()));
        let query = cursor.into_iter().chain(stream).collect();
        self.follow(&["runs", &id.to_string(), "logs"], query)
    }
}

fn status_name(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Queued => "queued",
        RunStatus::Running => "running",
        RunStatus::Waiting => "waiting",
        RunStatus::Succeeded => "succeeded",
        RunStatus::Failed => "failed",
        RunStatus::Cancelled => "cancelled",
        RunStatus::Expired => "expired",
    }
}

fn stream_name(stream: LogStream) -> &'static str {
    match stream {
        LogStream::Stdout => "stdout",
        LogStream::Stderr => "stderr",
        LogStream::Logger => "logger",
    }
}
