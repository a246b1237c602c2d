//! Taking a directory out of a root image.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use helmr_machine::rootfs::{Error, extract_subtree};

use crate::bundle::Image;
use crate::tar::{Entry, Tar};
use crate::workshop::{Workshop, list, names};

fn furnished() -> Workshop {
    with_files(700)
}

/// With so many more files in one directory.
fn with_files(count: u32) -> Workshop {
    let workshop = Workshop::new();
    let many: Vec<_> = (0..count)
        .map(|at| Entry::file(format!("many/file number {at}"), format!("{at}")))
        .collect();
    let entries = [
        Entry::dir("srv").mode(0o750).xattr("user.of", "srv"),
        Entry::dir("srv/workspace").mode(0o2775),
        Entry::file("srv/workspace/readme", "hello"),
        Entry::link("srv/workspace/again", "srv/workspace/readme"),
        Entry::symlink("srv/workspace/link", "readme"),
        Entry::fifo("srv/workspace/fifo"),
        Entry::file("srv/workspace/exact", vec![5; 8192]),
        Entry::file("srv/workspace/over", vec![6; 8193]),
        Entry::file("srv/workspace/sparse", [vec![0; 500_000], vec![1]].concat()),
        Entry::symlink("workspace", "/srv/./workspace"),
        Entry::symlink("relative", "srv/../workspace"),
        Entry::symlink("loop", "loop"),
        Entry::dir("many"),
    ];
    let tar = Tar::of(&[entries.as_slice(), many.as_slice()].concat());
    workshop.import_bytes(&Image::of(&[tar]).tar()).unwrap();
    workshop
}

fn extract(
    workshop: &Workshop,
    path: &str,
    into: &str,
) -> Result<Option<helmr_machine::rootfs::Extracted>, Error> {
    let into = workshop.path(into);
    fs::create_dir(&into).unwrap();
    extract_subtree(&workshop.out(), path, &into)
}

#[test]
fn a_directory_comes_out_with_all_that_is_in_it() {
    let workshop = furnished();
    let extracted = extract(&workshop, "/srv/workspace", "a").unwrap().unwrap();
    let listing = list(&workshop.path("a"));
    assert_eq!(
        names(&listing),
        ["again", "exact", "fifo", "link", "over", "readme", "sparse"]
    );
    assert_eq!(
        (extracted.entries, extracted.size_bytes),
        (7, 5 + 8192 + 8193 + 500_001)
    );
    assert!(listing["again"].ends_with("links 2"), "{listing:?}");
    assert_eq!(fs::read(workshop.path("a/over")).unwrap(), vec![6; 8193]);
    let sparse = fs::metadata(workshop.path("a/sparse")).unwrap();
    assert!(sparse.blocks() * 512 < 100_000, "zeros are holes");
    let top = fs::metadata(workshop.path("a")).unwrap();
    assert_eq!((top.mode() & 0o7777, top.mtime()), (0o2775, 0));
}

#[test]
fn links_on_the_way_are_followed_inside_the_image() {
    let workshop = furnished();
    for (at, path) in [
        "/workspace",
        "/relative",
        "workspace/",
        "/../../workspace/../workspace/.",
    ]
    .iter()
    .enumerate()
    {
        let extracted = extract(&workshop, path, &format!("{at}")).unwrap();
        assert_eq!(
            extracted.map(|extracted| extracted.entries),
            Some(7),
            "{path}"
        );
    }
}

#[test]
fn what_is_no_directory_in_the_image_is_nothing() {
    let workshop = furnished();
    for (at, path) in [
        "/missing",
        "/srv/workspace/readme",
        "/loop",
        "/loop/x",
        "/srv/workspace/readme/x",
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(
            extract(&workshop, path, &format!("{at}")).unwrap(),
            None,
            "{path}"
        );
        assert_eq!(
            fs::read_dir(workshop.path(&format!("{at}")))
                .unwrap()
                .count(),
            0
        );
    }
}

/// Compares our reading of an image with that of the tool that made it.
pub(crate) fn assert_as_fsck_sees_it(image: &Path, scratch: &Path) {
    let (ours, theirs) = (scratch.join("ours"), scratch.join("theirs"));
    fs::create_dir_all(&ours).unwrap();
    let output = Command::new("fsck.erofs")
        .arg("--preserve")
        .arg(format!("--extract={}", theirs.display()))
        .arg(image)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    extract_subtree(image, "/", &ours).unwrap().unwrap();
    // That tool gives back neither hard links nor attributes, and loses set-id bits to the change of owner.
    let plain = |dir: &Path| {
        let mut listing = list(dir);
        for words in listing.values_mut() {
            for set_id in [" 2", " 4", " 6"] {
                *words = words.replace(&format!("{set_id}755 "), " 755 ");
            }
            for cut in [" links ", " user.", " security."] {
                if let Some(at) = words.find(cut) {
                    words.truncate(at);
                }
            }
        }
        listing
    };
    let (ours, theirs) = (plain(&ours), plain(&theirs));
    assert!(!ours.is_empty());
    for (name, words) in &theirs {
        assert_eq!(ours.get(name), Some(words), "{name}");
    }
    assert_eq!(ours.len(), theirs.len());
}

#[test]
fn the_makers_own_tool_reads_the_same() {
    let workshop = furnished();
    assert_as_fsck_sees_it(&workshop.out(), workshop.dir.path());
}

#[test]
fn a_torn_or_garbled_image_is_refused_and_never_followed_out() {
    let workshop = with_files(5);
    let whole = fs::read(workshop.out()).unwrap();
    for torn in [&whole[..0], &whole[..2000], &whole[..4096], &vec![0; 8192]] {
        fs::write(workshop.out(), torn).unwrap();
        let into = workshop.path("torn");
        fs::create_dir(&into).unwrap();
        let refused = extract_subtree(&workshop.out(), "/", &into).unwrap_err();
        assert_eq!(refused.code(), "root_image_invalid");
        fs::remove_dir_all(into).unwrap();
    }
    // Bytes changed anywhere in what is not content: whatever comes of it, it ends, and stays inside.
    let mut state = 12345u64;
    for _ in 0..300 {
        let mut garbled = whole.clone();
        for _ in 0..4 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = 1024 + usize::try_from(state >> 33).unwrap() % 12_000;
            garbled[at.min(whole.len() - 1)] = state.to_be_bytes()[3];
        }
        fs::write(workshop.out(), &garbled).unwrap();
        let inside = workshop.path("cage/inside");
        fs::create_dir_all(&inside).unwrap();
        drop(extract_subtree(&workshop.out(), "/", &inside));
        assert_eq!(fs::read_dir(workshop.path("cage")).unwrap().count(), 1);
        // Garbled modes may shut us out.
        let opened = Command::new("chmod")
            .arg("-R")
            .arg("u+rwx")
            .arg(workshop.path("cage"))
            .output();
        assert!(opened.unwrap().status.success());
        fs::remove_dir_all(workshop.path("cage")).unwrap();
    }
}
