//! Who writes the tree may be hostile and may be writing still.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use helmr_artifacts::Error;
use helmr_artifacts::tree::{self, Node};
use rustix::fs::{CWD, FileType, Mode};

use crate::world::{World, noise, open};

#[test]
fn sockets_and_devices_are_left_out_and_fifos_never_opened() {
    let world = World::new();
    let _listener = UnixListener::bind(world.tree().join("socket")).unwrap();
    // Opening this one for reading would wait for a writer that never comes.
    rustix::fs::mkfifoat(CWD, world.tree().join("fifo"), Mode::RWXU).unwrap();
    let mut left_out = 1;
    if rustix::process::geteuid().is_root() {
        let device = rustix::fs::makedev(1, 3);
        rustix::fs::mknodat(
            CWD,
            world.tree().join("null"),
            FileType::CharacterDevice,
            Mode::RWXU,
            device,
        )
        .unwrap();
        left_out += 1;
    }
    let captured = world.capture(None);
    assert_eq!((captured.left_out, captured.entries), (left_out, 2));
}

#[test]
fn links_are_kept_and_never_followed() {
    let world = World::new();
    let outside = world.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "the host's").unwrap();
    symlink(&outside, world.tree().join("dir")).unwrap();
    symlink(outside.join("secret"), world.tree().join("file")).unwrap();
    symlink("/proc/self/root", world.tree().join("magic")).unwrap();
    let captured = world.capture(None);
    assert_eq!((captured.entries, captured.size_bytes), (4, 0));
    let (made, _) = world.materialize(captured.id);
    assert_eq!(fs::read_link(made.join("dir")).unwrap(), outside);

    // In the way of a restore they are replaced, and what they point at stays as it is.
    let world = World::new();
    world.write("dir/secret", "the tree's");
    world.write("dir/other", "x");
    let captured = world.capture(None);
    fs::remove_dir_all(world.tree().join("dir")).unwrap();
    symlink(&outside, world.tree().join("dir")).unwrap();
    tree::restore(
        &world.artifacts,
        &world.keys,
        captured.id,
        open(&world.tree()),
        Some(&captured.index),
    )
    .unwrap();
    assert!(
        fs::symlink_metadata(world.tree().join("dir"))
            .unwrap()
            .is_dir()
    );
    assert_eq!(
        fs::read_to_string(outside.join("secret")).unwrap(),
        "the host's"
    );
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

/// Swaps what is at two names for each other until told to stop.
fn swap_until(stop: &AtomicBool, one: &Path, other: &Path) -> u64 {
    let mut swaps = 0;
    while !stop.load(Ordering::Relaxed) {
        rustix::fs::renameat_with(CWD, one, CWD, other, rustix::fs::RenameFlags::EXCHANGE).unwrap();
        swaps += 1;
    }
    swaps
}

