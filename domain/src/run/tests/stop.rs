//! Orders to stop, and what they come to.

use super::*;

#[test]
fn what_has_no_task_code_running_stops_at_once() {
    for idle in [queued(1), prepared()] {
        check(&idle, CANCEL, NOW, "cancelled", &[EventKind::RunCancelled]);
    }
}

#[test]
fn what_runs_has_a_grace_and_what_is_parked_has_it_when_it_wakes() {
    for alive in [running(), waiting(), moving()] {
        let status = alive.status().as_str();
        let told = check(
            &alive,
            CANCEL,
            NOW,
            status,
            &[EventKind::RunCancelRequested],
        );
        assert_eq!(
            told.stop.as_ref().map(|stop| stop.kill_at),
            Some(later(limits::STOP_GRACE))
        );
        check(&told, CANCEL, NOW, "=", &[]);
    }
    let asleep = Command::Stop {
        reason: StopReason::SessionExpired,
        text: None,
        live: false,
    };
    let told = check(
        &waiting(),
        asleep,
        NOW,
        "waiting",
        &[EventKind::RunCancelRequested],
    );
    let given_up = later(limits::STOP_WAKE_LIMIT);
    assert_eq!(
        told.stop.as_ref().map(|stop| stop.ends_at()),
        Some(given_up)
    );
    check(
        &told,
        Command::EndGrace,
        given_up,
        "cancelled",
        &[EventKind::RunCancelled],
    );
    let awake = check(&told, Command::Live, later(MAX), "waiting", &[]);
    let grace = later(MAX).after(limits::STOP_GRACE);
    assert_eq!(awake.stop.as_ref().map(|stop| stop.kill_at), Some(grace));
    check(&awake, Command::EndGrace, grace, "=", &[]);
    let ends = grace.after(limits::STOP_REPORT_SLACK);
    check(
        &awake,
        Command::EndGrace,
        ends,
        "cancelled",
        &[EventKind::RunCancelled],
    );
    // Parked again before its end: it has another grace when it wakes.
    let parked = check(
        &awake,
        Command::Park,
        NOW,
        "waiting",
        &[EventKind::RunParked],
    );
    assert_eq!(
        parked.stop.as_ref().map(|stop| stop.ends_at()),
        Some(given_up)
    );
}

#[test]
fn the_order_to_stop_decides_what_the_run_comes_to() {
    let exceeded = stopping(running(), StopReason::MaxDuration, true, NOW);
    for ending in [
        Command::Succeed { output: None },
        Command::Fail(failure(FailureKind::TaskError)),
        Command::Stopped,
        Command::Lose(Loss::Worker),
    ] {
        let cancel = cancelled(waiting());
        check(
            &cancel,
            ending.clone(),
            NOW,
            "cancelled",
            &[EventKind::RunCancelled],
        );
        let failed = check(&exceeded, ending, NOW, "failed", &[EventKind::RunFailed]);
        assert!(matches!(
            failed.state,
            State::Failed { failure, .. } if failure.kind == FailureKind::MaxDuration
        ));
    }
    for over in finished() {
        let refused = decide(&over, CANCEL, NOW);
        if over.status() == Status::Cancelled {
            assert_eq!(refused.map(|answer| answer.next), Ok(None));
        } else {
            assert_eq!(refused, Err(Refusal::RunFinished));
        }
        check(
            &over,
            Command::EndGrace,
            later(limits::STOP_WAKE_LIMIT),
            "=",
            &[],
        );
    }
}

#[test]
fn max_duration_is_exceeded_at_its_instant() {
    let before = Timestamp::from_micros(later(MAX).as_micros() - 1);
    check(&running(), Command::ExceedDuration, before, "=", &[]);
    let told = check(
        &running(),
        Command::ExceedDuration,
        later(MAX),
        "running",
        &[],
    );
    assert_eq!(
        told.stop.as_ref().map(|stop| stop.reason),
        Some(StopReason::MaxDuration)
    );
    for untouched in [waiting(), moving(), queued(1), told] {
        check(&untouched, Command::ExceedDuration, later(MAX), "=", &[]);
    }
    for over in finished() {
        check(&over, Command::ExceedDuration, later(MAX), "=", &[]);
    }
}

#[test]
fn what_whoever_cancelled_it_said_stays_with_the_run() {
    let said = Some("superseded".to_owned());
    let command = Command::Stop {
        reason: StopReason::SessionCancelled,
        text: said.clone(),
        live: true,
    };
    let told = decide(&running(), command, NOW);
    let message = told.as_ref().ok().and_then(|told| {
        let event = told.events.first()?;
        Some((event.kind, event.attributes.get("message")?.clone()))
    });
    assert_eq!(
        message,
        Some((EventKind::RunCancelRequested, "superseded".into()))
    );
    let Ok(Some(told)) = told.map(|told| told.next) else {
        panic!("the order changed nothing");
    };
    let ended = decide(&told, Command::Stopped, later(MAX)).map(|decision| decision.next);
    let Ok(Some(Run {
        state:
            State::Cancelled {
                reason,
                text,
                requested_at,
                ..
            },
        ..
    })) = ended
    else {
        panic!("the run is not cancelled: {ended:?}");
    };
    assert_eq!(
        (reason, text, requested_at),
        (StopReason::SessionCancelled, said, NOW)
    );
}
