//! Assignments for unit tests.

use helmr_api::worker::{Assignment, MachineAssignment, Origin, RunAssignment, Want};
use helmr_domain::{DeploymentId, MaterializationId, RunId, SessionId, Timestamp, WorkspaceId};

const AT: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

pub(crate) fn assignment() -> Assignment {
    Assignment {
        workspace_id: WorkspaceId::new(AT, [1; 10]),
        revision: 1,
        epoch: 1,
        machine: MachineAssignment {
            materialization_id: MaterializationId::new(AT, [1; 10]),
            driver: "scripted".to_owned(),
            image_digest: format!("sha256:{}", "0".repeat(64)),
            image_manifest: "0".repeat(64),
            mount_path: "/workspace".to_owned(),
            cpu_millis: 1000,
            memory_bytes: 1 << 30,
            disk_bytes: 10 << 30,
            processes: 1024,
            env: Vec::new(),
            user: String::new(),
            origin: Origin::Seed,
            names: std::collections::BTreeMap::new(),
        },
        runs: Vec::new(),
        execs: Vec::new(),
        captures: Vec::new(),
        forks: Vec::new(),
        data_key: String::new(),
        auto_stop_after_ms: 300_000,
        keep_ms: 0,
        want: Want::Live,
        ending: false,
    }
}

pub(crate) fn run() -> RunAssignment {
    RunAssignment {
        run_id: RunId::new(AT, [1; 10]),
        session_id: SessionId::new(AT, [1; 10]),
        attempt_number: 1,
        deployment_id: DeploymentId::new(AT, [1; 10]),
        bundle_sha256: "0".repeat(64),
        bundle_manifest: "0".repeat(64),
        started: true,
        hot_window_ms: 2000,
        stop: None,
        outcomes: Vec::new(),
        waiting: None,
    }
}

pub(crate) fn other_run() -> RunAssignment {
    RunAssignment {
        run_id: RunId::new(AT, [2; 10]),
        ..run()
    }
}
