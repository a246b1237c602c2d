//! What may become of what runs print: positions, kept pieces, the budget.

use helmr_domain::limits;

use crate::row::{LogPosition, LogSegment, Run};
use crate::shadow::Shadow;
use crate::violation::{Checked, hold};

/// One output stream of a run.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Where what is kept ends.
    pub(crate) end: u64,
    /// Bytes that were kept.
    pub(crate) kept: u64,
    /// Of the newest attempt that printed to it.
    pub(crate) last: Option<LogPosition>,
}

/// What a run may keep is used up, and never given back.
pub(super) fn budget(old: &Run, new: &Run) -> Checked {
    hold!(
        new.log_bytes >= old.log_bytes && new.log_bytes <= limits::LOG_KEPT_BYTES,
        "no more is kept of a run than its budget",
        "{old:?} became {new:?}"
    );
    hold!(
        new.attempt != old.attempt || new.entries >= old.entries,
        "every accepted call has one effect",
        "log entries were counted down: {old:?} became {new:?}"
    );
    Ok(())
}

pub(crate) fn position(shadow: &mut Shadow, new: LogPosition) -> Checked {
    let key = (new.run, new.stream.clone());
    shadow.step.touched.runs.insert(new.run);
    let log = shadow.logs.entry(key).or_default();
    if let Some(old) = &log.last {
        if *old == new {
            return Ok(());
        }
        let same = old.attempt == new.attempt;
        hold!(
            old.attempt <= new.attempt,
            "output goes on where it ended",
            "{old:?} was followed by {new:?}"
        );
        hold!(
            !same || (old.base == new.base && new.received >= old.received),
            "output goes on where it ended",
            "{old:?} became {new:?}"
        );
        hold!(
            same || new.base == old.base + old.received,
            "output goes on where it ended",
            "{old:?} was followed by {new:?}"
        );
        hold!(
            old.cut.is_none() || old.cut == new.cut,
            "a stream is cut once",
            "{old:?} became {new:?}"
        );
    }
    if new.cut.is_some() {
        shadow.reached.insert("a run's output is cut");
    }
    shadow.step.changed = true;
    log.last = Some(new);
    Ok(())
}

pub(crate) fn segment(shadow: &mut Shadow, new: &LogSegment) -> Checked {
    let key = (new.run, new.stream.clone());
    shadow.step.touched.runs.insert(new.run);
    let log = shadow.logs.entry(key).or_default();
    if new.start + new.size <= log.end {
        return Ok(());
    }
    hold!(
        new.start == log.end,
        "output goes on where it ended",
        "{new:?} was kept behind {}",
        log.end
    );
    log.end += new.size;
    log.kept += new.size;
    shadow.step.changed = true;
    Ok(())
}
