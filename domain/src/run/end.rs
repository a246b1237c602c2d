//! How a run ends, or an attempt of it.

use super::decide::{Answer, DISARM_DURATION, moved};
use super::{Backoff, Effect, Loss, Run, State, Stop, StopReason};
use crate::timer::{Change, Purpose};
use crate::{Decision, Event, EventKind, Failure, FailureKind, Moment, Timestamp, limits};

type Decided = Decision<Run, Effect>;

/// Between dispatches of a run whose machines go before its code begins.
const REDISPATCH: Backoff = Backoff {
    min: crate::Duration::from_secs(1),
    max: crate::Duration::from_secs(60),
    factor_percent: 200,
    jitter: false,
};

/// Ends `run` in a final `state`.
pub(super) fn end(run: &Run, state: State, now: Timestamp) -> Decided {
    let event = match &state {
        State::Succeeded { .. } => Event::new(EventKind::RunSucceeded),
        State::Failed { failure, .. } => failed_event(failure),
        State::Cancelled { reason, text, .. } => Event::new(EventKind::RunCancelled)
            .with("reason", reason.as_str())
            .with(
                "message",
                text.as_deref().unwrap_or_else(|| reason.message()),
            ),
        State::Expired { .. } => Event::new(EventKind::RunExpired),
        State::Queued { .. } | State::Running { .. } | State::Waiting { .. } => {
            // Not an end; nothing below would be true of it.
            return Decision::unchanged();
        }
    };
    let unread_starts_next = matches!(state, State::Succeeded { .. });
    let mut next = moved(run, state, now);
    next.stop = None;
    Decision::to(next)
        .event(event)
        .effects(
            [
                Purpose::RunTtl,
                Purpose::RunNotBefore,
                Purpose::RunMaxDuration,
                Purpose::StopGrace,
            ]
            .map(|purpose| Effect::Timer(Change::Disarm(purpose))),
        )
        .effect(Effect::EndAttempt { lost: false })
        .effect(Effect::End { unread_starts_next })
}

fn failed_event(failure: &Failure) -> Event {
    Event::new(EventKind::RunFailed)
        .with("kind", failure.kind.as_str())
        .with("message", failure.message.as_str())
}

/// Ends a run that was told to stop, as the order says.
pub(super) fn stopped(run: &Run, stop: &Stop, now: Timestamp) -> Decided {
    let state = match stop.reason {
        StopReason::Cancelled | StopReason::SessionCancelled | StopReason::SessionExpired => {
            State::Cancelled {
                at: now,
                reason: stop.reason,
                text: stop.text.clone(),
                requested_at: stop.requested_at,
            }
        }
        StopReason::MaxDuration => State::Failed {
            at: now,
            failure: Failure::new(
                FailureKind::MaxDuration,
                format!("the run exceeded its max duration of {}", run.max_duration),
            ),
        },
    };
    end(run, state, now)
}

/// Ends the attempt: with another one to come if the policy has any left, else the run.
pub(super) fn retry_or_fail(run: &Run, attempt: u32, failure: Failure, at: Moment) -> Decided {
    let now = at.now;
    if !failure.kind.may_be_retried() || attempt >= run.retry.max_attempts {
        return end(run, State::Failed { at: now, failure }, now);
    }
    let next_attempt = attempt + 1;
    let not_before = now.after(run.retry.backoff.after(attempt, at.random()));
    let event = Event::new(EventKind::RunRetryScheduled)
        .with("kind", failure.kind.as_str())
        .with("message", failure.message)
        .with("next_attempt", next_attempt)
        .with("not_before_us", not_before.as_micros());
    requeue(run, next_attempt, not_before, now)
        .event(event)
        .effect(Effect::EndAttempt { lost: false })
}

fn requeue(run: &Run, next_attempt: u32, not_before: Timestamp, now: Timestamp) -> Decided {
    let next = moved(
        run,
        State::Queued {
            since: now,
            not_before,
            next_attempt,
        },
        now,
    );
    let mut decision = Decision::to(next).effect(DISARM_DURATION);
    if not_before > now {
        let arm = Change::arm(Purpose::RunNotBefore, not_before);
        decision = decision.effect(Effect::Timer(arm));
    }
    if let (1, Some(ttl_at)) = (next_attempt, run.ttl_at) {
        let arm = Change::arm(Purpose::RunTtl, ttl_at);
        decision = decision.effect(Effect::Timer(arm));
    }
    decision
}

/// What the loss of its machine makes of a run.
pub(super) fn lose(run: &Run, loss: Loss, at: Moment) -> Answer {
    let now = at.now;
    let (attempt, started) = match run.state {
        State::Running {
            attempt, started, ..
        } => (attempt, started),
        State::Waiting { attempt, .. } => (attempt, true),
        State::Queued { .. }
        | State::Succeeded { .. }
        | State::Failed { .. }
        | State::Cancelled { .. }
        | State::Expired { .. } => return Ok(Decision::unchanged()),
    };
    if let Some(stop) = &run.stop {
        return Ok(stopped(run, stop, now));
    }
    let mut told = Event::new(EventKind::RunWorkerLost).with("started", started);
    let (failure, final_before_start) = match loss {
        Loss::Worker => (
            Failure::new(
                FailureKind::WorkerLost,
                "the worker that had the run was not heard of for too long: see that it is up and reaches the server, \
                 then retry the run",
            ),
            false,
        ),
        Loss::Machine(failure) => {
            told = told
                .with("kind", failure.kind.as_str())
                .with("message", failure.message.as_str());
            let hopeless = run.dispatch_attempts >= limits::DISPATCHES_BEFORE_START
                || failure.kind == FailureKind::ImageFailed;
            (failure, hopeless)
        }
    };
    let mut decision = if started || final_before_start {
        retry_or_fail(run, attempt, failure, at)
    } else {
        // The task never ran: not an attempt.
        let not_before = now.after(REDISPATCH.after(run.dispatch_attempts, at.random()));
        requeue(run, attempt, not_before, now)
            .event(Event::new(EventKind::RunQueued))
            .effect(Effect::EndAttempt { lost: true })
    };
    for effect in &mut decision.effects {
        if let Effect::EndAttempt { lost } = effect {
            *lost = true;
        }
    }
    decision.events.insert(0, told);
    Ok(decision)
}
