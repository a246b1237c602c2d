//! What the worker tells the control plane of one leased workspace, by name.

use std::sync::Arc;

use helmr_api::worker::{
    Call, CallAnswer, CapturedVersion, Delivered, ExecEnded, ExecInput, ExecOutput, ExecReport,
    Files, FindSeed, Finish, Finished, ForkFailed, Forked, InputTaken, MachineFailed,
    MachineReport, Nothing, Output, Parked, PutSeed, RunInput, RunReport, Seed, TerminalRests,
    WantInput,
};
use helmr_domain::{MaterializationId, ProcessId, RunId, VersionId, WaitId, WorkspaceId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::{Client, Failure};

/// A run and which attempt of it: what everything inside a machine is told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RunKey {
    pub(crate) run_id: RunId,
    pub(crate) attempt_number: u32,
}

/// Reports under one lease.
#[derive(Clone)]
pub(crate) struct Reports {
    pub(crate) client: Arc<Client>,
    pub(crate) workspace_id: WorkspaceId,
    pub(crate) materialization_id: MaterializationId,
    pub(crate) epoch: u64,
}

impl Reports {
    pub(crate) async fn live(&self) -> Result<(), Failure> {
        self.machine("live", Nothing {}).await
    }

    pub(crate) async fn parking(&self) -> Result<(), Failure> {
        self.machine("parking", Nothing {}).await
    }

    pub(crate) async fn parked(&self, parked: Parked) -> Result<(), Failure> {
        self.machine("parked", parked).await
    }

    pub(crate) async fn unparked(&self) -> Result<(), Failure> {
        self.machine("unparked", Nothing {}).await
    }

    pub(crate) async fn stopping(&self) -> Result<(), Failure> {
        self.machine("stopping", Nothing {}).await
    }

    pub(crate) async fn stopped(&self, version: Option<CapturedVersion>) -> Result<(), Failure> {
        self.machine(
            "stopped",
            Files {
                version,
                asked: Vec::new(),
            },
        )
        .await
    }

    /// `asked`: the requests for which it was captured.
    pub(crate) async fn version(
        &self,
        version: CapturedVersion,
        asked: Vec<VersionId>,
    ) -> Result<(), Failure> {
        let files = Files {
            version: Some(version),
            asked,
        };
        self.machine("version", files).await
    }

    pub(crate) async fn forked(&self, forked: Forked) -> Result<(), Failure> {
        self.machine("forked", forked).await
    }

    pub(crate) async fn fork_failed(
        &self,
        workspace_id: WorkspaceId,
        message: String,
    ) -> Result<(), Failure> {
        let failed = ForkFailed {
            workspace_id,
            message,
        };
        self.machine("fork_failed", failed).await
    }

    pub(crate) async fn failed(&self, failed: MachineFailed) -> Result<(), Failure> {
        self.machine("failed", failed).await
    }

    pub(crate) async fn find_seed(
        &self,
        image_digest: &str,
        mount_path: &str,
    ) -> Result<Option<String>, Failure> {
        let seed: Seed = self
            .client
            .post(
                "/worker/v1/seeds/find",
                &self.seed(image_digest, mount_path),
            )
            .await?;
        Ok(seed.manifest)
    }

    /// Gives the manifest that is kept: the first one put.
    pub(crate) async fn put_seed(
        &self,
        image_digest: &str,
        mount_path: &str,
        manifest: String,
        size_bytes: u64,
    ) -> Result<String, Failure> {
        let put = PutSeed {
            of: self.seed(image_digest, mount_path),
            manifest: manifest.clone(),
            size_bytes,
        };
        let kept: Seed = self.client.post("/worker/v1/seeds/put", &put).await?;
        Ok(kept.manifest.unwrap_or(manifest))
    }

    pub(crate) async fn input(&self, run: RunKey) -> Result<RunInput, Failure> {
        self.run(run, "input", Nothing {}).await
    }

    pub(crate) async fn started(&self, run: RunKey) -> Result<(), Failure> {
        self.run(run, "started", Nothing {}).await
    }

