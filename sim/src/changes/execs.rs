//! What may become of an exec.

use crate::row::Exec;
use crate::shadow::{Open, Shadow};
use crate::violation::{Checked, hold};

pub(crate) fn exec(shadow: &mut Shadow, new: Exec) -> Checked {
    shadow.step.touched.execs.insert(new.id);
    Open::keep(&mut shadow.open.execs, new.id, new.ended_at.is_some());
    match shadow.execs.get(&new.id) {
        Some(old) if *old == new => return Ok(()),
        Some(old) => {
            change(old, &new)?;
            let old_state = old.state.clone();
            reach(shadow, &old_state, &new);
        }
        None => {
            // Into a live machine it goes at once.
            hold!(
                matches!(new.state.as_str(), "queued" | "starting"),
                "execs change state as their table says",
                "{new:?}"
            );
            shadow.step.execs.push(new.id);
        }
    }
    shadow.step.changed = true;
    shadow.execs.insert(new.id, new);
    Ok(())
}

fn reach(shadow: &mut Shadow, old_state: &str, new: &Exec) {
    let machine = shadow.machine_of(new.workspace);
    let resuming = machine.is_some_and(|machine| machine.state == "resuming");
    let mut runs = shadow.open.runs.iter().filter_map(|id| shadow.runs.get(id));
    let beside = runs.any(|run| run.workspace == new.workspace && run.status == "waiting");
    let reached = [
        (
            old_state == "queued" && new.is_inside() && resuming && beside,
            "an exec wakes a machine beside a waiting run",
        ),
        (new.stdout_start > 0, "an exec's window moves on"),
        (new.timed_out == 1, "an exec times out"),
        (new.state == "lost", "an exec is lost with its machine"),
        (new.stdin_taken > 0, "an exec reads its input"),
    ];
    let reached = reached.into_iter().filter(|(is_so, _)| *is_so);
    shadow.reached.extend(reached.map(|(_, what)| what));
}

fn change(old: &Exec, new: &Exec) -> Checked {
    let legal = old.state == new.state
        || match old.state.as_str() {
            "queued" => matches!(new.state.as_str(), "starting" | "killed"),
            "starting" => matches!(
                new.state.as_str(),
                "running" | "exited" | "killed" | "failed" | "lost"
            ),
            "running" => matches!(new.state.as_str(), "exited" | "killed" | "failed" | "lost"),
            _ => false,
        };
    hold!(
        legal,
        "execs change state as their table says",
        "{} went from {} to {}",
        new.id,
        old.state,
        new.state
    );
    hold!(
        old.ended_at.is_none() || (old.ended_at == new.ended_at && old.signals == new.signals),
        "an exec ends once",
        "{old:?} became {new:?}"
    );
    // Everything that was printed is kept before the end is told.
    hold!(
        old.ended_at.is_none()
            || (old.stdout_end, old.stderr_end) == (new.stdout_end, new.stderr_end),
        "nothing is printed after the end",
        "{old:?} became {new:?}"
    );
    hold!(
        new.signals.starts_with(old.signals.trim_end_matches(']')),
        "signals are sent in order",
        "{old:?} became {new:?}"
    );
    let grown = new.stdout_end >= old.stdout_end
        && new.stderr_end >= old.stderr_end
        && new.stdout_start >= old.stdout_start
        && new.stderr_start >= old.stderr_start
        && new.stdin_end >= old.stdin_end
        && new.stdin_taken >= old.stdin_taken
        && new.stdin_closed >= old.stdin_closed
        && new.timed_out >= old.timed_out;
    hold!(grown, "offsets only grow", "{old:?} became {new:?}");
    hold!(
        old.stdin_closed == 0 || new.stdin_end == old.stdin_end,
        "a closed input takes nothing",
        "{old:?} became {new:?}"
    );
    Ok(())
}
