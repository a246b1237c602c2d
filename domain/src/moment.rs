//! The instant of an operation and the randomness that it may use.

use std::cell::Cell;

use crate::Timestamp;

/// What an operation may not fetch for itself, so that it can be replayed: the time and randomness.
///
/// There are two times. `now` is steady: it never steps, so spans are measured with it, and it is what is written down.
/// `wall` is the time of day as people set it: only deadlines that were given as a time of day are compared with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub now: Timestamp,
    pub wall: Timestamp,
    /// Ten random bytes: the first id made in the operation has them, each further one the next number.
    pub seed: [u8; 10],
}

impl From<Timestamp> for Moment {
    /// An instant at which both clocks agree, without randomness.
    fn from(now: Timestamp) -> Self {
        Self::new(now, [0; 10])
    }
}

impl Moment {
    /// A moment at which both clocks agree.
    #[must_use]
    pub const fn new(now: Timestamp, seed: [u8; 10]) -> Self {
        Self {
            now,
            wall: now,
            seed,
        }
    }

    /// The same moment where the time of day is another.
    #[must_use]
    pub const fn with_wall(self, wall: Timestamp) -> Self {
        Self { wall, ..self }
    }

    /// A number that the operation may choose by; ids made at the moment tell it.
    #[must_use]
    pub const fn random(self) -> u64 {
        let [a, b, c, d, e, f, g, h, _, _] = self.seed;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// The moment of the `n`th part of an operation that makes ids in each of its parts.
    #[must_use]
    pub const fn part(self, n: u32) -> Self {
        let mut wide = [0_u8; 16];
        let mut index = 0;
        while index < 10 {
            wide[6 + index] = self.seed[index];
            index += 1;
        }
        // Parts lie 2^32 ids apart.
        let moved = u128::from_be_bytes(wide).wrapping_add(((n as u128) + 1) << 32);
        let bytes = moved.to_be_bytes();
        let mut seed = [0_u8; 10];
        let mut index = 0;
        while index < 10 {
            seed[index] = bytes[6 + index];
            index += 1;
        }
        Self { seed, ..self }
    }

    /// The ids of one operation. An operation that is tried again starts over and makes the same ids.
    #[must_use]
    pub fn ids(self) -> IdMaker {
        IdMaker {
            moment: self,
            made: Cell::new(0),
        }
    }
}

/// Makes the ids of one operation.
#[derive(Debug)]
pub struct IdMaker {
    moment: Moment,
    made: Cell<u64>,
}

impl IdMaker {
    /// Makes the next id: `ids.make(RunId::new)`.
    pub fn make<Id>(&self, new: fn(Timestamp, [u8; 10]) -> Id) -> Id {
        let mut wide = [0_u8; 16];
        wide[6..].copy_from_slice(&self.moment.seed);
        let number = u128::from_be_bytes(wide).wrapping_add(u128::from(self.made.get()));
        self.made.set(self.made.get() + 1);
        let mut random = [0_u8; 10];
        random.copy_from_slice(&number.to_be_bytes()[6..]);
        new(self.moment.now, random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RunId, WaitId};

    #[test]
    fn parts_of_an_operation_make_ids_of_their_own() {
        let moment = Moment::new(Timestamp::from_micros(1_000), [255; 10]);
        let first = |moment: Moment| moment.ids().make(RunId::new);
        let made = [first(moment), first(moment.part(0)), first(moment.part(1))];
        assert!(made[0] != made[1] && made[1] != made[2] && made[0] != made[2]);
    }

    #[test]
    fn ids_of_one_operation_differ_and_repeat_when_it_is_tried_again() {
        let moment = Moment::new(Timestamp::from_micros(1_000), [255; 10]);
        let made = |moment: Moment| {
            let ids = moment.ids();
            (
                ids.make(RunId::new),
                ids.make(RunId::new),
                ids.make(WaitId::new),
            )
        };
        let (first, second, _) = made(moment);
        assert_ne!(first, second);
        assert_eq!(made(moment), made(moment));
    }
}
