//! The right to act for a workspace until a time, and the epoch that fences everyone else off.

use std::fmt;

use crate::{Decision, Duration, Refusal, Timestamp, WorkerId};

/// The fencing token of a workspace's lease: only grows, and is sent with every worker write.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(u64);

impl Epoch {
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// The lease of one workspace over all its holders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Of the last holder; zero before the first.
    pub epoch: Epoch,
    pub state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Held {
        worker: WorkerId,
        expires_at: Timestamp,
    },
    Released,
    /// Taken back because the worker was not heard of.
    Expired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Claim {
        worker: WorkerId,
        ttl: Duration,
    },
    Renew {
        worker: WorkerId,
        epoch: Epoch,
        ttl: Duration,
    },
    Release {
        worker: WorkerId,
        epoch: Epoch,
    },
    /// The reaper: takes back a lease that ran out.
    Expire,
}

/// A lease has no effects of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {}

impl Lease {
    /// Of a workspace that was never leased.
    #[must_use]
    pub const fn never() -> Self {
        Self {
            epoch: Epoch::new(0),
            state: State::Released,
        }
    }

    /// Whether `worker` may write with `epoch`. A lease that ran out but was not taken back still fences nobody off.
    ///
    /// # Errors
    /// `StaleLease`: another epoch, another worker, or not held.
    pub fn check(&self, worker: WorkerId, epoch: Epoch) -> Result<(), Refusal> {
        match self.state {
            State::Held { worker: holder, .. } if holder == worker && self.epoch == epoch => Ok(()),
            State::Held { .. } | State::Released | State::Expired => Err(Refusal::StaleLease),
        }
    }
}

/// Says what `command` does to `lease` at `now`.
///
/// # Errors
/// `StaleLease` if the lease is held by another, or not held as the command says.
pub fn decide(
    lease: &Lease,
    command: Command,
    now: Timestamp,
) -> Result<Decision<Lease, Effect>, Refusal> {
    match command {
        Command::Claim { worker, ttl } => match lease.state {
            State::Held { .. } => Err(Refusal::StaleLease),
            State::Released | State::Expired => Ok(Decision::to(Lease {
                epoch: lease.epoch.next(),
                state: State::Held {
                    worker,
                    expires_at: now.after(ttl),
                },
            })),
        },
        Command::Renew { worker, epoch, ttl } => {
            lease.check(worker, epoch)?;
            Ok(Decision::to(Lease {
                epoch,
                state: State::Held {
                    worker,
                    expires_at: now.after(ttl),
                },
            }))
        }
        Command::Release { worker, epoch } => {
            lease.check(worker, epoch)?;
            Ok(Decision::to(Lease {
                epoch,
                state: State::Released,
            }))
        }
        Command::Expire => match lease.state {
            State::Held { expires_at, .. } if now >= expires_at => Ok(Decision::to(Lease {
                epoch: lease.epoch,
                state: State::Expired,
            })),
            State::Held { .. } | State::Released | State::Expired => Ok(Decision::unchanged()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_micros(10);

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn worker(number: u8) -> WorkerId {
        WorkerId::new(at(0), [number; 10])
    }

    fn held(number: u8, epoch: u64, expires: i64) -> Lease {
        Lease {
            epoch: Epoch::new(epoch),
            state: State::Held {
                worker: worker(number),
                expires_at: at(expires),
            },
        }
    }

    fn check(lease: &Lease, command: Command, now: i64, expected: Result<Option<Lease>, Refusal>) {
        let got = decide(lease, command, at(now)).map(|decision| decision.next);
        assert_eq!(got, expected, "{lease:?} {command:?} at {now}");
    }

    #[test]
    fn claiming_raises_the_epoch_and_only_a_free_lease_is_claimed() {
        let claim = Command::Claim {
            worker: worker(1),
            ttl: TTL,
        };
        check(&Lease::never(), claim, 5, Ok(Some(held(1, 1, 15))));
        let expired = Lease {
            epoch: Epoch::new(4),
            state: State::Expired,
        };
        check(&expired, claim, 5, Ok(Some(held(1, 5, 15))));
        check(&held(2, 1, 0), claim, 5, Err(Refusal::StaleLease));
    }

    #[test]
    fn only_the_holder_of_the_epoch_renews_and_releases() {
        let renew = |number, epoch| Command::Renew {
            worker: worker(number),
            epoch: Epoch::new(epoch),
            ttl: TTL,
        };
        let release = |number, epoch| Command::Release {
            worker: worker(number),
            epoch: Epoch::new(epoch),
        };
        // Run out, but taken by nobody: the worker comes back in time.
        check(&held(1, 3, 0), renew(1, 3), 5, Ok(Some(held(1, 3, 15))));
        check(&held(1, 3, 9), renew(1, 2), 5, Err(Refusal::StaleLease));
        check(&held(1, 3, 9), renew(2, 3), 5, Err(Refusal::StaleLease));
        let released = Lease {
            epoch: Epoch::new(3),
            state: State::Released,
        };
        check(&held(1, 3, 9), release(1, 3), 5, Ok(Some(released)));
        check(&held(1, 3, 9), release(1, 4), 5, Err(Refusal::StaleLease));
        check(&released, release(1, 3), 5, Err(Refusal::StaleLease));
        check(&released, renew(1, 3), 5, Err(Refusal::StaleLease));
    }

    #[test]
    fn a_lease_is_taken_back_at_its_end_and_not_before() {
        let expired = Lease {
            epoch: Epoch::new(3),
            state: State::Expired,
        };
        check(&held(1, 3, 9), Command::Expire, 8, Ok(None));
        check(&held(1, 3, 9), Command::Expire, 9, Ok(Some(expired)));
        check(&expired, Command::Expire, 9, Ok(None));
    }
}
