//! Everything a scripted guest remembers, and what its runs do next.

use std::collections::VecDeque;
use std::path::Path;

use helmr_guest_wire::{
    Body, Exit, FindProcesses, Frame, Inbound, KnownRun, Outbound, OutputChunk, OutputStream,
    ProcessesFound, RunExited, RunLine, RunOutput, RunPhase, StartRun,
};
use prost::Message as _;
use serde::{Deserialize, Serialize};

use super::script::Step;

/// A guest's memory.
#[derive(Debug)]
pub(super) struct GuestState {
    pub(super) boot_id: Vec<u8>,
    pub(super) outbound: Outbound,
    pub(super) inbound: Inbound,
    runs: Vec<RunState>,
}

/// A run in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RunState {
    run_id: String,
    attempt_number: u32,
    steps: VecDeque<Step>,
    lines: VecDeque<String>,
    last_line: String,
    count: u64,
    stdout_bytes: u64,
    stderr_bytes: u64,
    ended_at: Option<u64>,
}

/// A guest's memory as a checkpoint holds it.
#[derive(Serialize, Deserialize)]
struct Image {
    boot_id: Vec<u8>,
    received: u64,
    next: u64,
    kept: Vec<Vec<u8>>,
    runs: Vec<RunState>,
}

/// What steps need from outside the machine.
pub(super) struct Surroundings<'a> {
    pub(super) workspace_dir: &'a Path,
    pub(super) is_open: &'a dyn Fn(&str) -> bool,
}

impl GuestState {
    pub(super) fn new(boot_id: Vec<u8>) -> Self {
        Self {
            boot_id,
            outbound: Outbound::default(),
            inbound: Inbound::default(),
            runs: Vec::new(),
        }
    }

    pub(super) fn to_image(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Image {
            boot_id: self.boot_id.clone(),
            received: self.inbound.received(),
            next: self.outbound.next(),
            kept: self.outbound.kept().map(Frame::encode_to_vec).collect(),
            runs: self.runs.clone(),
        })
    }

    /// `None` if the bytes are no image.
    pub(super) fn from_image(bytes: &[u8]) -> Option<Self> {
        let image: Image = serde_json::from_slice(bytes).ok()?;
        let kept: Vec<Frame> = image
            .kept
            .iter()
            .map(|bytes| Frame::decode(bytes.as_slice()))
            .collect::<Result<_, _>>()
            .ok()?;
        let oldest = kept.first().map_or(image.next, |frame| frame.seq);
        let mut outbound = Outbound::starting_after(oldest.checked_sub(1)?);
        for frame in kept {
            outbound.push(frame.body?).ok()?;
        }
        Some(Self {
            boot_id: image.boot_id,
            outbound,
            inbound: Inbound::starting_after(image.received),
            runs: image.runs,
        })
    }

    pub(super) fn known_runs(&self) -> Vec<KnownRun> {
        self.runs
            .iter()
            .map(|run| KnownRun {
                run_id: run.run_id.clone(),
                attempt_number: run.attempt_number,
                phase: if run.ended_at.is_some() {
                    RunPhase::Exited
                } else {
                    RunPhase::Alive
                }
                .into(),
                input_received: 0,
                idle: false,
            })
            .collect()
    }

    /// Forgets the ended runs whose end was acknowledged.
    pub(super) fn forget_acknowledged(&mut self) {
        let oldest = self.outbound.oldest();
        self.runs
            .retain(|run| run.ended_at.is_none_or(|position| position >= oldest));
    }

    /// Starts a run, unless this attempt of it is known.
    pub(super) fn start(&mut self, start: &StartRun, steps: Vec<Step>) {
        if self.find(&start.run_id, start.attempt_number).is_none() {
            self.runs.push(RunState {
                run_id: start.run_id.clone(),
                attempt_number: start.attempt_number,
                steps: steps.into(),
                lines: [String::from_utf8_lossy(&start.init_line).into_owned()].into(),
                last_line: String::new(),
                count: 0,
                stdout_bytes: 0,
                stderr_bytes: 0,
                ended_at: None,
            });
        }
    }

    /// Says whether an exec of it lives.
    pub(super) fn find_processes(&mut self, asked: &FindProcesses) {
        let of_people = |run: &RunState| !run.run_id.starts_with("run_") && run.ended_at.is_none();
        let found = ProcessesFound {
            question: asked.question,
            any: self.runs.iter().any(of_people),
        };
        // What is kept is bounded where it is made.
        let _position = self.outbound.push(Body::ProcessesFound(found));
    }

    pub(super) fn take_line(&mut self, line: RunLine) {
        if let Some(run) = self.find(&line.run_id, line.attempt_number) {
            run.lines
                .push_back(String::from_utf8_lossy(&line.line).into_owned());
        }
    }

    /// A signal that ends a process ends the run; others do nothing here.
    pub(super) fn signal(&mut self, run_id: &str, attempt_number: u32, signal: i32) {
        const ENDING: [i32; 4] = [2, 6, 9, 15];
        let outbound = &mut self.outbound;
        let found = self
            .runs
            .iter_mut()
            .find(|run| run.run_id == run_id && run.attempt_number == attempt_number);
        if let Some(run) = found.filter(|run| run.ended_at.is_none() && ENDING.contains(&signal)) {
            run.end(
                outbound,
                Exit {
                    signal: Some(signal),
                    ..Exit::default()
                },
            );
        }
    }

    /// Takes every step that can be taken now.
    pub(super) fn advance(&mut self, surroundings: &Surroundings<'_>) {
        for run in &mut self.runs {
            while run.ended_at.is_none() && run.step(&mut self.outbound, surroundings) {}
        }
    }

    fn find(&mut self, run_id: &str, attempt_number: u32) -> Option<&mut RunState> {
        self.runs
            .iter_mut()
            .find(|run| run.run_id == run_id && run.attempt_number == attempt_number)
    }
}

