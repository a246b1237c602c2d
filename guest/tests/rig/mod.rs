//! A native agent with a worker's listener beside it.

use std::fs;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use helmr_guest_wire::{
    Body, Exit, FindProcesses, OutputChunk, OutputStream, ResizeTerminal, RunInput, RunInputTaken,
    RunLine, SignalRun, StartRun, Terminal,
};
use helmr_machine::Attempt;
use helmr_machine::host::{Link, Listener};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Rig {
    pub(crate) link: Link,
    /// Whether frames are acknowledged as they are taken.
    pub(crate) acknowledging: bool,
    last: u64,
    silent: Silent,
}

/// A rig whose worker is gone.
pub(crate) struct Silent {
    directory: TempDir,
    agent: Child,
    silence_limit: Option<Duration>,
}

/// What a run said, and how it ended.
pub(crate) struct Told {
    pub(crate) lines: Vec<(String, Option<u64>)>,
    pub(crate) output: Vec<OutputChunk>,
    pub(crate) taken: Vec<RunInputTaken>,
    pub(crate) exit: Exit,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    pub(crate) async fn start_with_silence_limit(limit: Duration) -> Self {
        Self::start_with(Some(limit)).await
    }

    async fn start_with(silence_limit: Option<Duration>) -> Self {
        let directory = TempDir::new().unwrap();
        let agent = Command::new(env!("CARGO_BIN_EXE_helmr-guest"))
            .arg(directory.path())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Silent {
            directory,
            agent,
            silence_limit,
        }
        .speak()
        .await
    }

    /// Replaces the worker by one that remembers nothing.
    pub(crate) async fn redial(self) -> Self {
        self.silence().speak().await
    }

    /// Takes the worker away.
    pub(crate) fn silence(self) -> Silent {
        drop(self.link);
        self.silent
    }

    pub(crate) fn send(&self, body: impl Into<Sent>) -> u64 {
        self.link.send(body.into().0).unwrap()
    }

    pub(crate) async fn next(&mut self) -> Body {
        let arrived = timeout(DEADLINE, self.link.recv())
            .await
            .expect("a frame in time")
            .unwrap();
        self.last = arrived.position;
        if self.acknowledging {
            self.link.acknowledge(arrived.position);
        }
        arrived.body.unwrap()
    }

    pub(crate) async fn next_output(&mut self) -> OutputChunk {
        match self.next().await {
            Body::RunOutput(mut output) => output.chunks.remove(0),
            other => panic!("expected output, got {other:?}"),
        }
    }

    /// What a terminal shows until it shows `text`.
    pub(crate) async fn until_shown(&mut self, text: &str) -> String {
        let mut shown = String::new();
        while !shown.contains(text) {
            if let Body::RunOutput(output) = self.next().await {
                for chunk in output.chunks {
                    shown.push_str(&String::from_utf8_lossy(&chunk.data));
                }
            }
        }
        shown
    }

    /// What a terminal is said to do next: to rest, or not.
    pub(crate) async fn next_rest(&mut self) -> bool {
        loop {
            if let Body::TerminalRests(rests) = self.next().await {
                return rests.idle;
            }
        }
    }

    /// Whether anything lives that people have started.
    pub(crate) async fn finds_processes(&mut self, question: u64) -> bool {
        self.send(FindProcesses { question });
        loop {
            match self.next().await {
                Body::ProcessesFound(found) if found.question == question => return found.any,
                _ => {}
            }
        }
    }

