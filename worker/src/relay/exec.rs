//! One exec's process, or a PTY's: what it prints and its end go to the control plane, its input comes from there.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helmr_api::fault;
use helmr_api::worker::{ExecEnded, ExecOutput, InputTaken, OutputSegment, TerminalRests};
use helmr_domain::ProcessId;
use helmr_guest_wire::{Body, Exit, OutputChunk, OutputStream, RunInput};
use tokio::sync::{mpsc, watch};

use super::Heard;
use super::acks::Acks;
use super::lane::Broken;
use super::speech::Speech;
use crate::client::Failure;
use crate::report::Reports;

/// An exec has one attempt.
pub(crate) const ATTEMPT: u32 = 1;
/// A post of this size goes at once.
const POST_BYTES: usize = 256 << 10;
const FRAME_BYTES: usize = 64 << 10;
/// How far the guest is ahead of the process.
const AHEAD_BYTES: u64 = 256 << 10;

/// Something of an exec that has its place in the order.
pub(super) enum Event {
    Printed {
        position: u64,
        chunks: Vec<OutputChunk>,
    },
    Taken {
        position: u64,
        offset: u64,
        closed: bool,
    },
    Rests {
        position: u64,
        idle: bool,
    },
    Exited {
        position: u64,
        exit: Exit,
    },
}

/// What there is of an exec's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Available {
    pub(crate) end: u64,
    pub(crate) closed: bool,
}

/// What the guest says.
pub(super) struct ExecLane {
    pub(super) exec: ProcessId,
    pub(super) reports: Reports,
    pub(super) acks: Arc<Acks>,
    pub(super) heard: mpsc::Sender<Heard>,
    pub(super) events: mpsc::Receiver<Event>,
    /// The machine is live for everyone.
    pub(super) open: watch::Receiver<bool>,
    /// Bytes of input that the process has taken; `None` once it takes none.
    pub(super) taken: watch::Sender<Option<u64>>,
    /// Its terminal is idle, as far as the guest has said.
    pub(super) idle: watch::Sender<bool>,
}

