//! Following something that grows: a stream of events that outlives its connections.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use serde::de::DeserializeOwned;

use super::sse::{Event, Parser};
use super::{Answer, Client, Error};
use crate::error::{Code, ErrorDetail};

/// The server says something every 15 s; after three times that, the connection is taken for dead.
const SILENCE: Duration = Duration::from_secs(45);

/// Pauses between attempts to connect again; the last one repeats.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// What comes next.
#[derive(Debug)]
pub enum Update<T> {
    /// One more: typed, and its JSON as it came.
    Item(Answer<T>),
    /// The connection is gone and is being made anew; nothing is lost or repeated. Said once per loss.
    Lost(Error),
    /// There is nothing more and will not be: what was followed has ended.
    Ended,
}

/// Follows one growing thing from a cursor.
pub struct Follow<T> {
    client: Client,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    /// How long attempts to connect may fail before that is an error.
    patience: Duration,
    parser: Parser,
    last_id: Option<String>,
    arrived: VecDeque<Event>,
    body: Option<BoxStream<'static, reqwest::Result<bytes::Bytes>>>,
    failing: Option<Failing>,
    of: PhantomData<fn() -> T>,
}

/// Attempts that failed since the last success.
struct Failing {
    attempts: usize,
    since: tokio::time::Instant,
}

impl Failing {
    fn now() -> Self {
        Self {
            attempts: 0,
            since: tokio::time::Instant::now(),
        }
    }
}

impl<T> std::fmt::Debug for Follow<T> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Follow")
            .field("path", &self.path)
            .field("last_id", &self.last_id)
            .finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn follow<T>(&self, path: &[&str], query: Vec<(&'static str, String)>) -> Follow<T> {
        Follow {
            client: self.clone(),
            path: path.iter().map(|part| (*part).to_owned()).collect(),
            query,
            patience: Duration::from_secs(120),
            parser: Parser::default(),
            last_id: None,
            arrived: VecDeque::new(),
            body: None,
            failing: None,
            of: PhantomData,
        }
    }
}

impl<T: DeserializeOwned> Follow<T> {
    /// Waits for the next update. Cancel-safe: nothing is lost if the wait is given up.
    ///
    /// # Errors
    /// A refusal; or that the server was out of reach for two minutes.
    pub async fn next(&mut self) -> Result<Update<T>, Error> {
        loop {
            if let Some(event) = self.arrived.pop_front() {
                return self.understand(event);
            }
            let Some(body) = &mut self.body else {
                match self.connect().await {
                    Ok(()) => continue,
                    Err(error) => match self.failed(error)? {
                        Some(lost) => return Ok(lost),
                        None => continue,
                    },
                }
            };
            match tokio::time::timeout(SILENCE, body.next()).await {
                Ok(Some(Ok(bytes))) => self.take(&bytes)?,
                Ok(None) => return self.lost(|operation| Error::Closed { operation }),
                Ok(Some(Err(source))) => {
                    return self.lost(|operation| Error::Interrupted { operation, source });
                }
                Err(_) => return self.lost(|operation| Error::TimedOut { operation }),
            }
        }
    }

    fn operation(&self) -> String {
        format!("GET /api/v1/{}", self.path.join("/"))
    }

    async fn connect(&mut self) -> Result<(), Error> {
        if let Some(failing) = &self.failing {
            let pause = PAUSES[failing.attempts.min(PAUSES.len() - 1)];
            tokio::time::sleep(pause).await;
        }
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let mut request = self.client.get(&path);
        for (name, value) in &self.query {
            request = request.query(name, Some(value));
        }
        let answer = request.events(self.last_id.clone()).start(None).await?;
        self.body = Some(answer.bytes_stream().boxed());
        self.failing = None;
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self.parser.push(bytes) {
            Ok(events) => {
                self.arrived.extend(events);
                Ok(())
            }
            Err(_) => Err(Error::BrokenStream {
                operation: self.operation(),
                reason: "an event is larger than any that a Helmr server sends".to_owned(),
            }),
        }
    }

    /// A connection that worked is gone, without a word that all is said.
    fn lost(&mut self, error: impl FnOnce(String) -> Error) -> Result<Update<T>, Error> {
        self.body = None;
        self.parser.reset();
        self.failing = Some(Failing::now());
        Ok(Update::Lost(error(self.operation())))
    }

    /// Counts a failure: the first one is told, later ones are only waited out, until patience ends.
    fn failed(&mut self, error: Error) -> Result<Option<Update<T>>, Error> {
        if !error.is_passing() {
            return Err(error);
        }
        match &mut self.failing {
            None => {
                self.failing = Some(Failing::now());
                Ok(Some(Update::Lost(error)))
            }
            Some(failing) if failing.since.elapsed() > self.patience => Err(error),
            Some(failing) => {
                failing.attempts += 1;
                Ok(None)
            }
        }
    }

    /// Tells items from the words that frame them.
    fn understand(&mut self, event: Event) -> Result<Update<T>, Error> {
        match event.name.as_str() {
            "end" => Ok(Update::Ended),
            // A refusal found after the answer had begun.
            "error" => Err(refusal(&event.data)),
            _ => {
                let answer = Answer::read(event.data, false, &self.operation())?;
                if event.id.is_some() {
                    self.last_id = event.id;
                }
                Ok(Update::Item(answer))
            }
        }
    }
}

fn refusal(data: &str) -> Error {
    let detail: ErrorDetail = match serde_json::from_str(data) {
        Ok(detail) => detail,
        Err(source) => {
            let operation = "an error in a stream".to_owned();
            return Error::Unreadable { operation, source };
        }
    };
    let status = Code::from_text(&detail.code).map_or(500, |code| code.kind().status());
    Error::Refused { status, detail }
}
