//! A PTY: a process that people run in a machine (see [`crate::exec`]), and the terminal that it has.
//!
//! What becomes of the process is decided there; here is what a terminal adds: a size, rest, and a hang-up.

use crate::{Decision, Refusal, exec};

/// Of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Size {
    cols: u16,
    rows: u16,
}

impl Size {
    /// For whom no other is asked for.
    pub const USUAL: Self = Self { cols: 80, rows: 24 };
    /// Either way.
    pub const LARGEST: u16 = 500;

    /// `None` if it is larger than a terminal may be, or nothing at all.
    #[must_use]
    pub const fn new(cols: u16, rows: u16) -> Option<Self> {
        if cols == 0 || rows == 0 || cols > Self::LARGEST || rows > Self::LARGEST {
            return None;
        }
        Some(Self { cols, rows })
    }

    #[must_use]
    pub const fn cols(self) -> u16 {
        self.cols
    }

    #[must_use]
    pub const fn rows(self) -> u16 {
        self.rows
    }
}

/// What a terminal adds to its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pty {
    pub size: Size,
    /// How many times a size was set. The machine is told of each once, also of the same size again: it makes programs
    /// draw anew.
    pub resizes: u64,
    /// Its shell is in the foreground, and nothing was typed or printed for a while: its machine may park.
    pub idle: bool,
    /// It is hung up.
    pub closed: bool,
}

impl Pty {
    #[must_use]
    pub const fn new(size: Size) -> Self {
        Self {
            size,
            resizes: 0,
            idle: false,
            closed: false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Resize(Size),
    /// Something is typed.
    Type,
    /// The machine tells whether it is idle. `pending`: something was typed that the machine has not taken yet.
    Rest {
        idle: bool,
        pending: bool,
    },
    Close,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Its machine is to be told.
    Tell,
    /// A machine that is parked has something to do again.
    Wake,
    /// Everything in it is told that the terminal has gone, and killed if it does not end by that.
    HangUp,
}

/// Says what `command` does to a terminal whose process is in `process`. Performs nothing.
///
/// # Errors
/// `PtyEnded` for a resize of one that has ended.
pub fn decide(
    pty: &Pty,
    process: &exec::State,
    command: Command,
) -> Result<Decision<Pty, Effect>, Refusal> {
    match command {
        Command::Resize(_) if process.is_final() => Err(Refusal::PtyEnded),
        // A parked machine is not woken for it: it is told when it wakes.
        Command::Resize(size) => Ok(Decision::to(Pty {
            size,
            resizes: pty.resizes + 1,
            ..*pty
        })
        .effect(Effect::Tell)),
        Command::Type | Command::Rest { .. } | Command::Close if process.is_final() => {
            Ok(Decision::unchanged())
        }
        Command::Type if pty.idle => Ok(Decision::to(Pty {
            idle: false,
            ..*pty
        })
        .effect(Effect::Wake)),
        Command::Type => Ok(Decision::unchanged()),
        Command::Rest { idle, pending } => {
            // What the machine does not know yet will make it busy.
            let idle = idle && !pending && !pty.closed;
            Ok(if idle == pty.idle {
                Decision::unchanged()
            } else {
                Decision::to(Pty { idle, ..*pty })
            })
        }
        Command::Close if pty.closed => Ok(Decision::unchanged()),
        Command::Close => Ok(Decision::to(Pty {
            idle: false,
            closed: true,
            ..*pty
        })
        .effect(Effect::HangUp)
        .effect(Effect::Wake)),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use crate::Timestamp;

    const RUNNING: exec::State = exec::State::Running {
        since: Timestamp::from_micros(1),
    };
    const ENDED: exec::State = exec::State::Exited { code: 0 };
    const BUSY: Pty = Pty::new(Size::USUAL);
    const IDLE: Pty = Pty { idle: true, ..BUSY };
    const CLOSED: Pty = Pty {
        closed: true,
        ..BUSY
    };

    #[track_caller]
    fn check(pty: Pty, command: Command, next: Option<Pty>, effects: &[Effect]) {
        let decided = decide(&pty, &RUNNING, command).unwrap();
        assert_eq!((decided.next, decided.effects.as_slice()), (next, effects));
    }

    #[test]
    fn a_size_has_both_ways_something_and_not_too_much() {
        assert_eq!(Size::new(80, 24), Some(Size::USUAL));
        assert!(Size::new(500, 500).is_some() && Size::new(1, 1).is_some());
        for (cols, rows) in [(0, 24), (80, 0), (501, 24), (80, 501)] {
            assert_eq!(Size::new(cols, rows), None, "{cols}×{rows}");
        }
    }

    #[test]
    fn each_resize_counts_and_wakes_nothing() {
        let size = Size::new(100, 30).unwrap();
        let once = Pty {
            size,
            resizes: 1,
            ..IDLE
        };
        check(IDLE, Command::Resize(size), Some(once), &[Effect::Tell]);
        let twice = Pty { resizes: 2, ..once };
        check(once, Command::Resize(size), Some(twice), &[Effect::Tell]);
    }

    #[test]
    fn typing_ends_the_rest_of_an_idle_one() {
        check(IDLE, Command::Type, Some(BUSY), &[Effect::Wake]);
        check(BUSY, Command::Type, None, &[]);
    }

    #[test]
    fn it_rests_when_its_machine_says_so_and_nothing_is_on_its_way() {
        let rest = |idle, pending| Command::Rest { idle, pending };
        check(BUSY, rest(true, false), Some(IDLE), &[]);
        check(IDLE, rest(true, false), None, &[]);
        check(IDLE, rest(false, false), Some(BUSY), &[]);
        check(BUSY, rest(true, true), None, &[]);
        check(CLOSED, rest(true, false), None, &[]);
    }

    #[test]
    fn it_is_hung_up_once() {
        check(
            IDLE,
            Command::Close,
            Some(CLOSED),
            &[Effect::HangUp, Effect::Wake],
        );
        check(CLOSED, Command::Close, None, &[]);
    }

    #[test]
    fn one_that_has_ended_takes_no_size_and_changes_no_more() {
        for command in [
            Command::Type,
            Command::Close,
            Command::Rest {
                idle: true,
                pending: false,
            },
        ] {
            let decided = decide(&BUSY, &ENDED, command).unwrap();
            assert_eq!((decided.next, decided.effects.len()), (None, 0));
        }
        let resized = decide(&BUSY, &ENDED, Command::Resize(Size::USUAL));
        assert_eq!(resized, Err(Refusal::PtyEnded));
    }
}
