//! With what a request was made, kept for those who look at it later. Never an input to authorisation.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use helmr_api::http::{API_VERSION, CLIENT_HEADER};
use http::request::Parts;
use serde_json::{Map, Value};

use crate::Control;

const LONGEST: usize = 64;

/// The client and the API version.
pub(crate) struct Provenance(pub(crate) Map<String, Value>);

impl FromRequestParts<Control> for Provenance {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Control) -> Result<Self, Infallible> {
        let mut provenance = Map::new();
        provenance.insert("api_version".to_owned(), API_VERSION.into());
        let client = parts
            .headers
            .get(CLIENT_HEADER)
            .and_then(|value| value.to_str().ok());
        if let Some(client) = client {
            let client: String = client.chars().take(LONGEST).collect();
            provenance.insert("client".to_owned(), client.into());
        }
        Ok(Self(provenance))
    }
}
