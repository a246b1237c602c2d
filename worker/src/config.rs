//! What a worker is told before it starts.

use std::path::PathBuf;

use helmr_api::worker::Capacity;

/// Settings of one worker.
#[derive(Clone)]
pub struct Config {
    /// Everything the worker keeps: its identity, images, workspaces and machines. One worker per directory.
    pub data_dir: PathBuf,
    /// Shown to people.
    pub name: String,
    /// Proves, at the first registration, that the worker belongs to a group. Secret.
    pub enrolment_token: String,
    pub capacity: Capacity,
    pub labels: Vec<String>,
    /// The directory that holds the static `helmr-guest`, mounted read-only into every machine.
    pub guest_dir: PathBuf,
    /// Whether each workspace has a disk of its declared size, which takes root and loop devices; else a plain directory.
    pub hard_disk_limit: bool,
    /// What the files of workspaces in which nothing runs may take of the host's disk; the oldest go first.
    pub cache_bytes: u64,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Config")
            .field("data_dir", &self.data_dir)
            .field("name", &self.name)
            .field("enrolment_token", &"[redacted]")
            .field("capacity", &self.capacity)
            .field("labels", &self.labels)
            .field("guest_dir", &self.guest_dir)
            .field("hard_disk_limit", &self.hard_disk_limit)
            .field("cache_bytes", &self.cache_bytes)
            .finish()
    }
}
