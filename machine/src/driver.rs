//! What a machine is to the worker: the small set of verbs every isolation runtime offers.
//!
//! A driver knows nothing of runs, sessions or leases. It is handed directories and limits and says what happened.

use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use crate::Error;

/// What a driver can do on this host, as reported to the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    pub memory_checkpoint: bool,
    pub hardware_isolation: bool,
    pub network_policy: bool,
    /// Whether everything that is written in a machine stays within the directories that its specification names for it.
    pub hard_disk_limit: bool,
}

/// The exact runtime that makes and reads checkpoints, for example `gvisor/20260905.0-160fafc42237/<guest digest>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeIdentity(pub String);

/// Names one start or restore of a machine. A new one for every try: a killed try may still come up later, and its
/// hello must not be taken for the next one's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// The materialization id's text: unique on the host.
    pub machine: String,
    /// From 1, only grows, over starts and restores alike.
    pub number: u32,
}

impl Attempt {
    /// The runtime's container id.
    #[must_use]
    pub fn container(&self) -> String {
        format!("{}-{}", self.machine, self.number)
    }
}

/// Everything needed to start or restore a machine.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The uncompressed EROFS root image.
    pub root_image: PathBuf,
    /// The directory with the static `helmr-guest`, mounted read-only.
    pub guest_dir: PathBuf,
    /// The machine's bundle directory, mounted read-only; the worker adds to it while the machine lives.
    pub bundles_dir: PathBuf,
    /// Holds `host.sock` and `attempt`; belongs to this attempt alone.
    pub host_dir: PathBuf,
    /// Scratch for this attempt: the OCI bundle and the runtime's logs.
    pub attempt_dir: PathBuf,
    /// The live workspace on this host.
    pub workspace_dir: PathBuf,
    /// Where changes to the root are kept, in files without a name: what bounds this directory bounds them.
    pub overlay_dir: PathBuf,
    /// Where the workspace appears inside, for example `/workspace`.
    pub mount_path: String,
    pub host_name: String,
    /// Environment of the guest agent, from the image and the sandbox. Never holds a secret.
    pub env: Vec<(String, String)>,
    pub limits: Limits,
}

/// Limits of one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub cpu_millis: u32,
    pub memory_bytes: u64,
    /// Processes and threads inside (`RLIMIT_NPROC`). A driver whose processes cost the machine's own memory grants
    /// fewer to a small machine.
    pub processes: u32,
}

/// What a machine uses now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    pub memory_bytes: u64,
    pub cpu_us: u64,
    /// How often the host's kernel killed a process for the machine's memory limit, since the machine began.
    pub oom_kills: u64,
}

/// What the host knows of a machine's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Running,
    Paused,
    Gone,
}

/// An isolation runtime.
///
/// Every call has the deadline it is given, kills its own client process when that passes, and leaves the machine in a
/// state that `presence` tells. Calls on one machine are serialised by the caller.
pub trait Driver: Send + Sync + 'static {
    fn capabilities(&self) -> Capabilities;

    fn identity(&self) -> RuntimeIdentity;

    /// Starts a machine, detached: it outlives this process. Returns when the runtime says it runs; the guest's hello
    /// comes by itself.
    fn start(
        &self,
        attempt: &Attempt,
        spec: &Spec,
        deadline: Duration,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Stops every process inside where it stands.
    fn pause(
        &self,
        attempt: &Attempt,
        deadline: Duration,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    fn resume(
        &self,
        attempt: &Attempt,
        deadline: Duration,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Writes memory and device state of a paused machine to `image_dir` (created here) and makes it durable. The machine stays paused.
    /// Returns the size in bytes. On an error the image is removed and the machine is as it was.
    fn checkpoint(
        &self,
        attempt: &Attempt,
        image_dir: &std::path::Path,
        deadline: Duration,
    ) -> impl Future<Output = Result<u64, Error>> + Send;

    /// Continues a checkpoint as a new attempt. The image stays usable for another try.
    fn restore(
        &self,
        attempt: &Attempt,
        spec: &Spec,
        image_dir: &std::path::Path,
        deadline: Duration,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Ends a machine and everything the runtime left of it; returns when no process of it exists. Repeating it, or
    /// killing what never started, is fine.
    fn kill(
        &self,
        attempt: &Attempt,
        deadline: Duration,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    fn presence(&self, attempt: &Attempt) -> impl Future<Output = Result<Presence, Error>> + Send;

    /// Holds a machine to its share of the processor. While it comes up, from `start` or `restore` on, a driver may give
    /// it more. May be repeated.
    fn confine(
        &self,
        attempt: &Attempt,
        limits: &Limits,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    fn stats(&self, attempt: &Attempt) -> impl Future<Output = Result<Stats, Error>> + Send;

    /// Lets go of what the runtime holds on this host beside machines, such as mounts in its state directory. Called once no
    /// machine is left.
    ///
    /// # Errors
    /// `Io` if something is still in use.
    fn retire(&self) -> Result<(), Error>;

    /// Every attempt of which the runtime still knows something, ours or orphaned.
    fn list(&self) -> impl Future<Output = Result<Vec<Attempt>, Error>> + Send;
}
