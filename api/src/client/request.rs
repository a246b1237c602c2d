//! One request: built, sent, repeated where that is safe, and its answer read.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};
use reqwest::{Body, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Answer, Client, Error};
use crate::error::ErrorBody;
use crate::http::{IDEMPOTENCY_KEY_HEADER, IDEMPOTENCY_REPLAYED_HEADER};

/// How long an ordinary request may take in all.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Pauses before a request that may be repeated is sent again.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(900),
];

/// Makes a creation safe to repeat: the same key and body again are answered with the first answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(pub String);

impl IdempotencyKey {
    /// Makes a key that nobody else has.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0_u8; 16];
        let mut filled = 0;
        while filled < bytes.len() {
            // Up to 256 bytes come whole once the pool is ready; before that, the call waits for it.
            match rustix::rand::getrandom(
                &mut bytes[filled..],
                rustix::rand::GetRandomFlags::empty(),
            ) {
                Ok(count) => filled += count,
                Err(rustix::io::Errno::INTR) => {}
                // A key that is not random repeats another request's answer: the process id keeps it apart.
                Err(_) => return Self(format!("pid-{}", std::process::id())),
            }
        }
        Self(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// An answer's bytes, as they come.
#[derive(Debug)]
pub struct ByteStream {
    operation: String,
    url: String,
    answer: Response,
}

impl ByteStream {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// If the answer breaks off.
    pub async fn next(&mut self) -> Result<Option<bytes::Bytes>, Error> {
        self.answer
            .chunk()
            .await
            .map_err(|source| Error::of_sending(&self.operation, &self.url, source))
    }
}

/// A request under construction.
#[derive(Debug)]
pub(super) struct Request<'a> {
    client: &'a Client,
    method: Method,
    url: Url,
    body: Option<String>,
    idempotency_key: Option<String>,
    accept: &'static str,
    last_event_id: Option<String>,
    timeout: Option<Duration>,
    headers: Vec<(&'static str, String)>,
}

impl Client {
    pub(super) fn get<'a>(&'a self, path: &[&str]) -> Request<'a> {
        Request::new(self, Method::GET, path)
    }

    pub(super) fn post<'a>(&'a self, path: &[&str]) -> Request<'a> {
        Request::new(self, Method::POST, path)
    }

    pub(super) fn patch<'a>(&'a self, path: &[&str]) -> Request<'a> {
        Request::new(self, Method::PATCH, path)
    }

    pub(super) fn delete<'a>(&'a self, path: &[&str]) -> Request<'a> {
        Request::new(self, Method::DELETE, path)
    }

    pub(super) fn put<'a>(&'a self, path: &[&str]) -> Request<'a> {
        Request::new(self, Method::PUT, path)
    }
}

