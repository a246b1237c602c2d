//! What may become of a row: each change against what was there before.

use crate::row::{
    Checkpoint, Machine, Record, Run, Session, Stream, StreamKey, Token, Wait, Workspace,
};
use crate::shadow::{Clocks, Shadow};
use crate::violation::{Checked, hold};

pub(crate) fn workspace(shadow: &mut Shadow, new: Workspace) -> Checked {
    if let Some(old) = shadow.workspaces.get(&new.id) {
        if *old == new {
            return Ok(());
        }
        hold!(
            new.epoch >= old.epoch,
            "epochs only grow",
            "{} fell from {} to {}",
            new.id,
            old.epoch,
            new.epoch
        );
        let taken = new.is_held() && (!old.is_held() || old.holder != new.holder);
        hold!(
            !taken || new.epoch > old.epoch,
            "a lease that is claimed has a new epoch",
            "{} is {}'s under epoch {} again",
            new.id,
            new.holder.map_or_else(String::new, |id| id.to_string()),
            new.epoch
        );
        hold!(
            !(old.is_held() && new.is_held() && new.epoch != old.epoch),
            "one active lease",
            "{} was claimed while it was held: {old:?}, {new:?}",
            new.id
        );
        if new.revision != old.revision {
            shadow.step.revised.push(new.id);
        }
    }
    shadow.step.changed = true;
    shadow.workspaces.insert(new.id, new);
    Ok(())
}

pub(crate) fn machine(shadow: &mut Shadow, new: Machine) -> Checked {
    if let Some(old) = shadow.machines.get(&new.id) {
        if *old == new {
            return Ok(());
        }
        let legal = old.state == new.state
            || match old.state.as_str() {
                "preparing" => matches!(
                    new.state.as_str(),
                    "live" | "stopping" | "stopped" | "failed" | "lost"
                ),
                "live" => matches!(
                    new.state.as_str(),
                    "parking" | "parked" | "stopping" | "stopped" | "failed" | "lost"
                ),
                "parking" => matches!(
                    new.state.as_str(),
                    "live" | "parked" | "stopping" | "stopped" | "failed" | "lost"
                ),
                "parked" => new.state == "resuming",
                "resuming" => matches!(new.state.as_str(), "live" | "parked" | "failed"),
                "stopping" => matches!(new.state.as_str(), "live" | "stopped" | "failed" | "lost"),
                _ => false,
            };
        hold!(
            legal,
            "machines change state as their table says",
            "{} went from {} to {}",
            new.id,
            old.state,
            new.state
        );
        hold!(
            new.epoch >= old.epoch,
            "epochs only grow",
            "machine {} fell from {} to {}",
            new.id,
            old.epoch,
            new.epoch
        );
        hold!(
            old.ended_at.is_none() || new.ended_at == old.ended_at,
            "a machine ends once",
            "{old:?} became {new:?}"
        );
    }
    shadow.step.changed = true;
    shadow.machines.insert(new.id, new);
    Ok(())
}

pub(crate) fn checkpoint(shadow: &mut Shadow, new: Checkpoint) -> Checked {
    if let Some(old) = shadow.checkpoints.get(&new.id) {
        if *old == new {
            return Ok(());
        }
        hold!(
            old.dropped_at.is_none(),
            "a checkpoint is dropped once",
            "{old:?} became {new:?}"
        );
    }
    shadow.step.changed = true;
    shadow.checkpoints.insert(new.id, new);
    Ok(())
}

pub(crate) fn session(shadow: &mut Shadow, new: Session) -> Checked {
    match shadow.sessions.get(&new.id) {
        Some(old) if *old == new => return Ok(()),
        Some(old) => {
            hold!(
                old.status == "open" || old.status == new.status,
                "a session ends once",
                "{} went from {} to {}",
                new.id,
                old.status,
                new.status
            );
            hold!(
                new.runs >= old.runs,
                "a session's runs are counted up",
                "{old:?} became {new:?}"
            );
        }
        None => shadow.step.sessions.push(new.id),
    }
    shadow.step.changed = true;
    shadow.sessions.insert(new.id, new);
    Ok(())
}

