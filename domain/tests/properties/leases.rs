//! Epochs only grow, and one worker writes at a time.

use helmr_domain::lease::{Command, Lease, State, decide};
use helmr_domain::{Duration, Epoch, WorkerId};
use proptest::prelude::*;

use super::at;

const TTL: Duration = Duration::from_micros(30);

fn worker(number: u8) -> WorkerId {
    WorkerId::new(at(0), [number; 10])
}

fn command() -> impl Strategy<Value = Command> {
    let holder =
        (0..3_u8, 0..6_u64).prop_map(|(number, epoch)| (worker(number), Epoch::new(epoch)));
    prop_oneof![
        (0..3_u8).prop_map(|number| Command::Claim {
            worker: worker(number),
            ttl: TTL
        }),
        holder.clone().prop_map(|(worker, epoch)| Command::Renew {
            worker,
            epoch,
            ttl: TTL
        }),
        holder.prop_map(|(worker, epoch)| Command::Release { worker, epoch }),
        Just(Command::Expire),
    ]
}

proptest! {
    #[test]
    fn epochs_grow_with_each_holder_and_only_the_last_one_may_write(
        steps in prop::collection::vec((command(), 0..20_i64), 0..40),
    ) {
        let mut lease = Lease::never();
        // Who held which epoch, by the model.
        let mut holders: Vec<(WorkerId, Epoch)> = Vec::new();
        let mut now = 0;
        for (command, later) in steps {
            now += later;
            let was_held = matches!(lease.state, State::Held { .. });
            let Ok(decision) = decide(&lease, command, at(now)) else { continue };
            let Some(next) = decision.next else { continue };
            prop_assert!(next.epoch >= lease.epoch);
            if let Command::Claim { worker, .. } = command {
                prop_assert!(!was_held);
                prop_assert!(next.epoch > lease.epoch);
                holders.push((worker, next.epoch));
            } else {
                prop_assert_eq!(next.epoch, lease.epoch);
            }
            lease = next;
            let writers = holders
                .iter()
                .filter(|(worker, epoch)| lease.check(*worker, *epoch).is_ok())
                .count();
            prop_assert_eq!(writers, usize::from(matches!(lease.state, State::Held { .. })));
        }
    }
}
