//! The rows of public access tokens.

use helmr_domain::stream::Direction;
use helmr_domain::{Moment, PublicTokenId, Refusal, Scope, Timestamp};

use super::{Filter, Grant, PublicToken};
use crate::Result;
use crate::db::{Json, Row, ToValue as _, Tx, Value, params, sql};
use crate::lease::scope;
use crate::page::Newest;

/// What `read` reads, in its order.
macro_rules! columns {
    () => {
        "id, organization_id, project_id, environment_id, kind, token_id, session_id, direction,
            stream, correlation_id, allowed_origins, expires_at, max_uses, uses, revoked_at,
            created_at"
    };
}

/// A list of the scope, newest first, by one more column that an index has.
macro_rules! list {
    ($filter:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            "
        FROM public_access_tokens
        WHERE environment_id = $3 ",
            $filter,
            " AND id < $4
            AND organization_id = $1 AND project_id = $2
            AND (CAST($6 AS TEXT) IS NULL OR token_id = $6)
            AND (CAST($7 AS TEXT) IS NULL OR session_id = $7)
        ORDER BY id DESC
        LIMIT $5"
        )
    };
}

sql! {
    FIND = concat!("SELECT ", columns!(), "
        FROM public_access_tokens
        WHERE hash = $1");

    GET = concat!("SELECT ", columns!(), "
        FROM public_access_tokens
        WHERE id = $1
            AND organization_id = $2 AND project_id = $3 AND environment_id = $4");

    LIST = list!("");

    LIST_OF_TOKEN = list!("AND token_id = $6");

    LIST_OF_SESSION = list!("AND session_id = $7");

    INSERT = concat!("INSERT INTO public_access_tokens (hash, ", columns!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, NULL, $15)");

    REVOKE = "UPDATE public_access_tokens
        SET revoked_at = $2
        WHERE id = $1 AND revoked_at IS NULL";

    /// Changes no row if the token is spent.
    SPEND = "UPDATE public_access_tokens
        SET uses = uses + 1
        WHERE id = $1
            AND revoked_at IS NULL
            AND (max_uses IS NULL OR uses < max_uses)
            AND (expires_at IS NULL OR expires_at > $2)";
}

fn read(mut row: Row) -> Result<PublicToken> {
    let row = &mut row;
    let id = row.take("id")?;
    let scope = scope(row)?;
    let kind: String = row.take("kind")?;
    let token = row.take("token_id")?;
    let session = row.take("session_id")?;
    let direction: Option<String> = row.take("direction")?;
    let stream = row.take("stream")?;
    let correlation_id = row.take("correlation_id")?;
    let direction = direction.as_deref().and_then(Direction::read);
    let grant = match (kind.as_str(), token, session, direction, stream) {
        ("token", Some(token), None, None, None) => Grant::CompleteToken(token),
        ("stream", None, Some(session), Some(direction), Some(stream)) => Grant::Stream {
            session,
            direction,
            stream,
            correlation_id,
        },
        _ => return Err(row.corrupt("kind")),
    };
    let Json(allowed_origins) = row.take("allowed_origins")?;
    Ok(PublicToken {
        id,
        scope,
        grant,
        allowed_origins,
        expires_at: row.take("expires_at")?,
        max_uses: row.take("max_uses")?,
        uses: row.take("uses")?,
        revoked_at: row.take("revoked_at")?,
        created_at: row.take("created_at")?,
    })
}

pub(super) async fn find(tx: &mut Tx, hash: [u8; 32]) -> Result<Option<PublicToken>> {
    tx.find(&FIND, params![hash]).await?.map(read).transpose()
}

pub(super) async fn get(
    tx: &mut Tx,
    scope: Scope,
    id: PublicTokenId,
) -> Result<Option<PublicToken>> {
    let bound = params![id, scope.organization, scope.project, scope.environment];
    tx.find(&GET, bound).await?.map(read).transpose()
}

pub(super) async fn list(
    tx: &mut Tx,
    newest: &Newest<PublicTokenId>,
    filter: &Filter,
) -> Result<Vec<PublicToken>> {
    let statement = match filter {
        Filter { token: Some(_), .. } => &LIST_OF_TOKEN,
        Filter {
            session: Some(_), ..
        } => &LIST_OF_SESSION,
        Filter { .. } => &LIST,
    };
    let filters = params![filter.token, filter.session];
    let found = newest.rows(tx, statement, filters).await?;
    found.into_iter().map(read).collect()
}

/// A row to be.
pub(super) struct New<'a> {
    pub(super) id: PublicTokenId,
    pub(super) scope: Scope,
    pub(super) hash: [u8; 32],
    pub(super) grant: &'a Grant,
    pub(super) allowed_origins: &'a [String],
    pub(super) expires_at: Option<Timestamp>,
    pub(super) max_uses: Option<u64>,
    pub(super) created_at: Timestamp,
}

pub(super) async fn insert(tx: &mut Tx, new: &New<'_>) -> Result<()> {
    let (kind, token, session, direction, stream, correlation_id) = match new.grant {
        Grant::CompleteToken(id) => {
            let none = || Value::Null;
            ("token", id.to_value(), none(), none(), none(), none())
        }
        Grant::Stream {
            session,
            direction,
            stream,
            correlation_id,
        } => (
            "stream",
            Value::Null,
            session.to_value(),
            direction.as_str().to_value(),
            stream.to_value(),
            correlation_id.to_value(),
        ),
    };
    tx.run(
        &INSERT,
        params![
            new.hash,
            new.id,
            new.scope.organization,
            new.scope.project,
            new.scope.environment,
            kind,
            token,
            session,
            direction,
            stream,
            correlation_id,
            Json(new.allowed_origins),
            new.expires_at,
            new.max_uses,
            new.created_at
        ],
    )
    .await
    .map(drop)
}

pub(super) async fn revoke(tx: &mut Tx, id: PublicTokenId, at: Moment) -> Result<()> {
    tx.run(&REVOKE, params![id, at.now]).await.map(drop)
}

/// Spends one use.
///
/// # Errors
/// `Refused(PublicTokenSpent)` if there is none left, or the token is revoked or expired.
pub(crate) async fn spend(tx: &mut Tx, id: PublicTokenId, at: Moment) -> Result<()> {
    match tx.run(&SPEND, params![id, at.now]).await? {
        0 => Err(Refusal::PublicTokenSpent.into()),
        _ => Ok(()),
    }
}
