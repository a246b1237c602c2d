//! The table of a wait's transitions.

use super::*;

const TIMEOUT: i64 = 100;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn token_wait(state: State) -> Wait {
    Wait {
        kind: Kind::Token(TokenId::new(at(0), [1; 10])),
        timeout_at: Some(at(TIMEOUT)),
        state,
    }
}

fn timer_wait(due: i64, timeout: Option<i64>) -> Wait {
    Wait {
        kind: Kind::Timer {
            due_at: at(due),
            clock: Clock::Steady,
        },
        timeout_at: timeout.map(at),
        state: State::Hot,
    }
}

fn record() -> Record {
    Record {
        id: RecordId::new(at(0), [2; 10]),
        sequence: 7,
    }
}

fn decided(outcome: Outcome, record: Option<Record>) -> Decided {
    Decided {
        outcome,
        at: at(50),
        record,
    }
}

fn complete() -> Command {
    Command::Complete {
        outcome: Outcome::Ok(json!(1)),
        record: Some(record()),
    }
}

type Expected<'a> = Result<Option<(&'a str, Option<EventKind>, Vec<Effect>)>, Refusal>;

fn check(wait: &Wait, command: Command, now: i64, expected: Expected<'_>) {
    let said = format!("{wait:?} {command:?} at {now}");
    let got = decide(wait, command, at(now)).map(|decision| {
        let event = decision.events.first().map(|event| event.kind);
        let effects = decision.effects;
        decision
            .next
            .map(|next| (next.state.as_str(), event, effects))
    });
    assert_eq!(got, expected, "{said}");
}

#[test]
fn the_first_outcome_wakes_and_wins() {
    let wake = vec![Effect::Wake];
    for state in [State::Hot, State::Parked] {
        let resolved = Ok(Some((
            "resuming",
            Some(EventKind::WaitResolved),
            wake.clone(),
        )));
        check(&token_wait(state), complete(), TIMEOUT - 1, resolved);
    }
    let first = token_wait(State::Resuming(decided(Outcome::Ok(json!(0)), None)));
    for later in [complete(), Command::Due, Command::Stop, Command::Park] {
        check(&first, later, TIMEOUT, Ok(None));
    }
}

#[test]
fn what_comes_at_the_instant_of_the_timeout_is_late() {
    let timed_out = Ok(Some((
        "resuming",
        Some(EventKind::WaitTimedOut),
        vec![Effect::Wake],
    )));
    check(
        &token_wait(State::Hot),
        complete(),
        TIMEOUT,
        timed_out.clone(),
    );
    check(&token_wait(State::Parked), Command::Due, TIMEOUT, timed_out);
    check(&token_wait(State::Hot), Command::Due, TIMEOUT - 1, Ok(None));
    let late = decide(&token_wait(State::Hot), complete(), at(TIMEOUT));
    let state = late
        .ok()
        .and_then(|decision| decision.next)
        .map(|next| next.state);
    // The record stays unread.
    assert!(
        matches!(&state, Some(State::Resuming(Decided { outcome, record: None, .. })) if outcome.is_timeout()),
        "{state:?}"
    );
}

#[test]
fn a_timer_is_due_at_its_time_unless_its_timeout_comes_first() {
    let wake = vec![Effect::Wake];
    let due = Ok(Some((
        "resuming",
        Some(EventKind::WaitResolved),
        wake.clone(),
    )));
    let late = Ok(Some(("resuming", Some(EventKind::WaitTimedOut), wake)));
    check(&timer_wait(50, None), Command::Due, 49, Ok(None));
    check(&timer_wait(50, None), Command::Due, 50, due.clone());
    // Both have passed when it is looked at: the earlier one counts.
    check(&timer_wait(50, Some(60)), Command::Due, 70, due.clone());
    check(&timer_wait(60, Some(50)), Command::Due, 70, late);
    check(&timer_wait(60, Some(60)), Command::Due, 70, due);
}

#[test]
fn delivery_ends_a_decided_wait_and_consumes_its_record() {
    let ok = State::Resuming(decided(Outcome::Ok(json!(1)), Some(record())));
    let consume = vec![Effect::Consume(record())];
    check(
        &token_wait(ok),
        Command::Deliver,
        60,
        Ok(Some(("resolved", None, consume))),
    );
    let late = State::Resuming(decided(Outcome::timeout(), None));
    check(
        &token_wait(late),
        Command::Deliver,
        60,
        Ok(Some(("timed_out", None, vec![]))),
    );
    let done = State::Resolved(decided(Outcome::Ok(json!(1)), None));
    check(&token_wait(done), Command::Deliver, 60, Ok(None));
    let done = State::TimedOut(decided(Outcome::timeout(), None));
    check(&token_wait(done), Command::Deliver, 60, Ok(None));
    for state in [
        State::Hot,
        State::Parked,
        State::Cancelled { at: at(1) },
        State::Failed { at: at(1) },
    ] {
        check(
            &token_wait(state),
            Command::Deliver,
            60,
            Err(Refusal::WaitOver),
        );
    }
}

