//! What holds of what a run printed, after every step.

use helmr_domain::limits;

use crate::row::Run;
use crate::shadow::Shadow;
use crate::violation::{Checked, hold};

pub(super) fn check(shadow: &Shadow, run: &Run) -> Checked {
    let mut kept = 0;
    for stream in ["stdout", "stderr"] {
        let Some(log) = shadow.logs.get(&(run.id, stream.to_owned())) else {
            continue;
        };
        kept += log.kept;
        let Some(last) = &log.last else { continue };
        let received = last.base + last.received;
        let cut = last.cut.and_then(|cut| u64::try_from(cut).ok());
        let fits = match cut {
            Some(cut) => log.end == cut && cut <= received,
            None => log.end + last.tail == received,
        };
        hold!(
            fits,
            "output goes on where it ended",
            "what is kept of {stream} ends at {}: {last:?}",
            log.end
        );
        hold!(
            cut.is_none() || run.log_bytes == limits::LOG_KEPT_BYTES,
            "a stream is cut where the budget ends",
            "{last:?} of {run:?}"
        );
    }
    hold!(
        kept <= run.log_bytes,
        "no more is kept of a run than its budget",
        "{kept} bytes of {run:?}"
    );
    Ok(())
}
