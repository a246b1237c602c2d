//! What is captured comes back.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use helmr_artifacts::tree::{self, Node};
use helmr_artifacts::{DataKey, Error, KeySet};
use rustix::fs::{CWD, Mode, XattrFlags};

use crate::snapshot::{self, What, assert_same, raw_name};
use crate::world::{World, noise, open};

fn set_mtime(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, 123_456_789);
    File::open(path).unwrap().set_modified(time).unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn an_empty_directory_comes_back() {
    let world = World::new();
    set_mode(&world.tree(), 0o1770);
    set_mtime(&world.tree(), 1_000_000_000);
    let captured = world.capture(None);
    assert_eq!(
        (
            captured.size_bytes,
            captured.changed_bytes,
            captured.entries
        ),
        (0, 0, 1)
    );
    let (made, _) = world.materialize(captured.id);
    assert_same(&world.tree(), &made);
}

#[test]
fn everything_that_a_tree_keeps_comes_back() {
    let world = World::new();
    let tree = world.tree();
    world.write("bin/tool", noise(300, 1));
    set_mode(&tree.join("bin/tool"), 0o4755);
    world.write("large", noise(3_000_000, 2));
    world.write("empty", "");
    world.write("zeros", vec![0; 200_000]);
    world.write("a-b", "sorts between a and a/c");
    world.write("a/c", "c");
    world.write("shut/inside", "x");
    let unreadable = if rustix::process::geteuid().is_root() {
        0o000
    } else {
        0o400
    };
    set_mode(&tree.join("shut/inside"), unreadable);
    fs::create_dir(tree.join("void")).unwrap();
    symlink("../outside/of the tree", tree.join("link")).unwrap();
    symlink("", tree.join("none")).unwrap_err();
    symlink(
        [b'x'; 4000]
            .as_slice()
            .iter()
            .map(|byte| char::from(*byte))
            .collect::<String>(),
        tree.join("long"),
    )
    .unwrap();
    rustix::fs::mkfifoat(CWD, tree.join("queue"), Mode::RWXU).unwrap();
    fs::write(tree.join(raw_name(b"\xff\xfe not utf-8 \n\x01")), "raw").unwrap();
    fs::create_dir(tree.join(raw_name(b"d\xe9"))).unwrap();
    fs::write(
        tree.join(raw_name(b"d\xe9")).join(raw_name(&[0x80; 255])),
        "raw",
    )
    .unwrap();
    for (at, name) in ["bin/tool", "large", "a", "void", ""]
        .into_iter()
        .enumerate()
    {
        set_mtime(&tree.join(name), 1_500_000_000 + at as u64);
    }
    set_mode(&tree.join("shut"), 0o500);
    for (path, name, value) in [
        ("bin/tool", "user.origin", &b"https://example.com"[..]),
        ("bin/tool", "user.empty", b""),
        ("void", "user.of a directory", b"\0\xff"),
        ("", "user.root", b"1"),
    ] {
        rustix::fs::setxattr(tree.join(path), name, value, XattrFlags::CREATE).unwrap();
    }
    let captured = world.capture(None);
    assert_eq!(captured.left_out, 0);
    let (made, _) = world.materialize(captured.id);
    assert_same(&tree, &made);
    assert!(
        snapshot::of(&made)
            .values()
            .any(|seen| seen.what == What::Fifo)
    );
    // Times before the epoch and far in the future, of links too.
    for (name, seconds) in [("link", -5), ("a-b", 1 << 33)] {
        let time = rustix::fs::Timespec {
            tv_sec: seconds,
            tv_nsec: 7,
        };
        let times = rustix::fs::Timestamps {
            last_access: time,
            last_modification: time,
        };
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(CWD, tree.join(name), &times, flags).unwrap();
    }
    let (made, _) = world.materialize(world.capture(None).id);
    assert_same(&tree, &made);
}

