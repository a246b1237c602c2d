//! Serving a router on a listener, until told to end.

use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use http::header::{CONTENT_TYPE, ETAG};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use helmr_cli::VERSION;

/// A listener that is being served.
#[derive(Debug)]
pub(crate) struct Server {
    name: &'static str,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// Serves until `ending` is cancelled; then no connection is taken any more and answers under way are finished.
    pub(crate) fn start<L>(
        name: &'static str,
        listener: L,
        router: Router,
        ending: CancellationToken,
    ) -> Self
    where
        L: Listener,
        L::Addr: std::fmt::Debug,
    {
        let serving =
            axum::serve(listener, router).with_graceful_shutdown(ending.cancelled_owned());
        Self {
            name,
            task: tokio::spawn(async move { serving.await }),
        }
    }

    /// Waits for the answers under way, up to a limit. The token is cancelled by the caller.
    pub(crate) async fn finish(mut self, limit: Duration) {
        if tokio::time::timeout(limit, &mut self.task).await.is_err() {
            tracing::info!(server = self.name, "connections were cut");
            self.task.abort();
        }
    }
}

/// What clients are served: the API, and the SDK that the binary carries.
pub(crate) fn public(router: Router, sdk: Option<&'static [u8]>) -> Router {
    let Some(sdk) = sdk else {
        return router;
    };
    let headers = [
        (CONTENT_TYPE, "application/gzip".to_owned()),
        (ETAG, format!("\"{VERSION}-{}\"", sdk.len())),
    ];
    Router::new()
        .route(
            "/sdk/helmr-sdk.tgz",
            axum::routing::get(move || std::future::ready((headers.clone(), sdk))),
        )
        .fallback_service(router)
}
