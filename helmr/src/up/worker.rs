//! The worker of this process: gVisor, the guest agent, and a connection in memory.

use std::path::Path;

use helmr_api::transport::Connector;
use helmr_cli::CommandError;
use helmr_control::Running as Control;
use helmr_machine::Driver as _;
use helmr_machine::disk;
use helmr_machine::gvisor::{Gvisor, Settings};
use helmr_worker::{Config, Running, Worker};
use secrecy::ExposeSecret as _;

use super::capacity;
use super::data_dir::DataDir;
use crate::{guest, runsc};

/// Above the control groups of all machines on this host.
pub(crate) const CGROUP_PARENT: &str = "/helmr";

/// Starts the worker. It registers by itself.
pub(crate) async fn start(
    data: &DataDir,
    control: &Control,
    connector: Connector,
    allow_soft_limits: bool,
) -> Result<Running, CommandError> {
    let home = data.path().join("worker");
    let guest = guest::install(&home.join("guest"))?;
    let driver = Gvisor::open(Settings {
        runsc: runsc::find()?,
        root: home.join("runsc"),
        guest_digest: guest.digest,
        cgroup_parent: CGROUP_PARENT.to_owned(),
    })
    .await
    .map_err(|error| {
        CommandError::failed("open the isolation runtime")
            .because(&error)
            .hint("`helmr doctor` tells what is missing and how to mend it")
    })?;
    require_pinned(&driver.identity().0)?;
    let hard_disk_limit = disks(&home, allow_soft_limits).await?;
    let config = Config {
        data_dir: home,
        name: host_name(),
        enrolment_token: control.enrolment_token().expose_secret().to_owned(),
        capacity: capacity::of_host(data.path()),
        labels: Vec::new(),
        guest_dir: guest.folder,
        hard_disk_limit,
        cache_bytes: capacity::cache_bytes(data.path()),
    };
    Worker::start(config, driver, control.artifacts(), connector)
        .await
        .map_err(|error| CommandError::failed("start the worker").because(&error))
}

/// Whether workspaces get disks of their declared size.
async fn disks(home: &Path, allow_soft_limits: bool) -> Result<bool, CommandError> {
    let home = home.to_owned();
    let tried = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&home)
            .map_err(|source| disk::Error::Io {
                operation: "create",
                path: home.clone(),
                source,
            })
            .and_then(|()| disk::probe(&home))
    })
    .await;
    let error = match tried {
        Ok(Ok(())) => return Ok(true),
        Ok(Err(error)) => error,
        Err(error) => {
            return Err(CommandError::failed("try a workspace's disk").because(&error));
        }
    };
    if allow_soft_limits {
        tracing::warn!(%error, "workspaces are not held to their disk size on this host");
        return Ok(false);
    }
    Err(
        CommandError::failed("this host cannot hold workspaces to their disk size")
            .because(&error)
            .hint("`helmr doctor` tells what is missing; --allow-soft-limits starts without that limit"),
    )
}

/// Another version may refuse or, worse, misread what this one wrote.
fn require_pinned(identity: &str) -> Result<(), CommandError> {
    let version = identity.split('/').nth(1).unwrap_or_default();
    if version == runsc::PINNED {
        return Ok(());
    }
    Err(CommandError::failed(format!(
        "runsc is version {version}, and this helmr is made for {}",
        runsc::PINNED
    ))
    .hint(runsc::MEND))
}

fn host_name() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    if name.is_empty() {
        "local".to_owned()
    } else {
        name
    }
}
