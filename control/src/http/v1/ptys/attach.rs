//! `GET /ptys/{id}/attach`: a WebSocket through which somebody looks at a PTY and types in it.
//!
//! Any number may be attached to one. Each is sent what the PTY prints from its own cursor on, read from the store as by
//! every other follower; what all of them type is one input, in the order in which it came.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use helmr_api::error::{Code, ErrorDetail};
use helmr_api::http::ptys::{Asked, AttachQuery, Told};
use helmr_domain::PtyId;
use helmr_domain::pty::Size;
use helmr_store::Hint;
use helmr_store::execs::{self, Exec, Place};
use tokio::sync::mpsc;

use super::{read, view};
use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::http::v1::execs::output::Output;
use crate::news::Topic;
use crate::ops::{self, bounds};
use crate::state::Environment;
use crate::{ApiError, Control};

const INPUT_BYTES: usize = 1 << 20;
/// What a viewer is shown that names no cursor.
const SCROLLBACK_BYTES: u64 = 64 << 10;
/// A ping each so often finds a viewer that has gone without a word. A hint may be lost, too, so this also looks.
const PING_EVERY: Duration = Duration::from_secs(15);
/// RFC 6455, 7.4.1.
const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;
const REFUSED: u16 = 1008;

/// Attaches to a PTY. What it prints comes in binary messages and what is typed goes in them; `docs/ptys.md` has the text
/// messages.
#[utoipa::path(get, path = "/api/v1/ptys/{id}/attach", operation_id = "attach_pty", tag = "ptys",
    params(("id" = String, Path), AttachQuery),
    responses((status = SWITCHING_PROTOCOLS, description = "A WebSocket."), Refusals))]
pub(crate) async fn attach_pty(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<PtyId>,
    Query(query): Query<AttachQuery>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let pty = read::find(&control, &caller, id).await?;
    let upgrade = upgrade
        .map_err(|_| ApiError::new(Code::UpgradeRequired, "attach by a WebSocket handshake"))?;
    if control.ending.is_cancelled() {
        return Err(ApiError::new(Code::ShuttingDown, "the server is ending"));
    }
    let environment = caller.environment;
    let output = Output::of(&control, &environment, id.into());
    let after = match &query.cursor {
        Some(_) => {
            let after = cursor::sequence(query.cursor.as_deref())?;
            // A window that has left the offset behind is refused before anything is answered.
            output.bytes(after).await?;
            after
        }
        None => scrollback(&output, &pty).await?,
    };
    let viewer = Viewer {
        control,
        environment,
        pty: id,
        output,
    };
    Ok(upgrade
        .max_message_size(INPUT_BYTES)
        .on_upgrade(move |socket| viewer.attend(socket, after)))
}

/// Where the newest of what was printed begins, at a line of its own if there are lines.
async fn scrollback(output: &Output, pty: &Exec) -> Result<u64, ApiError> {
    let from = pty.stdout.end.saturating_sub(SCROLLBACK_BYTES);
    if from <= pty.stdout.start {
        return Ok(pty.stdout.start);
    }
    let batch = output.bytes(from).await?;
    let first = batch.items.first().map(|(_, (_, bytes))| bytes.as_slice());
    let line = first.and_then(|bytes| bytes.iter().position(|byte| *byte == b'\n'));
    Ok(from + line.map_or(0, |at| at as u64 + 1))
}

/// Somebody who is attached.
struct Viewer {
    control: Control,
    environment: Environment,
    pty: PtyId,
    output: Output,
}

/// Why a viewer is told no more.
enum Over {
    /// It is gone.
    Gone,
    Ended,
    ServerEnds,
    Failed(ApiError),
}

impl From<ApiError> for Over {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

impl From<axum::Error> for Over {
    fn from(_: axum::Error) -> Self {
        Self::Gone
    }
}

impl Viewer {
    async fn attend(self, socket: WebSocket, after: u64) {
        let (mut sink, mut stream) = socket.split();
        // An answer for each message: whoever sends on without reading waits.
        let (answers, answering) = mpsc::channel(1);
        let over = tokio::select! {
            over = self.listen(&mut stream, answers) => over,
            over = self.show(&mut sink, answering, after) => over,
        };
        let (code, reason) = match over {
            Ok(()) | Err(Over::Gone) => return,
            Err(Over::Ended) => (NORMAL, "the PTY has ended"),
            Err(Over::ServerEnds) => (GOING_AWAY, "the server is ending"),
            Err(Over::Failed(error)) => {
                let detail = ErrorDetail {
                    code: error.code().as_str().to_owned(),
                    message: error.message().to_owned(),
                    details: error.details().cloned(),
                    request_id: None,
                };
                tracing::debug!("pty.id" = %self.pty, "error.code" = detail.code, cause = error.cause(), "a viewer is refused");
                drop(tell(&mut sink, &Told::Refused { error: detail }).await);
                (REFUSED, "refused")
            }
        };
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        // It may be gone already.
        drop(sink.send(Message::Close(Some(frame))).await);
        // Until it has closed its side, too, so that the last words arrive.
        while let Ok(Some(Ok(_))) = tokio::time::timeout(PING_EVERY, stream.next()).await {}
    }

