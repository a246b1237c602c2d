//! How long to wait before the next try: doubled each time, up to a limit, a little off so that many do not try at once.

use std::time::Duration;

use crate::clock;

#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    limit: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, limit: Duration) -> Self {
        Self { next: first, limit }
    }

    /// The wait before the next try: between half and all of the step.
    pub(crate) fn step(&mut self) -> Duration {
        let step = self.next;
        self.next = (self.next * 2).min(self.limit);
        let [part] = clock::random::<1>();
        step / 2 + step * u32::from(part) / 512
    }

    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.step()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_double_up_to_the_limit() {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(100));
        for nominal in [20, 40, 80, 100, 100] {
            let step = backoff.step();
            let nominal = Duration::from_millis(nominal);
            assert!(
                step >= nominal / 2 && step <= nominal,
                "{step:?} of {nominal:?}"
            );
        }
    }
}
