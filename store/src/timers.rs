//! Timers: rows that say when to look at their subject again. The deadline in the subject decides.

mod fire;

use helmr_domain::Timestamp;
use helmr_domain::timer::{Change, Clock, Purpose};

use crate::db::{Tx, params, sql};
use crate::{Hint, Result, Store};

pub use fire::{Fired, fire_due};

sql! {
    NEXT = "SELECT due_at
        FROM timers
        WHERE absolute = $1
        ORDER BY due_at
        LIMIT 1";

    ARM = "INSERT INTO timers (purpose, subject_id, due_at, absolute)
        VALUES ($1, $2, $3, $4)
        ON CONFLICT (purpose, subject_id) DO UPDATE
            SET due_at = excluded.due_at, absolute = excluded.absolute";

    DISARM = "DELETE FROM timers
        WHERE purpose = $1 AND subject_id = $2";
}

/// When the earliest timers are due, by each clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Next {
    pub steady: Option<Timestamp>,
    pub wall: Option<Timestamp>,
}

impl Next {
    /// Whether a timer of `clock` that is due at `due_at` comes before all that are known.
    #[must_use]
    pub fn is_before(&self, clock: Clock, due_at: Timestamp) -> bool {
        let known = match clock {
            Clock::Steady => self.steady,
            Clock::Wall => self.wall,
        };
        known.is_none_or(|known| due_at < known)
    }
}

/// When the earliest timers are due.
///
/// # Errors
/// If the database fails.
pub async fn next_due(store: &Store) -> Result<Next> {
    store
        .read((), |tx, ()| {
            Box::pin(async move {
                Ok(Next {
                    steady: next_of(tx, Clock::Steady).await?,
                    wall: next_of(tx, Clock::Wall).await?,
                })
            })
        })
        .await
}

async fn next_of(tx: &mut Tx, clock: Clock) -> Result<Option<Timestamp>> {
    let found = tx.find(&NEXT, params![is_absolute(clock)]).await?;
    found.map(|mut row| row.take("due_at")).transpose()
}

/// How a clock stands in a column.
pub(crate) const fn is_absolute(clock: Clock) -> bool {
    match clock {
        Clock::Steady => false,
        Clock::Wall => true,
    }
}

/// Arms a timer for the end of a span.
pub(crate) async fn arm(
    tx: &mut Tx,
    purpose: Purpose,
    subject: &impl ToString,
    due_at: Timestamp,
) -> Result<()> {
    arm_by(tx, Clock::Steady, purpose, subject, due_at).await
}

pub(crate) async fn arm_by(
    tx: &mut Tx,
    clock: Clock,
    purpose: Purpose,
    subject: &impl ToString,
    due_at: Timestamp,
) -> Result<()> {
    let bound = params![
        purpose.as_str(),
        subject.to_string(),
        due_at,
        is_absolute(clock)
    ];
    tx.run(&ARM, bound).await?;
    tx.hint(Hint::Timer { clock, due_at });
    Ok(())
}

pub(crate) async fn disarm(tx: &mut Tx, purpose: Purpose, subject: &impl ToString) -> Result<()> {
    tx.run(&DISARM, params![purpose.as_str(), subject.to_string()])
        .await
        .map(drop)
}

pub(crate) async fn change(tx: &mut Tx, subject: &impl ToString, change: Change) -> Result<()> {
    match change {
        Change::Arm { purpose, due_at } => arm(tx, purpose, subject, due_at).await,
        Change::Disarm(purpose) => disarm(tx, purpose, subject).await,
    }
}
