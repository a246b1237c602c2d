//! Trees as archives, both ways, by this crate and by GNU tar.

use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use helmr_artifacts::tree::{self, ArchiveLimits};
use helmr_artifacts::{Error, ManifestId};
use rustix::fs::{CWD, Mode, XattrFlags};
use tokio_tar::{EntryType, Header};

use crate::snapshot::assert_same;
use crate::world::{World, noise};

const LIMITS: ArchiveLimits = ArchiveLimits {
    bytes: 1 << 30,
    entries: 10_000,
};

fn export(world: &World, id: ManifestId) -> Vec<u8> {
    let mut archive = Vec::new();
    let written = tree::export(&world.artifacts, &world.keys, id, &mut archive).unwrap();
    assert_eq!(written, archive.len() as u64);
    archive
}

fn import(world: &World, archive: impl Read + Unpin + Send) -> Result<ManifestId, Error> {
    tree::import(&world.artifacts, &world.keys, archive, LIMITS).map(|imported| imported.id)
}

/// Everything that a tree keeps.
fn fill(world: &World) {
    world.write("small", "small");
    world.write("empty", "");
    world.write("large", noise(900_000, 3));
    world.write("dir/deep/file", "deep");
    world.write(
        &format!("{}end", "long-name-of-a-directory/".repeat(12)),
        "far down",
    );
    let odd = world
        .tree()
        .join(std::ffi::OsStr::from_bytes(b"odd\xff\n name"));
    fs::write(&odd, "odd").unwrap();
    symlink("../nowhere/\u{fc}", world.tree().join("link")).unwrap();
    symlink("x".repeat(300), world.tree().join("long link")).unwrap();
    fs::hard_link(&odd, world.tree().join("another name")).unwrap();
    fs::hard_link(world.tree().join("link"), world.tree().join("link again")).unwrap();
    let sparse = File::create(world.tree().join("sparse")).unwrap();
    sparse.write_all_at(&noise(70_000, 4), 3 << 20).unwrap();
    sparse.write_all_at(b"end", (9 << 20) - 3).unwrap();
    sparse.set_len(12 << 20).unwrap();
    rustix::fs::mkfifoat(CWD, world.tree().join("fifo"), Mode::RUSR | Mode::WUSR).unwrap();
    let small = world.tree().join("small");
    fs::set_permissions(&small, fs::Permissions::from_mode(0o4751)).unwrap();
    rustix::fs::setxattr(&small, "user.note", b"line\nline\xff", XattrFlags::empty()).unwrap();
    rustix::fs::setxattr(&small, "user.empty", b"", XattrFlags::empty()).unwrap();
    rustix::fs::setxattr(
        world.tree().join("dir"),
        "user.of",
        b"dir",
        XattrFlags::empty(),
    )
    .unwrap();
    let past = std::time::UNIX_EPOCH - std::time::Duration::from_millis(1_500);
    File::open(world.tree().join("empty"))
        .unwrap()
        .set_modified(past)
        .unwrap();
}

#[test]
fn a_tree_comes_back_from_its_archive_as_it_was() {
    let world = World::new();
    fill(&world);
    let captured = world.capture(None);
    let archive = export(&world, captured.id);
    assert!(
        archive.len() < 3 << 20,
        "holes are not written: {}",
        archive.len()
    );
    let imported = tree::import(&world.artifacts, &world.keys, archive.as_slice(), LIMITS).unwrap();
    assert_eq!(
        (imported.entries, imported.size_bytes),
        (captured.entries, captured.size_bytes)
    );
    let (made, _) = world.materialize(imported.id);
    assert_same(&world.tree(), &made);
}

#[test]
fn gnu_tar_reads_what_is_written() {
    let world = World::new();
    fill(&world);
    // GNU tar knows nothing of these two.
    rustix::fs::removexattr(world.tree().join("small"), "user.empty").unwrap();
    let archive = world.path("tree.tar");
    fs::write(&archive, export(&world, world.capture(None).id)).unwrap();
    let out = world.path("out");
    fs::create_dir(&out).unwrap();
    tar(&[
        "-xpf",
        text(&archive),
        "-C",
        text(&out),
        "--xattrs",
        "--xattrs-include=user.*",
    ]);
    assert_same(&world.tree(), &out);
}

