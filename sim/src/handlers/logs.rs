//! What runs print and log: cut as the control plane cuts it, so that what is kept stays within the run's budget.

use helmr_domain::{Refusal, Timestamp};
use helmr_store::Error;
use helmr_store::execs::Stream;
use helmr_store::runs::{self, AppendEntries, AppendLog, Entry, LogStream, Sealed};
use helmr_store::worker::RunFence;

use crate::event::{Printed, Reply};
use crate::ready;
use crate::violation::{Checked, broken, hold};
use crate::world::World;

fn sealed(size_bytes: u64) -> Option<Sealed> {
    (size_bytes > 0).then(|| Sealed {
        size_bytes,
        sealed: vec![0],
    })
}

impl World<'_> {
    pub(super) fn printed(&mut self, fence: RunFence, printed: Printed) -> Checked<Reply> {
        let who = self.holder(fence.lease);
        let stream = match printed.stream {
            Stream::Stdout => LogStream::Stdout,
            Stream::Stderr => LogStream::Stderr,
        };
        let store = &self.base.store;
        let position = ready(runs::log_position(
            store,
            fence.run_id,
            fence.attempt,
            stream,
        ))
        .map_err(|error| broken(&error))?;
        // A repeat may overlap what is there. Now and then one is told that read the position before the other came.
        let raced = self.dice.roll(4) == 0;
        let overlap = position.received_bytes.saturating_sub(printed.offset);
        let known = if raced { 0 } else { overlap.min(printed.size) };
        let fresh = printed.size - known;
        if fresh == 0 {
            return Ok(Reply::Done);
        }
        let waiting = position.tail.as_ref().map_or(0, |tail| tail.size_bytes);
        let there = waiting + fresh;
        let tail = u64::from(printed.split);
        let fits = there <= position.left_bytes;
        let (kept, tail) = if fits {
            (there - tail, tail)
        } else {
            // Up to where a character ends.
            (position.left_bytes.saturating_sub(tail), 0)
        };
        // What another stream of the run may have taken meanwhile.
        let greedy = !fits && position.left_bytes > 0 && self.dice.roll(2) == 0;
        let input = AppendLog {
            at: self.moment(),
            fence,
            stream,
            offset: printed.offset + known,
            size_bytes: fresh,
            kept: sealed(if greedy { there } else { kept }),
            tail: sealed(tail),
        };
        let done = ready(runs::append_log(&self.base.store, input));
        if let Err(Error::Refused(Refusal::LogOverBudget { .. })) = done {
            self.settle(who)?;
            hold!(
                greedy && !self.shadow.step.changed,
                "no more is kept of a run than its budget",
                "{printed:?} of {position:?}"
            );
            // It is cut anew.
            return self.printed(fence, printed);
        }
        hold!(
            !matches!(done, Err(Error::Refused(Refusal::LogOutOfStep { .. })))
                || (raced && overlap > 0),
            "output goes on where it ended",
            "{printed:?} of {fence:?}: {done:?}"
        );
        if raced && overlap > 0 && overlap < printed.size {
            // Part of it was known: it is cut anew.
            self.settle(who)?;
            return self.printed(fence, printed);
        }
        let accepted = done.is_ok();
        let reply = self.report(who, done)?;
        hold!(
            !(accepted && greedy && overlap == 0),
            "no more is kept of a run than its budget",
            "{printed:?} of {position:?}"
        );
        hold!(
            overlap < printed.size || !self.shadow.step.changed,
            "every accepted call has one effect",
            "{printed:?} of {fence:?} was kept again"
        );
        Ok(reply)
    }

    pub(super) fn logged(&mut self, fence: RunFence, index: u64) -> Checked<Reply> {
        let who = self.holder(fence.lease);
        let at = self.moment();
        let before = self.shadow.runs.get(&fence.run_id);
        let known = before.is_some_and(|run| run.entries >= index && run.attempt == fence.attempt);
        let entry = Entry {
            index,
            level: "info".to_owned(),
            message: "it goes on".to_owned(),
            fields: None,
            logged_at: Timestamp::from_micros(0),
        };
        let input = AppendEntries {
            at,
            fence,
            entries: vec![entry],
        };
        let done = ready(runs::append_entries(&self.base.store, input));
        let accepted = done.is_ok();
        let reply = self.report(who, done)?;
        let told = self.shadow.step.logged;
        let run = self.shadow.runs.get(&fence.run_id);
        let cut = run.is_some_and(|run| run.entries_cut == 1);
        let expected = usize::from(accepted && !known);
        hold!(
            told == expected || (cut && told == 0),
            "every accepted call has one effect",
            "entry {index} of {fence:?} was told {told} times"
        );
        Ok(reply)
    }
}
