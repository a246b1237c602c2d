//! Secrets in kept answers: sealed beside the answer, put back into it as long as they are kept.

use serde_json::{Map, Value};

use crate::ApiError;
use crate::state::Environment;

/// The secrets of one answer, by field.
pub(crate) type Secrets = Map<String, Value>;

/// What a kept answer belongs to: its secrets open only there.
pub(crate) enum Context<'a> {
    /// An `Idempotency-Key`.
    Key(&'a str),
    /// A call of a task, of this attempt of this run.
    Call(&'a str),
}

impl Context<'_> {
    fn parts(&self) -> [&[u8]; 2] {
        match self {
            Self::Key(key) => [b"idempotent answer", key.as_bytes()],
            Self::Call(call) => [b"call answer", call.as_bytes()],
        }
    }
}

pub(crate) fn seal(
    environment: &Environment,
    context: &Context<'_>,
    secrets: &Secrets,
) -> Result<Vec<u8>, ApiError> {
    let text = serde_json::to_vec(secrets).map_err(|error| ApiError::internal(&error))?;
    environment
        .keys
        .seal_value(&context.parts(), &text)
        .map_err(|error| ApiError::internal(&error))
}

/// An answer as it goes out, and whether it was given before.
pub(crate) struct Answer {
    pub(crate) body: Value,
    pub(crate) replayed: bool,
}

impl Answer {
    /// The first answer, which has the secrets.
    pub(crate) fn fresh(mut body: Value, secrets: Secrets) -> Self {
        if let Some(fields) = body.as_object_mut() {
            fields.extend(secrets);
        }
        Self {
            body,
            replayed: false,
        }
    }
}

/// An answer that was kept, with its secrets as long as they are.
///
/// # Errors
/// `internal` if what was sealed does not open.
pub(crate) fn replayed(
    environment: &Environment,
    context: &Context<'_>,
    mut answer: Value,
    sealed: Option<Vec<u8>>,
) -> Result<Answer, ApiError> {
    restore(environment, context, &mut answer, sealed)?;
    Ok(Answer {
        body: answer,
        replayed: true,
    })
}

/// Puts sealed secrets back into `answer`. Once they are dropped, `null` stays in their place.
fn restore(
    environment: &Environment,
    context: &Context<'_>,
    answer: &mut Value,
    sealed: Option<Vec<u8>>,
) -> Result<(), ApiError> {
    let (Some(sealed), Some(fields)) = (sealed, answer.as_object_mut()) else {
        return Ok(());
    };
    let text = environment
        .keys
        .open_value(&context.parts(), &sealed)
        .map_err(|error| ApiError::internal(&error))?;
    let secrets: Secrets =
        serde_json::from_slice(&text).map_err(|error| ApiError::internal(&error))?;
    fields.extend(secrets);
    Ok(())
}
