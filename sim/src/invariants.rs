//! What holds after every step, of everything that has not ended and of everything that the step touched.

mod execs;
mod logs;

use helmr_domain::limits;
use helmr_domain::timer::Purpose;

use crate::row::{Run, Session, Token, Wait, Workspace};
use crate::shadow::{Shadow, Subject};
use crate::violation::{Checked, hold};

pub(crate) fn check(shadow: &Shadow) -> Checked {
    let (open, touched) = (&shadow.open, &shadow.step.touched);
    for id in &touched.workspaces {
        if let Some(workspace) = shadow.workspaces.get(id) {
            check_lease(shadow, workspace)?;
        }
    }
    for id in open.runs.union(&touched.runs) {
        if let Some(run) = shadow.runs.get(id) {
            check_run(shadow, run)?;
            logs::check(shadow, run)?;
        }
    }
    for id in open.waits.union(&touched.waits) {
        if let Some(wait) = shadow.waits.get(id) {
            check_wait(shadow, wait)?;
        }
    }
    for id in open.tokens.union(&touched.tokens) {
        if let Some(token) = shadow.tokens.get(id) {
            check_token(shadow, token)?;
        }
    }
    for id in open.sessions.union(&touched.sessions) {
        if let Some(session) = shadow.sessions.get(id) {
            check_session(shadow, session)?;
        }
    }
    for id in open.execs.union(&touched.execs) {
        if let Some(exec) = shadow.execs.get(id) {
            execs::check(shadow, exec)?;
        }
    }
    check_queues(shadow)?;
    check_step(shadow)
}

fn check_token(shadow: &Shadow, token: &Token) -> Checked {
    let armed = timer(shadow, Purpose::TokenTimeout, Subject::Token(token.id));
    let expected = (token.status == "pending").then_some(token.timeout_at);
    hold!(
        armed == expected,
        "every deadline has its timer, and nothing else has",
        "{token:?}: {armed:?}"
    );
    Ok(())
}

fn check_session(shadow: &Shadow, session: &Session) -> Checked {
    let armed = timer(shadow, Purpose::SessionExpiry, Subject::Session(session.id));
    let expected = session.expires_at.filter(|_| session.status == "open");
    hold!(
        armed == expected,
        "every deadline has its timer, and nothing else has",
        "{session:?}: {armed:?}"
    );
    let active = session.active_run.and_then(|id| shadow.runs.get(&id));
    hold!(
        session.active_run.is_none() || active.is_some_and(|run| !run.is_final()),
        "a session's active run is not over",
        "{session:?}"
    );
    Ok(())
}

/// A run that is leased finds room in its queue. Those that waited come back without asking.
fn check_queues(shadow: &Shadow) -> Checked {
    for id in &shadow.step.leased {
        let Some(run) = shadow.runs.get(id) else {
            continue;
        };
        let Some(limit) = run.queue_limit else {
            continue;
        };
        let running = shadow.open.runs.iter().filter(|other| {
            shadow.runs.get(other).is_some_and(|other| {
                other.status == "running"
                    && other.queue == run.queue
                    && other.queue_key == run.queue_key
            })
        });
        let running = i64::try_from(running.count()).unwrap_or(i64::MAX);
        hold!(
            running <= limit,
            "no more runs than their queue allows",
            "{running} are running, one of them from now on: {run:?}"
        );
    }
    Ok(())
}

/// What of one row must fit what the same step did to others.
fn check_step(shadow: &Shadow) -> Checked {
    let step = &shadow.step;
    let mut delivered = step.delivered.clone();
    delivered.sort();
    let mut consumed = step.consumed.clone();
    consumed.sort();
    hold!(
        delivered == consumed,
        "stream positions exact",
        "delivered {delivered:?}, consumed {consumed:?}"
    );
    let mut given_back = step.given_back.clone();
    given_back.sort();
    let mut returned = step.returned.clone();
    returned.sort();
    hold!(
        given_back == returned,
        "stream positions exact",
        "given back {given_back:?}, unread again {returned:?}"
    );
    for id in &step.revised {
        let Some(workspace) = shadow.workspaces.get(id) else {
            continue;
        };
        hold!(
            !workspace.is_held() || shadow.outbox.get(id) == Some(&workspace.revision),
            "no lost wake",
            "{workspace:?} changed and nobody is told: {:?}",
            shadow.outbox.get(id)
        );
    }
    Ok(())
}

fn timer(shadow: &Shadow, purpose: Purpose, subject: Subject) -> Option<i64> {
    let found = shadow.timers.get(&(purpose, subject));
    found.map(|deadline| deadline.at)
}

fn check_lease(shadow: &Shadow, workspace: &Workspace) -> Checked {
    let Some(machine) = shadow.machine_of(workspace.id) else {
        hold!(
            !workspace.is_held(),
            "no lease without a machine",
            "{workspace:?}"
        );
        return Ok(());
    };
    if machine.state == "parked" {
        hold!(
            !workspace.is_held(),
            "a parked machine is nobody's",
            "{workspace:?}, {machine:?}"
        );
    } else {
        let leased = workspace.is_held()
            && workspace.holder == Some(machine.worker)
            && workspace.epoch == machine.epoch;
        hold!(leased, "one active lease", "{workspace:?}, {machine:?}");
    }
    if let Some(id) = machine.checkpoint {
        let kept = shadow.checkpoints.get(&id);
        hold!(
            kept.is_some_and(|kept| kept.dropped_at.is_none() && kept.machine == machine.id),
            "a parked machine has its checkpoint",
            "{machine:?}, {kept:?}"
        );
    }
    Ok(())
}

