//! What a run's process needs, fetched while its machine comes up.

use std::collections::HashSet;
use std::sync::Arc;

use helmr_api::worker::{Assignment, RunAssignment};
use helmr_artifacts::KeySet;
use helmr_guest_wire::StartRun;
use helmr_machine::Driver;
use tokio::task::JoinSet;

use super::Tenure;
use super::ending::Ending;
use crate::bundles::{self, Bundle};
use crate::client::Failure;
use crate::directive::key_of;
use crate::report::RunKey;

/// Where a machine's bundles appear inside.
const BUNDLES_INSIDE: &str = "/run/helmr/bundles";

/// Launches under way.
#[derive(Default)]
pub(super) struct Launches {
    under_way: JoinSet<Launched>,
    runs: HashSet<RunKey>,
}

pub(super) struct Launched {
    pub(super) run: RunKey,
    pub(super) start: Result<StartRun, NotLaunched>,
}

/// Why a run's process cannot be asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotLaunched {
    #[error("the run's input: {0}")]
    Input(#[from] Failure),
    #[error(transparent)]
    Bundle(#[from] bundles::Error),
    #[error("the run's input cannot be written: {0}")]
    Init(#[from] serde_json::Error),
}

impl Launches {
    pub(super) fn has(&self, run: RunKey) -> bool {
        self.runs.contains(&run)
    }

    pub(super) fn runs(&self) -> impl Iterator<Item = RunKey> {
        self.runs.iter().copied()
    }

    /// The next one that is done; waits for ever if there is none. Cancel-safe.
    pub(super) async fn next(&mut self) -> Launched {
        loop {
            match self.under_way.join_next().await {
                Some(Ok(launched)) => {
                    self.runs.remove(&launched.run);
                    return launched;
                }
                Some(Err(error)) => tracing::error!(%error, "a launch panicked"),
                None => std::future::pending().await,
            }
        }
    }
}

impl<D: Driver> Tenure<D> {
    /// Begins to fetch what a run needs, unless that is under way.
    pub(super) fn prepare_launch(
        &mut self,
        assignment: &Arc<Assignment>,
        run: &RunAssignment,
        keys: KeySet,
    ) -> Result<(), Ending> {
        let key = key_of(run);
        if !self.launches.runs.insert(key) {
            return Ok(());
        }
        let bundles_dir = self.machine_dir.bundles();
        std::fs::create_dir_all(&bundles_dir)
            .map_err(|error| Ending::host("make the machine's bundle directory", &error))?;
        let (base, reports) = (Arc::clone(&self.base), self.reports.clone());
        let (assignment, run) = (Arc::clone(assignment), run.clone());
        self.launches.under_way.spawn(async move {
            let bundle = Bundle {
                sha256: &run.bundle_sha256,
                manifest: &run.bundle_manifest,
            };
            let placed = async {
                let placing = base.bundles.place(
                    &base.directory,
                    &base.artifacts,
                    keys,
                    bundle,
                    &bundles_dir,
                );
                placing.await.map_err(NotLaunched::from)
            };
            let input = async { reports.input(key).await.map_err(NotLaunched::from) };
            let start = tokio::try_join!(placed, input).and_then(|((), input)| {
                Ok(StartRun {
                    run_id: key.run_id.to_string(),
                    attempt_number: key.attempt_number,
                    argv: argv(&run.bundle_sha256, &input.argv),
                    env: input.env,
                    cwd: assignment.machine.mount_path.clone(),
                    user: assignment.machine.user.clone(),
                    init_line: serde_json::to_vec(&input.init)?,
                    takes_input: false,
                    terminal: None,
                })
            });
            Launched { run: key, start }
        });
        Ok(())
    }
}

/// Node's command line: options as they are, the script in its bundle, and the script's own arguments.
fn argv(bundle_sha256: &str, given: &[String]) -> Vec<String> {
    let mut argv = vec!["node".to_owned()];
    let mut script_seen = false;
    for argument in given {
        if script_seen || argument.starts_with('-') {
            argv.push(argument.clone());
        } else {
            argv.push(format!("{BUNDLES_INSIDE}/{bundle_sha256}/{argument}"));
            script_seen = true;
        }
    }
    argv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_the_bundles_and_everything_else_stays() {
        let given = ["--enable-source-maps", "runtime.mjs", "x"].map(str::to_owned);
        assert_eq!(
            argv("ab12", &given),
            [
                "node",
                "--enable-source-maps",
                "/run/helmr/bundles/ab12/runtime.mjs",
                "x"
            ]
        );
    }
}
