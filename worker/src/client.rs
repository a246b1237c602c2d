//! Requests to the control plane: JSON over one HTTP/2 connection, repeated until they are answered.
//!
//! Everything the worker posts may be posted again, so a lost answer is no different from a lost request. A refusal is an
//! answer: it is given to the caller and not repeated.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use helmr_api::error::ErrorBody;
use helmr_api::transport::Connector;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::backoff::Backoff;

/// Within this a request must be answered; then it is repeated.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// The longest answer: a run's input with its payload.
const ANSWER_BYTES: usize = 32 << 20;
const WINDOW_BYTES: u32 = 4 << 20;

/// Why there is no good answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Failure {
    /// The lease is not this worker's any more: whatever it does for the workspace must end without another write.
    #[error("the lease is another's")]
    Stale,
    #[error("refused ({status} {code}): {message}")]
    Refused {
        status: u16,
        code: String,
        message: String,
        details: Option<serde_json::Value>,
    },
    /// Nobody answered, or not as agreed: the same request may work later.
    #[error("no answer: {reason}")]
    Unanswered { reason: String },
}

impl Failure {
    fn unanswered(reason: impl std::fmt::Display) -> Self {
        Self::Unanswered {
            reason: reason.to_string(),
        }
    }

    pub(crate) fn is_code(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == wanted)
    }
}

struct Connected {
    requests: SendRequest<Full<Bytes>>,
    _driver: AbortOnDropHandle<()>,
}

/// Speaks to one control plane.
pub(crate) struct Client {
    connector: Connector,
    credential: Mutex<String>,
    connected: tokio::sync::Mutex<Option<Connected>>,
}

impl Client {
    /// `credential` is what requests are authorised by until [`Self::authorise`].
    pub(crate) fn new(connector: Connector, credential: String) -> Self {
        Self {
            connector,
            credential: Mutex::new(credential),
            connected: tokio::sync::Mutex::new(None),
        }
    }

    pub(crate) fn authorise(&self, credential: String) {
        *self
            .credential
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = credential;
    }

    pub(crate) fn bearer(&self) -> String {
        let credential = self
            .credential
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        format!("Bearer {credential}")
    }

    pub(crate) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// Posts until there is an answer. Cancel-safe: a cancelled post may or may not have been taken.
    ///
    /// # Errors
    /// `Stale` or `Refused`; never `Unanswered`.
    pub(crate) async fn post<T: Serialize + Sync, R: DeserializeOwned>(
        &self,
        path: &str,
        body: &T,
    ) -> Result<R, Failure> {
        let body = encode(body)?;
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(2));
        loop {
            match self.once(path, body.clone(), ANSWER_WITHIN).await {
                Err(Failure::Unanswered { reason }) => {
                    tracing::debug!(path, reason, "no answer from the control plane; again");
                    backoff.wait().await;
                }
                answered => return answered,
            }
        }
    }

    /// Posts once.
    ///
    /// # Errors
    /// Any [`Failure`].
    pub(crate) async fn post_once<T: Serialize + Sync, R: DeserializeOwned>(
        &self,
        path: &str,
        body: &T,
        deadline: Duration,
    ) -> Result<R, Failure> {
        self.once(path, encode(body)?, deadline).await
    }

    async fn once<R: DeserializeOwned>(
        &self,
        path: &str,
        body: Bytes,
        deadline: Duration,
    ) -> Result<R, Failure> {
        let answered = timeout(deadline, self.exchange(path, body)).await;
        let (status, answer) = match answered {
            Ok(answer) => answer?,
            Err(_) => {
                self.disconnect().await;
                return Err(Failure::unanswered(format_args!("within {deadline:?}")));
            }
        };
        judge(status, &answer)
    }

    async fn exchange(&self, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), Failure> {
        let mut requests = self.requests().await.map_err(Failure::unanswered)?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}{path}", self.connector.authority()))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, self.bearer())
            .body(Full::new(body))
            .map_err(Failure::unanswered)?;
        requests.ready().await.map_err(Failure::unanswered)?;
        let response = requests
            .send_request(request)
            .await
            .map_err(Failure::unanswered)?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), ANSWER_BYTES)
            .collect()
            .await
            .map_err(Failure::unanswered)?
            .to_bytes();
        Ok((status, answer))
    }

    async fn requests(&self) -> io::Result<SendRequest<Full<Bytes>>> {
        let mut connected = self.connected.lock().await;
        if let Some(connection) = connected.as_ref()
            && !connection.requests.is_closed()
        {
            return Ok(connection.requests.clone());
        }
        let connection = timeout(CONNECT_WITHIN, self.connect())
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let requests = connection.requests.clone();
        *connected = Some(connection);
        Ok(requests)
    }

    async fn connect(&self) -> io::Result<Connected> {
        let stream = self.connector.connect().await?;
        let (requests, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection to the control plane ended");
            }
        });
        Ok(Connected {
            requests,
            _driver: AbortOnDropHandle::new(driver),
        })
    }

    /// Gives up the connection that did not answer, so that the next try makes another.
    async fn disconnect(&self) {
        drop(self.connected.lock().await.take());
    }
}

fn encode(body: &impl Serialize) -> Result<Bytes, Failure> {
    // Only a map with keys that are no text fails here, and the protocol has none.
    serde_json::to_vec(body)
        .map(Bytes::from)
        .map_err(|error| Failure::Refused {
            status: 0,
            code: "invalid_body".to_owned(),
            message: error.to_string(),
            details: None,
        })
}

fn judge<R: DeserializeOwned>(status: StatusCode, answer: &[u8]) -> Result<R, Failure> {
    if status.is_success() {
        let answer = if answer.is_empty() { b"null" } else { answer };
        return serde_json::from_slice(answer).map_err(Failure::unanswered);
    }
    let error = serde_json::from_slice::<ErrorBody>(answer).map(|body| body.error);
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        let reason = error.map_or_else(|_| String::new(), |error| error.message);
        return Err(Failure::unanswered(format_args!("{status} {reason}")));
    }
    match error {
        Ok(error) if error.code == "stale_lease" => Err(Failure::Stale),
        Ok(error) => Err(Failure::Refused {
            status: status.as_u16(),
            code: error.code,
            message: error.message,
            details: error.details,
        }),
        Err(_) => Err(Failure::Refused {
            status: status.as_u16(),
            code: "invalid_answer".to_owned(),
            message: format!("the control plane answered {status}"),
            details: None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, body: &str) -> Result<serde_json::Value, Failure> {
        judge(
            StatusCode::from_u16(status).unwrap_or_default(),
            body.as_bytes(),
        )
    }

    #[test]
    fn an_empty_success_is_null_and_a_refusal_keeps_its_code() {
        assert!(matches!(answered(204, ""), Ok(serde_json::Value::Null)));
        let stale = r#"{"error":{"code":"stale_lease","message":"old"}}"#;
        assert!(matches!(answered(409, stale), Err(Failure::Stale)));
        let busy = r#"{"error":{"code":"machine_busy","message":"a run is not waiting"}}"#;
        assert!(answered(409, busy).is_err_and(|failure| failure.is_code("machine_busy")));
        assert!(answered(404, "<html>").is_err_and(|failure| failure.is_code("invalid_answer")));
    }

    #[test]
    fn a_failing_or_overloaded_server_has_not_answered() {
        for status in [500, 503, 429] {
            assert!(matches!(
                answered(status, "{}"),
                Err(Failure::Unanswered { .. })
            ));
        }
    }
}
