//! A directory and what was captured of it are told, read and changed alike.

use std::os::unix::fs::symlink;

use helmr_artifacts::files::{
    self, Append, Condition, Edit, Error, Kind, Live, Put, Span, is_revision,
};
use helmr_artifacts::tree;

use crate::world::{World, at, names, only_if, part, path, snapshot, text};

fn some_files() -> World {
    let world = World::new();
    world.write("README", "hello\n");
    world.write("src/main.rs", "fn main() {}\n");
    world.write("src/deep/er/x", "x");
    world.write("src-2/y", "y");
    world.write("big", vec![7; 3 << 20]);
    world.write("empty", "");
    world.write("pair/one", "two names");
    std::fs::hard_link(
        world.tree().join("pair/one"),
        world.tree().join("pair/other"),
    )
    .unwrap();
    std::fs::hard_link(world.tree().join("pair/one"), world.tree().join("zz")).unwrap();
    symlink("src/main.rs", world.tree().join("link")).unwrap();
    symlink("/workspace/src", world.tree().join("absolute")).unwrap();
    symlink("../secret", world.tree().join("out")).unwrap();
    symlink("/etc/passwd", world.tree().join("etc")).unwrap();
    symlink("circle", world.tree().join("circle")).unwrap();
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        world.tree().join("fifo"),
        rustix::fs::Mode::RUSR,
    )
    .unwrap();
    world
}

fn check_reads(tree: &impl files::Tree) {
    assert_eq!(text(tree, "README").unwrap(), "hello\n");
    assert_eq!(text(tree, "/workspace/README").unwrap(), "hello\n");
    assert_eq!(text(tree, "link").unwrap(), "fn main() {}\n");
    assert_eq!(text(tree, "absolute/main.rs").unwrap(), "fn main() {}\n");
    assert_eq!(text(tree, "pair/other").unwrap(), "two names");
    assert_eq!(text(tree, "zz").unwrap(), "two names");
    assert_eq!(text(tree, "empty").unwrap(), "");
    assert_eq!(text(tree, "big").unwrap().len(), 3 << 20);
    for name in ["out", "etc", "circle", "out/x"] {
        assert!(
            matches!(text(tree, name), Err(Error::Outside { .. })),
            "{name}"
        );
    }
    assert!(matches!(text(tree, "gone"), Err(Error::NotFound { .. })));
    assert!(matches!(text(tree, "gone/er"), Err(Error::NotFound { .. })));
    assert!(matches!(
        text(tree, "README/x"),
        Err(Error::NotDirectory { .. })
    ));
    assert!(matches!(text(tree, "src"), Err(Error::IsDirectory { .. })));
    assert!(matches!(text(tree, ""), Err(Error::IsDirectory { .. })));
    assert!(matches!(text(tree, "fifo"), Err(Error::NotRegular { .. })));
    let from = |start, end| Span::From { start, end };
    assert_eq!(part(tree, "README", from(1, Some(4))).unwrap(), "ell");
    assert_eq!(part(tree, "README", from(3, None)).unwrap(), "lo\n");
    assert_eq!(part(tree, "README", from(3, Some(99))).unwrap(), "lo\n");
    assert_eq!(part(tree, "README", Span::Last(2)).unwrap(), "o\n");
    assert_eq!(
        part(tree, "big", from((3 << 20) - 2, None)).unwrap(),
        "\u{7}\u{7}"
    );
    let behind = part(tree, "README", from(6, None));
    assert!(matches!(behind, Err(Error::Range { size_bytes: 6 })));

    let stat = |name: &str| files::stat(tree, &path(name), false).unwrap();
    assert_eq!(stat("link").kind, Kind::Symlink);
    assert_eq!(stat("link").target.as_deref(), Some(&b"src/main.rs"[..]));
    assert_eq!(stat("").kind, Kind::Directory);
    assert_eq!(stat("fifo").kind, Kind::Fifo);
    assert_eq!(stat("pair/other").size_bytes, 9);
    let followed = files::stat(tree, &path("link"), true).unwrap();
    assert_eq!((followed.kind, followed.size_bytes), (Kind::File, 13));

    let root = [
        "README", "absolute", "big", "circle", "empty", "etc", "fifo", "link", "out", "pair",
        "src", "src-2", "zz",
    ];
    for limit in [1, 2, 5, 100] {
        assert_eq!(names(tree, "", limit), root, "by {limit}");
        assert_eq!(names(tree, "src", limit), ["src/deep", "src/main.rs"]);
        assert_eq!(names(tree, "absolute", limit), ["src/deep", "src/main.rs"]);
    }
    let of_a_file = files::list(tree, &path("README"), None, 5);
    assert!(matches!(of_a_file, Err(Error::NotDirectory { .. })));
    let of_nothing = files::list(tree, &path("gone"), None, 5);
    assert!(matches!(of_nothing, Err(Error::NotFound { .. })));
}

