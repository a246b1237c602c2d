//! Archives made to do harm.

use std::fs;

use helmr_machine::rootfs::Error;

use crate::bundle::{Image, Packing, docker_archive, gzip};
use crate::tar::{Entry, Tar};
use crate::workshop::Workshop;

/// Imports one layer and expects a refusal with this code.
fn refused(entries: &[Entry], code: &str) -> Error {
    let workshop = Workshop::new();
    let error = workshop.flatten(&[Tar::of(entries)]).unwrap_err();
    assert_eq!(error.code(), code, "{error:?}");
    assert!(!workshop.out().exists());
    // A plain root is read by the same rules, whiteouts aside.
    error
}

#[test]
fn names_that_lead_out_are_refused() {
    for name in ["/etc/passwd", "../outside", "a/../../outside", "..", "a/.."] {
        refused(&[Entry::file(name, "x")], "image_refused");
    }
    refused(&[Entry::dir("a/../../b")], "image_refused");
    refused(&[Entry::link("a", "../../../etc/passwd")], "image_refused");
    refused(&[Entry::link("a", "/etc/hostname")], "image_refused");
    refused(&[Entry::symlink("a", "")], "image_refused");
    for name in [".wh.", ".wh..", "a/.wh..."] {
        refused(&[Entry::file(name, "")], "image_refused");
    }
    refused(
        &[Entry::file("deep/".repeat(300) + "x", "x")],
        "image_refused",
    );
    refused(&[Entry::file("x".repeat(300), "x")], "image_refused");
    refused(&[Entry::file("odd", "x").of_kind(b'Z')], "image_refused");
    refused(
        &[Entry::file("file", "x"), Entry::file("file/inside", "x")],
        "image_refused",
    );
    refused(
        &[
            Entry::symlink("a", "b"),
            Entry::symlink("b", "a"),
            Entry::file("a/x", "x"),
        ],
        "image_refused",
    );
}

#[test]
fn links_lead_nowhere_but_into_the_image() {
    let workshop = Workshop::new();
    let outside = workshop.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), "untouched").unwrap();
    let target = outside.to_str().unwrap();
    let up = format!("{}{target}", "../".repeat(40));
    let lower = Tar::of(&[
        Entry::symlink("absolute", target),
        Entry::symlink("climbing", &up),
        Entry::symlink("magic", "/proc/self/root"),
        Entry::symlink("file", format!("{target}/victim")),
        // So that there is something for the links to meet.
        Entry::file(
            format!("{}/victim", target.trim_start_matches('/')),
            "the image's own",
        ),
        Entry::dir("proc/self/root"),
    ]);
    let upper = Tar::of(&[
        Entry::file("absolute/victim", "overwritten"),
        Entry::file("climbing/second", "x"),
        Entry::file("magic/third", "x"),
        Entry::file("file", "replaced, not followed"),
        Entry::file("absolute/.wh.victim", ""),
        Entry::link("stolen", "climbing/victim"),
    ]);
    let listing = workshop.flatten(&[lower, upper]).unwrap();
    assert_eq!(
        fs::read_to_string(outside.join("victim")).unwrap(),
        "untouched"
    );
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    let inside = target.trim_start_matches('/');
    assert!(
        listing[&format!("{inside}/second")].starts_with("\"x\""),
        "{listing:?}"
    );
    assert!(listing["proc/self/root/third"].starts_with("\"x\""));
    assert!(listing["stolen"].starts_with("\"overwritten\""));
    assert!(listing["file"].starts_with("\"replaced"));
}

