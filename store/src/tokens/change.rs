//! What happens to tokens, committed with what it means for their waits.

use helmr_domain::timer::Purpose;
use helmr_domain::token::{Command, Effect, State, decide};
use helmr_domain::wait::{ErrorCode, Outcome};
use helmr_domain::{Event, EventKind, Moment, RunId, Scope, TokenId, limits};

use super::row::{self, TokenRow};
use super::{Complete, Completion, Create, Token, list};
use crate::db::Tx;
use crate::events::{self, About};
use crate::idempotency::{self, Kept, Origin};
use crate::{Error, Result, Store, Subject, public_tokens, runs, timers, wait};

/// Makes a token, with a public access token that may complete it.
///
/// # Errors
/// `Stale`; `Refused(IdempotencyKeyReused)`.
pub async fn create(store: &Store, input: Create) -> Result<Kept<Token>> {
    store
        .write(input, |tx, input| Box::pin(create_in(tx, input)))
        .await
}

async fn create_in(tx: &mut Tx, input: &Create) -> Result<Kept<Token>> {
    let (scope, at) = (input.scope, input.at);
    if let Some(kept) = idempotency::replayed(tx, scope, &input.origin, at).await? {
        return Ok(kept);
    }
    let maker = match &input.origin {
        Origin::Task(call) => Some(runs::fenced(tx, call.fence).await?),
        Origin::Client(_) => None,
    };
    let id = at.ids().make(TokenId::new);
    row::insert(tx, id, input, maker.as_ref()).await?;
    list::insert_tags(tx, scope, id, &input.tags).await?;
    public_tokens::grant_completion(tx, id, input).await?;
    timers::arm(tx, Purpose::TokenTimeout, &id, input.timeout_at).await?;
    let token = row::find(tx, id).await?.ok_or(Error::NotFound("token"))?;
    tell(tx, &token, Event::new(EventKind::TokenCreated), at).await?;
    idempotency::keep(tx, scope, input.origin.clone(), token.token, at).await
}

/// Tells an event of a token: of its run, if it has one.
async fn tell(tx: &mut Tx, row: &TokenRow, event: Event, at: Moment) -> Result<()> {
    let token = &row.token;
    let about = About {
        subject: token.run_id.map_or(Subject::Token(token.id), Subject::Run),
        scope: token.scope,
        run: token.run_id,
        session: token.session_id,
        workspace: None,
        attempt: row.attempt,
    };
    let event = event.with("token_id", token.id.to_string());
    events::append(tx, about, event, at).await
}

/// Completes a token and gives its waits their outcome. The same data again is the first completion.
///
/// # Errors
/// `NotFound`; `Refused`: `TokenExpired`, `TokenCancelled`, `TokenCompletionConflict`, `PublicTokenSpent`.
pub async fn complete(store: &Store, input: Complete) -> Result<Completion> {
    store
        .write(input, |tx, input| {
            Box::pin(async move {
                let mut token = get(tx, input.scope, input.token).await?;
                let command = Command::Complete(input.data.clone());
                let changed = apply(tx, &mut token, command, input.at).await?;
                if let (true, Some(id)) = (changed, input.public_token) {
                    public_tokens::spend(tx, id, input.at).await?;
                }
                Ok(Completion {
                    token: token.token,
                    already_completed: !changed,
                })
            })
        })
        .await
}

/// Cancels a pending token. Cancelling it again changes nothing.
///
/// # Errors
/// `NotFound`; `Refused`: `TokenExpired`, `TokenCompleted`.
pub async fn cancel(store: &Store, scope: Scope, id: TokenId, at: Moment) -> Result<Token> {
    store
        .write((scope, id, at), |tx, input| {
            let (scope, id, at) = *input;
            Box::pin(async move {
                let mut token = get(tx, scope, id).await?;
                apply(tx, &mut token, Command::Cancel, at).await?;
                Ok(token.token)
            })
        })
        .await
}

async fn get(tx: &mut Tx, scope: Scope, id: TokenId) -> Result<TokenRow> {
    row::find(tx, id)
        .await?
        .filter(|found| found.token.scope == scope)
        .ok_or(Error::NotFound("token"))
}

/// The timer: ends a token whose time has come.
pub(crate) async fn expire(tx: &mut Tx, id: TokenId, at: Moment) -> Result<()> {
    if let Some(mut token) = row::find(tx, id).await? {
        apply(tx, &mut token, Command::Expire, at).await?;
    }
    Ok(())
}

/// Ends the pending tokens of an attempt that is over.
pub(crate) async fn end_attempt(tx: &mut Tx, run: RunId, at: Moment) -> Result<()> {
    for mut token in row::pending_of(tx, run).await? {
        apply(tx, &mut token, Command::EndAttempt, at).await?;
    }
    Ok(())
}

async fn apply(tx: &mut Tx, row: &mut TokenRow, command: Command, at: Moment) -> Result<bool> {
    let decision = decide(&row.machine(), command, at.now)?;
    let Some(next) = decision.next else {
        return Ok(false);
    };
    row.token.state = next.state;
    row::save(tx, row.token.id, &row.token.state).await?;
    timers::disarm(tx, Purpose::TokenTimeout, &row.token.id).await?;
    for event in decision.events {
        let event = with_data(event, &row.token.state);
        tell(tx, row, event, at).await?;
    }
    for effect in decision.effects {
        match effect {
            Effect::ResolveWaits => {
                if let Some(outcome) = outcome_of(&row.token.state)? {
                    wait::complete_on_token(tx, row.token.id, outcome, at).await?;
                }
            }
        }
    }
    Ok(true)
}

/// A completion is told with its data. Larger data is left out, and the event says so: it is in the token.
fn with_data(event: Event, state: &State) -> Event {
    match state {
        State::Completed { data, .. } if data.as_str().len() <= limits::EVENT_DATA_BYTES => {
            match data.to_value() {
                Some(data) => event.with("data", data),
                None => event,
            }
        }
        State::Completed { .. } => event.with("left_out", true),
        State::Pending | State::Expired { .. } | State::Cancelled { .. } => event,
    }
}

/// What a token in `state` means to whoever waits for it. `None`: still pending.
pub(crate) fn outcome_of(state: &State) -> Result<Option<Outcome>> {
    let failed = |code, message: &str| {
        Some(Outcome::Err {
            code,
            message: message.to_owned(),
        })
    };
    Ok(match state {
        State::Pending => None,
        State::Completed { data, .. } => {
            Some(Outcome::Ok(data.to_value().ok_or(Error::Corrupt {
                object: "token",
                column: "data",
            })?))
        }
        State::Expired { .. } => failed(ErrorCode::Expired, "the token expired"),
        State::Cancelled { .. } => failed(ErrorCode::Cancelled, "the token was cancelled"),
    })
}