    /// Takes what the viewer types and asks.
    async fn listen(
        &self,
        stream: &mut SplitStream<WebSocket>,
        answers: mpsc::Sender<Told>,
    ) -> Result<(), Over> {
        while let Some(message) = stream.next().await {
            match message? {
                Message::Binary(bytes) => {
                    let (control, environment) = (&self.control, &self.environment);
                    let pty =
                        ops::ptys::type_in(control, environment, self.pty, Place::Behind, &bytes)
                            .await;
                    match pty {
                        Ok(pty) => {
                            let input = pty.stdin.end;
                            if answers.send(Told::Accepted { input }).await.is_err() {
                                return Ok(());
                            }
                        }
                        // That it has ended is told behind the last that it printed.
                        Err(error) if error.code() == Code::PtyEnded => {}
                        Err(error) => return Err(error.into()),
                    }
                }
                Message::Text(text) => {
                    let asked = serde_json::from_str(&text).map_err(|error| {
                        ApiError::new(Code::InvalidBody, format!("not a message: {error}"))
                    })?;
                    self.ask(asked).await?;
                }
                Message::Close(_) => return Ok(()),
                Message::Ping(_) | Message::Pong(_) => {}
            }
        }
        Ok(())
    }

    async fn ask(&self, asked: Asked) -> Result<(), ApiError> {
        let Asked::Resize { cols, rows } = asked;
        let size = bounds::terminal(cols, rows)?;
        let (scope, at) = (self.environment.row.scope, self.control.moment()?);
        match execs::resize(&self.control.store, scope, self.pty, size, at).await {
            Err(helmr_store::Error::Refused(helmr_domain::Refusal::PtyEnded)) | Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends what the PTY prints and what becomes of it.
    async fn show(
        &self,
        sink: &mut SplitSink<WebSocket, Message>,
        mut answers: mpsc::Receiver<Told>,
        mut after: u64,
    ) -> Result<(), Over> {
        // Before the first look, so that nothing falls between look and wait.
        let topic = Topic::Of(Hint::Process(self.pty.into()));
        let subscription = self.control.news.subscribe(vec![topic]);
        let mut pty = self.look().await?;
        let attached = Told::Attached {
            pty: Box::new(view::pty(&pty)),
            cursor: after.to_string(),
        };
        tell(sink, &attached).await?;
        let mut ping = tokio::time::interval(PING_EVERY);
        loop {
            let more;
            (after, more) = self.print(sink, after).await?;
            let known = size_of(&pty);
            pty = self.look().await?;
            let size = size_of(&pty);
            if size != known {
                let (cols, rows) = (size.cols(), size.rows());
                tell(sink, &Told::Resized { cols, rows }).await?;
            }
            if more || after < pty.stdout.end {
                continue;
            }
            if pty.state.is_final() {
                let pty = Box::new(view::pty(&pty));
                tell(sink, &Told::Ended { pty }).await?;
                return Err(Over::Ended);
            }
            // Answers come between: they say nothing of what is printed.
            loop {
                tokio::select! {
                    () = self.control.ending.cancelled() => return Err(Over::ServerEnds),
                    () = subscription.news() => break,
                    _ = ping.tick() => {
                        sink.send(Message::Ping(Bytes::new())).await?;
                        break;
                    }
                    Some(answer) = answers.recv() => tell(sink, &answer).await?,
                }
            }
        }
    }

    /// Sends what lies behind `after`. Gives where that ends, and whether there is more.
    async fn print(
        &self,
        sink: &mut SplitSink<WebSocket, Message>,
        after: u64,
    ) -> Result<(u64, bool), Over> {
        let batch = match self.output.bytes(after).await {
            Ok(batch) => batch,
            Err(error) if error.code() == Code::CursorExpired => {
                let cursor = self.look().await?.stdout.start;
                let skipped = Told::Skipped {
                    cursor: cursor.to_string(),
                };
                tell(sink, &skipped).await?;
                return Ok((cursor, true));
            }
            Err(error) => return Err(error.into()),
        };
        for (_, (_, bytes)) in batch.items {
            sink.send(Message::Binary(bytes.into())).await?;
        }
        Ok((batch.after, batch.more))
    }

    async fn look(&self) -> Result<Exec, ApiError> {
        let scope = self.environment.row.scope;
        let found = execs::get(&self.control.store, scope, self.pty).await?;
        found.ok_or_else(|| crate::refusal::not_found("pty"))
    }
}

fn size_of(pty: &Exec) -> Size {
    pty.pty.map_or(Size::USUAL, |pty| pty.size)
}

async fn tell(sink: &mut SplitSink<WebSocket, Message>, told: &Told) -> Result<(), axum::Error> {
    // What came out of the store can be written as JSON.
    let text = serde_json::to_string(told).unwrap_or_default();
    sink.send(Message::Text(text.into())).await
}
