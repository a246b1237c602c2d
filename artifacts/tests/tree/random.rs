//! Random edits between captures: every version is what the directory was, and any can be put back.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::PathBuf;

use helmr_artifacts::tree;
use proptest::prelude::*;

use crate::snapshot::assert_same;
use crate::world::{World, noise, open};

#[derive(Debug, Clone)]
enum Edit {
    Write(u8, u32, u64),
    Patch(u8, u32),
    Truncate(u8, u32),
    MakeDir(u8),
    Remove(u8),
    Rename(u8, u8),
    Link(u8, u8),
    Symlink(u8, u8),
    Mode(u8, u16),
    Capture,
    /// Back to one of the versions so far.
    Restore(u8),
}

fn edit() -> impl Strategy<Value = Edit> {
    let size = prop_oneof![
        Just(0u32),
        1..5_000u32,
        60_000..70_000u32,
        100_000..900_000u32
    ];
    prop_oneof![
        6 => (any::<u8>(), size.clone(), 0..4u64).prop_map(|(at, size, seed)| Edit::Write(at, size, seed)),
        3 => (any::<u8>(), size.clone()).prop_map(|(at, offset)| Edit::Patch(at, offset)),
        1 => (any::<u8>(), size).prop_map(|(at, size)| Edit::Truncate(at, size)),
        3 => any::<u8>().prop_map(Edit::MakeDir),
        2 => any::<u8>().prop_map(Edit::Remove),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(from, to)| Edit::Rename(from, to)),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(from, to)| Edit::Link(from, to)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(at, to)| Edit::Symlink(at, to)),
        1 => (any::<u8>(), 0..0o10000u16).prop_map(|(at, mode)| Edit::Mode(at, mode)),
        4 => Just(Edit::Capture),
        1 => any::<u8>().prop_map(Edit::Restore),
    ]
}

/// One of 27 paths, up to three levels deep: few, so that edits meet.
fn path(world: &World, at: u8) -> PathBuf {
    let names = ["a", "a-b", "\u{fc}"];
    let mut path = world.tree();
    for level in 0..=usize::from(at) % 3 {
        path.push(names[(usize::from(at) / (3 * 3usize.pow(u32::try_from(level).unwrap()))) % 3]);
    }
    path
}

/// Does what can be done; an edit that makes no sense where it falls does nothing.
fn apply(world: &World, edit: &Edit) {
    let at = |at: &u8| path(world, *at);
    // The results are not looked at: the tree that comes of it is.
    match edit {
        Edit::Write(to, size, seed) => drop(fs::write(at(to), noise(*size as usize, *seed))),
        Edit::Patch(to, offset) => drop(
            File::options()
                .write(true)
                .open(at(to))
                .and_then(|file| file.write_all_at(b"patch", (*offset).into())),
        ),
        Edit::Truncate(to, size) => drop(
            File::options()
                .write(true)
                .open(at(to))
                .and_then(|file| file.set_len((*size).into())),
        ),
        Edit::MakeDir(to) => drop(fs::create_dir(at(to))),
        Edit::Remove(to) => drop(fs::remove_file(at(to)).or_else(|_| fs::remove_dir_all(at(to)))),
        Edit::Rename(from, to) => drop(fs::rename(at(from), at(to))),
        Edit::Link(from, to) => drop(fs::hard_link(at(from), at(to))),
        Edit::Symlink(to, text) => drop(symlink(format!("to {text}"), at(to))),
        Edit::Mode(to, mode) => {
            let is_link = fs::symlink_metadata(at(to)).is_ok_and(|found| found.is_symlink());
            // Directories stay open to us, who may not be root.
            let mode = if at(to).is_dir() {
                mode | 0o700
            } else {
                mode | 0o400
            };
            if !is_link {
                drop(fs::set_permissions(
                    at(to),
                    fs::Permissions::from_mode(mode.into()),
                ));
            }
        }
        Edit::Capture | Edit::Restore(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn every_version_is_what_the_directory_was(edits in proptest::collection::vec(edit(), 1..60)) {
        let world = World::new();
        let mut index = None;
        let mut versions = Vec::new();
        for edit in edits.iter().chain([&Edit::Capture]) {
            apply(&world, edit);
            match edit {
                Edit::Capture => {
                    let captured = world.capture(index.as_ref());
                    let (made, _) = world.materialize(captured.id);
                    assert_same(&world.tree(), &made);
                    versions.push((captured.id, made));
                    index = Some(captured.index);
                }
                Edit::Restore(which) if !versions.is_empty() => {
                    let (id, made) = &versions[usize::from(*which) % versions.len()];
                    let root = open(&world.tree());
                    index = Some(tree::restore(&world.artifacts, &world.keys, *id, root, index.as_ref()).unwrap());
                    assert_same(made, &world.tree());
                }
                _ => {}
            }
        }
    }
}
