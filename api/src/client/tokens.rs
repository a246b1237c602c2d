//! Tokens: made, looked at and completed.

use helmr_domain::TokenId;

use super::{Answer, Client, Error, IdempotencyKey};
use crate::http::page::Page;
use crate::http::tokens::{
    CancelToken, CompleteToken, CreateToken, CreatedToken, ListTokens, Token, TokenAnswer,
    TokenCompletion, TokenStatus,
};

impl Client {
    /// Makes a token. Its secrets are in this answer alone.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn create_token(
        &self,
        body: &CreateToken,
        key: &IdempotencyKey,
    ) -> Result<Answer<CreatedToken>, Error> {
        self.post(&["tokens"])
            .json(body)?
            .idempotency_key(key)
            .send()
            .await
    }

    /// # Errors
    /// Those of the server.
    pub async fn get_token(&self, id: TokenId) -> Result<Answer<TokenAnswer>, Error> {
        self.get(&["tokens", &id.to_string()]).send().await
    }

    /// Newest first.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn list_tokens(&self, query: &ListTokens) -> Result<Answer<Page<Token>>, Error> {
        self.get(&["tokens"])
            .query("limit", query.limit)
            .query("cursor", query.cursor.as_ref())
            .query("status", query.status.map(status_name))
            .query("run_id", query.run_id.as_ref())
            .query("session_id", query.session_id.as_ref())
            .query("tag", query.tag.as_ref())
            .send()
            .await
    }

    /// Completes a token. Equal data again is answered with the first completion.
    ///
    /// # Errors
    /// `token_completion_conflict` for other data, `token_expired` and `token_cancelled` when it is too late.
    pub async fn complete_token(
        &self,
        id: TokenId,
        body: &CompleteToken,
    ) -> Result<Answer<TokenCompletion>, Error> {
        self.post(&["tokens", &id.to_string(), "complete"])
            .json(body)?
            .send()
            .await
    }

    /// Cancels a pending token.
    ///
    /// # Errors
    /// `token_completed` if somebody was faster.
    pub async fn cancel_token(&self, id: TokenId) -> Result<Answer<TokenAnswer>, Error> {
        self.post(&["tokens", &id.to_string(), "cancel"])
            .json(&CancelToken {})?
            .send()
            .await
    }
}

fn status_name(status: TokenStatus) -> &'static str {
    match status {
        TokenStatus::Pending => "pending",
        TokenStatus::Completed => "completed",
        TokenStatus::Expired => "expired",
        TokenStatus::Cancelled => "cancelled",
    }
}
