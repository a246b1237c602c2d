//! A scripted guest's connections: it dials and redials as the agent does.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use helmr_guest_wire::{Arrival, Body, Frame, Heartbeat, Hello, PROTOCOL, decode, encode};
use rustix::fs::{Mode, OFlags};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::driver::World;
use super::state::{GuestState, Surroundings};
use crate::host::SOCKET_NAME;

const REDIAL_AFTER: Duration = Duration::from_millis(5);
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);

/// One running scripted machine.
#[derive(Debug)]
pub(super) struct Guest {
    state: Mutex<GuestState>,
    paused: watch::Sender<bool>,
    /// A gate was opened.
    pub(super) nudged: Notify,
    host_dir: PathBuf,
    workspace_dir: PathBuf,
    world: Arc<World>,
}

/// The connection is of no more use.
struct Cut;

impl<E: std::error::Error> From<E> for Cut {
    fn from(_: E) -> Self {
        Self
    }
}

impl Guest {
    pub(super) fn new(
        state: GuestState,
        host_dir: PathBuf,
        workspace_dir: PathBuf,
        world: Arc<World>,
    ) -> Self {
        Self {
            state: Mutex::new(state),
            paused: watch::Sender::new(false),
            nudged: Notify::new(),
            host_dir,
            workspace_dir,
            world,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, GuestState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_paused(&self) -> bool {
        *self.paused.borrow()
    }

    /// Pauses or resumes. Nothing of the state changes once this has paused it.
    pub(super) fn set_paused(&self, paused: bool) {
        let _state = self.state();
        self.paused.send_replace(paused);
    }

    /// Lives until it is aborted, or told to stop.
    pub(super) async fn live(self: Arc<Self>) {
        loop {
            self.unpaused().await;
            if let Ok(stream) = self.dial().await
                && matches!(self.serve(stream).await, Ok(Stopped))
            {
                return;
            }
            sleep(REDIAL_AFTER).await;
        }
    }

    async fn unpaused(&self) {
        let mut paused = self.paused.subscribe();
        // The sender is `self`: it outlives this wait.
        let _running = paused.wait_for(|paused| !paused).await;
    }

    async fn dial(&self) -> Result<UnixStream, Cut> {
        let directory: OwnedFd = rustix::fs::open(
            &self.host_dir,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let short = Path::new("/proc/self/fd")
            .join(directory.as_raw_fd().to_string())
            .join(SOCKET_NAME);
        Ok(UnixStream::connect(short).await?)
    }

    fn hello(&self) -> Frame {
        let attempt = std::fs::read_to_string(self.host_dir.join("attempt")).unwrap_or_default();
        let state = self.state();
        let received = state.inbound.received();
        let hello = Hello {
            protocol: PROTOCOL,
            boot_id: state.boot_id.clone(),
            attempt,
            received,
            oldest_unacknowledged: state.outbound.oldest(),
            runs: state.known_runs(),
        };
        Frame {
            seq: 0,
            ack: received,
            body: Some(Body::Hello(hello)),
        }
    }

    async fn serve(&self, mut stream: UnixStream) -> Result<Stopped, Cut> {
        let (mut reader, mut writer) = stream.split();
        let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
        encode(&self.hello(), &mut output)?;
        let mut beat = interval(HEARTBEAT_EVERY);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut welcomed = false;
        let mut said = 0;
        let mut paused = self.paused.subscribe();
        loop {
            self.unpaused().await;
            while let Some(frame) = decode(&mut input)? {
                if let Some(stopped) = self.take(frame, &mut welcomed)? {
                    return Ok(stopped);
                }
            }
            if welcomed {
                said = self.advance_and_fill(&mut output, said)?;
            }
            input.reserve(4096);
            tokio::select! {
                read = reader.read_buf(&mut input) => if read? == 0 { return Err(Cut) },
                written = writer.write_buf(&mut output), if !output.is_empty() => if written? == 0 { return Err(Cut) },
                () = self.nudged.notified() => {}
                _ = paused.changed() => {}
                _ = beat.tick() => encode(&self.heartbeat(), &mut output)?,
            }
        }
    }

    fn take(&self, frame: Frame, welcomed: &mut bool) -> Result<Option<Stopped>, Cut> {
        let state = &mut *self.state();
        if *self.paused.borrow() {
            // Too late for this frame: the host sends it again to the next connection.
            return Err(Cut);
        }
        state.outbound.acknowledge(frame.ack)?;
        state.forget_acknowledged();
        if let (Some(Body::Welcome(welcome)), false) = (&frame.body, *welcomed) {
            let from = welcome
                .received
                .map_or(state.outbound.oldest(), |received| received + 1);
            state.outbound.replay_from(from)?;
            *welcomed = true;
        } else if frame.seq > 0 {
            match state.inbound.admit(frame.seq) {
                Arrival::New => match frame.body {
                    Some(Body::StartRun(start)) => state.start(&start, self.world.script(&start)),
                    Some(Body::RunLine(line)) => state.take_line(line),
                    Some(Body::SignalRun(signal)) => {
                        state.signal(&signal.run_id, signal.attempt_number, signal.signal);
                    }
                    Some(Body::FindProcesses(asked)) => state.find_processes(&asked),
                    Some(Body::StopMachine(_)) => return Ok(Some(Stopped)),
                    _ => {}
                },
                Arrival::Duplicate => {}
                Arrival::Gap => return Err(Cut),
            }
        }
        Ok(None)
    }

    fn advance_and_fill(&self, output: &mut BytesMut, said: u64) -> Result<u64, Cut> {
        let state = &mut *self.state();
        if *self.paused.borrow() {
            return Ok(said);
        }
        let is_open = |gate: &str| self.world.is_open(gate);
        state.advance(&Surroundings {
            workspace_dir: &self.workspace_dir,
            is_open: &is_open,
        });
        let ack = state.inbound.received();
        let mut wrote = false;
        while state.outbound.write_next(ack, output)? {
            wrote = true;
        }
        if !wrote && ack > said {
            encode(
                &Frame {
                    seq: 0,
                    ack,
                    body: Some(Body::Heartbeat(Heartbeat {})),
                },
                output,
            )?;
        }
        Ok(ack)
    }

    fn heartbeat(&self) -> Frame {
        Frame {
            seq: 0,
            ack: self.state().inbound.received(),
            body: Some(Body::Heartbeat(Heartbeat {})),
        }
    }
}

/// The worker stopped the machine.
struct Stopped;
