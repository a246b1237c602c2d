//! Blobs through a real store.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::io::{self, Read};

use helmr_artifacts::{Artifacts, DataKey, Error, KeySet, ManifestId, blob, chunk};

fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

fn world() -> (tempfile::TempDir, Artifacts, KeySet) {
    let dir = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::open_local(&dir.path().join("store")).unwrap();
    (
        dir,
        artifacts,
        KeySet::derive(&DataKey::generate().unwrap()),
    )
}

fn read_back(artifacts: &Artifacts, keys: &KeySet, id: ManifestId) -> Vec<u8> {
    let mut bytes = Vec::new();
    blob::read(artifacts, keys, id)
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    let mut copied = Vec::new();
    assert_eq!(
        blob::copy_to(artifacts, keys, id, &mut copied).unwrap(),
        bytes.len() as u64
    );
    assert!(copied == bytes);
    bytes
}

#[test]
fn blobs_of_any_size_come_back() {
    let (_dir, artifacts, keys) = world();
    for size in [0, 1, 65_535, 65_536, 1 << 20, (1 << 20) + 1, 9_000_000] {
        let bytes = noise(size, 1);
        let written = blob::write(&artifacts, &keys, bytes.as_slice()).unwrap();
        assert_eq!(written.size_bytes, size as u64);
        assert!(read_back(&artifacts, &keys, written.id) == bytes, "{size}");
    }
}

#[test]
fn the_same_blob_is_stored_once_and_an_edited_one_shares_the_rest() {
    let (_dir, artifacts, keys) = world();
    let mut bytes = noise(8 << 20, 1);
    let first = blob::write(&artifacts, &keys, bytes.as_slice()).unwrap();
    let again = blob::write(&artifacts, &keys, bytes.as_slice()).unwrap();
    assert_eq!((again.id, again.stored_bytes), (first.id, 0));
    bytes.insert(4 << 20, b'x');
    let edited = blob::write(&artifacts, &keys, bytes.as_slice()).unwrap();
    assert!(edited.stored_bytes < 3 << 20, "{}", edited.stored_bytes);
    assert!(read_back(&artifacts, &keys, edited.id) == bytes);
}

#[test]
fn zeros_are_stored_nowhere() {
    let (_dir, artifacts, keys) = world();
    let mut bytes = vec![0; 30 << 20];
    bytes[12_345_678] = 1;
    let written = blob::write(&artifacts, &keys, bytes.as_slice()).unwrap();
    assert!(written.stored_bytes < 10_000, "{}", written.stored_bytes);
    assert!(read_back(&artifacts, &keys, written.id) == bytes);
}

#[test]
fn environments_share_no_names() {
    let (dir, artifacts, keys) = world();
    let other = KeySet::derive(&DataKey::generate().unwrap());
    let bytes = noise(100_000, 1);
    let one = chunk::put(&artifacts, &keys, bytes.clone()).unwrap();
    let two = chunk::put(&artifacts, &other, bytes.clone()).unwrap();
    assert_ne!(one.name, two.name);
    assert!(chunk::get(&artifacts, &keys, &one).unwrap() == bytes);
    assert!(matches!(
        chunk::get(&artifacts, &other, &one),
        Err(Error::Corrupt { .. })
    ));
    assert!(matches!(
        chunk::get(&artifacts, &keys, &two),
        Err(Error::Corrupt { .. })
    ));
    // And nothing is in clear.
    let text = b"a sentence that no envelope may show";
    let kept = chunk::put(&artifacts, &keys, text.to_vec()).unwrap();
    let name = kept.name.to_string();
    let path = dir.path().join("store/chunks").join(&name[..2]).join(&name);
    let stored = std::fs::read(path).unwrap();
    assert!(!stored.windows(8).any(|window| text.starts_with(window)));
}

#[test]
fn a_source_that_fails_commits_nothing() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the client went away"))
        }
    }
    let (dir, artifacts, keys) = world();
    let source = noise(3_000_000, 1);
    let failed = blob::write(&artifacts, &keys, source.as_slice().chain(Failing));
    assert!(matches!(failed, Err(Error::Stream { .. })), "{failed:?}");
    assert!(!dir.path().join("store/manifests").exists());
}

#[test]
fn ids_are_read_from_their_text() {
    let (_dir, artifacts, keys) = world();
    let id = blob::write(&artifacts, &keys, &b"text"[..]).unwrap().id;
    assert_eq!(id.to_string().parse::<ManifestId>().unwrap(), id);
    for text in ["", "abc", &"A".repeat(64), &"0".repeat(63)] {
        assert!(
            matches!(text.parse::<ManifestId>(), Err(Error::NotAnId { .. })),
            "{text}"
        );
    }
    let missing = "0".repeat(64).parse().unwrap();
    assert!(matches!(
        blob::read(&artifacts, &keys, missing),
        Err(Error::NotFound { .. })
    ));
}

#[tokio::test]
async fn asynchronous_callers_go_through_the_pool() {
    let (_dir, artifacts, keys) = world();
    let works: Vec<_> = (0..40u64)
        .map(|seed| {
            let (artifacts, keys) = (artifacts.clone(), keys.clone());
            tokio::spawn(async move {
                artifacts
                    .run(move |artifacts| {
                        blob::write(artifacts, &keys, noise(300_000, seed % 4).as_slice())
                    })
                    .await
            })
        })
        .collect();
    let mut ids = std::collections::HashSet::new();
    for work in works {
        ids.insert(work.await.unwrap().unwrap().id);
    }
    assert_eq!(ids.len(), 4);
    let panicked = artifacts
        .run(|_| -> Result<(), Error> { panic!("on purpose") })
        .await;
    assert!(matches!(panicked, Err(Error::Abandoned)));
    // The last handle goes here, inside a task.
    drop(artifacts);
}
