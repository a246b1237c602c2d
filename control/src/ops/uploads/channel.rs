//! From an asynchronous request body to the blocking reader that the artifact store takes, hashed on the way.

use std::io::{self, Read};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

/// A sender that is silent for longer is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// Pieces that wait to be read.
const PIECES: usize = 8;

/// Why the bytes ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the upload ended before it was complete")]
    Cut,
    #[error("the upload was silent for too long")]
    Silent,
    #[error("the upload is over its limit")]
    TooLarge,
}

/// Reads what [`pump`] sends.
pub(crate) struct Reader {
    pieces: mpsc::Receiver<Result<Bytes, Broken>>,
    current: Bytes,
    hash: Sha256,
}

/// The end that the request feeds.
pub(crate) struct Feed {
    body: BodyDataStream,
    pieces: mpsc::Sender<Result<Bytes, Broken>>,
    limit: u64,
}

/// Joins a request's body to a reader.
pub(crate) fn channel(body: Body, limit: u64) -> (Feed, Reader) {
    let (send, receive) = mpsc::channel(PIECES);
    (
        Feed {
            body: body.into_data_stream(),
            pieces: send,
            limit,
        },
        Reader {
            pieces: receive,
            current: Bytes::new(),
            hash: Sha256::new(),
        },
    )
}

impl Feed {
    /// Moves the body to the reader. Ends when either side does, and says why if it ended early.
    pub(crate) async fn pump(mut self) -> Result<(), Broken> {
        let mut total = 0_u64;
        loop {
            let piece = match tokio::time::timeout(SILENCE, self.body.next()).await {
                Ok(None) => return Ok(()),
                Ok(Some(Ok(piece))) => {
                    total = total.saturating_add(piece.len() as u64);
                    if total > self.limit {
                        Err(Broken::TooLarge)
                    } else {
                        Ok(piece)
                    }
                }
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

impl Reader {
    /// Hex SHA-256 of everything that was read.
    pub(crate) fn sha256(&self) -> String {
        let mut text = String::with_capacity(64);
        for byte in self.hash.clone().finalize() {
            text.push(char::from(b"0123456789abcdef"[usize::from(byte >> 4)]));
            text.push(char::from(b"0123456789abcdef"[usize::from(byte & 15)]));
        }
        text
    }
}

impl Read for Reader {
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
        self.hash.update(&into[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Result;

    use super::*;

    async fn send(
        body: Body,
        limit: u64,
    ) -> Result<(Result<(), Broken>, io::Result<usize>, String)> {
        let (feed, mut reader) = channel(body, limit);
        let read = tokio::task::spawn_blocking(move || {
            let read = reader.read_to_end(&mut Vec::new());
            (read, reader.sha256())
        });
        let pumped = feed.pump().await;
        let (read, sha256) = read.await?;
        Ok((pumped, read, sha256))
    }

    #[tokio::test]
    async fn bytes_arrive_whole_and_hashed() -> Result<()> {
        let (pumped, read, sha256) = send(Body::from("abc"), 3).await?;
        assert_eq!((pumped, read?), (Ok(()), 3));
        assert_eq!(
            sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        Ok(())
    }

    #[tokio::test]
    async fn a_body_over_its_limit_or_cut_short_is_no_end_of_file() -> Result<()> {
        let (pumped, read, _) = send(Body::from("abcd"), 3).await?;
        assert_eq!(pumped, Err(Broken::TooLarge));
        assert!(read.is_err());
        let pieces = [Ok(Bytes::from("ab")), Err(io::Error::other("reset"))];
        let (pumped, read, _) =
            send(Body::from_stream(futures_util::stream::iter(pieces)), 9).await?;
        assert_eq!(pumped, Err(Broken::Cut));
        assert!(read.is_err());
        Ok(())
    }
}
