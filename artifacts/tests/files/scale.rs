//! Very many small files: twenty thousand here, a million by `cargo xtask scale files`.

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use helmr_artifacts::files::{
    Condition, Edit, Glob, Meant, Put, Search, glob, list, pack, search, stat,
};

use crate::world::{World, path, text};

const USUAL: u32 = 20_000;
const IN_ONE: u32 = 1_000;

#[expect(
    clippy::disallowed_methods,
    reason = "a test's own size, given by `cargo xtask scale`"
)]
fn count() -> u32 {
    let asked = std::env::var("HELMR_SCALE_FILES").ok();
    asked.and_then(|count| count.parse().ok()).unwrap_or(USUAL)
}

/// Says how long something took, and how long each file of it.
fn told<T>(what: &str, of: u32, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    let took = begun.elapsed();
    // To where `--nocapture` shows it.
    let line = format!("{what}: {took:?}, {:?} a file\n", took / of);
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    done
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

#[test]
fn a_tree_of_very_many_small_files_is_worked_on_in_any_state() {
    let world = World::new();
    let all = count();
    told("make", all, || {
        for number in 0..all {
            if number % IN_ONE == 0 {
                fs::create_dir(world.tree().join(format!("d{}", number / IN_ONE))).unwrap();
            }
            let name = format!("d{}/f{number:07}", number / IN_ONE);
            fs::write(world.tree().join(name), format!("file number {number}\n")).unwrap();
        }
    });
    let last = format!("d{}/f{:07}", (all - 1) / IN_ONE, all - 1);
    let captured = told("capture", all, || world.capture());
    let stored = told("read the outline", all, || world.open(captured.id));
    let live = world.live();
    let pattern = Glob::new(format!("**/f{:07}", all - 1).as_bytes()).unwrap();
    let needle = format!("file number {}", all - 1);
    let needle = Search::new(&needle, Meant::default(), None).unwrap();
    let check = |what: &str, tree: &dyn Fn(&str)| told(what, 1, || tree(&last));
    check("live: stat and read one", &|name| {
        stat(&live, &path(name), false).unwrap();
        assert!(text(&live, name).unwrap().starts_with("file number"));
    });
    check("stored: stat and read one", &|name| {
        stat(&stored, &path(name), false).unwrap();
        assert!(text(&stored, name).unwrap().starts_with("file number"));
    });
    let page = told("live: list a directory's first page", 1, || {
        list(&live, &path("d0"), None, 200).unwrap()
    });
    assert_eq!(page.items.len(), 200);
    let page = told("stored: list the root", 1, || {
        list(&stored, &path(""), None, 200).unwrap()
    });
    assert_eq!(
        page.items.len(),
        usize::try_from(all.div_ceil(IN_ONE)).unwrap().min(200)
    );
    told("live: glob", all, || {
        let found = glob(&live, &path(""), &pattern, None, (10, later())).unwrap();
        assert_eq!(found.items.len(), 1);
    });
    told("stored: glob", all, || {
        let found = glob(&stored, &path(""), &pattern, None, (10, later())).unwrap();
        assert_eq!(found.items.len(), 1);
    });
    told("live: search", all, || {
        let found = search(&live, &path(""), &needle, None, (10, later())).unwrap();
        assert_eq!(found.items.len(), 1);
    });
    told("live: pack", all, || {
        pack(&live, &path(""), &mut std::io::sink()).unwrap()
    });
    let edited = told("stored: write one", 1, || {
        let mut edit = Edit::of(&stored);
        edit.put(&path(&last), &world.kept(b"changed"), &Put::default())
            .unwrap();
        edit.finish().unwrap()
    });
    assert_eq!(edited.changed_bytes, 7);
    told("live: write one", 1, || {
        world.put(&last, b"changed").unwrap()
    });
    told("live: remove all", all, || {
        for number in 0..all.div_ceil(IN_ONE) {
            let dir = path(&format!("d{number}"));
            live.remove(&dir, true, &Condition::None).unwrap();
        }
    });
    assert_eq!(fs::read_dir(world.tree()).unwrap().count(), 0);
}
