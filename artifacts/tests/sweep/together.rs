//! Rounds beside writers and readers, at the same moment.

use std::fs;
use std::time::Duration;

use helmr_artifacts::sweep::Step;
use helmr_artifacts::{Error, ManifestId, blob};

use crate::world::{GRACE, World, noise};

const OBJECTS: u64 = 60;
const LONG: Duration = Duration::from_secs(48 * 3600);

fn write(world: &World, number: u64) -> ManifestId {
    let bytes = noise(2_000, number);
    blob::write(&world.artifacts, &world.keys, bytes.as_slice())
        .unwrap()
        .id
}

fn read(world: &World, id: ManifestId) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    blob::copy_to(&world.artifacts, &world.keys, id, &mut bytes)?;
    Ok(bytes)
}

#[test]
fn an_old_object_goes_in_two_rounds_and_comes_back_when_it_is_missed_between_them() {
    let world = World::new();
    let (gone, missed, named) = (write(&world, 1), write(&world, 2), write(&world, 3));
    let young = world.sweep([&named]);
    assert_eq!((young.young.objects, young.aside.objects), (4, 0));
    world.age(LONG);
    let first = world.sweep([&named]);
    assert_eq!(
        (
            first.kept.objects,
            first.aside.objects,
            first.removed.objects
        ),
        (2, 4, 0)
    );
    assert!(first.aside.bytes > 4_000);
    // Too early for the next round to remove anything.
    assert_eq!(world.sweep([&named]).aside.objects, 4);
    read(&world, missed).unwrap();
    world.age(LONG);
    // It was wanted, and has become old again.
    let second = world.sweep([&named]);
    assert_eq!((second.removed.objects, second.aside.objects), (2, 2));
    assert!(matches!(read(&world, gone), Err(Error::NotFound { .. })));
    read(&world, missed).unwrap();
    read(&world, named).unwrap();
}

#[test]
fn what_is_named_again_while_it_is_aside_goes_back() {
    let world = World::new();
    let id = write(&world, 1);
    world.age(LONG);
    world.sweep([]);
    world.age(LONG);
    let mut round = world.round([]);
    drop(round.step());
    drop(round);
    let named = world.sweep([&id]);
    assert_eq!((named.kept.objects, named.removed.objects), (2, 0));
    read(&world, id).unwrap();
}

#[test]
fn half_written_objects_go_when_they_are_old() {
    let world = World::new();
    let id = write(&world, 1);
    let object = world.objects().remove(0);
    let torn = object.with_file_name(format!(
        "{}#1",
        object.file_name().unwrap().to_str().unwrap()
    ));
    fs::write(&torn, "half").unwrap();
    assert_eq!(world.sweep([&id]).removed.objects, 0);
    assert!(torn.exists());
    world.age(LONG);
    assert_eq!(world.sweep([&id]).removed.objects, 1);
    assert!(!torn.exists());
}

#[test]
fn a_manifest_that_cannot_be_followed_stops_a_round_before_it_takes_anything() {
    let world = World::new();
    let id = write(&world, 1);
    for object in world.objects() {
        if object.to_str().unwrap().contains("manifests") {
            fs::remove_file(object).unwrap();
        }
    }
    let mut round = world.round([]);
    assert!(matches!(
        round.mark(&world.artifacts, &world.keys, id),
        Err(Error::NotFound { .. })
    ));
}

/// Runs a round that names nothing while old objects are written again; they must all be there afterwards.
fn race(world: &World, between: impl Fn()) {
    world.age(LONG);
    between();
    std::thread::scope(|scope| {
        let sweeper = scope.spawn(|| {
            let mut round = world.round([]);
            while round.step().unwrap() == Step::More {}
        });
        let writers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    (0..OBJECTS)
                        .map(|number| write(world, number))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        sweeper.join().unwrap();
        for writer in writers {
            for (id, number) in writer.join().unwrap().into_iter().zip(0..) {
                assert_eq!(read(world, id).unwrap(), noise(2_000, number));
            }
        }
    });
}

#[test]
fn objects_that_are_wanted_while_they_are_set_aside_or_removed_are_there_afterwards() {
    let world = World::new();
    for number in 0..OBJECTS {
        write(&world, number);
    }
    for _ in 0..12 {
        race(&world, || {});
        // And once when everything lies aside and may be removed.
        race(&world, || {
            world.sweep([]);
            world.age(GRACE + Duration::from_secs(60));
        });
    }
}
