//! The transitions of a run.

use super::end::{end, lose, retry_or_fail, stopped};
use super::{Clock, Command, Effect, Run, State, Stop, StopReason};
use crate::timer::{Change, Purpose};
use crate::{Decision, Event, EventKind, Failure, Moment, Refusal, Timestamp, limits};

pub(super) type Answer = Result<Decision<Run, Effect>, Refusal>;

/// Says what `command` does to `run`. Performs nothing: the store commits the answer.
///
/// # Errors
/// `RunFinished` for commands to a run that has ended; `RunNotInState` for a report out of order; `ConcurrentWait` and
/// `RunStopping` for a wait that may not begin.
pub fn decide(run: &Run, command: Command, at: impl Into<Moment>) -> Answer {
    let at = at.into();
    let now = at.now;
    match command {
        Command::Lease => lease(run, now),
        Command::Start => start(run),
        Command::Wait(wait) => begin_wait(run, wait, now),
        Command::Resume(wait) => resume(run, Some(wait), now),
        Command::Hold => resume(run, None, now),
        Command::Park => park(run, now),
        Command::Live => live(run, now),
        Command::Succeed { output } => match (&run.state, &run.stop) {
            // The order to stop decides what the run comes to, whatever the task still says.
            (State::Running { .. } | State::Waiting { .. }, Some(stop)) => {
                Ok(stopped(run, stop, now))
            }
            (State::Running { .. } | State::Waiting { .. }, None) => {
                Ok(end(run, State::Succeeded { at: now, output }, now))
            }
            _ => not_running(run),
        },
        Command::Fail(failure) => match (&run.state, &run.stop) {
            (State::Running { .. } | State::Waiting { .. }, Some(stop)) => {
                Ok(stopped(run, stop, now))
            }
            (State::Running { attempt, .. } | State::Waiting { attempt, .. }, None) => {
                Ok(retry_or_fail(run, *attempt, failure, at))
            }
            _ => not_running(run),
        },
        Command::Stopped => match (&run.state, &run.stop) {
            (State::Running { .. } | State::Waiting { .. }, Some(stop)) => {
                Ok(stopped(run, stop, now))
            }
            // A kill that nobody ordered is the task's own end.
            (State::Running { attempt, .. } | State::Waiting { attempt, .. }, None) => {
                Ok(retry_or_fail(
                    run,
                    *attempt,
                    Failure::new(
                        crate::FailureKind::TaskExited,
                        "the task's process was killed, and nobody had told it to stop: look at its log for what it \
                         did last",
                    ),
                    at,
                ))
            }
            _ => not_running(run),
        },
        Command::Stop { reason, text, live } => order_stop(run, reason, text, live, now),
        Command::ExpireTtl => Ok(expire(run, now)),
        Command::ExceedDuration => match run.duration_ends_at() {
            Some(at) if now >= at && run.stop.is_none() => {
                order_stop(run, StopReason::MaxDuration, None, true, now)
            }
            Some(_) | None => Ok(Decision::unchanged()),
        },
        Command::EndGrace => match &run.stop {
            Some(stop) if now >= stop.ends_at() && !run.status().is_final() => {
                Ok(stopped(run, stop, now))
            }
            Some(_) | None => Ok(Decision::unchanged()),
        },
        Command::Lose(loss) => lose(run, loss, at),
    }
}

/// The time to live bounds how long a run queues before its first attempt.
fn expire(run: &Run, now: Timestamp) -> Decision<Run, Effect> {
    let never_ran = matches!(
        run.state,
        State::Queued {
            next_attempt: 1,
            ..
        }
    );
    if never_ran && run.ttl_at.is_some_and(|at| now >= at) {
        end(run, State::Expired { at: now }, now)
    } else {
        Decision::unchanged()
    }
}

fn not_running(run: &Run) -> Answer {
    if run.status().is_final() {
        // Told again, or too late: the first end told counts.
        return Ok(Decision::unchanged());
    }
    Err(Refusal::RunNotInState {
        status: run.status().as_str(),
    })
}

/// `run` in another state, its clock read.
pub(super) fn moved(run: &Run, state: State, now: Timestamp) -> Run {
    Run {
        active: run.active_at(now),
        state,
        ..run.clone()
    }
}

