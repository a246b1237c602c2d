//! Connections to the worker: dialed for ever, dropped when they fall silent.
//!
//! A checkpoint that leaves the machine running cuts the connection at the worker's end only; the agent learns of it by
//! writing. So it writes each second, and takes three seconds of silence for a cut.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use helmr_guest_wire::{
    ACKNOWLEDGE_WITHIN, Arrival, Body, Frame, Hello, KnownRun, PROTOCOL, PositionError, Welcome,
    decode, encode,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, sleep_until};

use crate::channel::{Channel, heartbeat};

const SOCKET_NAME: &str = "host.sock";
const ATTEMPT_NAME: &str = "attempt";
/// An attempt's name is a few dozen bytes; a longer file is not one.
const ATTEMPT_LIMIT_BYTES: usize = 256;
const FIRST_BACKOFF: Duration = Duration::from_millis(2);
const LONGEST_BACKOFF: Duration = Duration::from_millis(50);
/// A heartbeat of the worker's, which comes each second, is answered if nothing was said for about as long. So a quiet
/// machine wakes once a second and not twice.
const ANSWER_AFTER: Duration = Duration::from_millis(900);
/// When no heartbeat came, the agent says something by itself: writing is how it learns that the connection is dead.
const SPEAK_AFTER: Duration = Duration::from_millis(1100);
const SILENT_AFTER: Duration = Duration::from_secs(3);
const READ_BYTES: usize = 64 << 10;

/// What the connection's owner does with what comes over it.
pub(crate) trait Listener {
    /// The runs to name in a hello.
    fn known_runs(&self) -> Vec<KnownRun>;
    /// The worker answered a hello.
    fn welcomed(&mut self, welcome: &Welcome);
    /// Anything came from a worker that had answered.
    fn heard(&mut self);
    /// A new frame; `Break` ends the agent.
    fn deal_with(&mut self, body: Body) -> ControlFlow<()>;
    /// Time passed: called while there is a connection and while there is none.
    fn measure(&mut self);
    /// The worker acknowledged something.
    fn acknowledged(&mut self);
}

/// Why a connection is given up. Nobody is told: the next one is the answer.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("closed, silent or broken")]
    Lost,
    #[error("read or write")]
    Io(#[from] std::io::Error),
    #[error("the worker sent no frame")]
    Codec(#[from] helmr_guest_wire::Error),
    #[error("the worker is at another position")]
    Position(#[from] PositionError),
}

/// Keeps a connection to the worker until it says to stop.
pub(crate) async fn carry(
    host_dir: &Path,
    boot_id: &[u8],
    channel: &Channel,
    listener: &mut impl Listener,
) {
    let mut backoff = FIRST_BACKOFF;
    loop {
        if let Ok(stream) = UnixStream::connect(host_dir.join(SOCKET_NAME)).await {
            let hello = Frame {
                seq: 0,
                ack: channel.received(),
                body: Some(Body::Hello(Hello {
                    protocol: PROTOCOL,
                    boot_id: boot_id.to_vec(),
                    attempt: read_attempt(host_dir),
                    received: channel.received(),
                    oldest_unacknowledged: channel.oldest(),
                    runs: listener.known_runs(),
                })),
            };
            let mut connection = Connection {
                channel,
                listener,
                welcomed: false,
            };
            if let Ok(ControlFlow::Break(())) = connection.serve(stream, &hello).await {
                return;
            }
            if connection.welcomed {
                backoff = FIRST_BACKOFF;
            }
        }
        listener.measure();
        sleep(backoff).await;
        backoff = (backoff * 2).min(LONGEST_BACKOFF);
    }
}

/// What names this attempt of the machine; empty if it cannot be read, which no worker accepts.
fn read_attempt(host_dir: &Path) -> String {
    std::fs::read_to_string(host_dir.join(ATTEMPT_NAME))
        .ok()
        .filter(|text| text.len() <= ATTEMPT_LIMIT_BYTES)
        .unwrap_or_default()
}

struct Connection<'a, L> {
    channel: &'a Channel,
    listener: &'a mut L,
    welcomed: bool,
}

impl<L: Listener> Connection<'_, L> {
    async fn serve(
        &mut self,
        mut stream: UnixStream,
        hello: &Frame,
    ) -> Result<ControlFlow<()>, Cut> {
        let (mut reader, mut writer) = stream.split();
        let mut input = BytesMut::with_capacity(4096);
        let mut output = BytesMut::with_capacity(4096);
        encode(hello, &mut output)?;
        let mut said = hello.ack;
        let mut heard = Instant::now();
        let mut wrote = heard;
        let mut speak_at = heard + SPEAK_AFTER;
        let mut acknowledge_at = None;
        loop {
            while let Some(frame) = decode(&mut input)? {
                if self.take(frame)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            if self.welcomed {
                said = self.channel.fill(&mut output, said)?;
                acknowledge_at = (self.channel.received() > said)
                    .then(|| acknowledge_at.unwrap_or_else(|| Instant::now() + ACKNOWLEDGE_WITHIN));
            }
            input.reserve(READ_BYTES.saturating_sub(input.len()).max(4096));
            // Every arm is cancel-safe: reads and writes move bytes only when they complete.
            tokio::select! {
                read = reader.read_buf(&mut input) => {
                    if read? == 0 {
                        return Err(Cut::Lost);
                    }
                    heard = Instant::now();
                    speak_at = heard + SPEAK_AFTER;
                    if self.welcomed {
                        self.listener.heard();
                        if output.is_empty() && wrote.elapsed() > ANSWER_AFTER {
                            encode(&heartbeat(self.channel.received()), &mut output)?;
                        }
                    }
                }
                written = writer.write_buf(&mut output), if !output.is_empty() => {
                    if written? == 0 {
                        return Err(Cut::Lost);
                    }
                    wrote = Instant::now();
                    speak_at = wrote + SPEAK_AFTER;
                }
                () = self.channel.outgoing(), if self.welcomed => {}
                () = sleep_until(acknowledge_at.unwrap_or(speak_at)), if acknowledge_at.is_some() => {
                    said = self.channel.received();
                    encode(&heartbeat(said), &mut output)?;
                }
                () = sleep_until(speak_at) => {
                    self.listener.measure();
                    if heard.elapsed() > SILENT_AFTER {
                        return Err(Cut::Lost);
                    }
                    if output.is_empty() {
                        encode(&heartbeat(self.channel.received()), &mut output)?;
                    }
                    speak_at = Instant::now() + SPEAK_AFTER;
                }
            }
        }
    }

    fn take(&mut self, frame: Frame) -> Result<ControlFlow<()>, Cut> {
        self.channel.acknowledge(frame.ack)?;
        self.listener.acknowledged();
        match frame.body {
            Some(Body::Welcome(welcome)) if !self.welcomed => {
                if welcome.protocol == 0 || welcome.protocol > PROTOCOL {
                    return Err(Cut::Lost);
                }
                self.channel.continue_after(welcome.received)?;
                self.welcomed = true;
                self.listener.welcomed(&welcome);
            }
            _ if !self.welcomed => return Err(Cut::Lost),
            body if frame.seq > 0 => match self.channel.admit(frame.seq) {
                // A body of a later version is none here; it counts as dealt with.
                Arrival::New => {
                    if let Some(body) = body {
                        return Ok(self.listener.deal_with(body));
                    }
                }
                Arrival::Duplicate => {}
                Arrival::Gap => return Err(Cut::Lost),
            },
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }
}
