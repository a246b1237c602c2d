//! The refusals that every route can give, for the OpenAPI document.

use helmr_api::error::ErrorBody;

/// Answers of every route that takes an API key.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) enum Refusals {
    /// The request is not understood, or breaks a stated limit.
    #[response(status = 400)]
    InvalidRequest(ErrorBody),
    /// The credential is missing or not valid.
    #[response(status = 401)]
    Unauthenticated(ErrorBody),
    /// The credential does not allow it.
    #[response(status = 403)]
    PermissionDenied(ErrorBody),
    /// There is no such thing in the caller's scope.
    #[response(status = 404)]
    NotFound(ErrorBody),
    /// The state of things does not allow it.
    #[response(status = 409)]
    Conflict(ErrorBody),
    /// It is over.
    #[response(status = 410)]
    Gone(ErrorBody),
    /// Something is larger than its limit.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// The request is understood, but what it says does not fit.
    #[response(status = 422)]
    Unprocessable(ErrorBody),
    /// The server failed.
    #[response(status = 500)]
    Internal(ErrorBody),
    /// The store or a worker cannot be reached now.
    #[response(status = 503)]
    Unavailable(ErrorBody),
}
