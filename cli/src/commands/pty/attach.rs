//! Working in a PTY: this terminal is its terminal, until it ends or one leaves.
//!
//! A connection that is lost is made anew, from the byte after the last that was shown. Of what is typed one piece at a
//! time is on its way: after a loss the PTY's own offset says whether it was taken.

use std::time::Duration;

use helmr_api::client::{Attachment, Client, Error, Seen};
use helmr_api::error::Code;
use helmr_api::http::ptys::{Pty, Told};
use helmr_domain::PtyId;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until};

use super::escape::{HELP, Key};
use super::keyboard::Keyboard;
use super::replay::without_questions;
use crate::commands::workspace::exec::end_as;
use crate::context::Context;
use crate::error::CommandError;
use crate::output::Output;
use crate::terminal::{self, Raw};

/// Of one message.
const PIECE_BYTES: usize = 32 << 10;
/// Between attempts to connect again.
const PAUSE: Duration = Duration::from_millis(300);
/// How long a loss is not worth a word.
const SAID_AFTER: Duration = Duration::from_secs(2);
/// What programs may have set and not set back: the other screen, a hidden cursor, mouse and paste reports, colours.
const SET_BACK: &[u8] =
    b"\x1b[?1047l\x1b[?25h\x1b[?1l\x1b>\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[m\r\n";

/// What there is to see at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// It was made just now: everything, in the size that it has.
    Fresh,
    /// The newest of what was printed, and its programs draw anew.
    Later,
}

/// How it came to an end.
enum Over {
    Ended(Box<Pty>),
    Left,
}

pub(crate) async fn run(
    pty: &Pty,
    begin: Begin,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let mut viewer = Viewer {
        client,
        pty: pty.id,
        output: context.output,
        raw: Raw::enter()?,
        keyboard: Keyboard::new(),
        winch: heard(SignalKind::window_change())?,
        leaving: [
            heard(SignalKind::terminate())?,
            heard(SignalKind::hangup())?,
        ],
        shown: (begin == Begin::Fresh).then_some(pty.output.start),
        replayed_to: 0,
        redraw: begin == Begin::Later,
        typed: Vec::new(),
        on_its_way: None,
        attached: false,
        input_end: pty.input.end,
    };
    let over = viewer.work().await;
    if !matches!(&over, Ok(Over::Ended(pty)) if pty.exit_code.is_some()) {
        context.output.error_bytes(SET_BACK);
    }
    drop(viewer);
    match over? {
        Over::Ended(pty) => end_as(pty.state, pty.exit_code, pty.signal, pty.error.as_deref()),
        Over::Left => {
            let id = pty.id;
            context
                .output
                .note(&format!("Left; it goes on: helmr pty attach {id}"));
            Ok(())
        }
    }
}

fn heard(kind: SignalKind) -> Result<Signal, CommandError> {
    signal(kind).map_err(|error| CommandError::failed("listen for signals").because(&error))
}

struct Viewer<'a> {
    client: &'a Client,
    pty: PtyId,
    output: Output,
    raw: Raw,
    keyboard: Keyboard,
    winch: Signal,
    leaving: [Signal; 2],
    /// Offset behind the last byte that was shown; `None`: nothing was.
    shown: Option<u64>,
    /// What lies before it was printed before this command looked.
    replayed_to: u64,
    /// Its programs are to draw anew.
    redraw: bool,
    /// Not sent yet.
    typed: Vec<u8>,
    on_its_way: Option<Vec<u8>>,
    /// This connection has said how far the input has come; nothing is typed before that.
    attached: bool,
    /// Where the PTY's input ended when the last piece was taken.
    input_end: u64,
}

