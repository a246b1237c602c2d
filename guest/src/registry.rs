//! The runs the agent knows: from their start until the worker has acknowledged their end.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use helmr_guest_wire::{Exit, KnownRun, RunPhase};
use nix::unistd::Pid;
use tokio::sync::{mpsc, oneshot};

use crate::terminal::Terminal;

/// One attempt of one run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RunKey {
    pub(crate) run_id: String,
    pub(crate) attempt_number: u32,
}

impl RunKey {
    /// What marks the run's processes.
    pub(crate) fn marker(&self) -> String {
        format!("{}.{}", self.run_id, self.attempt_number)
    }
}

/// The agent's handle on a run that was started.
#[derive(Default)]
struct Entry {
    /// `None` if it could not be started.
    leader: Option<Pid>,
    /// Lines for its runtime, or pieces of its input; closed once the run, or its input, has ended.
    lines: Option<mpsc::UnboundedSender<Vec<u8>>>,
    /// Bytes of input that were received.
    input_received: u64,
    /// Of its signals, the last one sent.
    signalled: u64,
    /// Of a PTY, until it has ended.
    terminal: Option<Rc<Terminal>>,
    /// Told when the leader is reaped.
    exit: Option<oneshot::Sender<Exit>>,
    /// Position of the frame that tells its end.
    ended_at: Option<u64>,
}

/// All known runs.
#[derive(Default)]
pub(crate) struct Registry {
    entries: RefCell<BTreeMap<RunKey, Entry>>,
}

impl Registry {
    pub(crate) fn knows(&self, key: &RunKey) -> bool {
        self.entries.borrow().contains_key(key)
    }

    /// Notes a started run and gives what its supervisor waits on.
    pub(crate) fn started(
        &self,
        key: RunKey,
        leader: Pid,
        terminal: Option<Rc<Terminal>>,
    ) -> (mpsc::UnboundedReceiver<Vec<u8>>, oneshot::Receiver<Exit>) {
        let (lines, lines_out) = mpsc::unbounded_channel();
        let (exit, exit_out) = oneshot::channel();
        let entry = Entry {
            leader: Some(leader),
            lines: Some(lines),
            terminal,
            exit: Some(exit),
            ..Entry::default()
        };
        self.entries.borrow_mut().insert(key, entry);
        (lines_out, exit_out)
    }

    /// Notes that the frame at `position` tells the run's end.
    pub(crate) fn ended(&self, key: RunKey, position: Option<u64>) {
        let mut entries = self.entries.borrow_mut();
        let entry = entries.entry(key).or_default();
        entry.lines = None;
        entry.terminal = None;
        entry.ended_at = position;
    }

    /// Forgets the runs whose end was told before `oldest`, the first frame that is not acknowledged.
    pub(crate) fn forget_before(&self, oldest: u64) {
        self.entries
            .borrow_mut()
            .retain(|_, entry| entry.ended_at.is_none_or(|position| position >= oldest));
    }

    /// Passes a line to a run's runtime. A run that is unknown or has ended wants none any more.
    pub(crate) fn pass_line(&self, key: &RunKey, line: Vec<u8>) {
        if let Some(lines) = self
            .entries
            .borrow()
            .get(key)
            .and_then(|entry| entry.lines.as_ref())
        {
            let _ended_meanwhile = lines.send(line);
        }
    }

    /// Passes a piece of input to a process: what of it is new.
    pub(crate) fn pass_input(&self, key: &RunKey, offset: u64, mut data: Vec<u8>, end: bool) {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = entries.get_mut(key) else {
            return;
        };
        let known = entry.input_received.saturating_sub(offset);
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        // The host sends in order, so there is no gap.
        let fresh = data.split_off(known.min(data.len()));
        entry.input_received += u64::try_from(fresh.len()).unwrap_or(0);
        if let Some(lines) = &entry.lines
            && !fresh.is_empty()
        {
            let _ended_meanwhile = lines.send(fresh);
        }
        if end {
            entry.lines = None;
        }
    }

    /// Whether signal `number` of a process is to be sent, which is noted.
    pub(crate) fn is_new_signal(&self, key: &RunKey, number: u64) -> bool {
        let mut entries = self.entries.borrow_mut();
        match entries.get_mut(key) {
            Some(entry) if number > 0 => {
                let is_new = number > entry.signalled;
                entry.signalled = entry.signalled.max(number);
                is_new
            }
            Some(_) | None => true,
        }
    }

    /// The first process of a run, also after its end: what it left behind is found by it.
    pub(crate) fn leader(&self, key: &RunKey) -> Option<Pid> {
        self.entries.borrow().get(key)?.leader
    }

    /// The terminal of a PTY that has not ended.
    pub(crate) fn terminal(&self, key: &RunKey) -> Option<Rc<Terminal>> {
        self.entries.borrow().get(key)?.terminal.clone()
    }

    /// Tells the supervisor of the run led by `pid`, if there is one.
    pub(crate) fn reaped(&self, pid: Pid, exit: Exit) {
        let mut entries = self.entries.borrow_mut();
        let waiting = entries
            .values_mut()
            .find(|entry| entry.leader == Some(pid) && entry.exit.is_some());
        if let Some(told) = waiting.and_then(|entry| entry.exit.take()) {
            let _supervisor_gone = told.send(exit);
        }
    }

    /// What a hello says.
    pub(crate) fn known_runs(&self) -> Vec<KnownRun> {
        let phase = |entry: &Entry| match entry.ended_at {
            None => RunPhase::Alive,
            Some(_) => RunPhase::Exited,
        };
        self.entries
            .borrow()
            .iter()
            .map(|(key, entry)| KnownRun {
                run_id: key.run_id.clone(),
                attempt_number: key.attempt_number,
                phase: phase(entry).into(),
                input_received: entry.input_received,
                idle: entry
                    .terminal
                    .as_ref()
                    .is_some_and(|terminal| terminal.is_idle()),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> RunKey {
        RunKey {
            run_id: "run".into(),
            attempt_number: 1,
        }
    }

    fn phases(registry: &Registry) -> Vec<RunPhase> {
        registry.known_runs().iter().map(KnownRun::phase).collect()
    }

    #[test]
    fn a_run_is_known_until_its_end_is_acknowledged() {
        let registry = Registry::default();
        let (_lines, _exit) = registry.started(key(), Pid::from_raw(9), None);
        registry.forget_before(100);
        assert_eq!(phases(&registry), [RunPhase::Alive]);
        registry.ended(key(), Some(100));
        registry.forget_before(100);
        assert_eq!(phases(&registry), [RunPhase::Exited]);
        registry.forget_before(101);
        assert_eq!(phases(&registry), []);
    }

    #[test]
    fn a_process_number_used_again_is_not_taken_for_the_run_that_had_it() {
        let registry = Registry::default();
        let (_lines, mut exit) = registry.started(key(), Pid::from_raw(9), None);
        let first = Exit {
            code: Some(1),
            ..Exit::default()
        };
        registry.reaped(Pid::from_raw(9), first.clone());
        registry.reaped(
            Pid::from_raw(9),
            Exit {
                code: Some(2),
                ..Exit::default()
            },
        );
        assert_eq!(exit.try_recv(), Ok(first));
    }
}
