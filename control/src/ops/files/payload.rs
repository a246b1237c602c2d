//! The bytes of a write, on their way to wherever the files are.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use helmr_api::error::Code;
use helmr_artifacts::files::Kept;
use http_body_util::BodyExt as _;

use super::{Subject, version};
use crate::ApiError;

/// Bodies up to this size are kept until they are written, so that they can be sent to another place.
const KEPT_BYTES: usize = 1 << 20;
const SILENCE: Duration = Duration::from_secs(60);

pub(super) enum Payload {
    None,
    /// Short ones can be sent again.
    Short(Bytes),
    Once(Body),
    /// In the artifact store, for a version.
    Stored(Kept),
    Spent,
}

impl Payload {
    /// Takes what a client sends, as far as it is short.
    pub(super) async fn of(body: Option<Body>) -> Result<Self, ApiError> {
        let Some(mut body) = body else {
            return Ok(Self::None);
        };
        let mut kept = Vec::new();
        while kept.len() <= KEPT_BYTES {
            let frame = tokio::time::timeout(SILENCE, body.frame())
                .await
                .map_err(|_| ApiError::new(Code::InvalidBody, "no byte came for a minute"))?;
            let Some(frame) = frame else {
                return Ok(Self::Short(kept.into()));
            };
            let frame = frame.map_err(|_| {
                ApiError::new(
                    Code::InvalidBody,
                    "the bytes ended before they were complete",
                )
            })?;
            if let Ok(data) = frame.into_data() {
                kept.extend_from_slice(&data);
            }
        }
        let first =
            futures_util::stream::once(async move { Ok::<Bytes, axum::Error>(kept.into()) });
        let all = first.chain(body.into_data_stream());
        Ok(Self::Once(Body::from_stream(all)))
    }

    /// The bytes, for a worker.
    pub(super) fn send(&mut self, subject: &Subject<'_>) -> Result<Option<Body>, ApiError> {
        match self {
            Self::None => Ok(None),
            Self::Short(bytes) => Ok(Some(Body::from(bytes.clone()))),
            Self::Stored(kept) => Ok(Some(version::sent(subject, kept))),
            Self::Once(_) | Self::Spent => self.take().map(Some),
        }
    }

    /// The bytes, stored for a version.
    pub(super) async fn store(&mut self, subject: &Subject<'_>) -> Result<Option<Kept>, ApiError> {
        let body = match self {
            Self::None => return Ok(None),
            Self::Stored(kept) => return Ok(Some(kept.clone())),
            Self::Short(bytes) => Body::from(bytes.clone()),
            Self::Once(_) | Self::Spent => self.take()?,
        };
        let kept = version::keep(subject, body).await?;
        *self = Self::Stored(kept.clone());
        Ok(Some(kept))
    }

    /// The bytes as they come, once.
    pub(super) fn take(&mut self) -> Result<Body, ApiError> {
        match std::mem::replace(self, Self::Spent) {
            Self::Once(body) => Ok(body),
            Self::Short(bytes) => {
                let body = Body::from(bytes.clone());
                *self = Self::Short(bytes);
                Ok(body)
            }
            Self::None => Ok(Body::empty()),
            Self::Stored(_) | Self::Spent => Err(ApiError::internal_text("a body is sent twice")),
        }
    }

    pub(super) const fn can_repeat(&self) -> bool {
        match self {
            Self::None | Self::Short(_) | Self::Once(_) | Self::Stored(_) => true,
            Self::Spent => false,
        }
    }
}
