//! Read positions of a session's input stream: the lowest unread sequence and what was consumed above it.

use std::collections::BTreeSet;

/// Which way a stream runs, seen from the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Input,
    Output,
}

impl Direction {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }

    /// Reads what `as_str` wrote.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        [Self::Input, Self::Output]
            .into_iter()
            .find(|direction| direction.as_str() == text)
    }
}

/// What a session has consumed of a stream. Sequences count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positions {
    lowest_unread: u64,
    consumed_above: BTreeSet<u64>,
}

impl Default for Positions {
    fn default() -> Self {
        Self {
            lowest_unread: 1,
            consumed_above: BTreeSet::new(),
        }
    }
}

impl Positions {
    /// Takes what a database kept.
    #[must_use]
    pub fn from_stored(lowest_unread: u64, consumed_above: BTreeSet<u64>) -> Self {
        Self {
            lowest_unread: lowest_unread.max(1),
            consumed_above,
        }
    }

    #[must_use]
    pub const fn lowest_unread(&self) -> u64 {
        self.lowest_unread
    }

    #[must_use]
    pub const fn consumed_above(&self) -> &BTreeSet<u64> {
        &self.consumed_above
    }

    #[must_use]
    pub fn is_unread(&self, sequence: u64) -> bool {
        sequence >= self.lowest_unread && !self.consumed_above.contains(&sequence)
    }

    /// Whether anything up to and with `last` is unread.
    #[must_use]
    pub fn has_unread(&self, last: u64) -> bool {
        self.unread(last) > 0
    }

    /// How much up to and with `last` is unread.
    #[must_use]
    pub fn unread(&self, last: u64) -> u64 {
        let above = self.consumed_above.range(..=last).count();
        (last + 1)
            .saturating_sub(self.lowest_unread)
            .saturating_sub(u64::try_from(above).unwrap_or(u64::MAX))
    }

    /// Marks one record as read. Doing it again changes nothing. Answers whether it was unread.
    pub fn consume(&mut self, sequence: u64) -> bool {
        if !self.is_unread(sequence) {
            return false;
        }
        self.consumed_above.insert(sequence);
        while self.consumed_above.remove(&self.lowest_unread) {
            self.lowest_unread += 1;
        }
        true
    }

    /// Marks a record that was read as unread again. Doing it again changes nothing. Answers whether it was read.
    pub fn give_back(&mut self, sequence: u64) -> bool {
        if sequence == 0 || self.is_unread(sequence) {
            return false;
        }
        if sequence < self.lowest_unread {
            let above = sequence + 1..self.lowest_unread;
            self.consumed_above.extend(above);
            self.lowest_unread = sequence;
        } else {
            self.consumed_above.remove(&sequence);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_stays_unread_until_it_is_consumed() {
        let mut positions = Positions::default();
        assert!(positions.consume(2) && positions.consume(3));
        assert_eq!(positions.lowest_unread(), 1);
        assert!(positions.is_unread(1) && !positions.is_unread(2) && positions.is_unread(4));
        assert!(positions.consume(1));
        assert_eq!(positions.lowest_unread(), 4);
        assert!(positions.consumed_above().is_empty());
    }

    #[test]
    fn consuming_again_changes_nothing() {
        let mut positions = Positions::default();
        assert!(positions.consume(1) && !positions.consume(1));
        assert_eq!(positions.lowest_unread(), 2);
    }

    #[test]
    fn what_is_given_back_is_unread_alone() {
        let mut positions = Positions::default();
        assert!(!positions.give_back(1) && !positions.give_back(0));
        for sequence in [1, 2, 3, 5] {
            positions.consume(sequence);
        }
        assert!(positions.give_back(2) && !positions.give_back(2) && positions.give_back(5));
        let unread: Vec<_> = (1..=6).filter(|at| positions.is_unread(*at)).collect();
        assert_eq!((positions.lowest_unread(), unread), (2, vec![2, 4, 5, 6]));
        assert!(positions.consume(2));
        assert_eq!(positions.lowest_unread(), 4);
    }

    #[test]
    fn what_lies_beyond_the_end_is_not_unread() {
        let mut positions = Positions::default();
        assert!(!positions.has_unread(0) && positions.has_unread(1));
        positions.consume(1);
        assert!(!positions.has_unread(1) && positions.has_unread(2));
        positions.consume(3);
        assert_eq!(
            [1, 2, 3, 4].map(|last| positions.unread(last)),
            [0, 1, 1, 2]
        );
    }
}
