//! Public access tokens, known by their hash.

use helmr_domain::{
    Moment, PublicTokenId, Refusal, Scope, SessionId, StreamName, Timestamp, TokenId,
    stream::Direction,
};

use crate::db::{Json, Row, Tx, params, sql};
use crate::lease::scope;
use crate::{Result, Store, tokens};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicToken {
    pub id: PublicTokenId,
    pub scope: Scope,
    pub grant: Grant,
    /// Empty: any.
    pub allowed_origins: Vec<String>,
    pub expires_at: Option<Timestamp>,
    pub max_uses: Option<u64>,
    pub uses: u64,
    pub revoked_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// The one thing that a public access token allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    CompleteToken(TokenId),
    Stream {
        session: SessionId,
        direction: Direction,
        stream: StreamName,
        correlation_id: Option<String>,
    },
}

macro_rules! columns {
    () => {
        "id, organization_id, project_id, environment_id, kind, token_id, session_id, direction,
            stream, correlation_id, allowed_origins, expires_at, max_uses, uses, revoked_at,
            created_at"
    };
}

sql! {
    FIND = concat!("SELECT ", columns!(), "
        FROM public_access_tokens
        WHERE hash = $1");

    INSERT = concat!("INSERT INTO public_access_tokens (hash, ", columns!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, NULL, $15)");

    /// Answers no row if the token is spent.
    SPEND = "UPDATE public_access_tokens
        SET uses = uses + 1
        WHERE id = $1
            AND revoked_at IS NULL
            AND (max_uses IS NULL OR uses < max_uses)
            AND (expires_at IS NULL OR expires_at > $2)";
}

/// Finds a token, also one that is expired, spent or revoked: the caller tells these apart.
///
/// # Errors
/// If the database fails.
pub async fn find(store: &Store, hash: [u8; 32]) -> Result<Option<PublicToken>> {
    store
        .read(hash, |tx, hash| {
            Box::pin(async move {
                let found = tx.find(&FIND, params![*hash]).await?;
                found.map(read).transpose()
            })
        })
        .await
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
    let direction = match direction.as_deref() {
        Some("input") => Some(Direction::Input),
        Some("output") => Some(Direction::Output),
        _ => None,
    };
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

/// Makes the public access token that may complete a token, for as long as that may be completed.
pub(crate) async fn grant_completion(
    tx: &mut Tx,
    token: TokenId,
    input: &tokens::Create,
) -> Result<()> {
    let none: Option<&str> = None;
    tx.run(
        &INSERT,
        params![
            input.public_hash,
            input.at.ids().make(PublicTokenId::new),
            input.scope.organization,
            input.scope.project,
            input.scope.environment,
            "token",
            token,
            none,
            none,
            none,
            none,
            Json(&input.allowed_origins),
            // The token's own state says what a late completion meets.
            None::<Timestamp>,
            None::<u64>,
            input.at.now
        ],
    )
    .await
    .map(drop)
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
