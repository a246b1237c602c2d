//! The lines and the end of one run, dealt with one after the other.

use std::sync::Arc;

use helmr_api::fault;
use helmr_api::worker::{Call, CallAnswer, Finished};
use helmr_guest_wire::Exit;
use helmr_machine::host;
use tokio::sync::{mpsc, oneshot, watch};

use super::acks::Acks;
use super::line::{self, Garbage, Said, TaskError};
use super::output::Item;
use super::speech::Speech;
use super::{Heard, exit};
use crate::client::Failure;
use crate::directive::Directive;
use crate::report::{Reports, RunKey};

const SIGKILL: i32 = 9;
const TASK_EXITED: &str = "task_exited";

/// Something of a run that has its place in the order.
pub(super) enum Event {
    Said {
        position: u64,
        said: Result<Said, Garbage>,
    },
    Exited {
        position: u64,
        exit: Exit,
    },
}

pub(super) struct LineLane {
    pub(super) run: RunKey,
    pub(super) reports: Reports,
    pub(super) acks: Arc<Acks>,
    pub(super) speech: Speech,
    pub(super) directive: watch::Receiver<Directive>,
    pub(super) output: mpsc::Sender<Item>,
    pub(super) heard: mpsc::Sender<Heard>,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) turn: Turn,
    /// How the run ended was told; what comes after it is not believed.
    pub(super) told: bool,
    /// The task left by itself, as its runtime says at the last moment: told with the exit code, which is to come.
    pub(super) leaving: Option<Leaving>,
}

pub(super) struct Leaving {
    position: u64,
    error: TaskError,
    untaken: Vec<u64>,
}

/// When a run's lines may be passed on.
///
/// What a task says after it was told an outcome must not be heard before the outcome's delivery: its next wait would
/// find the one before still open.
pub(super) struct Turn {
    /// The machine is live for everyone, and the outcomes that its runs were to be told are on their way.
    pub(super) open: watch::Receiver<bool>,
    /// Outcomes that were sent and whose delivery is not committed.
    pub(super) undelivered: watch::Receiver<usize>,
}

impl Turn {
    async fn come(&mut self) {
        // The senders live as long as the relay, and this lane no longer than that.
        drop(self.open.wait_for(|open| *open).await);
        drop(self.undelivered.wait_for(|count| *count == 0).await);
    }
}

/// Why a lane cannot go on.
pub(super) enum Broken {
    Stale,
    Link(host::Error),
}

impl From<host::Error> for Broken {
    fn from(error: host::Error) -> Self {
        Self::Link(error)
    }
}

