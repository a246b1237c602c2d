//! What a live machine does next, as a pure decision: go on, park or stop.

use std::time::Duration;

use helmr_api::worker::{Assignment, RunAssignment, Want};
use tokio::time::Instant;

use crate::directive::{Directive, key_of};
use crate::report::RunKey;

/// How much longer than its grace a worker that goes away waits for the first word on a machine that it adopted.
const LAST_WORD: Duration = Duration::from_secs(15);

/// What the worker itself knows of a live machine.
pub(super) struct View<'a> {
    pub(super) now: Instant,
    pub(super) directive: &'a Directive,
    /// Runs with a process, and runs whose process is about to be asked for.
    pub(super) inside: &'a [RunKey],
    /// Whether an exec has a process, or is to get one; or a PTY that is not idle.
    pub(super) execs: bool,
    /// Runs that are over, whatever the assignment says.
    pub(super) over: &'a dyn Fn(RunKey) -> bool,
    /// Frames of the guest, outcomes and starts that are being dealt with.
    pub(super) busy: bool,
    pub(super) pace: &'a Pace,
}

/// When the machine became idle, and how soon a park or stop that was refused or failed is tried again.
#[derive(Debug)]
pub(super) struct Pace {
    idle_since: Instant,
    not_before: Instant,
    step: Duration,
    failures: u32,
}

impl Pace {
    const FIRST_STEP: Duration = Duration::from_millis(250);
    const LONGEST_STEP: Duration = Duration::from_secs(60);

    pub(super) fn new(now: Instant) -> Self {
        Self {
            idle_since: now,
            not_before: now,
            step: Self::FIRST_STEP,
            failures: 0,
        }
    }

    /// Notes that the machine has work.
    pub(super) fn worked(&mut self, now: Instant) {
        self.idle_since = now;
    }

    /// Notes that the control plane refused: it knows of work that this worker will hear of.
    pub(super) fn refused(&mut self, now: Instant) {
        self.not_before = now + Self::FIRST_STEP;
    }

    /// Notes a failure of this host; it may last.
    pub(super) fn failed(&mut self, now: Instant) {
        self.not_before = now + self.step;
        self.step = (self.step * 2).min(Self::LONGEST_STEP);
        self.failures += 1;
    }

    /// How many times this host has failed.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Go on, and ask again then or when something changes.
    Stay { until: Option<Instant> },
    /// Set aside. `draining`: as it stands, because the worker goes away.
    Park { draining: bool },
    /// End for lack of work; see [`for_lack_of_work`].
    Stop,
}

/// What becomes of a machine without work. `lives`: in it lives what people have started by an exec or in a PTY.
pub(super) fn for_lack_of_work(directive: &Directive, lives: bool) -> Step {
    let ending = directive
        .assignment
        .as_ref()
        .is_some_and(|assignment| assignment.ending);
    if lives && !ending {
        let draining = directive.drain_by.is_some();
        Step::Park { draining }
    } else {
        Step::Stop
    }
}

/// Decides. Performs nothing.
pub(super) fn next(view: &View<'_>) -> Step {
    let Some(assignment) = &view.directive.assignment else {
        // Adopted, and the control plane has yet to say what it wants; a worker that goes away does not wait for that.
        return match view.directive.drain_by {
            Some(by) => at(view, by + LAST_WORD, Step::Park { draining: true }),
            None => Step::Stay { until: None },
        };
    };
    let runs: Vec<&RunAssignment> = assignment
        .runs
        .iter()
        .filter(|run| !(view.over)(key_of(run)))
        .collect();
    let draining = view.directive.drain_by;
    if runs.is_empty() {
        return match draining {
            Some(by) if view.execs => at(view, by, Step::Park { draining: true }),
            _ if view.inside.is_empty() && !view.busy && !view.execs => {
                at(view, stop_at(view, assignment), Step::Stop)
            }
            // Processes whose runs are over, on their last words: not worth an image.
            Some(by) => at(view, by, Step::Stop),
            None => Step::Stay { until: None },
        };
    }
    let strangers = view
        .inside
        .iter()
        .any(|inside| !runs.iter().any(|run| key_of(run) == *inside));
    let rest = !view.busy && !view.execs && !strangers && runs.iter().all(|run| rests(run));
    match (rest, draining) {
        (true, Some(_)) => at(view, view.now, Step::Park { draining: true }),
        (true, None) => {
            let until = hot_until(view, &runs).max(kept_until(view, assignment));
            at(view, until, Step::Park { draining: false })
        }
        (false, Some(by)) => at(view, by, Step::Park { draining: true }),
        (false, None) => Step::Stay { until: None },
    }
}

/// `step` once it is `due`.
fn at(view: &View<'_>, due: Instant, step: Step) -> Step {
    let due = due.max(view.pace.not_before);
    if view.now >= due {
        step
    } else {
        Step::Stay { until: Some(due) }
    }
}

/// A run that waits, with nothing to be told.
fn rests(run: &RunAssignment) -> bool {
    run.waiting.is_some() && run.outcomes.is_empty() && run.stop.is_none()
}

