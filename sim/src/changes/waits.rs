//! What may become of a wait, and whether its outcome is the one that what is there gives.

use crate::row::{StreamKey, Wait};
use crate::shadow::{Clocks, Open, Shadow};
use crate::violation::{Checked, hold};

/// The record that a wait's outcome carries.
fn record_of(wait: &Wait) -> Option<(StreamKey, u64)> {
    let (stream, record) = (wait.stream.clone()?, wait.record?);
    let key = (wait.session, "input".to_owned(), stream);
    Some((key, u64::try_from(record).unwrap_or(0)))
}

pub(crate) fn wait(shadow: &mut Shadow, new: Wait, now: Clocks) -> Checked {
    shadow.step.touched.waits.insert(new.id);
    shadow.step.touched.runs.insert(new.run);
    Open::keep(&mut shadow.open.waits, new.id, !new.is_open());
    let holding = shadow.holding.entry(new.run).or_default();
    Open::keep(holding, new.id, new.holds == 0);
    let old = shadow.waits.get(&new.id);
    if old == Some(&new) {
        return Ok(());
    }
    hold!(
        new.holds <= old.map_or(1, |old| old.holds) && (new.holds == 0 || new.blocking == 0),
        "what holds a run lets go once",
        "{old:?} became {new:?}"
    );
    let before = old.map_or("hot", |old| old.state.as_str());
    let given_back = old
        .filter(|old| old.state == "resolved" && new.state == "cancelled")
        .and_then(record_of);
    if old.is_some_and(Wait::is_delivered) && given_back.is_none() {
        hold!(
            before == new.state,
            "no double resume",
            "{old:?} became {new:?}"
        );
    }
    let legal = before == new.state
        || given_back.is_some()
        || match before {
            "hot" => !new.is_delivered(),
            "parked" => matches!(new.state.as_str(), "resuming" | "cancelled" | "failed"),
            "resuming" => !matches!(new.state.as_str(), "hot" | "parked"),
            _ => false,
        };
    hold!(
        legal,
        "waits change state as their table says",
        "{old:?} became {new:?}"
    );
    if let Some(outcome) = &new.outcome {
        match old.and_then(|old| old.outcome.as_ref()) {
            Some(first) => hold!(
                first == outcome && old.is_some_and(|old| old.record == new.record),
                "a wait has one outcome",
                "{old:?} became {new:?}"
            ),
            None => {
                decision(shadow, &new, outcome, now)?;
                shadow.step.decided.push(new.id);
            }
        }
    }
    shadow.step.given_back.extend(given_back);
    if new.is_delivered() && new.holds == 1 {
        shadow
            .reached
            .insert("a wait holds its run when it is over");
    }
    if new.is_delivered() && before == "resuming" {
        shadow.step.resumed.push(new.id);
        shadow.step.delivered.extend(record_of(&new));
    }
    shadow.step.changed = true;
    shadow.waits.insert(new.id, new);
    Ok(())
}

/// Whether an outcome is the one that what is there gives.
fn decision(shadow: &Shadow, wait: &Wait, outcome: &str, now: Clocks) -> Checked {
    let timed_out = wait.timeout_at.is_some_and(|at| now.steady >= at);
    let is_timeout = outcome.contains("\"code\":\"timeout\"");
    if is_timeout {
        hold!(
            timed_out,
            "the deadline decides",
            "{wait:?} timed out at {now:?}"
        );
        return Ok(());
    }
    hold!(
        !timed_out || wait.kind == "timer",
        "the deadline decides",
        "{wait:?} was resolved at {now:?}, past its timeout"
    );
    match wait.kind.as_str() {
        "timer" => {
            // Of a timer and a timeout that have both come, the one that came first.
            let clock = now.read(wait.absolute == 1);
            let due_for = wait.due_at.map(|due| clock - due);
            let late_for = wait.timeout_at.map_or(0, |at| now.steady - at);
            hold!(
                due_for.is_some_and(|due_for| due_for >= 0 && due_for >= late_for),
                "the deadline decides",
                "{wait:?} was resolved at {now:?}"
            );
        }
        "token" => {
            let token = wait.token.and_then(|id| shadow.tokens.get(&id));
            let fits = token.is_some_and(|token| match token.status.as_str() {
                "completed" => token
                    .data
                    .as_ref()
                    .is_some_and(|data| outcome.contains(data.as_str())),
                "expired" => outcome.contains("\"code\":\"expired\""),
                "cancelled" => outcome.contains("\"code\":\"cancelled\""),
                _ => false,
            });
            hold!(
                fits,
                "an outcome is what was waited for",
                "{wait:?} of {token:?}"
            );
        }
        _ => {
            let key = (
                wait.session,
                "input".to_owned(),
                wait.stream.clone().unwrap_or_default(),
            );
            let sequence = wait
                .record
                .and_then(|record| u64::try_from(record).ok())
                .unwrap_or(0);
            let index = usize::try_from(sequence).unwrap_or(0).checked_sub(1);
            let record = index.and_then(|index| shadow.records.get(&key)?.get(index));
            let fits = record.is_some_and(|record| {
                outcome.contains(record.data.as_str())
                    && (wait.correlation.is_none() || wait.correlation == record.correlation)
            });
            let unread = shadow
                .streams
                .get(&key)
                .is_some_and(|stream| stream.is_unread(sequence));
            hold!(
                fits && unread,
                "an outcome is what was waited for",
                "{wait:?} of {record:?}"
            );
            let claimed = shadow.waits.values().any(|other| {
                other.id != wait.id
                    && other.session == wait.session
                    && other.stream == wait.stream
                    && other.record == wait.record
                    && (other.state == "resuming" || other.is_delivered())
            });
            hold!(!claimed, "a record goes to one wait", "{wait:?}");
        }
    }
    Ok(())
}
