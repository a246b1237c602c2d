//! The connections that workers hold open, on which the control plane is the HTTP/2 client.
//!
//! Nothing here is truth: a connection that is gone loses requests, and the loops send them again on the next one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use futures_util::StreamExt as _;
use helmr_domain::WorkerId;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
const STREAMS: usize = 256;
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// No answer of a worker is larger: bytes of files and images do not come this way.
const ANSWER_BYTES: usize = 1 << 20;

/// How long a request that only this worker can answer waits for it: after a restart of the server it is back within a second.
const RETURNS_WITHIN: Duration = Duration::from_secs(5);

/// A request to a worker that brought no success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the worker is not connected")]
    NotConnected,
    #[error("the worker did not answer in time")]
    TimedOut,
    #[error("call the worker")]
    Transport(#[source] hyper::Error),
    #[error("read the worker's answer")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the bytes for the worker ended before they were complete")]
    Cut,
    #[error("write the request to the worker")]
    Request(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the worker refused with status {status}")]
    Refused { status: StatusCode, body: Vec<u8> },
}

#[derive(Clone)]
struct Connection {
    /// Tells two connections of one worker apart.
    number: u64,
    requests: SendRequest<Body>,
}

/// A connection that was opened. Dropping it ends it.
pub(crate) struct Open {
    worker: WorkerId,
    number: u64,
    driver: JoinHandle<()>,
    ended: CancellationToken,
}

impl Open {
    /// Returns when the connection has ended.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The connected workers. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Hub {
    connections: Arc<Mutex<Connections>>,
    opened: Arc<Notify>,
}

#[derive(Default)]
struct Connections {
    last_number: u64,
    by_worker: HashMap<WorkerId, Connection>,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_connected(&self, worker: WorkerId) -> bool {
        self.lock().by_worker.contains_key(&worker)
    }

    /// Waits for a worker that may be on its way back. Whether it came, the next request tells.
    pub(crate) async fn await_connected(&self, worker: WorkerId) {
        let coming = async {
            loop {
                let opened = self.opened.notified();
                tokio::pin!(opened);
                opened.as_mut().enable();
                if self.is_connected(worker) {
                    return;
                }
                opened.await;
            }
        };
        drop(tokio::time::timeout(RETURNS_WITHIN, coming).await);
    }

    pub(crate) fn connected(&self) -> Vec<WorkerId> {
        self.lock().by_worker.keys().copied().collect()
    }

    /// Begins to speak HTTP/2 over an upgraded connection. A newer connection of the same worker takes an older one's place.
    pub(crate) async fn open(&self, worker: WorkerId, upgraded: Upgraded) -> Result<Open, Error> {
        let handshake = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(u32::try_from(STREAMS).unwrap_or(u32::MAX))
            .initial_max_send_streams(STREAMS)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .handshake::<_, Body>(upgraded);
        let (requests, connection) = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake)
            .await
            .map_err(|_| Error::TimedOut)?
            .map_err(Error::Transport)?;
        let ended = CancellationToken::new();
        let ending = ended.clone().drop_guard();
        let driver = tokio::spawn(async move {
            // Tells the end even if this task is aborted.
            let _ending = ending;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a worker's connection broke");
            }
        });
        let mut connections = self.lock();
        connections.last_number += 1;
        let number = connections.last_number;
        connections
            .by_worker
            .insert(worker, Connection { number, requests });
        drop(connections);
        self.opened.notify_waiters();
        Ok(Open {
            worker,
            number,
            driver,
            ended,
        })
    }

    /// Takes a connection back and ends it. Tells whether it was the worker's current one.
    pub(crate) fn close(&self, connection: &Open) -> bool {
        connection.driver.abort();
        let mut connections = self.lock();
        let current = connections.by_worker.get(&connection.worker);
        if current.is_some_and(|current| current.number == connection.number) {
            connections.by_worker.remove(&connection.worker);
            return true;
        }
        false
    }

    /// Sends a JSON request and reads the JSON answer.
    pub(crate) async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        worker: WorkerId,
        method: http::Method,
        path: &str,
        body: &Q,
        deadline: Duration,
    ) -> Result<A, Error> {
        let bytes = self.exchange(worker, method, path, body, deadline).await?;
        serde_json::from_slice(&bytes).map_err(|error| Error::Answer(error.into()))
    }

    /// Sends bytes as they come and gives the answer with its body unread. There is no deadline as long as bytes move: a
    /// worker that says nothing for so long, with no byte on its way to it, is given up.
    pub(crate) async fn stream(
        &self,
        worker: WorkerId,
        path: &str,
        body: Body,
        silence: Duration,
    ) -> Result<Body, Error> {
        let connection = self.lock().by_worker.get(&worker).cloned();
        let mut requests = connection.ok_or(Error::NotConnected)?.requests;
        let (body, watch) = watched(body);
        let request = Request::post(format!("http://worker{path}"))
            .header(http::header::CONTENT_TYPE, "application/octet-stream")
            .body(body)
            .map_err(|error| Error::Request(error.into()))?;
        let answering = requests.send_request(request);
        tokio::pin!(answering);
        let mut seen = 0;
        let response = loop {
            match tokio::time::timeout(silence, &mut answering).await {
                Ok(Err(_)) if watch.cut.load(Ordering::Relaxed) => return Err(Error::Cut),
                Ok(answered) => break answered.map_err(Error::Transport)?,
                Err(_) => {
                    let now = watch.pieces.load(Ordering::Relaxed);
                    if now == seen {
                        return Err(Error::TimedOut);
                    }
                    seen = now;
                }
            }
        };
        let status = response.status();
        if status.is_success() {
            return Ok(Body::new(response.into_body()));
        }
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect();
        let body = tokio::time::timeout(silence, body)
            .await
            .map_err(|_| Error::TimedOut)?
            .map_err(Error::Answer)?
            .to_bytes()
            .to_vec();
        Err(Error::Refused { status, body })
    }

    /// Sends a JSON request whose answer is its status alone.
    pub(crate) async fn tell<Q: Serialize>(
        &self,
        worker: WorkerId,
        method: http::Method,
        path: &str,
        body: &Q,
        deadline: Duration,
    ) -> Result<(), Error> {
        self.exchange(worker, method, path, body, deadline)
            .await
            .map(drop)
    }

    async fn exchange<Q: Serialize>(
        &self,
        worker: WorkerId,
        method: http::Method,
        path: &str,
        body: &Q,
        deadline: Duration,
    ) -> Result<Vec<u8>, Error> {
        let connection = self.lock().by_worker.get(&worker).cloned();
        let mut requests = connection.ok_or(Error::NotConnected)?.requests;
        let text = serde_json::to_vec(body).map_err(|error| Error::Request(error.into()))?;
        let request = Request::builder()
            .method(method)
            .uri(format!("http://worker{path}"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Body::from(text))
            .map_err(|error| Error::Request(error.into()))?;
        let exchange = async {
            let response = requests
                .send_request(request)
                .await
                .map_err(Error::Transport)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES)
                .collect()
                .await
                .map_err(Error::Answer)?
                .to_bytes()
                .to_vec();
            if status.is_success() {
                Ok(body)
            } else {
                Err(Error::Refused { status, body })
            }
        };
        tokio::time::timeout(deadline, exchange)
            .await
            .map_err(|_| Error::TimedOut)?
    }
}

/// What became of a request's body.
#[derive(Default)]
struct Watch {
    pieces: AtomicU64,
    /// Whoever sends it failed.
    cut: AtomicBool,
}

/// Counts the pieces of a body as they are taken.
fn watched(body: Body) -> (Body, Arc<Watch>) {
    let watch = Arc::new(Watch::default());
    let seen = Arc::clone(&watch);
    let pieces = body.into_data_stream().inspect(move |piece| {
        seen.pieces.fetch_add(1, Ordering::Relaxed);
        seen.cut.fetch_or(piece.is_err(), Ordering::Relaxed);
    });
    (Body::from_stream(pieces), watch)
}
