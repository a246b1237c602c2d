//! A token ends once.

use helmr_domain::CanonicalJson;
use helmr_domain::token::{Command, State, Token, decide};
use proptest::prelude::*;
use serde_json::json;

use super::at;

const TIMEOUT: i64 = 50;

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        (0..3_i32).prop_map(|data| Command::Complete(
            CanonicalJson::try_from(&json!(data)).expect("a number")
        )),
        Just(Command::Expire),
        Just(Command::Cancel),
        Just(Command::EndAttempt),
    ]
}

proptest! {
    #[test]
    fn the_first_end_of_a_token_is_its_last(steps in prop::collection::vec((command(), 0..20_i64), 0..30)) {
        let mut token = Token { timeout_at: at(TIMEOUT), state: State::Pending };
        let mut now = 0;
        let mut ends = 0;
        for (command, later) in steps {
            now += later;
            let before = token.clone();
            let late = now >= TIMEOUT;
            let completes = matches!(command, Command::Complete(_));
            let Ok(decision) = decide(&token, command.clone(), at(now)) else { continue };
            let Some(next) = decision.next else {
                // An unchanged answer to a completion is the completion that was asked for.
                if let Command::Complete(data) = command {
                    let same = matches!(&before.state, State::Completed { data: first, .. } if *first == data);
                    prop_assert!(same);
                }
                continue;
            };
            prop_assert_eq!(&before.state, &State::Pending);
            prop_assert!(!(completes && late), "completed at {} after {}", now, TIMEOUT);
            ends += 1;
            token = next;
        }
        prop_assert!(ends <= 1);
        prop_assert_eq!(ends == 0, token.state == State::Pending);
    }
}