#[test]
fn owners_and_capabilities_come_back_where_we_are_root() {
    if !rustix::process::geteuid().is_root() {
        // Nobody but root can make such a tree; everything else is tested for everybody.
        return;
    }
    let world = World::new();
    let tool = world.write("bin/ping", noise(5000, 1));
    std::os::unix::fs::chown(&tool, Some(1000), Some(100)).unwrap();
    set_mode(&tool, 0o6755);
    // cap_net_raw=ep, revision 2.
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    rustix::fs::setxattr(
        &tool,
        "security.capability",
        &capability,
        XattrFlags::CREATE,
    )
    .unwrap();
    symlink("x", world.tree().join("link")).unwrap();
    std::os::unix::fs::lchown(world.tree().join("link"), Some(65534), Some(65534)).unwrap();
    std::os::unix::fs::chown(world.tree(), Some(1000), Some(1000)).unwrap();
    let captured = world.capture(None);
    let (made, _) = world.materialize(captured.id);
    assert_same(&world.tree(), &made);
    assert_eq!(
        fs::metadata(made.join("bin/ping")).unwrap().mode() & 0o7777,
        0o6755
    );
    // Only the owner differs: giving it back must not cost the capability.
    std::os::unix::fs::chown(made.join("bin/ping"), Some(1), Some(1)).unwrap();
    tree::restore(
        &world.artifacts,
        &world.keys,
        captured.id,
        open(&made),
        None,
    )
    .unwrap();
    assert_same(&world.tree(), &made);
}

#[test]
fn names_of_one_file_stay_one_file() {
    let world = World::new();
    let tree = world.tree();
    world.write("z/first", noise(100_000, 1));
    fs::hard_link(tree.join("z/first"), tree.join("a")).unwrap();
    fs::hard_link(tree.join("z/first"), tree.join("z/third")).unwrap();
    world.write("small", "small");
    fs::hard_link(tree.join("small"), tree.join("z/small too")).unwrap();
    symlink("target", tree.join("link")).unwrap();
    fs::hard_link(tree.join("link"), tree.join("link too")).unwrap();
    rustix::fs::mkfifoat(CWD, tree.join("fifo"), Mode::RUSR).unwrap();
    fs::hard_link(tree.join("fifo"), tree.join("z/fifo too")).unwrap();
    let captured = world.capture(None);
    assert_eq!(captured.size_bytes, 100_005, "each file counts once");
    let (made, index) = world.materialize(captured.id);
    assert_same(&tree, &made);
    assert_eq!(fs::metadata(made.join("a")).unwrap().nlink(), 3);
    // And with an index, whose entries a link must not shadow.
    let again = tree::capture(&world.artifacts, &world.keys, open(&made), Some(&index)).unwrap();
    assert_eq!(again.id, captured.id);
}

