//! Tokens: made with their secrets, completed by whoever has one of them.

use std::sync::Arc;

use helmr_api::fault;
use helmr_api::http::tokens::TokenWithSecrets;
use helmr_domain::{Duration, PublicTokenId, Scope, TokenId};
use helmr_store::idempotency::{Idempotency, Kept, Origin, Render, TaskCall};
use helmr_store::tokens::{self, Complete, Completion, Create, Token};
use helmr_store::worker::RunFence;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use super::bounds;
use super::secrets::{self, Answer, Context, Secrets};
use crate::credential::{self, Kind};
use crate::http::idempotency::Request;
use crate::http::v1::tokens::view;
use crate::state::Environment;
use crate::{ApiError, Control};

/// A token to make, within its limits.
#[derive(Debug)]
pub(crate) struct NewToken {
    pub(crate) timeout: Duration,
    pub(crate) tags: Vec<String>,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) allowed_origins: Vec<String>,
}

impl NewToken {
    /// Checks what a client or a task asks for.
    ///
    /// # Errors
    /// `limit_exceeded`, `metadata_too_large`.
    pub(crate) fn checked(
        timeout: Option<Duration>,
        tags: Vec<String>,
        metadata: Map<String, Value>,
        allowed_origins: Vec<String>,
    ) -> Result<Self, ApiError> {
        bounds::tags(&tags)?;
        bounds::metadata(&metadata)?;
        Ok(Self {
            timeout: bounds::token_timeout(timeout)?,
            tags,
            metadata,
            allowed_origins: bounds::origins(allowed_origins)?,
        })
    }
}

/// The two secrets of a token, and their hashes.
struct Minted {
    secrets: Secrets,
    public_hash: credential::Hash,
    callback_hash: credential::Hash,
}

fn mint(control: &Control) -> Result<Minted, ApiError> {
    let keys = &control.installation.keys;
    let public = credential::mint(Kind::PublicToken)?;
    let callback = credential::mint(Kind::Callback)?;
    let url = format!(
        "{}/api/v1/tokens/callback/{}",
        control.public_url,
        callback.expose_secret()
    );
    let mut secrets = Secrets::new();
    secrets.insert(
        "public_access_token".to_owned(),
        public.expose_secret().into(),
    );
    secrets.insert("callback_url".to_owned(), url.into());
    Ok(Minted {
        secrets,
        public_hash: credential::hash_secret(keys, Kind::PublicToken, &public),
        callback_hash: credential::hash_secret(keys, Kind::Callback, &callback),
    })
}

/// What is kept of a creation's answer: the token with `null` for its secrets.
fn without_secrets() -> Render<Token> {
    Arc::new(|token| {
        json!(TokenWithSecrets {
            token: view::token(token),
            public_access_token: None,
            callback_url: None,
        })
    })
}

/// Makes a token for a client.
///
/// # Errors
/// `idempotency_key_reused`.
pub(crate) async fn create_for_client(
    control: &Control,
    environment: &Environment,
    new: NewToken,
    request: Option<Request>,
) -> Result<Answer, ApiError> {
    let minted = mint(control)?;
    let key = request.as_ref().map(|request| request.key.clone());
    let idempotency = match request {
        None => None,
        Some(request) => Some(Idempotency {
            sealed: Some(secrets::seal(
                environment,
                &Context::Key(&request.key),
                &minted.secrets,
            )?),
            key: request.key,
            request_hash: request.hash,
            answer: without_secrets(),
        }),
    };
    let context = Context::Key(key.as_deref().unwrap_or_default());
    let origin = Origin::Client(idempotency);
    create(control, environment, new, minted, origin, &context).await
}

/// Makes a token for a task: it ends with the attempt.
///
/// # Errors
/// `stale_lease`.
pub(crate) async fn create_for_task(
    control: &Control,
    environment: &Environment,
    new: NewToken,
    fence: RunFence,
    call_no: u64,
) -> Result<Value, ApiError> {
    let minted = mint(control)?;
    let call = format!("{} {} {call_no}", fence.run_id, fence.attempt);
    let context = Context::Call(&call);
    let origin = Origin::Task(TaskCall {
        fence,
        call_no,
        sealed: Some(secrets::seal(environment, &context, &minted.secrets)?),
        answer: without_secrets(),
    });
    let answer = create(control, environment, new, minted, origin, &context).await?;
    Ok(answer.body)
}

async fn create(
    control: &Control,
    environment: &Environment,
    new: NewToken,
    minted: Minted,
    origin: Origin<Token>,
    context: &Context<'_>,
) -> Result<Answer, ApiError> {
    let at = control.moment()?;
    let input = Create {
        at,
        scope: environment.row.scope,
        timeout_at: at.now.after(new.timeout),
        tags: new.tags,
        metadata: Value::Object(new.metadata),
        callback_hash: minted.callback_hash,
        public_hash: minted.public_hash,
        allowed_origins: new.allowed_origins,
        origin,
    };
    match tokens::create(&control.store, input).await? {
        Kept::Fresh(token) => Ok(Answer::fresh(without_secrets()(&token), minted.secrets)),
        Kept::Replayed { answer, sealed } => {
            secrets::replayed(environment, context, answer, sealed)
        }
    }
}

/// Completes a token. Equal data again is answered with the first completion.
///
/// # Errors
/// `record_too_large`, `token_expired`, `token_cancelled`, `token_completion_conflict`, `public_token_spent`.
pub(crate) async fn complete(
    control: &Control,
    scope: Scope,
    token: TokenId,
    data: &Value,
    public_token: Option<PublicTokenId>,
) -> Result<Completion, ApiError> {
    let input = Complete {
        at: control.moment()?,
        scope,
        token,
        data: bounds::record(data)?,
        public_token,
    };
    fault::point("control.token_complete.before_commit");
    let completion = tokens::complete(&control.store, input).await?;
    fault::point("control.token_complete.after_commit");
    Ok(completion)
}