impl<'a> Request<'a> {
    fn new(client: &'a Client, method: Method, path: &[&str]) -> Self {
        let mut url = client.base.clone();
        // The base has a host, so it has a path to add to.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        if !client.scope.is_empty() {
            url.query_pairs_mut().extend_pairs(&client.scope);
        }
        Self {
            client,
            method,
            url,
            body: None,
            idempotency_key: None,
            accept: "application/json",
            last_event_id: None,
            timeout: Some(TIMEOUT),
            headers: Vec::new(),
        }
    }

    /// Adds a header, unless there is no value.
    pub(super) fn header(mut self, name: &'static str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.headers.push((name, value.to_owned()));
        }
        self
    }

    /// Adds a query parameter, unless there is no value.
    pub(super) fn query(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.url
                .query_pairs_mut()
                .append_pair(name, &value.to_string());
        }
        self
    }

    pub(super) fn json(mut self, body: &impl Serialize) -> Result<Self, Error> {
        self.body = Some(serde_json::to_string(body).map_err(Error::Unwritable)?);
        Ok(self)
    }

    pub(super) fn idempotency_key(mut self, key: &IdempotencyKey) -> Self {
        self.idempotency_key = Some(key.0.clone());
        self
    }

    pub(super) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Lets the answer, or what is sent, take as long as it takes.
    pub(super) fn without_deadline(mut self) -> Self {
        self.timeout = None;
        self
    }

    /// Sends the request and gives the answer's bytes as they come.
    pub(super) async fn bytes(self) -> Result<ByteStream, Error> {
        let request = Self {
            accept: "*/*",
            timeout: None,
            ..self
        };
        let answer = request.start(None).await?;
        Ok(ByteStream {
            operation: request.operation(),
            url: request.client.url().to_owned(),
            answer,
        })
    }

    /// Asks for server-sent events after the one with this id. The answer has no end to wait for.
    pub(super) fn events(mut self, last_event_id: Option<String>) -> Self {
        self.accept = "text/event-stream";
        self.last_event_id = last_event_id;
        self.timeout = None;
        self
    }

    /// What is being done, for messages: `GET /api/v1/runs/run_…`.
    pub(super) fn operation(&self) -> String {
        format!("{} {}", self.method, self.url.path())
    }

    /// Sends the request and reads its JSON answer. Repeats it a few times if the server is out of reach and the
    /// request may be carried out twice.
    pub(super) async fn send<T: DeserializeOwned>(self) -> Result<Answer<T>, Error> {
        // A change to given values comes to the same however often it is made, and so does a deletion.
        let safe = [Method::GET, Method::PATCH, Method::DELETE].contains(&self.method);
        let repeatable = safe || self.idempotency_key.is_some();
        let mut pauses = PAUSES.iter();
        loop {
            let error = match self.send_once().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // Slow is not out of reach: a deadline that passed is not tried three times more.
            let worth_it = error.is_passing() && !matches!(error, Error::TimedOut { .. });
            match pauses.next() {
                Some(pause) if repeatable && worth_it => tokio::time::sleep(*pause).await,
                _ => return Err(error),
            }
        }
    }

    async fn send_once<T: DeserializeOwned>(&self) -> Result<Answer<T>, Error> {
        let body = self.body.clone().map(Body::from);
        let answer = self.start(body).await?;
        self.read(answer).await
    }

    /// Sends bytes as they come, once.
    pub(super) async fn send_stream<T: DeserializeOwned>(
        self,
        body: Body,
    ) -> Result<Answer<T>, Error> {
        let answer = self.start(Some(body)).await?;
        self.read(answer).await
    }

    /// Sends the request and gives the answer with its body unread. A refusal is an error.
    pub(super) async fn start(&self, body: Option<Body>) -> Result<Response, Error> {
        let mut request = self
            .client
            .http
            .request(self.method.clone(), self.url.clone())
            .header(header::ACCEPT, self.accept);
        if self.body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        } else if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/octet-stream");
        }
        if let Some(key) = &self.idempotency_key {
            request = request.header(IDEMPOTENCY_KEY_HEADER, key);
        }
        if let Some(id) = &self.last_event_id {
            request = request.header("last-event-id", id);
        }
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(timeout) = self.timeout {
            request = request.timeout(timeout);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let answer = request
            .send()
            .await
            .map_err(|source| Error::of_sending(&self.operation(), self.client.url(), source))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(self.refusal(answer).await)
    }

    /// Asks for another protocol on the connection, and gives the answer that turns it around.
    pub(super) async fn upgrade(&self, headers: HeaderMap) -> Result<Response, Error> {
        let asked = self
            .client
            .upgrading
            .request(self.method.clone(), self.url.clone())
            .headers(headers)
            .send();
        let answer = tokio::time::timeout(TIMEOUT, asked)
            .await
            .map_err(|_| Error::TimedOut {
                operation: self.operation(),
            })?
            .map_err(|source| Error::of_sending(&self.operation(), self.client.url(), source))?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(answer);
        }
        Err(self.refusal(answer).await)
    }

    async fn read<T: DeserializeOwned>(&self, answer: Response) -> Result<Answer<T>, Error> {
        let replayed = answer.headers().contains_key(IDEMPOTENCY_REPLAYED_HEADER);
        let text = answer
            .text()
            .await
            .map_err(|source| Error::of_sending(&self.operation(), self.client.url(), source))?;
        Answer::read(text, replayed, &self.operation())
    }

    async fn refusal(&self, answer: Response) -> Error {
        let status: StatusCode = answer.status();
        let text = match answer.text().await {
            Ok(text) => text,
            Err(source) => return Error::of_sending(&self.operation(), self.client.url(), source),
        };
        match serde_json::from_str::<ErrorBody>(&text) {
            Ok(body) => Error::Refused {
                status: status.as_u16(),
                detail: body.error,
            },
            Err(_) => Error::Foreign {
                operation: self.operation(),
                status: status.as_u16(),
            },
        }
    }
}
