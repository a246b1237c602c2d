//! The rows of tokens.

use helmr_domain::token::{State, Token as Machine};
use helmr_domain::{RunId, Timestamp, TokenId};

use super::{Create, Token};
use crate::Result;
use crate::db::{Json, Row, Tx, params, sql};
use crate::lease::scope;
use crate::runs::RunRow;

/// A token with the attempt that made it.
#[derive(Debug, Clone)]
pub(crate) struct TokenRow {
    pub(crate) token: Token,
    pub(crate) attempt: Option<u32>,
}

impl TokenRow {
    pub(super) fn machine(&self) -> Machine {
        Machine {
            timeout_at: self.token.timeout_at,
            state: self.token.state.clone(),
        }
    }
}

/// What `read` reads, in its order.
macro_rules! columns {
    () => {
        "t.id, t.organization_id, t.project_id, t.environment_id, t.run_id, t.session_id, t.attempt,
            t.status, t.data, t.ended_at, t.timeout_at, t.tags, t.metadata, t.created_at"
    };
}
pub(super) use columns;

macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            "
        FROM tokens t
        ",
            $which
        )
    };
}

sql! {
    FIND = select!("WHERE t.id = $1");

    FIND_BY_CALLBACK = select!("WHERE t.callback_hash = $1");

    PENDING_OF_RUN = select!("WHERE t.run_id = $1 AND t.status = 'pending'
        ORDER BY t.id");

    INSERT = "INSERT INTO tokens (
            id, organization_id, project_id, environment_id, run_id, session_id, attempt, status,
            timeout_at, tags, metadata, callback_hash, created_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', $8, $9, $10, $11, $12)";

    SAVE = "UPDATE tokens
        SET status = $2, data = $3, ended_at = $4
        WHERE id = $1";
}

pub(super) fn read(mut row: Row) -> Result<TokenRow> {
    let row = &mut row;
    let id = row.take("id")?;
    let scope = scope(row)?;
    let run_id = row.take("run_id")?;
    let session_id = row.take("session_id")?;
    let attempt = row.take("attempt")?;
    let status: String = row.take("status")?;
    let data = row.take("data")?;
    let ended_at: Option<Timestamp> = row.take("ended_at")?;
    let state = match (status.as_str(), data, ended_at) {
        ("pending", None, None) => State::Pending,
        ("completed", Some(data), Some(at)) => State::Completed { data, at },
        ("expired", None, Some(at)) => State::Expired { at },
        ("cancelled", None, Some(at)) => State::Cancelled { at },
        _ => return Err(row.corrupt("status")),
    };
    let timeout_at = row.take("timeout_at")?;
    let Json(tags) = row.take("tags")?;
    Ok(TokenRow {
        token: Token {
            id,
            scope,
            run_id,
            session_id,
            state,
            timeout_at,
            tags,
            metadata: row.take("metadata")?,
            created_at: row.take("created_at")?,
        },
        attempt,
    })
}

pub(crate) async fn find(tx: &mut Tx, id: TokenId) -> Result<Option<TokenRow>> {
    tx.find(&FIND, params![id]).await?.map(read).transpose()
}

pub(super) async fn find_by_callback(tx: &mut Tx, hash: [u8; 32]) -> Result<Option<TokenRow>> {
    let found = tx.find(&FIND_BY_CALLBACK, params![hash]).await?;
    found.map(read).transpose()
}

pub(super) async fn pending_of(tx: &mut Tx, run: RunId) -> Result<Vec<TokenRow>> {
    let found = tx.rows(&PENDING_OF_RUN, params![run]).await?;
    found.into_iter().map(read).collect()
}

pub(super) async fn insert(
    tx: &mut Tx,
    id: TokenId,
    input: &Create,
    maker: Option<&RunRow>,
) -> Result<()> {
    tx.run(
        &INSERT,
        params![
            id,
            input.scope.organization,
            input.scope.project,
            input.scope.environment,
            maker.map(|row| row.run.id),
            maker.map(|row| row.run.session_id),
            maker.map(|row| row.attempt),
            input.timeout_at,
            Json(&input.tags),
            input.metadata,
            input.callback_hash,
            input.at.now
        ],
    )
    .await
    .map(drop)
}

pub(super) async fn save(tx: &mut Tx, id: TokenId, state: &State) -> Result<()> {
    let (data, ended_at) = match state {
        State::Pending => (None, None),
        State::Completed { data, at } => (Some(data), Some(*at)),
        State::Expired { at } | State::Cancelled { at } => (None, Some(*at)),
    };
    tx.run(&SAVE, params![id, state.as_str(), data, ended_at])
        .await
        .map(drop)
}
