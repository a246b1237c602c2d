//! What the control plane is told when it starts.

use std::path::PathBuf;

use helmr_domain::Duration;

use crate::Clock;

/// Where things are and how long they take. Everything else is in the store.
#[derive(Debug, Clone)]
pub struct Config {
    pub database: Database,
    /// The local artifact directory.
    pub artifacts_dir: PathBuf,
    /// The root key file; made (0600) if it is missing.
    pub root_key: PathBuf,
    /// What callback URLs start with, without a slash at the end.
    pub public_url: String,
    pub settings: Settings,
    pub clock: Clock,
}

/// Which store.
#[derive(Debug, Clone)]
pub enum Database {
    Sqlite(PathBuf),
    /// For tests: gone with the process.
    InMemory,
    Postgres(String),
}

/// Spans that shape how machines live.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a wait of the first environment stays hot before its machine parks, unless the wait says otherwise.
    /// `None` leaves it as it was set, at first 2 s.
    pub hot_window: Option<Duration>,
    /// After how long of nothing typed or printed a PTY of the first environment is idle. `None` leaves it as it was
    /// set, at first 60 s.
    pub pty_idle_after: Option<Duration>,
    /// How often a worker says that it lives.
    pub heartbeat_interval: Duration,
    /// How long a lease lasts without renewal.
    pub lease_ttl: Duration,
    /// After how long without a heartbeat a worker's work is given to others.
    pub worker_lost_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hot_window: None,
            pty_idle_after: None,
            heartbeat_interval: Duration::from_secs(5),
            lease_ttl: Duration::from_secs(120),
            worker_lost_after: Duration::from_secs(120),
        }
    }
}

impl Config {
    /// The layout under one data directory, as `helmr up` has it.
    #[must_use]
    pub fn in_directory(dir: &std::path::Path, public_url: String) -> Self {
        Self {
            database: Database::Sqlite(dir.join("helmr.db")),
            artifacts_dir: dir.join("artifacts"),
            root_key: dir.join("keys").join("root.key"),
            public_url: public_url.trim_end_matches('/').to_owned(),
            settings: Settings::default(),
            clock: Clock::default(),
        }
    }
}