pub(crate) fn run(shadow: &mut Shadow, new: Run) -> Checked {
    match shadow.runs.get(&new.id) {
        Some(old) if *old == new => return Ok(()),
        Some(old) => {
            let legal = old.status == new.status
                || match old.status.as_str() {
                    "queued" => matches!(new.status.as_str(), "running" | "cancelled" | "expired"),
                    "running" | "waiting" => !matches!(new.status.as_str(), "expired"),
                    _ => false,
                };
            hold!(
                legal,
                "runs change status as their table says",
                "{} went from {} to {}",
                new.id,
                old.status,
                new.status
            );
            let never_came = new.is_final() && old.status == "queued";
            hold!(
                new.attempt >= old.attempt || (never_came && new.attempt + 1 == old.attempt),
                "attempts are counted up",
                "{} fell from attempt {} to {}",
                new.id,
                old.attempt,
                new.attempt
            );
            hold!(
                new.dispatches >= old.dispatches && new.active >= old.active,
                "what a run used only grows",
                "{old:?} became {new:?}"
            );
        }
        None => shadow.step.runs.push(new.id),
    }
    shadow.step.changed = true;
    shadow.runs.insert(new.id, new);
    Ok(())
}

pub(crate) fn token(shadow: &mut Shadow, new: Token, now: i64) -> Checked {
    if let Some(old) = shadow.tokens.get(&new.id) {
        if *old == new {
            return Ok(());
        }
        hold!(
            old.status == "pending",
            "no double completion",
            "token {} was {} with {:?} and became {} with {:?}",
            new.id,
            old.status,
            old.data,
            new.status,
            new.data
        );
        let due = now >= new.timeout_at;
        hold!(
            match new.status.as_str() {
                "completed" => !due,
                "expired" => due,
                _ => true,
            },
            "the deadline decides",
            "token {} became {} at {now}, due at {}",
            new.id,
            new.status,
            new.timeout_at
        );
    }
    shadow.step.changed = true;
    shadow.tokens.insert(new.id, new);
    Ok(())
}

pub(crate) fn stream(shadow: &mut Shadow, new: Stream) -> Checked {
    let old = shadow.streams.get(&new.key);
    if old == Some(&new) {
        return Ok(());
    }
    let last = old.map_or(0, |old| old.last);
    hold!(
        new.last >= last,
        "stream positions only move on",
        "{old:?} became {new:?}"
    );
    hold!(
        new.lowest_unread <= new.last + 1 && new.above.iter().all(|sequence| *sequence <= new.last),
        "nothing is read before it is there",
        "{new:?}"
    );
    for sequence in 1..=new.last {
        let was_unread = old.is_none_or(|old| old.is_unread(sequence));
        match (was_unread, new.is_unread(sequence)) {
            (true, false) => shadow.step.consumed.push((new.key.clone(), sequence)),
            (false, true) => shadow.step.returned.push((new.key.clone(), sequence)),
            (true, true) | (false, false) => {}
        }
    }
    shadow.step.changed = true;
    shadow.streams.insert(new.key.clone(), new);
    Ok(())
}

pub(crate) fn record(shadow: &mut Shadow, new: Record) -> Checked {
    let key = (new.session, new.direction.clone(), new.stream.clone());
    let records = shadow.records.entry(key.clone()).or_default();
    let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
    if new.sequence <= count {
        let at = usize::try_from(new.sequence - 1).unwrap_or(0);
        hold!(
            records[at] == new,
            "records stay as they are",
            "{:?} became {new:?}",
            records[at]
        );
        return Ok(());
    }
    hold!(
        new.sequence == count + 1,
        "records are numbered without a gap",
        "{} follows {count} in {key:?}",
        new.sequence
    );
    let again = new.key.is_some() && records.iter().any(|record| record.key == new.key);
    hold!(
        !again,
        "every accepted call has one effect",
        "a record's key was used twice: {new:?}"
    );
    shadow.step.records.push((key, new.sequence));
    shadow.step.changed = true;
    records.push(new);
    Ok(())
}

/// The record that a wait's outcome carries.
fn record_of(wait: &Wait) -> Option<(StreamKey, u64)> {
    let (stream, record) = (wait.stream.clone()?, wait.record?);
    let key = (wait.session, "input".to_owned(), stream);
    Some((key, u64::try_from(record).unwrap_or(0)))
}

pub(crate) fn wait(shadow: &mut Shadow, new: Wait, now: Clocks) -> Checked {
    let old = shadow.waits.get(&new.id);
    if old == Some(&new) {
        return Ok(());
    }
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
