//! Random lives of a workspace beside rounds that die between any two steps.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::time::Duration;

use helmr_artifacts::ManifestId;
use helmr_artifacts::sweep::{Round, Step};
use helmr_artifacts::tree::{self, Index, Node};
use proptest::prelude::*;

use crate::world::{GRACE, World, noise};

#[derive(Debug, Clone)]
enum Action {
    Write(u8, u32, u64),
    Remove(u8),
    /// Captures with what is known of the last capture, or without.
    Capture(bool),
    /// The database takes the captured version.
    Commit,
    /// Whoever captured dies before the database hears of it.
    Abandon,
    /// A version is dropped.
    Drop(u8),
    Read(u8),
    Hours(u8),
    Begin,
    Steps(u8),
    Die,
}

fn action() -> impl Strategy<Value = Action> {
    let size = prop_oneof![1..3_000u32, 70_000..300_000u32];
    prop_oneof![
        5 => (0..6u8, size, 0..5u64).prop_map(|(at, size, seed)| Action::Write(at, size, seed)),
        1 => (0..6u8).prop_map(Action::Remove),
        5 => any::<bool>().prop_map(Action::Capture),
        5 => Just(Action::Commit),
        1 => Just(Action::Abandon),
        3 => any::<u8>().prop_map(Action::Drop),
        1 => any::<u8>().prop_map(Action::Read),
        5 => (1..40u8).prop_map(Action::Hours),
        5 => Just(Action::Begin),
        8 => (1..40u8).prop_map(Action::Steps),
        1 => Just(Action::Die),
    ]
}

type Contents = BTreeMap<Vec<u8>, blake3::Hash>;

struct Life {
    world: World,
    index: Option<Index>,
    /// Captured, and how many hours ago; the database has not heard of it.
    pending: Option<(ManifestId, Contents, u64)>,
    named: Vec<(ManifestId, Contents)>,
    round: Option<Round>,
}

impl Life {
    fn new() -> Self {
        Self {
            world: World::new(),
            index: None,
            pending: None,
            named: Vec::new(),
            round: None,
        }
    }

    fn play(&mut self, action: &Action) {
        let file = |at: &u8| self.world.dir.path().join(format!("tree/{at}"));
        match action {
            Action::Write(at, size, seed) => {
                fs::write(file(at), noise(*size as usize, *seed)).unwrap();
            }
            Action::Remove(at) => drop(fs::remove_file(file(at))),
            Action::Capture(known) => self.capture(*known),
            Action::Commit => {
                self.named
                    .extend(self.pending.take().map(|(id, contents, _)| (id, contents)));
            }
            Action::Abandon => self.pending = None,
            Action::Drop(which) if !self.named.is_empty() => {
                self.named
                    .swap_remove(usize::from(*which) % self.named.len());
            }
            Action::Read(which) if !self.named.is_empty() => {
                let (id, contents) = &self.named[usize::from(*which) % self.named.len()];
                assert_eq!(read(&self.world, *id), *contents);
            }
            Action::Drop(_) | Action::Read(_) => {}
            Action::Hours(hours) => self.pass(u64::from(*hours)),
            Action::Begin => {
                self.round = Some(self.world.round(self.named.iter().map(|(id, _)| id)));
            }
            Action::Steps(count) => {
                let Some(round) = &mut self.round else { return };
                for _ in 0..*count {
                    if round.step().unwrap() == Step::Done {
                        self.round = None;
                        return;
                    }
                }
            }
            Action::Die => self.round = None,
        }
    }

    fn capture(&mut self, known: bool) {
        let root = tree::open_root(&self.world.dir.path().join("tree")).unwrap();
        let previous = self.index.as_ref().filter(|_| known);
        let (artifacts, keys) = (&self.world.artifacts, &self.world.keys);
        let captured = tree::capture(artifacts, keys, root, previous).unwrap();
        let contents = read(&self.world, captured.id);
        self.index = Some(captured.index);
        self.pending = Some((captured.id, contents, 0));
    }

    fn pass(&mut self, hours: u64) {
        let span = Duration::from_secs(hours * 3600);
        self.world.age(span);
        self.index = self.index.take().map(|index| index.aged(span));
        // A round takes minutes.
        self.round = None;
        // So does what lies between a capture and the database.
        if let Some((.., age)) = &mut self.pending {
            *age += hours;
            if Duration::from_secs(*age * 3600) >= GRACE {
                self.pending = None;
            }
        }
    }

    fn check(&self) {
        for (id, contents) in &self.named {
            assert_eq!(read(&self.world, *id), *contents);
        }
    }
}

fn read(world: &World, id: ManifestId) -> Contents {
    let mut contents = Contents::new();
    for entry in tree::read(&world.artifacts, &world.keys, id).unwrap() {
        let entry = entry.unwrap();
        if let Node::File { content, .. } = &entry.node {
            let mut bytes = Vec::new();
            let mut reader = tree::read_file(&world.artifacts, &world.keys, content);
            reader.read_to_end(&mut bytes).unwrap();
            contents.insert(entry.path, blake3::hash(&bytes));
        }
    }
    contents
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 300, ..ProptestConfig::default() })]
    #[test]
    fn what_the_database_names_is_always_there_and_the_rest_goes(
        actions in proptest::collection::vec(action(), 1..90)
    ) {
        let mut life = Life::new();
        for action in &actions {
            life.play(action);
            if let Action::Steps(_) = action {
                // Without reading, which would make things young: where rounds die, everything can still be read.
                continue;
            }
        }
        life.check();
        life.pending = None;
        life.index = None;
        // Nothing is in the way any more: two rounds with time between them leave what is named and nothing else.
        for _ in 0..2 {
            life.pass(30);
            life.world.sweep(life.named.iter().map(|(id, _)| id));
        }
        life.pass(30);
        let last = life.world.sweep(life.named.iter().map(|(id, _)| id));
        prop_assert_eq!((last.young.objects, last.aside.objects, last.restored.objects), (0, 0, 0));
        prop_assert_eq!(last.kept.objects, life.world.objects().len() as u64);
        if life.named.is_empty() {
            prop_assert_eq!(last.kept.objects, 0);
        }
        life.check();
    }
}
