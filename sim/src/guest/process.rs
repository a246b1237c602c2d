//! A run's process: a small program, drawn, and what it has said and heard.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use helmr_domain::{SessionId, TokenId};
use helmr_store::execs::Stream;

use super::{Answer, Ask, Call, Frame, Kind, Next, Sent, Wait, exec};
use crate::dice::Dice;
use crate::event::Printed;
use crate::plan::{MS, SECOND};

/// One line of a task's program.
#[derive(Debug, Clone)]
enum Op {
    CreateToken {
        timeout: i64,
    },
    /// On the token made last.
    WaitToken {
        timeout: Option<i64>,
        hot: Option<i64>,
        kind: Kind,
    },
    WaitStream {
        correlation: Option<u8>,
        timeout: Option<i64>,
        hot: Option<i64>,
        kind: Kind,
    },
    Sleep {
        /// To a time of day, rather than for a span.
        until: bool,
        span: i64,
        timeout: Option<i64>,
        kind: Kind,
    },
    /// Waits no more for what it began to wait for last beside the others.
    Drop,
    Append {
        awaited: bool,
    },
    Print {
        stream: Stream,
        size: u64,
        split: bool,
    },
    Log,
    Increment,
    Spin {
        span: i64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Succeed,
    Fail,
    Exit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    Blocked(u64),
    Spinning,
    /// It has said its last; the exit comes.
    Leaving,
    /// Told to stop, and does not.
    Stubborn,
    Gone,
}

#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) session: SessionId,
    program: Rc<[Op]>,
    end: End,
    polite: bool,
    at: usize,
    pub(crate) state: State,
    next_call: u64,
    next_position: u64,
    /// Calls without an answer.
    pub(crate) pending: BTreeMap<u64, Call>,
    pub(crate) outbox: VecDeque<Sent>,
    token: Option<TokenId>,
    /// The call and sequence of the last record that it heard of.
    pub(crate) appended: (u64, u64),
    /// Calls of waits that do not block, not dropped yet.
    listening: Vec<u64>,
    /// Calls of waits that were dropped before they had an outcome.
    pub(crate) dropped: BTreeSet<u64>,
    printed: [u64; 2],
    stopping: bool,
}

fn draw_op(dice: &mut Dice) -> Op {
    let timeout = |dice: &mut Dice| (dice.roll(2) == 0).then(|| dice.span(0, 8 * SECOND));
    let hot = |dice: &mut Dice| match dice.roll(4) {
        0 => Some(0),
        1 => Some(100 * MS),
        _ => None,
    };
    let kind = |dice: &mut Dice| match dice.roll(8) {
        0 => Kind::Once,
        1 => Kind::On,
        _ => Kind::Blocking,
    };
    match dice.roll(20) {
        0 | 1 => Op::CreateToken {
            timeout: dice.span(SECOND, 40 * SECOND),
        },
        2..=5 => Op::WaitToken {
            timeout: timeout(dice),
            hot: hot(dice),
            kind: kind(dice),
        },
        6..=9 => Op::WaitStream {
            correlation: (dice.roll(3) == 0).then(|| u8::from(dice.roll(2) == 0)),
            timeout: timeout(dice),
            hot: hot(dice),
            kind: kind(dice),
        },
        10 | 11 => Op::Sleep {
            until: dice.roll(4) == 0,
            span: dice.span(0, 10 * SECOND),
            timeout: timeout(dice).filter(|_| dice.roll(4) == 0),
            kind: kind(dice),
        },
        12 | 13 => Op::Append {
            awaited: dice.roll(3) > 0,
        },
        14 => Op::Increment,
        15 => Op::Drop,
        16 | 17 => Op::Print {
            stream: exec::draw_stream(dice),
            // Now and then so much that the budget ends.
            size: match dice.roll(3) {
                0 => (1 + dice.roll(80)) << 20,
                _ => 1 + dice.roll(100_000),
            },
            split: dice.roll(3) == 0,
        },
        18 => Op::Log,
        _ => Op::Spin {
            span: dice.span(10 * MS, 6 * SECOND),
        },
    }
}

