//! The only place that reads the wall clock and asks for randomness.

use std::time::{SystemTime, UNIX_EPOCH};

use helmr_domain::Timestamp;
use rustix::rand::{GetRandomFlags, getrandom};

/// What time it is.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the clock"
)]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        // Short requests fail only before the kernel's pool is ready, and the call waits for that.
        filled += getrandom(&mut bytes[filled..], GetRandomFlags::empty()).unwrap_or(0);
    }
    bytes
}

/// Names this boot of the host: another one follows every power cut.
pub(crate) fn host_boot() -> String {
    // A host that does not say is taken for one that has just booted: nothing that was kept is trusted then.
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|boot| boot.trim().to_owned())
        .unwrap_or_else(|_| {
            random::<16>()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_differ() {
        assert_ne!(random::<32>(), random::<32>());
    }
}
