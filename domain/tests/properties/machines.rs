//! A machine's lease goes with it, and no checkpoint is dropped while it is needed.

use helmr_domain::CheckpointId;
use helmr_domain::machine::{Command, Effect, State, decide};
use proptest::prelude::*;

use super::at;

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        3 => Just(Command::Place),
        3 => Just(Command::Live),
        2 => any::<bool>().prop_map(|busy| Command::BeginPark { busy }),
        2 => (any::<[u8; 10]>(), any::<bool>()).prop_map(|(random, draining)| Command::Park {
            checkpoint: CheckpointId::new(at(0), random),
            draining,
        }),
        1 => any::<bool>().prop_map(|busy| Command::BeginStop { busy }),
        1 => any::<bool>().prop_map(|busy| Command::Stop { busy }),
        1 => any::<bool>().prop_map(|checkpoint_kept| Command::Fail { checkpoint_kept }),
        1 => Just(Command::Lose),
    ]
}

proptest! {
    #[test]
    fn the_lease_is_held_exactly_while_a_worker_acts(steps in prop::collection::vec(command(), 0..40)) {
        let mut state = State::Requested;
        let mut held = false;
        let mut good: Option<CheckpointId> = None;
        for command in steps {
            let Ok(decision) = decide(state, command, at(0)) else { continue };
            let Some(next) = decision.next else {
                prop_assert!(decision.effects.is_empty());
                continue;
            };
            prop_assert!(!state.is_over(), "{state:?} -> {next:?}");
            if command == Command::Place {
                held = true;
            }
            if let State::Parked { checkpoint } = next {
                good = Some(checkpoint);
            }
            for effect in decision.effects {
                match effect {
                    Effect::ReleaseLease => {
                        prop_assert!(held);
                        held = false;
                    }
                    Effect::DropCheckpoint(checkpoint) => {
                        prop_assert_eq!(good, Some(checkpoint));
                        good = None;
                    }
                    Effect::RunsGoOn | Effect::RunsParked | Effect::RunsMove | Effect::RunsLost => {}
                }
            }
            // The reaper has taken the lease back already.
            if command == Command::Lose {
                held = false;
            }
            state = next;
            let acts = !state.is_over()
                && !matches!(state, State::Requested | State::Parked { .. });
            prop_assert_eq!(held, acts, "{:?} after {:?}", state, command);
            // What is parked or resuming can be restored.
            if let State::Parked { checkpoint } | State::Resuming { checkpoint } = state {
                prop_assert_eq!(good, Some(checkpoint));
            }
        }
    }
}
