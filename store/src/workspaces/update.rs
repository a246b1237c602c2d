//! What people note about a workspace, and how long its machine stays.

use helmr_domain::{Event, EventKind, Moment, limits};

use super::attach::not_active;
use super::create::check_free;
use super::{State, Update, Workspace, row, tags};
use crate::db::{Json, Tx, params, sql};
use crate::{Result, Store, events, outbox};

sql! {
    UPDATE = "UPDATE workspaces
        SET external_id = $2, metadata = $3, tags = $4, auto_stop_after_us = $5
        WHERE id = $1";
}

/// Changes a workspace. What is as it was already changes nothing.
///
/// # Errors
/// `NotFound`; `Refused`: `ExternalIdTaken`, `WorkspaceNotActive` if it is deleted.
pub async fn update(store: &Store, input: Update) -> Result<Workspace> {
    store
        .write(input, |tx, input| Box::pin(update_in(tx, input)))
        .await
}

async fn update_in(tx: &mut Tx, input: &Update) -> Result<Workspace> {
    let mut workspace = row::get(tx, input.scope, input.workspace).await?;
    if workspace.state == State::Deleted {
        return Err(not_active(&workspace));
    }
    let before = workspace.clone();
    if let Some(external_id) = &input.external_id {
        if let Some(wanted) = external_id.as_ref()
            && before.external_id != *external_id
        {
            check_free(tx, input.scope, wanted).await?;
        }
        workspace.external_id.clone_from(external_id);
    }
    if let Some(metadata) = &input.metadata {
        workspace.metadata.clone_from(metadata);
    }
    if let Some(tags) = &input.tags {
        workspace.tags.clone_from(tags);
    }
    if let Some(auto_stop_after) = input.auto_stop_after {
        workspace.auto_stop_after = auto_stop_after;
    }
    if workspace == before {
        return Ok(workspace);
    }
    save(tx, &workspace, &before, input.at).await?;
    Ok(workspace)
}

async fn save(tx: &mut Tx, workspace: &Workspace, before: &Workspace, at: Moment) -> Result<()> {
    let bound = params![
        workspace.id,
        workspace.external_id,
        workspace.metadata,
        Json(&workspace.tags),
        workspace.auto_stop_after
    ];
    match tx.run(&UPDATE, bound).await {
        Err(error) if error.is_duplicate() => {
            let workspace_id = None;
            return Err(helmr_domain::Refusal::ExternalIdTaken { workspace_id }.into());
        }
        other => other?,
    };
    let mut event = Event::new(EventKind::MetadataUpdated);
    if workspace.external_id != before.external_id {
        event = event.with("external_id", workspace.external_id.clone());
    }
    if workspace.tags != before.tags {
        tags::replace(tx, workspace.scope, workspace.id, &workspace.tags).await?;
        event = event.with("tags", workspace.tags.clone());
    }
    if workspace.metadata != before.metadata {
        // Larger metadata is left out of its event, which then says so: it is in the workspace.
        event = if workspace.metadata.to_string().len() <= limits::EVENT_METADATA_BYTES {
            event.with("metadata", workspace.metadata.clone())
        } else {
            event.with("left_out", true)
        };
    }
    if workspace.auto_stop_after != before.auto_stop_after {
        let millis = workspace.auto_stop_after.map(|span| span.as_millis());
        event = event.with("auto_stop_after_ms", millis);
        // Its machine, if it has one, is to know.
        outbox::mark(tx, workspace.id, at).await?;
    }
    events::append(tx, workspace.about(), event, at).await
}
