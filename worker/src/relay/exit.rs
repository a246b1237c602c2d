//! What a process's end means for its run, when its runtime has not said so itself.

use helmr_api::worker::Finished;
use helmr_guest_wire::Exit;

use super::line::TaskError;

const SIGKILL: i32 = 9;
const SIGABRT: i32 = 6;
const SIGTRAP: i32 = 5;
/// What Node writes before it aborts for lack of heap.
const HEAP_EXHAUSTED: &str = "JavaScript heap out of memory";

/// Judges an end. `stopping`: a stop order stands, so that a kill was ours. `stderr_tail`: the last of what it printed.
pub(crate) fn judge(exit: &Exit, stopping: bool, stderr_tail: &[u8]) -> Finished {
    let exit_code = exit.code.or(exit.signal.map(|signal| 128 + signal));
    if stopping {
        return Finished::Stopped { exit_code };
    }
    let (kind, message) = if let Some(reason) = &exit.start_error {
        (
            "sandbox_failed",
            format!("the task's process could not be started: {reason}"),
        )
    } else if out_of_memory(exit, stderr_tail) {
        (
            "out_of_memory",
            "the task's process was ended for lack of memory".to_owned(),
        )
    } else {
        ("task_exited", describe(exit))
    };
    Finished::Failed {
        kind: kind.to_owned(),
        name: None,
        message,
        stack: None,
        exit_code,
    }
}

/// Adds what the runtime said of a task that left by itself.
pub(crate) fn explain(finished: &mut Finished, said: &TaskError) {
    if let Finished::Failed {
        kind,
        name,
        message,
        stack,
        ..
    } = finished
        && kind == "task_exited"
    {
        name.clone_from(&said.name);
        message.clone_from(&said.message);
        stack.clone_from(&said.stack);
    }
}

/// Nobody but the memory limit sends SIGKILL unasked, short of the task itself.
fn out_of_memory(exit: &Exit, stderr_tail: &[u8]) -> bool {
    let killed = exit.signal == Some(SIGKILL) || exit.code == Some(128 + SIGKILL);
    let aborted = matches!(exit.signal, Some(SIGABRT | SIGTRAP))
        || exit.code == Some(128 + SIGABRT)
        || exit.code == Some(128 + SIGTRAP);
    killed || (aborted && String::from_utf8_lossy(stderr_tail).contains(HEAP_EXHAUSTED))
}

fn describe(exit: &Exit) -> String {
    match (exit.code, exit.signal) {
        (_, Some(signal)) => format!(
            "the task's process was ended by signal {signal} before its run function had returned"
        ),
        (Some(code), None) => {
            format!(
                "the task's process exited with code {code} before its run function had returned"
            )
        }
        (None, None) => "the task's process ended before its run function had returned".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(exit: Exit, stopping: bool, stderr: &str) -> String {
        match judge(&exit, stopping, stderr.as_bytes()) {
            Finished::Failed {
                kind, exit_code, ..
            } => format!("{kind} {exit_code:?}"),
            Finished::Stopped { exit_code } => format!("stopped {exit_code:?}"),
            Finished::Succeeded { .. } => "succeeded".to_owned(),
        }
    }

    fn code(code: i32) -> Exit {
        Exit {
            code: Some(code),
            ..Exit::default()
        }
    }

    fn signal(signal: i32) -> Exit {
        Exit {
            signal: Some(signal),
            ..Exit::default()
        }
    }

    #[test]
    fn an_end_is_told_by_what_ended_it() {
        let fatal = "FATAL ERROR: Reached heap limit - JavaScript heap out of memory";
        let unstartable = Exit {
            start_error: Some("no such file".to_owned()),
            ..Exit::default()
        };
        for (exit, stopping, stderr, expected) in [
            (code(0), false, "", "task_exited Some(0)"),
            (code(3), false, fatal, "task_exited Some(3)"),
            (signal(9), false, "", "out_of_memory Some(137)"),
            (code(137), false, "", "out_of_memory Some(137)"),
            (
                signal(6),
                false,
                "assertion failed",
                "task_exited Some(134)",
            ),
            (signal(6), false, fatal, "out_of_memory Some(134)"),
            (signal(9), true, "", "stopped Some(137)"),
            (code(1), true, "", "stopped Some(1)"),
            (unstartable, false, "", "sandbox_failed None"),
        ] {
            assert_eq!(kind(exit, stopping, stderr), expected);
        }
    }
}
