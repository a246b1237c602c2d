//! Being told to stop: politely once, at once the second time.

use helmr_cli::CommandError;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for SIGTERM and SIGINT (Ctrl-C).
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on: a signal that comes during the start is not lost.
    pub(crate) fn listen() -> Result<Self, CommandError> {
        let listen = |kind| {
            signal(kind).map_err(|error| CommandError::failed("listen for signals").because(&error))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one and names it.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Ends this process where it stands, as a kill would: that loses nothing, and is what was asked for twice.
#[expect(clippy::exit, reason = "nothing may wait any more")]
pub(crate) fn end_at_once(signal: &str) -> ! {
    tracing::warn!(signal, "stopped at once");
    // As a shell tells a process that a signal ended: 128 and its number.
    std::process::exit(if signal == "SIGINT" { 130 } else { 143 })
}
