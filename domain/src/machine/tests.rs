//! The table of a machine's transitions.

use super::*;

fn checkpoint(number: u8) -> CheckpointId {
    CheckpointId::new(Timestamp::from_micros(0), [number; 10])
}

fn states() -> [State; 10] {
    [
        State::Requested,
        State::Preparing,
        State::Live,
        State::Parking,
        State::Parked {
            checkpoint: checkpoint(1),
        },
        State::Resuming {
            checkpoint: checkpoint(1),
        },
        State::Stopping,
        State::Stopped,
        State::Lost,
        State::Failed,
    ]
}

/// Checks a command in every state: `expected` names the states in which it does something, the next state or `=` for
/// none or `!` for busy. In all the others it is out of order.
fn check(command: Command, expected: &[(&str, &str)]) {
    for state in states() {
        let want = expected
            .iter()
            .find(|(from, _)| *from == state.as_str())
            .map_or("-", |(_, to)| *to);
        let got = match decide(state, command, Timestamp::from_micros(0)) {
            Ok(decision) => decision.next.map_or("=", |next| next.as_str()),
            Err(Refusal::MachineBusy) => "!",
            Err(_) => "-",
        };
        assert_eq!(got, want, "{command:?} in {state:?}");
    }
}

#[test]
fn a_machine_goes_live_and_parks_and_wakes() {
    check(
        Command::Place,
        &[("requested", "preparing"), ("parked", "resuming")],
    );
    check(
        Command::Live,
        &[
            ("preparing", "live"),
            ("parking", "live"),
            ("stopping", "live"),
            ("resuming", "live"),
            ("live", "="),
        ],
    );
    check(
        Command::BeginPark { busy: false },
        &[("live", "parking"), ("parking", "=")],
    );
    check(
        Command::Park {
            checkpoint: checkpoint(2),
            draining: false,
        },
        &[("parking", "parked")],
    );
    check(
        Command::Park {
            checkpoint: checkpoint(2),
            draining: true,
        },
        &[("parking", "parked"), ("live", "parked")],
    );
}

#[test]
fn work_forbids_parking_and_stopping() {
    check(
        Command::BeginPark { busy: true },
        &[("live", "!"), ("parking", "=")],
    );
    check(
        Command::BeginStop { busy: true },
        &[
            ("live", "!"),
            ("preparing", "!"),
            ("parking", "!"),
            ("stopping", "="),
        ],
    );
    check(
        Command::Stop { busy: true },
        &[
            ("live", "!"),
            ("preparing", "!"),
            ("parking", "!"),
            ("stopping", "!"),
            ("stopped", "="),
        ],
    );
    check(
        Command::BeginStop { busy: false },
        &[
            ("live", "stopping"),
            ("preparing", "stopping"),
            ("parking", "stopping"),
            ("stopping", "="),
        ],
    );
    check(
        Command::Stop { busy: false },
        &[
            ("preparing", "stopped"),
            ("live", "stopped"),
            ("parking", "stopped"),
            ("stopping", "stopped"),
            ("stopped", "="),
        ],
    );
}

#[test]
fn a_machine_lost_while_resuming_is_parked_as_before() {
    check(
        Command::Lose,
        &[
            ("requested", "="),
            ("preparing", "lost"),
            ("live", "lost"),
            ("parking", "lost"),
            ("parked", "="),
            ("resuming", "parked"),
            ("stopping", "lost"),
            ("stopped", "="),
            ("lost", "="),
            ("failed", "="),
        ],
    );
    check(
        Command::Fail {
            checkpoint_kept: true,
        },
        &[
            ("preparing", "failed"),
            ("live", "failed"),
            ("parking", "failed"),
            ("stopping", "failed"),
            ("resuming", "parked"),
            ("failed", "="),
        ],
    );
    check(
        Command::Fail {
            checkpoint_kept: false,
        },
        &[
            ("preparing", "failed"),
            ("live", "failed"),
            ("parking", "failed"),
            ("stopping", "failed"),
            ("resuming", "failed"),
            ("failed", "="),
        ],
    );
}

#[test]
fn a_checkpoint_is_dropped_when_its_memory_lives_elsewhere_or_is_useless() {
    let resuming = State::Resuming {
        checkpoint: checkpoint(1),
    };
    for command in [
        Command::Live,
        Command::Fail {
            checkpoint_kept: false,
        },
    ] {
        let decision = decide(resuming, command, Timestamp::from_micros(0));
        let drops = decision.is_ok_and(|decision| {
            decision
                .effects
                .contains(&Effect::DropCheckpoint(checkpoint(1)))
        });
        assert!(drops, "{command:?}");
    }
}

#[test]
fn only_machines_that_can_take_a_process_take_runs() {
    for state in states() {
        let takes = matches!(state.as_str(), "preparing" | "live" | "resuming");
        assert_eq!(state.takes_runs(), takes, "{state:?}");
        let over = matches!(state.as_str(), "stopped" | "lost" | "failed");
        assert_eq!(state.is_over(), over, "{state:?}");
    }
}

#[test]
fn only_a_parked_machine_is_forgotten_and_its_checkpoint_with_it() {
    check(
        Command::Forget,
        &[
            ("parked", "stopped"),
            ("stopped", "="),
            ("lost", "="),
            ("failed", "="),
        ],
    );
    let parked = State::Parked {
        checkpoint: checkpoint(1),
    };
    let decision = decide(parked, Command::Forget, Timestamp::from_micros(0));
    assert_eq!(
        decision.map(|decision| decision.effects),
        Ok(vec![Effect::DropCheckpoint(checkpoint(1))])
    );
}
