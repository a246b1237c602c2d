//! Attaching to a PTY: a WebSocket on one connection. Whoever wants to stay attached attaches again from where it was.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use helmr_domain::PtyId;
use http::{HeaderMap, HeaderValue, header};
use reqwest::Upgraded;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Client, Error};
use crate::http::ptys::{Asked, Told};

/// The server says something every 15 s; after three times that, the connection is taken for dead.
const SILENCE: Duration = Duration::from_secs(45);

/// What an attached viewer sees.
#[derive(Debug)]
pub enum Seen {
    /// The PTY printed it.
    Printed(Bytes),
    Told(Told),
}

/// One viewer's connection to a PTY.
#[derive(Debug)]
pub struct Attachment {
    socket: WebSocketStream<Upgraded>,
    operation: String,
    heard: Instant,
}

impl Client {
    /// Attaches to a PTY, from a byte on or from the newest of what was printed.
    ///
    /// # Errors
    /// `pty_not_found`, `cursor_expired`.
    pub async fn attach_pty(&self, id: PtyId, cursor: Option<u64>) -> Result<Attachment, Error> {
        let request = self
            .get(&["ptys", &id.to_string(), "attach"])
            .query("cursor", cursor);
        let operation = request.operation();
        let key = generate_key();
        let foreign = || Error::Foreign {
            operation: operation.clone(),
            status: 101,
        };
        let headers = HeaderMap::from_iter([
            (header::CONNECTION, HeaderValue::from_static("Upgrade")),
            (header::UPGRADE, HeaderValue::from_static("websocket")),
            (
                header::SEC_WEBSOCKET_VERSION,
                HeaderValue::from_static("13"),
            ),
            (
                header::SEC_WEBSOCKET_KEY,
                HeaderValue::try_from(&key).map_err(|_| foreign())?,
            ),
        ]);
        let answer = request.upgrade(headers).await?;
        let accepted = answer.headers().get(header::SEC_WEBSOCKET_ACCEPT);
        if accepted.is_none_or(|given| *given != derive_accept_key(key.as_bytes())) {
            return Err(foreign());
        }
        let upgraded = answer
            .upgrade()
            .await
            .map_err(|source| Error::of_sending(&operation, self.url(), source))?;
        Ok(Attachment {
            socket: WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await,
            operation,
            heard: Instant::now(),
        })
    }
}

impl Attachment {
    /// What comes next. Cancel-safe.
    ///
    /// # Errors
    /// `Closed` or `TimedOut` once the connection is gone.
    pub async fn next(&mut self) -> Result<Seen, Error> {
        loop {
            let message = timeout_at(self.heard + SILENCE, self.socket.next())
                .await
                .map_err(|_| Error::TimedOut {
                    operation: self.operation.clone(),
                })?;
            self.heard = Instant::now();
            match message {
                Some(Ok(Message::Binary(bytes))) => return Ok(Seen::Printed(bytes)),
                Some(Ok(Message::Text(text))) => {
                    let told = serde_json::from_str(&text).map_err(|source| Error::Unreadable {
                        operation: self.operation.clone(),
                        source,
                    })?;
                    return Ok(Seen::Told(told));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(self.closed()),
            }
        }
    }

    /// Types. That it was taken is told by `Accepted`.
    ///
    /// # Errors
    /// `Closed` once the connection is gone.
    pub async fn type_in(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        let sent = self.socket.send(Message::Binary(bytes.into())).await;
        sent.map_err(|_| self.closed())
    }

    /// Sets the PTY's size. The same again makes programs draw anew.
    ///
    /// # Errors
    /// `Closed` once the connection is gone.
    pub async fn resize(&mut self, cols: u16, rows: u16) -> Result<(), Error> {
        let asked = Asked::Resize { cols, rows };
        let text = serde_json::to_string(&asked).map_err(Error::Unwritable)?;
        let sent = self.socket.send(Message::Text(text.into())).await;
        sent.map_err(|_| self.closed())
    }

    fn closed(&self) -> Error {
        Error::Closed {
            operation: self.operation.clone(),
        }
    }
}
