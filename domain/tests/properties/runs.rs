//! A run moves legally, ends once, and its events alone tell where it is.

use helmr_domain::run::{
    Clock, Command, Effect, Loss, Run, State, Status, StopReason, decide, status_after,
};
use helmr_domain::{Duration, EventKind, Failure, FailureKind, WaitId};
use proptest::prelude::*;

use super::at;

fn wait(number: u8) -> WaitId {
    WaitId::new(at(0), [number; 10])
}

fn failure() -> impl Strategy<Value = Failure> {
    prop::sample::select(FailureKind::ALL.to_vec()).prop_map(|kind| Failure::new(kind, "m"))
}

fn command() -> impl Strategy<Value = Command> {
    let reason = prop::sample::select(vec![
        StopReason::Cancelled,
        StopReason::SessionCancelled,
        StopReason::SessionExpired,
    ]);
    prop_oneof![
        6 => Just(Command::Lease),
        4 => Just(Command::Start),
        3 => (0..2_u8).prop_map(|number| Command::Wait(wait(number))),
        3 => (0..2_u8).prop_map(|number| Command::Resume(wait(number))),
        1 => Just(Command::Hold),
        2 => Just(Command::Park),
        2 => Just(Command::Live),
        1 => Just(Command::Succeed { output: None }),
        1 => failure().prop_map(Command::Fail),
        1 => Just(Command::Stopped),
        1 => (reason, any::<bool>()).prop_map(|(reason, live)| Command::Stop { reason, text: None, live }),
        1 => Just(Command::ExpireTtl),
        2 => Just(Command::ExceedDuration),
        1 => Just(Command::EndGrace),
        1 => Just(Command::Lose(Loss::Worker)),
        1 => failure().prop_map(|failure| Command::Lose(Loss::Machine(failure))),
    ]
}

fn is_legal(from: Status, to: Status) -> bool {
    use Status::*;
    match from {
        Queued => matches!(to, Queued | Running | Cancelled | Expired),
        Running | Waiting => !matches!(to, Expired),
        Succeeded | Failed | Cancelled | Expired => false,
    }
}

/// Time in status `running` with a machine, by the model: added up step by step.
fn runs_now(run: &Run) -> bool {
    matches!(
        run.state,
        State::Running {
            clock: Clock::Since(_),
            ..
        }
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn events_tell_the_status_and_every_attempt_ends_once(
        attempts in 1..4_u32,
        ttl in prop::option::of(1..200_i64),
        steps in prop::collection::vec((command(), 0..30_i64), 0..60),
    ) {
        let second = |seconds: i64| Duration::from_secs(seconds);
        let mut run = Run::queued(at(0), second(100), ttl.map(second));
        run.retry.max_attempts = attempts;
        let mut events = vec![EventKind::RunCreated, EventKind::RunQueued];
        let (mut now, mut active) = (0_i64, 0_i64);
        let (mut last_attempt, mut open_attempt, mut ends) = (0, None, 0);
        for (command, later) in steps {
            if runs_now(&run) {
                active += later * 1_000_000;
            }
            now += later * 1_000_000;
            prop_assert_eq!(run.active_at(at(now)).as_micros(), active);
            let Ok(decision) = decide(&run, command.clone(), at(now)) else { continue };
            let Some(next) = decision.next else {
                prop_assert!(decision.events.is_empty() && decision.effects.is_empty());
                continue;
            };
            prop_assert!(is_legal(run.status(), next.status()), "{command:?}: {run:?} -> {next:?}");
            prop_assert!(next.dispatch_attempts >= run.dispatch_attempts);
            for effect in &decision.effects {
                match effect {
                    Effect::EndAttempt { .. } => open_attempt = None,
                    Effect::End { .. } => ends += 1,
                    Effect::Timer(_) | Effect::StopWaits => {}
                }
            }
            if command == Command::Lease {
                prop_assert_eq!(open_attempt, None, "the attempt before was never ended");
                prop_assert!(next.attempt() >= Some(last_attempt));
                prop_assert!(next.attempt() <= Some(attempts));
                last_attempt = next.attempt().unwrap_or(0);
                open_attempt = Some(last_attempt);
            }
            run = next;
            events.extend(decision.events.iter().map(|event| event.kind));
            prop_assert_eq!(status_after(events.iter().copied()), Some(run.status()));
            prop_assert_eq!(open_attempt, run.attempt());
            prop_assert_eq!(ends, usize::from(run.status().is_final()));
            // No order to stop outlives the run or its attempt.
            prop_assert!(run.stop.is_none() || run.attempt().is_some());
        }
    }
}
