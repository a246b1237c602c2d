//! Being woken: by a hint of the store, or by time.

use std::time::Duration;

use helmr_store::Hint;
use tokio::sync::broadcast;

use crate::Control;

/// Why a loop looks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    Look,
    /// The server is ending.
    End,
}

/// Waits until a hint `concerns` the loop, or `period` is over. Hints that came since the last wait count.
pub(super) async fn wait(
    control: &Control,
    hints: &mut broadcast::Receiver<Hint>,
    period: Duration,
    concerns: impl Fn(&Hint) -> bool,
) -> Woken {
    let over = tokio::time::sleep(period);
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = control.ending.cancelled() => return Woken::End,
            () = &mut over => return Woken::Look,
            hint = hints.recv() => match hint {
                Ok(hint) if concerns(&hint) => {
                    drain(hints);
                    return Woken::Look;
                }
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => return Woken::Look,
                Err(broadcast::error::RecvError::Closed) => return Woken::End,
            },
        }
    }
}

/// One look answers all hints before it.
fn drain(hints: &mut broadcast::Receiver<Hint>) {
    while let Ok(_) | Err(broadcast::error::TryRecvError::Lagged(_)) = hints.try_recv() {}
}
