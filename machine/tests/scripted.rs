//! What tests of other crates rely on: scripts do what they say, and faults happen as they are queued.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use helmr_guest_wire::{Body, OutputStream, RunLine, StartRun};
use helmr_machine::host::{Link, Listener};
use helmr_machine::scripted::{Effect, Operation, Scripted, Step};
use helmr_machine::{Attempt, Driver as _, Error, Limits, Presence, Spec};
use tempfile::TempDir;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);

struct Rig {
    driver: Scripted,
    directory: TempDir,
}

fn attempt(number: u32) -> Attempt {
    Attempt {
        machine: "machine".to_owned(),
        number,
    }
}

impl Rig {
    fn new(steps: &[Step]) -> Self {
        let steps = steps.to_vec();
        Self {
            driver: Scripted::new(move |_| steps.clone()),
            directory: TempDir::new().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn spec(&self, attempt: &Attempt) -> Spec {
        let host_dir = self.path(&attempt.container());
        let workspace_dir = self.path("tree");
        fs::create_dir_all(&host_dir).unwrap();
        fs::create_dir_all(&workspace_dir).unwrap();
        Spec {
            root_image: PathBuf::new(),
            guest_dir: PathBuf::new(),
            bundles_dir: PathBuf::new(),
            host_dir,
            attempt_dir: PathBuf::new(),
            workspace_dir,
            overlay_dir: PathBuf::new(),
            mount_path: "/workspace".to_owned(),
            host_name: "sandbox".to_owned(),
            env: vec![],
            limits: Limits {
                cpu_millis: 1000,
                memory_bytes: 1 << 30,
                processes: 100,
            },
        }
    }

    fn listen(&self, attempt: &Attempt) -> Listener {
        Listener::bind(&self.spec(attempt).host_dir, attempt, None).unwrap()
    }

    async fn start(&self) -> Link {
        let listener = self.listen(&attempt(1));
        self.driver
            .start(&attempt(1), &self.spec(&attempt(1)), DEADLINE)
            .await
            .unwrap();
        let link = listener.greeted(DEADLINE).await.unwrap();
        let start = StartRun {
            run_id: "run".to_owned(),
            attempt_number: 1,
            init_line: br#"{"type":"init","data":{"a":1}}"#.to_vec(),
            ..StartRun::default()
        };
        link.send(Body::StartRun(start)).unwrap();
        link
    }

    async fn park(&self) -> PathBuf {
        self.driver.pause(&attempt(1), DEADLINE).await.unwrap();
        let image = self.path("image");
        self.driver
            .checkpoint(&attempt(1), &image, DEADLINE)
            .await
            .unwrap();
        self.driver.kill(&attempt(1), DEADLINE).await.unwrap();
        image
    }
}

async fn next(link: &Link) -> Body {
    timeout(DEADLINE, link.recv())
        .await
        .expect("a frame")
        .unwrap()
        .body
        .unwrap()
}

async fn next_line(link: &Link) -> String {
    match next(link).await {
        Body::RunLine(line) => String::from_utf8(line.line).unwrap(),
        other => panic!("expected a line, got {other:?}"),
    }
}

#[tokio::test]
async fn a_script_is_followed_step_by_step() {
    let rig = Rig::new(&[
        Step::Await("init".to_owned()),
        Step::Say("got $data of $line".to_owned()),
        Step::Print("out".to_owned()),
        Step::Print("more".to_owned()),
        Step::PrintError("err".to_owned()),
        Step::Write("file".to_owned(), "content".to_owned()),
        Step::Gate("open".to_owned()),
        Step::Exit(3),
    ]);
    let link = rig.start().await;
    assert_eq!(
        next_line(&link).await,
        r#"got {"a":1} of {"type":"init","data":{"a":1}}"#
    );
    let expected = [
        (OutputStream::Stdout, 0, "out"),
        (OutputStream::Stdout, 3, "more"),
        (OutputStream::Stderr, 0, "err"),
    ];
    for expected in expected {
        let Body::RunOutput(output) = next(&link).await else {
            panic!("expected output")
        };
        let chunk = &output.chunks[0];
        assert_eq!(
            (
                chunk.stream(),
                chunk.offset,
                std::str::from_utf8(&chunk.data).unwrap()
            ),
            expected
        );
    }
    timeout(SHORT, link.recv())
        .await
        .expect_err("the gate is closed");
    assert_eq!(
        fs::read_to_string(rig.path("tree/file")).unwrap(),
        "content"
    );
    rig.driver.open_gate("open");
    let Body::RunExited(exited) = next(&link).await else {
        panic!("expected the end")
    };
    assert_eq!(exited.exit.unwrap().code, Some(3));
}

#[tokio::test]
async fn an_injected_failure_changes_nothing_and_happens_once() {
    let rig = Rig::new(&[Step::Serve]);
    rig.driver.inject(Operation::Pause, Effect::Fail);
    let link = rig.start().await;
    let refused = rig.driver.pause(&attempt(1), DEADLINE).await.unwrap_err();
    assert!(
        matches!(
            refused,
            Error::Refused {
                operation: "pause",
                ..
            }
        ),
        "{refused}"
    );
    assert_eq!(
        rig.driver.presence(&attempt(1)).await.unwrap(),
        Presence::Running
    );
    rig.driver.pause(&attempt(1), DEADLINE).await.unwrap();
    rig.driver.resume(&attempt(1), DEADLINE).await.unwrap();
    assert_eq!(
        next_line(&link).await,
        r#"{"count":1,"line":"{\"type\":\"init\",\"data\":{\"a\":1}}"}"#
    );
}

#[tokio::test]
async fn a_restore_that_hangs_restores_nothing_and_one_that_happens_late_does() {
    let rig = Rig::new(&[Step::Serve]);
    rig.start().await;
    let image = rig.park().await;
    for (number, effect, left) in [
        (2, Effect::Hang, 0),
        (3, Effect::HangThenHappen, 1),
        (4, Effect::Slow(SHORT), 0),
    ] {
        rig.driver.inject(Operation::Restore, effect);
        let attempt = attempt(number);
        let listener = rig.listen(&attempt);
        let passed = rig
            .driver
            .restore(&attempt, &rig.spec(&attempt), &image, SHORT)
            .await
            .unwrap_err();
        assert!(
            matches!(
                passed,
                Error::DeadlinePassed {
                    operation: "restore",
                    ..
                }
            ),
            "{passed}"
        );
        assert_eq!(rig.driver.attempts().len(), left, "{effect:?}");
        if left == 1 {
            listener.greeted(DEADLINE).await.unwrap();
        }
        rig.driver.kill(&attempt, DEADLINE).await.unwrap();
    }
}

#[tokio::test]
async fn a_crashed_machine_is_gone_and_takes_its_connection_with_it() {
    let rig = Rig::new(&[Step::Serve]);
    let link = rig.start().await;
    next(&link).await;
    assert!(rig.driver.crash(&attempt(1)));
    assert!(!rig.driver.crash(&attempt(1)));
    assert_eq!(
        rig.driver.presence(&attempt(1)).await.unwrap(),
        Presence::Gone
    );
    let cut = async {
        while link.is_connected() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, cut).await.expect("the connection to end");
}

#[tokio::test]
async fn a_running_machine_is_not_checkpointed() {
    let rig = Rig::new(&[Step::Serve]);
    rig.start().await;
    rig.driver
        .checkpoint(&attempt(1), &rig.path("image"), DEADLINE)
        .await
        .unwrap_err();
    assert!(!rig.path("image").exists());
}

#[tokio::test]
async fn what_waits_for_a_line_is_parked_with_what_it_waits_for() {
    let rig = Rig::new(&[
        Step::Await("init".to_owned()),
        Step::Await("answer".to_owned()),
        Step::Say("$data".to_owned()),
    ]);
    let first = rig.start().await;
    first.taken(1).await.unwrap();
    let image = rig.park().await;
    let listener = rig.listen(&attempt(2));
    rig.driver
        .restore(&attempt(2), &rig.spec(&attempt(2)), &image, DEADLINE)
        .await
        .unwrap();
    let link = listener.greeted(DEADLINE).await.unwrap();
    let answer = RunLine {
        run_id: "run".to_owned(),
        attempt_number: 1,
        line: br#"{"type":"answer","data":[1,2]}"#.to_vec(),
        cut_from_bytes: None,
    };
    link.send(Body::RunLine(answer)).unwrap();
    assert_eq!(next_line(&link).await, "[1,2]");
}