impl Process {
    pub(crate) fn draw(session: SessionId, dice: &mut Dice) -> Self {
        let length = dice.roll(6);
        let mut program = Vec::new();
        for _ in 0..length {
            let op = draw_op(dice);
            if matches!(op, Op::WaitToken { .. }) {
                program.push(Op::CreateToken {
                    timeout: dice.span(SECOND, 40 * SECOND),
                });
            }
            program.push(op);
        }
        let end = match dice.roll(8) {
            0 => End::Fail,
            1 => End::Exit,
            _ => End::Succeed,
        };
        Self {
            session,
            program: program.into(),
            end,
            polite: dice.roll(3) > 0,
            at: 0,
            state: State::Ready,
            next_call: 1,
            next_position: 1,
            pending: BTreeMap::new(),
            outbox: VecDeque::new(),
            token: None,
            appended: (0, 0),
            listening: Vec::new(),
            dropped: BTreeSet::new(),
            printed: [0, 0],
            stopping: false,
        }
    }

    pub(crate) fn say(&mut self, frame: Frame, now: i64, dice: &mut Dice) {
        let before = self.outbox.back().map_or(0, |sent| sent.visible);
        self.outbox.push_back(Sent {
            position: self.next_position,
            frame,
            visible: before.max(now + dice.span(100, 20 * MS)),
        });
        self.next_position += 1;
    }

    fn call(&mut self, ask: Ask, now: i64, nonces: &mut u64, dice: &mut Dice) -> u64 {
        *nonces += 1;
        let call = Call {
            no: self.next_call,
            nonce: *nonces,
            ask,
        };
        self.next_call += 1;
        self.pending.insert(call.no, call.clone());
        let no = call.no;
        self.say(Frame::Call(call), now, dice);
        no
    }

    /// Runs up to where it must wait for something.
    pub(crate) fn step(&mut self, now: i64, nonces: &mut u64, dice: &mut Dice) -> Next {
        match self.state {
            State::Ready => {}
            State::Spinning => self.state = State::Ready,
            State::Leaving => {
                self.state = State::Gone;
                self.say(Frame::Exited { killed: false }, now, dice);
                return Next::Rest;
            }
            State::Blocked(_) | State::Stubborn | State::Gone => return Next::Rest,
        }
        loop {
            if self.stopping {
                return self.stop(now, dice);
            }
            let Some(op) = self.program.get(self.at).cloned() else {
                return self.finish(now, dice);
            };
            self.at += 1;
            let waits_for = match op {
                Op::CreateToken { timeout } => {
                    Some(self.call(Ask::CreateToken { timeout }, now, nonces, dice))
                }
                Op::Append { awaited } => {
                    let no = self.call(Ask::Append, now, nonces, dice);
                    awaited.then_some(no)
                }
                Op::Increment => Some(self.call(Ask::Increment, now, nonces, dice)),
                Op::Spin { span } => {
                    self.state = State::Spinning;
                    return Next::After(span);
                }
                Op::WaitToken { timeout, hot, kind } => {
                    let Some(token) = self.token else { continue };
                    let wait = Wait { timeout, hot, kind };
                    let no = self.call(Ask::WaitToken { token, wait }, now, nonces, dice);
                    self.listen(no, kind)
                }
                Op::WaitStream {
                    correlation,
                    timeout,
                    hot,
                    kind,
                } => {
                    let wait = Wait { timeout, hot, kind };
                    let no = self.call(Ask::WaitStream { correlation, wait }, now, nonces, dice);
                    self.listen(no, kind)
                }
                Op::Sleep {
                    until,
                    span,
                    timeout,
                    kind,
                } => {
                    let wait = Wait {
                        timeout,
                        hot: None,
                        kind,
                    };
                    let no = self.call(Ask::WaitTimer { until, span, wait }, now, nonces, dice);
                    self.listen(no, kind)
                }
                Op::Drop => {
                    let Some(call) = self.listening.pop() else {
                        continue;
                    };
                    Some(self.call(Ask::Drop { call }, now, nonces, dice))
                }
                Op::Print {
                    stream,
                    size,
                    split,
                } => {
                    let printed = &mut self.printed[usize::from(stream == Stream::Stderr)];
                    let offset = *printed;
                    *printed += size;
                    let piece = Printed {
                        stream,
                        offset,
                        size,
                        split,
                    };
                    self.say(Frame::Printed(piece), now, dice);
                    None
                }
                Op::Log => {
                    self.say(Frame::Logged, now, dice);
                    None
                }
            };
            if let Some(no) = waits_for {
                self.state = State::Blocked(no);
                return Next::Rest;
            }
        }
    }

