//! Works on the pool: one that nobody waits for ends, and a few that take long do not hold up the others.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use helmr_artifacts::{Error, tree};

use crate::world::{World, open};

const DEADLINE: Duration = Duration::from_secs(30);
const ENTRIES: u64 = 64;

static SEEN: AtomicU64 = AtomicU64::new(0);
static OPEN: AtomicBool = AtomicBool::new(false);

/// Counts the entries, and lets none but the first pass until told.
fn at_entry() {
    SEEN.fetch_add(1, Ordering::SeqCst);
    while !OPEN.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[test]
fn a_capture_that_nobody_waits_for_ends_at_its_next_entry() {
    let world = World::new();
    for number in 0..ENTRIES {
        world.write(&format!("{number}"), "x");
    }
    let (ended, told) = mpsc::channel();
    let (keys, root) = (world.keys.clone(), open(&world.tree()));
    runtime().block_on(async {
        let work = world.artifacts.run(move |artifacts| {
            let done = tree::capture(&artifacts.at_entries(at_entry), &keys, &root, None);
            ended.send(done.map(drop)).unwrap();
            Ok::<_, Error>(())
        });
        let begun = async {
            while SEEN.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = work => panic!("the capture passed a gate that is shut"),
            () = begun => {}
        }
    });
    OPEN.store(true, Ordering::SeqCst);
    let done = told.recv_timeout(DEADLINE).unwrap();
    assert!(matches!(done, Err(Error::Abandoned)), "{done:?}");
    assert!(SEEN.load(Ordering::SeqCst) < ENTRIES);
}

#[test]
fn works_that_take_long_make_room_for_others() {
    let world = World::new();
    runtime().block_on(async {
        let mut slow = tokio::task::JoinSet::new();
        let mut gates = Vec::new();
        for _ in 0..8 {
            let (gate, passed) = mpsc::channel::<()>();
            gates.push(gate);
            let artifacts = world.artifacts.clone();
            slow.spawn(async move {
                let work = artifacts.run(move |_| {
                    passed.recv_timeout(DEADLINE).unwrap();
                    Ok::<_, Error>(())
                });
                work.await
            });
        }
        let quick = world.artifacts.run(|_| Ok::<_, Error>(7));
        let answered = tokio::time::timeout(DEADLINE / 2, quick).await;
        assert_eq!(answered.unwrap().unwrap(), 7);
        assert_eq!(slow.try_join_next().map(|_| ()), None);
        for gate in gates {
            gate.send(()).unwrap();
        }
        while let Some(done) = slow.join_next().await {
            done.unwrap().unwrap();
        }
    });
}
