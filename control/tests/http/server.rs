//! A control plane on a store in memory, and requests to its real router.

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use helmr_control::{Clock, Config, Database, Running};
use helmr_domain::{Duration, Timestamp};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// 2026-06-01T00:00:00Z.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_780_272_000_000_000);
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) running: Running,
    pub(crate) router: Router,
    pub(crate) clock: Clock,
    pub(crate) key: String,
    dir: tempfile::TempDir,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The code of a refusal.
    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    /// A text field, by JSON pointer.
    pub(crate) fn text(&self, pointer: &str) -> Result<String> {
        self.body
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .with_context(|| format!("no text at {pointer} in {self:?}"))
    }

    /// Asserts success.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert!(self.status.is_success(), "{self:?}");
        self
    }

    /// Asserts a refusal, and gives its details.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!(
            (self.status.as_u16(), self.code()),
            (status, code),
            "{self:?}"
        );
        assert!(self.body["error"]["request_id"].is_string(), "{self:?}");
        self.body["error"]["details"].clone()
    }
}

impl Server {
    /// On a store in memory.
    pub(crate) async fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        Self::start_on(dir, Database::InMemory, Clock::manual(START)).await
    }

    /// On a store in a file.
    pub(crate) async fn start_on_file() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let database = Database::Sqlite(dir.path().join("helmr.db"));
        Self::start_on(dir, database, Clock::manual(START)).await
    }

    /// On a store in a file, by the host's clocks.
    pub(crate) async fn start_in_real_time() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let database = Database::Sqlite(dir.path().join("helmr.db"));
        Self::start_on(dir, database, Clock::default()).await
    }

    /// Ends this server and starts another on its file, after `away`.
    pub(crate) async fn restart(self, away: Duration) -> Result<Self> {
        let Self {
            running,
            router,
            clock,
            dir,
            ..
        } = self;
        running.shutdown().await;
        drop(router);
        clock.advance(away);
        let database = Database::Sqlite(dir.path().join("helmr.db"));
        Self::start_on(dir, database, clock).await
    }

    async fn start_on(dir: tempfile::TempDir, database: Database, clock: Clock) -> Result<Self> {
        let mut config = Config::in_directory(dir.path(), "http://helmr.test".to_owned());
        config.database = database;
        config.clock = clock.clone();
        let running = helmr_control::start(config).await?;
        Ok(Self {
            router: running.router(),
            key: running.local_api_key().expose_secret().to_owned(),
            clock,
            running,
            dir,
        })
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response> {
        tokio::time::timeout(PATIENCE, self.router.clone().oneshot(request))
            .await
            .context("no answer in time")?
            .map_err(|never| match never {})
    }

    pub(crate) async fn answer(&self, request: Request<Body>) -> Result<Answer> {
        let (parts, body) = self.send(request).await?.into_parts();
        let bytes = tokio::time::timeout(PATIENCE, body.collect())
            .await
            .context("the answer did not end in time")??
            .to_bytes();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)))
        };
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    }

    /// A request with the API key.
    pub(crate) fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", self.key))
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer> {
        self.answer(self.request(Method::GET, path).body(Body::empty())?)
            .await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.post_with(path, body, &[]).await
    }

    pub(crate) async fn post_with(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        let mut request = self
            .request(Method::POST, path)
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.answer(request.body(Body::from(body.to_string()))?)
            .await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Result<Answer> {
        let request = self
            .request(Method::PATCH, path)
            .header("content-type", "application/json");
        self.answer(request.body(Body::from(body.to_string()))?)
            .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Answer> {
        self.answer(self.request(Method::DELETE, path).body(Body::empty())?)
            .await
    }

    pub(crate) async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<Answer> {
        self.answer(self.request(Method::PUT, path).body(Body::from(bytes))?)
            .await
    }
}
