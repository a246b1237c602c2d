//! What a run prints and logs: gathered for a moment, posted, then settled.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helmr_api::worker::{LogEntry, Output, OutputSegment};
use helmr_guest_wire::{OutputChunk, OutputStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::acks::Acks;
use super::line::Entry;
use crate::client::Failure;
use crate::report::{Reports, RunKey};

/// How long the first thing in a batch waits for company.
const GATHER_FOR: Duration = Duration::from_millis(100);
/// A batch of this size goes at once.
const BATCH_BYTES: usize = 256 << 10;
/// Kept of the end of stderr, to tell why a process aborted.
const TAIL_BYTES: usize = 4096;

/// Something for a run's log.
pub(super) enum Item {
    Printed {
        position: u64,
        chunks: Vec<OutputChunk>,
    },
    Logged {
        position: u64,
        entry: Entry,
    },
    /// Post what there is, then answer with the last of stderr.
    Flush(oneshot::Sender<Vec<u8>>),
}

pub(super) struct OutputLane {
    pub(super) run: RunKey,
    pub(super) reports: Reports,
    pub(super) acks: Arc<Acks>,
    pub(super) items: mpsc::Receiver<Item>,
}

#[derive(Default)]
struct Batch {
    output: Vec<Output>,
    /// Of the last one in `output`.
    bytes: usize,
    positions: Vec<u64>,
    flushes: Vec<oneshot::Sender<Vec<u8>>>,
}

impl OutputLane {
    /// Runs until nothing more can come, or the lease is lost.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let mut tail = Vec::new();
        while let Some(first) = self.items.recv().await {
            let mut batch = Batch::default();
            batch.add(first, &mut tail);
            let until = Instant::now() + GATHER_FOR;
            while !batch.is_due() {
                match timeout_at(until, self.items.recv()).await {
                    Ok(Some(item)) => batch.add(item, &mut tail),
                    Ok(None) | Err(_) => break,
                }
            }
            self.post(batch.output).await?;
            for position in batch.positions {
                self.acks.done(position);
            }
            for flush in batch.flushes {
                // Whoever asked may be gone by now.
                drop(flush.send(tail.clone()));
            }
        }
        Ok(())
    }

    async fn post(&self, batch: Vec<Output>) -> Result<(), Failure> {
        for output in batch {
            match self.reports.output(self.run, output).await {
                Err(Failure::Stale) => return Err(Failure::Stale),
                Err(refused) => {
                    tracing::warn!(run.id = %self.run.run_id, %refused, "output was refused and is dropped");
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }
}

impl Batch {
    fn add(&mut self, item: Item, tail: &mut Vec<u8>) {
        match item {
            Item::Printed { position, chunks } => {
                self.positions.push(position);
                for chunk in chunks {
                    self.add_chunk(chunk, tail);
                }
            }
            Item::Logged { position, entry } => {
                self.positions.push(position);
                let size = entry.message.len();
                self.with_room_for(size).entries.push(LogEntry {
                    // The frame's position: it only grows, and a repeated frame has the same.
                    index: position,
                    level: entry.level,
                    message: entry.message,
                    fields: entry.fields,
                    at_us: entry.at_ms.saturating_mul(1000),
                });
            }
            Item::Flush(done) => self.flushes.push(done),
        }
    }

    fn add_chunk(&mut self, chunk: OutputChunk, tail: &mut Vec<u8>) {
        let stream = match OutputStream::try_from(chunk.stream) {
            Ok(OutputStream::Stdout) => "stdout",
            Ok(OutputStream::Stderr) => "stderr",
            Ok(OutputStream::Unspecified) | Err(_) => return,
        };
        if stream == "stderr" {
            tail.extend_from_slice(&chunk.data);
            tail.drain(..tail.len().saturating_sub(TAIL_BYTES));
        }
        let segment = OutputSegment {
            stream: stream.to_owned(),
            offset: chunk.offset,
            data: STANDARD.encode(&chunk.data),
        };
        self.with_room_for(chunk.data.len()).segments.push(segment);
    }

    /// The post that takes something of this size: the last one, unless that is full.
    fn with_room_for(&mut self, bytes: usize) -> &mut Output {
        if self.output.is_empty() || (self.bytes > 0 && self.bytes + bytes > BATCH_BYTES) {
            self.bytes = 0;
            self.output.push(Output {
                segments: Vec::new(),
                entries: Vec::new(),
            });
        }
        self.bytes += bytes;
        let last = self.output.len() - 1;
        &mut self.output[last]
    }

    fn is_due(&self) -> bool {
        !self.flushes.is_empty() || self.output.len() > 1 || self.bytes >= BATCH_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(position: u64, bytes: usize) -> Item {
        Item::Printed {
            position,
            chunks: vec![OutputChunk {
                stream: OutputStream::Stderr.into(),
                offset: 0,
                data: vec![b'x'; bytes],
            }],
        }
    }

    #[test]
    fn a_batch_is_due_when_it_is_full_or_someone_waits() {
        let mut tail = Vec::new();
        let mut batch = Batch::default();
        batch.add(printed(1, 1000), &mut tail);
        assert!(!batch.is_due());
        batch.add(printed(2, BATCH_BYTES), &mut tail);
        assert!(batch.is_due());
        assert_eq!(
            batch.output.len(),
            2,
            "no post is over the size, unless one piece is"
        );
        let mut batch = Batch::default();
        batch.add(Item::Flush(oneshot::channel().0), &mut tail);
        assert!(batch.is_due());
        assert!(batch.output.is_empty());
    }

    #[test]
    fn the_tail_keeps_the_end_of_stderr() {
        let mut tail = Vec::new();
        let mut batch = Batch::default();
        batch.add(printed(1, 10_000), &mut tail);
        assert_eq!(tail.len(), TAIL_BYTES);
    }
}
