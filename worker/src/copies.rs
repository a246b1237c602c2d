//! A copy of a machine that was being made when its worker or its lease ended: whether it is one, the control plane says.

use helmr_api::fault;
use helmr_api::worker::{ForkSettled, SettleFork};
use helmr_machine::Driver;

use crate::base::Base;
use crate::directory::remove;
use crate::record::{Phase, Record};

/// Keeps a copy that was committed and removes one that was not, which then never will be.
pub(crate) async fn settle<D: Driver>(base: &Base<D>, mut record: Record) {
    let Phase::Forked { checkpoint_id } = record.phase else {
        return;
    };
    let directory = base.directory.machine(record.materialization_id);
    let asked = SettleFork {
        materialization_id: record.materialization_id,
    };
    let answer = base.client.post("/worker/v1/forks/settle", &asked).await;
    fault::point("worker.fork.after_settle");
    let done = match answer {
        Ok(ForkSettled { made: true }) => {
            record.phase = Phase::Parked { checkpoint_id };
            record.write(&directory)
        }
        Ok(ForkSettled { made: false }) => remove(&directory.path),
        Err(failure) => {
            // The next start asks again.
            tracing::error!(materialization.id = %record.materialization_id, %failure, "it was not said whether a copy is one");
            return;
        }
    };
    if let Err(error) = done {
        tracing::error!(materialization.id = %record.materialization_id, %error, "a copy of a machine was not settled");
    }
}
