//! An exec's process in a machine's memory: it prints, reads its input, and ends by itself or by a signal.

use std::collections::VecDeque;

use helmr_domain::exec::End;
use helmr_store::execs::Stream;

use super::Next;
use crate::dice::Dice;
use crate::event::Printed;
use crate::plan::{MS, SECOND};

const SIGKILL: i32 = 9;

/// What the worker tells it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ExecLine {
    Start,
    Signal { signal: i32, number: usize },
    Input { offset: u64, size: u64, end: bool },
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Print {
        stream: Stream,
        size: u64,
    },
    /// Reads what there is, or waits for something.
    Read,
    /// Takes no more input.
    Close,
    Spin {
        span: i64,
    },
    /// Until a signal comes.
    Hang,
}

#[derive(Debug, Clone)]
pub(crate) enum Said {
    Printed(Printed),
    Taken { offset: u64, closed: bool },
    Exited(End),
}

#[derive(Debug, Clone)]
pub(crate) struct SaidAt {
    pub(crate) position: u64,
    pub(crate) said: Said,
    /// When the worker can have it.
    pub(crate) visible: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Spinning,
    Reading,
    Hanging,
    Gone,
}

#[derive(Debug, Clone)]
pub(crate) struct Exec {
    program: VecDeque<Op>,
    polite: bool,
    state: State,
    printed: [u64; 2],
    /// Of its input.
    pub(crate) received: u64,
    taken: u64,
    ended: bool,
    closed: bool,
    last_signal: usize,
    next_position: u64,
    pub(crate) outbox: VecDeque<SaidAt>,
}

fn draw_op(dice: &mut Dice) -> Op {
    match dice.roll(12) {
        0..=4 => Op::Print {
            stream: draw_stream(dice),
            // Now and then so much that the window moves on.
            size: match dice.roll(6) {
                0 => (1 + dice.roll(40)) << 20,
                _ => 1 + dice.roll(100_000),
            },
        },
        5..=8 => Op::Read,
        9 => Op::Close,
        10 if dice.roll(2) == 0 => Op::Hang,
        _ => Op::Spin {
            span: dice.span(10 * MS, 5 * SECOND),
        },
    }
}

pub(super) fn draw_stream(dice: &mut Dice) -> Stream {
    if dice.roll(3) == 0 {
        Stream::Stderr
    } else {
        Stream::Stdout
    }
}

impl Exec {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let length = dice.roll(6);
        Self {
            program: (0..length).map(|_| draw_op(dice)).collect(),
            polite: dice.roll(3) > 0,
            state: State::Ready,
            printed: [0, 0],
            received: 0,
            taken: 0,
            ended: false,
            closed: false,
            last_signal: 0,
            next_position: 1,
            outbox: VecDeque::new(),
        }
    }

    fn say(&mut self, said: Said, now: i64, dice: &mut Dice) {
        let before = self.outbox.back().map_or(0, |sent| sent.visible);
        self.outbox.push_back(SaidAt {
            position: self.next_position,
            said,
            visible: before.max(now + dice.span(100, 20 * MS)),
        });
        self.next_position += 1;
    }

    /// Everything it has printed.
    pub(crate) const fn printed(&self) -> [u64; 2] {
        self.printed
    }

    /// Runs up to where it must wait for something.
    pub(crate) fn step(&mut self, now: i64, dice: &mut Dice) -> Next {
        match self.state {
            State::Ready => {}
            State::Spinning => self.state = State::Ready,
            State::Reading if self.can_read() => self.read(now, dice),
            State::Reading | State::Hanging | State::Gone => return Next::Rest,
        }
        loop {
            let Some(op) = self.program.pop_front() else {
                let code = i32::try_from(dice.roll(3)).unwrap_or(0);
                self.exit(End::Exited { code }, now, dice);
                return Next::Rest;
            };
            match op {
                Op::Print { stream, size } => {
                    let printed = &mut self.printed[usize::from(stream == Stream::Stderr)];
                    let offset = *printed;
                    *printed += size;
                    let piece = Printed {
                        stream,
                        offset,
                        size,
                        split: false,
                    };
                    self.say(Said::Printed(piece), now, dice);
                }
                Op::Read if self.can_read() => self.read(now, dice),
                Op::Read => {
                    self.state = State::Reading;
                    return Next::Rest;
                }
                Op::Close if !self.closed => {
                    self.closed = true;
                    let taken = Said::Taken {
                        offset: self.taken,
                        closed: true,
                    };
                    self.say(taken, now, dice);
                }
                Op::Close => {}
                Op::Spin { span } => {
                    self.state = State::Spinning;
                    return Next::After(span);
                }
                Op::Hang => {
                    self.state = State::Hanging;
                    return Next::Rest;
                }
            }
        }
    }

    const fn can_read(&self) -> bool {
        self.closed || self.ended || self.received > self.taken
    }

    fn read(&mut self, now: i64, dice: &mut Dice) {
        self.state = State::Ready;
        if self.received > self.taken && !self.closed {
            self.taken = self.received;
            let taken = Said::Taken {
                offset: self.taken,
                closed: false,
            };
            self.say(taken, now, dice);
        }
    }

    fn exit(&mut self, end: End, now: i64, dice: &mut Dice) {
        self.state = State::Gone;
        self.say(Said::Exited(end), now, dice);
    }

    /// Input arrives. What it has already changes nothing. Answers whether it leaves no gap.
    pub(crate) fn input(&mut self, offset: u64, size: u64, end: bool) -> bool {
        if offset > self.received {
            return false;
        }
        if offset + size >= self.received {
            self.received = offset + size;
            self.ended |= end;
        }
        true
    }

    /// A signal arrives; one that it had before changes nothing.
    pub(crate) fn signal(&mut self, signal: i32, number: usize, now: i64, dice: &mut Dice) {
        if number <= self.last_signal {
            return;
        }
        self.last_signal = number;
        if self.state != State::Gone && (signal == SIGKILL || self.polite) {
            self.exit(End::Killed { signal }, now, dice);
        }
    }
}
