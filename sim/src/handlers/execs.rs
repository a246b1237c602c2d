//! What workers post of execs.

use helmr_domain::Refusal;
use helmr_domain::exec::End;
use helmr_store::Error;
use helmr_store::execs::{self, AppendOutput, Fenced, Piece};

use super::reply_to;
use crate::event::{Printed, Reply};
use crate::ready;
use crate::violation::{Checked, hold};
use crate::world::World;

/// What a worker is given in one answer.
const INPUT_BYTES: u64 = 256 << 10;

impl World<'_> {
    pub(super) fn exec_started(&mut self, fence: Fenced) -> Checked<Reply> {
        let who = self.holder(fence.lease);
        let at = self.moment();
        let done = ready(execs::started(&self.base.store, fence, at));
        self.report(who, done)
    }

    pub(super) fn exec_ended(&mut self, fence: Fenced, end: &End) -> Checked<Reply> {
        let who = self.holder(fence.lease);
        let at = self.moment();
        let done = ready(execs::ended(&self.base.store, fence, end.clone(), at));
        self.report(who, done)
    }

    pub(super) fn exec_printed(&mut self, fence: Fenced, printed: Printed) -> Checked<Reply> {
        let who = self.holder(fence.lease);
        let exec = match ready(execs::place_of(&self.base.store, fence)) {
            Ok((_, exec)) => exec,
            Err(error) => return reply_to(error),
        };
        // A repeat may overlap what is there. Now and then one is told that read the window before the other came.
        let there = exec.window(printed.stream).end;
        let overlap = there.saturating_sub(printed.offset).min(printed.size);
        let known = if self.dice.roll(4) == 0 { 0 } else { overlap };
        let mut pieces = Vec::new();
        if printed.size > known {
            let piece = Piece {
                offset: printed.offset + known,
                size_bytes: printed.size - known,
                sealed: vec![0],
            };
            pieces.push((printed.stream, piece));
        }
        let done = ready(execs::append_output(
            &self.base.store,
            AppendOutput { fence, pieces },
        ));
        let out_of_step = matches!(done, Err(Error::Refused(Refusal::LogOutOfStep { .. })));
        hold!(
            !out_of_step || (known == 0 && overlap > 0),
            "output goes on where it ended",
            "{printed:?} of {exec:?}: {done:?}"
        );
        let reply = self.report(who, done)?;
        hold!(
            overlap < printed.size || !self.shadow.step.changed,
            "every accepted call has one effect",
            "{printed:?} of {exec:?} was kept again"
        );
        Ok(reply)
    }

    pub(super) fn exec_taken(
        &mut self,
        fence: Fenced,
        offset: u64,
        closed: bool,
    ) -> Checked<Reply> {
        let who = self.holder(fence.lease);
        let done = ready(execs::input_taken(&self.base.store, fence, offset, closed));
        self.report(who, done)
    }

    pub(super) fn exec_input(&mut self, fence: Fenced, offset: u64) -> Checked<Reply> {
        let input = match ready(execs::read_input(&self.base.store, fence, offset)) {
            Ok(input) => input,
            Err(error) => return reply_to(error),
        };
        // What the process has taken is gone. Only a request whose answer nobody waits for any more asks for it.
        if offset < input.exec.stdin.taken {
            return Ok(Reply::Refused("refused"));
        }
        let mut reached = offset;
        for piece in &input.pieces {
            if reached - offset >= INPUT_BYTES {
                break;
            }
            hold!(
                piece.offset <= reached,
                "input offsets are contiguous",
                "{input:?} is read from {offset}"
            );
            reached = reached.max(piece.offset + piece.size_bytes);
        }
        let size = (reached - offset).min(INPUT_BYTES);
        Ok(Reply::Input {
            size,
            end: input.ends_at(offset + size),
        })
    }
}
