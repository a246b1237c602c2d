//! A driver with directories around it, and a worker's view of one machine.

pub(crate) mod gvisor;
pub(crate) mod scripted;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use helmr_guest_wire::{Body, Exit, RunLine, SignalRun, StartRun};
use helmr_machine::host::{Link, Listener};
use helmr_machine::{Attempt, Driver, Limits, Spec};
use tokio::time::timeout;

/// For whatever is awaited: long enough for a loaded machine, short enough to fail in.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// What a promise needs of a driver under test.
pub(crate) trait Rig: Sized {
    type Driver: Driver;

    fn driver(&self) -> &Self::Driver;

    /// Where the rig's files are.
    fn path(&self) -> &Path;

    /// The root image and guest of this rig's machines.
    fn images(&self) -> (PathBuf, PathBuf);

    /// Starts the run that counts lines.
    fn counter(&self) -> StartRun;

    /// A place where a checkpoint cannot be written, or a driver that will fail to write the next one.
    fn failing_image(&self) -> PathBuf;

    /// What the host still knows of an attempt.
    fn remains(&self, attempt: &Attempt) -> Vec<String>;

    /// Checks that nothing is left and removes the rig.
    async fn retire(self);
}

/// An attempt with the directories that belong to it.
pub(crate) fn spec(rig: &impl Rig, attempt: &Attempt) -> Spec {
    let (root_image, guest_dir) = rig.images();
    let attempt_dir = rig.path().join("attempts").join(attempt.container());
    let host_dir = attempt_dir.join("host");
    let bundles_dir = rig.path().join("bundles");
    let workspace_dir = rig.path().join("tree");
    for directory in [&host_dir, &bundles_dir, &workspace_dir] {
        fs::create_dir_all(directory).unwrap();
    }
    let program =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/programs/counter.mjs");
    fs::copy(program, bundles_dir.join("counter.mjs")).unwrap();
    Spec {
        root_image,
        guest_dir,
        bundles_dir,
        host_dir,
        attempt_dir: attempt_dir.join("bundle"),
        workspace_dir,
        overlay_dir: attempt_dir.join("bundle"),
        mount_path: "/workspace".to_owned(),
        host_name: "sandbox".to_owned(),
        env: vec![("LANG".to_owned(), "C.UTF-8".to_owned())],
        limits: Limits {
            cpu_millis: 2000,
            memory_bytes: 512 << 20,
            processes: 256,
        },
    }
}

pub(crate) fn attempt(number: u32) -> Attempt {
    Attempt {
        machine: "machine".to_owned(),
        number,
    }
}

/// A live machine as its worker sees it.
pub(crate) struct Live {
    pub(crate) attempt: Attempt,
    pub(crate) spec: Spec,
    pub(crate) link: Link,
    /// Whether frames are acknowledged as they are taken.
    pub(crate) acknowledging: bool,
    /// The last frame taken for good: a restored guest may tell it again.
    pub(crate) last: u64,
    printed: Vec<u8>,
}

/// A machine that is an image now.
pub(crate) struct Parked {
    pub(crate) image: PathBuf,
    pub(crate) last: u64,
}

/// A live machine that no worker listens to.
pub(crate) struct Silent {
    attempt: Attempt,
    spec: Spec,
}

impl Silent {
    pub(crate) async fn take_over_with(self, silence_limit: Option<Duration>) -> Live {
        let listener = Listener::bind(&self.spec.host_dir, &self.attempt, silence_limit).unwrap();
        Live::greeted(self.attempt, self.spec, &listener).await
    }
}

impl Live {
    pub(crate) async fn start(rig: &impl Rig, number: u32) -> Self {
        let attempt = attempt(number);
        let spec = spec(rig, &attempt);
        Self::start_with(rig, attempt, spec).await
    }

    pub(crate) async fn start_with(rig: &impl Rig, attempt: Attempt, spec: Spec) -> Self {
        let listener = Listener::bind(&spec.host_dir, &attempt, None).unwrap();
        rig.driver().start(&attempt, &spec, DEADLINE).await.unwrap();
        Self::greeted(attempt, spec, &listener).await
    }

    pub(crate) async fn restore(rig: &impl Rig, number: u32, parked: &Parked) -> Self {
        let attempt = attempt(number);
        let spec = spec(rig, &attempt);
        let listener = Listener::bind(&spec.host_dir, &attempt, None).unwrap();
        rig.driver()
            .restore(&attempt, &spec, &parked.image, DEADLINE)
            .await
            .unwrap();
        Self {
            last: parked.last,
            ..Self::greeted(attempt, spec, &listener).await
        }
    }