#[test]
fn what_gnu_tar_writes_is_read() {
    for form in ["--format=gnu", "--format=posix"] {
        let world = World::new();
        fill(&world);
        // What its own form cannot say, or not as the parser reads it.
        fs::remove_file(world.tree().join("empty")).unwrap();
        rustix::fs::removexattr(world.tree().join("small"), "user.empty").unwrap();
        if form == "--format=gnu" {
            rustix::fs::removexattr(world.tree().join("small"), "user.note").unwrap();
            rustix::fs::removexattr(world.tree().join("dir"), "user.of").unwrap();
        }
        let archive = world.path("tree.tar");
        let xattrs = if form == "--format=gnu" {
            "--no-xattrs"
        } else {
            "--xattrs"
        };
        tar(&[
            "-cf",
            text(&archive),
            form,
            "--sparse",
            xattrs,
            "-C",
            text(&world.tree()),
            ".",
        ]);
        let id = import(&world, File::open(&archive).unwrap()).unwrap();
        let (made, _) = world.materialize(id);
        if form == "--format=posix" {
            assert_same(&world.tree(), &made);
        } else {
            // Whole seconds: the contents at least.
            assert_eq!(
                fs::read(made.join("sparse")).unwrap(),
                fs::read(world.tree().join("sparse")).unwrap()
            );
            assert_eq!(
                fs::read_link(made.join("long link"))
                    .unwrap()
                    .as_os_str()
                    .len(),
                300
            );
            assert_eq!(fs::read(made.join("another name")).unwrap(), b"odd");
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn tar(arguments: &[&str]) {
    let done = Command::new("tar")
        .args(arguments)
        .output()
        .expect("GNU tar: apt-get install tar");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Members as they stand, whatever they say.
#[derive(Default)]
struct Crafted(Vec<u8>);

impl Crafted {
    fn member(mut self, kind: EntryType, name: &str, link: &str, content: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.member(EntryType::Regular, name, "", content.as_bytes())
    }

    fn record(self, key: &str, value: &str) -> Self {
        let rest = key.len() + value.len() + 3;
        let length = rest + if rest + 1 < 10 { 1 } else { 2 };
        let text = format!("{length} {key}={value}\n");
        assert_eq!(text.len(), length);
        self.member(EntryType::XHeader, "x", "", text.as_bytes())
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

#[test]
fn later_members_replace_earlier_ones_and_missing_directories_are_made() {
    let world = World::new();
    let archive = Crafted::default()
        .file("./a/b/c", "one")
        .member(EntryType::Link, "./other", "./a/b/c", b"")
        .file("a/b/c", "two")
        .file("a/d", "x")
        .member(EntryType::Symlink, "a/d", "b", b"")
        .member(EntryType::Char, "dev", "", b"")
        .end();
    let imported = tree::import(&world.artifacts, &world.keys, archive.as_slice(), LIMITS).unwrap();
    assert_eq!((imported.left_out, imported.entries), (1, 6));
    let (made, _) = world.materialize(imported.id);
    assert_eq!(fs::read_to_string(made.join("a/b/c")).unwrap(), "two");
    assert_eq!(
        fs::read_to_string(made.join("other")).unwrap(),
        "one",
        "of the first"
    );
    assert_eq!(fs::read_link(made.join("a/d")).unwrap(), Path::new("b"));
}

#[test]
fn hostile_archives_are_refused() {
    let world = World::new();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        (
            "absolute",
            Crafted::default().file("/etc/passwd", "x").end(),
        ),
        ("climbs", Crafted::default().file("a/../../b", "x").end()),
        (
            "links out by a hard link",
            Crafted::default()
                .member(EntryType::Link, "a", "../b", b"")
                .end(),
        ),
        (
            "links to nothing",
            Crafted::default()
                .member(EntryType::Link, "a", "b", b"")
                .end(),
        ),
        (
            "links to a directory",
            Crafted::default()
                .file("d/x", "")
                .member(EntryType::Link, "a", "d", b"")
                .end(),
        ),
        (
            "goes through a link",
            Crafted::default()
                .member(EntryType::Symlink, "d", "/etc", b"")
                .file("d/passwd", "x")
                .end(),
        ),
        (
            "beneath a file",
            Crafted::default().file("f", "x").file("f/a/b", "x").end(),
        ),
        (
            "over a full directory",
            Crafted::default().file("d/a", "x").file("d", "x").end(),
        ),
        (
            "the root is a file",
            Crafted::default()
                .file("./", "x")
                .member(EntryType::Fifo, ".", "", b"")
                .end(),
        ),
        (
            "unknown kind",
            Crafted::default()
                .member(EntryType::Other(b'Q'), "a", "", b"")
                .end(),
        ),
        (
            "an odd time",
            Crafted::default()
                .record("mtime", "never-ever")
                .file("a", "")
                .end(),
        ),
        (
            "an old sparse form",
            Crafted::default()
                .record("GNU.sparse.map", "0,1,2,3")
                .file("a", "x")
                .end(),
        ),
        ("nothing", Vec::new()),
        ("only an end", Crafted::default().end()),
        ("noise", noise(4_096, 7)),
    ];
    for (what, archive) in cases {
        let refused = import(&world, archive.as_slice());
        assert!(
            matches!(refused, Err(Error::Refused { .. } | Error::Stream { .. })),
            "{what}: {refused:?}"
        );
    }
    let torn = Crafted::default().file("a", &"x".repeat(5_000)).0;
    assert!(
        import(&world, &torn[..2_000]).is_err(),
        "torn within a file"
    );
}

#[test]
fn what_an_archive_may_hold_is_bounded_before_it_is_stored() {
    let world = World::new();
    let limited = |archive: &[u8], bytes, entries| {
        let limits = ArchiveLimits { bytes, entries };
        tree::import(&world.artifacts, &world.keys, archive, limits).map(drop)
    };
    let over = |done: Result<(), Error>| matches!(done, Err(Error::OverLimit { .. }));
    let archive = Crafted::default()
        .file("a", "12345")
        .file("b", "12345")
        .end();
    limited(&archive, 10, 3).unwrap();
    assert!(over(limited(&archive, 9, 3)));
    assert!(over(limited(&archive, 10, 2)));
    // Says that it holds more than any disk, and holds nothing.
    let mut bomb = Header::new_gnu();
    bomb.as_old_mut().name[0] = b'a';
    bomb.set_size(1 << 50);
    bomb.set_mode(0o644);
    bomb.set_cksum();
    assert!(over(limited(bomb.as_bytes(), 1 << 30, 10)));
    // An extension header of many gigabytes is not read into memory.
    let mut bomb = Header::new_ustar();
    bomb.as_old_mut().name[0] = b'a';
    bomb.set_entry_type(EntryType::XHeader);
    bomb.set_mode(0o644);
    bomb.set_size(8 << 30);
    bomb.set_cksum();
    let mut endless = bomb.as_bytes().to_vec();
    endless.resize(4 << 20, b'x');
    assert!(over(limited(&endless, 1 << 40, 10)));
    // A hole of terabytes costs nothing, one beyond every file system is refused.
    let sparse = |real: &str| {
        let map = format!("1\n0\n0\n{}", "\0".repeat(506));
        let records = [
            "GNU.sparse.major=1",
            "GNU.sparse.minor=0",
            "GNU.sparse.name=holes",
            real,
        ];
        let text: String = records
            .iter()
            .map(|record| {
                let length = record.len() + 4;
                format!("{length} {record}\n")
            })
            .collect();
        Crafted::default()
            .member(EntryType::XHeader, "x", "", text.as_bytes())
            .file("GNUSparseFile.0/holes", &map)
            .end()
    };
    limited(&sparse("GNU.sparse.realsize=1099511627776"), 1 << 20, 10).unwrap();
    let refused = limited(&sparse("GNU.sparse.realsize=1099511627776000"), 1 << 20, 10);
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
}

#[test]
fn a_reader_that_goes_away_ends_an_export() {
    struct Gone(usize);
    impl std::io::Write for Gone {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(bytes.len())
                .ok_or(std::io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let world = World::new();
    fill(&world);
    let id = world.capture(None).id;
    let ended = tree::export(&world.artifacts, &world.keys, id, Gone(5_000));
    assert!(matches!(ended, Err(Error::Stream { .. })), "{ended:?}");
    let mut whole = Gone(usize::MAX);
    tree::export(&world.artifacts, &world.keys, id, &mut whole).unwrap();
    whole.flush().unwrap();
}
