//! Events of a subject: read from a cursor, or followed.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use helmr_api::http::events::Event;
use helmr_api::http::page::{Page, PageQuery};
use helmr_domain::Scope;
use helmr_store::events::{self, Event as Row};
use helmr_store::{Hint, Subject};
use serde_json::Value;

use crate::http::cursor;
use crate::http::follow::{self, Batch, Following, Source};
use crate::news::Topic;
use crate::{ApiError, Control};

/// Read at a time while following.
const BATCH: u32 = 200;

pub(crate) fn event(row: &Row) -> Event {
    Event {
        cursor: row.sequence.to_string(),
        at: row.at.into(),
        kind: row.kind.as_str().to_owned(),
        run_id: row.run_id,
        session_id: row.session_id,
        workspace_id: row.workspace_id,
        attempt_number: row.attempt,
        attributes: Value::Object(row.attributes.clone()),
    }
}

/// Answers with the events of `subject`, as they are or as they come. `ended` tells whether more can come.
pub(crate) async fn answer<E>(
    control: &Control,
    scope: Scope,
    subject: Subject,
    query: &PageQuery,
    following: &Following,
    ended: E,
) -> Result<Response, ApiError>
where
    E: Ended,
{
    let after = following.after(query.cursor.as_deref())?;
    if following.live {
        let source = Events {
            control: control.clone(),
            scope,
            subject,
            ended,
        };
        return Ok(follow::follow(control, after, source));
    }
    let limit = cursor::limit(query.limit)?;
    let page = events::page(&control.store, scope, subject, after, limit).await?;
    Ok(Json(Page {
        items: page.items.iter().map(event).collect::<Vec<_>>(),
        next_cursor: page.next.map(|next| next.to_string()),
    })
    .into_response())
}

/// Whether a subject will have no more events.
pub(crate) trait Ended: Send + Sync + 'static {
    fn ended(&self, control: &Control) -> impl Future<Output = Result<bool, ApiError>> + Send;
}

struct Events<E> {
    control: Control,
    scope: Scope,
    subject: Subject,
    ended: E,
}

impl<E: Ended> Source for Events<E> {
    type Item = Event;

    async fn look(&mut self, after: u64) -> Result<Batch<Event>, ApiError> {
        let ended = self.ended.ended(&self.control).await?;
        let page =
            events::page(&self.control.store, self.scope, self.subject, after, BATCH).await?;
        Ok(Batch::of(&page, after, ended, |row| {
            (row.sequence, event(row))
        }))
    }

    fn topics(&self) -> Vec<Topic> {
        vec![Topic::Of(Hint::Events(self.subject))]
    }
}
