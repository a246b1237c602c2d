//! The cost of a capture in a large tree, counted and not timed.
//!
//! `cargo xtask scale versions` makes it at full size, 5 GiB in 100,000 files; otherwise it is a fiftieth of that.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "what it counts is to be seen")]

use std::fs;
use std::path::Path;

use helmr_artifacts::tree::{self, Captured, Index};
use helmr_artifacts::{Artifacts, DataKey, KeySet};

const FILES: u64 = 100_000;
const BYTES: u64 = 5 << 30;
const TOUCHED: u64 = 1 << 20;
/// In a directory.
const SIBLINGS: u64 = 250;

struct World {
    artifacts: Artifacts,
    keys: KeySet,
    dir: tempfile::TempDir,
}

impl World {
    fn capture(&self, previous: Option<&Index>) -> Captured {
        let root = tree::open_root(&self.dir.path().join("tree")).unwrap();
        tree::capture(&self.artifacts, &self.keys, root, previous).unwrap()
    }

    /// Captures until the last changes are old enough to be told from later ones by their time.
    fn settled(&self, mut index: Index) -> Index {
        let begun = std::time::Instant::now();
        loop {
            let late_enough = begun.elapsed() > std::time::Duration::from_millis(80);
            index = self.capture(Some(&index)).index;
            if late_enough {
                return index;
            }
        }
    }
}

/// Bytes that do not compress.
fn noise(length: u64, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

fn file(root: &Path, number: u64) -> std::path::PathBuf {
    root.join(format!("dir-{}/file-{number}", number / SIBLINGS))
}

fn divisor() -> u64 {
    // Set at build time: tests read no environment.
    option_env!("HELMR_SCALE_DIVISOR").map_or(50, |text| text.parse().unwrap())
}

#[test]
fn a_capture_after_touching_a_mebibyte_reads_and_stores_about_that() {
    let (files, bytes) = (FILES / divisor(), BYTES / divisor());
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let world = World {
        artifacts: Artifacts::open_local(&dir.path().join("store")).unwrap(),
        keys: KeySet::derive(&DataKey::generate().unwrap()),
        dir,
    };
    let root = world.dir.path().join("tree");
    // A quarter in files of a mebibyte, the rest in many of the same size.
    let large = bytes / 4 / TOUCHED;
    let small = (bytes - large * TOUCHED) / (files - large);
    for number in 0..files {
        let path = file(&root, number);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let size = if number < large { TOUCHED } else { small };
        fs::write(path, noise(size, number)).unwrap();
    }
    let first = world.capture(None);
    let told = |what: &str, captured: &Captured| {
        println!(
            "{what}: read {} bytes, stored {} bytes, of {} bytes in {} entries",
            captured.read_bytes, captured.stored_bytes, captured.size_bytes, captured.entries
        );
    };
    told("first capture", &first);
    let index = world.settled(first.index);
    let unchanged = world.capture(Some(&index));
    told("nothing touched", &unchanged);
    assert_eq!((unchanged.read_bytes, unchanged.stored_bytes), (0, 0));

    fs::write(file(&root, large / 2), noise(TOUCHED, files)).unwrap();
    let one = world.capture(Some(&unchanged.index));
    told("1 MiB in one file", &one);
    assert_eq!(one.read_bytes, TOUCHED);
    // Beside the file: a piece of the list of entries, and the manifest's own list of pieces.
    assert!(one.stored_bytes < TOUCHED * 3 / 2, "{}", one.stored_bytes);

    let index = world.settled(one.index);
    let count = TOUCHED / small;
    for number in 0..count {
        // Next to each other, as edits are.
        fs::write(
            file(&root, large + 10 + number),
            noise(small, files + number + 1),
        )
        .unwrap();
    }
    let many = world.capture(Some(&index));
    told("1 MiB in small files", &many);
    assert_eq!(many.read_bytes, count * small);
    assert!(many.stored_bytes < TOUCHED * 3 / 2, "{}", many.stored_bytes);
}
