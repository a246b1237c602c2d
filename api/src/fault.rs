//! Named points at which a test may kill the process, to prove that any line may be the last.
//!
//! Nothing happens unless `HELMR_FAULT_KILL_AT` was set when the process started.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

struct Plan {
    name: String,
    /// Passes left before the kill.
    countdown: AtomicU64,
}

static PLAN: OnceLock<Option<Plan>> = OnceLock::new();

/// Reads the plan: `NAME` or `NAME:N`, the N-th pass. Called once, early in `main`.
pub fn arm(spec: Option<&str>) {
    let plan = spec.filter(|spec| !spec.is_empty()).map(|spec| {
        let (name, count) = spec.split_once(':').unwrap_or((spec, "1"));
        Plan {
            name: name.to_owned(),
            countdown: AtomicU64::new(count.parse().unwrap_or(1)),
        }
    });
    // Arming twice keeps the first plan.
    drop(PLAN.set(plan));
}

/// Kills this process, as SIGKILL would, if the armed plan names this point and this is its pass.
pub fn point(name: &str) {
    if let Some(Some(plan)) = PLAN.get()
        && plan.name == name
        && plan.countdown.fetch_sub(1, Ordering::SeqCst) == 1
    {
        kill_self();
    }
}

fn kill_self() {
    // The signal cannot be caught, so nothing is flushed, closed or told: what a power cut leaves.
    let _: Result<(), rustix::io::Errno> =
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}
