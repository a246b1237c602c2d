//! The places between two steps of a machine's or run's life at which a test may kill the process.

macro_rules! points {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub(crate) const $name: &str = $text;)*

        /// Every point of the worker, in the order of a run's life. See `helmr_api::fault`.
        pub const CRASH_POINTS: &[&str] = &[$($name,)*];
    };
}

points! {
    /// Files and bundles lie ready; nothing runs.
    START_BEFORE_MACHINE = "worker.start.before_machine";
    /// The runtime says that the machine runs, or its guest has greeted.
    START_AFTER_MACHINE = "worker.start.after_machine";
    START_AFTER_HELLO = "worker.start.after_hello";
    /// The control plane knows; no run was started.
    START_AFTER_LIVE = "worker.start.after_live";
    /// A run's process was asked for.
    START_AFTER_RUN = "worker.start.after_run";
    /// An answer was committed and not yet sent to the task.
    CALL_AFTER_COMMIT = "worker.call.after_commit";
    PARK_AFTER_PARKING = "worker.park.after_parking";
    PARK_AFTER_PAUSE = "worker.park.after_pause";
    PARK_AFTER_CAPTURE = "worker.park.after_capture";
    PARK_AFTER_CHECKPOINT = "worker.park.after_checkpoint";
    /// The lease is released; the machine still stands.
    PARK_AFTER_PARKED_COMMIT = "worker.park.after_parked_commit";
    PARK_AFTER_KILL = "worker.park.after_kill";
    WAKE_BEFORE_RESTORE = "worker.wake.before_restore";
    WAKE_AFTER_RESTORE = "worker.wake.after_restore";
    WAKE_AFTER_HELLO = "worker.wake.after_hello";
    /// The control plane knows; the image is not yet deleted and nothing is delivered.
    WAKE_AFTER_LIVE = "worker.wake.after_live";
    /// The outcome was handed to the guest's channel.
    DELIVER_AFTER_SEND = "worker.deliver.after_send";
    /// The guest has the outcome; the control plane does not know.
    DELIVER_AFTER_ACK = "worker.deliver.after_ack";
    FINISH_BEFORE_POST = "worker.finish.before_post";
    FINISH_AFTER_POST = "worker.finish.after_post";
    /// The process is gone and its end told; its files are not captured.
    FINISH_BEFORE_VERSION = "worker.finish.before_version";
    STOP_AFTER_STOPPING = "worker.stop.after_stopping";
    STOP_AFTER_KILL = "worker.stop.after_kill";
    STOP_AFTER_CAPTURE = "worker.stop.after_capture";
}
