//! The messages. Numbers are for ever: a field is added, never renumbered, retyped or reused.

use prost::{Enumeration, Message};

/// One message in either direction.
#[derive(Clone, PartialEq, Message)]
pub struct Frame {
    /// Position of this frame among the sender's sequenced frames, from 1; 0 for hello, welcome and heartbeat.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// The highest frame of the other side that is dealt with for good.
    #[prost(uint64, tag = "2")]
    pub ack: u64,
    #[prost(
        oneof = "Body",
        tags = "10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 21, 22, 23, 24, 25, 26"
    )]
    pub body: Option<Body>,
}

/// The body of a [`Frame`]: 10–19 come from the guest or from both sides, 20–29 from the host.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Body {
    #[prost(message, tag = "10")]
    Hello(Hello),
    #[prost(message, tag = "11")]
    Welcome(Welcome),
    #[prost(message, tag = "12")]
    Heartbeat(Heartbeat),
    /// Both ways: a JSON line of the task runtime's channel.
    #[prost(message, tag = "13")]
    RunLine(RunLine),
    #[prost(message, tag = "14")]
    RunOutput(RunOutput),
    #[prost(message, tag = "15")]
    RunExited(RunExited),
    #[prost(message, tag = "16")]
    RunInputTaken(RunInputTaken),
    #[prost(message, tag = "17")]
    TerminalRests(TerminalRests),
    #[prost(message, tag = "18")]
    ProcessesFound(ProcessesFound),
    #[prost(message, tag = "20")]
    StartRun(StartRun),
    #[prost(message, tag = "21")]
    SignalRun(SignalRun),
    #[prost(message, tag = "22")]
    StopMachine(StopMachine),
    /// Nothing: a sequenced frame that only proves the line.
    #[prost(message, tag = "23")]
    Probe(Heartbeat),
    #[prost(message, tag = "24")]
    RunInput(RunInput),
    #[prost(message, tag = "25")]
    ResizeTerminal(ResizeTerminal),
    #[prost(message, tag = "26")]
    FindProcesses(FindProcesses),
}

/// The guest's first frame on every connection.
#[derive(Clone, PartialEq, Message)]
pub struct Hello {
    #[prost(uint32, tag = "1")]
    pub protocol: u32,
    /// Random, made when the guest started: the same over restores, another after a new start.
    #[prost(bytes = "vec", tag = "2")]
    pub boot_id: Vec<u8>,
    /// What the attempt file beside the socket says: the worker refuses a hello of another attempt.
    #[prost(string, tag = "3")]
    pub attempt: String,
    /// The highest host frame the guest has dealt with.
    #[prost(uint64, tag = "4")]
    pub received: u64,
    /// The lowest guest frame not yet acknowledged, or the next one if all are.
    #[prost(uint64, tag = "5")]
    pub oldest_unacknowledged: u64,
    #[prost(message, repeated, tag = "6")]
    pub runs: Vec<KnownRun>,
}

/// A run, or an exec, as the guest knows it. Wherever a frame says `run_id` the id of an exec may stand: its process is
/// like a run's, with standard input in place of the runtime's channel, and attempt number 1. A PTY is an exec with a
/// terminal: what it prints is all standard output, and what is typed its input.
#[derive(Clone, PartialEq, Message)]
pub struct KnownRun {
    #[prost(string, tag = "1")]
    pub run_id: String,
    #[prost(uint32, tag = "2")]
    pub attempt_number: u32,
    #[prost(enumeration = "RunPhase", tag = "3")]
    pub phase: i32,
    /// Bytes of standard input that the guest has received.
    #[prost(uint64, tag = "4")]
    pub input_received: u64,
    /// Of a process with a terminal: it is idle.
    #[prost(bool, tag = "5")]
    pub idle: bool,
}

/// How far a run has come inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum RunPhase {
    Unspecified = 0,
    Alive = 1,
    Exited = 2,
}

/// The host's answer to a hello; frames flow after it.
#[derive(Clone, PartialEq, Message)]
pub struct Welcome {
    #[prost(uint32, tag = "1")]
    pub protocol: u32,
    /// The highest guest frame this host has taken in, if it remembers; a restarted worker does not. The guest
    /// continues behind it, and forgets only what `Frame::ack` says is dealt with for good.
    #[prost(uint64, optional, tag = "2")]
    pub received: Option<u64>,
    /// Microseconds since the epoch on the host, for the agent's own use.
    #[prost(int64, tag = "3")]
    pub now_us: i64,
    /// After how long without a word from any worker the agent stops every process (SIGSTOP); 0: never.
    #[prost(uint64, tag = "4")]
    pub silence_limit_ms: u64,
}

/// Sent each second by both sides when nothing else was.
#[derive(Clone, PartialEq, Message)]
pub struct Heartbeat {}

/// One line of the runtime's channel, without its newline.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct RunLine {
    #[prost(string, tag = "1")]
    pub run_id: String,
    #[prost(uint32, tag = "2")]
    pub attempt_number: u32,
    #[prost(bytes = "vec", tag = "3")]
    pub line: Vec<u8>,
    /// Set if the line was over the cap: how long it was in all. `line` is then only its beginning.
    #[prost(uint64, optional, tag = "4")]
    pub cut_from_bytes: Option<u64>,
}

/// Which of a process's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum OutputStream {
    Unspecified = 0,
    Stdout = 1,
    Stderr = 2,
}

/// What a run's process printed.
#[derive(Clone, PartialEq, Message)]
pub struct RunOutput {
    #[prost(string, tag = "1")]
    pub run_id: String,
    #[prost(uint32, tag = "2")]
    pub attempt_number: u32,
    #[prost(message, repeated, tag = "3")]
    pub chunks: Vec<OutputChunk>,
}

