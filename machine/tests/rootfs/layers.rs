//! Layers: order, whiteouts, replacements, links (OCI image-spec 1.1, layer changesets).

use crate::tar::{Entry, Tar};
use crate::workshop::{Workshop, names};

/// Flattens layers and compares the names that are left.
fn check(layers: &[&[Entry]], expected: &[&str]) {
    let layers: Vec<_> = layers.iter().map(|layer| Tar::of(layer)).collect();
    let listing = Workshop::new().flatten(&layers).unwrap();
    assert_eq!(names(&listing), expected);
}

fn file(name: &str) -> Entry {
    Entry::file(name, name)
}

fn whiteout(name: &str) -> Entry {
    Entry::file(name, "")
}

#[test]
fn later_layers_win() {
    let lower = Tar::of(&[Entry::file("a", "lower"), Entry::file("b", "lower")]);
    let upper = Tar::of(&[Entry::file("b", "upper").mode(0o600)]);
    let listing = Workshop::new()
        .flatten(&[lower.clone(), upper.clone()])
        .unwrap();
    assert!(listing["b"].starts_with("\"upper\" 600"), "{listing:?}");
    let listing = Workshop::new().flatten(&[upper, lower]).unwrap();
    assert!(listing["b"].starts_with("\"lower\" 644"), "{listing:?}");
}

#[test]
fn a_whiteout_hides_a_file_and_a_directory_with_all_in_it() {
    let lower = [
        file("a"),
        file("b"),
        Entry::dir("d"),
        file("d/x"),
        Entry::dir("d/e"),
        file("d/e/y"),
        file("dd"),
    ];
    check(
        &[&lower, &[whiteout(".wh.a"), whiteout(".wh.d")]],
        &["b", "dd"],
    );
    check(
        &[&lower, &[whiteout("d/.wh.e"), whiteout("d/.wh.none")]],
        &["a", "b", "d", "d/x", "dd"],
    );
    // Hidden and put back by a third layer: nothing of the first shines through.
    check(
        &[
            &lower,
            &[whiteout(".wh.d")],
            &[Entry::dir("d"), file("d/z")],
        ],
        &["a", "b", "d", "d/z", "dd"],
    );
}

#[test]
fn a_whiteout_does_not_hide_its_own_layer() {
    let lower = [file("a"), Entry::dir("d"), file("d/x")];
    check(
        &[&lower, &[file("a"), whiteout(".wh.a")]],
        &["a", "d", "d/x"],
    );
    check(
        &[&lower, &[whiteout(".wh.a"), file("a")]],
        &["a", "d", "d/x"],
    );
    check(
        &[&lower, &[Entry::dir("d"), file("d/y"), whiteout(".wh.d")]],
        &["a", "d", "d/y"],
    );
    check(
        &[&lower, &[whiteout(".wh.d"), Entry::dir("d"), file("d/y")]],
        &["a", "d", "d/y"],
    );
    check(&[&[file("a"), whiteout(".wh.a")]], &["a"]);
}

#[test]
fn an_opaque_directory_shows_its_own_layer_alone_wherever_it_says_so() {
    let lower = [
        Entry::dir("d"),
        file("d/x"),
        Entry::dir("d/e"),
        file("d/e/y"),
        Entry::dir("d/f"),
        file("d/f/z"),
        file("k"),
    ];
    let opaque = || whiteout("d/.wh..wh..opq");
    let expected = ["d", "d/e", "d/e/new", "d/own", "k"];
    check(
        &[&lower, &[opaque(), file("d/own"), file("d/e/new")]],
        &expected,
    );
    check(
        &[&lower, &[file("d/own"), file("d/e/new"), opaque()]],
        &expected,
    );
    check(
        &[
            &lower,
            &[file("d/own"), opaque(), Entry::dir("d/e"), file("d/e/new")],
        ],
        &expected,
    );
    check(&[&lower, &[whiteout(".wh..wh..opq")]], &[]);
}

#[test]
fn book_keeping_of_old_union_file_systems_is_left_out() {
    check(
        &[&[
            file("a"),
            Entry::dir(".wh..wh.plnk"),
            whiteout(".wh..wh.aufs"),
        ]],
        &["a"],
    );
}

#[test]
fn files_replace_directories_and_the_other_way_round() {
    let lower = [
        Entry::dir("d"),
        file("d/x"),
        file("f"),
        Entry::symlink("l", "d"),
    ];
    let upper = [
        file("d"),
        Entry::dir("f"),
        file("f/x"),
        Entry::dir("l"),
        file("l/y"),
    ];
    check(&[&lower, &upper], &["d", "f", "f/x", "l", "l/y"]);
}

#[test]
fn a_directory_entry_changes_attributes_and_keeps_the_content() {
    let lower = Tar::of(&[
        Entry::dir("d").mode(0o700).xattr("user.a", "1"),
        file("d/x"),
    ]);
    let upper = Tar::of(&[Entry::dir("d").mode(0o1777).xattr("user.b", "2")]);
    let listing = Workshop::new().flatten(&[lower, upper]).unwrap();
    assert_eq!(names(&listing), ["d", "d/x"]);
    assert!(
        listing["d"].starts_with("dir 1777 ") && listing["d"].ends_with(" user.b=[50]"),
        "{}",
        listing["d"]
    );
}

