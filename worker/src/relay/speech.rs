//! What is said to a guest, and when it has arrived.

use std::sync::Arc;
use std::time::Duration;

use helmr_guest_wire::{Body, RunLine, SignalRun};
use helmr_machine::host::{self, Link};
use tokio::sync::mpsc;

use super::acks::Acks;
use super::names::Names;
use crate::backoff::Backoff;
use crate::report::RunKey;

/// Answers whose arrival is awaited.
const UNDER_WAY: usize = 256;

/// Speaks to one guest. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Speech {
    link: Link,
    names: Arc<Names>,
    answered: mpsc::Sender<Answered>,
}

/// An answer under way to a call of the guest.
struct Answered {
    /// Of the answer.
    sent: u64,
    /// Of the call, which the guest keeps until it has the answer: a call whose answer is lost is made again.
    call: u64,
}

impl Speech {
    /// The second part settles calls whose answers have arrived; it ends with the last handle of the first.
    pub(crate) fn new(
        link: Link,
        acks: Arc<Acks>,
        names: Arc<Names>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (answered, mut arriving) = mpsc::channel::<Answered>(UNDER_WAY);
        let settled_on = link.clone();
        let settle = async move {
            while let Some(answer) = arriving.recv().await {
                if settled_on.taken(answer.sent).await.is_err() {
                    return;
                }
                acks.answered(answer.call);
            }
        };
        let speech = Self {
            link,
            names,
            answered,
        };
        (speech, settle)
    }

    /// Queues a frame; waits while the guest takes nothing. Gives its position.
    pub(crate) async fn say(&self, body: Body) -> Result<u64, host::Error> {
        let body = self.names.say(body);
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(500));
        loop {
            match self.link.send(body.clone()) {
                Err(host::Error::Full { .. }) => backoff.wait().await,
                sent => return sent,
            }
        }
    }

    /// Queues a line for a run's runtime.
    pub(crate) async fn line(&self, run: RunKey, line: Vec<u8>) -> Result<u64, host::Error> {
        self.say(Body::RunLine(RunLine {
            run_id: run.run_id.to_string(),
            attempt_number: run.attempt_number,
            line,
            cut_from_bytes: None,
        }))
        .await
    }

    /// Queues the answer to the call in frame `call`, which is settled once the guest has the answer.
    pub(crate) async fn answer(
        &self,
        run: RunKey,
        call: u64,
        line: Vec<u8>,
    ) -> Result<(), host::Error> {
        let sent = self.line(run, line).await?;
        // The receiver ends only when the channel is broken, and then nothing is settled any more.
        drop(self.answered.send(Answered { sent, call }).await);
        Ok(())
    }

    /// Queues a signal for a run's process and everything it started.
    pub(crate) async fn signal(&self, run: RunKey, signal: i32) -> Result<u64, host::Error> {
        self.say(Body::SignalRun(SignalRun {
            run_id: run.run_id.to_string(),
            attempt_number: run.attempt_number,
            signal,
            number: 0,
        }))
        .await
    }

    /// Waits until the guest has dealt with the frame sent at `position`.
    pub(crate) async fn taken(&self, position: u64) -> Result<(), host::Error> {
        self.link.taken(position).await
    }
}
