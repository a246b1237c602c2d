//! Read positions are the set of what was consumed and not given back.

use std::collections::BTreeSet;

use helmr_domain::stream::Positions;
use proptest::prelude::*;

proptest! {
    #[test]
    fn positions_are_the_set_of_consumed_sequences(
        steps in prop::collection::vec((1_u64..40, prop::bool::weighted(0.3)), 0..80),
    ) {
        let mut positions = Positions::default();
        let mut model = BTreeSet::new();
        for (sequence, back) in steps {
            if back {
                prop_assert_eq!(positions.give_back(sequence), model.remove(&sequence));
            } else {
                prop_assert_eq!(positions.consume(sequence), model.insert(sequence));
            }
            // Everything below the lowest unread one is consumed, and it is not.
            let lowest = positions.lowest_unread();
            prop_assert!((1..lowest).all(|below| model.contains(&below)));
            prop_assert!(!model.contains(&lowest));
            prop_assert!(positions.consumed_above().iter().all(|above| *above > lowest));
            for sequence in 1..=41 {
                prop_assert_eq!(positions.is_unread(sequence), !model.contains(&sequence));
            }
            let unread = (1..=20).filter(|sequence| !model.contains(sequence)).count();
            prop_assert_eq!(positions.unread(20), unread as u64);
            let stored = Positions::from_stored(lowest, positions.consumed_above().clone());
            prop_assert_eq!(&stored, &positions);
        }
    }
}
