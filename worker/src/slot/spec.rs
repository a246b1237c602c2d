//! What the driver is told of a machine, from its assignment.

use std::path::PathBuf;

use helmr_api::worker::MachineAssignment;
use helmr_machine::{Driver, Limits, Spec};

use super::Tenure;
use super::ending::Ending;

/// Where programs are looked for when the image does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl<D: Driver> Tenure<D> {
    /// Makes the directories of a new attempt and says what the driver needs.
    pub(super) fn spec(
        &self,
        machine: &MachineAssignment,
        root_image: PathBuf,
        (workspace_dir, overlay_dir): (PathBuf, Option<PathBuf>),
    ) -> Result<Spec, Ending> {
        let number = self.record.attempt;
        let attempt_dir = self.machine_dir.attempt(number);
        let spec = Spec {
            root_image,
            guest_dir: self.base.guest_dir.clone(),
            bundles_dir: self.machine_dir.bundles(),
            host_dir: self.machine_dir.host(number),
            overlay_dir: overlay_dir.unwrap_or_else(|| attempt_dir.clone()),
            attempt_dir,
            workspace_dir,
            mount_path: machine.mount_path.clone(),
            host_name: host_name(&self.record.workspace_id.to_string()),
            env: environment(&machine.env),
            limits: limits(machine),
        };
        std::fs::create_dir_all(&spec.host_dir)
            .and_then(|()| std::fs::create_dir_all(&spec.bundles_dir))
            .map_err(|error| Ending::host("make the machine's directories", &error))?;
        Ok(spec)
    }
}

pub(super) fn limits(machine: &MachineAssignment) -> Limits {
    Limits {
        cpu_millis: machine.cpu_millis,
        memory_bytes: machine.memory_bytes,
        processes: machine.processes,
    }
}

/// A host name's labels hold letters, digits and hyphens, at most 63.
fn host_name(workspace_id: &str) -> String {
    workspace_id.replace('_', "-")
}

fn environment(declared: &[String]) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = declared
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    if !env.iter().any(|(name, _)| name == "PATH") {
        env.push(("PATH".to_owned(), PATH.to_owned()));
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_an_image_that_names_no_path() {
        assert_eq!(
            environment(&["A=b=c".to_owned(), "broken".to_owned()]),
            [
                ("A".to_owned(), "b=c".to_owned()),
                ("PATH".to_owned(), PATH.to_owned())
            ]
        );
        assert_eq!(environment(&["PATH=/bin".to_owned()]).len(), 1);
    }
}