/// The timer that belongs to a clock that has just been started.
fn arm_duration(run: &Run) -> Option<Effect> {
    run.duration_ends_at()
        .map(|at| Effect::Timer(Change::arm(Purpose::RunMaxDuration, at)))
}

pub(super) const DISARM_DURATION: Effect = Effect::Timer(Change::Disarm(Purpose::RunMaxDuration));

fn lease(run: &Run, now: Timestamp) -> Answer {
    let State::Queued {
        not_before,
        next_attempt,
        ..
    } = run.state
    else {
        return Err(Refusal::RunNotInState {
            status: run.status().as_str(),
        });
    };
    // The deadlines decide: a timer that is late must not let a run through.
    if now < not_before || (next_attempt == 1 && run.ttl_at.is_some_and(|at| now >= at)) {
        return Err(Refusal::RunNotInState {
            status: run.status().as_str(),
        });
    }
    let mut next = moved(
        run,
        State::Running {
            attempt: next_attempt,
            started: false,
            clock: Clock::Since(now),
        },
        now,
    );
    next.dispatch_attempts = run.dispatch_attempts.saturating_add(1);
    let arm = arm_duration(&next);
    let event = Event::new(EventKind::RunLeased).with("dispatch_attempt", next.dispatch_attempts);
    Ok(Decision::to(next)
        .event(event)
        .effect(Effect::Timer(Change::Disarm(Purpose::RunTtl)))
        .effect(Effect::Timer(Change::Disarm(Purpose::RunNotBefore)))
        .effects(arm))
}

fn start(run: &Run) -> Answer {
    match run.state {
        State::Running {
            attempt,
            started: false,
            clock,
        } => {
            let mut next = run.clone();
            next.state = State::Running {
                attempt,
                started: true,
                clock,
            };
            Ok(Decision::to(next).event(Event::new(EventKind::RunStarted)))
        }
        State::Running { started: true, .. } | State::Waiting { .. } => Ok(Decision::unchanged()),
        State::Queued { .. }
        | State::Succeeded { .. }
        | State::Failed { .. }
        | State::Cancelled { .. }
        | State::Expired { .. } => not_running(run),
    }
}

fn begin_wait(run: &Run, wait: crate::WaitId, now: Timestamp) -> Answer {
    match run.state {
        State::Running { .. } if run.stop.is_some() => Err(Refusal::RunStopping),
        State::Running { attempt, .. } => {
            let next = moved(run, State::Waiting { attempt, wait }, now);
            Ok(Decision::to(next)
                .event(Event::new(EventKind::RunWaiting).with("wait_id", wait.to_string()))
                .effect(DISARM_DURATION))
        }
        State::Waiting { wait: current, .. } if current == wait => Ok(Decision::unchanged()),
        State::Waiting { .. } => Err(Refusal::ConcurrentWait),
        State::Queued { .. } => Err(Refusal::RunNotInState {
            status: run.status().as_str(),
        }),
        State::Succeeded { .. }
        | State::Failed { .. }
        | State::Cancelled { .. }
        | State::Expired { .. } => Err(Refusal::RunFinished),
    }
}

/// `wait`: the one that is over; `None`: the run goes on beside its wait.
fn resume(run: &Run, wait: Option<crate::WaitId>, now: Timestamp) -> Answer {
    match run.state {
        State::Waiting {
            attempt,
            wait: current,
        } if wait.is_none_or(|wait| wait == current) => {
            let next = moved(
                run,
                State::Running {
                    attempt,
                    started: true,
                    clock: Clock::Since(now),
                },
                now,
            );
            let arm = arm_duration(&next).filter(|_| run.stop.is_none());
            Ok(Decision::to(next)
                .event(match wait {
                    Some(wait) => {
                        Event::new(EventKind::RunResumed).with("wait_id", wait.to_string())
                    }
                    None => Event::new(EventKind::RunResumed).with("beside", current.to_string()),
                })
                .effects(arm))
        }
        // Its wait did not block it, or it has gone on already.
        State::Running { .. } | State::Waiting { .. } => Ok(Decision::unchanged()),
        State::Queued { .. }
        | State::Succeeded { .. }
        | State::Failed { .. }
        | State::Cancelled { .. }
        | State::Expired { .. } => not_running(run),
    }
}

