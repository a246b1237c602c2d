//! Between the asynchronous bodies of requests and answers and the threads that read and write files: bounded channels,
//! so that the slower side holds the faster one back.

use std::io::{self, Read, Write};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Buf as _, Bytes};
use futures_util::{StreamExt as _, stream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Whoever neither gives nor takes a byte for so long is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// Pieces under way.
const PIECES: usize = 8;
/// Of what is written in small parts.
const PIECE_BYTES: usize = 64 << 10;

/// Why the bytes ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("the bytes ended before they were complete")]
    Cut,
    #[error("no byte came for a minute")]
    Silent,
}

/// Reads what a [`Feed`] moves.
pub struct Incoming {
    pieces: mpsc::Receiver<Result<Bytes, Broken>>,
    current: Bytes,
}

/// The end that the request feeds.
pub struct Feed {
    body: BodyDataStream,
    pieces: mpsc::Sender<Result<Bytes, Broken>>,
}

/// Joins a request's body to a reader.
#[must_use]
pub fn incoming(body: Body) -> (Feed, Incoming) {
    let (send, receive) = mpsc::channel(PIECES);
    (
        Feed {
            body: body.into_data_stream(),
            pieces: send,
        },
        Incoming {
            pieces: receive,
            current: Bytes::new(),
        },
    )
}

impl Feed {
    /// Moves the body to the reader. Ends when either side does.
    ///
    /// # Errors
    /// Why the body ended early.
    pub async fn pump(mut self) -> Result<(), Broken> {
        loop {
            let piece = match timeout(SILENCE, self.body.next()).await {
                Ok(None) => return Ok(()),
                Ok(Some(Ok(piece))) => Ok(piece),
                Ok(Some(Err(_))) => Err(Broken::Cut),
                Err(_) => Err(Broken::Silent),
            };
            let broken = piece.as_ref().err().copied();
            // The reader may have failed already: its own error is the one that is told.
            let gone = self.pieces.send(piece).await.is_err();
            match broken {
                Some(broken) => return Err(broken),
                None if gone => return Ok(()),
                None => {}
            }
        }
    }
}

impl Read for Incoming {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(Ok(piece)) => self.current = piece,
                Some(Err(broken)) => return Err(io::Error::other(broken)),
            }
        }
        let count = self.current.len().min(into.len());
        self.current.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}

/// Writes the body of an answer, on a thread that may block. Dropped without [`Outgoing::finish`], the body is cut, which
/// its reader takes for a failure.
pub struct Outgoing {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    gathered: Vec<u8>,
    handle: Handle,
    finished: bool,
}

/// Joins a writer to a body. Called where there is a runtime.
pub fn outgoing() -> (Outgoing, Body) {
    let (send, receive) = mpsc::channel::<io::Result<Bytes>>(PIECES);
    let pieces = stream::unfold(receive, |mut receive| async move {
        receive.recv().await.map(|piece| (piece, receive))
    });
    (
        Outgoing {
            pieces: send,
            gathered: Vec::new(),
            handle: Handle::current(),
            finished: false,
        },
        Body::from_stream(pieces),
    )
}

impl Outgoing {
    /// Ends the body well.
    ///
    /// # Errors
    /// `BrokenPipe` or `TimedOut` if nobody takes it.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.finished = true;
        Ok(())
    }

    fn send(&self, piece: io::Result<Bytes>) -> io::Result<()> {
        let sent = async { timeout(SILENCE, self.pieces.send(piece)).await };
        match self.handle.block_on(sent) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::Error::from(io::ErrorKind::BrokenPipe)),
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
        }
    }
}

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.gathered));
        self.send(Ok(piece))
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if !self.finished {
            // Nobody may be there to see it.
            drop(
                self.pieces
                    .try_send(Err(io::Error::other("the bytes were cut"))),
            );
        }
    }
}
