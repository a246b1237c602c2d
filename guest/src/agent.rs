//! What the agent does with the worker's frames.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::rc::Rc;

use helmr_guest_wire::{
    Body, Exit, KnownRun, ProcessesFound, RunExited, SignalRun, StartRun, Welcome,
};
use nix::sys::signal::Signal;
use tokio::time::Instant;

use crate::channel::Channel;
use crate::connection::{self, Listener};
use crate::processes::{self, MARKER};
use crate::reaper;
use crate::registry::{Registry, RunKey};
use crate::run;
use crate::silence::Silence;
use crate::spawn::{self, Feed};

/// Serves the worker whose socket is in `host_dir`, until it says to stop.
///
/// # Errors
/// If the agent cannot even begin.
pub(crate) async fn run(host_dir: PathBuf, boot_id: Vec<u8>) -> io::Result<()> {
    let channel = Rc::new(Channel::new());
    let registry = Rc::new(Registry::default());
    let silence = Silence::new(Instant::now());
    // It ends with the agent: the local set is dropped with it.
    tokio::task::spawn_local(reaper::reap(reaper::listen()?, Rc::clone(&registry)));
    let mut agent = Agent {
        channel: Rc::clone(&channel),
        registry,
        silence,
    };
    connection::carry(&host_dir, &boot_id, &channel, &mut agent).await;
    processes::kill_all();
    Ok(())
}

struct Agent {
    channel: Rc<Channel>,
    registry: Rc<Registry>,
    silence: Silence,
}

impl Listener for Agent {
    fn known_runs(&self) -> Vec<KnownRun> {
        self.registry.known_runs()
    }

    fn welcomed(&mut self, welcome: &Welcome) {
        self.silence.limit_to(welcome.silence_limit_ms);
        self.silence.broken();
    }

    fn heard(&mut self) {
        self.silence.broken();
    }

    fn measure(&mut self) {
        self.silence.measure(Instant::now());
    }

    fn acknowledged(&mut self) {
        self.registry.forget_before(self.channel.oldest());
    }

    fn deal_with(&mut self, body: Body) -> ControlFlow<()> {
        match body {
            Body::StartRun(start) => self.start(start),
            Body::RunLine(line) => {
                let key = RunKey {
                    run_id: line.run_id,
                    attempt_number: line.attempt_number,
                };
                self.registry.pass_line(&key, line.line);
            }
            Body::RunInput(input) => {
                let key = RunKey {
                    run_id: input.run_id,
                    attempt_number: input.attempt_number,
                };
                self.registry
                    .pass_input(&key, input.offset, input.data, input.end);
            }
            Body::SignalRun(signal) => self.signal(signal),
            Body::ResizeTerminal(resize) => {
                let key = RunKey {
                    run_id: resize.run_id,
                    attempt_number: resize.attempt_number,
                };
                if let Some(terminal) = self.registry.terminal(&key) {
                    terminal.resize(resize.cols, resize.rows, resize.number);
                }
            }
            Body::FindProcesses(asked) => {
                self.channel.push(Body::ProcessesFound(ProcessesFound {
                    question: asked.question,
                    any: processes::any_of(&["exec_", "pty_"]),
                }));
            }
            Body::StopMachine(_) => return ControlFlow::Break(()),
            // The line was proved by getting here; the rest only ever goes the other way.
            Body::Probe(_)
            | Body::Heartbeat(_)
            | Body::Hello(_)
            | Body::Welcome(_)
            | Body::RunOutput(_)
            | Body::RunInputTaken(_)
            | Body::TerminalRests(_)
            | Body::ProcessesFound(_)
            | Body::RunExited(_) => {}
        }
        ControlFlow::Continue(())
    }
}

impl Agent {
    fn start(&self, start: StartRun) {
        let key = RunKey {
            run_id: start.run_id.clone(),
            attempt_number: start.attempt_number,
        };
        if self.registry.knows(&key) {
            return;
        }
        match spawn::start(&start, (MARKER, &key.marker())) {
            Ok(process) => {
                let terminal = match &process.feed {
                    Feed::Terminal(terminal) => Some(Rc::clone(terminal)),
                    Feed::Channel(_) | Feed::Input(_) => None,
                };
                let (lines, exit) = self.registry.started(key.clone(), process.pid, terminal);
                if let Feed::Channel(_) = process.feed {
                    self.registry.pass_line(&key, start.init_line);
                }
                let supervised =
                    run::supervise(key.clone(), process, lines, exit, Rc::clone(&self.channel));
                let registry = Rc::clone(&self.registry);
                tokio::task::spawn_local(async move { registry.ended(key, supervised.await) });
            }
            Err(start_error) => {
                let exit = Exit {
                    start_error: Some(start_error),
                    ..Exit::default()
                };
                let position = self.channel.push(Body::RunExited(RunExited {
                    run_id: key.run_id.clone(),
                    attempt_number: key.attempt_number,
                    exit: Some(exit),
                }));
                self.registry.ended(key, position);
            }
        }
    }

    fn signal(&self, wanted: SignalRun) {
        let key = RunKey {
            run_id: wanted.run_id,
            attempt_number: wanted.attempt_number,
        };
        let Ok(signal) = Signal::try_from(wanted.signal) else {
            return;
        };
        if let Some(leader) = self.registry.leader(&key)
            && self.registry.is_new_signal(&key, wanted.number)
        {
            processes::signal_run(leader, &key.marker(), signal);
        }
    }
}
