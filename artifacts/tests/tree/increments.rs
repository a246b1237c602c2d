//! The cost of a capture follows the change, and no change is missed.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

use helmr_artifacts::tree::{self, Index};
use helmr_artifacts::{DataKey, Error, KeySet};

use crate::snapshot::assert_same;
use crate::world::{World, noise, open};

/// A thousand small files and a large one.
fn furnished() -> World {
    let world = World::new();
    for number in 0..1000u64 {
        world.write(
            &format!("src/{}/{number}", number % 20),
            noise(3000, number),
        );
    }
    world.write("database", noise(20 << 20, 99));
    world
}

#[test]
fn a_capture_after_no_change_stores_nothing() {
    let world = furnished();
    let first = world.capture(None);
    assert_eq!(first.changed_bytes, first.size_bytes);
    let second = world.capture(Some(&first.index));
    assert_eq!(
        (second.id, second.stored_bytes, second.changed_bytes),
        (first.id, 0, 0)
    );
    // Not even without an index: equal content is found by its name.
    let third = world.capture(None);
    assert_eq!((third.id, third.stored_bytes), (first.id, 0));
}

#[test]
fn files_with_the_same_bytes_are_stored_once_and_keep_their_place() {
    let world = World::new();
    for number in 0..100 {
        world.write(&format!("copy {number}"), noise(4000, 1));
    }
    let first = world.capture(None);
    assert!(first.stored_bytes < 10_000, "{}", first.stored_bytes);
    let mut index = first.index;
    for _ in 0..5 {
        let again = world.capture(Some(&index));
        assert_eq!((again.id, again.stored_bytes), (first.id, 0));
        index = again.index;
    }
}

#[test]
fn a_capture_after_touching_one_file_stores_about_that_file() {
    let world = furnished();
    let index = world.settled();
    world.write("src/7/407", noise(5000, 7));
    let second = world.capture(Some(&index));
    assert_eq!(second.changed_bytes, 5000);
    // Beside the file: the piece of the manifest that names it, and the manifest's own list of pieces.
    assert!(second.stored_bytes < 60_000, "{}", second.stored_bytes);

    let file = File::options()
        .write(true)
        .open(world.tree().join("database"))
        .unwrap();
    file.write_all_at(b"one page", 9 << 20).unwrap();
    let third = world.capture(Some(&second.index));
    assert!(
        (8..=2 << 20).contains(&third.changed_bytes),
        "{}",
        third.changed_bytes
    );
    assert!(third.stored_bytes < 2_200_000, "{}", third.stored_bytes);
    let (made, _) = world.materialize(third.id);
    assert_same(&world.tree(), &made);
}

