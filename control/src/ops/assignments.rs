//! Assignments as workers get them: what the store says, with the key that belongs to it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helmr_api::worker as wire;
use helmr_domain::{Duration, Timestamp, wait};
use helmr_store::forks::Order;
use helmr_store::worker::{AssignedRun, Assignment, Origin, Want};

use crate::{ApiError, Control};

/// Writes an assignment for its worker.
///
/// # Errors
/// If the environment's key cannot be opened.
pub(crate) async fn write(
    control: &Control,
    assignment: Assignment,
) -> Result<wire::Assignment, ApiError> {
    let environment = control.environment(assignment.scope.environment).await?;
    let spec = assignment.machine.spec;
    let now = control.now();
    let pty_idle_after_ms = millis(assignment.pty_idle_after);
    Ok(wire::Assignment {
        workspace_id: assignment.workspace_id,
        revision: assignment.revision,
        epoch: assignment.epoch.get(),
        machine: wire::MachineAssignment {
            materialization_id: assignment.machine.materialization_id,
            driver: assignment.machine.driver,
            image_digest: spec.image_digest,
            image_manifest: spec.image_manifest,
            mount_path: spec.mount_path,
            cpu_millis: spec.cpu_millis,
            memory_bytes: spec.memory_bytes,
            disk_bytes: spec.disk_bytes,
            processes: spec.processes,
            env: spec.env,
            user: spec.user,
            origin: origin(assignment.machine.origin),
            names: assignment.machine.names.0,
        },
        runs: assignment
            .runs
            .into_iter()
            .map(|assigned| run(assigned, now))
            .collect(),
        execs: assignment
            .execs
            .into_iter()
            .map(|exec| super::execs::assign(&environment, exec, pty_idle_after_ms))
            .collect::<Result<_, _>>()?,
        captures: assignment.captures,
        forks: assignment.forks.into_iter().map(fork).collect(),
        data_key: STANDARD.encode(environment.key.expose()),
        auto_stop_after_ms: millis(assignment.auto_stop_after),
        keep_ms: assignment
            .keep_until
            .map_or(0, |until| millis(until.since(now))),
        want: match assignment.want {
            Want::Live => wire::Want::Live,
            Want::Stop => wire::Want::Stop,
        },
        ending: assignment.ending,
    })
}

fn fork(order: Order) -> wire::ForkOrder {
    wire::ForkOrder {
        workspace_id: order.workspace_id,
        materialization_id: order.materialization_id,
        checkpoint_id: order.checkpoint_id,
    }
}

fn origin(origin: Origin) -> wire::Origin {
    match origin {
        Origin::Seed => wire::Origin::Seed,
        Origin::Version {
            version_id,
            manifest,
        } => wire::Origin::Version {
            version_id,
            manifest,
        },
        Origin::Checkpoint {
            checkpoint_id,
            version_id,
            manifest,
        } => wire::Origin::Checkpoint {
            checkpoint_id,
            version_id,
            manifest,
        },
    }
}

fn run(run: AssignedRun, now: Timestamp) -> wire::RunAssignment {
    wire::RunAssignment {
        run_id: run.run_id,
        session_id: run.session_id,
        attempt_number: run.attempt,
        deployment_id: run.deployment_id,
        bundle_sha256: run.bundle_sha256,
        bundle_manifest: run.bundle_manifest,
        started: run.started,
        hot_window_ms: millis(run.hot_window),
        stop: run.stop.map(|stop| wire::StopOrder {
            reason: stop.reason.as_str().to_owned(),
            kill_in_ms: millis(stop.kill_at.since(now)),
            message: stop.message,
        }),
        outcomes: run
            .outcomes
            .into_iter()
            .map(|decided| wire::DecidedOutcome {
                wait_id: decided.wait_id,
                call_no: decided.call_no,
                outcome: outcome(decided.outcome),
            })
            .collect(),
        waiting: run.waiting.map(|waiting| wire::PendingWait {
            wait_id: waiting.wait_id,
            call_no: waiting.call_no,
            hot_window_ms: millis(waiting.hot_window),
            idle_for_ms: millis(now.since(waiting.since)),
        }),
    }
}

fn outcome(outcome: wait::Outcome) -> wire::Outcome {
    match outcome {
        wait::Outcome::Ok(data) => wire::Outcome::ok(data),
        wait::Outcome::Err { code, message } => wire::Outcome::err(code.as_str(), message),
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(0)
}