/// When the last hot window ends.
fn hot_until(view: &View<'_>, runs: &[&RunAssignment]) -> Instant {
    let windows = runs
        .iter()
        .filter_map(|run| run.waiting.as_ref())
        .map(|wait| {
            let elapsed = Duration::from_millis(wait.idle_for_ms) + view.directive.age(view.now);
            view.now + Duration::from_millis(wait.hot_window_ms).saturating_sub(elapsed)
        });
    windows.max().unwrap_or(view.now)
}

fn stop_at(view: &View<'_>, assignment: &Assignment) -> Instant {
    let at_once = view.directive.drain_by.is_some() || assignment.want == Want::Stop;
    if at_once {
        view.now
    } else {
        let idle = view.pace.idle_since + Duration::from_millis(assignment.auto_stop_after_ms);
        idle.max(kept_until(view, assignment))
    }
}

/// Until when the machine stays because somebody asked for it.
fn kept_until(view: &View<'_>, assignment: &Assignment) -> Instant {
    let left = Duration::from_millis(assignment.keep_ms);
    view.now + left.saturating_sub(view.directive.age(view.now))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use helmr_api::worker::{DecidedOutcome, Outcome, PendingWait, StopOrder};
    use helmr_domain::{Timestamp, WaitId};
    use serde_json::Value;

    use super::*;
    use crate::testing;

    const SECOND: Duration = Duration::from_secs(1);

    struct Case {
        runs: Vec<RunAssignment>,
        inside: Vec<RunKey>,
        execs: bool,
        busy: bool,
        drain_in: Option<Duration>,
        want: Want,
        keep_ms: u64,
        idle_for: Duration,
        /// How long ago the assignment came.
        known_for: Duration,
        refused: bool,
    }

    impl Default for Case {
        fn default() -> Self {
            Self {
                runs: Vec::new(),
                inside: Vec::new(),
                execs: false,
                busy: false,
                drain_in: None,
                want: Want::Live,
                keep_ms: 0,
                idle_for: Duration::ZERO,
                known_for: Duration::ZERO,
                refused: false,
            }
        }
    }

    /// Decides, and says how long the machine stays.
    fn check(case: Case) -> (Option<Step>, Option<Duration>) {
        let now = Instant::now() + Duration::from_secs(3600);
        let mut assignment = testing::assignment();
        assignment.runs = case.runs;
        assignment.want = case.want;
        assignment.keep_ms = case.keep_ms;
        assignment.auto_stop_after_ms = 300_000;
        let directive = Directive {
            assignment: Some(Arc::new(assignment)),
            came_at: Some(now - case.known_for),
            drain_by: case.drain_in.map(|span| now + span),
            ..Directive::default()
        };
        let mut pace = Pace::new(now - case.idle_for);
        if case.refused {
            pace.refused(now);
        }
        let step = next(&View {
            now,
            directive: &directive,
            inside: &case.inside,
            execs: case.execs,
            over: &|_| false,
            busy: case.busy,
            pace: &pace,
        });
        match step {
            Step::Stay { until } => (None, until.map(|until| until - now)),
            step => (Some(step), None),
        }
    }

    fn wait_id() -> WaitId {
        WaitId::new(Timestamp::from_micros(0), [1; 10])
    }

    fn running() -> RunAssignment {
        testing::run()
    }

    fn waiting(for_ms: u64) -> RunAssignment {
        RunAssignment {
            waiting: Some(PendingWait {
                wait_id: wait_id(),
                call_no: 1,
                hot_window_ms: 2000,
                idle_for_ms: for_ms,
            }),
            ..testing::run()
        }
    }

    fn inside(runs: &[RunAssignment]) -> Vec<RunKey> {
        runs.iter().map(key_of).collect()
    }

    const PARK: (Option<Step>, Option<Duration>) = (Some(Step::Park { draining: false }), None);
    const DRAIN: (Option<Step>, Option<Duration>) = (Some(Step::Park { draining: true }), None);
    const STOP: (Option<Step>, Option<Duration>) = (Some(Step::Stop), None);
    const STAY: (Option<Step>, Option<Duration>) = (None, None);

    #[test]
    fn a_machine_parks_when_every_run_waits_and_the_hot_windows_are_over() {
        let of = |runs: Vec<RunAssignment>| Case {
            inside: inside(&runs),
            runs,
            ..Case::default()
        };
        assert_eq!(check(of(vec![waiting(2000)])), PARK);
        assert_eq!(check(of(vec![waiting(500)])), (None, Some(SECOND * 3 / 2)));
        assert_eq!(
            check(of(vec![waiting(2000), waiting(1000)])),
            (None, Some(SECOND))
        );
        // The window goes on after the assignment was written.
        let known = |known_for, runs| Case {
            known_for,
            ..of(runs)
        };
        let waited = check(known(SECOND, vec![waiting(500)]));
        assert_eq!(waited, (None, Some(SECOND / 2)));
        assert_eq!(check(known(SECOND * 2, vec![waiting(0)])), PARK);
        assert_eq!(check(of(vec![running()])), STAY);
        assert_eq!(check(of(vec![waiting(2000), running()])), STAY);
    }

    #[test]
    fn nothing_parks_with_something_to_tell_or_to_hear() {
        let mut told = waiting(9000);
        told.outcomes.push(DecidedOutcome {
            wait_id: wait_id(),
            call_no: 1,
            outcome: Outcome::ok(Value::Null),
        });
        let mut stopped = waiting(9000);
        stopped.stop = Some(StopOrder {
            reason: "cancelled".to_owned(),
            message: String::new(),
            kill_in_ms: 0,
        });
        for run in [told, stopped] {
            let case = Case {
                inside: inside(std::slice::from_ref(&run)),
                runs: vec![run],
                ..Case::default()
            };
            assert_eq!(check(case), STAY);
        }
        let runs = vec![waiting(9000)];
        let busy = Case {
            inside: inside(&runs),
            runs,
            busy: true,
            ..Case::default()
        };
        assert_eq!(check(busy), STAY);
        let leaving = Case {
            inside: vec![key_of(&running()), key_of(&testing::other_run())],
            runs: vec![waiting(9000)],
            ..Case::default()
        };
        assert_eq!(
            check(leaving),
            STAY,
            "a process without a run is not at rest"
        );
    }

    #[test]
    fn a_refused_park_is_tried_again_a_little_later() {
        let runs = vec![waiting(9000)];
        let case = Case {
            inside: inside(&runs),
            runs,
            refused: true,
            ..Case::default()
        };
        assert_eq!(check(case), (None, Some(Pace::FIRST_STEP)));
    }

    #[test]
    fn a_machine_without_runs_stops_after_its_time_or_when_its_room_is_needed() {
        let idle = |idle_for, want| Case {
            idle_for,
            want,
            ..Case::default()
        };
        assert_eq!(check(idle(SECOND * 300, Want::Live)), STOP);
        assert_eq!(
            check(idle(SECOND * 100, Want::Live)),
            (None, Some(SECOND * 200))
        );
        assert_eq!(check(idle(Duration::ZERO, Want::Stop)), STOP);
    }

    #[test]
    fn a_machine_in_which_something_of_people_lives_parks_instead_unless_it_is_told_to_end() {
        let check = |lives, ending, drain_by| {
            let mut assignment = testing::assignment();
            assignment.ending = ending;
            let directive = Directive {
                assignment: Some(Arc::new(assignment)),
                drain_by,
                ..Directive::default()
            };
            for_lack_of_work(&directive, lives)
        };
        let drain = Some(Instant::now());
        assert_eq!(check(true, false, None), Step::Park { draining: false });
        assert_eq!(check(true, false, drain), Step::Park { draining: true });
        assert_eq!(check(false, false, drain), Step::Stop);
        assert_eq!(check(true, true, None), Step::Stop);
    }

    #[test]
    fn a_machine_that_somebody_asked_for_stays_as_long_as_was_promised() {
        let runs = || vec![waiting(9000)];
        let kept = |keep_ms, runs: Vec<RunAssignment>| Case {
            inside: inside(&runs),
            runs,
            keep_ms,
            idle_for: SECOND * 300,
            ..Case::default()
        };
        assert_eq!(check(kept(4000, runs())), (None, Some(SECOND * 4)));
        assert_eq!(check(kept(4000, Vec::new())), (None, Some(SECOND * 4)));
        assert_eq!(check(kept(0, runs())), PARK);
        let known = |known_for, case| Case { known_for, ..case };
        let waited = check(known(SECOND * 3, kept(4000, Vec::new())));
        assert_eq!(waited, (None, Some(SECOND)));
        assert_eq!(check(known(SECOND * 4, kept(4000, runs()))), PARK);
        // Its room is needed, or its worker goes away: it stays no longer.
        let told = Case {
            want: Want::Stop,
            ..kept(4000, Vec::new())
        };
        assert_eq!(check(told), STOP);
        let draining = Case {
            drain_in: Some(SECOND),
            ..kept(4000, runs())
        };
        assert_eq!(check(draining), DRAIN);
    }

    #[test]
    fn a_drain_waits_for_runs_as_long_as_it_may_and_then_parks_them_as_they_stand() {
        let drain = |runs: Vec<RunAssignment>, drain_in| Case {
            inside: inside(&runs),
            runs,
            drain_in: Some(drain_in),
            ..Case::default()
        };
        assert_eq!(check(drain(vec![waiting(0)], SECOND)), DRAIN);
        assert_eq!(check(drain(vec![running()], SECOND)), (None, Some(SECOND)));
        assert_eq!(check(drain(vec![running()], Duration::ZERO)), DRAIN);
        assert_eq!(check(drain(Vec::new(), SECOND)), STOP);
        let strays = |drain_in| Case {
            inside: vec![key_of(&running())],
            drain_in: Some(drain_in),
            ..Case::default()
        };
        assert_eq!(check(strays(SECOND)), (None, Some(SECOND)));
        assert_eq!(check(strays(Duration::ZERO)), STOP);
    }
}