fn check_run(shadow: &Shadow, run: &Run) -> Checked {
    let told = shadow.told_runs.get(&run.id);
    hold!(
        told.is_some_and(|told| told.as_str() == run.status),
        "replaying a run's events gives its status",
        "{told:?} is not {run:?}"
    );
    let mine = [
        (
            Purpose::RunTtl,
            run.ttl_at
                .filter(|_| run.status == "queued" && run.attempt == 1),
        ),
        (
            Purpose::StopGrace,
            run.stop_kill_at.map(|at| {
                let slack = limits::STOP_REPORT_SLACK.as_micros();
                if run.stop_awake == Some(1) {
                    at + slack
                } else {
                    at
                }
            }),
        ),
        (
            Purpose::RunMaxDuration,
            run.clock_at
                .filter(|_| run.status == "running" && run.stop.is_none())
                .map(|since| since + (run.max_duration - run.active).max(0)),
        ),
    ];
    for (purpose, due) in mine {
        let due = due.filter(|_| !run.is_final());
        let armed = timer(shadow, purpose, Subject::Run(run.id));
        hold!(
            armed == due,
            "every deadline has its timer, and nothing else has",
            "{purpose} is armed for {armed:?}, not {due:?}: {run:?}"
        );
    }
    if run.is_final() {
        return Ok(());
    }
    let session = shadow.sessions.get(&run.session);
    hold!(
        session.is_some_and(|session| session.active_run == Some(run.id)),
        "a session has one run at a time",
        "{run:?} of {session:?}"
    );
    if run.status == "queued" {
        return Ok(());
    }
    let machine = shadow.machine_of(run.workspace);
    hold!(
        machine.is_some(),
        "a run that runs has a machine",
        "{run:?}"
    );
    let parked = machine.is_some_and(|machine| machine.state == "parked");
    check_holds(shadow, run)?;
    if run.status == "running" {
        hold!(
            !parked || run.clock_at.is_none(),
            "the clock stands while the machine is parked",
            "{run:?}"
        );
        return Ok(());
    }
    let wait = run.wait.and_then(|id| shadow.waits.get(&id));
    let fits = wait.is_some_and(|wait| {
        wait.run == run.id
            && wait.attempt == run.attempt
            && wait.blocking == 1
            && (matches!(wait.state.as_str(), "hot" | "parked" | "resuming") || run.stop.is_some())
    });
    hold!(fits, "no lost wake", "{run:?} waits for {wait:?}");
    Ok(())
}

/// `once` and `on` keep a run running beside the wait that blocks it, and nothing else does.
fn check_holds(shadow: &Shadow, run: &Run) -> Checked {
    if run.stop.is_some() {
        return Ok(());
    }
    let held = shadow.holding.get(&run.id).is_some_and(|holding| {
        let mut waits = holding.iter().filter_map(|id| shadow.waits.get(id));
        waits.any(|wait| wait.attempt == run.attempt)
    });
    let waits = shadow.open.waits.iter();
    let blocked = waits.filter_map(|id| shadow.waits.get(id)).any(|wait| {
        wait.run == run.id
            && wait.attempt == run.attempt
            && wait.blocking == 1
            && wait.is_undecided()
    });
    hold!(
        run.status != "waiting" || !held,
        "what holds a run keeps it running",
        "{run:?} is held by {:?}",
        shadow.holding.get(&run.id)
    );
    hold!(
        run.status != "running" || !blocked || held,
        "a run that nothing holds waits",
        "{run:?}"
    );
    Ok(())
}

fn check_wait(shadow: &Shadow, wait: &Wait) -> Checked {
    let due = wait.due_at.filter(|_| wait.is_undecided());
    let timeout = wait.timeout_at.filter(|_| wait.is_undecided());
    for (purpose, due) in [(Purpose::WaitDue, due), (Purpose::WaitTimeout, timeout)] {
        let armed = timer(shadow, purpose, Subject::Wait(wait.id));
        hold!(
            armed == due,
            "every deadline has its timer, and nothing else has",
            "{purpose} is armed for {armed:?}, not {due:?}: {wait:?}"
        );
    }
    if wait.is_open() {
        let run = shadow.runs.get(&wait.run);
        let open = run.is_some_and(|run| {
            run.attempt == wait.attempt && matches!(run.status.as_str(), "running" | "waiting")
        });
        hold!(open, "a wait ends with its attempt", "{wait:?} of {run:?}");
    }
    if !wait.is_undecided() {
        return Ok(());
    }
    if let Some(token) = wait.token {
        let pending = shadow
            .tokens
            .get(&token)
            .is_some_and(|token| token.status == "pending");
        hold!(
            pending,
            "no lost wake",
            "{wait:?} waits for a token that has ended"
        );
    }
    if let Some(name) = &wait.stream {
        let key = (wait.session, "input".to_owned(), name.clone());
        let stream = shadow.streams.get(&key);
        let records = shadow.records.get(&key).map_or(&[][..], Vec::as_slice);
        for record in records {
            let matches = wait.correlation.is_none() || wait.correlation == record.correlation;
            let unread = stream.is_none_or(|stream| stream.is_unread(record.sequence));
            if matches && unread {
                let sequence = i64::try_from(record.sequence).unwrap_or(0);
                let open = shadow.open.waits.iter();
                let claimed = open.filter_map(|id| shadow.waits.get(id)).any(|other| {
                    other.state == "resuming"
                        && other.session == wait.session
                        && other.stream == wait.stream
                        && other.record == Some(sequence)
                });
                hold!(
                    claimed,
                    "no lost wake",
                    "{wait:?} waits while {record:?} is unread"
                );
            }
        }
    }
    Ok(())
}
