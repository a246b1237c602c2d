//! The places between two steps of a machine's or run's life at which a test may kill the process (`helmr_api::fault`).

/// Every crash point of the worker, in the order of a run's life.
pub const CRASH_POINTS: &[&str] = &[
    // Inside of files that are put back or captured, at each entry.
    "worker.files.put_back_entry",
    "worker.files.capture_entry",
    // Files and bundles lie ready; nothing runs.
    "worker.start.before_machine",
    // The runtime says that the machine runs, or its guest has greeted.
    "worker.start.after_machine",
    "worker.start.after_hello",
    // The control plane knows; no run was started.
    "worker.start.after_live",
    // A run's process was asked for.
    "worker.start.after_run",
    // An answer was committed and not yet sent to the task.
    "worker.call.after_commit",
    "worker.park.after_parking",
    "worker.park.after_pause",
    "worker.park.after_capture",
    "worker.park.after_checkpoint",
    // The lease is released; the machine still stands.
    "worker.park.after_parked_commit",
    "worker.park.after_kill",
    // What was written while the machine was parked is captured, and not yet told.
    "worker.wake.after_edits",
    "worker.wake.before_restore",
    "worker.wake.after_restore",
    "worker.wake.after_hello",
    // The control plane knows; the image is not yet deleted and nothing is delivered.
    "worker.wake.after_live",
    // A copy is being made: the machine stands still.
    "worker.fork.after_pause",
    "worker.fork.after_capture",
    "worker.fork.after_checkpoint",
    // The copy is there for everyone; the machine still stands.
    "worker.fork.after_commit",
    "worker.fork.after_resume",
    // Whether a copy that was found is one was said, and nothing was done about it.
    "worker.fork.after_settle",
    // The outcome was handed to the guest's channel.
    "worker.deliver.after_send",
    // The guest has the outcome; the control plane does not know.
    "worker.deliver.after_ack",
    // An exec's process is about to be asked for, or was.
    "worker.exec.before_start",
    "worker.exec.after_start",
    // An exec's process is gone; the control plane does not know.
    "worker.exec.before_ended",
    "worker.finish.before_post",
    "worker.finish.after_post",
    // The process is gone and its end told; its files are not captured.
    "worker.finish.before_version",
    // The files of a machine that lives on are captured: it stands still, it goes on and nobody knows, everyone knows.
    "worker.version.after_pause",
    "worker.version.after_capture",
    "worker.version.after_commit",
    "worker.stop.after_stopping",
    "worker.stop.after_kill",
    "worker.stop.after_capture",
    // The bytes of a file are on the disk under no name.
    "worker.files.after_gather",
    // It is noted that a parked machine's files change; they have not.
    "worker.files.after_note",
    // They have, and nobody knows.
    "worker.files.after_change",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    #[test]
    fn the_list_names_every_point_that_is_passed_and_no_other() -> anyhow::Result<()> {
        let mut passed = BTreeSet::new();
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let path: PathBuf = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path)?;
                let named = text.split("fault::point(\"worker.").skip(1);
                let named = named.filter_map(|rest| rest.split('"').next());
                passed.extend(named.map(|rest| format!("worker.{rest}")));
            }
        }
        let listed: BTreeSet<_> = CRASH_POINTS.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(passed, listed);
        Ok(())
    }
}
