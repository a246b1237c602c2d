//! Archives, against what GNU tar makes and reads.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path as OsPath;
use std::process::Command;

use helmr_artifacts::files::{Edit, Error, Tree, Unpacked, Unpacking, pack, unpack};

use crate::world::{World, path, snapshot};

fn packed(tree: &impl Tree, dir: &str) -> Vec<u8> {
    let mut archive = Vec::new();
    pack(tree, &path(dir), &mut archive).unwrap();
    archive
}

fn tar(dir: &OsPath, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), input).unwrap();
    let made = Command::new("tar")
        .arg("--directory")
        .arg(dir)
        .args(arguments)
        .stdin(file.reopen().unwrap())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    made.stdout
}

fn unpacked(world: &World, dir: &str, archive: &[u8]) -> Result<Unpacked, Error> {
    let live = world.live();
    let mut in_turn = |work: &mut dyn FnMut() -> Result<(), Error>| work();
    let mut unpacking = Unpacking::new(&live, &mut in_turn);
    let done = unpack(archive, &path(dir), &mut unpacking)?;
    unpacking.finish()?;
    Ok(done)
}

fn fill(world: &World) {
    world.write("a/file", "text");
    world.write("a/big", vec![3; 1 << 20]);
    world.write("a/empty", "");
    world.write(
        &format!("a/{}/{}", "l".repeat(120), "n".repeat(120)),
        "long",
    );
    fs::create_dir(world.tree().join("a/dir")).unwrap();
    fs::hard_link(world.tree().join("a/file"), world.tree().join("a/again")).unwrap();
    symlink("file", world.tree().join("a/link")).unwrap();
    symlink("t/".repeat(80), world.tree().join("a/far")).unwrap();
    let file = world.tree().join("a/file");
    rustix::fs::setxattr(
        &file,
        "user.note",
        b"a=b\n",
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
}

#[test]
fn what_is_packed_gnu_tar_unpacks_from_a_directory_and_from_its_capture() {
    let world = World::new();
    fill(&world);
    let out = |archive: &[u8]| {
        let dir = tempfile::tempdir_in(world.outside().parent().unwrap()).unwrap();
        let arguments = [
            "--extract",
            "--preserve-permissions",
            "--xattrs",
            "--file",
            "-",
        ];
        tar(dir.path(), &arguments, archive);
        let mut value = [0; 16];
        let count = rustix::fs::getxattr(dir.path().join("file"), "user.note", &mut value).unwrap();
        assert_eq!(&value[..count], b"a=b\n");
        snapshot(dir.path())
    };
    let expected = snapshot(&world.tree().join("a"));
    assert_eq!(out(&packed(&world.live(), "a")), expected);
    assert_eq!(out(&packed(&world.stored(), "a")), expected);
    // A file alone.
    let dir = tempfile::tempdir().unwrap();
    tar(
        dir.path(),
        &["--extract", "--file", "-"],
        &packed(&world.live(), "a/link"),
    );
    assert_eq!(fs::read_to_string(dir.path().join("file")).unwrap(), "text");
}

#[test]
fn what_gnu_tar_packs_is_unpacked_alike_in_a_directory_and_in_its_capture() {
    let from = World::new();
    fill(&from);
    for format in ["--format=gnu", "--format=posix", "--format=gnu --sparse"] {
        let mut arguments = vec!["--create", "--xattrs", "--file", "-"];
        arguments.extend(format.split(' '));
        if format != "--format=posix" {
            arguments.retain(|argument| *argument != "--xattrs");
        }
        arguments.push(".");
        let archive = tar(&from.tree().join("a"), &arguments, b"");
        let world = World::new();
        world.write("into/file", "is replaced");
        world.write("into/other", "stays");
        let stored = world.stored();
        let mut edit = Edit::of(&stored);
        let edited = unpack(archive.as_slice(), &path("into"), &mut edit).unwrap();
        let made = world.materialize(edit.finish().unwrap().id);
        let done = unpacked(&world, "into", &archive).unwrap();
        assert_eq!(done, edited, "{format}");
        assert_eq!(done.files, 9, "{format}");
        assert_eq!(snapshot(made.path()), snapshot(&world.tree()), "{format}");
        let file = fs::read_to_string(world.tree().join("into/again")).unwrap();
        assert_eq!(file, "text");
        assert!(world.tree().join("into/other").exists());
    }
}

#[test]
fn an_archive_does_not_lead_out_nor_end_early() {
    let world = World::new();
    let from = World::new();
    fill(&from);
    let archive = packed(&from.live(), "a");
    let cut = unpacked(&world, "cut", &archive[..archive.len() / 2]);
    assert!(matches!(cut, Err(Error::Archive { .. })), "{cut:?}");
    let none = unpacked(&world, "none", &[7; 4096]);
    assert!(matches!(none, Err(Error::Archive { .. })), "{none:?}");
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("up"), "up").unwrap();
    let up = tar(
        &dir.path().join("sub"),
        &["--create", "--absolute-names", "--file", "-", "../up"],
        b"",
    );
    let refused = unpacked(&world, "", &up);
    assert!(matches!(refused, Err(Error::Archive { .. })), "{refused:?}");
    // A link out, and then a file through it.
    symlink(world.outside().parent().unwrap(), dir.path().join("out")).unwrap();
    let link = tar(dir.path(), &["--create", "--file", "-", "out"], b"");
    unpacked(&world, "", &link).unwrap();
    fs::remove_file(dir.path().join("out")).unwrap();
    fs::create_dir(dir.path().join("out")).unwrap();
    fs::write(dir.path().join("out/secret"), "overwritten").unwrap();
    let through = tar(dir.path(), &["--create", "--file", "-", "out/secret"], b"");
    let refused = unpacked(&world, "", &through);
    assert!(matches!(refused, Err(Error::Outside { .. })), "{refused:?}");
    assert_eq!(fs::read_to_string(world.outside()).unwrap(), "outside");
}

#[test]
fn a_file_that_shrinks_while_it_is_packed_cuts_the_archive() {
    let world = World::new();
    let file = world.write("f", vec![1; 4 << 20]);
    struct Shrinking(std::path::PathBuf, u64);
    impl std::io::Write for Shrinking {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.1 += bytes.len() as u64;
            if self.1 > 1 << 20 {
                let file = fs::OpenOptions::new().write(true).open(&self.0)?;
                file.set_len(1000)?;
            }
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let done = pack(&world.live(), &path(""), &mut Shrinking(file, 0));
    assert!(matches!(done, Err(Error::Stream(_))), "{done:?}");
}