#[test]
fn holes_stay_holes() {
    let world = World::new();
    let file = File::create(world.tree().join("sparse")).unwrap();
    file.set_len(4 << 30).unwrap();
    file.write_all_at(&noise(100_000, 1), 1 << 30).unwrap();
    file.write_all_at(b"end", (4 << 30) - 3).unwrap();
    File::create(world.tree().join("only a hole"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let captured = world.capture(None);
    assert_eq!(captured.size_bytes, (4 << 30) + (1 << 40));
    assert!(
        captured.changed_bytes < 300_000,
        "{}",
        captured.changed_bytes
    );
    let (made, _) = world.materialize(captured.id);
    let sparse = fs::metadata(made.join("sparse")).unwrap();
    assert_eq!(sparse.len(), 4 << 30);
    assert!(
        sparse.blocks() * 512 < 400_000,
        "{} blocks",
        sparse.blocks()
    );
    let file = File::open(made.join("sparse")).unwrap();
    let mut bytes = vec![0; 100_000];
    file.read_exact_at(&mut bytes, 1 << 30).unwrap();
    assert_eq!(bytes, noise(100_000, 1));
    file.read_exact_at(&mut bytes[..3], (4 << 30) - 3).unwrap();
    assert_eq!(&bytes[..3], b"end");
    let hole = fs::metadata(made.join("only a hole")).unwrap();
    assert_eq!((hole.len(), hole.blocks()), (1 << 40, 0));
}

#[test]
fn two_thousand_files_come_back() {
    let world = World::new();
    for number in 0..2000u64 {
        let size = usize::try_from(number % 97).unwrap() * 50;
        world.write(
            &format!("src/{}/{number}.ts", number % 41),
            noise(size, number),
        );
    }
    let captured = world.capture(None);
    assert_eq!(captured.entries, 2000 + 41 + 2);
    let (made, index) = world.materialize(captured.id);
    assert_same(&world.tree(), &made);
    let chunks = world.objects("chunks").len();
    assert!(chunks < 200, "{chunks} chunks for 2,000 small files");
    let again = tree::capture(&world.artifacts, &world.keys, open(&made), Some(&index)).unwrap();
    assert_eq!(
        (again.id, again.stored_bytes, again.changed_bytes),
        (captured.id, 0, 0)
    );
}

#[test]
fn a_tree_deeper_than_paths_and_descriptors_go_comes_back() {
    let world = World::new();
    let mut dir = open(&world.tree());
    for level in 0..700 {
        let name = format!("level-{level}");
        rustix::fs::mkdirat(&dir, &name, Mode::RWXU).unwrap();
        dir =
            rustix::fs::openat(&dir, &name, rustix::fs::OFlags::DIRECTORY, Mode::empty()).unwrap();
        if level % 100 == 99 {
            rustix::fs::mkfifoat(&dir, "z after the way back up", Mode::RWXU).unwrap();
        }
    }
    drop(dir);
    let captured = world.capture(None);
    assert_eq!(captured.entries, 1 + 700 + 7);
    let (made, index) = world.materialize(captured.id);
    let again = tree::capture(&world.artifacts, &world.keys, open(&made), Some(&index)).unwrap();
    assert_eq!(again.id, captured.id);
    // And goes again.
    let empty = World::new();
    let nothing = tree::capture(&world.artifacts, &world.keys, open(&empty.tree()), None).unwrap();
    tree::restore(&world.artifacts, &world.keys, nothing.id, open(&made), None).unwrap();
    assert_eq!(fs::read_dir(&made).unwrap().count(), 0);
}

#[test]
fn entries_can_be_read_without_a_directory() {
    let world = World::new();
    world.write("dir/notes.txt", "read me");
    world.write("dir/big", noise(2_000_000, 1));
    let captured = world.capture(None);
    let entries: Vec<_> = tree::read(&world.artifacts, &world.keys, captured.id)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let paths: Vec<_> = entries
        .iter()
        .map(|entry| String::from_utf8(entry.path.clone()).unwrap())
        .collect();
    assert_eq!(paths, ["", "dir", "dir/big", "dir/notes.txt"]);
    for (entry, expected) in [
        (&entries[3], b"read me".to_vec()),
        (&entries[2], noise(2_000_000, 1)),
    ] {
        let Node::File { content, .. } = &entry.node else {
            panic!("{entry:?}")
        };
        let mut bytes = Vec::new();
        let mut reader = tree::read_file(&world.artifacts, &world.keys, content);
        std::io::Read::read_to_end(&mut reader, &mut bytes).unwrap();
        assert!(bytes == expected);
    }
}

#[test]
fn only_an_empty_directory_is_materialized_into() {
    let world = World::new();
    let captured = world.capture(None);
    world.write("something", "");
    let refused = tree::materialize(
        &world.artifacts,
        &world.keys,
        captured.id,
        open(&world.tree()),
    );
    let refused = refused.map(drop);
    assert!(
        matches!(&refused, Err(Error::NotEmpty { path }) if *path == world.tree()),
        "{refused:?}"
    );
}

#[test]
fn another_key_opens_nothing() {
    let world = World::new();
    world.write("file", "text");
    let captured = world.capture(None);
    let other = KeySet::derive(&DataKey::generate().unwrap());
    let read = tree::read(&world.artifacts, &other, captured.id).map(drop);
    assert!(matches!(read, Err(Error::Corrupt { .. })), "{read:?}");
}