impl ExecLane {
    /// Runs until the process is gone and its end told.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        // The sender lives as long as the relay, and this lane no longer than that.
        drop(self.open.wait_for(|open| *open).await);
        let mut next = None;
        loop {
            let event = match next.take() {
                Some(event) => event,
                None => match self.events.recv().await {
                    Some(event) => event,
                    None => return Ok(()),
                },
            };
            match event {
                Event::Printed { position, chunks } => {
                    next = self.print(position, chunks).await?;
                }
                Event::Taken {
                    position,
                    offset,
                    closed,
                } => {
                    self.taken.send_replace((!closed).then_some(offset));
                    let taken = InputTaken { offset, closed };
                    settle(self.reports.exec_taken(self.exec, taken).await)?;
                    self.acks.done(position);
                }
                Event::Rests { position, idle } => {
                    let rests = TerminalRests { idle };
                    settle(self.reports.exec_rests(self.exec, rests).await)?;
                    self.idle.send_replace(idle);
                    self.acks.done(position);
                }
                Event::Exited { position, exit } => {
                    fault::point("worker.exec.before_ended");
                    settle(self.reports.exec_ended(self.exec, ended(exit)).await)?;
                    self.acks.done(position);
                    // The receiver is gone only when the machine is being given up.
                    drop(self.heard.send(Heard::ExecEnded(self.exec)).await);
                    return Ok(());
                }
            }
        }
    }

    /// Posts what was printed, with what has come behind it meanwhile. Gives the event after that, if it was taken.
    async fn print(
        &mut self,
        position: u64,
        chunks: Vec<OutputChunk>,
    ) -> Result<Option<Event>, Failure> {
        let mut positions = vec![position];
        let mut segments: Vec<OutputSegment> = chunks.iter().filter_map(segment).collect();
        let mut bytes = size(&chunks);
        let mut next = None;
        while bytes < POST_BYTES {
            match self.events.try_recv() {
                Ok(Event::Printed { position, chunks }) => {
                    positions.push(position);
                    bytes += size(&chunks);
                    segments.extend(chunks.iter().filter_map(segment));
                }
                Ok(other) => {
                    next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        let output = ExecOutput { segments };
        settle(self.reports.exec_output(self.exec, output).await)?;
        for position in positions {
            self.acks.done(position);
        }
        Ok(next)
    }
}

/// Passes an exec's input to its process, no further ahead of it than it takes to keep it busy.
pub(super) struct Feeder {
    pub(super) exec: ProcessId,
    pub(super) reports: Reports,
    pub(super) speech: Speech,
    /// Bytes that the guest has received.
    pub(super) sent: u64,
    pub(super) available: watch::Receiver<Available>,
    pub(super) taken: watch::Receiver<Option<u64>>,
}

impl Feeder {
    /// Runs until the input has ended, or nobody takes it.
    pub(super) async fn run(mut self) -> Result<(), Broken> {
        loop {
            let sent = self.sent;
            let wanted = self
                .available
                .wait_for(|available| available.closed || available.end > sent);
            // The senders live as long as the exec is known here.
            if wanted.await.is_err() {
                return Ok(());
            }
            let near = self
                .taken
                .wait_for(|taken| taken.is_none_or(|taken| sent < taken + AHEAD_BYTES));
            match near.await.map(|taken| *taken) {
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Ok(()),
            }
            let input = match self.reports.exec_input(self.exec, self.sent).await {
                Ok(input) => input,
                Err(Failure::Stale | Failure::Unanswered { .. }) => return Err(Broken::Stale),
                Err(refused @ Failure::Refused { .. }) => {
                    tracing::warn!(exec.id = %self.exec, %refused, "input was refused");
                    return Ok(());
                }
            };
            let Ok(bytes) = STANDARD.decode(&input.data) else {
                return Ok(());
            };
            self.send(&bytes, input.end).await?;
            if input.end {
                return Ok(());
            }
        }
    }

    async fn send(&mut self, bytes: &[u8], end: bool) -> Result<(), Broken> {
        let mut left = bytes;
        loop {
            let (part, rest) = left.split_at(left.len().min(FRAME_BYTES));
            let body = Body::RunInput(RunInput {
                run_id: self.exec.to_string(),
                attempt_number: ATTEMPT,
                offset: self.sent,
                data: part.to_vec(),
                end: end && rest.is_empty(),
            });
            self.speech.say(body).await?;
            self.sent += u64::try_from(part.len()).unwrap_or(0);
            left = rest;
            if left.is_empty() {
                return Ok(());
            }
        }
    }
}

fn size(chunks: &[OutputChunk]) -> usize {
    chunks.iter().map(|chunk| chunk.data.len()).sum()
}

fn segment(chunk: &OutputChunk) -> Option<OutputSegment> {
    let stream = match OutputStream::try_from(chunk.stream) {
        Ok(OutputStream::Stdout) => "stdout",
        Ok(OutputStream::Stderr) => "stderr",
        Ok(OutputStream::Unspecified) | Err(_) => return None,
    };
    Some(OutputSegment {
        stream: stream.to_owned(),
        offset: chunk.offset,
        data: STANDARD.encode(&chunk.data),
    })
}

fn ended(exit: Exit) -> ExecEnded {
    ExecEnded {
        exit_code: exit.code,
        signal: exit.signal,
        error: exit.start_error,
    }
}

/// A report that was refused for the exec's own sake (it is over already) is as good as taken.
fn settle(reported: Result<(), Failure>) -> Result<(), Failure> {
    match reported {
        Err(refused @ Failure::Refused { .. }) => {
            tracing::warn!(%refused, "a report on an exec was refused");
            Ok(())
        }
        other => other,
    }
}
