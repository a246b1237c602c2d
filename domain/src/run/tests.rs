//! The table of a run's transitions.

mod loss;
mod stop;

use super::*;
use crate::timer::{Change, Purpose};
use crate::{Duration, EventKind, Failure, FailureKind, Refusal, Timestamp, WaitId, limits};

/// What the runs below are allowed: a second.
const MAX: Duration = Duration::from_secs(1);
const NOW: Timestamp = Timestamp::from_micros(100_000_000);

fn wait(number: u8) -> WaitId {
    WaitId::new(Timestamp::from_micros(0), [number; 10])
}

fn run(state: State) -> Run {
    Run {
        state,
        ..Run::queued(NOW, MAX, None)
    }
}

fn queued(next_attempt: u32) -> Run {
    run(State::Queued {
        since: NOW,
        not_before: NOW,
        next_attempt,
    })
}

fn prepared() -> Run {
    run(State::Running {
        attempt: 1,
        started: false,
        clock: Clock::Since(NOW),
    })
}

fn running() -> Run {
    run(State::Running {
        attempt: 1,
        started: true,
        clock: Clock::Since(NOW),
    })
}

fn moving() -> Run {
    run(State::Running {
        attempt: 1,
        started: true,
        clock: Clock::Stopped,
    })
}

fn waiting() -> Run {
    run(State::Waiting {
        attempt: 1,
        wait: wait(1),
    })
}

fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, "m")
}

fn finished() -> [Run; 4] {
    [
        run(State::Succeeded {
            at: NOW,
            output: None,
        }),
        run(State::Failed {
            at: NOW,
            failure: failure(FailureKind::TaskError),
        }),
        run(State::Cancelled {
            at: NOW,
            reason: StopReason::Cancelled,
            text: None,
            requested_at: NOW,
        }),
        run(State::Expired { at: NOW }),
    ]
}

fn stopping(mut run: Run, reason: StopReason, awake: bool, kill_at: Timestamp) -> Run {
    run.stop = Some(Stop {
        reason,
        text: None,
        requested_at: NOW,
        awake,
        kill_at,
    });
    run
}

fn cancelled(run: Run) -> Run {
    stopping(
        run,
        StopReason::Cancelled,
        true,
        NOW.after(limits::STOP_GRACE),
    )
}

const CANCEL: Command = Command::Stop {
    reason: StopReason::Cancelled,
    text: None,
    live: true,
};

fn later(span: Duration) -> Timestamp {
    NOW.after(span)
}

/// Checks the next status and the events. `=`: nothing changes; `!`: refused.
fn check(run: &Run, command: Command, now: Timestamp, status: &str, events: &[EventKind]) -> Run {
    let said = format!("{run:?}\n{command:?}");
    let Ok(decision) = decide(run, command, now) else {
        assert_eq!(status, "!", "{said}");
        return run.clone();
    };
    let got: Vec<_> = decision.events.iter().map(|event| event.kind).collect();
    assert_eq!(got, events, "{said}");
    let next = decision.next;
    assert_eq!(
        next.as_ref().map_or("=", |next| next.status().as_str()),
        status,
        "{said}"
    );
    next.unwrap_or_else(|| run.clone())
}

#[test]
fn what_is_awake_beside_its_wait_makes_a_run_go_on() {
    let told = &[EventKind::RunResumed];
    let beside = check(&waiting(), Command::Hold, NOW, "running", told);
    assert_eq!(beside.duration_ends_at(), Some(later(MAX)));
    // Its wait is over while it runs: it just runs on.
    check(&beside, Command::Resume(wait(1)), NOW, "=", &[]);
    for other in [running(), moving()] {
        check(&other, Command::Hold, NOW, "=", &[]);
    }
    check(&queued(1), Command::Hold, NOW, "!", &[]);
    for over in finished() {
        check(&over, Command::Hold, NOW, "=", &[]);
    }
}

