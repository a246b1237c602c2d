//! What a session's task declares, looked up by name.

use helmr_domain::stream::Direction;
use helmr_domain::{Scope, SessionId, StreamName, TaskRowId};
use serde_json::Value;

use crate::db::{params, sql};
use crate::{Error, Result, Store};

sql! {
    DECLARED = "SELECT s.task_row_id, d.schema
        FROM sessions s
        LEFT JOIN task_streams d
            ON d.task_row_id = s.task_row_id AND d.direction = $5 AND d.name = $6
        WHERE s.id = $1
            AND s.organization_id = $2 AND s.project_id = $3 AND s.environment_id = $4";
}

/// A stream as a session's task declares it. It never changes: a session is pinned to its deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    pub task: TaskRowId,
    /// JSON Schema.
    pub schema: Value,
}

/// Finds a stream by name; `None` if the session's task does not declare it.
///
/// # Errors
/// `NotFound` if there is no such session.
pub async fn declared(
    store: &Store,
    scope: Scope,
    session: SessionId,
    direction: Direction,
    name: &StreamName,
) -> Result<Option<Declared>> {
    store
        .read(
            (scope, session, direction, name.clone()),
            |tx, (scope, session, direction, name)| {
                Box::pin(async move {
                    let bound = params![
                        session,
                        scope.organization,
                        scope.project,
                        scope.environment,
                        direction.as_str(),
                        name
                    ];
                    let mut row = tx
                        .find(&DECLARED, bound)
                        .await?
                        .ok_or(Error::NotFound("session"))?;
                    let task = row.take("task_row_id")?;
                    let schema: Option<Value> = row.take("schema")?;
                    Ok(schema.map(|schema| Declared { task, schema }))
                })
            },
        )
        .await
}
