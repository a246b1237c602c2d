//! What was torn or edited at rest is refused by name, and nothing is committed over what is not durable.

use std::fs;

use helmr_artifacts::{Error, tree};

use crate::world::{World, noise, open};

fn furnished() -> (World, tree::Captured) {
    let world = World::new();
    world.write("large", noise(400_000, 1));
    world.write("small", "text");
    let captured = world.capture(None);
    (world, captured)
}

/// Reads everything there is to read of a tree.
fn read_all(world: &World, captured: &tree::Captured) -> Result<(), Error> {
    world.try_materialize(captured.id).1.map(drop)
}

#[test]
fn an_edited_or_torn_object_is_refused() {
    let (world, captured) = furnished();
    read_all(&world, &captured).unwrap();
    for folder in ["chunks", "manifests"] {
        let objects = world.objects(folder);
        assert!(!objects.is_empty());
        for object in objects {
            let whole = fs::read(&object).unwrap();
            let mut edited = whole.clone();
            let middle = edited.len() / 2;
            edited[middle] ^= 4;
            for bad in [
                edited,
                whole[..whole.len() - 1].to_vec(),
                Vec::new(),
                noise(1000, 5),
            ] {
                fs::write(&object, bad).unwrap();
                let refused = read_all(&world, &captured);
                assert!(
                    matches!(refused, Err(Error::Corrupt { .. })),
                    "{}: {refused:?}",
                    object.display()
                );
            }
            fs::write(&object, whole).unwrap();
            read_all(&world, &captured).unwrap();
        }
    }
}

#[test]
fn objects_that_changed_places_are_refused() {
    let (world, captured) = furnished();
    let chunks = world.objects("chunks");
    let (one, other) = (fs::read(&chunks[0]).unwrap(), fs::read(&chunks[1]).unwrap());
    fs::write(&chunks[0], other).unwrap();
    fs::write(&chunks[1], one).unwrap();
    let refused = read_all(&world, &captured);
    assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
}

#[test]
fn a_missing_object_is_named() {
    let (world, captured) = furnished();
    for object in [world.objects("chunks"), world.objects("manifests")].concat() {
        let aside = world.path("aside");
        fs::rename(&object, &aside).unwrap();
        match read_all(&world, &captured) {
            Err(Error::NotFound { name, .. }) => {
                assert_eq!(name, object.file_name().unwrap().to_string_lossy())
            }
            other => panic!("{other:?}"),
        }
        fs::rename(&aside, &object).unwrap();
    }
}

#[test]
fn a_failed_materialization_can_be_completed() {
    let (world, captured) = furnished();
    let chunk = world
        .objects("chunks")
        .into_iter()
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let aside = world.path("aside");
    fs::rename(&chunk, &aside).unwrap();
    let (half, failed) = world.try_materialize(captured.id);
    assert!(failed.is_err());
    fs::rename(&aside, &chunk).unwrap();
    tree::restore(
        &world.artifacts,
        &world.keys,
        captured.id,
        open(&half),
        None,
    )
    .unwrap();
    crate::snapshot::assert_same(&world.tree(), &half);
}

#[test]
fn no_manifest_is_written_over_chunks_that_could_not_be() {
    let world = World::new();
    world.write("large", noise(400_000, 1));
    // A file where a directory must be: chunks cannot be written, whoever we are.
    fs::write(world.store().join("chunks"), "").unwrap();
    assert!(matches!(world.try_capture(None), Err(Error::Store { .. })));
    assert_eq!(world.objects("manifests").len(), 0);
    fs::remove_file(world.store().join("chunks")).unwrap();
    let captured = world.capture(None);
    read_all(&world, &captured).unwrap();
}

#[test]
fn a_blob_is_not_taken_for_a_tree() {
    let world = World::new();
    let blob =
        helmr_artifacts::blob::write(&world.artifacts, &world.keys, &noise(1000, 1)[..]).unwrap();
    let refused = world.try_materialize(blob.id).1;
    assert!(matches!(refused, Err(Error::Corrupt { .. })), "{refused:?}");
}
