//! Public access tokens: made, looked at and revoked.

use helmr_domain::PublicTokenId;

use super::{Answer, Client, Error, IdempotencyKey};
use crate::http::page::Page;
use crate::http::public_tokens::{
    CreatePublicToken, CreatedPublicToken, ListPublicTokens, PublicToken, PublicTokenAnswer,
    RevokePublicToken,
};

impl Client {
    /// Makes a public access token. The token itself is in this answer alone.
    ///
    /// # Errors
    /// `token_not_found`, `session_not_found` or `stream_not_found` if what it is for is not there.
    pub async fn create_public_token(
        &self,
        body: &CreatePublicToken,
        key: &IdempotencyKey,
    ) -> Result<Answer<CreatedPublicToken>, Error> {
        self.post(&["public-tokens"])
            .json(body)?
            .idempotency_key(key)
            .send()
            .await
    }

    /// # Errors
    /// Those of the server.
    pub async fn get_public_token(
        &self,
        id: PublicTokenId,
    ) -> Result<Answer<PublicTokenAnswer>, Error> {
        self.get(&["public-tokens", &id.to_string()]).send().await
    }

    /// Newest first.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn list_public_tokens(
        &self,
        query: &ListPublicTokens,
    ) -> Result<Answer<Page<PublicToken>>, Error> {
        self.get(&["public-tokens"])
            .query("limit", query.limit)
            .query("cursor", query.cursor.as_ref())
            .query("token_id", query.token_id.as_ref())
            .query("session_id", query.session_id.as_ref())
            .send()
            .await
    }

    /// Revokes a public access token. Repeating it is fine.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn revoke_public_token(
        &self,
        id: PublicTokenId,
    ) -> Result<Answer<PublicTokenAnswer>, Error> {
        self.post(&["public-tokens", &id.to_string(), "revoke"])
            .json(&RevokePublicToken {})?
            .send()
            .await
    }
}