#[test]
fn parking_marks_only_hot_waits() {
    check(
        &token_wait(State::Hot),
        Command::Park,
        60,
        Ok(Some(("parked", None, vec![]))),
    );
    check(&token_wait(State::Parked), Command::Park, 60, Ok(None));
}

#[test]
fn a_stop_cancels_what_is_undecided_and_the_attempts_end_all() {
    let cancelled = || Ok(Some(("cancelled", Some(EventKind::WaitCancelled), vec![])));
    let failed = || Ok(Some(("failed", Some(EventKind::WaitFailed), vec![])));
    let resuming = State::Resuming(decided(Outcome::Ok(json!(1)), None));
    for state in [State::Hot, State::Parked] {
        check(&token_wait(state.clone()), Command::Stop, 60, cancelled());
        check(
            &token_wait(state.clone()),
            Command::EndAttempt { lost: false },
            60,
            cancelled(),
        );
        check(
            &token_wait(state),
            Command::EndAttempt { lost: true },
            60,
            failed(),
        );
    }
    check(
        &token_wait(resuming.clone()),
        Command::EndAttempt { lost: false },
        60,
        cancelled(),
    );
    check(
        &token_wait(resuming),
        Command::EndAttempt { lost: true },
        60,
        failed(),
    );
    for over in [
        State::Resolved(decided(Outcome::Ok(json!(1)), None)),
        State::TimedOut(decided(Outcome::timeout(), None)),
        State::Cancelled { at: at(1) },
        State::Failed { at: at(1) },
    ] {
        for command in [
            Command::Stop,
            Command::Park,
            Command::Due,
            complete(),
            Command::EndAttempt { lost: true },
            Command::EndAttempt { lost: false },
        ] {
            check(&token_wait(over.clone()), command, TIMEOUT, Ok(None));
        }
    }
}

#[test]
fn an_outcome_reads_back_as_it_was_written() {
    for outcome in [
        Outcome::Ok(json!({"a": [1]})),
        Outcome::timeout(),
        Outcome::Err {
            code: ErrorCode::Forked,
            message: "m".to_owned(),
        },
    ] {
        assert_eq!(Outcome::from_value(outcome.to_value()), Some(outcome));
    }
    assert_eq!(Outcome::from_value(json!({"ok": false})), None);
}

#[test]
fn a_time_of_day_is_read_from_the_wall_and_a_span_is_not() {
    let moment = |steady, wall| Moment::from(at(steady)).with_wall(at(wall));
    let is_due = |clock, moment: Moment| {
        let mut wait = timer_wait(50, Some(500));
        wait.kind = Kind::Timer {
            due_at: at(50),
            clock,
        };
        decide(&wait, Command::Due, moment).is_ok_and(|decision| decision.next.is_some())
    };
    let (steady, wall) = (Clock::Steady, Clock::Wall);
    // Set forward by an hour, and back.
    assert!(!is_due(steady, moment(49, 4_000)) && is_due(wall, moment(10, 4_000)));
    assert!(is_due(steady, moment(50, 0)) && !is_due(wall, moment(60, 0)));
    // A timeout is a span whatever the timer is.
    assert!(!is_due(wall, moment(499, 0)) && is_due(wall, moment(500, 0)));
}

#[test]
fn a_wait_that_is_dropped_first_has_no_outcome() {
    for state in [State::Hot, State::Parked] {
        let dropped = Ok(Some(("cancelled", Some(EventKind::WaitCancelled), vec![])));
        check(&token_wait(state), Command::Drop, 60, dropped);
    }
    let resuming = State::Resuming(decided(Outcome::Ok(json!(1)), Some(record())));
    check(&token_wait(resuming), Command::Drop, 60, Ok(None));
}

#[test]
fn a_record_that_the_task_did_not_take_is_given_back_once() {
    let delivered = State::Resolved(decided(Outcome::Ok(json!(1)), Some(record())));
    let back = (
        "cancelled",
        Some(EventKind::WaitCancelled),
        vec![Effect::GiveBack(record())],
    );
    check(
        &token_wait(delivered),
        Command::GiveBack,
        60,
        Ok(Some(back)),
    );
    for other in [
        State::Hot,
        State::Resolved(decided(Outcome::Ok(json!(1)), None)),
        State::Cancelled { at: at(1) },
    ] {
        check(&token_wait(other), Command::GiveBack, 60, Ok(None));
    }
}
