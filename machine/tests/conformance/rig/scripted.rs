//! Scripted machines.

use std::path::{Path, PathBuf};

use helmr_guest_wire::StartRun;
use helmr_machine::scripted::{Effect, Operation, Scripted as Driver, Step};
use helmr_machine::{Attempt, Driver as _};
use tempfile::TempDir;

use super::{Rig, start_run};

pub(crate) struct Scripted {
    driver: Driver,
    directory: TempDir,
}

impl Scripted {
    pub(crate) async fn new() -> Self {
        let driver = Driver::new(|_start| vec![Step::Serve, Step::Exit(0)]);
        Self {
            driver,
            directory: TempDir::new().unwrap(),
        }
    }
}

impl Rig for Scripted {
    type Driver = Driver;

    fn driver(&self) -> &Driver {
        &self.driver
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn images(&self) -> (PathBuf, PathBuf) {
        (self.path().join("image"), self.path().join("guest"))
    }

    fn counter(&self) -> StartRun {
        start_run(&["counter"])
    }

    fn failing_image(&self) -> PathBuf {
        self.driver.inject(Operation::Checkpoint, Effect::Fail);
        self.path().join("full")
    }

    fn remains(&self, attempt: &Attempt) -> Vec<String> {
        self.driver
            .attempts()
            .iter()
            .filter(|known| *known == attempt)
            .map(Attempt::container)
            .collect()
    }

    async fn retire(self) {
        assert_eq!(self.driver.list().await.unwrap(), []);
    }
}
