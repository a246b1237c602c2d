//! A workspace from a version of another one's files.

use helmr_domain::{VersionId, WorkspaceId};

use super::request::first_version;
use super::{FromVersion, Made};
use crate::db::Tx;
use crate::events::{self, About};
use crate::idempotency::{self, Kept, Origin};
use crate::workspaces::{self, CopiedVersion, CopyOf, State};
use crate::{Result, Store, Subject, quotas};

/// Makes a workspace that begins with a version of another one's files. Nothing is copied: the chunks are shared. It costs
/// nothing until something runs in it.
///
/// # Errors
/// `NotFound` for workspace and version; `Refused`: `WorkspaceNotActive` if it is deleted, `ExternalIdTaken`,
/// `IdempotencyKeyReused`, `QuotaExceeded`.
pub async fn from_version(store: &Store, input: FromVersion) -> Result<Kept<Made>> {
    store
        .write(input, |tx, input| Box::pin(make_in(tx, input)))
        .await
}

async fn make_in(tx: &mut Tx, input: &FromVersion) -> Result<Kept<Made>> {
    let (scope, at) = (input.scope, input.at);
    let origin = Origin::Client(input.idempotency.clone());
    if let Some(kept) = idempotency::replayed(tx, scope, &origin, at).await? {
        return Ok(kept);
    }
    let source = workspaces::find_in(tx, scope, input.source).await?;
    if source.state == State::Deleted {
        return Err(workspaces::not_active(&source));
    }
    quotas::check_workspace(tx, scope).await?;
    if let Some(external_id) = &input.external_id {
        workspaces::check_free(tx, scope, external_id).await?;
    }
    let version = match input.version.or(source.current_version_id) {
        Some(id) => Some(workspaces::version_in(tx, source.id, id).await?),
        None => None,
    };
    let ids = at.ids();
    let id = ids.make(WorkspaceId::new);
    let copied = version.as_ref().map(|version| CopiedVersion {
        of: version.id,
        id: ids.make(VersionId::new),
        size_bytes: version.size_bytes,
    });
    let copy = CopyOf {
        id,
        scope,
        source: source.id,
        external_id: input.external_id.as_deref(),
        metadata: &input.metadata,
        tags: &input.tags,
        version: copied,
        worker: None,
    };
    workspaces::copy(tx, copy, at).await?;
    if let Some(copied) = copied {
        let about = About {
            subject: Subject::Workspace(id),
            scope,
            run: None,
            session: None,
            workspace: Some(id),
            attempt: None,
        };
        let event = first_version(copied.id, copied.size_bytes, source.id);
        events::append(tx, about, event, at).await?;
    }
    let made = Made {
        workspace: workspaces::find_in(tx, scope, id).await?,
        version: version.map(|version| version.id),
    };
    idempotency::keep(tx, scope, origin, made, at).await
}