    pub(crate) async fn until_exit(&mut self) -> Told {
        let mut told = Told {
            lines: Vec::new(),
            output: Vec::new(),
            taken: Vec::new(),
            exit: Exit::default(),
        };
        loop {
            match self.next().await {
                Body::RunOutput(output) => told.output.extend(output.chunks),
                Body::RunLine(line) => {
                    told.lines
                        .push((String::from_utf8(line.line).unwrap(), line.cut_from_bytes));
                }
                Body::RunInputTaken(taken) => told.taken.push(taken),
                Body::TerminalRests(_) => {}
                Body::RunExited(exited) => {
                    told.exit = exited.exit.unwrap();
                    return told;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) fn acknowledge_all(&self) {
        self.link.acknowledge(self.last);
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.silent.directory.path().join(name)
    }

    pub(crate) fn agent_pid(&self) -> i32 {
        self.silent.agent.id().unwrap().try_into().unwrap()
    }

    pub(crate) async fn agent_exit(&mut self) -> ExitStatus {
        timeout(DEADLINE, self.silent.agent.wait())
            .await
            .expect("the agent to end")
            .unwrap()
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // What a failing test leaves below the agent goes with it: each leads a group of its own.
        if let Some(agent) = self.agent.id() {
            for child in children(agent.try_into().unwrap()) {
                drop(
                    std::process::Command::new("kill")
                        .args(["-KILL", "--", &format!("-{child}")])
                        .status(),
                );
            }
        }
    }
}

impl Silent {
    pub(crate) async fn speak(self) -> Rig {
        let attempt = Attempt {
            machine: "machine".to_owned(),
            number: 1,
        };
        let listener = Listener::bind(self.directory.path(), &attempt, self.silence_limit).unwrap();
        let link = listener.greeted(DEADLINE).await.unwrap();
        Rig {
            link,
            acknowledging: false,
            last: 0,
            silent: self,
        }
    }
}

impl Told {
    pub(crate) fn text(&self, stream: OutputStream) -> String {
        let of = self.output.iter().filter(|chunk| chunk.stream() == stream);
        String::from_utf8(of.flat_map(|chunk| chunk.data.clone()).collect()).unwrap()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.output.iter().map(|chunk| chunk.data.len()).sum()
    }
}

/// A body that a test sends.
pub(crate) struct Sent(Body);

impl From<StartRun> for Sent {
    fn from(start: StartRun) -> Self {
        Self(Body::StartRun(start))
    }
}

impl From<RunLine> for Sent {
    fn from(line: RunLine) -> Self {
        Self(Body::RunLine(line))
    }
}

impl From<RunInput> for Sent {
    fn from(input: RunInput) -> Self {
        Self(Body::RunInput(input))
    }
}

impl From<ResizeTerminal> for Sent {
    fn from(resize: ResizeTerminal) -> Self {
        Self(Body::ResizeTerminal(resize))
    }
}

impl From<FindProcesses> for Sent {
    fn from(asked: FindProcesses) -> Self {
        Self(Body::FindProcesses(asked))
    }
}

impl From<SignalRun> for Sent {
    fn from(signal: SignalRun) -> Self {
        Self(Body::SignalRun(signal))
    }
}

pub(crate) fn shell(script: &str) -> StartRun {
    StartRun {
        run_id: "run".to_owned(),
        attempt_number: 1,
        argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        init_line: b"init".to_vec(),
        ..StartRun::default()
    }
}

/// An exec: a process that takes input and has no runtime.
pub(crate) fn exec(script: &str) -> StartRun {
    StartRun {
        init_line: Vec::new(),
        takes_input: true,
        ..shell(script)
    }
}

/// A PTY: an exec with a terminal, idle after a short while.
pub(crate) fn pty(argv: &[&str]) -> StartRun {
    StartRun {
        run_id: "pty_1".to_owned(),
        argv: argv.iter().map(|text| (*text).to_owned()).collect(),
        terminal: Some(Terminal {
            cols: 80,
            rows: 24,
            idle_after_ms: 100,
        }),
        ..exec("")
    }
}

/// Typed on a PTY's terminal.
pub(crate) fn typed(offset: u64, text: &str) -> RunInput {
    RunInput {
        run_id: "pty_1".to_owned(),
        ..input(offset, text, false)
    }
}

pub(crate) fn resize(cols: u32, rows: u32, number: u64) -> ResizeTerminal {
    ResizeTerminal {
        run_id: "pty_1".to_owned(),
        attempt_number: 1,
        cols,
        rows,
        number,
    }
}

/// Input from an offset on.
pub(crate) fn input(offset: u64, text: &str, end: bool) -> RunInput {
    RunInput {
        run_id: "run".to_owned(),
        attempt_number: 1,
        offset,
        data: text.as_bytes().to_vec(),
        end,
    }
}

pub(crate) fn line(text: &str) -> RunLine {
    RunLine {
        run_id: "run".to_owned(),
        attempt_number: 1,
        line: text.as_bytes().to_vec(),
        cut_from_bytes: None,
    }
}

pub(crate) fn signal(signal: i32) -> SignalRun {
    SignalRun {
        run_id: "run".to_owned(),
        attempt_number: 1,
        signal,
        number: 0,
    }
}

pub(crate) fn length(chunk: &OutputChunk) -> u64 {
    chunk.data.len().try_into().unwrap()
}

/// Awaits what a file or /proc will tell; there is no event to wait for.
pub(crate) async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < DEADLINE, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The state letter of a process, `?` if it is gone.
pub(crate) fn state(pid: i32) -> char {
    stat(pid).map_or('?', |(state, _)| state)
}

/// The children of a process, zombies too.
pub(crate) fn children(parent: i32) -> Vec<i32> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent))
        .collect()
}

fn stat(pid: i32) -> Option<(char, i32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
