//! Lists of tokens, newest first: one statement for each index that finds them.

use helmr_domain::{Scope, TokenId};

use super::row::{columns, read};
use super::{Filter, Token};
use crate::db::{Tx, params, sql};
use crate::page::Newest;
use crate::{Result, tags};

/// A list by what an index has, and the rest.
macro_rules! list {
    ($from:literal, $id:literal, $filter:literal, $tag:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            "
        FROM ",
            $from,
            "
        WHERE t.environment_id = $3 ",
            $filter,
            " AND ",
            $id,
            " < $4
            AND t.organization_id = $1 AND t.project_id = $2
            AND (CAST($6 AS TEXT) IS NULL OR t.status = $6)
            AND (CAST($7 AS TEXT) IS NULL OR t.run_id = $7)
            AND (CAST($8 AS TEXT) IS NULL OR t.session_id = $8)
            AND ",
            $tag,
            "
        ORDER BY ",
            $id,
            " DESC
        LIMIT $5"
        )
    };
}

sql! {
    LIST = list!("tokens t", "t.id", "", "CAST($9 AS TEXT) IS NULL");

    LIST_OF_RUN = list!("tokens t", "t.id", "AND t.run_id = $7", "CAST($9 AS TEXT) IS NULL");

    LIST_OF_SESSION = list!("tokens t", "t.id", "AND t.session_id = $8", "CAST($9 AS TEXT) IS NULL");

    LIST_TAGGED = list!(
        "token_tags g JOIN tokens t ON t.id = g.token_id",
        "g.token_id",
        "AND g.environment_id = $3",
        "g.tag = $9"
    );

    INSERT_TAG = "INSERT INTO token_tags (
            environment_id, tag, token_id, organization_id, project_id
        )
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (environment_id, tag, token_id) DO NOTHING";
}

pub(super) async fn newest_first(
    tx: &mut Tx,
    newest: &Newest<TokenId>,
    filter: &Filter,
) -> Result<Vec<Token>> {
    let statement = match filter {
        Filter { tag: Some(_), .. } => &LIST_TAGGED,
        Filter { run: Some(_), .. } => &LIST_OF_RUN,
        Filter {
            session: Some(_), ..
        } => &LIST_OF_SESSION,
        Filter { .. } => &LIST,
    };
    let filters = params![filter.status, filter.run, filter.session, filter.tag];
    let found = newest.rows(tx, statement, filters).await?;
    found
        .into_iter()
        .map(|row| read(row).map(|row| row.token))
        .collect()
}

/// Notes the tags of a new token.
pub(super) async fn insert_tags(
    tx: &mut Tx,
    scope: Scope,
    token: TokenId,
    tags: &[String],
) -> Result<()> {
    tags::insert(tx, &INSERT_TAG, scope, token, tags).await
}
