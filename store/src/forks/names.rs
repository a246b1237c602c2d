//! What runs are called inside a machine that is a copy.
//!
//! Its guest, and every process in it, was told the original's ids, and goes on saying them. So the machine has a list of
//! what it says and what is meant; nothing inside has to be renamed, also not in a copy of the copy.

use std::collections::BTreeMap;

use helmr_domain::RunId;

/// Of each name that is used inside: the run that is meant, or none that is anybody's here.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Names(pub BTreeMap<String, Option<RunId>>);

impl Names {
    /// The names in a copy of this machine, in which `copied` stand for the runs of this one. `others` are names of what
    /// is not copied.
    #[must_use]
    pub(super) fn copied(&self, copied: &[(RunId, RunId)], others: &[String]) -> Self {
        let mut names = BTreeMap::new();
        for name in self.0.keys().chain(others) {
            names.insert(name.clone(), None);
        }
        for (original, copy) in copied {
            let inside = self.0.iter().find(|(_, meant)| **meant == Some(*original));
            let name = inside.map_or_else(|| original.to_string(), |(name, _)| name.clone());
            names.insert(name, Some(*copy));
        }
        Self(names)
    }
}

#[cfg(test)]
mod tests {
    use helmr_domain::Timestamp;

    use super::*;

    fn run(number: u8) -> RunId {
        RunId::new(Timestamp::from_micros(0), [number; 10])
    }

    #[test]
    fn a_copy_of_a_copy_is_called_inside_what_the_first_original_was() {
        let of_first = Names::default().copied(&[(run(1), run(2))], &["exec".to_owned()]);
        let expected = [
            ("exec".to_owned(), None),
            (run(1).to_string(), Some(run(2))),
        ];
        assert_eq!(of_first, Names(BTreeMap::from(expected)));
        // In the second one a run was started that was told its own id.
        let of_second = of_first.copied(&[(run(2), run(3)), (run(7), run(8))], &[]);
        let expected = [
            ("exec".to_owned(), None),
            (run(1).to_string(), Some(run(3))),
            (run(7).to_string(), Some(run(8))),
        ];
        assert_eq!(of_second, Names(BTreeMap::from(expected)));
        // A run that has ended is nobody's in the next one.
        let of_third = of_second.copied(&[(run(8), run(9))], &[]);
        assert_eq!(of_third.0.get(&run(1).to_string()), Some(&None));
    }
}