fn park(run: &Run, now: Timestamp) -> Answer {
    match run.state {
        State::Waiting { .. } => {
            let mut next = run.clone();
            let rearm = asleep(&mut next, now);
            Ok(Decision::to(next)
                .event(Event::new(EventKind::RunParked))
                .effects(rearm))
        }
        State::Running {
            clock: Clock::Stopped,
            ..
        } => Ok(Decision::unchanged()),
        State::Running {
            attempt,
            started,
            clock: Clock::Since(_),
        } => {
            let mut next = moved(
                run,
                State::Running {
                    attempt,
                    started,
                    clock: Clock::Stopped,
                },
                now,
            );
            let rearm = asleep(&mut next, now);
            Ok(Decision::to(next)
                .event(Event::new(EventKind::RunMoving))
                .effect(DISARM_DURATION)
                .effects(rearm))
        }
        State::Queued { .. }
        | State::Succeeded { .. }
        | State::Failed { .. }
        | State::Cancelled { .. }
        | State::Expired { .. } => Ok(Decision::unchanged()),
    }
}

/// A run that was told to stop and is parked before its end has its grace again when it wakes.
fn asleep(run: &mut Run, now: Timestamp) -> Option<Effect> {
    // One that has not woken yet has its limit running already.
    let stop = run.stop.as_mut().filter(|stop| stop.awake)?;
    stop.awake = false;
    stop.kill_at = now.after(limits::STOP_WAKE_LIMIT);
    Some(arm_grace(stop))
}

fn live(run: &Run, now: Timestamp) -> Answer {
    let mut next = run.clone();
    let mut decision = Decision::unchanged();
    match run.state {
        State::Running {
            attempt,
            started,
            clock: Clock::Stopped,
        } => {
            next.state = State::Running {
                attempt,
                started,
                clock: Clock::Since(now),
            };
            let arm = arm_duration(&next).filter(|_| run.stop.is_none());
            decision = decision
                .event(Event::new(EventKind::RunResumed))
                .effects(arm);
        }
        State::Running { .. } | State::Waiting { .. } => {}
        State::Queued { .. }
        | State::Succeeded { .. }
        | State::Failed { .. }
        | State::Cancelled { .. }
        | State::Expired { .. } => return Ok(Decision::unchanged()),
    }
    if let Some(stop) = next.stop.as_mut().filter(|stop| !stop.awake) {
        stop.awake = true;
        stop.kill_at = now.after(limits::STOP_GRACE);
        let arm = arm_grace(stop);
        decision = decision.effect(arm);
    }
    if next != *run {
        decision.next = Some(next);
    }
    Ok(decision)
}

fn arm_grace(stop: &Stop) -> Effect {
    Effect::Timer(Change::arm(Purpose::StopGrace, stop.ends_at()))
}

fn order_stop(
    run: &Run,
    reason: StopReason,
    text: Option<String>,
    live: bool,
    now: Timestamp,
) -> Answer {
    let stop = Stop {
        reason,
        text,
        requested_at: now,
        awake: live,
        kill_at: now.after(if live {
            limits::STOP_GRACE
        } else {
            limits::STOP_WAKE_LIMIT
        }),
    };
    match run.state {
        _ if run.stop.is_some() => Ok(Decision::unchanged()),
        // No task code to tell of it.
        State::Queued { .. } | State::Running { started: false, .. } => {
            Ok(stopped(run, &stop, now))
        }
        State::Running { .. } | State::Waiting { .. } => {
            let mut next = run.clone();
            let arm = arm_grace(&stop);
            let told = (reason != StopReason::MaxDuration).then(|| {
                Event::new(EventKind::RunCancelRequested)
                    .with("reason", reason.as_str())
                    .with("message", stop.message())
            });
            next.stop = Some(stop);
            let mut decision = Decision::to(next)
                .effect(DISARM_DURATION)
                .effect(Effect::StopWaits)
                .effect(arm);
            decision.events.extend(told);
            Ok(decision)
        }
        State::Cancelled { .. } => Ok(Decision::unchanged()),
        State::Succeeded { .. } | State::Failed { .. } | State::Expired { .. } => {
            Err(Refusal::RunFinished)
        }
    }
}
