//! The machine's processes, as /proc tells them.

use std::collections::BTreeSet;
use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Names the run that a process belongs to, in its environment.
pub(crate) const MARKER: &str = "HELMR_PROCESS_OF";

/// How often the list is read again for processes that were forked meanwhile.
const ROUNDS: usize = 16;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    pid: i32,
    state: char,
    parent: i32,
    group: i32,
    session: i32,
}

impl Process {
    fn is_stopped(&self) -> bool {
        matches!(self.state, 'T' | 't')
    }

    fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

/// Sends `signal` to everything that belongs to the run marked `marker`, whose first process is or was `leader`.
///
/// A process belongs to a run if it is in its session or group, carries its marker, or descends from one that does. With
/// SIGKILL this is repeated until none is found: a process may fork while the list is read.
pub(crate) fn signal_run(leader: Pid, marker: &str, signal: Signal) {
    let mut signalled = BTreeSet::new();
    for _ in 0..ROUNDS {
        let all = list();
        let below = below_agent(&all);
        let roots = all.iter().filter(|process| {
            below.contains(&process.pid)
                && (process.session == leader.as_raw()
                    || process.group == leader.as_raw()
                    || carries(process.pid, marker))
        });
        let members = with_descendants(roots.map(|process| process.pid).collect(), &all);
        if send(&members, &mut signalled, signal) == 0 || signal != Signal::SIGKILL {
            return;
        }
    }
}

/// Whether anything lives that was started for somebody whose id begins with one of `prefixes`.
pub(crate) fn any_of(prefixes: &[&str]) -> bool {
    let all = list();
    below_agent(&all).into_iter().any(|pid| {
        marker_of(pid).is_some_and(|marker| {
            prefixes
                .iter()
                .any(|prefix| marker.starts_with(prefix.as_bytes()))
        })
    })
}

/// Kills everything below the agent.
pub(crate) fn kill_all() {
    let mut signalled = BTreeSet::new();
    for _ in 0..ROUNDS {
        let members = below_agent(&list());
        if send(&members, &mut signalled, Signal::SIGKILL) == 0 {
            return;
        }
    }
}

/// Stops everything below the agent that is not stopped already, and says what that was.
pub(crate) fn stop_all() -> BTreeSet<i32> {
    let mut stopped = BTreeSet::new();
    for _ in 0..ROUNDS {
        let all = list();
        let running: BTreeSet<i32> = all
            .iter()
            .filter(|process| !process.is_stopped())
            .map(|process| process.pid)
            .collect();
        let members = below_agent(&all).intersection(&running).copied().collect();
        if send(&members, &mut stopped, Signal::SIGSTOP) == 0 {
            break;
        }
    }
    stopped
}

/// Lets what [`stop_all`] stopped go on.
pub(crate) fn continue_all(stopped: &BTreeSet<i32>) {
    // A number may have been given to another process only if its owner died; only what is below the agent is meant.
    let members = below_agent(&list());
    let members = stopped.intersection(&members).copied().collect();
    send(&members, &mut BTreeSet::new(), Signal::SIGCONT);
}

/// Signals what was not signalled before and says how many that were.
fn send(members: &BTreeSet<i32>, signalled: &mut BTreeSet<i32>, signal: Signal) -> usize {
    let mut count = 0;
    for pid in members {
        if signalled.insert(*pid) {
            count += 1;
            // It may be gone by now, which is as good.
            let _gone = kill(Pid::from_raw(*pid), signal);
        }
    }
    count
}

fn below_agent(all: &[Process]) -> BTreeSet<i32> {
    let agent = Pid::this().as_raw();
    let children = all
        .iter()
        .filter(|process| process.parent == agent)
        .map(|process| process.pid)
        .collect();
    with_descendants(children, all)
}

/// Adds the descendants of `members`; never the agent itself.
fn with_descendants(mut members: BTreeSet<i32>, all: &[Process]) -> BTreeSet<i32> {
    loop {
        let more: Vec<i32> = all
            .iter()
            .filter(|process| members.contains(&process.parent) && !members.contains(&process.pid))
            .map(|process| process.pid)
            .collect();
        if more.is_empty() {
            members.remove(&Pid::this().as_raw());
            return members;
        }
        members.extend(more);
    }
}

fn carries(pid: i32, marker: &str) -> bool {
    marker_of(pid).is_some_and(|carried| carried == marker.as_bytes())
}

/// For whom a process was started.
fn marker_of(pid: i32) -> Option<Vec<u8>> {
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let name = format!("{MARKER}=");
    environ
        .split(|byte| *byte == 0)
        .find_map(|pair| pair.strip_prefix(name.as_bytes()))
        .map(<[u8]>::to_vec)
}

/// Every living process.
fn list() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .filter(|process| !process.is_dead())
        .collect()
}

/// Reads proc(5)'s `stat`: the name in parentheses may itself hold spaces and parentheses.
fn parse_stat(stat: &str) -> Option<Process> {
    let (pid, _) = stat.split_once(' ')?;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let mut number = || fields.next()?.parse::<i32>().ok();
    Some(Process {
        pid: pid.parse().ok()?,
        state,
        parent: number()?,
        group: number()?,
        session: number()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_move_the_fields() {
        let expected = Process {
            pid: 7,
            state: 'S',
            parent: 1,
            group: 6,
            session: 5,
        };
        assert_eq!(
            parse_stat("7 (a) b) (c)) S 1 6 5 0 -1 4194304"),
            Some(expected)
        );
        assert_eq!(parse_stat(""), None);
        assert_eq!(parse_stat("7 (x) S 1"), None);
    }

    #[test]
    fn descendants_are_found_whatever_the_order() {
        let process = |pid, parent| Process {
            pid,
            state: 'S',
            parent,
            group: 0,
            session: 0,
        };
        let all = [
            process(40, 30),
            process(30, 20),
            process(20, 1),
            process(50, 1),
        ];
        assert_eq!(with_descendants([20].into(), &all), [20, 30, 40].into());
    }

    #[test]
    fn this_process_is_listed_and_alive() {
        let own = list()
            .into_iter()
            .find(|process| process.pid == Pid::this().as_raw());
        // Zero when the session's leader is outside this process namespace, as under some job runners.
        let session = nix::unistd::getsid(None).map(Pid::as_raw).ok();
        assert!(
            own.is_some_and(|process| !process.is_stopped() && Some(process.session) == session)
        );
    }
}