#[test]
fn bytes_are_counted_unpacked() {
    let mut workshop = Workshop::new();
    workshop.limits.unpacked_bytes = 1 << 20;
    workshop.limits.entries = 16;
    let bomb = Tar::of(&[Entry::file("zeros", vec![0; 30 << 20])]);
    let packed = Image::packed(&[(bomb.clone(), Packing::Gzip)]).tar();
    assert!(packed.len() < 1 << 20);
    let whole = gzip(&Image::of(std::slice::from_ref(&bomb)).tar());
    let cases = [
        packed,
        whole,
        bomb.clone(),
        gzip(&bomb),
        docker_archive(&[bomb]),
    ];
    for (at, source) in cases.iter().enumerate() {
        let error = workshop.import_bytes(source).unwrap_err();
        assert_eq!(error.code(), "image_too_large", "case {at}: {error:?}");
    }
    // Many layers, each within the limit.
    let layers: Vec<_> = (0..4)
        .map(|at| Tar::of(&[Entry::file(format!("{at}"), vec![1; 300 << 10])]))
        .collect();
    assert_eq!(
        workshop.flatten(&layers).unwrap_err().code(),
        "image_too_large"
    );
}

#[test]
fn entries_and_layers_are_counted() {
    let mut workshop = Workshop::new();
    workshop.limits.entries = 10;
    let entries: Vec<_> = (0..11).map(|at| Entry::file(format!("{at}"), "")).collect();
    assert_eq!(
        workshop.flatten(&[Tar::of(&entries)]).unwrap_err().code(),
        "image_too_large"
    );
    // Over all layers, and for names that come again and again.
    let again: Vec<_> = (0..6).map(|_| Entry::dir("same")).collect();
    assert_eq!(
        workshop
            .flatten(&[Tar::of(&again), Tar::of(&again)])
            .unwrap_err()
            .code(),
        "image_too_large"
    );
    workshop.limits.layers = 2;
    let layer = Tar::of(&[Entry::dir("a")]);
    let layers = [layer.clone(), layer.clone(), layer];
    assert_eq!(
        workshop.flatten(&layers).unwrap_err().code(),
        "image_too_large"
    );
}

#[test]
fn headers_are_not_read_into_memory_without_end() {
    let entry = Entry::file("a", "x").pax("comment", vec![b'x'; 3 << 20]);
    refused(&[entry], "image_too_large");
    // After a long member the ration is the same.
    let entries = [
        Entry::file("long", vec![1; 5 << 20]),
        Entry::file("a", "x").pax("comment", vec![b'x'; 3 << 20]),
    ];
    refused(&entries, "image_too_large");
}

#[test]
fn a_sparse_member_cannot_outgrow_the_limit() {
    // An old GNU sparse header: one byte of data at the end of a file of 8 EiB.
    let mut header = tokio_tar::Header::new_gnu();
    header.set_path("sparse").unwrap();
    header.set_mode(0o644);
    header.set_uid(rustix::process::geteuid().as_raw().into());
    header.set_gid(rustix::process::getegid().as_raw().into());
    header.set_size(1);
    header.set_entry_type(tokio_tar::EntryType::GNUSparse);
    {
        let gnu = header.as_gnu_mut().unwrap();
        gnu.sparse[0].offset.copy_from_slice(b"777777777770");
        gnu.sparse[0].numbytes.copy_from_slice(b"000000000001");
        gnu.realsize.copy_from_slice(b"777777777771");
    }
    header.set_cksum();
    let mut tar = header.as_bytes().to_vec();
    tar.push(b'x');
    tar.resize(512 * 4, 0);
    let mut workshop = Workshop::new();
    workshop.limits.unpacked_bytes = 1 << 20;
    assert_eq!(
        workshop.flatten(&[tar]).unwrap_err().code(),
        "image_too_large"
    );
}

#[test]
fn torn_archives_are_refused() {
    let layer = Tar::of(&[Entry::dir("d"), Entry::file("d/f", vec![7; 10_000])]);
    for length in [1024 + 5_000, 1024 + 512, 700] {
        let error = Workshop::new()
            .flatten(&[layer[..length].to_vec()])
            .unwrap_err();
        assert_eq!(error.code(), "image_invalid", "{length}: {error:?}");
        let error = Workshop::new().import_bytes(&layer[..length]).unwrap_err();
        assert_eq!(error.code(), "image_invalid", "{length}: {error:?}");
    }
    let mut edited = layer;
    edited[3] ^= 0xff;
    assert_eq!(
        Workshop::new().flatten(&[edited]).unwrap_err().code(),
        "image_invalid"
    );
}
