//! State of a channel that outlives its connections: positions, what waits, what arrived.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use helmr_guest_wire::{
    ACKNOWLEDGE_AT_ONCE, Arrival, Body, Frame, Heartbeat, Hello, Inbound, MAX_FRAME_BYTES,
    Outbound, PROTOCOL, Welcome, decode, encode,
};
use tokio::sync::{Notify, watch};

use super::error::Divergence;
use super::{Arrived, Error, Greeting};
use crate::clock::now_us;

/// Beyond this nothing more is queued for a guest.
const OUTBOUND_LIMIT_BYTES: usize = 2 * MAX_FRAME_BYTES;
/// Beyond this nothing more is read from a guest until the consumer has taken some.
const ARRIVED_LIMIT_BYTES: usize = 4 << 20;
/// How much is encoded ahead of the socket.
const WRITE_AHEAD_BYTES: usize = 256 << 10;

/// Why a connection is dropped. The guest dials another one.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    #[error("the guest closed it")]
    Closed,
    #[error("nothing was heard of the guest")]
    Silent,
    #[error("read or write")]
    Io(#[from] std::io::Error),
    #[error("the guest sent no frame")]
    Codec(#[from] helmr_guest_wire::Error),
    #[error("frame {position} came out of order")]
    Gap { position: u64 },
    #[error("the guest's positions do not fit")]
    Diverged,
}

#[derive(Debug)]
pub(super) struct Shared {
    attempt: String,
    silence_limit: Option<Duration>,
    state: Mutex<State>,
    progress: watch::Sender<Progress>,
    /// Something waits to be written: a frame or an acknowledgement.
    pub(super) outgoing: Notify,
    /// The consumer made room.
    pub(super) drained: Notify,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    peer: Option<Peer>,
    arrived: VecDeque<(Arrived, usize)>,
    arrived_bytes: usize,
    /// Up to here the guest is told at once what it may forget.
    urgent: u64,
    diverged: Option<Divergence>,
}

/// The guest that greeted first, as far as positions go.
#[derive(Debug)]
struct Peer {
    boot_id: Vec<u8>,
    outbound: Outbound,
    inbound: Inbound,
}

#[derive(Debug, Default)]
struct Progress {
    greeting: Option<Arc<Greeting>>,
    taken: u64,
    connected: bool,
    connections: u64,
    diverged: Option<Divergence>,
}

impl Shared {
    pub(super) fn new(attempt: String, silence_limit: Option<Duration>) -> Self {
        Self {
            attempt,
            silence_limit,
            state: Mutex::default(),
            progress: watch::Sender::new(Progress::default()),
            outgoing: Notify::new(),
            drained: Notify::new(),
            arrived: Notify::new(),
        }
    }

    pub(super) fn attempt(&self) -> &str {
        &self.attempt
    }

    pub(super) fn is_connected(&self) -> bool {
        self.progress.borrow().connected
    }

    pub(super) fn connections(&self) -> u64 {
        self.progress.borrow().connections
    }

    pub(super) async fn greeting(&self) -> Arc<Greeting> {
        let mut progress = self.progress.subscribe();
        loop {
            if let Some(greeting) = &progress.borrow_and_update().greeting {
                return Arc::clone(greeting);
            }
            if progress.changed().await.is_err() {
                // The sender is `self`, which is borrowed here.
                std::future::pending::<()>().await;
            }
        }
    }

    pub(super) fn send(&self, body: Body) -> Result<u64, Error> {
        let mut state = self.lock();
        if let Some(reason) = state.diverged {
            return Err(self.diverged(reason));
        }
        // A link is handed out after the first hello only, so there is a peer.
        let outbound = match &mut state.peer {
            Some(peer) => &mut peer.outbound,
            None => return Err(self.diverged(Divergence::OtherBoot)),
        };
        let bytes = outbound.unacknowledged_bytes();
        if bytes > OUTBOUND_LIMIT_BYTES {
            return Err(Error::Full {
                attempt: self.attempt.clone(),
                bytes,
            });
        }
        let position = outbound.push(body).map_err(|helmr_error| Error::TooLong {
            attempt: self.attempt.clone(),
            bytes: match helmr_error {
                helmr_guest_wire::Error::TooLong { bytes } => {
                    usize::try_from(bytes).unwrap_or(usize::MAX)
                }
                helmr_guest_wire::Error::Malformed { bytes, .. } => bytes,
            },
        })?;
        drop(state);
        self.outgoing.notify_one();
        Ok(position)
    }

    pub(super) async fn recv(&self) -> Result<Arrived, Error> {
        loop {
            {
                let mut state = self.lock();
                if let Some((arrived, bytes)) = state.arrived.pop_front() {
                    state.arrived_bytes -= bytes;
                    self.drained.notify_one();
                    return Ok(arrived);
                }
                if let Some(reason) = state.diverged {
                    return Err(self.diverged(reason));
                }
            }
            self.arrived.notified().await;
        }
    }

    pub(super) fn acknowledge(&self, position: u64, at_once: bool) {
        let mut state = self.lock();
        if let Some(peer) = &mut state.peer {
            peer.inbound.acknowledge(position);
        }
        if at_once {
            state.urgent = state.urgent.max(position);
        }
        drop(state);
        self.outgoing.notify_one();
    }

    pub(super) async fn taken(&self, position: u64) -> Result<(), Error> {
        let mut progress = self.progress.subscribe();
        let done = progress
            .wait_for(|progress| progress.taken >= position || progress.diverged.is_some())
            .await;
        match done.map(|progress| progress.diverged) {
            Ok(Some(reason)) => Err(self.diverged(reason)),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// Judges a hello; the answer begins a connection, `None` refuses it.
    pub(super) fn welcome(&self, hello: Hello) -> Option<Frame> {
        if hello.attempt != self.attempt || hello.protocol == 0 {
            tracing::debug!(
                attempt = self.attempt,
                other = hello.attempt,
                "refused a hello of another attempt"
            );
            return None;
        }
        let mut state = self.lock();
        let remembered = match &mut state.peer {
            None => {
                state.peer = Some(Peer {
                    boot_id: hello.boot_id.clone(),
                    outbound: Outbound::starting_after(hello.received),
                    inbound: Inbound::starting_after(hello.oldest_unacknowledged.saturating_sub(1)),
                });
                None
            }
            Some(peer) => match peer.meet(&hello) {
                Ok(()) => Some(peer.inbound.received()),
                Err(reason) => {
                    drop(state);
                    self.diverge(reason);
                    return None;
                }
            },
        };
        let ack = state
            .peer
            .as_ref()
            .map_or(0, |peer| peer.inbound.acknowledged());
        drop(state);
        self.progress.send_modify(|progress| {
            progress.connected = true;
            progress.connections += 1;
            progress.taken = progress.taken.max(hello.received);
            if progress.greeting.is_none() {
                progress.greeting = Some(Arc::new(Greeting {
                    boot_id: hello.boot_id,
                    runs: hello.runs,
                }));
            }
        });
        let silence_limit_ms = self.silence_limit.map_or(0, |limit| {
            u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)
        });
        let welcome = Welcome {
            protocol: PROTOCOL.min(hello.protocol),
            received: remembered,
            now_us: now_us(),
            silence_limit_ms,
        };
        Some(Frame {
            seq: 0,
            ack,
            body: Some(Body::Welcome(welcome)),
        })
    }

    pub(super) fn disconnected(&self) {
        self.progress
            .send_modify(|progress| progress.connected = false);
    }

    /// Whether the consumer has taken enough for more to be read.
    pub(super) fn has_room(&self) -> bool {
        self.lock().arrived_bytes < ARRIVED_LIMIT_BYTES
    }

    /// Takes in what `input` holds of whole frames, as far as there is room.
    pub(super) fn take_in(&self, input: &mut BytesMut) -> Result<(), Cut> {
        while self.has_room() {
            let before = input.len();
            let Some(frame) = decode(input)? else {
                return Ok(());
            };
            self.take_frame(frame, before - input.len())?;
        }
        Ok(())
    }

    fn take_frame(&self, frame: Frame, bytes: usize) -> Result<(), Cut> {
        let mut state = self.lock();
        let Some(peer) = &mut state.peer else {
            return Err(Cut::Diverged);
        };
        if let Err(reason) = peer.outbound.acknowledge(frame.ack) {
            drop(state);
            self.diverge(reason.into());
            return Err(Cut::Diverged);
        }
        let arrival = (frame.seq > 0).then(|| peer.inbound.admit(frame.seq));
        match arrival {
            None | Some(Arrival::Duplicate) => {}
            Some(Arrival::Gap) => {
                return Err(Cut::Gap {
                    position: frame.seq,
                });
            }
            Some(Arrival::New) => {
                state.arrived.push_back((
                    Arrived {
                        position: frame.seq,
                        body: frame.body,
                    },
                    bytes,
                ));
                state.arrived_bytes += bytes;
            }
        }
        drop(state);
        if arrival == Some(Arrival::New) {
            self.arrived.notify_one();
        }
        self.progress.send_if_modified(|progress| {
            let moved = frame.ack > progress.taken;
            progress.taken = progress.taken.max(frame.ack);
            moved
        });
        Ok(())
    }

    /// Appends what waits to `output`, up to a limit, and gives the acknowledgement that the guest now gets to know.
    /// `said` is the one it knew.
    pub(super) fn fill(&self, output: &mut BytesMut, said: u64) -> Result<u64, Cut> {
        let mut state = self.lock();
        let urgent = state.urgent > said;
        let Some(peer) = &mut state.peer else {
            return Ok(said);
        };
        let ack = peer.inbound.acknowledged();
        let mut wrote = false;
        while output.len() < WRITE_AHEAD_BYTES && peer.outbound.write_next(ack, output)? {
            wrote = true;
        }
        let owed = ack.saturating_sub(said);
        let at_once = owed >= ACKNOWLEDGE_AT_ONCE || urgent && owed > 0;
        if !wrote && at_once && output.len() < WRITE_AHEAD_BYTES {
            drop(state);
            encode(&heartbeat(ack), output)?;
            wrote = true;
        }
        Ok(if wrote { ack } else { said })
    }

    /// What the guest may forget.
    pub(super) fn acknowledged(&self) -> u64 {
        self.lock()
            .peer
            .as_ref()
            .map_or(0, |peer| peer.inbound.acknowledged())
    }

    fn diverge(&self, reason: Divergence) {
        tracing::warn!(attempt = self.attempt, %reason, "a guest came back at another position");
        self.lock().diverged = Some(reason);
        self.progress
            .send_modify(|progress| progress.diverged = Some(reason));
        self.arrived.notify_one();
    }

    fn diverged(&self, reason: Divergence) -> Error {
        Error::Diverged {
            attempt: self.attempt.clone(),
            reason,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock; the state is whole even so.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer {
    /// Continues with a guest that was met before.
    fn meet(&mut self, hello: &Hello) -> Result<(), Divergence> {
        if hello.boot_id != self.boot_id {
            return Err(Divergence::OtherBoot);
        }
        let awaited = self.inbound.received() + 1;
        if hello.oldest_unacknowledged > awaited {
            return Err(Divergence::Missing {
                oldest: hello.oldest_unacknowledged,
                awaited,
            });
        }
        self.outbound.acknowledge(hello.received)?;
        self.outbound.replay_from(hello.received + 1)?;
        Ok(())
    }
}

/// A frame that says nothing but what was received.
pub(super) fn heartbeat(ack: u64) -> Frame {
    Frame {
        seq: 0,
        ack,
        body: Some(Body::Heartbeat(Heartbeat {})),
    }
}
