//! Workers join, and say that they live.

use axum::Json as Answer;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helmr_api::error::Code;
use helmr_api::worker::{self as wire, Heartbeat, HeartbeatAnswer, PROTOCOL, Register, Registered};
use helmr_domain::placement::Capacity;
use helmr_domain::{Duration, Epoch};
use helmr_store::worker::{self, Auth, Report};
use http::HeaderMap;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::caller::WorkerCaller;
use crate::credential::{self, Kind};
use crate::http::body::Json;
use crate::http::caller::{bearer, invalid};
use crate::{ApiError, Control};

/// Takes a worker in, or takes note of what it says of itself anew.
pub(super) async fn register(
    State(control): State<Control>,
    headers: HeaderMap,
    body: Json<Register>,
) -> Result<Answer<Registered>, ApiError> {
    let register = body.value;
    if !register.protocols.contains(&PROTOCOL) {
        return Err(ApiError::new(
            Code::ProtocolUnsupported,
            format!("the control plane speaks worker protocol {PROTOCOL}"),
        ));
    }
    let bearer = bearer(&headers)?;
    let keys = &control.installation.keys;
    let fresh = credential::mint(Kind::Worker)?;
    let auth = match credential::kind_of(&bearer) {
        Some(Kind::Enrolment) => Auth::Enrolment {
            hash: credential::hash(keys, Kind::Enrolment, &bearer),
            worker_id: register.worker_id,
            credential_hash: credential::hash_secret(keys, Kind::Worker, &fresh),
        },
        Some(Kind::Worker) => Auth::Credential {
            hash: credential::hash(keys, Kind::Worker, &bearer),
        },
        Some(Kind::ApiKey | Kind::PublicToken | Kind::Callback) | None => {
            return Err(invalid("a worker registers with an enrolment token"));
        }
    };
    let input = worker::Register {
        at: control.moment()?,
        auth,
        report: report(register),
    };
    let registered = match worker::register(&control.store, input).await {
        Err(helmr_store::Error::NotFound(_)) => {
            return Err(invalid(
                "the enrolment token or credential is not known here",
            ));
        }
        other => other?,
    };
    control.forget_credentials();
    tracing::info!("worker.id" = %registered.worker.id, name = registered.worker.name, "worker registered");
    let settings = &control.settings;
    Ok(Answer(Registered {
        worker_id: registered.worker.id,
        credential: registered
            .credential_set
            .then(|| fresh.expose_secret().to_owned()),
        heartbeat_interval_ms: millis(settings.heartbeat_interval),
        lease_ttl_ms: millis(settings.lease_ttl),
        worker_lost_after_ms: millis(settings.worker_lost_after),
        installation_key: STANDARD.encode(control.installation.key.expose()),
    }))
}

fn report(register: Register) -> Report {
    Report {
        name: register.name.chars().take(128).collect(),
        capacity: capacity(register.capacity),
        labels: register.labels,
        drivers: register
            .drivers
            .iter()
            .map(|driver| json!(driver))
            .collect::<Vec<Value>>(),
        protocols: register.protocols,
    }
}

const fn capacity(wire: wire::Capacity) -> Capacity {
    Capacity {
        cpu_millis: wire.cpu_millis,
        memory_mib: wire.memory_mib,
        disk_mib: wire.disk_mib,
        slots: wire.slots,
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(0)
}

/// Renews what a worker holds, and tells it what it has lost.
pub(super) async fn heartbeat(
    State(control): State<Control>,
    caller: WorkerCaller,
    body: Json<Heartbeat>,
) -> Result<Answer<HeartbeatAnswer>, ApiError> {
    let heartbeat = body.value;
    let input = worker::Heartbeat {
        at: control.moment()?,
        worker_id: caller.id,
        free: capacity(heartbeat.free),
        draining: heartbeat.draining,
        leases: heartbeat
            .leases
            .iter()
            .map(|held| worker::HeldLease {
                workspace_id: held.workspace_id,
                epoch: Epoch::new(held.epoch),
            })
            .collect(),
        lease_ttl: control.settings.lease_ttl,
    };
    let leases = worker::heartbeat(&control.store, input).await?;
    Ok(Answer(HeartbeatAnswer {
        renewed: leases
            .renewed
            .into_iter()
            .map(|held| wire::HeldLease {
                workspace_id: held.workspace_id,
                epoch: held.epoch.get(),
            })
            .collect(),
        lost: leases.lost,
    }))
}
