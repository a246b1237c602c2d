//! Server-sent events, read as they come.

use anyhow::{Context, Result, bail};
use axum::body::Body;
use futures_util::StreamExt as _;
use http::Request;
use serde_json::Value;

use crate::server::{PATIENCE, Server};

/// A stream of events, read as it comes.
pub(crate) struct Following {
    body: axum::body::BodyDataStream,
    text: String,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

impl Following {
    pub(crate) async fn open(server: &Server, path: &str, last: Option<&str>) -> Result<Self> {
        Self::open_as(server, &server.key, path, last).await
    }

    /// By another credential than the server's API key.
    pub(crate) async fn open_as(
        server: &Server,
        credential: &str,
        path: &str,
        last: Option<&str>,
    ) -> Result<Self> {
        let mut request = Request::get(path)
            .header("authorization", format!("Bearer {credential}"))
            .header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = server.send(request.body(Body::empty())?).await?;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["x-accel-buffering"], "no");
        Ok(Self {
            body: answer.into_body().into_data_stream(),
            text: String::new(),
        })
    }

    pub(crate) async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if !event.starts_with(':') {
                    return read(&event);
                }
                continue;
            }
            match tokio::time::timeout(PATIENCE, self.body.next()).await {
                Ok(Some(piece)) => self.text.push_str(std::str::from_utf8(&piece?)?),
                Ok(None) => bail!("the stream ended"),
                Err(_) => bail!("no event in time"),
            }
        }
    }

    /// Asserts that nothing follows.
    pub(crate) async fn ended(&mut self) -> Result<()> {
        match tokio::time::timeout(PATIENCE, self.body.next()).await {
            Ok(None) => Ok(()),
            other => bail!("not the end: {other:?}"),
        }
    }
}

fn read(text: &str) -> Result<Event> {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .map(str::to_owned)
    };
    Ok(Event {
        name: field("event"),
        id: field("id"),
        data: serde_json::from_str(&field("data").context("no data")?)?,
    })
}