    pub(crate) async fn greeted(attempt: Attempt, spec: Spec, listener: &Listener) -> Self {
        let link = listener.greeted(DEADLINE).await.unwrap();
        Self {
            attempt,
            spec,
            link,
            acknowledging: true,
            last: 0,
            printed: Vec::new(),
        }
    }

    /// A worker that remembers nothing takes over.
    pub(crate) async fn take_over(self) -> Self {
        self.take_over_with(None).await
    }

    pub(crate) async fn take_over_with(self, silence_limit: Option<Duration>) -> Self {
        self.fall_silent().take_over_with(silence_limit).await
    }

    /// The worker goes away.
    pub(crate) fn fall_silent(self) -> Silent {
        Silent {
            attempt: self.attempt,
            spec: self.spec,
        }
    }

    pub(crate) fn run(&self, start: StartRun) {
        self.link.send(Body::StartRun(start)).unwrap();
    }

    /// Starts a shell script as the run.
    pub(crate) fn shell(&self, script: &str) {
        self.run(start_run(&["/bin/sh", "-c", script]));
    }

    pub(crate) fn say(&self, line: &str) {
        let line = RunLine {
            run_id: "run".to_owned(),
            attempt_number: 1,
            line: line.into(),
            cut_from_bytes: None,
        };
        self.link.send(Body::RunLine(line)).unwrap();
    }

    pub(crate) fn signal(&self, signal: i32) {
        let signal = SignalRun {
            run_id: "run".to_owned(),
            attempt_number: 1,
            signal,
            number: 0,
        };
        self.link.send(Body::SignalRun(signal)).unwrap();
    }

    /// The next line of the run's channel; what it prints meanwhile is kept.
    pub(crate) async fn line(&mut self) -> serde_json::Value {
        loop {
            match self.next().await {
                Body::RunLine(line) => return serde_json::from_slice(&line.line).unwrap(),
                Body::RunOutput(_) => {}
                other => panic!("expected a line, got {other:?}; printed {}", self.printed()),
            }
        }
    }

    pub(crate) async fn ask(&mut self, line: &str) -> serde_json::Value {
        self.say(line);
        self.line().await
    }

    pub(crate) async fn until_exit(&mut self) -> Exit {
        loop {
            if let Body::RunExited(exited) = self.next().await {
                return exited.exit.unwrap();
            }
        }
    }

    /// Waits until the run has printed `text`.
    pub(crate) async fn until_printed(&mut self, text: &str) {
        while !self.printed().contains(text) {
            match self.next().await {
                Body::RunOutput(_) | Body::RunLine(_) => {}
                other => panic!(
                    "expected {text:?} to be printed, got {other:?}; printed {}",
                    self.printed()
                ),
            }
        }
    }

    /// Everything printed so far, to either stream.
    pub(crate) fn printed(&self) -> String {
        String::from_utf8_lossy(&self.printed).into_owned()
    }

    async fn next(&mut self) -> Body {
        loop {
            let arrived = timeout(DEADLINE, self.link.recv()).await;
            let arrived = arrived
                .unwrap_or_else(|_| panic!("no frame in time; printed {}", self.printed()))
                .unwrap();
            if self.acknowledging {
                self.link.acknowledge(arrived.position);
            }
            if arrived.position <= self.last {
                continue;
            }
            self.last = arrived.position;
            let body = arrived.body.unwrap();
            if let Body::RunOutput(output) = &body {
                self.printed
                    .extend(output.chunks.iter().flat_map(|chunk| &chunk.data));
            }
            return body;
        }
    }

    /// Parks it: what a worker does, in the order it does it.
    pub(crate) async fn park(self, rig: &impl Rig) -> Parked {
        let image = rig.path().join(format!("image-{}", self.attempt.number));
        rig.driver().pause(&self.attempt, DEADLINE).await.unwrap();
        let bytes = rig
            .driver()
            .checkpoint(&self.attempt, &image, DEADLINE)
            .await
            .unwrap();
        assert!(bytes > 0, "an image has a size");
        let parked = Parked {
            image,
            last: self.last,
        };
        self.kill(rig).await;
        parked
    }

    pub(crate) async fn kill(self, rig: &impl Rig) -> Attempt {
        rig.driver().kill(&self.attempt, DEADLINE).await.unwrap();
        assert_eq!(rig.remains(&self.attempt), Vec::<String>::new());
        self.attempt
    }
}

pub(crate) fn start_run(argv: &[&str]) -> StartRun {
    StartRun {
        run_id: "run".to_owned(),
        attempt_number: 1,
        argv: argv.iter().map(|argument| (*argument).to_owned()).collect(),
        cwd: "/workspace".to_owned(),
        init_line: b"init".to_vec(),
        ..StartRun::default()
    }
}