impl Viewer<'_> {
    async fn work(&mut self) -> Result<Over, CommandError> {
        loop {
            let Some(mut attachment) = self.connect().await? else {
                return Ok(Over::Left);
            };
            if let Some(over) = self.attend(&mut attachment).await? {
                return Ok(over);
            }
        }
    }

    /// Attaches, as often as it takes. `None`: one leaves meanwhile.
    async fn connect(&mut self) -> Result<Option<Attachment>, CommandError> {
        let say_at = Instant::now() + SAID_AFTER;
        let mut said = false;
        loop {
            let attaching = self.client.attach_pty(self.pty, self.shown);
            tokio::pin!(attaching);
            let error = loop {
                tokio::select! {
                    attached = &mut attaching => match attached {
                        Ok(attachment) => return Ok(Some(attachment)),
                        Err(error) => break error,
                    },
                    key = self.keyboard.next() => if self.offline(key)? { return Ok(None) },
                    () = left(&mut self.leaving) => return Ok(None),
                    () = sleep_until(say_at), if !said => {
                        said = true;
                        self.say_lost();
                    }
                }
            };
            if error.code() == Some(Code::CursorExpired.as_str()) {
                self.shown = None;
                self.redraw = true;
                continue;
            }
            if !error.is_passing() {
                return Err(error.into());
            }
            let pause = sleep(PAUSE);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    key = self.keyboard.next() => if self.offline(key)? { return Ok(None) },
                    () = left(&mut self.leaving) => return Ok(None),
                    () = sleep_until(say_at), if !said => {
                        said = true;
                        self.say_lost();
                    }
                }
            }
        }
    }

    fn say_lost(&mut self) {
        self.output
            .error_bytes(b"\r\n[helmr: no connection; trying again. ~. leaves]\r\n");
        self.redraw = true;
    }

    /// A key while there is no connection. True: one leaves.
    fn offline(&mut self, key: Key) -> Result<bool, CommandError> {
        match key {
            Key::Leave => return Ok(true),
            Key::Typed(bytes) => self.typed.extend(bytes),
            Key::Help => self.output.error_bytes(HELP.as_bytes()),
            Key::Suspend => self.raw.suspend()?,
            Key::Redraw => self.redraw = true,
            // Nobody could be told.
            Key::HangUp => self.output.error_bytes(b"\x07"),
        }
        Ok(false)
    }

    /// Shows and types for as long as the connection lasts. `None`: it is lost.
    async fn attend(&mut self, attachment: &mut Attachment) -> Result<Option<Over>, CommandError> {
        self.attached = false;
        loop {
            if self.attached && self.on_its_way.is_none() && !self.typed.is_empty() {
                let rest = self.typed.split_off(self.typed.len().min(PIECE_BYTES));
                let piece = std::mem::replace(&mut self.typed, rest);
                self.on_its_way = Some(piece.clone());
                if attachment.type_in(piece).await.is_err() {
                    return Ok(None);
                }
            }
            tokio::select! {
                seen = attachment.next() => match seen {
                    Ok(Seen::Printed(bytes)) => self.show(&bytes)?,
                    Ok(Seen::Told(told)) => {
                        if let Some(over) = self.told(told, attachment).await? {
                            return Ok(Some(over));
                        }
                    }
                    Err(error) if error.is_passing() => return Ok(None),
                    Err(error) => return Err(error.into()),
                },
                key = self.keyboard.next() => match key {
                    Key::Typed(bytes) => self.typed.extend(bytes),
                    Key::Leave => return Ok(Some(Over::Left)),
                    Key::HangUp => { self.client.close_pty(self.pty).await?; }
                    Key::Redraw => if lost(resize(attachment).await)? { return Ok(None) },
                    Key::Suspend => {
                        self.raw.suspend()?;
                        if lost(resize(attachment).await)? { return Ok(None) }
                    }
                    Key::Help => self.output.error_bytes(HELP.as_bytes()),
                },
                Some(()) = self.winch.recv() => if lost(resize(attachment).await)? { return Ok(None) },
                () = left(&mut self.leaving) => return Ok(Some(Over::Left)),
            }
        }
    }

    async fn told(
        &mut self,
        told: Told,
        attachment: &mut Attachment,
    ) -> Result<Option<Over>, CommandError> {
        match told {
            Told::Attached { pty, cursor } => self.attached(&pty, &cursor, attachment).await?,
            Told::Skipped { cursor } => self.shown = cursor.parse().ok(),
            Told::Accepted { input } => {
                self.on_its_way = None;
                self.input_end = input;
            }
            // Whose size it is now is for others to see.
            Told::Resized { .. } => {}
            Told::Ended { pty } => return Ok(Some(Over::Ended(pty))),
            Told::Refused { error } => {
                return Err(Error::Refused {
                    status: 400,
                    detail: error,
                }
                .into());
            }
        }
        Ok(None)
    }

    async fn attached(
        &mut self,
        pty: &Pty,
        cursor: &str,
        attachment: &mut Attachment,
    ) -> Result<(), CommandError> {
        if self.shown.is_none() {
            self.replayed_to = pty.output.end;
        }
        self.shown = cursor.parse().ok();
        if let Some(piece) = self.on_its_way.take()
            && pty.input.end <= self.input_end
        {
            // It did not arrive.
            self.typed.splice(..0, piece);
        }
        self.input_end = pty.input.end;
        self.attached = true;
        let differs = terminal::size().is_some_and(|size| size != (pty.cols, pty.rows));
        if (differs || self.redraw) && !pty.state.is_final() {
            // If it is lost meanwhile, the next connection begins with this.
            self.redraw = lost(resize(attachment).await)?;
        }
        Ok(())
    }

    fn show(&mut self, bytes: &[u8]) -> Result<(), CommandError> {
        let from = self.shown.unwrap_or(0);
        self.shown = Some(from + bytes.len() as u64);
        let old = usize::try_from(self.replayed_to.saturating_sub(from)).unwrap_or(usize::MAX);
        let (old, new) = bytes.split_at(old.min(bytes.len()));
        if !old.is_empty() {
            self.output.bytes(&without_questions(old))?;
        }
        self.output.bytes(new)
    }
}

/// Gives a PTY this terminal's size.
async fn resize(attachment: &mut Attachment) -> Result<(), Error> {
    match terminal::size() {
        Some((cols, rows)) => attachment.resize(cols, rows).await,
        None => Ok(()),
    }
}

/// Whether the connection is lost.
fn lost(sent: Result<(), Error>) -> Result<bool, CommandError> {
    match sent {
        Ok(()) => Ok(false),
        Err(error) if error.is_passing() => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// This program is told to end. Cancel-safe.
async fn left([terminate, hangup]: &mut [Signal; 2]) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}