#[test]
fn a_lease_starts_the_clock_and_counts_the_dispatch() {
    let next = check(
        &queued(1),
        Command::Lease,
        NOW,
        "running",
        &[EventKind::RunLeased],
    );
    assert_eq!((next.attempt(), next.dispatch_attempts), (Some(1), 1));
    assert_eq!(next.active_at(later(MAX)), MAX);
    assert_eq!(next.duration_ends_at(), Some(later(MAX)));
    for other in [running(), waiting()].into_iter().chain(finished()) {
        check(&other, Command::Lease, NOW, "!", &[]);
    }
}

#[test]
fn a_lease_waits_for_the_backoff_and_never_comes_after_the_time_to_live() {
    let early = run(State::Queued {
        since: NOW,
        not_before: later(MAX),
        next_attempt: 1,
    });
    check(&early, Command::Lease, NOW, "!", &[]);
    let short = Run {
        ttl_at: Some(NOW),
        ..queued(1)
    };
    check(&short, Command::Lease, NOW, "!", &[]);
    check(
        &short,
        Command::ExpireTtl,
        NOW,
        "expired",
        &[EventKind::RunExpired],
    );
    let second = Run {
        ttl_at: Some(NOW),
        ..queued(2)
    };
    check(
        &second,
        Command::Lease,
        NOW,
        "running",
        &[EventKind::RunLeased],
    );
    check(&second, Command::ExpireTtl, NOW, "=", &[]);
    let early = Timestamp::from_micros(NOW.as_micros() - 1);
    check(&short, Command::ExpireTtl, early, "=", &[]);
    for other in [running(), waiting()].into_iter().chain(finished()) {
        check(&other, Command::ExpireTtl, NOW, "=", &[]);
    }
}

#[test]
fn the_start_is_told_once() {
    check(
        &prepared(),
        Command::Start,
        NOW,
        "running",
        &[EventKind::RunStarted],
    );
    for told in [running(), waiting()].into_iter().chain(finished()) {
        check(&told, Command::Start, NOW, "=", &[]);
    }
    check(&queued(1), Command::Start, NOW, "!", &[]);
}

#[test]
fn the_clock_runs_only_while_the_run_does() {
    let begun = Command::Wait(wait(1));
    let half = Duration::from_millis(500);
    let waits = check(
        &running(),
        begun.clone(),
        later(half),
        "waiting",
        &[EventKind::RunWaiting],
    );
    assert_eq!(waits.active_at(later(Duration::from_secs(86_400))), half);
    assert_eq!(waits.duration_ends_at(), None);
    let tomorrow = later(Duration::from_secs(86_400));
    let resumed = check(
        &waits,
        Command::Resume(wait(1)),
        tomorrow,
        "running",
        &[EventKind::RunResumed],
    );
    assert_eq!(resumed.duration_ends_at(), Some(tomorrow.after(half)));
    check(&waits, begun, NOW, "=", &[]);
}

#[test]
fn one_wait_blocks_at_a_time_and_none_while_stopping() {
    assert_eq!(
        decide(&waiting(), Command::Wait(wait(2)), NOW),
        Err(Refusal::ConcurrentWait)
    );
    assert_eq!(
        decide(&cancelled(running()), Command::Wait(wait(2)), NOW),
        Err(Refusal::RunStopping)
    );
    check(&queued(1), Command::Wait(wait(1)), NOW, "!", &[]);
    for over in finished() {
        assert_eq!(
            decide(&over, Command::Wait(wait(1)), NOW),
            Err(Refusal::RunFinished)
        );
    }
}

#[test]
fn only_its_own_wait_resumes_a_run() {
    check(&waiting(), Command::Resume(wait(2)), NOW, "=", &[]);
    check(&running(), Command::Resume(wait(1)), NOW, "=", &[]);
    check(&queued(1), Command::Resume(wait(1)), NOW, "!", &[]);
    for over in finished() {
        check(&over, Command::Resume(wait(1)), NOW, "=", &[]);
    }
}