/// Bytes of one stream from an offset, ≤ 64 KiB.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct OutputChunk {
    #[prost(enumeration = "OutputStream", tag = "1")]
    pub stream: i32,
    /// Of the first byte, counted over this attempt's process.
    #[prost(uint64, tag = "2")]
    pub offset: u64,
    #[prost(bytes = "vec", tag = "3")]
    pub data: Vec<u8>,
}

/// A run's process is gone and its output has been sent.
#[derive(Clone, PartialEq, Message)]
pub struct RunExited {
    #[prost(string, tag = "1")]
    pub run_id: String,
    #[prost(uint32, tag = "2")]
    pub attempt_number: u32,
    #[prost(message, optional, tag = "3")]
    pub exit: Option<Exit>,
}

/// Bytes of standard input for a process that takes it, ≤ 64 KiB.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct RunInput {
    #[prost(string, tag = "1")]
    pub run_id: String,
    #[prost(uint32, tag = "2")]
    pub attempt_number: u32,
    /// Of the first byte. What was received before is passed over.
    #[prost(uint64, tag = "3")]
    pub offset: u64,
    #[prost(bytes = "vec", tag = "4")]
    pub data: Vec<u8>,
    /// Nothing comes behind it.
    #[prost(bool, tag = "5")]
    pub end: bool,
}

/// How much of its input a process has been given. The host sends no more than a little ahead of it.
#[derive(Clone, PartialEq, Message)]
pub struct RunInputTaken {
    #[prost(string, tag = "1")]
    pub run_id: String,
    #[prost(uint32, tag = "2")]
    pub attempt_number: u32,
    #[prost(uint64, tag = "3")]
    pub offset: u64,
    /// Nobody reads it any more.
    #[prost(bool, tag = "4")]
    pub closed: bool,
}

/// How a process ended.
#[derive(Clone, PartialEq, Message)]
pub struct Exit {
    /// The exit code, if it exited.
    #[prost(int32, optional, tag = "1")]
    pub code: Option<i32>,
    /// The signal's number, if one ended it.
    #[prost(int32, optional, tag = "2")]
    pub signal: Option<i32>,
    /// Why it could not be started, in words.
    #[prost(string, optional, tag = "3")]
    pub start_error: Option<String>,
}

/// Starts a run's process, unless this attempt of it is already known.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct StartRun {
    #[prost(string, tag = "1")]
    pub run_id: String,
    #[prost(uint32, tag = "2")]
    pub attempt_number: u32,
    #[prost(string, repeated, tag = "3")]
    pub argv: Vec<String>,
    /// `NAME=value`, added to the agent's own.
    #[prost(string, repeated, tag = "4")]
    pub env: Vec<String>,
    #[prost(string, tag = "5")]
    pub cwd: String,
    /// `uid:gid` or a name of the image's passwd; empty: the agent's own.
    #[prost(string, tag = "6")]
    pub user: String,
    /// The first line of the runtime's channel.
    #[prost(bytes = "vec", tag = "7")]
    pub init_line: Vec<u8>,
    /// An exec: standard input comes in `RunInput`, and there is no runtime and no channel to one.
    #[prost(bool, tag = "8")]
    pub takes_input: bool,
    /// A PTY: it has a terminal for its input and output, and no program to execute means a login shell.
    #[prost(message, optional, tag = "9")]
    pub terminal: Option<Terminal>,
}

/// A terminal to make.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Terminal {
    #[prost(uint32, tag = "1")]
    pub cols: u32,
    #[prost(uint32, tag = "2")]
    pub rows: u32,
    /// How long nothing is typed or printed before it is idle.
    #[prost(uint64, tag = "3")]
    pub idle_after_ms: u64,
}

/// Sets the size of a terminal. Its programs are told also if it is the one it has.
#[derive(Clone, PartialEq, Message)]
pub struct ResizeTerminal {
    #[prost(string, tag = "1")]
    pub run_id: String,
    #[prost(uint32, tag = "2")]
    pub attempt_number: u32,
    #[prost(uint32, tag = "3")]
    pub cols: u32,
    #[prost(uint32, tag = "4")]
    pub rows: u32,
    /// Counts them from 1: one that was done before is not done again.
    #[prost(uint64, tag = "5")]
    pub number: u64,
}

/// A terminal has become idle, or is so no longer.
#[derive(Clone, PartialEq, Message)]
pub struct TerminalRests {
    #[prost(string, tag = "1")]
    pub run_id: String,
    #[prost(uint32, tag = "2")]
    pub attempt_number: u32,
    /// What leads its session is in the foreground, and nothing was typed or printed for as long as was asked.
    #[prost(bool, tag = "3")]
    pub idle: bool,
}

/// Asks whether anything lives that execs or PTYs have started.
#[derive(Clone, PartialEq, Message)]
pub struct FindProcesses {
    #[prost(uint64, tag = "1")]
    pub question: u64,
}

/// The answer to [`FindProcesses`].
#[derive(Clone, PartialEq, Message)]
pub struct ProcessesFound {
    #[prost(uint64, tag = "1")]
    pub question: u64,
    #[prost(bool, tag = "2")]
    pub any: bool,
}

/// Signals a run's process and everything it started.
#[derive(Clone, PartialEq, Message)]
pub struct SignalRun {
    #[prost(string, tag = "1")]
    pub run_id: String,
    #[prost(uint32, tag = "2")]
    pub attempt_number: u32,
    #[prost(int32, tag = "3")]
    pub signal: i32,
    /// Counts the signals of an exec from 1: one that was sent before is not sent again. 0 for runs: always sent.
    #[prost(uint64, tag = "4")]
    pub number: u64,
}

/// Ends every process and the agent itself.
#[derive(Clone, PartialEq, Message)]
pub struct StopMachine {}