impl LineLane {
    /// Runs until the process is gone and its end told.
    pub(super) async fn run(mut self) -> Result<(), Broken> {
        while let Some(event) = self.events.recv().await {
            self.turn.come().await;
            match event {
                Event::Said { position, said } => self.take(position, said).await?,
                Event::Exited { position, exit } => {
                    self.exited(&exit).await?;
                    self.acks.done(position);
                    // The receiver is gone only when the machine is being given up.
                    drop(self.heard.send(Heard::Exited(self.run)).await);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn take(&mut self, position: u64, said: Result<Said, Garbage>) -> Result<(), Broken> {
        if self.told || self.leaving.is_some() {
            self.acks.done(position);
            return Ok(());
        }
        match said {
            Ok(Said::Started) => {
                settle(self.reports.started(self.run).await)?;
                self.acks.done(position);
            }
            Ok(Said::Call { id, op, args }) => {
                let call = Call {
                    call_no: id,
                    op,
                    args,
                };
                self.call(position, call).await?;
            }
            Ok(Said::Finished { output, untaken }) => {
                self.finish(Finished::Succeeded { output }, untaken).await?;
                self.acks.done(position);
            }
            Ok(Said::Failed { error, untaken }) if error.kind == TASK_EXITED => {
                self.leaving = Some(Leaving {
                    position,
                    error,
                    untaken,
                });
            }
            Ok(Said::Failed { error, untaken }) => {
                let finished = self.failure(error);
                self.finish(finished, untaken).await?;
                self.acks.done(position);
            }
            // Entries go beside the lines; the router sends none here.
            Ok(Said::Entry(_)) => self.acks.done(position),
            Err(garbage) => {
                tracing::warn!(run.id = %self.run.run_id, %garbage, "garbage on a runtime's channel");
                let finished = failed("task_error", garbage.to_string());
                self.finish(finished, Vec::new()).await?;
                self.speech.signal(self.run, SIGKILL).await?;
                self.acks.done(position);
            }
        }
        Ok(())
    }

    async fn call(&self, position: u64, call: Call) -> Result<(), Broken> {
        let id = call.call_no;
        let waits = call.op == "wait";
        let answer = match self.reports.call(self.run, call).await {
            Ok(CallAnswer::Answered { answer }) if waits => line::met(id, answer),
            Ok(CallAnswer::Answered { answer }) => line::answer(id, answer),
            Ok(CallAnswer::Refused {
                code,
                message,
                details,
            })
            | Err(Failure::Refused {
                code,
                message,
                details,
                ..
            }) => line::refusal(id, &code, &message, details),
            Ok(CallAnswer::Waiting { .. }) => {
                // Its outcome comes with an assignment, again until it is delivered.
                self.acks.done(position);
                return Ok(());
            }
            Err(Failure::Stale | Failure::Unanswered { .. }) => return Err(Broken::Stale),
        };
        fault::point("worker.call.after_commit");
        match self.speech.answer(self.run, position, answer).await {
            Err(host::Error::TooLong { bytes, .. }) => {
                let message = format!("the answer has {bytes} bytes, more than a task can be sent");
                let answer = line::refusal(id, "too_large", &message, None);
                Ok(self.speech.answer(self.run, position, answer).await?)
            }
            said => Ok(said?),
        }
    }

    async fn exited(&mut self, exit: &Exit) -> Result<(), Broken> {
        let stderr_tail = self.flush().await?;
        if self.told {
            return Ok(());
        }
        let stopping = self.directive.borrow().is_stopping(self.run);
        let mut finished = exit::judge(exit, stopping, &stderr_tail);
        let Some(leaving) = self.leaving.take() else {
            return self.tell(finished, Vec::new()).await;
        };
        exit::explain(&mut finished, &leaving.error);
        self.tell(finished, leaving.untaken).await?;
        self.acks.done(leaving.position);
        Ok(())
    }

    fn failure(&self, error: TaskError) -> Finished {
        // A task that was told to stop ends by throwing; that is the stop, not an error of its own.
        if self.directive.borrow().is_stopping(self.run) {
            return Finished::Stopped { exit_code: None };
        }
        let kind = match error.kind.as_str() {
            "payload_invalid" => "payload_invalid",
            "output_invalid" => "output_invalid",
            "disk_full" => "disk_full",
            _ => "task_error",
        };
        Finished::Failed {
            kind: kind.to_owned(),
            name: error.name,
            message: error.message,
            stack: error.stack,
            exit_code: None,
        }
    }

    /// Tells the end, after everything that was printed and logged before it.
    async fn finish(&mut self, finished: Finished, untaken: Vec<u64>) -> Result<(), Broken> {
        self.flush().await?;
        self.tell(finished, untaken).await
    }

    async fn tell(&mut self, finished: Finished, untaken: Vec<u64>) -> Result<(), Broken> {
        fault::point("worker.finish.before_post");
        settle(self.reports.finished(self.run, finished, untaken).await)?;
        fault::point("worker.finish.after_post");
        self.told = true;
        Ok(())
    }

    async fn flush(&self) -> Result<Vec<u8>, Broken> {
        let (flushed, done) = oneshot::channel();
        let asked = self.output.send(Item::Flush(flushed)).await;
        match (asked, done.await) {
            (Ok(()), Ok(stderr_tail)) => Ok(stderr_tail),
            // The output lane ends early only when the lease is lost.
            _ => Err(Broken::Stale),
        }
    }
}

/// A report that was refused for the run's own sake (it is over already) is as good as taken.
fn settle(reported: Result<(), Failure>) -> Result<(), Broken> {
    match reported {
        Ok(()) => Ok(()),
        Err(Failure::Stale | Failure::Unanswered { .. }) => Err(Broken::Stale),
        Err(refused @ Failure::Refused { .. }) => {
            tracing::warn!(%refused, "a report on a run was refused");
            Ok(())
        }
    }
}

fn failed(kind: &str, message: String) -> Finished {
    Finished::Failed {
        kind: kind.to_owned(),
        name: None,
        message,
        stack: None,
        exit_code: None,
    }
}