/// Stops the other thread however this one ends: a scope waits for both.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Captures many times while a name is swapped for `trap`; no capture may hold a byte of the secret or block.
fn capture_while_swapping(make_trap: impl FnOnce(&Path, &Path)) {
    let world = World::new();
    let outside = world.path("outside");
    fs::create_dir(&outside).unwrap();
    let secret = noise(2000, 666);
    fs::write(outside.join("victim"), &secret).unwrap();
    fs::write(outside.join("inside"), &secret).unwrap();
    world.write("victim", "harmless");
    world.write("dir/inside", "harmless");
    make_trap(&world.tree(), &outside);
    let (victim, trap) = (world.tree().join("victim"), world.tree().join("trap"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let swapper = scope.spawn(|| swap_until(&stop, &victim, &trap));
        let stopping = StopOnDrop(&stop);
        let mut finished = 0;
        for _ in 0..120 {
            match world.try_capture(None) {
                Ok(captured) => {
                    finished += 1;
                    for entry in tree::read(&world.artifacts, &world.keys, captured.id).unwrap() {
                        let entry = entry.unwrap();
                        if let Node::File { content, .. } = &entry.node {
                            assert!(content.size_bytes() < 2000, "{entry:?}");
                        }
                    }
                }
                // A name that is something else at each of several looks is an honest answer too.
                Err(Error::Unstable { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        drop(stopping);
        assert!(swapper.join().unwrap() > 120);
        assert!(finished > 40, "{finished} of 120 captures finished");
    });
}

#[test]
fn a_file_swapped_for_a_link_gives_nothing_away() {
    capture_while_swapping(|tree, outside| {
        symlink(outside.join("victim"), tree.join("trap")).unwrap()
    });
}

#[test]
fn a_file_swapped_for_a_fifo_does_not_block() {
    capture_while_swapping(|tree, _| {
        rustix::fs::mkfifoat(CWD, tree.join("trap"), Mode::RWXU).unwrap()
    });
}

#[test]
fn a_directory_swapped_for_a_link_gives_nothing_away() {
    capture_while_swapping(|tree, outside| {
        fs::remove_file(tree.join("victim")).unwrap();
        fs::rename(tree.join("dir"), tree.join("victim")).unwrap();
        symlink(outside, tree.join("trap")).unwrap();
    });
}

#[test]
fn a_file_swapped_for_a_directory_is_one_or_the_other() {
    capture_while_swapping(|tree, _| fs::rename(tree.join("dir"), tree.join("trap")).unwrap());
}

#[test]
fn files_that_vanish_and_grow_do_not_stop_a_capture() {
    let world = World::new();
    for number in 0..50 {
        world.write(&format!("steady/{number}"), noise(1000, number));
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut round = 0u64;
            while !stop.load(Ordering::Relaxed) {
                let dir = world.tree().join(format!("passing-{}", round % 7));
                fs::create_dir_all(&dir).unwrap();
                fs::write(
                    dir.join("file"),
                    noise(usize::try_from(round % 50).unwrap() * 4000, round),
                )
                .unwrap();
                fs::remove_dir_all(world.tree().join(format!("passing-{}", (round + 3) % 7))).ok();
                round += 1;
            }
        });
        let stopping = StopOnDrop(&stop);
        let mut index = None;
        for _ in 0..60 {
            let captured = world.capture(index.as_ref());
            assert!(captured.entries >= 52, "{}", captured.entries);
            index = Some(captured.index);
        }
        drop(stopping);
        writer.join().unwrap();
        // When it is quiet again nothing of what happened is missing.
        let captured = world.capture(index.as_ref());
        let (made, _) = world.materialize(captured.id);
        crate::snapshot::assert_same(&world.tree(), &made);
    });
}

/// Makes a chain of directories that is deeper than any path, from the inside.
fn make_depth(at: &Path, levels: usize) {
    let name = "d".repeat(20);
    let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::RDONLY;
    let mut dir = rustix::fs::open(at, flags, Mode::empty()).unwrap();
    for _ in 0..levels {
        rustix::fs::mkdirat(&dir, name.as_str(), Mode::RWXU).unwrap();
        dir = rustix::fs::openat(&dir, name.as_str(), flags, Mode::empty()).unwrap();
    }
    rustix::fs::openat(
        &dir,
        "deepest",
        rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY,
        Mode::RWXU,
    )
    .unwrap();
}

#[test]
fn a_tree_of_depth_alone_is_captured_as_far_as_paths_go_and_put_back_whole() {
    let world = World::new();
    world.write("kept", "kept");
    let before = world.capture(None);
    make_depth(&world.tree(), 2_000);
    let captured = world.capture(None);
    assert_eq!(captured.left_out, 1);
    assert!(
        (300..500).contains(&captured.entries),
        "{}",
        captured.entries
    );
    // What cannot be captured can be removed.
    tree::restore(
        &world.artifacts,
        &world.keys,
        before.id,
        open(&world.tree()),
        None,
    )
    .unwrap();
    let left: Vec<_> = fs::read_dir(world.tree())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["kept"]);

    make_depth(&world.tree(), 300);
    fs::create_dir(world.tree().join(".helmr-removed-0")).unwrap();
    tree::empty(open(&world.tree())).unwrap();
    assert_eq!(fs::read_dir(world.tree()).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_written_without_end_is_captured_in_some_state_of_it() {
    let world = World::new();
    let victim = world.write("victim", noise(3 << 20, 1));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut round = 2;
            while !stop.load(Ordering::Relaxed) {
                // In place, so that its change time moves and its name does not.
                let bytes = noise(64 << 10, round);
                let file = fs::File::options().write(true).open(&victim).unwrap();
                std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 1 << 20).unwrap();
                round += 1;
            }
        });
        let stopping = StopOnDrop(&stop);
        let first = world.capture(None);
        let second = world.capture(Some(&first.index));
        assert_eq!((first.size_bytes, second.size_bytes), (3 << 20, 3 << 20));
        drop(stopping);
        writer.join().unwrap();
        let last = world.capture(Some(&second.index));
        let (made, _) = world.materialize(last.id);
        crate::snapshot::assert_same(&world.tree(), &made);
    });
}
