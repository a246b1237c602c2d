//! Frames between a machine's guest agent and its worker.
//!
//! A frame is a little-endian `u32` length and a protobuf [`Frame`]. A checkpointed guest may be years older than its
//! host, so fields are only ever added; a test pins every number. This crate does no I/O and knows nothing of runs
//! beyond their ids.

use std::time::Duration;

mod codec;
mod frame;
mod redacted;
mod window;

pub use codec::{Error, MAX_FRAME_BYTES, decode, encode};
pub use frame::{
    Body, Exit, FindProcesses, Frame, Heartbeat, Hello, KnownRun, OutputChunk, OutputStream,
    ProcessesFound, ResizeTerminal, RunExited, RunInput, RunInputTaken, RunLine, RunOutput,
    RunPhase, SignalRun, StartRun, StopMachine, Terminal, TerminalRests, Welcome,
};
pub use window::{Arrival, Inbound, Outbound, PositionError};

/// How long an acknowledgement waits for a frame that goes the same way and carries it: a frame by itself costs a guest a
/// wake-up.
pub const ACKNOWLEDGE_WITHIN: Duration = Duration::from_millis(10);
/// So many frames are acknowledged at once: whoever sent them may be waiting for room.
pub const ACKNOWLEDGE_AT_ONCE: u64 = 8;

/// The version of this protocol that this build speaks.
pub const PROTOCOL: u32 = 1;
