//! Positions of the two directions: what makes the channel exactly-once across a checkpoint, a worker restart and a cut.
//!
//! Each side keeps what it sent until the other says that it is dealt with *for good* (`Frame::ack`). A connection is
//! only a place to send from a position; after a new one both sides compare positions and continue. Between "arrived"
//! and "dealt with for good" lies the host's commit, so [`Inbound`] counts both.

use std::collections::VecDeque;

use bytes::BytesMut;
use prost::Message;

use crate::codec::{self, checked_length};
use crate::{Body, Frame};

/// A position that cannot be: the other side is broken, or is not the one that was spoken to before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PositionError {
    #[error("frame {position} was acknowledged, but {next} has yet to be sent")]
    NeverSent { position: u64, next: u64 },
    #[error("frames from {position} are wanted, but those before {oldest} are gone")]
    Forgotten { position: u64, oldest: u64 },
}

/// The frames of one direction, on the side that sends them.
#[derive(Debug)]
pub struct Outbound {
    /// The position that the next pushed frame gets.
    next: u64,
    /// The next frame to be written to the present connection.
    cursor: u64,
    kept: VecDeque<Frame>,
    bytes: usize,
}

impl Default for Outbound {
    fn default() -> Self {
        Self::starting_after(0)
    }
}

impl Outbound {
    /// Begins behind what the other side already received from a sender that is no more.
    #[must_use]
    pub fn starting_after(position: u64) -> Self {
        let next = position.saturating_add(1);
        Self {
            next,
            cursor: next,
            kept: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Gives `body` its position and keeps it until it is acknowledged.
    ///
    /// # Errors
    /// `TooLong` if it can never be sent; no position is used up.
    pub fn push(&mut self, body: Body) -> Result<u64, codec::Error> {
        // The position and the acknowledgement are counted at their longest: both change before the frame is written.
        let mut frame = Frame {
            seq: u64::MAX,
            ack: u64::MAX,
            body: Some(body),
        };
        checked_length(&frame)?;
        frame.seq = self.next;
        frame.ack = 0;
        self.bytes += frame.encoded_len();
        self.kept.push_back(frame);
        self.next += 1;
        Ok(self.next - 1)
    }

    /// Forgets every frame up to `position`. An older position than before changes nothing.
    ///
    /// # Errors
    /// `NeverSent` if `position` was not given out yet.
    pub fn acknowledge(&mut self, position: u64) -> Result<(), PositionError> {
        if position >= self.next {
            return Err(PositionError::NeverSent {
                position,
                next: self.next,
            });
        }
        while self.kept.front().is_some_and(|frame| frame.seq <= position) {
            if let Some(mut frame) = self.kept.pop_front() {
                frame.ack = 0;
                self.bytes -= frame.encoded_len();
            }
        }
        self.cursor = self.cursor.max(self.oldest());
        Ok(())
    }

    /// Makes `position` the next frame that [`Self::write_next`] writes: what a new connection begins with.
    ///
    /// # Errors
    /// `Forgotten` if that frame was acknowledged before, `NeverSent` if it lies ahead of everything pushed.
    pub fn replay_from(&mut self, position: u64) -> Result<(), PositionError> {
        if position > self.next {
            return Err(PositionError::NeverSent {
                position: position - 1,
                next: self.next,
            });
        }
        if position < self.oldest() {
            return Err(PositionError::Forgotten {
                position,
                oldest: self.oldest(),
            });
        }
        self.cursor = position;
        Ok(())
    }

    /// Appends the next frame of the present connection to `out`, carrying `ack`. `false` if there is none.
    ///
    /// # Errors
    /// None in practice: [`Self::push`] let in only what fits.
    pub fn write_next(&mut self, ack: u64, out: &mut BytesMut) -> Result<bool, codec::Error> {
        let Ok(index) = usize::try_from(self.cursor - self.oldest()) else {
            return Ok(false);
        };
        let Some(frame) = self.kept.get_mut(index) else {
            return Ok(false);
        };
        frame.ack = ack;
        codec::encode(frame, out)?;
        self.cursor += 1;
        Ok(true)
    }

    /// The frames kept, oldest first: what a copy of this side begins with.
    pub fn kept(&self) -> impl Iterator<Item = &Frame> {
        self.kept.iter()
    }

    /// Whether [`Self::write_next`] would write something.
    #[must_use]
    pub fn has_unwritten(&self) -> bool {
        self.cursor < self.next
    }

    /// The lowest position not yet acknowledged, or the next one if all are.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.kept.front().map_or(self.next, |frame| frame.seq)
    }

    /// The position that the next pushed frame gets.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Encoded size of everything kept: what back-pressure is measured by.
    #[must_use]
    pub fn unacknowledged_bytes(&self) -> usize {
        self.bytes
    }
}

/// What a sequenced frame is to the side that gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The next one: deal with it.
    New,
    /// Seen before: drop it.
    Duplicate,
    /// Something before it is missing: the connection is broken.
    Gap,
}