    /// Notes how a wait was begun. Gives the call to stop at, if it blocks.
    fn listen(&mut self, no: u64, kind: Kind) -> Option<u64> {
        if kind == Kind::Blocking {
            return Some(no);
        }
        self.listening.push(no);
        None
    }

    fn finish(&mut self, now: i64, dice: &mut Dice) -> Next {
        // The runtime ends when every write that was begun has its answer.
        if let Some(no) = self.unanswered_write() {
            self.state = State::Blocked(no);
            return Next::Rest;
        }
        match self.end {
            End::Succeed => {
                let word = self.last_word(true);
                self.say(word, now, dice);
            }
            End::Fail => {
                let word = self.last_word(false);
                self.say(word, now, dice);
            }
            End::Exit => {}
        }
        self.state = State::Leaving;
        Next::After(dice.span(MS, 500 * MS))
    }

    fn unanswered_write(&self) -> Option<u64> {
        let mut writes = self.pending.values();
        writes
            .find(|call| matches!(call.ask, Ask::Append | Ask::Drop { .. }))
            .map(|call| call.no)
    }

    fn last_word(&self, success: bool) -> Frame {
        let waits = self.pending.values();
        let untaken = waits
            .filter(|call| call.ask.is_wait())
            .map(|call| call.no)
            .collect();
        Frame::Finished { success, untaken }
    }

    fn stop(&mut self, now: i64, dice: &mut Dice) -> Next {
        if !self.polite {
            self.state = State::Stubborn;
            return Next::Rest;
        }
        let word = self.last_word(false);
        self.say(word, now, dice);
        self.state = State::Leaving;
        Next::After(dice.span(MS, 500 * MS))
    }

    /// Takes an answer, once. `None`: nobody waits for it any more.
    pub(crate) fn take(&mut self, no: u64, answer: &Answer) -> Option<Call> {
        let call = self.pending.remove(&no)?;
        match answer {
            Answer::Token(token) => self.token = Some(*token),
            Answer::Appended { sequence, .. } => self.appended = (no, *sequence),
            Answer::Dropped(dropped) => {
                if let (Ask::Drop { call: waited }, true) = (&call.ask, *dropped) {
                    self.pending.remove(waited);
                    self.dropped.insert(*waited);
                }
            }
            Answer::Counted | Answer::Outcome(_) => {}
            // The task does not catch it.
            Answer::Refused => {
                self.at = self.program.len();
                self.end = End::Fail;
            }
        }
        if self.state == State::Blocked(no) {
            self.state = State::Ready;
        }
        Some(call)
    }

    /// Tells it to stop: a wait inside throws.
    pub(crate) fn cancel(&mut self) {
        self.stopping = true;
        if matches!(self.state, State::Blocked(_) | State::Spinning) {
            self.state = State::Ready;
        }
    }

    pub(crate) fn kill(&mut self, now: i64, dice: &mut Dice) {
        if self.state != State::Gone {
            self.state = State::Gone;
            self.say(Frame::Exited { killed: true }, now, dice);
        }
    }
}