impl RunState {
    /// Takes the next step; `false` if it has to wait.
    fn step(&mut self, outbound: &mut Outbound, surroundings: &Surroundings<'_>) -> bool {
        let Some(step) = self.steps.front().cloned() else {
            self.end(
                outbound,
                Exit {
                    code: Some(0),
                    ..Exit::default()
                },
            );
            return true;
        };
        let done = match step {
            Step::Say(template) => {
                let line = self.filled(&template);
                self.say(outbound, &line);
                true
            }
            Step::Print(text) => {
                self.print(outbound, OutputStream::Stdout, &text);
                true
            }
            Step::PrintError(text) => {
                self.print(outbound, OutputStream::Stderr, &text);
                true
            }
            Step::Await(text) => self.take_until(&text),
            Step::Gate(name) => (surroundings.is_open)(&name),
            Step::Write(path, text) => {
                let written = std::fs::write(surroundings.workspace_dir.join(&path), text);
                if let Err(error) = written {
                    self.print(
                        outbound,
                        OutputStream::Stderr,
                        &format!("write {path}: {error}\n"),
                    );
                }
                true
            }
            Step::Serve => match self.lines.pop_front() {
                None => return false,
                Some(line) if line.contains("exit") => true,
                Some(line) => {
                    self.count += 1;
                    let line = serde_json::Value::from(line);
                    self.say(
                        outbound,
                        &format!("{{\"count\":{},\"line\":{line}}}", self.count),
                    );
                    self.print(
                        outbound,
                        OutputStream::Stdout,
                        &format!("line {}\n", self.count),
                    );
                    return true;
                }
            },
            Step::Exit(code) => {
                self.end(
                    outbound,
                    Exit {
                        code: Some(code),
                        ..Exit::default()
                    },
                );
                true
            }
        };
        if done {
            self.steps.pop_front();
        }
        done
    }

    fn take_until(&mut self, text: &str) -> bool {
        let Some(at) = self.lines.iter().position(|line| line.contains(text)) else {
            return false;
        };
        self.last_line = self.lines.drain(..=at).next_back().unwrap_or_default();
        true
    }

    fn filled(&self, template: &str) -> String {
        let data = serde_json::from_str::<serde_json::Value>(&self.last_line)
            .ok()
            .and_then(|line| line.get("data").map(serde_json::Value::to_string));
        template
            .replace("$line", &self.last_line)
            .replace("$data", data.as_deref().unwrap_or("null"))
    }

    fn say(&self, outbound: &mut Outbound, line: &str) {
        push(
            outbound,
            Body::RunLine(RunLine {
                run_id: self.run_id.clone(),
                attempt_number: self.attempt_number,
                line: line.as_bytes().to_vec(),
                cut_from_bytes: None,
            }),
        );
    }

    fn print(&mut self, outbound: &mut Outbound, stream: OutputStream, text: &str) {
        let printed = match stream {
            OutputStream::Stderr => &mut self.stderr_bytes,
            OutputStream::Stdout | OutputStream::Unspecified => &mut self.stdout_bytes,
        };
        let offset = *printed;
        *printed += u64::try_from(text.len()).unwrap_or(u64::MAX);
        push(
            outbound,
            Body::RunOutput(RunOutput {
                run_id: self.run_id.clone(),
                attempt_number: self.attempt_number,
                chunks: vec![OutputChunk {
                    stream: stream.into(),
                    offset,
                    data: text.as_bytes().to_vec(),
                }],
            }),
        );
    }

    fn end(&mut self, outbound: &mut Outbound, exit: Exit) {
        self.ended_at = push(
            outbound,
            Body::RunExited(RunExited {
                run_id: self.run_id.clone(),
                attempt_number: self.attempt_number,
                exit: Some(exit),
            }),
        );
    }
}

/// Queues a body; a script that says more than a frame holds says nothing.
fn push(outbound: &mut Outbound, body: Body) -> Option<u64> {
    outbound
        .push(body)
        .inspect_err(|error| tracing::warn!(%error, "a script says too much"))
        .ok()
}
