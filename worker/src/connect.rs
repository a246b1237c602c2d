//! The connection on which the control plane calls the worker: the worker opens it, so it needs no address of its own.
//!
//! An HTTP/1.1 request is upgraded, and then the sides change: the worker serves HTTP/2 on what it dialled.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use helmr_api::worker::UPGRADE;
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt as _;

use crate::backoff::Backoff;
use crate::client::Client;

const UPGRADE_WITHIN: Duration = Duration::from_secs(10);
const WINDOW_BYTES: u32 = 4 << 20;
/// A control plane that has gone without a word is noticed after this.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Keeps the connection, for ever. `connected` tells how it stands.
pub(crate) async fn keep(client: Arc<Client>, routes: Router, connected: watch::Sender<bool>) {
    let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(2));
    loop {
        match timeout(UPGRADE_WITHIN, upgrade(&client)).await {
            Ok(Ok(upgraded)) => {
                backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(2));
                connected.send_replace(true);
                serve(upgraded, routes.clone()).await;
                connected.send_replace(false);
            }
            Ok(Err(error)) => tracing::debug!(%error, "the control plane cannot be reached"),
            Err(_) => tracing::debug!("the control plane did not take the connection"),
        }
        backoff.wait().await;
    }
}

async fn upgrade(client: &Client) -> io::Result<Upgraded> {
    let stream = client.connector().connect().await?;
    let (mut requests, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let driver = AbortOnDropHandle::new(tokio::spawn(connection.with_upgrades()));
    let request = Request::get("/worker/v1/connect")
        .header(header::HOST, client.connector().authority())
        .header(header::AUTHORIZATION, client.bearer())
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, UPGRADE)
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let response = requests
        .send_request(request)
        .await
        .map_err(io::Error::other)?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = response.status();
        return Err(io::Error::other(format!("the answer was {status}")));
    }
    let upgraded = hyper::upgrade::on(response)
        .await
        .map_err(io::Error::other)?;
    drop(driver);
    Ok(upgraded)
}

async fn serve(upgraded: Upgraded, routes: Router) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let routes = routes.clone();
        async move {
            let Ok(response) = routes.oneshot(request.map(Body::new)).await;
            Ok::<_, Infallible>(response)
        }
    });
    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .serve_connection(upgraded, service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "the control plane's connection ended");
    }
}
