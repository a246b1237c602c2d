//! Which of the guest's frames are dealt with for good, and so may be forgotten by it.
//!
//! Frames of different runs are dealt with side by side, but the guest is told one position: the highest below which
//! nothing is open.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use helmr_machine::host::Link;
use tokio::sync::watch;

pub(crate) struct Acks {
    link: Link,
    /// Position to whether it is done, from the lowest open one on.
    frames: Mutex<BTreeMap<u64, bool>>,
    /// How many frames are open.
    open: watch::Sender<usize>,
}

impl Acks {
    pub(crate) fn new(link: Link) -> Self {
        Self {
            link,
            frames: Mutex::default(),
            open: watch::Sender::new(0),
        }
    }

    /// Notes a frame. They arrive in order.
    pub(crate) fn arrived(&self, position: u64) {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        frames.insert(position, false);
        self.open.send_modify(|open| *open += 1);
    }

    /// Notes that a frame is dealt with for good. Once for each frame.
    pub(crate) fn done(&self, position: u64) {
        if let Some(position) = self.settle(position) {
            self.link.acknowledge(position);
        }
    }

    /// As `done`, of a call whose answer has arrived: the guest waits for nothing more.
    pub(crate) fn answered(&self, position: u64) {
        if let Some(position) = self.settle(position) {
            self.link.acknowledge_soon(position);
        }
    }

    /// The highest position below which nothing is open any more.
    fn settle(&self, position: u64) -> Option<u64> {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(done) = frames.get_mut(&position) {
            *done = true;
        }
        self.open.send_modify(|open| *open = open.saturating_sub(1));
        settle(&mut frames)
    }

    /// Tells how many frames are open, now and whenever that changes.
    pub(crate) fn open(&self) -> watch::Receiver<usize> {
        self.open.subscribe()
    }
}

/// Takes off what is done at the lower end; the highest position taken off.
fn settle(frames: &mut BTreeMap<u64, bool>) -> Option<u64> {
    let mut settled = None;
    while let Some(first) = frames.first_entry() {
        if !*first.get() {
            break;
        }
        settled = Some(*first.key());
        first.remove();
    }
    settled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_nothing_open_below_it_is_settled() {
        let mut frames = BTreeMap::from([(5, false), (6, true), (7, true), (8, false)]);
        assert_eq!(settle(&mut frames), None);
        frames.insert(5, true);
        assert_eq!(settle(&mut frames), Some(7));
        assert_eq!(frames, BTreeMap::from([(8, false)]));
    }
}
