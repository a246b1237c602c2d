//! The channel to one greeted guest, over all its connections.

use std::sync::Arc;

use helmr_guest_wire::{Body, KnownRun};
use tokio_util::task::AbortOnDropHandle;

use super::Error;
use super::shared::Shared;

/// What a guest said of itself when it first greeted this listener.
#[derive(Debug, Clone)]
pub struct Greeting {
    /// Made when the guest started: the same over restores.
    pub boot_id: Vec<u8>,
    /// The runs it knows: alive ones, and ended ones whose end was not acknowledged.
    pub runs: Vec<KnownRun>,
}

/// A frame from the guest.
#[derive(Debug)]
pub struct Arrived {
    /// To be given to [`Link::acknowledge`] once it is dealt with for good. Counted by the guest over its whole life: one
    /// that was restored may tell again what the checkpoint holds, at the same position as before.
    pub position: u64,
    /// `None` if the guest is younger than this host and said something unknown: acknowledge and go on.
    pub body: Option<Body>,
}

/// The channel to one guest. Clones are handles of the same channel.
#[derive(Debug, Clone)]
pub struct Link {
    shared: Arc<Shared>,
    /// Held so that the channel lives as long as its last handle.
    _carrier: Arc<AbortOnDropHandle<()>>,
    greeting: Arc<Greeting>,
}

impl Link {
    pub(super) fn new(
        shared: Arc<Shared>,
        carrier: Arc<AbortOnDropHandle<()>>,
        greeting: Arc<Greeting>,
    ) -> Self {
        Self {
            shared,
            _carrier: carrier,
            greeting,
        }
    }

    /// What the guest said at its first hello.
    #[must_use]
    pub fn greeting(&self) -> &Greeting {
        &self.greeting
    }

    /// Queues a frame and gives its position. It reaches the guest once, also if there is no connection just now.
    ///
    /// # Errors
    /// `Full` if more than 32 MiB wait already, `TooLong` for a frame over the cap, `Diverged` for a broken link.
    pub fn send(&self, body: Body) -> Result<u64, Error> {
        self.shared.send(body)
    }

    /// The next frame from the guest, each given once. Cancel-safe; meant for one consumer.
    ///
    /// Bytes that nobody takes stop the guest, so a consumer keeps taking.
    ///
    /// # Errors
    /// `Diverged` for a broken link, after everything that had arrived before.
    pub async fn recv(&self) -> Result<Arrived, Error> {
        self.shared.recv().await
    }

    /// Lets the guest forget its frames up to `position`: they are dealt with for good.
    pub fn acknowledge(&self, position: u64) {
        self.shared.acknowledge(position, true);
    }

    /// As `acknowledge`, with the next frame that goes to the guest, or soon if there is none.
    pub fn acknowledge_soon(&self, position: u64) {
        self.shared.acknowledge(position, false);
    }

    /// Waits until the guest has dealt with the frame sent at `position`.
    ///
    /// # Errors
    /// `Diverged` for a broken link.
    pub async fn taken(&self, position: u64) -> Result<(), Error> {
        self.shared.taken(position).await
    }

    /// Whether a connection stands now. It may be dead without either side having noticed yet.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.is_connected()
    }

    /// How many connections the guest has made so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections()
    }
}
