//! Lists of sessions, newest first: one statement for each index that finds them.

use helmr_domain::SessionId;

use super::row::{columns, read};
use super::{Filter, Session};
use crate::Result;
use crate::db::{Tx, params, sql};
use crate::page::Newest;

macro_rules! filters {
    () => {
        "AND s.organization_id = $1 AND s.project_id = $2
            AND (CAST($6 AS TEXT) IS NULL OR s.status = $6)
            AND (CAST($7 AS TEXT) IS NULL OR s.task_id = $7)
            AND (CAST($8 AS TEXT) IS NULL OR s.external_id = $8)
            AND (CAST($9 AS TEXT) IS NULL OR s.workspace_id = $9)"
    };
}

sql! {
    LIST = concat!("SELECT ", columns!(), "
        FROM sessions s
        LEFT JOIN runs r ON r.id = s.active_run_id
        WHERE s.environment_id = $3 AND s.id < $4
            ", filters!(), "
            AND CAST($10 AS TEXT) IS NULL
        ORDER BY s.id DESC
        LIMIT $5");

    LIST_IN_WORKSPACE = concat!("SELECT ", columns!(), "
        FROM sessions s
        LEFT JOIN runs r ON r.id = s.active_run_id
        WHERE s.environment_id = $3 AND s.workspace_id = $9 AND s.id < $4
            ", filters!(), "
            AND CAST($10 AS TEXT) IS NULL
        ORDER BY s.id DESC
        LIMIT $5");

    LIST_TAGGED = concat!("SELECT ", columns!(), "
        FROM session_tags t
        JOIN sessions s ON s.id = t.session_id
        LEFT JOIN runs r ON r.id = s.active_run_id
        WHERE t.environment_id = $3 AND t.tag = $10 AND t.session_id < $4
            ", filters!(), "
        ORDER BY t.session_id DESC
        LIMIT $5");
}

pub(super) async fn newest_first(
    tx: &mut Tx,
    newest: &Newest<SessionId>,
    filter: &Filter,
) -> Result<Vec<Session>> {
    let statement = match filter {
        Filter { tag: Some(_), .. } => &LIST_TAGGED,
        Filter {
            workspace: Some(_), ..
        } => &LIST_IN_WORKSPACE,
        Filter { .. } => &LIST,
    };
    let filters = params![
        filter.status,
        filter.task_id,
        filter.external_id,
        filter.workspace,
        filter.tag
    ];
    let found = newest.rows(tx, statement, filters).await?;
    found
        .into_iter()
        .map(|row| read(row).map(|row| row.session))
        .collect()
}