#[test]
fn a_directory_and_its_capture_read_alike() {
    let world = some_files();
    check_reads(&world.live());
    check_reads(&world.stored());
}

#[test]
fn a_list_of_many_passes_over_what_is_in_its_directories() {
    let world = World::new();
    for outer in 0..4 {
        for inner in 0..700 {
            world.write(&format!("d{outer}/f{inner:04}"), "");
        }
    }
    world.write("z", "z");
    let (live, stored) = (world.live(), world.stored());
    assert_eq!(names(&stored, "", 2), ["d0", "d1", "d2", "d3", "z"]);
    assert_eq!(names(&stored, "d2", 97), names(&live, "d2", 97));
    assert_eq!(text(&stored, "z").unwrap(), "z");
    assert!(text(&stored, "d3/f0699").is_ok() && text(&stored, "d3/f0700").is_err());
}

/// Both ways to change files.
enum Way<'a, 'b> {
    Live(&'a World, Live),
    Edit(&'a World, &'a mut Edit<'b>),
}

type Done = Result<(), Error>;

impl Way<'_, '_> {
    fn put(&mut self, name: &str, bytes: &[u8], put: &Put) -> Done {
        match self {
            Self::Live(world, live) => live.put(&path(name), &world.staged(bytes), put),
            Self::Edit(world, edit) => edit.put(&path(name), &world.kept(bytes), put),
        }
        .map(drop)
    }

    fn append(&mut self, name: &str, bytes: &[u8], append: &Append) -> Done {
        match self {
            Self::Live(world, live) => live.append(&path(name), &world.staged(bytes), append),
            Self::Edit(world, edit) => edit.append(&path(name), &world.kept(bytes), append),
        }
        .map(drop)
    }

    fn mkdir(&mut self, name: &str, parents: bool) -> Done {
        match self {
            Self::Live(_, live) => live.make_directory(&path(name), None, parents),
            Self::Edit(_, edit) => edit.make_directory(&path(name), None, parents),
        }
        .map(drop)
    }

    fn rename(&mut self, from: &str, to: &str, overwrite: bool) -> Done {
        match self {
            Self::Live(_, live) => live.rename(&path(from), &path(to), overwrite),
            Self::Edit(_, edit) => edit.rename(&path(from), &path(to), overwrite),
        }
        .map(drop)
    }

    fn remove(&mut self, name: &str, recursive: bool) -> Done {
        match self {
            Self::Live(_, live) => live.remove(&path(name), recursive, &Condition::None),
            Self::Edit(_, edit) => edit.remove(&path(name), recursive, &Condition::None),
        }
    }

    fn chmod(&mut self, name: &str, mode: u32) -> Done {
        match self {
            Self::Live(_, live) => live.set_mode(&path(name), mode, &Condition::None),
            Self::Edit(_, edit) => edit.set_mode(&path(name), mode, &Condition::None),
        }
        .map(drop)
    }
}

/// Does `work` to a captured tree and to the directory, and compares what both have become, or both refusals.
fn check(what: &str, work: impl Fn(&mut Way<'_, '_>) -> Done) {
    let world = some_files();
    let stored = world.stored();
    let mut edit = Edit::of(&stored);
    let edited = work(&mut Way::Edit(&world, &mut edit));
    let changed = work(&mut Way::Live(&world, world.live()));
    match (edited, changed) {
        (Ok(()), Ok(())) => {
            let edited = edit.finish().unwrap();
            let made = world.materialize(edited.id);
            assert_eq!(snapshot(made.path()), snapshot(&world.tree()), "{what}");
            // It is a tree like any other: captured again it is the same.
            let root = tree::open_root(made.path()).unwrap();
            let again = tree::capture(&world.artifacts, &world.keys, &root, None).unwrap();
            assert_eq!(again.size_bytes, edited.size_bytes, "{what}");
        }
        (Err(edited), Err(changed)) => {
            assert_eq!(edited.to_string(), changed.to_string(), "{what}");
        }
        (edited, changed) => panic!("{what}: {edited:?} against {changed:?}"),
    }
}

#[test]
fn files_are_written_alike() {
    let plain = Put::default();
    check("replace", |way| way.put("README", b"other", &plain));
    check("new", |way| way.put("src/new", b"n", &plain));
    check("large", |way| way.put("large", &vec![9; 200_000], &plain));
    check("empty", |way| way.put("README", b"", &plain));
    check("zeros", |way| way.put("README", &[0; 5000], &plain));
    check("through a link", |way| way.put("link", b"l", &plain));
    check("through a directory's link", |way| {
        way.put("absolute/new", b"n", &plain)
    });
    check("out", |way| way.put("out", b"o", &plain));
    check("over a directory", |way| way.put("src", b"s", &plain));
    check("over a FIFO", |way| way.put("fifo", b"f", &plain));
    check("over the root", |way| way.put("", b"r", &plain));
    check("nowhere", |way| way.put("no/where", b"n", &plain));
    check("under a file", |way| way.put("README/x", b"n", &plain));
    let parents = Put {
        parents: true,
        mode: Some(0o600),
        ..Put::default()
    };
    check("with parents", |way| way.put("no/where/x", b"n", &parents));
    check("under a file with parents", |way| {
        way.put("README/x/y", b"n", &parents)
    });
    check("one name of two", |way| way.put("pair/one", b"1", &plain));
    check("the last name", |way| way.put("zz", b"1", &plain));
    let absent = Put {
        condition: Condition::Absent,
        ..Put::default()
    };
    check("only new", |way| way.put("new", b"1", &absent));
    let world = some_files();
    for way in [true, false] {
        let stored = world.stored();
        let mut edit = Edit::of(&stored);
        let refused = if way {
            Way::Live(&world, world.live()).put("README", b"1", &absent)
        } else {
            Way::Edit(&world, &mut edit).put("README", b"1", &absent)
        };
        assert!(matches!(
            refused,
            Err(Error::Changed {
                revision: Some(_),
                ..
            })
        ));
    }
}

#[test]
fn bytes_are_added_alike() {
    let plain = Append::default();
    check("short", |way| way.append("README", b"more", &plain));
    check("to a large one", |way| way.append("big", b"more", &plain));
    check("a large one", |way| {
        way.append("README", &vec![8; 100_000], &plain)
    });
    check("to both names", |way| way.append("zz", b"!", &plain));
    check("to nothing", |way| way.append("new", b"n", &plain));
    check("at an offset", |way| way.append("README", b"n", &at(6)));
    check("to a directory", |way| way.append("src", b"n", &plain));
    check("nowhere", |way| way.append("no/where", b"n", &plain));
    let world = some_files();
    let wrong = Way::Live(&world, world.live()).append("README", b"n", &at(5));
    assert!(matches!(wrong, Err(Error::Changed { .. })));
}

#[test]
fn directories_are_made_and_names_moved_and_removed_alike() {
    check("mkdir", |way| way.mkdir("new", false));
    check("mkdir over a file", |way| way.mkdir("README", false));
    check("mkdir again", |way| way.mkdir("src", false));
    check("mkdir nowhere", |way| way.mkdir("a/b", false));
    check("mkdir -p", |way| way.mkdir("a/b/c", true));
    check("mkdir -p again", |way| way.mkdir("src/deep", true));
    check("move", |way| way.rename("README", "moved", false));
    check("move a tree", |way| way.rename("src", "aaa", false));
    check("move a tree down", |way| {
        way.rename("src", "pair/src", false)
    });
    check("move into itself", |way| {
        way.rename("src", "src/deep/x", false)
    });
    check("move over", |way| way.rename("README", "empty", false));
    check("move over it", |way| way.rename("README", "empty", true));
    check("move over a directory", |way| {
        way.rename("README", "src", true)
    });
    check("move a directory over a file", |way| {
        way.rename("src", "README", true)
    });
    check("move over a full directory", |way| {
        way.rename("src", "src-2", true)
    });
    check("move nothing", |way| way.rename("gone", "x", false));
    check("move the root", |way| way.rename("", "x", false));
    check("move a link", |way| way.rename("out", "src/out", false));
    check("move the first of two names", |way| {
        way.rename("pair/one", "zzz", false)
    });
    check("move the directory of both names", |way| {
        way.rename("pair", "zzz", false)
    });
    check("remove", |way| way.remove("README", false));
    check("remove a link", |way| way.remove("out", false));
    check("remove a full directory", |way| way.remove("src", false));
    check("remove a tree", |way| way.remove("src", true));
    check("remove nothing", |way| way.remove("gone", true));
    check("remove the root", |way| way.remove("", true));
    check("remove the first of two names", |way| {
        way.remove("pair/one", false)
    });
    check("remove two of three names", |way| way.remove("pair", true));
    check("chmod", |way| way.chmod("README", 0o600));
    check("chmod a directory", |way| way.chmod("src", 0o700));
    check("chmod all names", |way| way.chmod("zz", 0o640));
    check("chmod through a link", |way| way.chmod("link", 0o755));
    check("chmod nothing", |way| way.chmod("gone", 0o755));
}

#[test]
fn a_revision_holds_over_a_capture_and_not_over_a_write() {
    let world = some_files();
    let live = world.live();
    let seen = files::stat(&live, &path("README"), false).unwrap().revision;
    let stored = world.stored();
    let kept = files::stat(&stored, &path("README"), false)
        .unwrap()
        .revision;
    assert!(is_revision(&seen, &kept) && is_revision(&kept, &seen));
    let put = Put {
        condition: only_if(&seen),
        ..Put::default()
    };
    let mut edit = Edit::of(&stored);
    edit.put(&path("README"), &world.kept(b"HELLO\n"), &put)
        .unwrap();
    let edited = world.open(edit.finish().unwrap().id);
    let other = files::stat(&edited, &path("README"), false)
        .unwrap()
        .revision;
    assert!(!is_revision(&seen, &other));
    // As large as before, and perhaps within a tick of the clock.
    live.put(&path("README"), &world.staged(b"jello\n"), &put)
        .unwrap();
    let again = live.put(&path("README"), &world.staged(b"cello\n"), &put);
    let Err(Error::Changed { revision, .. }) = again else {
        panic!("{again:?}");
    };
    let now = files::stat(&live, &path("README"), false).unwrap().revision;
    assert_eq!(revision, Some(now));
}

#[test]
fn an_edit_stores_what_is_new() {
    let world = World::new();
    for number in 0..500 {
        let bytes = format!("{number}").repeat(400);
        world.write(&format!("d{}/f{number}", number % 7), bytes);
    }
    let edited = world.edit(|edit| {
        edit.put(&path("d3/f3"), &world.kept(b"new"), &Put::default())
            .unwrap();
    });
    assert_eq!(edited.changed_bytes, 3);
}
