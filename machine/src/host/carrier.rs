//! Connections: accepts them at once, lets one that greets rightly carry the channel, closes the rest.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use helmr_guest_wire::{ACKNOWLEDGE_WITHIN, Body, Frame, Hello, decode, encode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::shared::{Cut, Shared, heartbeat};

/// Connections that have yet to greet. Of more the oldest is closed: an agent greets at once, so what has waited longest
/// is least likely to be one.
const MAX_STRANGERS: usize = 8;
const HELLO_WITHIN: Duration = Duration::from_secs(5);
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
/// Longer than the guest's own limit: a paused machine is silent, and cutting it off gains nothing.
const SILENT_AFTER: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 64 << 10;

/// Runs until it is aborted.
pub(super) async fn carry(listener: UnixListener, shared: Arc<Shared>) {
    let mut strangers = JoinSet::new();
    let mut waiting: VecDeque<AbortHandle> = VecDeque::new();
    let mut carrying = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    waiting.retain(|stranger| !stranger.is_finished());
                    while waiting.len() >= MAX_STRANGERS {
                        waiting.pop_front().inspect(AbortHandle::abort);
                    }
                    waiting.push_back(strangers.spawn(timeout(HELLO_WITHIN, greet(stream))));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: the guest dials again.
                    tracing::warn!(attempt = shared.attempt(), %error, "accept a guest's connection");
                    sleep(Duration::from_millis(20)).await;
                }
            },
            Some(greeted) = strangers.join_next() => {
                let Ok(Ok(Ok((stream, input, hello)))) = greeted else { continue };
                // The guest dials anew only when it gave the connection before up, so the newer one counts. The old
                // one has to be out of the way before positions are compared.
                carrying.shutdown().await;
                match shared.welcome(hello) {
                    Some(welcome) => {
                        carrying.spawn(serve(Arc::clone(&shared), stream, input, welcome));
                    }
                    None => shared.disconnected(),
                }
            }
            Some(ended) = carrying.join_next() => {
                shared.disconnected();
                if let Ok(Err(cut)) = ended {
                    tracing::debug!(attempt = shared.attempt(), reason = %cut, "a guest's connection ended");
                }
            }
        }
    }
}

/// Reads the first frame of a connection, which has to be a hello.
async fn greet(mut stream: UnixStream) -> Result<(UnixStream, BytesMut, Hello), Cut> {
    let mut input = BytesMut::with_capacity(4096);
    loop {
        if let Some(frame) = decode(&mut input)? {
            let Some(Body::Hello(hello)) = frame.body else {
                return Err(Cut::Gap {
                    position: frame.seq,
                });
            };
            return Ok((stream, input, hello));
        }
        if stream.read_buf(&mut input).await? == 0 {
            return Err(Cut::Closed);
        }
    }
}

/// Carries the channel over one connection until that ends.
async fn serve(
    shared: Arc<Shared>,
    mut stream: UnixStream,
    mut input: BytesMut,
    welcome: Frame,
) -> Result<(), Cut> {
    let (mut reader, mut writer) = stream.split();
    let mut output = BytesMut::with_capacity(4096);
    let mut said = welcome.ack;
    encode(&welcome, &mut output)?;
    let mut beat = interval(HEARTBEAT_EVERY);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    let mut wrote = false;
    let mut acknowledge_at = None;
    loop {
        shared.take_in(&mut input)?;
        said = shared.fill(&mut output, said)?;
        acknowledge_at = (shared.acknowledged() > said)
            .then(|| acknowledge_at.unwrap_or_else(|| Instant::now() + ACKNOWLEDGE_WITHIN));
        let room = shared.has_room();
        input.reserve(READ_BYTES.saturating_sub(input.len()).max(4096));
        // Every arm is cancel-safe: reads and writes move bytes only when they complete.
        tokio::select! {
            read = reader.read_buf(&mut input), if room => {
                if read? == 0 {
                    return Err(Cut::Closed);
                }
                heard = Instant::now();
            }
            written = writer.write_buf(&mut output), if !output.is_empty() => {
                if written? == 0 {
                    return Err(Cut::Io(io::ErrorKind::WriteZero.into()));
                }
                wrote = true;
            }
            () = shared.outgoing.notified() => {}
            () = sleep_until(acknowledge_at.unwrap_or(heard)), if acknowledge_at.is_some() => {
                said = shared.acknowledged();
                encode(&heartbeat(said), &mut output)?;
            }
            () = shared.drained.notified(), if !room => {}
            _ = beat.tick() => {
                if room && heard.elapsed() > SILENT_AFTER {
                    return Err(Cut::Silent);
                }
                if !std::mem::take(&mut wrote) && output.is_empty() {
                    said = shared.acknowledged();
                    encode(&heartbeat(said), &mut output)?;
                }
            }
        }
    }
}