#[test]
fn a_run_that_is_parked_while_it_runs_is_moving_with_its_clock_stopped() {
    check(
        &waiting(),
        Command::Park,
        NOW,
        "waiting",
        &[EventKind::RunParked],
    );
    let half = Duration::from_millis(500);
    let set_aside = check(
        &running(),
        Command::Park,
        later(half),
        "running",
        &[EventKind::RunMoving],
    );
    assert_eq!(set_aside.active_at(later(Duration::from_secs(60))), half);
    check(&set_aside, Command::Park, NOW, "=", &[]);
    let live = check(
        &set_aside,
        Command::Live,
        NOW,
        "running",
        &[EventKind::RunResumed],
    );
    assert_eq!(live.duration_ends_at(), Some(later(half)));
    for same in [running(), waiting()] {
        check(&same, Command::Live, NOW, "=", &[]);
    }
    for other in finished().into_iter().chain([queued(1)]) {
        check(&other, Command::Park, NOW, "=", &[]);
        check(&other, Command::Live, NOW, "=", &[]);
    }
}

#[test]
fn the_first_end_told_counts() {
    let succeed = Command::Succeed { output: None };
    let fail = Command::Fail(failure(FailureKind::TaskError));
    for alive in [running(), waiting()] {
        check(
            &alive,
            succeed.clone(),
            NOW,
            "succeeded",
            &[EventKind::RunSucceeded],
        );
        check(&alive, fail.clone(), NOW, "failed", &[EventKind::RunFailed]);
        check(
            &alive,
            Command::Stopped,
            NOW,
            "failed",
            &[EventKind::RunFailed],
        );
    }
    for command in [succeed, fail, Command::Stopped] {
        check(&queued(1), command.clone(), NOW, "!", &[]);
        for over in finished() {
            check(&over, command.clone(), NOW, "=", &[]);
        }
    }
}

#[test]
fn an_attempt_that_fails_is_followed_by_another_while_the_policy_has_any() {
    let mut twice = running();
    twice.retry.max_attempts = 2;
    let fail = Command::Fail(failure(FailureKind::TaskError));
    let again = check(
        &twice,
        fail.clone(),
        NOW,
        "queued",
        &[EventKind::RunRetryScheduled],
    );
    assert_eq!(
        again.state,
        State::Queued {
            since: NOW,
            not_before: later(Duration::from_secs(1)),
            next_attempt: 2
        }
    );
    let invalid = Command::Fail(failure(FailureKind::PayloadInvalid));
    check(&twice, invalid, NOW, "failed", &[EventKind::RunFailed]);
    let mut last = again;
    last.state = State::Running {
        attempt: 2,
        started: true,
        clock: Clock::Stopped,
    };
    check(&last, fail, NOW, "failed", &[EventKind::RunFailed]);
}

#[test]
fn an_end_disarms_every_timer_and_ends_the_attempt() {
    let ended = decide(&waiting(), Command::Succeed { output: None }, NOW);
    let effects = ended.map(|decision| decision.effects).unwrap_or_default();
    for purpose in [
        Purpose::RunTtl,
        Purpose::RunNotBefore,
        Purpose::RunMaxDuration,
        Purpose::StopGrace,
    ] {
        assert!(effects.contains(&Effect::Timer(Change::Disarm(purpose))));
    }
    assert!(effects.contains(&Effect::EndAttempt { lost: false }));
    assert!(effects.contains(&Effect::End {
        unread_starts_next: true
    }));
    let failed = decide(
        &running(),
        Command::Fail(failure(FailureKind::TaskError)),
        NOW,
    );
    let effects = failed.map(|decision| decision.effects).unwrap_or_default();
    assert!(effects.contains(&Effect::End {
        unread_starts_next: false
    }));
}

#[test]
fn statuses_and_reasons_read_back_as_they_were_written() {
    for status in Status::ALL {
        assert_eq!(status.as_str().parse(), Ok(status));
    }
    for reason in [
        StopReason::Cancelled,
        StopReason::MaxDuration,
        StopReason::SessionExpired,
    ] {
        assert_eq!(reason.as_str().parse(), Ok(reason));
    }
}
