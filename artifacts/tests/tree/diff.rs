//! What differs between two versions.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use helmr_artifacts::ManifestId;
use helmr_artifacts::tree::{self, Change, Differs};

use crate::world::{World, noise};

fn changes(world: &World, before: Option<ManifestId>, after: Option<ManifestId>) -> Vec<Change> {
    tree::diff(&world.artifacts, &world.keys, before, after)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

/// Each change in a line.
fn shown(changes: &[Change]) -> Vec<String> {
    let line = |change: &Change| {
        let path = String::from_utf8_lossy(&change.path);
        match (&change.before, &change.after) {
            (None, Some(after)) => format!("+ {path} {}", after.size_bytes()),
            (Some(before), None) => format!("- {path} {}", before.size_bytes()),
            _ => {
                let Differs {
                    kind,
                    content,
                    mode,
                    owner,
                    attributes,
                } = change.differs();
                let told = [
                    (kind, "kind"),
                    (content, "content"),
                    (mode, "mode"),
                    (owner, "owner"),
                    (attributes, "attributes"),
                ];
                let told: Vec<_> = told
                    .iter()
                    .filter(|(is, _)| *is)
                    .map(|(_, name)| *name)
                    .collect();
                format!("~ {path} {}", told.join(","))
            }
        }
    };
    changes.iter().map(line).collect()
}

#[test]
fn every_way_in_which_a_path_can_differ_is_told() {
    let world = World::new();
    for name in [
        "same", "gone", "edited", "moded", "big", "swapped", "dir/kept", "dir/gone",
    ] {
        world.write(name, name);
    }
    world.write("big", noise(300_000, 1));
    symlink("here", world.tree().join("link")).unwrap();
    let before = world.capture(None);
    let at = |name: &str| world.tree().join(name);
    std::fs::remove_file(at("gone")).unwrap();
    std::fs::remove_file(at("dir/gone")).unwrap();
    world.write("edited", "other");
    world.write("big", noise(300_000, 2));
    // The same bytes, written anew: only the time differs.
    world.write("same", "same");
    std::fs::set_permissions(at("moded"), std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::remove_file(at("swapped")).unwrap();
    std::fs::create_dir(at("swapped")).unwrap();
    std::fs::remove_file(at("link")).unwrap();
    symlink("there", at("link")).unwrap();
    world.write("dir-new/file", "12345");
    let after = world.capture(Some(&before.index));
    let found = changes(&world, Some(before.id), Some(after.id));
    assert_eq!(
        shown(&found),
        [
            "~ big content",
            "- dir/gone 8",
            "+ dir-new 0",
            "+ dir-new/file 5",
            "~ edited content",
            "- gone 4",
            "~ link content",
            "~ moded mode",
            "~ swapped kind,mode",
        ]
    );
    // And back.
    let back = shown(&changes(&world, Some(after.id), Some(before.id)));
    assert_eq!(back[1], "+ dir/gone 8");
    assert!(changes(&world, Some(after.id), Some(after.id)).is_empty());
}

#[test]
fn everything_is_new_beside_nothing() {
    let world = World::new();
    world.write("a/b", "1");
    let captured = world.capture(None);
    assert_eq!(
        shown(&changes(&world, None, Some(captured.id))),
        ["+  0", "+ a 0", "+ a/b 1"]
    );
    assert_eq!(
        shown(&changes(&world, Some(captured.id), None)),
        ["-  0", "- a 0", "- a/b 1"]
    );
}

#[test]
fn a_hard_link_is_the_file_that_it_is_a_name_of() {
    let world = World::new();
    let file = world.write("a", "one");
    std::fs::hard_link(&file, world.tree().join("b")).unwrap();
    let before = world.capture(None);
    std::fs::remove_file(world.tree().join("b")).unwrap();
    world.write("b", "one");
    let same = world.capture(Some(&before.index));
    assert!(
        changes(&world, Some(before.id), Some(same.id)).is_empty(),
        "its bytes are those of a"
    );
    std::fs::write(world.tree().join("b"), "two").unwrap();
    let after = world.capture(Some(&same.index));
    assert_eq!(
        shown(&changes(&world, Some(before.id), Some(after.id))),
        ["~ b content"]
    );
}
