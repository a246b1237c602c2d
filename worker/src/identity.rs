//! Who the worker is: `worker.json`, and the registration that fills it.

use std::time::Duration;

use helmr_api::worker::{DriverReport, PROTOCOL, Register, Registered};
use helmr_domain::WorkerId;
use helmr_machine::{Capabilities, RuntimeIdentity};
use serde::{Deserialize, Serialize};

use crate::backoff::Backoff;
use crate::client::{Client, Failure};
use crate::directory::{Directory, Durability, read_json, write_json};
use crate::{Config, Error};

/// `worker.json`. The credential is a secret; the file lies in a directory that is nobody else's.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) worker_id: WorkerId,
    pub(crate) credential: String,
}

/// Registers, for ever: again with the worker's own credential, or at first with the enrolment token.
///
/// # Errors
/// `Refused` if the control plane wants neither.
pub(crate) async fn register(
    directory: &Directory,
    config: &Config,
    driver: DriverReport,
    client: &Client,
) -> Result<Registered, Error> {
    let known: Option<Identity> = read_json(&directory.identity())?;
    let mut body = Register {
        worker_id: known.as_ref().map(|identity| identity.worker_id),
        name: config.name.clone(),
        capacity: config.capacity,
        labels: config.labels.clone(),
        drivers: vec![driver],
        protocols: vec![PROTOCOL],
    };
    let mut enrolled = known.is_some();
    client.authorise(known.as_ref().map_or_else(
        || config.enrolment_token.clone(),
        |identity| identity.credential.clone(),
    ));
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
    loop {
        match register_once(client, &body).await {
            Ok(registered) => {
                let credential = registered.credential.clone();
                let identity = Identity {
                    worker_id: registered.worker_id,
                    credential: credential
                        .or_else(|| known.as_ref().map(|identity| identity.credential.clone()))
                        .unwrap_or_default(),
                };
                client.authorise(identity.credential.clone());
                write_json(&directory.identity(), &identity, Durability::PowerCut)
                    .map_err(Error::io("write", directory.identity()))?;
                return Ok(registered);
            }
            Err(Failure::Refused {
                status: 401 | 403 | 404,
                ..
            }) if enrolled => {
                // The control plane does not know this worker: its database is another one. Enrol anew.
                tracing::warn!("the control plane does not know this worker; it enrols anew");
                enrolled = false;
                body.worker_id = None;
                client.authorise(config.enrolment_token.clone());
            }
            Err(Failure::Refused { code, message, .. }) => {
                return Err(Error::Refused { code, message });
            }
            Err(failure) => {
                tracing::debug!(%failure, "registration was not answered; again");
                backoff.wait().await;
            }
        }
    }
}

async fn register_once(client: &Client, body: &Register) -> Result<Registered, Failure> {
    client
        .post_once("/worker/v1/register", body, Duration::from_secs(10))
        .await
}

/// What the control plane is told of a driver.
pub(crate) fn describe(capabilities: &Capabilities, identity: &RuntimeIdentity) -> DriverReport {
    let name = identity.0.split('/').next().unwrap_or_default();
    DriverReport {
        name: name.to_owned(),
        identity: identity.0.clone(),
        memory_checkpoint: capabilities.memory_checkpoint,
        hardware_isolation: capabilities.hardware_isolation,
        network_policy: capabilities.network_policy,
        hard_disk_limit: capabilities.hard_disk_limit,
    }
}
