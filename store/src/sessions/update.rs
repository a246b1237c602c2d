//! What people note about a session: tags and metadata.

use helmr_domain::{Event, EventKind, Moment, Scope, SessionId, limits};
use serde_json::Value;

use super::{Session, row, tags};
use crate::db::{Json, params, sql};
use crate::{Error, Result, Store, events};

sql! {
    UPDATE = "UPDATE sessions
        SET tags = $2, metadata = $3
        WHERE id = $1";
}

/// What to change of a session.
#[derive(Debug, Clone)]
pub struct Update {
    pub at: Moment,
    pub scope: Scope,
    pub session: SessionId,
    /// All of them; `None`: as they are.
    pub tags: Option<Vec<String>>,
    /// All of it; `None`: as it is.
    pub metadata: Option<Value>,
}

/// Changes tags and metadata, also of a session that has ended. What is as it was already changes nothing.
///
/// # Errors
/// `NotFound` if there is no such session.
pub async fn update(store: &Store, input: Update) -> Result<Session> {
    store
        .write(input, |tx, input| {
            Box::pin(async move {
                let mut row = row::get(tx, input.scope, input.session)
                    .await?
                    .ok_or(Error::NotFound("session"))?;
                let about = row.about();
                let session = &mut row.session;
                let mut event = Event::new(EventKind::MetadataUpdated);
                if let Some(tags) = input.tags.as_ref().filter(|tags| **tags != session.tags) {
                    session.tags.clone_from(tags);
                    event = event.with("tags", tags.clone());
                    tags::replace(tx, input.scope, input.session, tags).await?;
                }
                if let Some(metadata) = input
                    .metadata
                    .as_ref()
                    .filter(|metadata| **metadata != session.metadata)
                {
                    session.metadata.clone_from(metadata);
                    // Larger metadata is left out of its event, which then says so: it is in the session.
                    event = if metadata.to_string().len() <= limits::EVENT_METADATA_BYTES {
                        event.with("metadata", metadata.clone())
                    } else {
                        event.with("left_out", true)
                    };
                }
                if !event.attributes.is_empty() {
                    let bound = params![session.id, Json(&session.tags), session.metadata];
                    tx.run(&UPDATE, bound).await?;
                    events::append(tx, about, event, input.at).await?;
                }
                Ok(row.session)
            })
        })
        .await
}