#[test]
fn paths_go_through_links_of_lower_layers() {
    let lower = [
        Entry::dir("usr"),
        Entry::dir("usr/lib"),
        Entry::symlink("lib", "usr/lib"),
        Entry::symlink("abs", "/usr"),
    ];
    let upper = [file("lib/a"), file("abs/lib/b"), whiteout("lib/.wh.none")];
    check(
        &[&lower, &upper],
        &["abs", "lib", "usr", "usr/lib", "usr/lib/a", "usr/lib/b"],
    );
    // A whiteout through a link hides what is there.
    check(
        &[&lower, &upper, &[whiteout("lib/.wh.a")]],
        &["abs", "lib", "usr", "usr/lib", "usr/lib/b"],
    );
}

#[test]
fn hard_links_are_one_file_within_a_layer_and_across_layers() {
    let lower = Tar::of(&[
        file("a"),
        Entry::dir("d"),
        Entry::link("d/b", "a"),
        Entry::link("c", "./d/b"),
    ]);
    let listing = Workshop::new()
        .flatten(std::slice::from_ref(&lower))
        .unwrap();
    for name in ["a", "c", "d/b"] {
        assert!(
            listing[name].starts_with("\"a\"") && listing[name].ends_with("links 3"),
            "{}",
            listing[name]
        );
    }
    let upper = Tar::of(&[Entry::link("e", "/a"), Entry::file("c", "other")]);
    let listing = Workshop::new().flatten(&[lower.clone(), upper]).unwrap();
    assert!(listing["e"].ends_with("links 3"), "{listing:?}");
    assert!(
        listing["c"].starts_with("\"other\"") && !listing["c"].contains("links"),
        "{listing:?}"
    );
    // A link to itself changes nothing.
    let again = Tar::of(&[Entry::link("a", "d/b"), Entry::link("a", "a")]);
    let listing = Workshop::new().flatten(&[lower, again]).unwrap();
    assert!(listing["a"].ends_with("links 3"), "{listing:?}");
}

#[test]
fn modes_attributes_fifos_and_odd_names_are_kept_and_devices_left_out() {
    let long = format!("{}/{}", "long".repeat(30), "name".repeat(50));
    let entries = [
        Entry::file("su", "x").mode(0o4755),
        Entry::dir("sticky").mode(0o1777),
        Entry::file("ping", "y")
            .xattr("user.note", b"\0\xff")
            .xattr("user.other", "z"),
        Entry::file("pong", "y")
            .xattr("user.note", b"\0\xff")
            .xattr("trusted.overlay.opaque", "y"),
        Entry::fifo("queue"),
        Entry::device("null"),
        Entry::file(&long, "far"),
        Entry::symlink("far", format!("/{long}")),
        Entry::file(b"\xff\xfe".as_slice(), "raw"),
        Entry::file("old", "contiguous").of_kind(b'7'),
        Entry::file("pax comment", "")
            .of_kind(b'g')
            .pax("comment", "global"),
    ];
    let listing = Workshop::new().flatten(&[Tar::of(&entries)]).unwrap();
    assert!(listing["su"].starts_with("\"x\" 4755"), "{listing:?}");
    assert!(listing["sticky"].starts_with("dir 1777"), "{listing:?}");
    assert!(
        listing["ping"].ends_with("user.note=[0, 255] user.other=[122]"),
        "{listing:?}"
    );
    assert!(
        listing["pong"].ends_with("user.note=[0, 255]"),
        "{listing:?}"
    );
    assert!(listing["queue"].starts_with("fifo 600"), "{listing:?}");
    assert!(listing[&long].starts_with("\"far\""), "{listing:?}");
    assert_eq!(
        listing["far"].split(' ').nth(1),
        Some(format!("/{long}").as_str())
    );
    assert!(listing["\\xff\\xfe"].starts_with("\"raw\""), "{listing:?}");
    assert!(listing["old"].starts_with("\"contiguous\""), "{listing:?}");
    assert!(
        !listing.contains_key("null") && !listing.contains_key("pax comment"),
        "{listing:?}"
    );
}

#[test]
fn foreign_owners_and_capabilities_are_kept_where_we_are_root() {
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let entries = [
        Entry::file("small", "x").owner(1000, 100).mode(0o6755),
        Entry::file("large id", "x").owner(4_000_000_000, 70_000),
        Entry::symlink("link", "x").owner(65_534, 65_534),
        Entry::file("ping", "x")
            .owner(5, 5)
            .xattr("security.capability", capability),
    ];
    let workshop = Workshop::new();
    let flattened = workshop.flatten(&[Tar::of(&entries)]);
    if !rustix::process::geteuid().is_root() {
        assert_eq!(flattened.unwrap_err().code(), "image_needs_root");
        return;
    }
    let listing = flattened.unwrap();
    assert_eq!(listing["small"], "\"x\" 6755 1000:100");
    assert_eq!(listing["large id"], "\"x\" 644 4000000000:70000");
    assert_eq!(listing["link"], "-> x 65534:65534");
    assert_eq!(
        listing["ping"],
        format!("\"x\" 644 5:5 security.capability={capability:?}")
    );
}

#[test]
fn a_plain_root_has_no_whiteouts() {
    let workshop = Workshop::new();
    workshop
        .import_bytes(&Tar::of(&[file("a"), file(".wh.a")]))
        .unwrap();
    assert_eq!(names(&workshop.listing()), [".wh.a", "a"]);
}
