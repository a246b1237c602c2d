//! What holds of execs after every step.

use helmr_domain::limits;
use helmr_domain::timer::Purpose;

use super::timer;
use crate::row::Exec;
use crate::shadow::{Shadow, Subject};
use crate::violation::{Checked, hold};

pub(super) fn check(shadow: &Shadow, exec: &Exec) -> Checked {
    for stream in ["stdout", "stderr"] {
        check_output(shadow, exec, stream)?;
    }
    check_input(shadow, exec)?;
    let armed = timer(shadow, Purpose::ExecTimeout, Subject::Exec(exec.id));
    let due = exec
        .started_at
        .zip(exec.timeout)
        .filter(|_| exec.ended_at.is_none())
        .map(|(since, timeout)| since + timeout);
    let fits = if exec.timed_out == 1 {
        // Again after the grace.
        armed.is_some() == due.is_some()
    } else {
        armed == due
    };
    hold!(
        fits,
        "every deadline has its timer, and nothing else has",
        "{exec:?}: {armed:?}, not {due:?}"
    );
    if !exec.is_inside() {
        return Ok(());
    }
    let machine = shadow.machine_of(exec.workspace);
    hold!(
        machine.is_some_and(|machine| !matches!(machine.state.as_str(), "parking" | "stopping")),
        "a running exec keeps its machine",
        "{exec:?} in {machine:?}"
    );
    Ok(())
}

fn check_output(shadow: &Shadow, exec: &Exec, stream: &str) -> Checked {
    let (start, end) = exec.window(stream);
    let key = (exec.id, stream.to_owned());
    let extent = shadow.printed.extent(&key);
    let fits = match extent {
        Some(Some(there)) => there == (start, end),
        Some(None) => start == end,
        None => false,
    };
    hold!(
        fits,
        "output offsets are contiguous",
        "{stream} of {exec:?}: {extent:?}"
    );
    // The window is dropped by the piece, and no piece too early.
    let keep_from = end.saturating_sub(limits::EXEC_WINDOW_BYTES);
    let first = shadow.printed.first_end(&key);
    hold!(
        start <= keep_from && first.is_none_or(|first| first > keep_from),
        "as much is kept as the window says",
        "{stream} of {exec:?}: the first piece ends at {first:?}"
    );
    Ok(())
}

fn check_input(shadow: &Shadow, exec: &Exec) -> Checked {
    let extent = shadow.given.extent(&exec.id);
    let fits = match extent {
        Some(Some((start, end))) => start <= exec.stdin_taken && end == exec.stdin_end,
        Some(None) => exec.stdin_taken == exec.stdin_end || exec.stdin_closed == 1,
        None => false,
    };
    hold!(
        fits && exec.stdin_taken <= exec.stdin_end,
        "input offsets are contiguous",
        "{exec:?}: {extent:?}"
    );
    hold!(
        exec.stdin_end - exec.stdin_taken <= limits::EXEC_INPUT_BYTES,
        "no more input waits than its limit",
        "{exec:?}"
    );
    Ok(())
}
