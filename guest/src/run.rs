//! One run's process: its output and its runtime's lines go to the worker, the worker's lines to its runtime. An exec's
//! has no runtime: what the worker sends is its standard input, or typed on its terminal.
//!
//! Nothing is read that the worker has no room for, so a run that says more than its worker takes waits in its own
//! writes. The end is told after everything that was said before it.

use std::rc::Rc;
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use helmr_guest_wire::{
    Body, Exit, OutputChunk, OutputStream, RunExited, RunInputTaken, RunLine, RunOutput,
    TerminalRests,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe::Sender;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::channel::Channel;
use crate::lines::{Line, Splitter};
use crate::registry::RunKey;
use crate::spawn::{Feed, Source, Started};
use crate::terminal::Terminal;

const CHUNK_BYTES: usize = 64 << 10;
/// Output is not read while more than this waits for the worker.
const OUTPUT_ROOM_BYTES: usize = 1 << 20;
/// Lines go on longer, so that a flood of output does not hold up the runtime.
const LINES_ROOM_BYTES: usize = 16 << 20;
/// How long a descendant that holds a pipe can hold up the news of the end.
const AFTER_EXIT: Duration = Duration::from_millis(200);
/// More than this cannot have been in a pipe when the process ended, so it is of a descendant's making.
const AFTER_EXIT_BYTES: usize = 1 << 20;

/// Carries a run until its process is gone and what it said is queued; gives the position of the frame that tells so.
pub(crate) async fn supervise(
    key: RunKey,
    process: Started,
    lines: mpsc::UnboundedReceiver<Vec<u8>>,
    exit: oneshot::Receiver<Exit>,
    channel: Rc<Channel>,
) -> Option<u64> {
    let mut run = Run {
        key,
        channel,
        terminal: match &process.feed {
            Feed::Terminal(terminal) => Some(Rc::clone(terminal)),
            Feed::Channel(_) | Feed::Input(_) => None,
        },
        stdout: Output::new(OutputStream::Stdout, Some(process.stdout)),
        stderr: Output::new(OutputStream::Stderr, process.stderr),
        splitter: Splitter::default(),
    };
    let exit = run.carry(process.feed, lines, exit).await;
    // A server left behind must not be killed by its own next line: what it says goes nowhere, but it goes.
    for left in [run.stdout.source.take(), run.stderr.source.take()]
        .into_iter()
        .flatten()
    {
        tokio::task::spawn_local(discard(left));
    }
    run.channel.push(Body::RunExited(RunExited {
        run_id: run.key.run_id.clone(),
        attempt_number: run.key.attempt_number,
        exit: Some(exit),
    }))
}

struct Run {
    key: RunKey,
    channel: Rc<Channel>,
    terminal: Option<Rc<Terminal>>,
    stdout: Output,
    stderr: Output,
    splitter: Splitter,
}

/// What is known of the process's end.
struct Ended {
    exit: Exit,
    /// When what is still open is left.
    until: Instant,
    /// How much more is read.
    budget: usize,
    /// Whether the worker had no room: the time that took is not counted.
    held_up: bool,
}

impl Run {
    async fn carry(
        &mut self,
        feed: Feed,
        mut lines: mpsc::UnboundedReceiver<Vec<u8>>,
        mut exit: oneshot::Receiver<Exit>,
    ) -> Exit {
        let (mut reader, mut writer) = match feed {
            Feed::Channel(runtime) => {
                let (reader, writer) = runtime.into_split();
                (Some(reader), Some(Writer::Lines(writer)))
            }
            Feed::Input(input) => (None, Some(Writer::input(Sink::Pipe(input)))),
            Feed::Terminal(terminal) => (None, Some(Writer::input(Sink::Terminal(terminal)))),
        };
        let mut pending = BytesMut::new();
        let mut waiting = self.channel.watch_waiting();
        let mut ended: Option<Ended> = None;
        loop {
            let held = *waiting.borrow_and_update();
            let (output_room, lines_room) = (held < OUTPUT_ROOM_BYTES, held < LINES_ROOM_BYTES);
            if let Some(end) = &mut ended {
                if reader.is_none() && self.stdout.source.is_none() && self.stderr.source.is_none()
                    || end.budget == 0
                {
                    return std::mem::take(&mut end.exit);
                }
                // What the process said before its end waits in the pipes for as long as the worker has no room.
                if !output_room {
                    end.held_up = true;
                } else if std::mem::take(&mut end.held_up) {
                    end.until = Instant::now() + AFTER_EXIT;
                }
            }
            let until = ended.as_ref().map(|end| end.until);
            let rest = self
                .terminal
                .as_ref()
                .and_then(|terminal| terminal.look_at());
            // Every arm is cancel-safe: reads and writes move bytes only when they complete.
            let read = tokio::select! {
                chunk = self.stdout.read(), if output_room && self.stdout.source.is_some() => self.send_output(chunk),
                chunk = self.stderr.read(), if output_room && self.stderr.source.is_some() => self.send_output(chunk),
                read = read_some(&mut reader, self.splitter.input()), if lines_room && reader.is_some() => {
                    self.send_lines();
                    if read == 0 {
                        reader = None;
                        self.send_rest();
                    }
                    read
                }
                written = write_some(&mut writer, &mut pending), if writer.is_some() && !pending.is_empty() => {
                    self.wrote(&mut writer, written, pending.is_empty());
                    0
                }
                line = lines.recv(), if writer.is_some() && pending.is_empty() => {
                    match (line, &writer) {
                        (Some(line), Some(Writer::Lines(_))) => {
                            pending.put_slice(&line);
                            pending.put_u8(b'\n');
                        }
                        (Some(input), _) => pending.put_slice(&input),
                        // Dropping it is how an input ends.
                        (None, _) => writer = None,
                    }
                    0
                }
                () = sleep_until(rest.unwrap_or_else(Instant::now)), if rest.is_some() && ended.is_none() => {
                    self.look_for_rest().await;
                    0
                }
                status = &mut exit, if ended.is_none() => {
                    if let Some(terminal) = &self.terminal {
                        terminal.release();
                    }
                    let exit = status.unwrap_or_default();
                    let until = Instant::now() + AFTER_EXIT;
                    ended = Some(Ended { exit, until, budget: AFTER_EXIT_BYTES, held_up: false });
                    0
                }
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() && output_room => {
                    self.take_what_is_there(reader.as_ref());
                    return ended.map(|end| end.exit).unwrap_or_default();
                }
                _ = waiting.changed(), if !output_room || !lines_room => 0,
            };
            if let Some(end) = &mut ended {
                end.budget = end.budget.saturating_sub(read);
            }
        }
    }

    /// Reads without waiting. The time may have passed while the machine was paused, before anything could be read.
    fn take_what_is_there(&mut self, reader: Option<&OwnedReadHalf>) {
        let mut budget = AFTER_EXIT_BYTES;
        while let Some(chunk) = self.stdout.try_read().or_else(|| self.stderr.try_read()) {
            budget = budget.saturating_sub(self.send_output(Some(chunk)));
            if budget == 0 {
                break;
            }
        }
        while budget > 0
            && reader.is_some_and(|reader| {
                let read = reader.try_read_buf(self.splitter.input());
                read.is_ok_and(|bytes| bytes > 0)
            })
        {
            budget = budget.saturating_sub(CHUNK_BYTES);
            self.send_lines();
        }
        self.send_rest();
    }

    /// Deals with what became of a write; `emptied`: nothing waits to be written any more.
    fn wrote(&self, writer: &mut Option<Writer>, written: std::io::Result<usize>, emptied: bool) {
        let Some(Writer::Input { taken, .. }) = writer else {
            if written.is_err() {
                *writer = None;
            }
            return;
        };
        let closed = written.is_err();
        self.stir();
        *taken += u64::try_from(written.unwrap_or(0)).unwrap_or(0);
        if closed || emptied {
            self.channel.push(Body::RunInputTaken(RunInputTaken {
                run_id: self.key.run_id.clone(),
                attempt_number: self.key.attempt_number,
                offset: *taken,
                closed,
            }));
        }
        if closed {
            *writer = None;
        }
    }

    /// Queues a chunk and says how long it was.
    fn send_output(&self, chunk: Option<OutputChunk>) -> usize {
        let Some(chunk) = chunk else { return 0 };
        self.stir();
        let bytes = chunk.data.len();
        self.channel.push(Body::RunOutput(RunOutput {
            run_id: self.key.run_id.clone(),
            attempt_number: self.key.attempt_number,
            chunks: vec![chunk],
        }));
        bytes
    }

    /// Something was typed or printed. That a terminal is not idle any more is told before what was.
    fn stir(&self) {
        if self
            .terminal
            .as_ref()
            .is_some_and(|terminal| terminal.stirs())
        {
            self.tell_rest(false);
        }
    }

    async fn look_for_rest(&self) {
        if let Some(terminal) = &self.terminal
            && terminal.comes_to_rest().await
        {
            self.tell_rest(true);
        }
    }

    fn tell_rest(&self, idle: bool) {
        self.channel.push(Body::TerminalRests(TerminalRests {
            run_id: self.key.run_id.clone(),
            attempt_number: self.key.attempt_number,
            idle,
        }));
    }

    fn send_lines(&mut self) {
        while let Some(line) = self.splitter.next() {
            self.send_line(line);
        }
    }

    fn send_rest(&mut self) {
        if let Some(line) = self.splitter.rest() {
            self.send_line(line);
        }
    }

    fn send_line(&self, line: Line) {
        self.channel.push(Body::RunLine(RunLine {
            run_id: self.key.run_id.clone(),
            attempt_number: self.key.attempt_number,
            line: line.bytes,
            cut_from_bytes: line.cut_from_bytes,
        }));
    }
}

/// The way to a process.
enum Writer {
    Lines(OwnedWriteHalf),
    Input {
        to: Sink,
        /// Bytes that it has taken.
        taken: u64,
    },
}

impl Writer {
    fn input(to: Sink) -> Self {
        Self::Input { to, taken: 0 }
    }
}

/// Where a process reads its input.
enum Sink {
    Pipe(Sender),
    Terminal(Rc<Terminal>),
}

/// Bytes read, 0 at the end. Cancel-safe.
async fn read_some(reader: &mut Option<OwnedReadHalf>, into: &mut BytesMut) -> usize {
    match reader {
        Some(reader) => reader.read_buf(into).await.unwrap_or(0),
        None => std::future::pending().await,
    }
}

/// Writes some of `from` and takes it off. Cancel-safe.
async fn write_some(writer: &mut Option<Writer>, from: &mut BytesMut) -> std::io::Result<usize> {
    match writer {
        Some(Writer::Lines(lines)) => lines.write_buf(from).await,
        Some(Writer::Input {
            to: Sink::Pipe(pipe),
            ..
        }) => pipe.write_buf(from).await,
        Some(Writer::Input {
            to: Sink::Terminal(terminal),
            ..
        }) => terminal.write(from).await,
        None => std::future::pending().await,
    }
}

/// One of a process's two output streams.
struct Output {
    stream: OutputStream,
    /// `None` once it has ended.
    source: Option<Source>,
    buffer: Box<[u8]>,
    offset: u64,
}

impl Output {
    fn new(stream: OutputStream, source: Option<Source>) -> Self {
        Self {
            stream,
            source,
            buffer: vec![0; CHUNK_BYTES].into_boxed_slice(),
            offset: 0,
        }
    }

    /// The next bytes; `None` at the end. Cancel-safe.
    async fn read(&mut self) -> Option<OutputChunk> {
        let Some(source) = &mut self.source else {
            return std::future::pending().await;
        };
        let read = read_from(source, &mut self.buffer).await;
        if read == 0 {
            self.source = None;
        }
        self.chunk(read)
    }

    /// The bytes that are there now.
    fn try_read(&mut self) -> Option<OutputChunk> {
        let read = match self.source.as_ref()? {
            Source::Pipe(pipe) => pipe.try_read(&mut self.buffer).unwrap_or(0),
            Source::Terminal(terminal) => terminal.try_read(&mut self.buffer),
        };
        self.chunk(read)
    }

    fn chunk(&mut self, read: usize) -> Option<OutputChunk> {
        let data = self
            .buffer
            .get(..read)
            .filter(|data| !data.is_empty())?
            .to_vec();
        let chunk = OutputChunk {
            stream: self.stream.into(),
            offset: self.offset,
            data,
        };
        self.offset += u64::try_from(read).unwrap_or(u64::MAX);
        Some(chunk)
    }
}

/// Bytes read, 0 at the end. Cancel-safe.
async fn read_from(source: &mut Source, buffer: &mut [u8]) -> usize {
    match source {
        Source::Pipe(pipe) => pipe.read(buffer).await.unwrap_or(0),
        Source::Terminal(terminal) => terminal.read(buffer).await,
    }
}

async fn discard(mut source: Source) {
    let mut buffer = [0; 4096];
    while read_from(&mut source, &mut buffer).await > 0 {}
}
