//! What holds after every step, of everything that is there.

use helmr_domain::limits;

use crate::row::{Run, Wait};
use crate::shadow::Shadow;
use crate::violation::{Checked, hold};

pub(crate) fn check(shadow: &Shadow) -> Checked {
    leases(shadow)?;
    for run in shadow.runs.values() {
        check_run(shadow, run)?;
    }
    for wait in shadow.waits.values() {
        check_wait(shadow, wait)?;
    }
    for token in shadow.tokens.values() {
        let timer = timer(shadow, "token_timeout", &token.id);
        let expected = (token.status == "pending").then_some(token.timeout_at);
        hold!(
            timer == expected,
            "every deadline has its timer, and nothing else has",
            "{token:?}: {timer:?}"
        );
    }
    for session in shadow.sessions.values() {
        let timer = timer(shadow, "session_expiry", &session.id);
        let expected = session.expires_at.filter(|_| session.status == "open");
        hold!(
            timer == expected,
            "every deadline has its timer, and nothing else has",
            "{session:?}: {timer:?}"
        );
        let active = session.active_run.and_then(|id| shadow.runs.get(&id));
        hold!(
            session.active_run.is_none() || active.is_some_and(|run| !run.is_final()),
            "a session's active run is not over",
            "{session:?}"
        );
    }
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

fn timer(shadow: &Shadow, purpose: &str, subject: &impl ToString) -> Option<i64> {
    if shadow.timers.is_empty() {
        return None;
    }
    let key = (purpose.to_owned(), subject.to_string());
    shadow.timers.get(&key).map(|deadline| deadline.at)
}

fn leases(shadow: &Shadow) -> Checked {
    for workspace in shadow.workspaces.values() {
        let mut machines = shadow.machines.values();
        let machine = machines
            .find(|machine| machine.workspace == workspace.id && machine.ended_at.is_none());
        let Some(machine) = machine else {
            hold!(
                !workspace.is_held(),
                "no lease without a machine",
                "{workspace:?}"
            );
            continue;
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
    }
    Ok(())
}

fn check_run(shadow: &Shadow, run: &Run) -> Checked {
    let told = shadow
        .told
        .get(&run.id.to_string())
        .and_then(|(_, status)| *status);
    hold!(
        told.is_some_and(|told| told.as_str() == run.status),
        "replaying a run's events gives its status",
        "{told:?} is not {run:?}"
    );
    let mine = [
        (
            "run_ttl",
            run.ttl_at
                .filter(|_| run.status == "queued" && run.attempt == 1),
        ),
        (
            "stop_grace",
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
            "run_max_duration",
            run.clock_at
                .filter(|_| run.status == "running" && run.stop.is_none())
                .map(|since| since + (run.max_duration - run.active).max(0)),
        ),
    ];
    for (purpose, due) in mine {
        let due = due.filter(|_| !run.is_final());
        let armed = timer(shadow, purpose, &run.id);
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

fn check_wait(shadow: &Shadow, wait: &Wait) -> Checked {
    let due = wait.due_at.filter(|_| wait.is_undecided());
    let timeout = wait.timeout_at.filter(|_| wait.is_undecided());
    for (purpose, due) in [("wait_due", due), ("wait_timeout", timeout)] {
        let armed = timer(shadow, purpose, &wait.id);
        hold!(
            armed == due,
            "every deadline has its timer, and nothing else has",
            "{purpose} is armed for {armed:?}, not {due:?}: {wait:?}"
        );
    }
    if matches!(wait.state.as_str(), "hot" | "parked" | "resuming") {
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
                let claimed = shadow.waits.values().any(|other| {
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