    pub(crate) async fn call(&self, run: RunKey, call: Call) -> Result<CallAnswer, Failure> {
        self.run(run, "calls", call).await
    }

    pub(crate) async fn exec_started(&self, exec: ProcessId) -> Result<(), Failure> {
        let Ignored = self.exec(exec, "started", Nothing {}).await?;
        Ok(())
    }

    pub(crate) async fn exec_output(
        &self,
        exec: ProcessId,
        output: ExecOutput,
    ) -> Result<(), Failure> {
        let Ignored = self.exec(exec, "output", output).await?;
        Ok(())
    }

    /// What of its input lies behind `offset`.
    pub(crate) async fn exec_input(
        &self,
        exec: ProcessId,
        offset: u64,
    ) -> Result<ExecInput, Failure> {
        self.exec(exec, "input", WantInput { offset }).await
    }

    pub(crate) async fn exec_taken(
        &self,
        exec: ProcessId,
        taken: InputTaken,
    ) -> Result<(), Failure> {
        let Ignored = self.exec(exec, "taken", taken).await?;
        Ok(())
    }

    pub(crate) async fn exec_rests(
        &self,
        exec: ProcessId,
        rests: TerminalRests,
    ) -> Result<(), Failure> {
        let Ignored = self.exec(exec, "rests", rests).await?;
        Ok(())
    }

    pub(crate) async fn exec_ended(
        &self,
        exec: ProcessId,
        ended: ExecEnded,
    ) -> Result<(), Failure> {
        let Ignored = self.exec(exec, "ended", ended).await?;
        Ok(())
    }

    pub(crate) async fn delivered(&self, run: RunKey, wait_id: WaitId) -> Result<(), Failure> {
        self.run(run, "delivered", Delivered { wait_id }).await
    }

    pub(crate) async fn output(&self, run: RunKey, output: Output) -> Result<(), Failure> {
        self.run(run, "output", output).await
    }

    /// `untaken`: calls whose outcome the task had and did not take.
    pub(crate) async fn finished(
        &self,
        run: RunKey,
        finished: Finished,
        untaken: Vec<u64>,
    ) -> Result<(), Failure> {
        let report = Finish { finished, untaken };
        self.run(run, "finished", report).await
    }

    fn seed(&self, image_digest: &str, mount_path: &str) -> FindSeed {
        FindSeed {
            workspace_id: self.workspace_id,
            epoch: self.epoch,
            image_digest: image_digest.to_owned(),
            mount_path: mount_path.to_owned(),
        }
    }

    async fn machine<T: Serialize + Sync>(&self, what: &str, report: T) -> Result<(), Failure> {
        let body = MachineReport {
            epoch: self.epoch,
            materialization_id: self.materialization_id,
            report,
        };
        let path = format!("/worker/v1/machines/{}/{what}", self.workspace_id);
        let Ignored = self.client.post(&path, &body).await?;
        Ok(())
    }

    async fn run<T: Serialize + Sync, R: DeserializeOwned>(
        &self,
        run: RunKey,
        what: &str,
        report: T,
    ) -> Result<R, Failure> {
        let body = RunReport {
            workspace_id: self.workspace_id,
            epoch: self.epoch,
            attempt_number: run.attempt_number,
            report,
        };
        let path = format!("/worker/v1/runs/{}/{what}", run.run_id);
        self.client.post(&path, &body).await
    }
}

impl Reports {
    async fn exec<T: Serialize + Sync, R: DeserializeOwned>(
        &self,
        exec: ProcessId,
        what: &str,
        report: T,
    ) -> Result<R, Failure> {
        let body = ExecReport {
            workspace_id: self.workspace_id,
            epoch: self.epoch,
            report,
        };
        let path = format!("/worker/v1/execs/{exec}/{what}");
        self.client.post(&path, &body).await
    }
}

/// Whatever a success says, when that it is one is all that counts.
struct Ignored;

impl<'de> serde::Deserialize<'de> for Ignored {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(from).map(|_| Self)
    }
}
