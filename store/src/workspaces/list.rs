//! Lists of workspaces, newest first: one statement for each index that finds them.

use helmr_domain::WorkspaceId;

use super::row::{columns, machine, read};
use super::{Filter, State, Workspace};
use crate::Result;
use crate::db::{Tx, params, sql};
use crate::page::Newest;

macro_rules! filters {
    () => {
        "AND s.organization_id = $1 AND s.project_id = $2
            AND ((CAST($6 AS TEXT) IS NULL AND s.state <> 'deleted') OR s.state = $6)
            AND (CAST($7 AS TEXT) IS NULL OR s.sandbox = $7)
            AND (CAST($8 AS TEXT) IS NULL OR s.external_id = $8)"
    };
}

sql! {
    LIST = concat!("SELECT ", columns!(), "
        FROM workspaces s
        ", machine!(), "
        WHERE s.environment_id = $3 AND s.id < $4
            ", filters!(), "
            AND CAST($9 AS TEXT) IS NULL
        ORDER BY s.id DESC
        LIMIT $5");

    /// One at most: there is an index of the external ids of those that are not deleted.
    LIST_NAMED = concat!("SELECT ", columns!(), "
        FROM workspaces s
        ", machine!(), "
        WHERE s.environment_id = $3 AND s.external_id = $8 AND s.state <> 'deleted' AND s.id < $4
            ", filters!(), "
            AND CAST($9 AS TEXT) IS NULL
        ORDER BY s.id DESC
        LIMIT $5");

    LIST_TAGGED = concat!("SELECT ", columns!(), "
        FROM workspace_tags t
        JOIN workspaces s ON s.id = t.workspace_id
        ", machine!(), "
        WHERE t.environment_id = $3 AND t.tag = $9 AND t.workspace_id < $4
            ", filters!(), "
        ORDER BY t.workspace_id DESC
        LIMIT $5");
}

pub(super) async fn newest_first(
    tx: &mut Tx,
    newest: &Newest<WorkspaceId>,
    filter: &Filter,
) -> Result<Vec<Workspace>> {
    let statement = match filter {
        Filter { tag: Some(_), .. } => &LIST_TAGGED,
        Filter {
            external_id: Some(_),
            state: None | Some(State::Active | State::Archived | State::RecoveryRequired),
            ..
        } => &LIST_NAMED,
        Filter { .. } => &LIST,
    };
    let filters = params![
        filter.state.map(State::as_str),
        filter.sandbox,
        filter.external_id,
        filter.tag
    ];
    let found = newest.rows(tx, statement, filters).await?;
    found.into_iter().map(read).collect()
}