/// The positions of one direction, on the side that receives.
#[derive(Debug, Default)]
pub struct Inbound {
    received: u64,
    acknowledged: u64,
}

impl Inbound {
    /// Begins behind what a predecessor of this side already dealt with.
    #[must_use]
    pub fn starting_after(position: u64) -> Self {
        Self {
            received: position,
            acknowledged: position,
        }
    }

    /// Judges the frame at `position` and takes it in if it is the next one.
    pub fn admit(&mut self, position: u64) -> Arrival {
        if position <= self.received {
            Arrival::Duplicate
        } else if position == self.received + 1 {
            self.received = position;
            Arrival::New
        } else {
            Arrival::Gap
        }
    }

    /// Notes that everything up to `position` is dealt with for good. Positions that were never received are cut off.
    pub fn acknowledge(&mut self, position: u64) {
        self.acknowledged = self.acknowledged.max(position.min(self.received));
    }

    /// The highest frame taken in.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The highest frame dealt with for good.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;
    use crate::{Heartbeat, decode};

    fn probe() -> Body {
        Body::Probe(Heartbeat {})
    }

    fn written(outbound: &mut Outbound) -> Vec<u64> {
        let mut bytes = BytesMut::new();
        while outbound.write_next(0, &mut bytes).unwrap() {}
        std::iter::from_fn(|| decode(&mut bytes).unwrap())
            .map(|frame| frame.seq)
            .collect()
    }

    #[test]
    fn frames_are_kept_until_acknowledged_and_replayed_from_any_kept_position() {
        let mut outbound = Outbound::default();
        for expected in 1..=5 {
            assert_eq!(outbound.push(probe()).unwrap(), expected);
        }
        assert_eq!(written(&mut outbound), [1, 2, 3, 4, 5]);
        assert_eq!(written(&mut outbound), []);
        outbound.acknowledge(2).unwrap();
        outbound.acknowledge(1).unwrap();
        outbound.replay_from(4).unwrap();
        assert_eq!(written(&mut outbound), [4, 5]);
        assert_eq!(
            outbound.replay_from(2),
            Err(PositionError::Forgotten {
                position: 2,
                oldest: 3
            })
        );
        outbound.acknowledge(5).unwrap();
        assert_eq!(outbound.unacknowledged_bytes(), 0);
        outbound.replay_from(6).unwrap();
        assert_eq!(written(&mut outbound), []);
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_sent_is_an_error() {
        let mut outbound = Outbound::starting_after(7);
        assert_eq!(
            outbound.acknowledge(8),
            Err(PositionError::NeverSent {
                position: 8,
                next: 8
            })
        );
        outbound.acknowledge(7).unwrap();
        assert_eq!(outbound.push(probe()).unwrap(), 8);
    }

    #[test]
    fn an_acknowledgement_moves_the_cursor_past_what_it_forgot() {
        let mut outbound = Outbound::default();
        for _ in 0..3 {
            outbound.push(probe()).unwrap();
        }
        outbound.acknowledge(2).unwrap();
        assert_eq!(written(&mut outbound), [3]);
    }

    #[test]
    fn a_body_that_can_never_be_sent_uses_no_position() {
        let mut outbound = Outbound::default();
        let line = vec![0; codec::MAX_FRAME_BYTES];
        let too_long = Body::RunLine(crate::RunLine {
            line,
            ..Default::default()
        });
        assert!(outbound.push(too_long).is_err());
        assert_eq!(outbound.push(probe()).unwrap(), 1);
    }

    #[test]
    fn only_the_next_frame_is_new() {
        let mut inbound = Inbound::starting_after(3);
        assert_eq!(inbound.admit(5), Arrival::Gap);
        assert_eq!(inbound.admit(4), Arrival::New);
        assert_eq!(inbound.admit(4), Arrival::Duplicate);
        inbound.acknowledge(9);
        assert_eq!((inbound.received(), inbound.acknowledged()), (4, 4));
    }
}
