//! A session's streams: written to, read and followed.

use helmr_domain::SessionId;

use super::{Answer, Client, Error, Follow, IdempotencyKey};
use crate::http::page::{Page, PageQuery};
use crate::http::streams::{
    Direction, ListRecords, ListTranscript, Record, RecordAnswer, SendInput, Stream,
    TranscriptRecord,
};

impl Client {
    /// # Errors
    /// Those of the server.
    pub async fn list_streams(
        &self,
        session: SessionId,
        page: &PageQuery,
    ) -> Result<Answer<Page<Stream>>, Error> {
        self.get(&["sessions", &session.to_string(), "streams"])
            .query("limit", page.limit)
            .query("cursor", page.cursor.as_ref())
            .send()
            .await
    }

    /// Appends a record to an input stream; an idle session starts its next run.
    ///
    /// # Errors
    /// `session_ended`, or `record_invalid` with the path of the field.
    pub async fn send_input(
        &self,
        session: SessionId,
        stream: &str,
        body: &SendInput,
        key: &IdempotencyKey,
    ) -> Result<Answer<RecordAnswer>, Error> {
        self.post(&["sessions", &session.to_string(), "inputs", stream])
            .json(body)?
            .idempotency_key(key)
            .send()
            .await
    }

    /// Oldest first.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn list_records(
        &self,
        session: SessionId,
        direction: Direction,
        stream: &str,
        query: &ListRecords,
    ) -> Result<Answer<Page<Record>>, Error> {
        self.get(&["sessions", &session.to_string(), lane(direction), stream])
            .query("limit", query.limit)
            .query("cursor", query.cursor.as_ref())
            .query("correlation_id", query.correlation_id.as_ref())
            .send()
            .await
    }

    /// Follows a stream's records, those that are there first.
    #[must_use]
    pub fn follow_records(
        &self,
        session: SessionId,
        direction: Direction,
        stream: &str,
        query: &ListRecords,
    ) -> Follow<Record> {
        let cursor = query.cursor.clone().map(|cursor| ("cursor", cursor));
        let correlation = query
            .correlation_id
            .clone()
            .map(|id| ("correlation_id", id));
        self.follow(
            &["sessions", &session.to_string(), lane(direction), stream],
            cursor.into_iter().chain(correlation).collect(),
        )
    }

    /// The records of all of a session's streams, oldest first.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn list_transcript(
        &self,
        session: SessionId,
        query: &ListTranscript,
    ) -> Result<Answer<Page<TranscriptRecord>>, Error> {
        let mut request = self
            .get(&["sessions", &session.to_string(), "transcript"])
            .query("limit", query.limit);
        for (name, value) in filters(query) {
            request = request.query(name, Some(value));
        }
        request.send().await
    }

    /// Follows the records of all of a session's streams, those that are there first.
    #[must_use]
    pub fn follow_transcript(
        &self,
        session: SessionId,
        query: &ListTranscript,
    ) -> Follow<TranscriptRecord> {
        let path = ["sessions", &session.to_string(), "transcript"];
        self.follow(&path, filters(query))
    }
}

fn filters(query: &ListTranscript) -> Vec<(&'static str, String)> {
    let direction = query.direction.map(|direction| match direction {
        Direction::Input => "input".to_owned(),
        Direction::Output => "output".to_owned(),
    });
    [
        ("cursor", query.cursor.clone()),
        ("direction", direction),
        ("stream", query.stream.clone()),
        ("correlation_id", query.correlation_id.clone()),
    ]
    .into_iter()
    .filter_map(|(name, value)| value.map(|value| (name, value)))
    .collect()
}

fn lane(direction: Direction) -> &'static str {
    match direction {
        Direction::Input => "inputs",
        Direction::Output => "outputs",
    }
}
