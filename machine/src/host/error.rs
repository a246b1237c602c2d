//! Why a link cannot be had or cannot go on.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use helmr_guest_wire::PositionError;

/// A failure of the channel to a guest.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("{operation} {path}: {source}")]
    Bind {
        operation: &'static str,
        path: PathBuf,
        source: std::sync::Arc<io::Error>,
    },
    /// No guest of this attempt has greeted in time.
    #[error("no hello of {attempt} within {deadline:?}")]
    NoHello { attempt: String, deadline: Duration },
    /// The guest's positions do not fit this link: it is another guest, or one set back. Only a fresh listener can talk
    /// to it.
    #[error("the guest of {attempt} is not at the position where it was left: {reason}")]
    Diverged { attempt: String, reason: Divergence },
    /// More is waiting for the guest than a link holds.
    #[error("{bytes} bytes wait for the guest of {attempt} already")]
    Full { attempt: String, bytes: usize },
    /// The frame is longer than any frame may be.
    #[error("a frame of {bytes} bytes is too long for the guest of {attempt}")]
    TooLong { attempt: String, bytes: usize },
}

/// How a guest's positions differ from what its host knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Divergence {
    #[error("{0}")]
    Position(#[from] PositionError),
    #[error("its oldest frame is {oldest}, but the next one awaited is {awaited}")]
    Missing { oldest: u64, awaited: u64 },
    #[error("it was started anew")]
    OtherBoot,
}
