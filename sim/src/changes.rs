//! What may become of a row: each change against what was there before.

pub(crate) mod execs;
pub(crate) mod logs;
pub(crate) mod public;
pub(crate) mod waits;

use crate::row::{Checkpoint, Machine, Record, Run, Session, Stream, Token, Workspace};
use crate::shadow::{Open, Shadow};
use crate::violation::{Checked, hold};

pub(crate) fn workspace(shadow: &mut Shadow, new: Workspace) -> Checked {
    shadow.step.touched.workspaces.insert(new.id);
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
        hold!(
            old.state != "deleted" || new.state == "deleted",
            "what is deleted stays deleted",
            "{old:?} became {new:?}"
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
        if new.state == "deleted" {
            shadow.reached.insert("a workspace is deleted");
        }
        if new.revision != old.revision {
            shadow.step.revised.push(new.id);
        }
    }
    shadow.step.changed = true;
    shadow.workspaces.insert(new.id, new);
    Ok(())
}

pub(crate) fn machine(shadow: &mut Shadow, new: Machine) -> Checked {
    shadow.step.touched.workspaces.insert(new.workspace);
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
                // Told to end, it is not woken again.
                "parked" => matches!(new.state.as_str(), "resuming" | "stopped"),
                "resuming" => {
                    matches!(new.state.as_str(), "live" | "parked" | "failed" | "stopped")
                }
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
        hold!(
            new.state != "parked"
                || matches!(old.state.as_str(), "parked" | "live" | "resuming")
                || !shadow.has_exec_inside(new.workspace),
            "a running exec keeps its machine",
            "{old:?} became {new:?}"
        );
        if new.state == "parked" && shadow.has_exec_inside(new.workspace) {
            shadow
                .reached
                .insert("a machine is set aside under an exec");
        }
    } else {
        let workspace = shadow.workspaces.get(&new.workspace);
        hold!(
            workspace.is_none_or(|workspace| workspace.state != "deleted"),
            "nothing starts in a deleted workspace",
            "{new:?}"
        );
    }
    let other = shadow.open.machines.get(&new.workspace).copied();
    if new.ended_at.is_none() {
        hold!(
            other.is_none_or(|other| other == new.id),
            "a workspace has one machine",
            "{new:?} beside {other:?}"
        );
        shadow.open.machines.insert(new.workspace, new.id);
    } else if other == Some(new.id) {
        shadow.open.machines.remove(&new.workspace);
    }
    shadow.step.changed = true;
    shadow.machines.insert(new.id, new);
    Ok(())
}

pub(crate) fn checkpoint(shadow: &mut Shadow, new: Checkpoint) -> Checked {
    let machine = shadow.machines.get(&new.machine);
    let workspace = machine.map(|machine| machine.workspace);
    shadow.step.touched.workspaces.extend(workspace);
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
    shadow.step.touched.sessions.insert(new.id);
    Open::keep(&mut shadow.open.sessions, new.id, new.status != "open");
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
    shadow.step.touched.runs.insert(new.id);
    shadow.step.touched.sessions.insert(new.session);
    Open::keep(&mut shadow.open.runs, new.id, new.is_final());
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
            hold!(
                old.status == "running" || new.active == old.active,
                "waiting never counts",
                "{old:?} became {new:?}"
            );
            logs::budget(old, &new)?;
            if old.status == "queued" && new.status == "running" {
                shadow.step.leased.push(new.id);
                if new.queue_limit.is_some() {
                    shadow.reached.insert("a queue lets a run go");
                }
            }
        }
        None => shadow.step.runs.push(new.id),
    }
    shadow.step.changed = true;
    shadow.runs.insert(new.id, new);
    Ok(())
}

pub(crate) fn token(shadow: &mut Shadow, new: Token, now: i64) -> Checked {
    shadow.step.touched.tokens.insert(new.id);
    Open::keep(&mut shadow.open.tokens, new.id, new.status != "pending");
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
    if new.status == "completed" {
        shadow.step.completed += 1;
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
