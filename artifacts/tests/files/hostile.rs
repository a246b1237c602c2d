//! Somebody in the workspace swaps names for links, FIFOs and directories while the host works on them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path as OsPath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use helmr_artifacts::files::{
    self, Append, Condition, Error, Flow, Kind, Put, Tree as _, Unpacking, pack, unpack,
};

use crate::world::{World, path, text};

/// So long everything is tried; nothing may be stuck then.
const STORM: Duration = Duration::from_millis(1500);

/// Keeps changing the tree until it is dropped.
struct Swapper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Swapper {
    fn start(mut swap: impl FnMut(u64) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut rounds = 0;
            while !stopped.load(Ordering::Relaxed) {
                swap(rounds);
                rounds += 1;
            }
            rounds
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    /// Ends it and tells how often it swapped.
    fn rounds(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn clear(path: &OsPath) {
    if fs::remove_file(path).is_err() {
        drop(fs::remove_dir_all(path));
    }
}

/// Puts something else at `path` each time.
fn swap(path: &OsPath, outside: &OsPath, round: u64) {
    clear(path);
    // Whoever else makes something there meanwhile may.
    match round % 6 {
        0 => drop(fs::write(path, "inside")),
        1 => drop(symlink(outside, path)),
        2 => drop(rustix::fs::mkfifoat(
            rustix::fs::CWD,
            path,
            rustix::fs::Mode::RWXU,
        )),
        3 => drop(fs::create_dir(path)),
        4 => drop(symlink("../../../../../../etc/passwd", path)),
        _ => drop(std::os::unix::net::UnixListener::bind(path)),
    }
}

/// What the guest's games may make of an operation; anything else would be news.
fn check_refusal(error: &Error) {
    assert!(
        matches!(
            error,
            Error::NotFound { .. }
                | Error::Exists { .. }
                | Error::IsDirectory { .. }
                | Error::NotDirectory { .. }
                | Error::NotRegular { .. }
                | Error::NotEmpty { .. }
                | Error::Outside { .. }
                | Error::Unstable { .. }
                | Error::Changed { .. }
                | Error::Stream(_)
        ),
        "{error:?}"
    );
}

#[test]
fn a_file_that_is_swapped_is_never_read_or_written_outside_and_blocks_nobody() {
    let world = World::new();
    let (target, outside) = (world.tree().join("x"), world.outside());
    let swapped = (target.clone(), outside.clone());
    let swapper = Swapper::start(move |round| swap(&swapped.0, &swapped.1, round));
    let live = world.live();
    let (mut read, mut written) = (0, 0);
    let begun = Instant::now();
    while begun.elapsed() < STORM {
        match text(&live, "x") {
            Ok(found) => {
                // What is inside may have been added to more than once.
                let others = found.contains("outside") || found.contains("root:");
                assert!(!others, "{found}");
                read += 1;
            }
            Err(error) => check_refusal(&error),
        }
        let put = live.put(&path("x"), &world.staged(b"put"), &Put::default());
        let added = live.append(&path("x"), &world.staged(b"more"), &Append::default());
        let mode = live.set_mode(&path("x"), 0o640, &Condition::None);
        for done in [put, added, mode] {
            match done {
                Ok(_) => written += 1,
                Err(error) => check_refusal(&error),
            }
        }
        if let Err(error) = files::stat(&live, &path("x"), true) {
            check_refusal(&error);
        }
    }
    let rounds = swapper.rounds();
    assert!(
        read > 0 && written > 0 && rounds > 100,
        "{read} {written} {rounds}"
    );
    assert_eq!(fs::read_to_string(&outside).unwrap(), "outside");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(
        outside.metadata().unwrap().permissions().mode() & 0o777,
        0o644
    );
}

#[test]
fn a_directory_that_is_swapped_for_a_link_leads_nobody_out() {
    let world = World::new();
    let elsewhere = world.outside().with_file_name("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("f"), "outside").unwrap();
    fs::write(elsewhere.join("victim"), "outside").unwrap();
    let dir = world.tree().join("d");
    let swapped = (dir.clone(), elsewhere.clone());
    let swapper = Swapper::start(move |round| {
        clear(&swapped.0);
        if round % 2 == 0 {
            drop(fs::create_dir(&swapped.0));
            drop(fs::write(swapped.0.join("f"), "inside"));
            drop(fs::create_dir(swapped.0.join("sub")));
        } else {
            drop(symlink(&swapped.1, &swapped.0));
        }
    });
    let live = world.live();
    let mut good = 0_u32;
    let mut count = |done: Result<(), Error>| match done {
        Ok(()) => good += 1,
        Err(error) => check_refusal(&error),
    };
    let mut archive = tar_of(&[("d/f", "inside"), ("d/sub/g", "inside")]);
    let begun = Instant::now();
    while begun.elapsed() < STORM {
        match text(&live, "d/f") {
            Ok(found) => assert!(["inside", "", "put"].contains(&found.as_str()), "{found}"),
            Err(error) => check_refusal(&error),
        }
        match files::list(&live, &path("d"), None, 10) {
            Ok(page) => {
                let outside = page
                    .items
                    .iter()
                    .any(|info| info.path.to_string() == "d/victim");
                assert!(!outside, "{page:?}");
            }
            Err(error) => check_refusal(&error),
        }
        let parents = Put {
            parents: true,
            ..Put::default()
        };
        count(
            live.put(&path("d/f"), &world.staged(b"put"), &parents)
                .map(drop),
        );
        count(
            live.put(&path("d/new/g"), &world.staged(b"put"), &parents)
                .map(drop),
        );
        count(
            live.make_directory(&path("d/sub/deep"), None, true)
                .map(drop),
        );
        count(live.rename(&path("d/f"), &path("d/sub/f"), true).map(drop));
        count(live.remove(&path("d/victim"), true, &Condition::None));
        count(live.remove(&path("d"), true, &Condition::None));
        count(live.walk(&path(""), None, &mut |found| {
            assert_ne!(found.info().path.to_string(), "d/victim");
            if let Some(mut content) = found.open()? {
                let mut text = String::new();
                drop(std::io::Read::read_to_string(&mut content, &mut text));
                assert_ne!(text, "outside");
            }
            Ok(Flow::On)
        }));
        count(pack(&live, &path(""), &mut std::io::sink()).map(drop));
        let mut in_turn = |work: &mut dyn FnMut() -> Result<(), Error>| work();
        let mut unpacking = Unpacking::new(&live, &mut in_turn);
        count(unpack(archive.as_slice(), &path(""), &mut unpacking).map(drop));
    }
    archive.clear();
    assert!(swapper.rounds() > 100 && good > 0, "{good}");
    let mut left: Vec<_> = fs::read_dir(&elsewhere)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["f", "victim"]);
    for name in ["f", "victim"] {
        assert_eq!(fs::read_to_string(elsewhere.join(name)).unwrap(), "outside");
    }
}

#[test]
fn a_directory_that_is_filled_while_it_is_removed_does_not_hold_the_remover() {
    let world = World::new();
    let dir = world.tree().join("d/e");
    let filled = dir.clone();
    fs::create_dir_all(&dir).unwrap();
    let filler = Swapper::start(move |round| {
        drop(fs::create_dir_all(&filled));
        drop(fs::write(filled.join(format!("f{}", round % 50)), ""));
    });
    let live = world.live();
    let begun = Instant::now();
    let mut removals = 0;
    while begun.elapsed() < STORM {
        match live.remove(&path("d"), true, &Condition::None) {
            Ok(()) => removals += 1,
            Err(error) => check_refusal(&error),
        }
    }
    assert!(begun.elapsed() < STORM * 10, "{:?}", begun.elapsed());
    assert!(filler.rounds() > 0 && removals < 1_000_000);
}

#[test]
fn what_is_no_file_is_told_and_left_alone() {
    let world = World::new();
    swap(&world.tree().join("fifo"), &world.outside(), 2);
    swap(&world.tree().join("socket"), &world.outside(), 5);
    let live = world.live();
    for (name, kind) in [("fifo", Kind::Fifo), ("socket", Kind::Other)] {
        assert_eq!(files::stat(&live, &path(name), false).unwrap().kind, kind);
        assert!(matches!(text(&live, name), Err(Error::NotRegular { .. })));
        let put = live.put(&path(name), &world.staged(b"x"), &Put::default());
        assert!(matches!(put, Err(Error::NotRegular { .. })), "{put:?}");
    }
    live.remove(&path("fifo"), false, &Condition::None).unwrap();
}

/// An archive with these files, as GNU tar makes it.
fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let made = std::process::Command::new("tar")
        .args(["--create", "--file", "-", "--directory"])
        .arg(dir.path())
        .arg(".")
        .output()
        .unwrap();
    assert!(made.status.success());
    made.stdout
}
