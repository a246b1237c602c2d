//! What only a directory has: owners, holes, attributes, names that are not text, and writers side by side.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use helmr_artifacts::files::{Append, Condition, Error, Path, Put, Span, list, read, stat};

use crate::world::{MOUNT, World, only_if, path, text};

#[test]
fn a_replaced_file_keeps_owner_mode_and_attributes_and_a_new_one_takes_its_directorys() {
    let world = World::new();
    let file = world.write("d/f", "old");
    let root = rustix::process::geteuid().is_root();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4751)).unwrap();
    rustix::fs::setxattr(&file, "user.note", b"kept", rustix::fs::XattrFlags::empty()).unwrap();
    if root {
        std::os::unix::fs::chown(&file, Some(1234), Some(1235)).unwrap();
        std::os::unix::fs::chown(world.tree().join("d"), Some(77), Some(78)).unwrap();
    }
    world.put("d/f", b"new").unwrap();
    let meta = file.metadata().unwrap();
    // As a write by anybody but root would, it takes the set-id bits away.
    assert_eq!(meta.mode() & 0o7777, 0o751);
    let mut value = [0; 16];
    let count = rustix::fs::getxattr(&file, "user.note", &mut value).unwrap();
    assert_eq!(&value[..count], b"kept");
    world.put("d/n", b"new").unwrap();
    world
        .live()
        .make_directory(&path("d/e/g"), None, true)
        .unwrap();
    let of = |name: &str| {
        let meta = world.tree().join(name).metadata().unwrap();
        (meta.uid(), meta.gid(), meta.mode() & 0o7777)
    };
    if root {
        assert_eq!((meta.uid(), meta.gid()), (1234, 1235));
        assert_eq!(of("d/n"), (77, 78, 0o644));
        assert_eq!(of("d/e/g"), (77, 78, 0o755));
    }
}

#[test]
fn holes_stay_holes() {
    let world = World::new();
    let mut bytes = vec![0; 8 << 20];
    bytes[5 << 20] = 1;
    let info = world.put("sparse", &bytes).unwrap();
    assert_eq!(info.size_bytes, 8 << 20);
    let meta = world.tree().join("sparse").metadata().unwrap();
    assert!(meta.blocks() * 512 < 1 << 20, "{} blocks", meta.blocks());
    assert_eq!(fs::read(world.tree().join("sparse")).unwrap(), bytes);
}

#[test]
fn a_failed_or_refused_write_leaves_nothing() {
    let world = World::new();
    world.write("f", "old");
    drop(world.staged(b"dropped"));
    let put = Put {
        condition: only_if("0000000000000000l0"),
        ..Put::default()
    };
    let refused = world.live().put(&path("f"), &world.staged(b"new"), &put);
    assert!(matches!(refused, Err(Error::Changed { .. })));
    let names: Vec<_> = fs::read_dir(world.tree()).unwrap().collect();
    assert_eq!(names.len(), 1);
    assert_eq!(text(&world.live(), "f").unwrap(), "old");
}

#[test]
fn a_reader_sees_the_old_file_or_the_new_one() {
    let world = World::new();
    world.put("f", &[b'a'; 300_000]).unwrap();
    let mut opened = read(&world.live(), &path("f"), Span::All).unwrap();
    world.put("f", &[b'b'; 10]).unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut opened.content, &mut bytes).unwrap();
    assert_eq!(bytes, vec![b'a'; 300_000]);
    assert_eq!(text(&world.live(), "f").unwrap(), "bbbbbbbbbb");
}

#[test]
fn of_many_who_write_over_one_revision_one_does() {
    let world = World::new();
    world.put("f", b"start").unwrap();
    let seen = stat(&world.live(), &path("f"), false).unwrap().revision;
    let mut done = 0;
    for number in 0..8 {
        let put = Put {
            condition: only_if(&seen),
            ..Put::default()
        };
        let staged = world.staged(format!("by {number}").as_bytes());
        done += u32::from(world.live().put(&path("f"), &staged, &put).is_ok());
    }
    assert_eq!(done, 1);
    assert_eq!(text(&world.live(), "f").unwrap(), "by 0");
    // Made at the same instant, by threads: one makes it.
    let made: u32 = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let put = Put {
                        condition: Condition::Absent,
                        ..Put::default()
                    };
                    let staged = world.staged(b"made");
                    u32::from(world.live().put(&path("made"), &staged, &put).is_ok())
                })
            })
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .sum()
    });
    assert_eq!(made, 1);
}

#[test]
fn names_that_are_no_text_are_names() {
    let world = World::new();
    let odd = b"caf\xe9\n\\x/\xff\xfe";
    let name = Path::parse(odd, MOUNT).unwrap();
    let parents = Put {
        parents: true,
        ..Put::default()
    };
    world
        .live()
        .put(&name, &world.staged(b"odd"), &parents)
        .unwrap();
    let there = world.tree().join(std::ffi::OsStr::from_bytes(odd));
    assert_eq!(fs::read(there).unwrap(), b"odd");
    let (dir, _) = name.split().unwrap();
    for page in [
        list(&world.live(), &dir, None, 10).unwrap(),
        list(&world.stored(), &dir, None, 10).unwrap(),
    ] {
        assert_eq!(page.items[0].path, name);
    }
    let add = Append::default();
    world
        .live()
        .append(&name, &world.staged(b"!"), &add)
        .unwrap();
    let moved = Path::parse(b"\xf0", MOUNT).unwrap();
    world.live().rename(&name, &moved, false).unwrap();
    world
        .live()
        .remove(&moved, false, &Condition::None)
        .unwrap();
}

#[test]
fn a_deep_tree_goes_in_one_removal() {
    let world = World::new();
    let live = world.live();
    let mut deep = String::from("d");
    for _ in 0..1500 {
        deep.push_str("/d");
    }
    live.make_directory(&path(&deep), None, true).unwrap();
    world.put(&format!("{deep}/f"), b"at the bottom").unwrap();
    assert_eq!(text(&live, &format!("{deep}/f")).unwrap(), "at the bottom");
    for number in 0..200 {
        world.write(&format!("d/many{number}/f"), "");
    }
    live.remove(&path("d"), true, &Condition::None).unwrap();
    assert_eq!(fs::read_dir(world.tree()).unwrap().count(), 0);
}