#[test]
fn moving_and_changing_attributes_stores_no_content() {
    let world = furnished();
    let index = world.settled();
    fs::rename(world.tree().join("src"), world.tree().join("lib")).unwrap();
    fs::rename(world.tree().join("lib/3/3"), world.tree().join("moved")).unwrap();
    fs::set_permissions(
        world.tree().join("database"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    let second = world.capture(Some(&index));
    assert_eq!(second.changed_bytes, 0);
    assert!(second.stored_bytes < 300_000, "{}", second.stored_bytes);
    let (made, _) = world.materialize(second.id);
    assert_same(&world.tree(), &made);
}

#[test]
fn the_same_bytes_written_again_store_no_content() {
    let world = furnished();
    let index = world.settled();
    for number in 0..1000u64 {
        world.write(
            &format!("src/{}/{number}", number % 20),
            noise(3000, number),
        );
    }
    let second = world.capture(Some(&index));
    assert_eq!(second.changed_bytes, 0);
}

#[test]
fn a_change_within_a_tick_of_the_capture_is_not_missed() {
    let world = World::new();
    let path = world.write("file", "state 0");
    let mut index = world.capture(None).index;
    for number in 1..200 {
        // Same length, and the modification time set back: only inode and change time can tell.
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        let text = format!("state {}", number % 10);
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(text.as_bytes(), 0).unwrap();
        file.set_modified(before).unwrap();
        let captured = world.capture(Some(&index));
        let (made, _) = world.materialize(captured.id);
        assert_eq!(
            fs::read_to_string(made.join("file")).unwrap(),
            text,
            "round {number}"
        );
        fs::remove_dir_all(made).unwrap();
        index = captured.index;
    }
}

#[test]
fn a_store_through_a_mapping_is_not_missed() {
    store_through_a_mapping(&World::new());
}

#[test]
fn nor_is_it_where_change_times_cannot_be_trusted() {
    // A tmpfs wherever there is Linux.
    store_through_a_mapping(&World::on(std::path::Path::new("/dev/shm")));
}

fn store_through_a_mapping(world: &World) {
    #![expect(unsafe_code, reason = "a shared mapping is what is tested")]
    use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
    let path = world.write("mapped", vec![b'a'; 8192]);
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let (read_write, shared) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
    // SAFETY: a fresh mapping of a file that stays 8192 bytes long and that only this test has.
    let map = unsafe { mmap(std::ptr::null_mut(), 8192, read_write, shared, &file, 0) }.unwrap();
    let store = |at: usize, byte: u8| {
        // SAFETY: `at` is below 8192 and the mapping lives until the end of the test.
        unsafe { map.cast::<u8>().add(at).write_volatile(byte) }
    };
    store(5000, b'b');
    let index = world.settled();
    // Without the sync at capture the page would still be writable, and this store would leave no trace.
    store(5001, b'c');
    let captured = world.capture(Some(&index));
    let (made, _) = world.materialize(captured.id);
    let bytes = fs::read(made.join("mapped")).unwrap();
    assert_eq!((bytes[5000], bytes[5001]), (b'b', b'c'));
    // SAFETY: mapped above, with this length, and not used after.
    unsafe { munmap(map, 8192) }.unwrap();
}

#[test]
fn an_index_survives_its_file() {
    let world = furnished();
    let index = world.settled();
    let path = world.path("index");
    index.save(&path).unwrap();
    let loaded = Index::load(&path).unwrap().unwrap();
    assert_eq!(loaded.tree(), index.tree());
    let captured = world.capture(Some(&loaded));
    assert_eq!((captured.id, captured.stored_bytes), (index.tree(), 0));
    assert!(Index::load(&world.path("none")).unwrap().is_none());

    let bytes = fs::read(&path).unwrap();
    for torn in [&bytes[..bytes.len() / 2], &bytes[..10], &[]] {
        fs::write(&path, torn).unwrap();
        assert!(matches!(Index::load(&path), Err(Error::Corrupt { .. })));
    }
    let mut edited = bytes;
    let middle = edited.len() / 2;
    edited[middle] ^= 1;
    fs::write(&path, edited).unwrap();
    assert!(matches!(Index::load(&path), Err(Error::Corrupt { .. })));
}

#[test]
fn an_index_of_other_keys_is_not_believed() {
    let world = furnished();
    let index = world.settled();
    let other = KeySet::derive(&DataKey::generate().unwrap());
    let captured =
        tree::capture(&world.artifacts, &other, open(&world.tree()), Some(&index)).unwrap();
    assert_eq!(captured.changed_bytes, captured.size_bytes);
    let made = world.path("other");
    fs::create_dir(&made).unwrap();
    tree::materialize(&world.artifacts, &other, captured.id, open(&made)).unwrap();
    assert_same(&world.tree(), &made);
}

#[test]
fn an_index_from_materializing_spares_reading() {
    let world = furnished();
    let captured = world.capture(None);
    let (made, index) = world.materialize(captured.id);
    let opened = fs::metadata(made.join("database")).unwrap().atime();
    let path = made.join("src/0/0");
    fs::write(&path, "changed").unwrap();
    let again = tree::capture(&world.artifacts, &world.keys, open(&made), Some(&index)).unwrap();
    assert_eq!(again.changed_bytes, 7);
    assert_eq!(fs::metadata(made.join("database")).unwrap().atime(), opened);
}
