//! A wait has one outcome, and the task hears of it at most once.

use helmr_domain::timer::Clock;
use helmr_domain::wait::{Command, Effect, ErrorCode, Kind, Outcome, Record, State, Wait, decide};
use helmr_domain::{RecordId, TokenId};
use proptest::prelude::*;
use serde_json::json;

use super::at;

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Token(TokenId::new(at(0), [1; 10]))),
        Just(Kind::Stream {
            stream: "messages".parse().expect("a name"),
            correlation_id: None,
        }),
        (0..60_i64, prop::bool::ANY).prop_map(|(due, wall)| Kind::Timer {
            due_at: at(due),
            clock: if wall { Clock::Wall } else { Clock::Steady },
        }),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        3 => (0..100_u64).prop_map(|sequence| Command::Complete {
            outcome: Outcome::Ok(json!(sequence)),
            record: Some(Record { id: RecordId::new(at(0), [3; 10]), sequence }),
        }),
        1 => Just(Command::Complete {
            outcome: Outcome::Err { code: ErrorCode::Cancelled, message: "m".to_owned() },
            record: None,
        }),
        2 => Just(Command::Due),
        2 => Just(Command::Park),
        2 => Just(Command::Deliver),
        1 => Just(Command::Stop),
        1 => Just(Command::Drop),
        1 => Just(Command::GiveBack),
        1 => any::<bool>().prop_map(|lost| Command::EndAttempt { lost }),
    ]
}

/// Where a state may go from another.
fn is_legal(from: &State, to: &State) -> bool {
    use State::*;
    matches!(
        (from, to),
        (Hot, Parked | Resuming(_) | Cancelled { .. } | Failed { .. })
            | (Parked, Resuming(_) | Cancelled { .. } | Failed { .. })
            | (
                Resuming(_),
                Resolved(_) | TimedOut(_) | Cancelled { .. } | Failed { .. }
            )
            // What was given back.
            | (Resolved(_), Cancelled { .. })
    )
}

proptest! {
    #[test]
    fn one_outcome_is_decided_and_delivered_at_most_once(
        kind in kind(),
        timeout in prop::option::of(0..60_i64),
        steps in prop::collection::vec((command(), 0..20_i64), 0..30),
    ) {
        let mut wait = Wait { kind, timeout_at: timeout.map(at), state: State::Hot };
        let (mut now, mut wakes, mut delivered, mut given_back) = (0, 0, 0, false);
        let mut consumed: Vec<u64> = Vec::new();
        let mut outcome = None;
        for (command, later) in steps {
            now += later;
            let late = wait.timeout_at.is_some_and(|at_most| at(now) >= at_most);
            let deliver = command == Command::Deliver;
            let Ok(decision) = decide(&wait, command, at(now)) else { continue };
            for effect in decision.effects {
                match effect {
                    Effect::Wake => wakes += 1,
                    Effect::Consume(record) => consumed.push(record.sequence),
                    Effect::GiveBack(record) => {
                        prop_assert_eq!(consumed.pop(), Some(record.sequence));
                        given_back = true;
                    }
                }
            }
            let Some(next) = decision.next else { continue };
            prop_assert!(is_legal(&wait.state, &next.state), "{:?} -> {:?}", wait.state, next.state);
            if let State::Resuming(decided) = &next.state {
                prop_assert!(outcome.is_none());
                // Late is late, whatever came; only a timer that was due before is not.
                if late && !matches!(wait.kind, Kind::Timer { .. }) {
                    prop_assert!(decided.outcome.is_timeout() && decided.record.is_none());
                }
                outcome = Some(decided.clone());
            }
            if let State::Resolved(heard) | State::TimedOut(heard) = &next.state {
                prop_assert!(deliver);
                prop_assert_eq!(Some(heard), outcome.as_ref());
                delivered += 1;
            }
            wait = next;
        }
        prop_assert!(wakes <= 1 && delivered <= 1 && consumed.len() <= 1);
        // Consumed exactly when an outcome with a record was delivered, and not given back.
        let expected: Vec<u64> = outcome
            .filter(|_| delivered == 1 && !given_back)
            .and_then(|decided| decided.record)
            .map(|record| record.sequence)
            .into_iter()
            .collect();
        prop_assert_eq!(consumed, expected);
    }
}
