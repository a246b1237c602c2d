//! Putting a directory back.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use helmr_artifacts::ManifestId;
use helmr_artifacts::tree::{self, Index};

use crate::snapshot::assert_same;
use crate::world::{World, noise, open};

fn furnished() -> World {
    let world = World::new();
    for number in 0..300u64 {
        world.write(
            &format!("src/{}/{number}", number % 10),
            noise(2000, number),
        );
    }
    world.write("twins/a", "the same");
    world.write("twins/b", "the same");
    world.write("large", noise(700_000, 1));
    world.write("other large", noise(700_000, 2));
    symlink("large", world.tree().join("link")).unwrap();
    fs::hard_link(world.tree().join("large"), world.tree().join("src/large")).unwrap();
    world
}

fn restore(world: &World, id: ManifestId, known: Option<&Index>) -> Index {
    tree::restore(
        &world.artifacts,
        &world.keys,
        id,
        open(&world.tree()),
        known,
    )
    .unwrap()
}

/// Does a little of everything to the furnished tree.
fn spoil(world: &World) {
    let tree = world.tree();
    world.write("src/1/1", "shorter");
    world.write("src/2/2", noise(2000, 777));
    world.write("src/new/deep/er/file", "extra");
    fs::remove_file(tree.join("src/3/3")).unwrap();
    fs::remove_dir_all(tree.join("src/4")).unwrap();
    fs::remove_dir_all(tree.join("src/5")).unwrap();
    fs::write(tree.join("src/5"), "a file where a directory was").unwrap();
    fs::remove_file(tree.join("src/6/6")).unwrap();
    fs::create_dir_all(tree.join("src/6/6/was/a/file")).unwrap();
    fs::remove_file(tree.join("link")).unwrap();
    symlink("elsewhere", tree.join("link")).unwrap();
    fs::rename(tree.join("src/7"), tree.join("swap")).unwrap();
    fs::rename(tree.join("src/8"), tree.join("src/7")).unwrap();
    fs::rename(tree.join("swap"), tree.join("src/8")).unwrap();
    fs::remove_file(tree.join("src/large")).unwrap();
    fs::hard_link(tree.join("other large"), tree.join("src/large")).unwrap();
    fs::remove_file(tree.join("src/9/9")).unwrap();
    fs::hard_link(tree.join("src/9/19"), tree.join("src/9/9")).unwrap();
    fs::remove_file(tree.join("twins/b")).unwrap();
    fs::hard_link(tree.join("twins/a"), tree.join("twins/b")).unwrap();
    fs::set_permissions(tree.join("src/0"), fs::Permissions::from_mode(0o701)).unwrap();
    fs::set_permissions(tree.join("src/0/10"), fs::Permissions::from_mode(0o711)).unwrap();
    rustix::fs::setxattr(
        tree.join("src/0/20"),
        "user.x",
        b"1",
        rustix::fs::XattrFlags::CREATE,
    )
    .unwrap();
}

#[test]
fn a_spoiled_directory_is_put_back() {
    let world = furnished();
    let captured = world.capture(None);
    let (original, _) = world.materialize(captured.id);
    for known in [None, Some(&captured.index)] {
        spoil(&world);
        let index = restore(&world, captured.id, known);
        assert_same(&original, &world.tree());
        // The index it gives is right too.
        let again = world.capture(Some(&index));
        assert_eq!(again.id, captured.id);
    }
}

#[test]
fn what_is_right_stays_the_same_file() {
    let world = furnished();
    let known = world.settled();
    let inode = |name: &str| {
        let metadata = fs::metadata(world.tree().join(name)).unwrap();
        (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
    };
    let names = ["large", "src/0/0", "src/9/29", "src"];
    let before = names.map(inode);
    let index = restore(&world, known.tree(), Some(&known));
    assert_eq!(names.map(inode), before);
    // A small file is compared by its bytes where the index does not vouch for it.
    let small = inode("src/0/0");
    restore(&world, known.tree(), None);
    assert_eq!(inode("src/0/0"), small);
    // The large one was written anew, which its index must not hide.
    assert_ne!(inode("large"), before[0]);
    let again = world.capture(Some(&index));
    assert_eq!((again.id, again.changed_bytes), (known.tree(), 0));
}

#[test]
fn a_directory_moves_between_versions() {
    let world = furnished();
    let first = world.capture(None);
    spoil(&world);
    let second = world.capture(Some(&first.index));
    let (first_made, _) = world.materialize(first.id);
    let (second_made, _) = world.materialize(second.id);
    let mut index = second.index;
    for _ in 0..3 {
        index = restore(&world, first.id, Some(&index));
        assert_same(&first_made, &world.tree());
        index = restore(&world, second.id, Some(&index));
        assert_same(&second_made, &world.tree());
    }
}
