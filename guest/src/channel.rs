//! Positions of the channel to the worker, shared by everything that has something to say.

use std::cell::RefCell;

use bytes::BytesMut;
use helmr_guest_wire::{
    ACKNOWLEDGE_AT_ONCE, Arrival, Body, Error, Frame, Heartbeat, Inbound, Outbound, PositionError,
    encode,
};
use tokio::sync::{Notify, watch};

/// How much is encoded ahead of the socket.
const WRITE_AHEAD_BYTES: usize = 256 << 10;

/// What is kept until the worker has dealt with it, and what of the worker's was dealt with.
pub(crate) struct Channel {
    windows: RefCell<Windows>,
    /// Bytes the worker has yet to acknowledge.
    waiting: watch::Sender<usize>,
    outgoing: Notify,
}

#[derive(Default)]
struct Windows {
    outbound: Outbound,
    inbound: Inbound,
}

impl Channel {
    pub(crate) fn new() -> Self {
        Self {
            windows: RefCell::default(),
            waiting: watch::Sender::new(0),
            outgoing: Notify::new(),
        }
    }

    /// Queues a frame for the worker and gives its position. A body over the frame limit is dropped: bodies are bounded
    /// where they are made.
    pub(crate) fn push(&self, body: Body) -> Option<u64> {
        let mut windows = self.windows.borrow_mut();
        let position = windows.outbound.push(body).ok();
        self.waiting
            .send_replace(windows.outbound.unacknowledged_bytes());
        self.outgoing.notify_one();
        position
    }

    /// Tells how many bytes wait for the worker, as that changes.
    pub(crate) fn watch_waiting(&self) -> watch::Receiver<usize> {
        self.waiting.subscribe()
    }

    /// Waits until there is something to write.
    pub(crate) async fn outgoing(&self) {
        self.outgoing.notified().await;
    }

    /// The highest frame of the worker's that was dealt with.
    pub(crate) fn received(&self) -> u64 {
        self.windows.borrow().inbound.received()
    }

    /// The lowest frame that the worker has yet to acknowledge.
    pub(crate) fn oldest(&self) -> u64 {
        self.windows.borrow().outbound.oldest()
    }

    /// Judges a frame of the worker's; a new one counts as dealt with, since its effect lives in the same memory.
    pub(crate) fn admit(&self, position: u64) -> Arrival {
        let mut windows = self.windows.borrow_mut();
        let arrival = windows.inbound.admit(position);
        windows.inbound.acknowledge(position);
        arrival
    }

    /// Forgets what the worker has dealt with.
    pub(crate) fn acknowledge(&self, position: u64) -> Result<(), PositionError> {
        let mut windows = self.windows.borrow_mut();
        windows.outbound.acknowledge(position)?;
        let bytes = windows.outbound.unacknowledged_bytes();
        self.waiting
            .send_if_modified(|waiting| std::mem::replace(waiting, bytes) != bytes);
        Ok(())
    }

    /// Begins a connection to a worker that has taken in everything up to `received`, or remembers nothing.
    pub(crate) fn continue_after(&self, received: Option<u64>) -> Result<(), PositionError> {
        let outbound = &mut self.windows.borrow_mut().outbound;
        let position = received.map_or(outbound.oldest(), |received| received.saturating_add(1));
        outbound.replay_from(position)
    }

    /// Appends what waits to `output`, up to a limit, and gives the acknowledgement that the worker now gets to know.
    /// `said` is the one it knew.
    pub(crate) fn fill(&self, output: &mut BytesMut, said: u64) -> Result<u64, Error> {
        let windows = &mut *self.windows.borrow_mut();
        let ack = windows.inbound.received();
        let mut wrote = false;
        while output.len() < WRITE_AHEAD_BYTES && windows.outbound.write_next(ack, output)? {
            wrote = true;
        }
        if ack >= said + ACKNOWLEDGE_AT_ONCE && !wrote {
            encode(&heartbeat(ack), output)?;
            wrote = true;
        }
        Ok(if wrote { ack } else { said })
    }
}

/// A frame that says nothing but what was received.
pub(crate) fn heartbeat(ack: u64) -> Frame {
    Frame {
        seq: 0,
        ack,
        body: Some(Body::Heartbeat(Heartbeat {})),
    }
}
